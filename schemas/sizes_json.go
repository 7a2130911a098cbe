package schemas

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/tidwall/gjson"
)

func appendSizes(dst []byte, s *Sizes) []byte {
	dst = append(dst, '{')
	first := true
	for k := range s {
		if len(s[k].Bins) == 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(dst, '"'), SizeKind(k).String()...), `":{"bins":`...)
		dst = appendList(dst, s[k].Bins, appendBinCount)
		dst = appendList(append(dst, `,"largest":`...), s[k].Largest, appendLargeEvent)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

func appendLargeEvent(dst []byte, e LargeEvent) []byte {
	dst = appendInt(append(dst, '['), e.Time)
	dst = appendInt(append(dst, ','), e.Size)
	return append(e.Client.AppendTo(append(dst, `,"`...)), `"]`...)
}

// field takes one kind of the JSON object; a kind that is not known is passed over.
func (s *Sizes) field(name string, v gjson.Result) error {
	for k := range s {
		if SizeKind(k).String() == name {
			if err := s[k].read(v); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func (c *SizeCounts) read(v gjson.Result) error {
	var err error
	c.Bins, err = readBins(v.Get("bins").Raw, c.Bins)
	v.Get("largest").ForEach(func(_, of gjson.Result) bool {
		parts := of.Array()
		if len(parts) != 3 || parts[2].Type != gjson.String {
			err = errors.Join(err, errors.New("its largest are no list of times, sizes and clients"))
			return false
		}
		at, err1 := strconv.ParseInt(parts[0].Raw, 10, 64)
		size, err2 := strconv.ParseInt(parts[1].Raw, 10, 64)
		client, err3 := netip.ParseAddr(parts[2].Str)
		err = errors.Join(err, err1, err2, err3)
		c.Largest = append(c.Largest, LargeEvent{Time: at, Size: size, Client: client})
		return err == nil
	})
	return err
}

// readBins appends a JSON list of bins to dst.
func readBins(list string, dst []BinCount) ([]BinCount, error) {
	var pair [2]string
	err := eachTuple(list, pair[:], func() error {
		bin, err := strconv.ParseUint(pair[0], 10, 8)
		count, err2 := strconv.ParseInt(pair[1], 10, 64)
		dst = append(dst, BinCount{Bin: uint8(bin), Count: count})
		return errors.Join(err, err2)
	})
	return dst, err
}

// check says what cannot be merged, of so many requests in a bucket that begins at start.
func (s *Sizes) check(start, requests int64) error {
	for k := range s {
		c := &s[k]
		counted, err := checkBins(c.Bins, requests)
		switch {
		case err != nil:
			return fmt.Errorf("its sizes: %w", err)
		case counted > requests || len(c.Largest) > SizeLargest || int64(len(c.Largest)) > counted || counted > 0 && len(c.Largest) == 0:
			return errors.New("its sizes do not fit to its requests")
		}
		for i, e := range c.Largest {
			if e.Time < start*1e6 || e.Time >= (start+SummarySeconds)*1e6 || e.Size < 0 || e.Client.Zone() != "" || i > 0 && e.Compare(c.Largest[i-1]) < 0 {
				return errors.New("its largest requests are out of order, or of another time")
			}
		}
		if counted > 0 && SizeBinOf(c.Largest[0].Size) != int(c.Bins[len(c.Bins)-1].Bin) {
			return errors.New("its largest request is not in the last bin of its sizes")
		}
	}
	return nil
}

// checkBins says whether bins are in order and hold no more than requests, and how many
// they hold.
func checkBins(bins []BinCount, requests int64) (counted int64, err error) {
	for i, b := range bins {
		if b.Bin >= LatencyBins || b.Count < 1 || b.Count > requests || i > 0 && b.Bin <= bins[i-1].Bin {
			return 0, errors.New("bins are out of order, or below 1")
		}
		counted += b.Count
	}
	return counted, nil
}
