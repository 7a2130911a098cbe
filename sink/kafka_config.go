package sink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/apiwarden/apiwarden/schemas"
)

// KafkaConfig is the section kafka of the configuration.
type KafkaConfig struct {
	Brokers        []string         `yaml:"brokers" doc:"addresses (host:port) of some brokers of the cluster; the others are learned from them"`
	Group          string           `yaml:"group" doc:"consumer group of detect; the other roles add their name (-store and so on)"`
	CreateTopics   bool             `yaml:"create_topics" doc:"create topics that are missing, with the settings they need"`
	Partitions     int32            `yaml:"partitions" doc:"partitions of topics that are created"`
	Replication    int16            `yaml:"replication" doc:"replicas of topics that are created"`
	Start          string           `yaml:"start" doc:"where to begin when the group has no offset yet: earliest, latest, or an instant (RFC 3339)"`
	InstanceID     string           `yaml:"instance_id" doc:"name of this process in its groups, different for each and the same after a restart: its partitions then wait for it while it restarts (session_timeout; with the protocol consumer as long as the brokers say); empty: they move to others at once"`
	SessionTimeout schemas.Duration `yaml:"session_timeout" doc:"after how long without a sign of life the partitions of a process go to others; within what the brokers allow (6s to 30m by default), which set it themselves with the protocol consumer"`
	GroupProtocol  string           `yaml:"group_protocol" doc:"classic, or consumer: the brokers share out the partitions (KIP-848; needs Kafka 4.0, better 4.3)"`
	TLS            TLSConfig        `yaml:"tls" doc:"encryption of the connections to Kafka"`
	SASL           SASLConfig       `yaml:"sasl" doc:"authentication at Kafka"`
}

// SASLConfig says how to authenticate. The secret comes from a file, which is read
// again for each new connection, so that it can be rotated.
type SASLConfig struct {
	Mechanism    string `yaml:"mechanism" doc:"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; empty: no authentication"`
	Username     string `yaml:"username" doc:"user name (not used by OAUTHBEARER)"`
	PasswordFile string `yaml:"password_file" doc:"file with the password, or with the token for OAUTHBEARER"`
}

// DefaultKafkaConfig is a broker on this machine.
func DefaultKafkaConfig() KafkaConfig {
	return KafkaConfig{
		Brokers:        []string{"127.0.0.1:9092"},
		Group:          "apiwarden",
		CreateTopics:   true,
		Partitions:     12,
		Replication:    1,
		Start:          "earliest",
		SessionTimeout: schemas.Duration(30 * time.Second),
		GroupProtocol:  GroupClassic,
	}
}

// Validate reports every problem at once. It reads no file.
func (c KafkaConfig) Validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("kafka.brokers is empty: name at least one broker as host:port"))
	}
	for _, b := range c.Brokers {
		if strings.TrimSpace(b) == "" {
			errs = append(errs, errors.New("kafka.brokers holds an empty address"))
		}
	}
	if c.Group == "" {
		errs = append(errs, errors.New("kafka.group is empty"))
	}
	if c.Partitions < 1 {
		errs = append(errs, fmt.Errorf("kafka.partitions is %d, it must be at least 1", c.Partitions))
	}
	if c.Replication < 1 {
		errs = append(errs, fmt.Errorf("kafka.replication is %d, it must be at least 1", c.Replication))
	}
	if c.SessionTimeout <= 0 {
		errs = append(errs, fmt.Errorf("kafka.session_timeout is %s, it must be positive", c.SessionTimeout))
	}
	switch c.GroupProtocol {
	case "", GroupClassic, GroupConsumer:
	default:
		errs = append(errs, fmt.Errorf("kafka.group_protocol is %q: use classic or consumer", c.GroupProtocol))
	}
	if c.InstanceID != "" && !instanceID.MatchString(c.InstanceID) {
		errs = append(errs, fmt.Errorf("kafka.instance_id is %q: use 1 to 200 letters, digits and ._-", c.InstanceID))
	}
	if _, err := c.StartOffset(); err != nil {
		errs = append(errs, err)
	}
	if err := c.TLS.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("kafka: %w", err))
	}
	return errors.Join(append(errs, c.SASL.validate()...)...)
}

