package detector

// Rules that group by endpoint tell so many names apart in each shard; further ones
// count as one. A name stands in the shard's table like a record: of a bundle of its
// own, without cells, and dropped like others once nothing has used it for long.
const nameBundle = 1<<16 - 1

// nameKey is the key of an endpoint's name.
func (e *Engine) nameKey(name []byte) key {
	e.hashBuf = append(append(e.hashBuf[:0], "endpoint\x00"...), name...)
	return e.digest(e.hashBuf)
}

// foldedName is what stands for the names beyond those that a shard tells apart. No
// endpoint key is a single character.
var foldedName = []byte("*")

// named says whether a shard tells an endpoint apart. Only a new record asks, so that
// the usual event pays nothing.
func (e *Engine) named(s *shard, name []byte) bool {
	if e.opts.MaxEndpoints == 0 {
		return true
	}
	k := e.nameKey(name)
	h := e.seed.hash(k) ^ nameBundle
	if slot := s.find(e.arena, k, nameBundle, h); slot >= 0 {
		rec := record(e.arena.at(s.ref(slot)))
		if s.copy != nil {
			e.copyBefore(s, rec)
		}
		rec.touch(e.clock.newest, s.cycle)
		return true
	}
	if s.names >= e.opts.MaxEndpoints {
		return false
	}
	s.names++
	r := newRecord(e.arena, k, nameBundle, 0, e.clock.newest, 0)
	record(e.arena.at(r)).touch(e.clock.newest, s.cycle)
	s.insert(e.arena, h, r)
	return true
}
