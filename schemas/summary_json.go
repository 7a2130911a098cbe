package schemas

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/tidwall/gjson"
)

// Bounds on what a summary is taken for that somebody else may have written.
const (
	maxSummaryText   = 64 << 10
	maxMarkPartition = 1 << 20
)

// AppendSummary appends s as JSON, the value of a record of the topic endpoint_stats:
// byte for byte what encoding/json makes of it without HTML escapes.
func AppendSummary(dst []byte, s *Summary) []byte {
	dst = appendInt(append(dst, `{"version":`...), int64(s.Version))
	dst = appendString(append(dst, `,"view":`...), s.View)
	dst = appendString(append(dst, `,"endpoint":`...), s.Endpoint)
	if s.Pooled {
		dst = append(dst, `,"pooled":true`...)
	}
	dst = appendString(append(dst, `,"topic":`...), s.Topic)
	dst = appendInt(append(dst, `,"partition":`...), int64(s.Partition))
	dst = appendInt(append(dst, `,"start":`...), s.Start)
	dst = appendInt(append(dst, `,"requests":`...), s.Requests)
	dst = appendList(append(dst, `,"classes":`...), s.Classes[:], appendInt)
	dst = appendInt(append(dst, `,"bytes":`...), s.Bytes)
	if s.LatencyUS != 0 {
		dst = appendInt(append(dst, `,"latency_us":`...), s.LatencyUS)
	}
	if len(s.Latency) > 0 {
		dst = appendList(append(dst, `,"latency":`...), s.Latency, appendBinCount)
	}
	if len(s.Evidence) > 0 {
		dst = appendList(append(dst, `,"evidence":`...), s.Evidence, appendLatencyEvidence)
	}
	if len(s.Clients) > 0 {
		dst = appendList(append(dst, `,"clients":`...), s.Clients, func(dst []byte, c uint32) []byte { return appendInt(dst, int64(c)) })
	}
	if s.Sizes != nil {
		dst = appendSizes(append(dst, `,"sizes":`...), s.Sizes)
	}
	if s.Peers != nil {
		dst = appendPeers(append(dst, `,"peers":`...), s.Peers)
	}
	return append(dst, '}')
}

// AppendSummaryMark appends m as JSON, the value of a record of the topic endpoint_stats
// that has no key.
func AppendSummaryMark(dst []byte, m *SummaryMark) []byte {
	dst = appendInt(append(dst, `{"version":`...), int64(m.Version))
	dst = appendString(append(dst, `,"topic":`...), m.Topic)
	dst = appendInt(append(dst, `,"partition":`...), int64(m.Partition))
	dst = appendInt(append(dst, `,"partitions":`...), int64(m.Partitions))
	dst = appendInt(append(dst, `,"closed":`...), m.Closed)
	if len(m.Traffic) > 0 {
		dst = appendList(append(dst, `,"traffic":`...), m.Traffic, appendTraffic)
	}
	return append(dst, '}')
}

func appendList[T any](dst []byte, list []T, add func([]byte, T) []byte) []byte {
	dst = append(dst, '[')
	for i, x := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = add(dst, x)
	}
	return append(dst, ']')
}

func appendBinCount(dst []byte, b BinCount) []byte {
	dst = appendInt(append(dst, '['), int64(b.Bin))
	return append(appendInt(append(dst, ','), b.Count), ']')
}

func appendLatencyEvidence(dst []byte, e LatencyEvidence) []byte {
	dst = appendInt(append(dst, '['), e.Time)
	dst = appendFloat(append(dst, ','), e.Latency)
	return append(appendInt(append(dst, ','), int64(e.Hash)), ']')
}

func appendTraffic(dst []byte, t BucketTraffic) []byte {
	dst = appendInt(append(dst, `{"start":`...), t.Start)
	return append(appendInt(append(dst, `,"requests":`...), t.Requests), '}')
}

