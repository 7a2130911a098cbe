package sink

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/apiwarden/apiwarden/schemas"
)

func TestConnectWaitsForABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net kfake.VirtualNetwork
		core, logs := observer.New(zapcore.WarnLevel)
		cfg := DefaultKafkaConfig()
		cfg.Brokers = []string{"127.0.0.1:19092"}
		done := make(chan error, 1)
		go func() {
			cl, err := Connect(t.Context(), cfg, zap.New(core), kgo.Dialer(net.DialContext))
			if err == nil {
				cl.Close()
			}
			done <- err
		}()
		time.Sleep(time.Minute)
		if n := logs.Len(); n < 5 || n > 15 {
			t.Errorf("%d lines in a minute of waiting, want one every few seconds", n)
		}
		if e := logs.All()[0]; !strings.Contains(e.Message, "kafka") || e.ContextMap()["broker"] != "127.0.0.1:19092" {
			t.Errorf("the line does not say what is waited for: %v %v", e.Message, e.ContextMap())
		}
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(19092), kfake.ListenFn(net.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the broker is there and not connected to")
		}
	})
}

func TestConnectStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net kfake.VirtualNetwork
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := Connect(ctx, DefaultKafkaConfig(), quiet(), kgo.Dialer(net.DialContext)); err == nil || IsPermanent(err) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSASL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		sasl  SASLConfig
		fault *kerr.Error
		want  string // "": let in
	}{
		{"plain", SASLConfig{"PLAIN", "u", file}, nil, ""},
		{"scram", SASLConfig{"SCRAM-SHA-256", "s", file}, nil, ""},
		{"wrong password", SASLConfig{"PLAIN", "u", file}, kerr.SaslAuthenticationFailed, "kafka.sasl.password_file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeKafka(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "right"), kfake.Superuser("SCRAM-SHA-256", "s", "right"))
				if c.fault != nil {
					f.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, Err: c.fault, Count: -1})
				}
				f.cfg.SASL = c.sasl
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				cl, err := Connect(ctx, f.cfg, quiet(), kgo.Dialer(f.net.DialContext))
				if err == nil {
					cl.Close()
				}
				wantRefusal(t, err, c.want)
			})
		})
	}
}

func wantRefusal(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Error(err)
	case want != "" && (!IsPermanent(err) || !strings.Contains(err.Error(), want)):
		t.Errorf("want a permanent error with %q, got %v", want, err)
	}
}

func TestTLSRefusals(t *testing.T) {
	plain, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	encrypted, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}))
	if err != nil {
		t.Fatal(err)
	}
	defer encrypted.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	c := DefaultKafkaConfig()
	c.TLS.Enabled = true
	c.Brokers = encrypted.ListenAddrs()
	_, err = Connect(ctx, c, quiet())
	wantRefusal(t, err, "kafka.tls.ca")

	c.Brokers = plain.ListenAddrs()
	_, err = Connect(ctx, c, quiet())
	if err == nil {
		t.Error("TLS with a broker that does not speak it")
	}
}

func TestEnsureTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKafka(t, kfake.SeedTopics(5, "api-logs"))
		cl := f.connect(t)
		topics := DefaultTopics()
		for range 2 { // the second finds everything there
			if err := EnsureTopics(t.Context(), cl, f.cfg, topics, quiet(), topics.Logs, topics.Bans); err != nil {
				t.Fatal(err)
			}
		}
		adm := kadm.NewClient(cl)
		have, err := adm.ListTopics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for topic, partitions := range map[string]int{"api-logs": 5, "api-verdicts": 2, "api-bans": 2, "api-logs-dlq": 2, "apiwarden-state": 5, "apiwarden-control": 2, "apiwarden-endpoint-stats": 2} {
			if n := len(have[topic].Partitions); n != partitions {
				t.Errorf("%s has %d partitions, want %d", topic, n, partitions)
			}
		}
		if have.Has(topics.Events) {
			t.Errorf("%s is only made where it is needed", topics.Events)
		}
		if err := EnsureTopics(t.Context(), cl, f.cfg, topics, quiet(), topics.Logs, topics.Events); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // what the client has in its cache is older
		if have, err = adm.ListTopics(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(have[topics.Events].Partitions); n != 5 {
			t.Errorf("%s has %d partitions, want as many as the logs, 5", topics.Events, n)
		}
		wantConfig(t, adm, topics.Bans, "cleanup.policy", "compact")
		wantConfig(t, adm, topics.Verdicts, "retention.ms", "604800000")
	})
}