func (c SASLConfig) validate() []error {
	var errs []error
	switch c.Mechanism {
	case "":
		if c.Username != "" || c.PasswordFile != "" {
			errs = append(errs, errors.New("kafka.sasl.mechanism is empty, but a username or password_file is set: name PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"))
		}
		return errs
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if c.Username == "" {
			errs = append(errs, fmt.Errorf("kafka.sasl.username is empty, %s needs one", c.Mechanism))
		}
	case "OAUTHBEARER":
	default:
		errs = append(errs, fmt.Errorf("kafka.sasl.mechanism %q is unknown: use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER", c.Mechanism))
		return errs
	}
	if c.PasswordFile == "" {
		errs = append(errs, fmt.Errorf("kafka.sasl.password_file is empty, %s needs one", c.Mechanism))
	}
	return errs
}

// StartOffset is where a partition begins that the group has no offset of.
func (c KafkaConfig) StartOffset() (kgo.Offset, error) {
	switch c.Start {
	case "", "earliest":
		return kgo.NewOffset().AtStart(), nil
	case "latest":
		return kgo.NewOffset().AtEnd(), nil
	}
	t, err := time.Parse(time.RFC3339, c.Start)
	if err != nil {
		return kgo.Offset{}, fmt.Errorf("kafka.start is %q: use earliest, latest or an instant such as 2026-01-31T08:00:00Z", c.Start)
	}
	return kgo.NewOffset().AfterMilli(t.UnixMilli()), nil
}

// Opts are the options that every client of this cluster shares: where it is and
// how to be let in. Reads the files that c names.
func (c KafkaConfig) Opts() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID("apiwarden"),
		kgo.DialTimeout(5 * time.Second),
		// New partitions and moved leaders are seen within these.
		kgo.MetadataMaxAge(15 * time.Second),
		kgo.MetadataMinAge(time.Second),
		kgo.RetryBackoffFn(retryBackoff),
		// The brokers' own metrics need nothing from us.
		kgo.DisableClientMetrics(),
	}
	conf, err := c.TLS.Config()
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	if conf != nil {
		opts = append(opts, kgo.DialTLSConfig(conf))
	}
	mech, err := c.SASL.saslMechanism()
	if err != nil {
		return nil, err
	}
	if mech != nil {
		opts = append(opts, kgo.SASL(mech))
	}
	return opts, nil
}

// retryBackoff is how long a client waits before its nth try.
func retryBackoff(n int) time.Duration {
	return min(100*time.Millisecond<<min(n, 10), 3*time.Second)
}

func (c SASLConfig) saslMechanism() (sasl.Mechanism, error) {
	if c.Mechanism == "" {
		return nil, nil
	}
	// Once at start, so that a missing file is not found out hours later.
	if _, err := c.secret(); err != nil {
		return nil, err
	}
	switch c.Mechanism {
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			pass, err := c.secret()
			return plain.Auth{User: c.Username, Pass: pass}, err
		}), nil
	case "OAUTHBEARER":
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := c.secret()
			return oauth.Auth{Token: token}, err
		}), nil
	case "SCRAM-SHA-256":
		return scram.Sha256(c.scramAuth), nil
	case "SCRAM-SHA-512":
		return scram.Sha512(c.scramAuth), nil
	}
	return nil, errors.Join(c.validate()...)
}

func (c SASLConfig) scramAuth(context.Context) (scram.Auth, error) {
	pass, err := c.secret()
	return scram.Auth{User: c.Username, Pass: pass}, err
}

func (c SASLConfig) secret() (string, error) {
	b, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("reading kafka.sasl.password_file: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
