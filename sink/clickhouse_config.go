package sink

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/apiwarden/apiwarden/schemas"
)

// ClickHouseConfig is the section clickhouse of the configuration.
type ClickHouseConfig struct {
	Addresses     []string  `yaml:"addresses" doc:"addresses (host:port) of ClickHouse servers that hold the same data; one is used at a time"`
	Protocol      string    `yaml:"protocol" doc:"native (usually port 9000, with TLS 9440) or http (8123, with TLS 8443)"`
	Database      string    `yaml:"database" doc:"database of the tables; created where it is missing"`
	Username      string    `yaml:"username" doc:"user name"`
	PasswordFile  string    `yaml:"password_file" doc:"file with the password; empty: none"`
	TLS           TLSConfig `yaml:"tls" doc:"encryption of the connections to ClickHouse"`
	Cluster       string    `yaml:"cluster" doc:"name of a cluster of one shard: tables are then replicated and made ON CLUSTER; empty: one server"`
	Redact        []string  `yaml:"redact" doc:"event fields that are dropped before storage; hash:NAME keeps a keyed hash instead"`
	RedactKeyFile string    `yaml:"redact_key_file" doc:"file with the key of hash:NAME; empty: a random key that is kept in the database"`
	TTL           TTLConfig `yaml:"ttl" doc:"how long rows are kept, counted from the time of their Kafka record"`
}

// TTLConfig says how long rows are kept. Zero is for ever.
type TTLConfig struct {
	Events   schemas.Duration `yaml:"events" doc:"how long events are kept; 0: for ever"`
	Verdicts schemas.Duration `yaml:"verdicts" doc:"how long verdicts and manual changes are kept; 0: for ever"`
}

// Protocols of ClickHouseConfig.
const (
	ProtocolNative = "native"
	ProtocolHTTP   = "http"
)

// DefaultClickHouseConfig is a server on this machine.
func DefaultClickHouseConfig() ClickHouseConfig {
	const day = schemas.Duration(24 * time.Hour)
	return ClickHouseConfig{
		Addresses: []string{"127.0.0.1:9000"},
		Protocol:  ProtocolNative,
		Database:  "apiwarden",
		Username:  "default",
		Redact:    []string{"response_body"},
		TTL:       TTLConfig{Events: 30 * day, Verdicts: 180 * day},
	}
}

// Names go into SQL text, so they are kept to what needs no quoting.
var sqlName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Cluster names may hold dashes and dots, and a macro such as {cluster}.
var clusterName = regexp.MustCompile(`^[A-Za-z0-9_.{}-]+$`)

// Validate reports every problem at once. It reads no file.
func (c ClickHouseConfig) Validate() error {
	var errs []error
	if len(c.Addresses) == 0 {
		errs = append(errs, errors.New("clickhouse.addresses is empty: name at least one server as host:port"))
	}
	for _, a := range c.Addresses {
		if strings.TrimSpace(a) == "" {
			errs = append(errs, errors.New("clickhouse.addresses holds an empty address"))
		} else if strings.Contains(a, "://") {
			errs = append(errs, fmt.Errorf("clickhouse.addresses holds %q: write host:port, and choose clickhouse.protocol and clickhouse.tls", a))
		}
	}
	if c.Protocol != ProtocolNative && c.Protocol != ProtocolHTTP {
		errs = append(errs, fmt.Errorf("clickhouse.protocol is %q: use native or http", c.Protocol))
	}
	if !sqlName.MatchString(c.Database) {
		errs = append(errs, fmt.Errorf("clickhouse.database is %q: use letters, digits and _", c.Database))
	}
	if c.Username == "" {
		errs = append(errs, errors.New("clickhouse.username is empty"))
	}
	if c.Cluster != "" && !clusterName.MatchString(c.Cluster) {
		errs = append(errs, fmt.Errorf("clickhouse.cluster is %q: use letters, digits and _.-{}", c.Cluster))
	}
	if c.TTL.Events < 0 || c.TTL.Verdicts < 0 {
		errs = append(errs, errors.New("clickhouse.ttl is negative: use 0 to keep rows for ever"))
	}
	if err := c.TLS.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("clickhouse: %w", err))
	}
	if _, err := newRedaction(c.Redact); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Opts are the options of a client. Reads the files that c names.
func (c ClickHouseConfig) Opts() (*clickhouse.Options, error) {
	opts := &clickhouse.Options{
		Addr:            c.Addresses,
		Auth:            clickhouse.Auth{Username: c.Username},
		DialTimeout:     5 * time.Second,
		ReadTimeout:     insertTimeout,
		MaxOpenConns:    4,
		MaxIdleConns:    2,
		ConnMaxLifetime: 10 * time.Minute, // so that a server that is back gets its share again
		Compression:     &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		ClientInfo: clickhouse.ClientInfo{Products: []struct{ Name, Version string }{
			{Name: "apiwarden", Version: "1"},
		}},
	}
	if c.Protocol == ProtocolHTTP {
		opts.Protocol = clickhouse.HTTP
	}
	if c.PasswordFile != "" {
		b, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("reading clickhouse.password_file: %w", err)
		}
		opts.Auth.Password = strings.TrimRight(string(b), "\r\n")
	}
	var err error
	if opts.TLS, err = c.TLS.Config(); err != nil {
		return nil, fmt.Errorf("clickhouse: %w", err)
	}
	return opts, nil
}

// Schema says how the tables are made for c.
func (c ClickHouseConfig) Schema() schemas.SQLOptions {
	return schemas.SQLOptions{
		Database:    c.Database,
		Cluster:     c.Cluster,
		EventsTTL:   time.Duration(c.TTL.Events),
		VerdictsTTL: time.Duration(c.TTL.Verdicts),
	}
}
