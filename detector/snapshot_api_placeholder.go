package detector

import (
	"encoding/json"
	"errors"

	"github.com/apiwarden/apiwarden/schemas"
)

// ErrSnapshotVersion is the error of a snapshot that another release wrote.
var ErrSnapshotVersion = errors.New("the snapshot has another version")

// SnapshotHeader is what the first bytes of an encoded copy say.
type SnapshotHeader struct {
	Next          int64
	Newest        int64
	Started       bool
	Shard, Shards int
	Seed          [2]uint64
	Number        uint64
	Base          uint64
	Program       string
}

// ShardCopy is a placeholder: a copy that contains nothing, and says so.
type ShardCopy struct{ header SnapshotHeader }

// Shards is how many shards the engine has.
func (e *Engine) Shards() int { return len(e.shards) }

// Copy copies a shard.
func (e *Engine) Copy(shard int, _ int64, _ bool, c *ShardCopy) {
	c.header = SnapshotHeader{Shard: shard, Shards: len(e.shards), Seed: e.opts.Seed, Program: e.program.Hash()}
}

// Append encodes the copy.
func (c *ShardCopy) Append(dst []byte) []byte {
	b, _ := json.Marshal(c.header)
	return append(dst, b...)
}

// ReadSnapshotHeader reads the header of an encoded copy.
func ReadSnapshotHeader(b []byte) (SnapshotHeader, error) {
	var h SnapshotHeader
	return h, json.Unmarshal(b, &h)
}

// Restore puts a shard back.
func (e *Engine) Restore(whole, _ []byte) error {
	_, err := ReadSnapshotHeader(whole)
	return err
}

// Begin ends restoring.
func (e *Engine) Begin(int64) {}

// Adopt changes the rules.
func (e *Engine) Adopt(p *Program) { *e = *NewEngine(p, e.opts) }

// Control applies a manual change.
func (e *Engine) Control(int64, schemas.Control) {}

// Bound sets the bounds.
func (e *Engine) Bound(int64, int) {}

// Shown gives what the ban topic should hold.
func (e *Engine) Shown() []schemas.Ban { return nil }
