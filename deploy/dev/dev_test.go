package dev

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func TestClickHouse(t *testing.T) {
	addr := ClickHouse(t)
	db := Database(t, addr)
	Query(t, addr, "CREATE TABLE "+db+".t (x UInt64) ENGINE = MergeTree ORDER BY x")
	Query(t, addr, "INSERT INTO "+db+".t SELECT number FROM numbers(1000)")
	if got := Query(t, addr, "SELECT sum(x) FROM "+db+".t"); got != "499500" {
		t.Errorf("sum = %s, want 499500", got)
	}
}

func TestKafka(t *testing.T) {
	plainAddr := Kafka(t)
	login := KafkaSASL(t)
	tlsAddr, ca := KafkaTLS(t)
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", ca)
	}
	auth := scram.Auth{User: login.Username, Pass: login.Password}
	for name, opts := range map[string][]kgo.Opt{
		"plaintext": {kgo.SeedBrokers(plainAddr)},
		"plain":     {kgo.SeedBrokers(login.Broker), kgo.SASL(plain.Auth{User: login.Username, Pass: login.Password}.AsMechanism())},
		"scram-256": {kgo.SeedBrokers(login.Broker), kgo.SASL(auth.AsSha256Mechanism())},
		"tls":       {kgo.SeedBrokers(tlsAddr), kgo.DialTLSConfig(&tls.Config{RootCAs: roots})},
		"scram-512": {kgo.SeedBrokers(login.Broker), kgo.SASL(auth.AsSha512Mechanism())},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := kgo.NewClient(opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			meta, err := kadm.NewClient(client).BrokerMetadata(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if len(meta.Brokers) != 1 {
				t.Errorf("%d brokers, want 1", len(meta.Brokers))
			}
		})
	}
}

func TestShared(t *testing.T) {
	if Shared(t) == "" {
		t.Error("no folder")
	}
}