func wantConfig(t *testing.T, adm *kadm.Client, topic, key, want string) {
	t.Helper()
	all, err := adm.DescribeTopicConfigs(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		for _, kv := range r.Configs {
			if kv.Key == key {
				if got := kv.MaybeValue(); got != want {
					t.Errorf("%s of %s is %q, want %q", key, topic, got, want)
				}
				return
			}
		}
	}
	t.Errorf("%s has no %s", topic, key)
}

func TestBanTopicThatIsNotCompactedIsWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKafka(t, kfake.SeedTopics(1, "api-bans"))
		core, logs := observer.New(zapcore.WarnLevel)
		if err := EnsureTopics(t.Context(), f.connect(t), f.cfg, DefaultTopics(), zap.New(core)); err != nil {
			t.Fatal(err)
		}
		if logs.FilterMessageSnippet("not compacted").Len() != 1 {
			t.Errorf("want one warning, got %v", logs.All())
		}
	})
}

func TestTopicsThatMayNotBeCreated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKafka(t, kfake.SeedTopics(1, "api-logs"))
		f.cfg.CreateTopics = false
		topics := DefaultTopics()
		if err := EnsureTopics(t.Context(), f.connect(t), f.cfg, topics, quiet(), topics.Logs); err != nil {
			t.Errorf("what is needed is there: %v", err)
		}
		err := EnsureTopics(t.Context(), f.connect(t), f.cfg, topics, quiet(), topics.Logs, topics.Verdicts)
		wantRefusal(t, err, "api-verdicts missing")

		f.cfg.CreateTopics = true
		f.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Topic: topics.Verdicts, Err: kerr.PolicyViolation})
		wantRefusal(t, EnsureTopics(t.Context(), f.connect(t), f.cfg, topics, quiet()), "creating topic api-verdicts")
	})
}

func TestProducerGivesUpWhereItIsNotAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKafka(t, kfake.SeedTopics(1, "api-verdicts"))
		p := NewProducer(f.connect(t, ProducerOpts()...), testMetrics(), quiet())
		f.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		err := p.Send(t.Context(), []*kgo.Record{VerdictRecord("api-verdicts", &schemas.Verdict{Subject: "192.0.2.1"})})
		wantRefusal(t, err, "writing to topic api-verdicts")
	})
}

func TestVerdictOfAnAbsurdPathCanBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKafka(t, kfake.SeedTopics(1, "api-verdicts"))
		p := NewProducer(f.connect(t, ProducerOpts()...), testMetrics(), quiet())
		long := "GET /" + strings.Repeat("é", 1<<20)
		v := &schemas.Verdict{Subject: "192.0.2.1", Endpoint: long, Details: long, Evidence: schemas.Evidence{Trigger: long}}
		if err := p.Send(t.Context(), []*kgo.Record{VerdictRecord("api-verdicts", v)}); err != nil {
			t.Fatal(err)
		}
		var got schemas.Verdict
		if err := schemas.DecodeVerdict([]byte(f.readAll(t, "api-verdicts")[0].Value), &got); err != nil {
			t.Fatal(err)
		}
		if n := len(got.Endpoint); n < 1000 || n > 3000 || !strings.HasSuffix(got.Endpoint, "é…") {
			t.Errorf("the endpoint has %d bytes and ends in %q", n, got.Endpoint[n-10:])
		}
	})
}
