package sink

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/apiwarden/apiwarden/schemas"
)

func TestKafkaConfigKeys(t *testing.T) {
	const text = `
brokers: [a:9092, b:9092]
group: g
create_topics: false
partitions: 3
replication: 2
start: latest
instance_id: node-1.example
session_timeout: 45s
group_protocol: consumer
tls: {enabled: true, ca: ca.pem, cert: c.pem, key: k.pem}
sasl: {mechanism: PLAIN, username: u, password_file: p}
`
	var got KafkaConfig
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := KafkaConfig{
		Brokers: []string{"a:9092", "b:9092"}, Group: "g", Partitions: 3, Replication: 2, Start: "latest",
		InstanceID: "node-1.example", SessionTimeout: schemas.Duration(45 * time.Second), GroupProtocol: GroupConsumer,
		TLS:  TLSConfig{Enabled: true, CA: "ca.pem", Cert: "c.pem", Key: "k.pem"},
		SASL: SASLConfig{Mechanism: "PLAIN", Username: "u", PasswordFile: "p"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	if err := DefaultKafkaConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestKafkaConfigProblems(t *testing.T) {
	for want, change := range map[string]func(*KafkaConfig){
		"kafka.brokers is empty":              func(c *KafkaConfig) { c.Brokers = nil },
		"kafka.brokers holds an empty":        func(c *KafkaConfig) { c.Brokers = []string{" "} },
		"kafka.group is empty":                func(c *KafkaConfig) { c.Group = "" },
		"kafka.partitions is 0":               func(c *KafkaConfig) { c.Partitions = 0 },
		"kafka.replication is -1":             func(c *KafkaConfig) { c.Replication = -1 },
		`kafka.start is "yesterday"`:          func(c *KafkaConfig) { c.Start = "yesterday" },
		`kafka.instance_id is "a b"`:          func(c *KafkaConfig) { c.InstanceID = "a b" },
		"kafka.session_timeout is -1s":        func(c *KafkaConfig) { c.SessionTimeout = schemas.Duration(-time.Second) },
		`kafka.group_protocol is "eager"`:     func(c *KafkaConfig) { c.GroupProtocol = "eager" },
		"tls.cert and tls.key":                func(c *KafkaConfig) { c.TLS = TLSConfig{Enabled: true, Cert: "c.pem"} },
		"tls.enabled is false":                func(c *KafkaConfig) { c.TLS.CA = "ca.pem" },
		`kafka.sasl.mechanism "plain"`:        func(c *KafkaConfig) { c.SASL.Mechanism = "plain" },
		"kafka.sasl.mechanism is empty":       func(c *KafkaConfig) { c.SASL.Username = "u" },
		"kafka.sasl.username is empty":        func(c *KafkaConfig) { c.SASL = SASLConfig{Mechanism: "SCRAM-SHA-256", PasswordFile: "p"} },
		"kafka.sasl.password_file is empty":   func(c *KafkaConfig) { c.SASL = SASLConfig{Mechanism: "PLAIN", Username: "u"} },
		"password_file is empty, OAUTHBEARER": func(c *KafkaConfig) { c.SASL = SASLConfig{Mechanism: "OAUTHBEARER"} },
	} {
		c := DefaultKafkaConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want a problem with %q, got %v", want, err)
		}
	}
	c := KafkaConfig{Partitions: -1, Start: "?"}
	if n := len(strings.Split(c.Validate().Error(), "\n")); n != 6 {
		t.Errorf("%d problems at once, want 6:\n%v", n, c.Validate())
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	c := DefaultKafkaConfig()
	c.SASL = SASLConfig{Mechanism: "PLAIN", Username: "u", PasswordFile: file}
	if _, err := c.Opts(); err == nil || !strings.Contains(err.Error(), "kafka.sasl.password_file") {
		t.Errorf("want a problem with the missing file, got %v", err)
	}
	if err := os.WriteFile(file, []byte("  s3cret \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"} {
		c.SASL.Mechanism = mechanism
		if _, err := c.Opts(); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
	if got, err := c.SASL.secret(); err != nil || got != "  s3cret " {
		t.Errorf("the secret is %q, %v", got, err)
	}
}

func TestTLSFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []TLSConfig{
		{Enabled: true, CA: file},
		{Enabled: true, CA: file + ".absent"},
		{Enabled: true, Cert: file, Key: file},
	} {
		if _, err := c.Config(); err == nil || !strings.Contains(err.Error(), "tls.c") {
			t.Errorf("%+v: want a problem that names the key, got %v", c, err)
		}
	}
	if conf, err := (TLSConfig{}).Config(); conf != nil || err != nil {
		t.Errorf("not enabled: %v, %v", conf, err)
	}
}

func TestTopicNames(t *testing.T) {
	if err := DefaultTopics().Validate(); err != nil {
		t.Error(err)
	}
	c := DefaultTopics()
	c.Verdicts, c.Bans, c.DLQ, c.Control = "api-logs", "", "a b", strings.Repeat("x", 250)
	err := c.Validate()
	for _, want := range []string{"topics.logs and topics.verdicts are both", "topics.bans is", "topics.dlq is", "topics.control is"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want a problem with %q, got %v", want, err)
		}
	}
}