// DecodeSummary reads the value of a record of the topic endpoint_stats into s, whose
// slices it uses again. What it takes can be merged: an error says what cannot. A
// summary of another version is none: s has only its Version then.
func DecodeSummary(b []byte, s *Summary) error {
	*s = Summary{Latency: s.Latency[:0], Evidence: s.Evidence[:0], Clients: s.Clients[:0]}
	if !gjson.ValidBytes(b) {
		return errors.New("decoding summary: it is no JSON")
	}
	top := gjson.ParseBytes(b)
	if s.Version = int(top.Get("version").Int()); s.Version != SummaryVersion {
		return nil
	}
	var bad error
	top.ForEach(func(key, value gjson.Result) bool {
		bad = s.field(key.Str, value)
		return bad == nil
	})
	if bad == nil {
		bad = s.check()
	}
	if bad != nil {
		return fmt.Errorf("decoding summary: %w", bad)
	}
	return nil
}

// field takes one field of the JSON object.
func (s *Summary) field(name string, v gjson.Result) (err error) {
	switch name {
	case "view":
		s.View = v.Str
	case "endpoint":
		s.Endpoint = v.Str
	case "pooled":
		s.Pooled = v.Bool()
	case "topic":
		s.Topic = v.Str
	case "partition":
		s.Partition = int32(v.Int())
	case "start":
		s.Start = v.Int()
	case "requests":
		s.Requests = v.Int()
	case "bytes":
		s.Bytes = v.Int()
	case "latency_us":
		s.LatencyUS = v.Int()
	case "classes":
		n := 0
		err = eachNumber(v.Raw, func(text string) error {
			if n == len(s.Classes) {
				return errors.New("it has more than five classes of statuses")
			}
			s.Classes[n], err = strconv.ParseInt(text, 10, 64)
			n++
			return err
		})
	case "clients":
		err = eachNumber(v.Raw, func(text string) error {
			hash, err := strconv.ParseUint(text, 10, 32)
			s.Clients = append(s.Clients, uint32(hash))
			return err
		})
	case "latency":
		s.Latency, err = readBins(v.Raw, s.Latency)
	case "sizes":
		s.Sizes = &Sizes{}
		v.ForEach(func(key, of gjson.Result) bool {
			err = s.Sizes.field(key.Str, of)
			return err == nil
		})
	case "peers":
		s.Peers = &Peers{}
		v.ForEach(func(key, list gjson.Result) bool {
			err = s.Peers.field(key.Str, list)
			return err == nil
		})
	case "evidence":
		var triple [3]string
		err = eachTuple(v.Raw, triple[:], func() error {
			at, err := strconv.ParseInt(triple[0], 10, 64)
			ms, err2 := strconv.ParseFloat(triple[1], 64)
			hash, err3 := strconv.ParseUint(triple[2], 10, 32)
			s.Evidence = append(s.Evidence, LatencyEvidence{Time: at, Latency: ms, Hash: uint32(hash)})
			return errors.Join(err, err2, err3)
		})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// eachNumber calls f with the text of each number of a flat JSON list.
func eachNumber(list string, f func(text string) error) error {
	for from, i := -1, 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E' || c >= '0' && c <= '9':
			if from < 0 {
				from = i
			}
		case c == ',' || c == ']' || c == ' ' || c == '\n' || c == '\t' || c == '\r':
			if from >= 0 {
				if err := f(list[from:i]); err != nil {
					return err
				}
				from = -1
			}
		case c == '[' && i == 0:
		default:
			return errors.New("it is no list of numbers")
		}
	}
	return nil
}

// eachTuple calls f for each list of so many numbers in a JSON list, with their texts in
// tuple.
func eachTuple(list string, tuple []string, f func() error) error {
	var bad error
	gjson.Parse(list).ForEach(func(_, v gjson.Result) bool {
		n := 0
		bad = eachNumber(v.Raw, func(text string) error {
			if n < len(tuple) {
				tuple[n] = text
			}
			n++
			return nil
		})
		if bad == nil && n != len(tuple) {
			bad = fmt.Errorf("it has %d numbers, want %d", n, len(tuple))
		}
		if bad == nil {
			bad = f()
		}
		return bad == nil
	})
	return bad
}

