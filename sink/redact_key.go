package sink

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"
)

// redactKey is the key of hashed fields: that of clickhouse.redact_key_file, else a
// random one that the first process puts into the database. Whoever can read the
// database can then try values out; a file keeps the key away from it.
func (ch *ClickHouse) redactKey(ctx context.Context) ([]byte, error) {
	if file := ch.cfg.RedactKeyFile; file != "" {
		key, err := os.ReadFile(file)
		if err == nil && len(bytes.TrimSpace(key)) < 16 {
			err = errors.New("it holds fewer than 16 bytes: write a long random text to it")
		}
		if err != nil {
			return nil, &PermanentError{Doing: "reading clickhouse.redact_key_file", Err: err}
		}
		return bytes.TrimSpace(key), nil
	}
	schema := ch.cfg.Schema()
	table := schema.Database + ".redact_keys"
	err := ch.conn.Exec(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s%s (created_at DateTime64(6, 'UTC') DEFAULT now64(6), key String) ENGINE = %s ORDER BY (created_at, key)",
		table, schema.OnCluster(), schema.Engine("redact_keys")))
	if err != nil {
		return nil, fmt.Errorf("making table %s: %w", table, err)
	}
	// Of processes that start at once each may find no key and write one. The oldest
	// counts, once it is so old that no older one can still appear.
	const settled = 2 * time.Second
	for {
		var n uint64
		var oldest string
		var age float64
		err := ch.conn.QueryRow(ctx, "SELECT count(), argMin(key, (created_at, key)), toFloat64(now64(6)) - toFloat64(min(created_at)) FROM "+table).Scan(&n, &oldest, &age)
		if err != nil {
			return nil, fmt.Errorf("reading the key of hashed fields: %w", err)
		}
		if n > 0 && age >= settled.Seconds() {
			return hex.DecodeString(oldest)
		}
		if n == 0 {
			var key [32]byte
			rand.Read(key[:])
			if err := ch.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s (key) SELECT '%x'", table, key)); err != nil {
				return nil, fmt.Errorf("writing the key of hashed fields: %w", err)
			}
		}
		if err := wait(ctx, settled/4); err != nil {
			return nil, err
		}
	}
}
