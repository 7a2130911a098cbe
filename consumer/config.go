package consumer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// Config is what detect and store are run with.
type Config struct {
	Kafka           sink.KafkaConfig `yaml:"kafka" doc:"where Kafka is"`
	Topics          sink.Topics      `yaml:"topics" doc:"names of the topics"`
	Input           InputConfig      `yaml:"input" doc:"what records look like"`
	State           StateConfig      `yaml:"state" doc:"what is held in memory, and how it is kept"`
	ShutdownTimeout schemas.Duration `yaml:"shutdown_timeout" doc:"how long a stop may take to flush what is in hand, commit and leave the group"`
}

// InputConfig says what the records of the topic logs look like.
type InputConfig struct {
	Preset         string            `yaml:"preset" doc:"format of the records; empty: JSON with our own field names"`
	Fields         map[string]string `yaml:"fields" doc:"event field to gjson path into the record, beside or instead of a preset"`
	Rekey          bool              `yaml:"rekey" doc:"key events anew by their subject (through the topic events) before they are judged; for logs keyed otherwise and rules with key"`
	MaxRecordBytes schemas.Size      `yaml:"max_record_bytes" doc:"a larger record goes to the topic dlq"`
}

// StateConfig bounds what detect holds in memory, and says how it is kept.
type StateConfig struct {
	Interval     schemas.Duration `yaml:"interval" doc:"how often each part of the counts is written to the topic state; a restart reads the log again from the oldest one on"`
	MaxBytes     schemas.Size     `yaml:"max_bytes" doc:"memory for counts, of the whole group; each part of each partition may use its share"`
	Shards       int              `yaml:"shards" doc:"parts that a partition's state is split into; partitions that have been counted before keep theirs"`
	MaxEndpoints int              `yaml:"max_endpoints" doc:"endpoint names that each part of a partition tells apart; further ones count as one"`

	MaxBaselineBytes schemas.Size     `yaml:"max_baseline_bytes" doc:"memory for what learned rules know of endpoints, of the whole group; each partition of the topic endpoint_stats may use its share"`
	StatsGrace       schemas.Duration `yaml:"stats_grace" doc:"how long learned rules wait for partitions of the log that say nothing, once another one is through with ten seconds of event time"`
}

// DefaultConfig is what an empty configuration file means.
func DefaultConfig() Config {
	return Config{
		Kafka:           sink.DefaultKafkaConfig(),
		Topics:          sink.DefaultTopics(),
		Input:           DefaultInputConfig(),
		State:           DefaultStateConfig(),
		ShutdownTimeout: schemas.Duration(25 * time.Second),
	}
}

// DefaultInputConfig reads our own JSON.
func DefaultInputConfig() InputConfig { return InputConfig{MaxRecordBytes: 1 << 20} }

// DefaultStateConfig suits a machine with 8 GiB.
func DefaultStateConfig() StateConfig {
	return StateConfig{
		Interval: schemas.Duration(time.Minute), MaxBytes: 4 << 30, Shards: 64, MaxEndpoints: 10_000,
		MaxBaselineBytes: 512 << 20, StatsGrace: schemas.Duration(30 * time.Second),
	}
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	errs := []error{c.Kafka.Validate(), c.Topics.Validate(), c.Input.Validate(), c.State.Validate()}
	if c.ShutdownTimeout <= 0 {
		errs = append(errs, fmt.Errorf("shutdown_timeout is %s, it must be positive", c.ShutdownTimeout))
	}
	return errors.Join(errs...)
}

// Validate reports every problem at once.
func (c InputConfig) Validate() error {
	var errs []error
	if c.MaxRecordBytes < 1 {
		errs = append(errs, fmt.Errorf("input.max_record_bytes is %s, it must be positive", c.MaxRecordBytes))
	}
	if c.MaxRecordBytes > 64<<20 {
		errs = append(errs, fmt.Errorf("input.max_record_bytes is %s, it must be 64MiB or less", c.MaxRecordBytes))
	}
	if _, err := schemas.NewDecoder(c.decoderOptions()); err != nil {
		errs = append(errs, fmt.Errorf("input: %w", err))
	}
	return errors.Join(errs...)
}

func (c InputConfig) decoderOptions() schemas.Options {
	return schemas.Options{Preset: c.Preset, Fields: c.Fields, MaxRecordBytes: int(c.MaxRecordBytes)}
}

// Validate reports every problem at once.
func (c StateConfig) Validate() error {
	var errs []error
	if c.Interval <= 0 {
		errs = append(errs, fmt.Errorf("state.interval is %s, it must be positive", c.Interval))
	}
	if c.MaxBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("state.max_bytes is %s, it must be at least 1MiB", c.MaxBytes))
	}
	if c.Shards < 1 || c.Shards > 256 || c.Shards&(c.Shards-1) != 0 {
		errs = append(errs, fmt.Errorf("state.shards is %d, it must be a power of two from 1 to 256", c.Shards))
	}
	if c.MaxEndpoints < 1 {
		errs = append(errs, fmt.Errorf("state.max_endpoints is %d, it must be at least 1", c.MaxEndpoints))
	}
	if c.MaxBaselineBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("state.max_baseline_bytes is %s, it must be at least 1MiB", c.MaxBaselineBytes))
	}
	if c.StatsGrace <= 0 {
		errs = append(errs, fmt.Errorf("state.stats_grace is %s, it must be positive", c.StatsGrace))
	}
	return errors.Join(errs...)
}

// bound is what a shard may hold where the topic that is judged has so many partitions.
func (c StateConfig) bound(inputs int64, shards int) bound {
	return bound{Bytes: max(1, int64(c.MaxBytes)/(max(1, inputs)*int64(shards))), Endpoints: c.MaxEndpoints}
}

// judged is the topic that detect judges.
func (c Config) judged() string {
	if c.Input.Rekey {
		return c.Topics.Events
	}
	return c.Topics.Logs
}

// input gives the topics through which events reach detect.
func (c Config) input() []string {
	if c.Input.Rekey {
		return []string{c.Topics.Logs, c.Topics.Events}
	}
	return []string{c.Topics.Logs}
}

// validateRules refuses rules that count for something which the records are not
// keyed by: their counts would be split over partitions without anybody noticing.
func (c Config) validateRules(p *detector.Program) error {
	if c.Input.Rekey {
		return nil
	}
	var ids []string
	for _, r := range p.Rules() {
		if r.Key != "" {
			ids = append(ids, r.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	return fmt.Errorf("rules with `key:` need input.rekey: true, without it their subjects' events lie in several partitions: %s", strings.Join(ids, ", "))
}
