package detector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// latencyVersion is the first byte of an encoded Latency. It changes with latencyState and
// with the meaning of any of its fields.
const latencyVersion = 1

// ErrLatencyVersion says that a latency was encoded by a version whose format this one
// does not read. It has to be learned again.
var ErrLatencyVersion = errors.New("the state of the latency is of another format version")

// AppendState appends what is known: a byte with the version, then the fields of
// latencyState in order, little endian. The length is the same for every endpoint. There
// is no checksum: that is for the snapshot around it.
func (l *Latency) AppendState(dst []byte) []byte {
	dst, err := binary.Append(append(dst, latencyVersion), binary.LittleEndian, &l.state)
	if err != nil {
		panic(err) // a struct of numbers always has an encoding
	}
	return dst
}

// RestoreState makes the latency what AppendState encoded; from then on it finds what one
// finds that was never interrupted. On an error the latency is unchanged.
func (l *Latency) RestoreState(b []byte) error {
	if len(b) == 0 {
		return errors.New("reading the state of a latency: it is empty")
	}
	if b[0] != latencyVersion {
		return fmt.Errorf("%w: %d, known is %d", ErrLatencyVersion, b[0], latencyVersion)
	}
	var state latencyState
	if n, err := binary.Decode(b[1:], binary.LittleEndian, &state); err != nil || n != len(b)-1 {
		return fmt.Errorf("reading the state of a latency: it has %d bytes, not %d", len(b), 1+binary.Size(&state))
	}
	if state.Phase > latencyOpen {
		return fmt.Errorf("reading the state of a latency: there is no phase %d", state.Phase)
	}
	if err := errors.Join(state.Usual.check(), state.Lately.check()); err != nil {
		return fmt.Errorf("reading the state of a latency: %w", err)
	}
	l.state, l.limits = state, latencyLimits{}
	if state.Usual.Total > 0 {
		l.limits = state.Usual.limits(&l.limits)
	}
	return nil
}

// check refuses what no counting leads to.
func (h *latencyHistogram) check() error {
	sum := 0.0
	for i, c := range &h.Counts {
		if !(c >= 0 && c <= math.MaxFloat32) {
			return fmt.Errorf("bin %d has %g requests", i, c)
		}
		sum += float64(c)
	}
	if !(math.Abs(h.Total-sum) <= 1) {
		return fmt.Errorf("the bins have %g requests together, not %g", sum, h.Total)
	}
	return nil
}
