package sink

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
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

	prepared bool // the configuration has been seen to fit the server
	events   table
	verdicts table
	controls table
}

// OpenClickHouse connects to a server, waiting with backoff while none can be
// reached or it refuses to write (and saying for what), makes the database where it
// is missing and brings its tables up to date. It ends early when ctx does, and with a
// PermanentError where the configuration does not fit the server: a wrong password, a
// certificate that is not trusted, a server that is too old.
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
		where:    "clickhouse at " + strings.Join(c.Addresses, ","),
		events:   table{name: schemas.EventsTable, columns: eventColumns()},
		verdicts: table{name: schemas.VerdictsTable, columns: verdictColumns()},
		controls: table{name: schemas.ControlsTable, columns: controlColumns()},
	}, nil
}

func (ch *ClickHouse) prepare(ctx context.Context) error {
	if err := ch.retry(ctx, "connecting to "+ch.where, ch.conn.Ping); err != nil {
		return err
	}
	if err := ch.retry(ctx, "making the tables in "+ch.where, ch.Migrate); err != nil {
		return err
	}
	if ch.redact.hashes {
		if err := ch.readHashKey(ctx); err != nil {
			return err
		}
	}
	ch.prepared = true
	return nil
}

func (ch *ClickHouse) readHashKey(ctx context.Context) error {
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

// retry does something until it is done; each attempt has insertTimeout. See persist.
func (ch *ClickHouse) retry(ctx context.Context, doing string, do func(context.Context) error) error {
	return ch.persist(ctx, doing, func(ctx context.Context) error {
		attempt, cancel := context.WithTimeout(ctx, insertTimeout)
		defer cancel()
		return do(attempt)
	})
}

// persist does something until it is done, with backoff, whatever a person or time
// can put right: meanwhile the log, the metrics and Metrics.Waiting say what is
// refused. It gives the error itself for bad values, ctx's where that ends, and a
// PermanentError where configuration and server do not fit, but only at start: a
// server that has fitted is believed to fit again, and what waits in Kafka is safe.
func (ch *ClickHouse) persist(ctx context.Context, doing string, do func(context.Context) error) error {
	defer ch.metrics.Waiting.over(doing)
	for n := 0; ; n++ {
		err := do(ctx)
		if err == nil {
			return nil
		}
		if interrupted(ctx) {
			return fmt.Errorf("%s: %w (the last attempt: %w)", doing, context.Cause(ctx), err)
		}
		r := judge(err)
		switch {
		case IsPermanent(err):
			return err
		case r.kind == badValues && ch.prepared:
			return err
		case (r.kind == misfit || r.kind == badValues) && !ch.prepared:
			return &PermanentError{Doing: doing, Err: err, Do: r.do}
		case r.kind == missing:
			if made := ch.makeAnew(ctx); made == nil {
				ch.log.Warn("the tables in clickhouse were missing and are made again", zap.String("doing", doing), zap.Error(err))
			} else if m := judge(made); m.kind != passing {
				r, err = m, made
			}
		}
		ch.metrics.Retries.WithLabelValues("clickhouse").Inc()
		ch.metrics.Refusals.WithLabelValues(r.cause).Inc()
		ch.metrics.Waiting.note(doing, err, r.do)
		if ch.said.Due() {
			ch.say(r, doing, n+1, err)
		}
		if err := wait(ctx, retryBackoff(n)); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
}

func (ch *ClickHouse) say(r refusal, doing string, attempt int, err error) {
	fields := []zap.Field{zap.String("doing", doing), zap.String("cause", r.cause), zap.Int("attempt", attempt), zap.Error(err)}
	if r.kind == passing {
		ch.log.Warn("clickhouse does not do what it is asked for, trying again", fields...)
		return
	}
	ch.log.Error("clickhouse refuses until somebody puts it right: trying again, and nothing is lost meanwhile", append(fields, zap.String("do", r.do))...)
}

// makeAnew makes tables that are gone, within one attempt's time.
func (ch *ClickHouse) makeAnew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	return ch.Migrate(ctx)
}
