package sink

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/zap"
)

// insertTimeout is how long one attempt of a statement may take: longer than any
// insert does, short enough to notice a server that hangs.
const insertTimeout = 2 * time.Minute

// ClickHouse stores events, verdicts and manual changes. Its methods may be called by several
// goroutines; one writer for each table is what ClickHouse likes best.
type ClickHouse struct {
	cfg     ClickHouseConfig
	conn    driver.Conn
	log     *zap.Logger
	metrics *Metrics
	redact  *redaction
	key     []byte // of hashes; nil where nothing is hashed
	where   string
	said    Seldom
}

// OpenClickHouse connects to a server, waiting with backoff while none can be
// reached (and saying for what), makes the database where it is missing and brings
// its tables up to date. It ends early when ctx does, and with a PermanentError
// where waiting cannot help: a wrong password, a certificate that does not fit, a
// server that is too old.
func OpenClickHouse(ctx context.Context, c ClickHouseConfig, log *zap.Logger, m *Metrics) (*ClickHouse, error) {
	ch, err := newClickHouse(c, log, m)
	if err != nil {
		return nil, err
	}
	if err := ch.prepare(ctx); err != nil {
		ch.Close()
		return nil, err
	}
	return ch, nil
}

func newClickHouse(c ClickHouseConfig, log *zap.Logger, m *Metrics) (*ClickHouse, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	redact, err := newRedaction(c.Redact)
	if err != nil {
		return nil, err
	}
	opts, err := c.Opts()
	if err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return nil, &PermanentError{Doing: "setting up the clickhouse client", Err: err}
	}
	return &ClickHouse{
		cfg: c, conn: conn, log: log, metrics: m, redact: redact,
		where: "clickhouse at " + strings.Join(c.Addresses, ","),
	}, nil
}

func (ch *ClickHouse) prepare(ctx context.Context) error {
	if err := ch.retry(ctx, "connecting to "+ch.where, ch.conn.Ping); err != nil {
		return err
	}
	if err := ch.retry(ctx, "making the tables in "+ch.where, ch.Migrate); err != nil {
		return err
	}
	if !ch.redact.hashes {
		return nil
	}
	return ch.retry(ctx, "reading the key of hashed fields", func(ctx context.Context) (err error) {
		ch.key, err = ch.redactKey(ctx)
		return err
	})
}

// Close closes the connections. It may be called again.
func (ch *ClickHouse) Close() error {
	if err := ch.conn.Close(); err != nil {
		return fmt.Errorf("closing the connection to %s: %w", ch.where, err)
	}
	return nil
}

// NewEventBatch makes an empty batch for InsertEvents, which drops and hashes fields
// as clickhouse.redact says.
func (ch *ClickHouse) NewEventBatch() *EventBatch {
	b := &EventBatch{redact: ch.redact}
	if ch.redact.hashes {
		b.hash = newKeyedHash(ch.key)
	}
	return b
}

// retry does something until it is done, with backoff, as long as its error is one
// that passes. It gives a PermanentError for a hopeless one, the error itself for
// bad values, and ctx's where that ends.
func (ch *ClickHouse) retry(ctx context.Context, doing string, do func(context.Context) error) error {
	for n := 0; ; n++ {
		attempt, cancel := context.WithTimeout(ctx, insertTimeout)
		err := do(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if interrupted(ctx) {
			return fmt.Errorf("%s: %w (the last attempt: %w)", doing, context.Cause(ctx), err)
		}
		switch kind, hint := judge(err); kind {
		case hopeless:
			return &PermanentError{Doing: doing, Err: err, Do: hint}
		case badValues:
			return err
		}
		ch.metrics.Retries.WithLabelValues("clickhouse").Inc()
		if ch.said.Due() {
			ch.log.Warn("clickhouse does not do what it is asked for, trying again", zap.String("doing", doing), zap.Int("attempt", n+1), zap.Error(err))
		}
		if err := wait(ctx, retryBackoff(n)); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
}