// check says what cannot be merged.
func (s *Summary) check() error {
	classes := int64(0)
	for _, n := range s.Classes {
		if n < 0 || n > s.Requests {
			return errors.New("its classes of statuses are not parts of its requests")
		}
		classes += n
	}
	timed, err := checkBins(s.Latency, s.Requests)
	if err != nil {
		return fmt.Errorf("its latencies: %w", err)
	}
	for i, e := range s.Evidence {
		if e.Time < s.Start*1e6 || e.Time >= (s.Start+SummarySeconds)*1e6 || !(e.Latency >= 0) || i > 0 && e.Time < s.Evidence[i-1].Time {
			return errors.New("its evidence is out of order, or of another time")
		}
	}
	for i := 1; i < len(s.Clients); i++ {
		if s.Clients[i] <= s.Clients[i-1] {
			return errors.New("its clients are out of order")
		}
	}
	if s.Sizes != nil {
		if err := s.Sizes.check(s.Start, s.Requests); err != nil {
			return err
		}
	}
	if s.Peers != nil {
		if err := s.Peers.check(); err != nil {
			return err
		}
	}
	switch {
	case s.View == "" || s.Endpoint == "" || len(s.View)+len(s.Endpoint)+len(s.Topic) > maxSummaryText:
		return errors.New("it names no view or no endpoint")
	case s.Start%SummarySeconds != 0 || s.Start < 0 || s.Start > 1<<40:
		return fmt.Errorf("%d is no beginning of a bucket", s.Start)
	case s.Partition < 0 || s.Requests < 0 || s.Requests == 0 && s.Peers == nil || s.Requests > 1<<53 || classes > s.Requests || timed > s.Requests || s.Bytes < 0 || s.LatencyUS < 0:
		return errors.New("its counts do not fit together")
	case len(s.Clients) > SummaryClients || len(s.Evidence) > SummaryEvidence*SummarySeconds:
		return errors.New("it has more clients, or more evidence, than a summary may have")
	}
	return nil
}

// DecodeSummaryMark reads the value of a record without a key into m, as DecodeSummary
// does.
func DecodeSummaryMark(b []byte, m *SummaryMark) error {
	*m = SummaryMark{Traffic: m.Traffic[:0]}
	if !gjson.ValidBytes(b) {
		return errors.New("decoding the mark of a summary: it is no JSON")
	}
	top := gjson.ParseBytes(b)
	if m.Version = int(top.Get("version").Int()); m.Version != SummaryVersion {
		return nil
	}
	partition, partitions := top.Get("partition").Int(), top.Get("partitions").Int()
	m.Topic, m.Closed = top.Get("topic").Str, top.Get("closed").Int()
	if partition < 0 || partition > maxMarkPartition || partitions < 1 || partitions > maxMarkPartition || m.Closed%SummarySeconds != 0 || m.Closed < 0 || m.Closed > 1<<40 {
		return fmt.Errorf("decoding the mark of a summary: there is no partition %d of %d that is closed until %d", partition, partitions, m.Closed)
	}
	m.Partition, m.Partitions = int32(partition), int(partitions)
	bad := false
	top.Get("traffic").ForEach(func(_, v gjson.Result) bool {
		t := BucketTraffic{Start: v.Get("start").Int(), Requests: v.Get("requests").Int()}
		bad = t.Start%SummarySeconds != 0 || t.Start < 0 || t.Start >= m.Closed || t.Requests < 1
		m.Traffic = append(m.Traffic, t)
		return !bad
	})
	if bad {
		return errors.New("decoding the mark of a summary: it tells of traffic in a bucket that is none, or is not closed")
	}
	return nil
}
