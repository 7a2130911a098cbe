package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apiwarden/apiwarden/api"
	"github.com/apiwarden/apiwarden/consumer"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// Config is the whole configuration file, composed of each package's part.
type Config struct {
	Kafka           sink.KafkaConfig      `yaml:"kafka" doc:"the Kafka cluster"`
	Topics          sink.Topics           `yaml:"topics" doc:"names of the topics"`
	Input           consumer.InputConfig  `yaml:"input" doc:"how records become events"`
	Rules           string                `yaml:"rules" doc:"rules file, or folder of rules files, relative to this file"`
	State           consumer.StateConfig  `yaml:"state" doc:"what is kept about clients"`
	ClickHouse      sink.ClickHouseConfig `yaml:"clickhouse" doc:"where events and verdicts are stored"`
	HTTP            api.HTTPConfig        `yaml:"http" doc:"health and metrics"`
	ShutdownTimeout schemas.Duration      `yaml:"shutdown_timeout" doc:"how long a clean stop may take"`
}

// DefaultConfig is what holds where nothing is configured.
func DefaultConfig() Config {
	return Config{
		Kafka:           sink.DefaultKafkaConfig(),
		Topics:          sink.DefaultTopics(),
		Input:           consumer.DefaultInputConfig(),
		Rules:           "rules.yaml",
		State:           consumer.DefaultStateConfig(),
		ClickHouse:      sink.DefaultClickHouseConfig(),
		HTTP:            api.DefaultHTTPConfig(),
		ShutdownTimeout: schemas.Duration(25 * time.Second),
	}
}

// Validate reports every problem at once; each begins with the path of its key.
func (c Config) Validate() error {
	errs := []error{
		under("kafka", c.Kafka.Validate()),
		under("topics", c.Topics.Validate()),
		under("input", c.Input.Validate()),
		under("state", c.State.Validate()),
		under("clickhouse", c.ClickHouse.Validate()),
		under("http", c.HTTP.Validate()),
	}
	if c.Rules == "" {
		errs = append(errs, errors.New("rules is empty: name a rules file or a folder of them"))
	}
	if c.ShutdownTimeout < schemas.Duration(time.Second) {
		errs = append(errs, fmt.Errorf("shutdown_timeout is %s, it must be at least 1s", c.ShutdownTimeout))
	}
	return errors.Join(errs...)
}

// consumer gives the part that the consumers are run with.
func (c Config) consumer() consumer.Config {
	return consumer.Config{Kafka: c.Kafka, Topics: c.Topics, Input: c.Input, State: c.State, ShutdownTimeout: c.ShutdownTimeout}
}

// under puts the section in front of each problem that does not name it.
func under(section string, err error) error {
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, section+".") && !strings.HasPrefix(line, section+":") {
			lines[i] = section + ": " + line
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}
