package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// reviseNative writes blocks in the Native format, which the engine gives at
// revision 0, at the revision that the client understands.
func reviseNative(blocks []byte, revision uint64) ([]byte, error) {
	if revision == 0 || len(blocks) == 0 {
		return blocks, nil
	}
	reader := chproto.NewReader(bytes.NewReader(blocks))
	var out chproto.Buffer
	for {
		block := proto.Block{ServerContext: &column.ServerContext{}}
		err := block.Decode(reader, 0)
		if errors.Is(err, io.EOF) {
			return out.Buf, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading a block of the engine: %w", err)
		}
		if err := block.Encode(&out, revision); err != nil {
			return nil, fmt.Errorf("writing a block at revision %d: %w", revision, err)
		}
	}
}
