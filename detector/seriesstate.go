package detector

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// seriesVersion is the first byte of an encoded Series. It changes with seriesState and
// with the meaning of any of its fields.
const seriesVersion = 1

// ErrSeriesVersion says that a series was encoded by a version whose format this one
// does not read. It has to be learned again.
var ErrSeriesVersion = errors.New("the state of the series is of another format version")

// AppendState appends what the series knows: a byte with the version, then the fields
// of seriesState in order, little endian. The length is the same for every series.
// There is no checksum: that is for the snapshot around it.
func (s *Series) AppendState(dst []byte) []byte {
	dst, err := binary.Append(append(dst, seriesVersion), binary.LittleEndian, &s.state)
	if err != nil {
		panic(err) // a struct of numbers always has an encoding
	}
	return dst
}

// RestoreState makes the series what AppendState encoded; from then on it finds what a
// series finds that was never interrupted. On an error the series is unchanged.
func (s *Series) RestoreState(b []byte) error {
	if len(b) == 0 {
		return errors.New("reading the state of a series: it is empty")
	}
	if b[0] != seriesVersion {
		return fmt.Errorf("%w: %d, known is %d", ErrSeriesVersion, b[0], seriesVersion)
	}
	var state seriesState
	if n, err := binary.Decode(b[1:], binary.LittleEndian, &state); err != nil || n != len(b)-1 {
		return fmt.Errorf("reading the state of a series: it has %d bytes, not %d", len(b), 1+binary.Size(&state))
	}
	if state.Records < 0 {
		return fmt.Errorf("reading the state of a series: it has %d records", state.Records)
	}
	s.state = state
	return nil
}
