package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// Connect gives a client that has reached the cluster. While no broker answers it
// waits, with backoff, and says every few seconds for what; it ends early when ctx
// does, and with a PermanentError where the cluster refuses us (a wrong password, a
// certificate that does not fit). The caller closes the client.
//
// The client also says, at most every few seconds, when it loses a broker later.
func Connect(ctx context.Context, c KafkaConfig, log *zap.Logger, more ...kgo.Opt) (*kgo.Client, error) {
	return connect(ctx, c, log, kgo.NewClient, more)
}

// ConnectSession is Connect for a client that consumes in a group and produces in
// transactions. The caller closes its client.
func ConnectSession(ctx context.Context, c KafkaConfig, log *zap.Logger, more ...kgo.Opt) (*kgo.GroupTransactSession, error) {
	var session *kgo.GroupTransactSession
	_, err := connect(ctx, c, log, func(opts ...kgo.Opt) (*kgo.Client, error) {
		var err error
		if session, err = kgo.NewGroupTransactSession(opts...); err != nil {
			return nil, err
		}
		return session.Client(), nil
	}, more)
	return session, err
}

func connect(ctx context.Context, c KafkaConfig, log *zap.Logger, client func(...kgo.Opt) (*kgo.Client, error), more []kgo.Opt) (*kgo.Client, error) {
	opts, err := c.Opts()
	if err != nil {
		return nil, err
	}
	say := &unreachable{log: log}
	opts = append(opts, kgo.WithHooks(say))
	cl, err := client(append(opts, more...)...)
	if err != nil {
		return nil, &PermanentError{Doing: "setting up the kafka client", Err: err}
	}
	where := strings.Join(c.Brokers, ",")
	for n := 0; ; n++ {
		ping, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := cl.Ping(ping)
		cancel()
		if err == nil {
			return cl, nil
		}
		if perm := Refusal("connecting to kafka at "+where, err); perm != nil {
			cl.Close()
			return nil, perm
		}
		say.note(where, err)
		if err := wait(ctx, retryBackoff(n)); err != nil {
			cl.Close()
			return nil, err
		}
	}
}

// Refusal gives err as a PermanentError where asking again is pointless, nil
// where it may help.
func Refusal(doing string, err error) error {
	var (
		cert   *tls.CertificateVerificationError
		alert  tls.AlertError
		header tls.RecordHeaderError
		host   x509.HostnameError
		issuer x509.UnknownAuthorityError
		op     *net.OpError
	)
	do := ""
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.IllegalSaslState):
		do = "check kafka.sasl.username and the file named by kafka.sasl.password_file"
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		do = "the broker does not offer this mechanism: check kafka.sasl.mechanism"
	case errors.As(err, &cert), errors.As(err, &host), errors.As(err, &issuer):
		do = "the broker's certificate is not trusted: check kafka.tls.ca and the broker's host name"
	case errors.As(err, &header):
		do = "the broker does not speak TLS on this port: check kafka.tls.enabled and the port"
	case errors.As(err, &alert), errors.As(err, &op) && op.Op == "remote error":
		do = "the broker refuses our side of TLS: check kafka.tls.cert and kafka.tls.key"
	case errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed):
		do = "the user lacks a right: it needs read on the input, the group and the ban topic, and write on the topics that are written"
	case errors.Is(err, kerr.FencedInstanceID):
		do = "another process has joined with the same kafka.instance_id: each needs a name of its own"
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		do = "the user lacks a right: input.rekey needs write on transactional ids that begin with the group's name"
	case errors.Is(err, kerr.UnsupportedVersion):
		do = "the cluster is too old"
	default:
		return nil
	}
	return &PermanentError{Doing: doing, Err: err, Do: do}
}

// unreachable says that a broker cannot be reached, but not at each attempt: there
// are many a second.
type unreachable struct {
	log *zap.Logger
	say Seldom
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (u *unreachable) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		u.note(net.JoinHostPort(meta.Host, strconv.Itoa(int(meta.Port))), err)
	}
}

func (u *unreachable) note(broker string, err error) {
	if u.say.Due() {
		u.log.Warn("kafka cannot be reached, waiting for it", zap.String("broker", broker), zap.Error(err))
	}
}
