package sink

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/pressly/goose/v3"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
)

// Migrate makes the database where it is missing, brings its tables up to date, and
// sets how long they keep their rows. Tables that somebody has dropped are made again,
// empty. Several processes may do it at once: each statement may run twice. A database
// that a later version has changed is left as it is.
func (ch *ClickHouse) Migrate(ctx context.Context) error {
	return ch.migrateTo(ctx, 0)
}

// migrateTo stops at a version; 0 is the latest.
func (ch *ClickHouse) migrateTo(ctx context.Context, version int64) error {
	schema := ch.cfg.Schema()
	if err := ch.conn.Exec(ctx, schema.CreateDatabase()); err != nil {
		return fmt.Errorf("making database %s: %w", ch.cfg.Database, err)
	}
	opts, err := ch.cfg.Opts()
	if err != nil {
		return err
	}
	db := clickhouse.OpenDB(opts)
	defer db.Close()
	files, err := schemas.Migrations(schema)
	if err != nil {
		return err
	}
	goosed, err := goose.NewProvider("", db, files,
		goose.WithStore(versions{schema}), goose.WithAllowOutofOrder(true), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	var done []*goose.MigrationResult
	if version == 0 {
		done, err = goosed.Up(ctx)
	} else {
		done, err = goosed.UpTo(ctx, version)
	}
	for _, m := range done {
		ch.log.Info("migrated the clickhouse schema", zap.String("migration", m.Source.Path), zap.Duration("took", m.Duration))
	}
	if err != nil {
		return fmt.Errorf("migrating database %s: %w", ch.cfg.Database, err)
	}
	if version != 0 {
		return nil
	}
	if err := ch.restore(ctx, db, schema, files); err != nil {
		return err
	}
	for _, table := range []string{schemas.EventsTable, schemas.VerdictsTable, schemas.ControlsTable} {
		if err := ch.keep(ctx, db, schema, table); err != nil {
			return err
		}
	}
	return nil
}

// restore makes tables that were dropped, of which the versions say that they are
// there. Of a statement whose table is still there nothing is changed.
func (ch *ClickHouse) restore(ctx context.Context, db *sql.DB, schema schemas.SQLOptions, files fs.FS) error {
	var there uint64
	err := db.QueryRowContext(ctx, fmt.Sprintf("SELECT count() FROM system.tables WHERE database = '%s' AND name IN ('%s', '%s', '%s')",
		schema.Database, schemas.EventsTable, schemas.VerdictsTable, schemas.ControlsTable)).Scan(&there)
	if err != nil {
		return fmt.Errorf("looking for the tables of %s: %w", schema.Database, err)
	}
	if there == 3 {
		return nil
	}
	again, err := goose.NewProvider("", db, files,
		goose.WithStore(versions{schema}), goose.WithDisableVersioning(true), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	if _, err := again.Up(ctx); err != nil {
		return fmt.Errorf("making the missing tables of %s: %w", schema.Database, err)
	}
	ch.log.Warn("tables were missing and are made again, empty", zap.String("database", schema.Database))
	return nil
}

// The TTL of a table as system.tables prints it.
var ttlClause = regexp.MustCompile(` TTL (.*?)(?: SETTINGS |$)`)

// keep sets a table's TTL where it is not what the configuration says.
func (ch *ClickHouse) keep(ctx context.Context, db *sql.DB, schema schemas.SQLOptions, table string) error {
	var engine string
	err := db.QueryRowContext(ctx, fmt.Sprintf("SELECT engine_full FROM system.tables WHERE database = '%s' AND name = '%s'", schema.Database, table)).Scan(&engine)
	if err != nil {
		return fmt.Errorf("reading the TTL of %s.%s: %w", schema.Database, table, err)
	}
	have, want := "", schema.TTL(table)
	if m := ttlClause.FindStringSubmatch(engine); m != nil {
		have = strings.TrimSpace(m[1])
	}
	if have == want {
		return nil
	}
	change := " MODIFY TTL " + want
	if want == "" {
		change = " REMOVE TTL"
	}
	if _, err := db.ExecContext(ctx, "ALTER TABLE "+schema.Database+"."+table+schema.OnCluster()+change); err != nil {
		return fmt.Errorf("setting the TTL of %s.%s: %w", schema.Database, table, err)
	}
	ch.log.Info("changed how long rows are kept", zap.String("table", table), zap.String("before", have), zap.String("now", want))
	return nil
}
