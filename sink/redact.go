package sink

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// fate is what becomes of a field before storage.
type fate uint8

const (
	fateKeep fate = iota
	fateDrop
	fateHash
)

// redaction is clickhouse.redact, read.
type redaction struct {
	columns [eventTexts]fate
	numbers [eventNumbers]bool // dropped
	extra   map[string]fate    // fields of an event that are not ours, by name
	hashes  bool               // a key is needed
}

// newRedaction reads the list of clickhouse.redact. A name that is no column is
// that of an unknown field, which lies in the column extra. client_ip means subject
// too: where the one may not be stored, the other would give it away.
func newRedaction(list []string) (*redaction, error) {
	r := &redaction{extra: map[string]fate{}}
	var errs []error
	for _, entry := range list {
		name, hashed := strings.CutPrefix(entry, "hash:")
		f := fateDrop
		if hashed {
			f, r.hashes = fateHash, true
		}
		switch {
		case name == "":
			errs = append(errs, fmt.Errorf("clickhouse.redact holds %q: name a field", entry))
		case name == "timestamp" || name == "status" || name == "blocked" || name == "method" || name == "endpoint":
			errs = append(errs, fmt.Errorf("clickhouse.redact holds %q: rows are of no use without it", entry))
		case textNamed(name) >= 0:
			r.columns[textNamed(name)] = f
		case numberNamed(name) >= 0 && hashed:
			errs = append(errs, fmt.Errorf("clickhouse.redact holds %q: a number can be dropped, not hashed", entry))
		case numberNamed(name) >= 0:
			r.numbers[numberNamed(name)] = true
		default:
			r.extra[name] = f
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if r.columns[textSubject] == fateKeep {
		r.columns[textSubject] = r.columns[textClientIP]
	}
	return r, nil
}

// keyedHash writes a value that cannot be guessed without the key, and which is the
// same for the same value wherever it stands: HMAC-SHA-256, its first 16 bytes in
// hexadecimal. For one goroutine.
type keyedHash struct {
	mac hash.Hash
	sum []byte
}

func newKeyedHash(key []byte) *keyedHash {
	return &keyedHash{mac: hmac.New(sha256.New, key)}
}

// append appends the hash of value to dst; nothing for an empty value, so that what
// is absent stays absent.
func (k *keyedHash) append(dst, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	k.mac.Reset()
	k.mac.Write(value)
	k.sum = k.mac.Sum(k.sum[:0])
	return hex.AppendEncode(dst, k.sum[:16])
}
