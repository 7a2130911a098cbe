package schemas

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing/fstest"
	"text/template"
	"time"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// Tables of the ClickHouse database.
const (
	EventsTable   = "events"
	VerdictsTable = "verdicts"
	ControlsTable = "controls"
)

// SQLOptions say for which server the ClickHouse schema is written. The names go
// into the text as they are: whoever reads them from a configuration checks them.
type SQLOptions struct {
	Database    string
	Cluster     string        // "": one server; else replicated tables ON CLUSTER
	EventsTTL   time.Duration // 0: for ever
	VerdictsTTL time.Duration // of manual changes too; 0: for ever
}

// OnCluster is the clause of each statement that changes the schema.
func (o SQLOptions) OnCluster() string {
	if o.Cluster == "" {
		return ""
	}
	return " ON CLUSTER '" + o.Cluster + "'"
}

// Engine is the table engine of a table. All replicas of a cluster hold the same
// rows: the path in Keeper has no {shard}, on purpose, because rows of one identity
// only meet on one shard.
func (o SQLOptions) Engine(table string) string {
	if o.Cluster == "" {
		return "ReplacingMergeTree"
	}
	return fmt.Sprintf("ReplicatedReplacingMergeTree('/clickhouse/tables/%s/%s', '{replica}')", o.Database, table)
}

// TTL is the TTL expression of a table, "" where its rows are kept for ever.
func (o SQLOptions) TTL(table string) string {
	keep, column := o.EventsTTL, "record_time"
	switch table {
	case VerdictsTable:
		keep, column = o.VerdictsTTL, "ifNull(record_time, detected_at)"
	case ControlsTable: // kept as long as the verdicts that they are read with
		keep = o.VerdictsTTL
	}
	if keep == 0 {
		return ""
	}
	return fmt.Sprintf("toDateTime(%s) + toIntervalSecond(%d)", column, int64(keep.Seconds()))
}

// CreateDatabase is the statement that comes before all migrations.
func (o SQLOptions) CreateDatabase() string {
	return "CREATE DATABASE IF NOT EXISTS " + o.Database + o.OnCluster()
}

// Migrations gives the numbered migrations for goose, filled in for o. Each
// statement of theirs may run twice, or in several processes at once.
func Migrations(o SQLOptions) (fs.FS, error) {
	names, err := fs.Glob(sqlFiles, "sql/*.sql")
	if err != nil {
		return nil, fmt.Errorf("listing migrations: %w", err)
	}
	out := fstest.MapFS{}
	for _, name := range names {
		t, err := template.ParseFS(sqlFiles, name)
		if err != nil {
			return nil, fmt.Errorf("reading migration %s: %w", name, err)
		}
		var text bytes.Buffer
		if err := t.Option("missingkey=error").Execute(&text, o); err != nil {
			return nil, fmt.Errorf("filling in migration %s: %w", name, err)
		}
		out[path.Base(name)] = &fstest.MapFile{Data: text.Bytes(), Mode: 0o444}
	}
	return out, nil
}

// PrintSchema gives the whole schema as SQL text, for people who create it by hand
// or review it first.
func PrintSchema(o SQLOptions) (string, error) {
	migrations, err := Migrations(o)
	if err != nil {
		return "", err
	}
	names, err := fs.Glob(migrations, "*.sql") // in order: their numbers have four digits
	if err != nil {
		return "", fmt.Errorf("listing migrations: %w", err)
	}
	var out strings.Builder
	out.WriteString(o.CreateDatabase() + ";\n")
	for _, name := range names {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			return "", fmt.Errorf("reading migration %s: %w", name, err)
		}
		fmt.Fprintf(&out, "\n-- %s\n", name)
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "-- +goose") {
				out.WriteString(line)
			}
		}
	}
	return out.String(), nil
}
