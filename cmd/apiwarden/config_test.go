package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/deploy/dev"
	"github.com/apiwarden/apiwarden/schemas"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestConfigLaterSourceWins(t *testing.T) {
	t.Setenv("SECRET_DIR", "/run/secrets")
	file := writeFile(t, "apiwarden.yaml", `
kafka:
  brokers: [file:9092]
  group: file
  partitions: 3
  tls: {enabled: true, ca: pki/ca.pem}
  sasl: {mechanism: PLAIN, username: me, password_file: "${SECRET_DIR}/kafka"}
input:
  fields: {client_ip: remote.addr, status: response.code}
rules: my/rules
clickhouse:
  redact: []
  cluster:
  ttl: {events: 2d}
http:
`)
	cfg, warnings, err := loadConfig(configSource{
		file: file,
		environ: []string{
			"APIWARDEN_KAFKA_BROKERS=env1:9092, env2:9092", "APIWARDEN_KAFKA_GROUP=env", "APIWARDEN_CLICKHOUSE_TTL_VERDICTS=12h",
			"APIWARDEN_HTTP_LISTEN=", "APIWARDEN_KAFKA_BROKER=typo", "APIWARDEN_KAFKA_PORT=tcp://10.0.0.1:9092", "HOME=/root",
			"APIWARDEN_STATE_MAX_BYTES=1GiB", "APIWARDEN_KAFKA_CREATE_TOPICS=false",
		},
		flags: layer{"kafka.group": "flag", "http.listen": "127.0.0.1:0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Kafka.Brokers = []string{"env1:9092", "env2:9092"}
	want.Kafka.Group = "flag"
	want.Kafka.Partitions = 3
	want.Kafka.CreateTopics = false
	want.Kafka.TLS.Enabled = true
	want.Kafka.TLS.CA = filepath.Join(filepath.Dir(file), "pki/ca.pem")
	want.Kafka.SASL.Mechanism, want.Kafka.SASL.Username, want.Kafka.SASL.PasswordFile = "PLAIN", "me", "/run/secrets/kafka"
	want.Input.Fields = map[string]string{"client_ip": "remote.addr", "status": "response.code"}
	want.Rules = filepath.Join(filepath.Dir(file), "my/rules")
	want.State.MaxBytes = 1 << 30
	want.ClickHouse.Redact = []string{}
	want.ClickHouse.TTL.Events = schemas.Duration(48 * time.Hour)
	want.ClickHouse.TTL.Verdicts = schemas.Duration(12 * time.Hour)
	want.HTTP.Listen = "127.0.0.1:0"
	if d := cmp.Diff(want, cfg); d != "" {
		t.Errorf("configuration (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"APIWARDEN_KAFKA_BROKER is no configuration key (did you mean APIWARDEN_KAFKA_BROKERS?)"}, warnings); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
}

// TestConfigOfContract loads the example of the contract: it holds the defaults, key
// by key.
func TestConfigOfContract(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(dev.Shared(t), "contract.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(kafka:.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("no YAML block that begins with kafka: in contract.md")
	}
	cfg, _, err := loadConfig(configSource{file: writeFile(t, "apiwarden.yaml", string(block[1]))})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Rules = filepath.Base(cfg.Rules)
	want := DefaultConfig()
	want.Input.Fields = map[string]string{}
	if d := cmp.Diff(want, cfg); d != "" {
		t.Errorf("defaults of the contract (-ours +theirs):\n%s", d)
	}
}

// TestConfigExample loads the example of deploy: it holds the defaults too, and
// every key there is.
func TestConfigExample(t *testing.T) {
	const name = "../../deploy/apiwarden.example.yaml"
	cfg, _, err := loadConfig(configSource{file: name})
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Input.Fields = map[string]string{}
	want.Rules = "../../deploy/rules"
	if d := cmp.Diff(want, cfg); d != "" {
		t.Errorf("example (-defaults +example):\n%s", d)
	}
	file, err := readConfigFile(name, keysOf(reflect.TypeFor[Config]()), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keysOf(reflect.TypeFor[Config]()).keys {
		if _, ok := file.lines[k.path]; !ok {
			t.Errorf("the example lacks %s", k.path)
		}
	}
}

func TestConfigPlacesProblems(t *testing.T) {
	file := writeFile(t, "c.yaml", "kafka:\n  group: g\n  partitions: 0\n  start: yesterday\nshutdown_timeout: 0\n")
	_, _, err := loadConfig(configSource{file: file})
	var refd *refusal
	if !errors.As(err, &refd) {
		t.Fatalf("got %v, want a refusal", err)
	}
	var where []string
	for _, line := range refd.lines {
		where = append(where, regexp.MustCompile(`^c\.yaml:\d+: \w+(\.\w+)*`).FindString(strings.TrimPrefix(line, filepath.Dir(file)+"/")))
	}
	want := []string{"c.yaml:3: kafka.partitions", "c.yaml:4: kafka.start", "c.yaml:5: shutdown_timeout"}
	if d := cmp.Diff(want, where); d != "" {
		t.Errorf("problems (-want +got):\n%s\n%v", d, err)
	}
}

func TestConfigAliases(t *testing.T) {
	file := writeFile(t, "c.yaml", "kafka:\n  tls: &tls {enabled: true}\nclickhouse:\n  tls: *tls\n")
	cfg, _, err := loadConfig(configSource{file: file})
	if err != nil {
		t.Fatal(err)
	}
	if !cfg.ClickHouse.TLS.Enabled || !cfg.Kafka.TLS.Enabled {
		t.Errorf("an alias is not followed: %+v", cfg.ClickHouse.TLS)
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"brokers", "group", "create_topics", "partitions", "tls"}
	for name, want := range map[string]string{
		"brokrs": "brokers", "Brokers": "brokers", "borkers": "brokers", "create-topics": "create_topics",
		"partition": "partitions", "zookeeper": "", "x": "",
	} {
		if got := schemas.Nearest(name, keys); got != want {
			t.Errorf("schemas.Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

// FuzzConfigFile holds that whatever a file says is read or refused, and that each
// problem says where it is.
func FuzzConfigFile(f *testing.F) {
	for _, text := range []string{
		"", "---\n", "# only a comment\n", "a", "[]", "kafka: &k {tls: *k}", "kafka: {brokers: &b [*b]}", "? [a]\n: b\n",
		"kafka:\n  <<: {group: x}\n", "input: {fields: {a: {b: c}}}", "rules: ${X", "http: {listen: ${}}", "\t", "a: b\n---\nc: d",
		"state: {max_bytes: 1e400, shards: 0x10}", "kafka: !!binary aGk=", "shutdown_timeout: 2026-01-01",
	} {
		f.Add(text)
	}
	keys := keysOf(reflect.TypeFor[Config]())
	place := regexp.MustCompile(`^.*/c\.yaml:\d+(:\d+)?: `)
	name := filepath.Join(f.TempDir(), "c.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		file, err := readConfigFile(name, keys, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range file.problems {
			if !place.MatchString(p) {
				t.Errorf("no place in %q", p)
			}
		}
	})
}

// A file with problems of every kind is told all of them at once.
func TestConfigTellsEveryKindOfProblemAtOnce(t *testing.T) {
	file := writeFile(t, "apiwarden.yaml", `kafkaa: {x: 1}
state: {interval: 0s}
clickhouse: {protocol: htp}
input: {max_record_bytes: lots}
`)
	_, _, err := loadConfig(configSource{file: file})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{":1:1: unknown key", ":2: state.interval", ":3: clickhouse.protocol", ":4: input.max_record_bytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no mention of %q in:\n%v", want, err)
		}
	}
}
