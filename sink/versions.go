package sink

import (
	"context"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3/database"

	"github.com/apiwarden/apiwarden/schemas"
)

// versions is goose's table of applied migrations. ClickHouse has no locks and no
// unique keys, so two processes may note the same version: a version counts as
// applied where any row says so.
type versions struct{ schema schemas.SQLOptions }

var errNoWayBack = errors.New("migrations only go forward")

// Tablename implements database.Store.
func (v versions) Tablename() string { return v.schema.Database + ".schema_versions" }

// CreateVersionTable implements database.Store.
func (v versions) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	_, err := db.ExecContext(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s%s (version Int64, applied_at DateTime DEFAULT now()) ENGINE = %s ORDER BY version",
		v.Tablename(), v.schema.OnCluster(), v.schema.Engine("schema_versions")))
	return err
}

// Insert implements database.Store.
func (v versions) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	// A SELECT, because the driver takes INSERT ... VALUES for the start of a batch.
	_, err := db.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (version) SELECT %d", v.Tablename(), req.Version))
	return err
}

// Delete implements database.Store.
func (v versions) Delete(context.Context, database.DBTxConn, int64) error { return errNoWayBack }

// GetMigration implements database.Store.
func (v versions) GetMigration(ctx context.Context, db database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	var rows uint64
	res := &database.GetMigrationResult{IsApplied: true}
	err := db.QueryRowContext(ctx, fmt.Sprintf("SELECT count(), min(applied_at) FROM %s WHERE version = %d", v.Tablename(), version)).Scan(&rows, &res.Timestamp)
	if err == nil && rows == 0 {
		err = database.ErrVersionNotFound
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// GetLatestVersion implements database.Store.
func (v versions) GetLatestVersion(ctx context.Context, db database.DBTxConn) (int64, error) {
	var rows uint64
	var latest int64
	err := db.QueryRowContext(ctx, fmt.Sprintf("SELECT count(), max(version) FROM %s", v.Tablename())).Scan(&rows, &latest)
	if err == nil && rows == 0 {
		err = database.ErrVersionNotFound
	}
	return latest, err
}

// ListMigrations implements database.Store.
func (v versions) ListMigrations(ctx context.Context, db database.DBTxConn) ([]*database.ListMigrationsResult, error) {
	rows, err := db.QueryContext(ctx, fmt.Sprintf("SELECT DISTINCT version FROM %s ORDER BY version DESC", v.Tablename()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []*database.ListMigrationsResult
	for rows.Next() {
		applied := &database.ListMigrationsResult{IsApplied: true}
		if err := rows.Scan(&applied.Version); err != nil {
			return nil, err
		}
		list = append(list, applied)
	}
	return list, rows.Err()
}

// TableExists tells goose whether there is a table at all.
func (v versions) TableExists(ctx context.Context, db database.DBTxConn) (bool, error) {
	var n uint64
	err := db.QueryRowContext(ctx, fmt.Sprintf("SELECT count() FROM system.tables WHERE database = '%s' AND name = 'schema_versions'", v.schema.Database)).Scan(&n)
	if err != nil || n == 0 {
		return false, err
	}
	// A process that was killed between the two leaves the table without its first row.
	_, err = v.GetMigration(ctx, db, 0)
	if errors.Is(err, database.ErrVersionNotFound) {
		return false, nil
	}
	return err == nil, err
}
