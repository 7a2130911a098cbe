package detector

import (
	"encoding/binary"
	"net/netip"

	"github.com/dchest/siphash"

	"github.com/apiwarden/apiwarden/schemas"
)

// subject is whom rules count for: an address or a network, or another field.
type subject struct {
	key   key
	field *Field // the rules' key; nil is the address
}

// addressKey is the key of an address: its 16 bytes.
func addressKey(a netip.Addr) key {
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// keyed gives the subject of rules with a key other than the address, if the event
// has the field.
func (e *Engine) keyed(field *Field, o *observed) (subject, bool) {
	v, ok := field.Value(o.Event, &e.scratch)
	if !ok || len(v) == 0 {
		return subject{}, false
	}
	return subject{key: e.fieldKey(field, v), field: field}, true
}

// fieldKey is the key of a subject that is the value of a field.
func (e *Engine) fieldKey(field *Field, value []byte) key {
	e.hashBuf = append(append(append(e.hashBuf[:0], field.String()...), 0), value...)
	return e.digest(e.hashBuf)
}

// name gives a subject's scope and text.
func (e *Engine) name(s subject, o *observed) (schemas.Scope, string) {
	if s.field != nil {
		v, _ := s.field.Value(o.Event, &e.scratch)
		return schemas.ScopeUser, string(v)
	}
	id := e.program.Identity()
	return id.Name(id.Mask(o.client))
}

// locate says where the record is looked for in which a bundle counts for a subject;
// hash is the subject's. All records of a subject are in one shard. The key is the
// subject's, or for a group a digest with the group and how often it was reset; t is the
// event's time.
func (e *Engine) locate(l *located, b *bundle, s key, hash uint64, ev *schemas.Event, ep *endpoint, t int64) {
	l.shard, l.folded = e.shardAt(hash), false
	if len(b.groupBy) == 0 {
		l.key, l.hash = s, b.hash(hash)
		return
	}
	l.key = e.groupKey(b, s, hash, ev, ep.key, t)
	l.hash = b.hash(e.seed.hash(l.key))
}

// hash makes the hash of a key that of a bundle's record with it.
func (b *bundle) hash(of uint64) uint64 { return of ^ uint64(b.index)*0x9e3779b97f4a7c15 }

// hashOf gives the hash under which a bundle's record of a key is in its table.
func (e *Engine) hashOf(k key, bundle int) uint64 {
	h := e.seed.hash(k)
	if bundle == nameBundle {
		return h ^ nameBundle
	}
	return e.program.bundles[bundle].hash(h)
}

// shardBits are the bits of a key, at its beginning, that can hold the index of a shard.
const shardBits = 8

// groupKey gives the key of a group's record. Its first byte is that of the subject's
// hash, so that the key tells the shard.
func (e *Engine) groupKey(b *bundle, s key, hash uint64, ev *schemas.Event, endpoint []byte, t int64) key {
	buf := binary.LittleEndian.AppendUint64(e.hashBuf[:0], s[0])
	buf = binary.LittleEndian.AppendUint64(buf, s[1])
	if b.reset != nil {
		buf = binary.LittleEndian.AppendUint32(buf, e.generation(s, b.reset, e.remembered(t)))
	}
	for _, field := range b.groupBy {
		v := fieldText(ev, field)
		if field == "endpoint" {
			v = endpoint
		}
		buf = append(binary.AppendUvarint(buf, uint64(len(v))), v...)
	}
	e.hashBuf = buf
	k := e.digest(buf)
	k[0] = k[0]<<shardBits>>shardBits | hash>>(64-shardBits)<<(64-shardBits)
	return k
}

func (e *Engine) digest(b []byte) key {
	lo, hi := siphash.Hash128(e.seed[0], e.seed[1], b)
	return key{lo, hi}
}

// fieldText gives the text of a field that rules can group by.
func fieldText(ev *schemas.Event, field string) []byte {
	switch field {
	case "service":
		return ev.Service
	case "host":
		return ev.Host
	case "user_id":
		return ev.UserID
	case "api_key_id":
		return ev.APIKeyID
	}
	return nil
}
