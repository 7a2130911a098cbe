package sink

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

// ownTopics are the default topics under names of this test alone, deleted after it.
func ownTopics(t *testing.T, broker string) Topics {
	t.Helper()
	prefix := fmt.Sprintf("sink-%d-%d-", os.Getpid(), time.Now().UnixNano())
	topics := DefaultTopics()
	v := reflect.ValueOf(&topics).Elem()
	var names []string
	for i := range v.NumField() {
		v.Field(i).SetString(prefix + v.Field(i).String())
		names = append(names, v.Field(i).String())
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		c := DefaultKafkaConfig()
		c.Brokers = []string{broker}
		cl, err := Connect(ctx, c, quiet())
		if err != nil {
			t.Error(err)
			return
		}
		defer cl.Close()
		_, _ = kadm.NewClient(cl).DeleteTopics(ctx, names...) // the broker is a test's own: no harm if some stay
	})
	return topics
}

func TestTopicSettingsAreAppliedByKafka(t *testing.T) {
	c := DefaultKafkaConfig()
	c.Brokers = []string{dev.Kafka(t)}
	c.Partitions = 3
	topics := ownTopics(t, c.Brokers[0])
	cl, err := Connect(t.Context(), c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for range 2 {
		if err := EnsureTopics(t.Context(), cl, c, topics, quiet(), topics.Logs); err != nil {
			t.Fatal(err)
		}
	}
	adm := kadm.NewClient(cl)
	for _, s := range []struct{ topic, key, want string }{
		{topics.Logs, "message.timestamp.type", "LogAppendTime"},
		{topics.Logs, "cleanup.policy", "delete"},
		{topics.Verdicts, "cleanup.policy", "delete"},
		{topics.Verdicts, "retention.ms", "604800000"},
		{topics.Bans, "cleanup.policy", "compact"},
		{topics.DLQ, "cleanup.policy", "delete"},
		{topics.State, "cleanup.policy", "compact"},
		{topics.State, "segment.bytes", "16777216"},
		{topics.Control, "cleanup.policy", "compact"},
		{topics.Control, "min.compaction.lag.ms", "604800000"},
		{topics.Control, "message.timestamp.type", "LogAppendTime"},
		{topics.EndpointStats, "retention.ms", "86400000"},
	} {
		wantConfig(t, adm, s.topic, s.key, s.want)
	}
}

func TestAuthenticationAtKafka(t *testing.T) {
	s := dev.KafkaSASL(t)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		for password, want := range map[string]string{s.Password: "", "wrong": "kafka.sasl.password_file"} {
			t.Run(mechanism+" "+password, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "password")
				if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
					t.Fatal(err)
				}
				c := DefaultKafkaConfig()
				c.Brokers = []string{s.Broker}
				c.SASL = SASLConfig{Mechanism: mechanism, Username: s.Username, PasswordFile: file}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				cl, err := Connect(ctx, c, quiet())
				if err == nil {
					cl.Close()
				}
				wantRefusal(t, err, want)
			})
		}
	}
}

func TestTLSAtKafka(t *testing.T) {
	addr, ca := dev.KafkaTLS(t)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for file, want := range map[string]string{ca: "", "": "kafka.tls.ca"} {
		c := DefaultKafkaConfig()
		c.Brokers = []string{addr}
		c.TLS = TLSConfig{Enabled: true, CA: file}
		cl, err := Connect(ctx, c, quiet())
		if err == nil {
			cl.Close()
		}
		wantRefusal(t, err, want)
	}
}
