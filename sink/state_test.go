package sink

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// stateTopic is a cluster with a state topic, which has as many partitions as asked.
func stateTopic(t *testing.T, partitions int32, more ...string) *fakeKafka {
	t.Helper()
	f := newFakeKafka(t)
	configs := settings(append(more, "cleanup.policy", "compact")...)
	if _, err := kadm.NewClient(f.connect(t)).CreateTopic(t.Context(), partitions, 1, configs, "state"); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fakeKafka) stateWriter(t *testing.T, group string) *StateWriter {
	t.Helper()
	w, err := NewStateWriter(f.connect(t, StateOpts()...), "state", group, "logs", quiet())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (f *fakeKafka) stored(t *testing.T, group string, partitions ...int32) map[int32]*StoredState {
	t.Helper()
	got, err := ReadState(t.Context(), f.connect(t, StateReadOpts()...), "state", group, "logs", partitions)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (w *StateWriter) must(t *testing.T, partition int32, piece StatePiece, parts int) WrittenPiece {
	t.Helper()
	at, err := w.Write(t.Context(), partition, piece, parts)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestStateIsReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := stateTopic(t, 3)
		w := f.stateWriter(t, "g")
		large, larger := noise(2_000_000), noise(3_000_000)
		w.must(t, 1, StatePiece{StateSlot: StateSlot{0, 0}, Next: 5, Data: larger}, 0)
		at := w.must(t, 1, StatePiece{StateSlot: StateSlot{0, 0}, Next: 7, Entry: 3, Log: [16]byte{1}, Data: large}, 4)
		if at.Parts != 3 || at.First != 4 || at.Bytes < len(large) {
			t.Errorf("written as %+v, want 3 parts from offset 4 on", at)
		}
		w.must(t, 1, StatePiece{StateSlot: StateSlot{JournalShard, 2}, Data: []byte("journal")}, 0)
		w.must(t, 2, StatePiece{StateSlot: StateSlot{0, 0}, Data: []byte("of partition 2")}, 0)
		f.stateWriter(t, "other").must(t, 1, StatePiece{StateSlot: StateSlot{0, 0}, Data: []byte("of another group")}, 0)

		got := f.stored(t, "g", 0, 1)
		if len(got) != 2 || len(got[0].Pieces) != 0 || len(got[1].Pieces) != 2 {
			t.Fatalf("read %+v", got)
		}
		if p := got[1].Pieces[1]; p.ID != at.ID || p.Next != 7 || p.Entry != 3 || p.Log != [16]byte{1} || p.First != at.First || p.Parts != 3 {
			t.Errorf("read %+v", p)
		} else if data, err := p.Unpack(nil); err != nil || !bytes.Equal(data, large) {
			t.Errorf("unpacked %d bytes: %v", len(data), err)
		}
		if data, err := got[1].Pieces[0].Unpack(nil); err != nil || string(data) != "journal" {
			t.Errorf("the journal is %q: %v", data, err)
		}
	})
}

// TestStateReadsOnlyWhatIsNeeded: what is needed lies in the last two rounds.
func TestStateReadsOnlyWhatIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards, rounds = 50, 40
		f := stateTopic(t, 1)
		w, other := f.stateWriter(t, "g"), f.stateWriter(t, "other")
		var first [shards]int64
		for round := range rounds {
			for shard := range shards {
				from := first[0]
				for _, at := range first {
					from = min(from, at)
				}
				at := w.must(t, 0, StatePiece{StateSlot: StateSlot{shard, round % 2}, From: from, Next: int64(round), Data: fmt.Append(nil, round, shard)}, 1)
				first[shard] = at.First
			}
		}
		check := func(most int) {
			t.Helper()
			got := f.stored(t, "g", 0)[0]
			seen := make(map[int]int64)
			for _, p := range got.Pieces {
				seen[p.Shard] = max(seen[p.Shard], p.Next)
			}
			for shard := range shards {
				if seen[shard] != rounds-1 {
					t.Fatalf("of shard %d the newest piece is %d, want %d", shard, seen[shard], rounds-1)
				}
			}
			if got.Records > most {
				t.Errorf("%d records were read, want no more than %d of %d", got.Records, most, shards*rounds)
			}
		}
		check(stateTail + 3*shards)
		for i := range 500 { // the end of the partition is somebody else's
			other.must(t, 0, StatePiece{StateSlot: StateSlot{i % 4, 0}, From: int64(shards * rounds)}, 1)
		}
		check(2 * shards * rounds)
	})
}

func TestStateTopicTakesOnlySmallRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := stateTopic(t, 1, "max.message.bytes", "100000")
		w := f.stateWriter(t, "g")
		data := noise(300_000)
		if at := w.must(t, 0, StatePiece{Data: data}, 0); at.Parts < 4 {
			t.Errorf("written in %d parts", at.Parts)
		}
		got := f.stored(t, "g", 0)[0]
		if len(got.Pieces) != 1 {
			t.Fatalf("%d pieces, want one", len(got.Pieces))
		}
		if back, err := got.Pieces[0].Unpack(nil); err != nil || !bytes.Equal(back, data) {
			t.Errorf("unpacked %d bytes: %v", len(back), err)
		}
	})
}

func TestStateTopicGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := stateTopic(t, 2)
		w := f.stateWriter(t, "g")
		w.must(t, 1, StatePiece{Data: []byte("old")}, 0) // the client knows of two partitions
		c := DefaultKafkaConfig()
		c.CreateTopics = false
		if err := EnsureStatePartitions(t.Context(), w.cl, c, "state", 4); !IsPermanent(err) {
			t.Errorf("without the right to add partitions: %v", err)
		}
		c.CreateTopics = true
		for range 2 {
			if err := EnsureStatePartitions(t.Context(), w.cl, c, "state", 4); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := w.Write(ctx, 3, StatePiece{Data: []byte("new")}, 0); err != nil {
			t.Fatal(err)
		}
		if got := f.stored(t, "g", 3)[3]; len(got.Pieces) != 1 {
			t.Errorf("%d pieces, want one", len(got.Pieces))
		}
	})
}

// TestStateWithoutItsLastRecord: compaction may take it.
func TestStateWithoutItsLastRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := stateTopic(t, 1, "delete.retention.ms", "0")
		w := f.stateWriter(t, "g")
		for range 3 {
			w.must(t, 0, StatePiece{Data: []byte("kept")}, 1)
		}
		tomb := &kgo.Record{Topic: "state", Key: []byte("somebody else's")}
		if err := w.cl.ProduceSync(t.Context(), tomb).FirstErr(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		f.Compact()
		if got := f.stored(t, "g", 0)[0]; len(got.Pieces) != 1 || got.Records != 1 {
			t.Errorf("%d pieces in %d records, want one", len(got.Pieces), got.Records)
		}
	})
}
