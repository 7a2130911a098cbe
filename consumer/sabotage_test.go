package consumer

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// saboteur is the connections of one member, which can end or stand still when a
// request of a kind is about to be sent, or just has been: what kill -9 and SIGSTOP
// look like from the cluster.
type saboteur struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil: that of package net

	mu    sync.Mutex
	key   kmsg.Key
	act   func(write func() (int, error)) (int, error) // nil: nothing is planned
	conns []net.Conn
	dead  bool
	halt  chan struct{} // not nil: nothing is sent until it is closed
	did   chan struct{} // closed once the plan is carried out
}

// plan has act called in place of the next request of the kind.
func (s *saboteur) plan(key kmsg.Key, act func(write func() (int, error)) (int, error)) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key, s.act, s.did = key, act, make(chan struct{})
	return s.did
}

// dieBefore ends every connection before the next request of the kind is sent.
func (s *saboteur) dieBefore(key kmsg.Key) <-chan struct{} {
	return s.plan(key, func(func() (int, error)) (int, error) {
		s.die()
		return 0, net.ErrClosed
	})
}

// dieAfter sends the next request of the kind and ends every connection before it is
// answered.
func (s *saboteur) dieAfter(key kmsg.Key) <-chan struct{} {
	return s.plan(key, func(write func() (int, error)) (int, error) {
		n, err := write()
		s.die()
		return n, err
	})
}

// sleepBefore has the whole member stand still for d before the next request of the
// kind, which it sends when it wakes up.
func (s *saboteur) sleepBefore(key kmsg.Key, d time.Duration) <-chan struct{} {
	return s.plan(key, func(write func() (int, error)) (int, error) {
		halt := make(chan struct{})
		s.mu.Lock()
		s.halt = halt
		s.mu.Unlock()
		time.Sleep(d)
		s.mu.Lock()
		s.halt = nil
		s.mu.Unlock()
		close(halt)
		return write()
	})
}

// die ends every connection and lets none begin.
func (s *saboteur) die() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = true
	for _, c := range s.conns {
		c.Close()
	}
}

// hiccup ends every connection; the member may begin others.
func (s *saboteur) hiccup() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// Dial gives a connection that does as planned.
func (s *saboteur) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := s.dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		conn.Close()
		// The client tries again after any error, and after net.ErrClosed without a pause.
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	s.conns = append(s.conns, conn)
	return &sabotaged{Conn: conn, by: s}, nil
}

// sabotaged is a connection of a saboteur.
type sabotaged struct {
	net.Conn
	by *saboteur
}

// Write sends one request: the client writes each whole, its kind after its length.
func (c *sabotaged) Write(b []byte) (int, error) {
	s := c.by
	s.mu.Lock()
	halt, act, did := s.halt, s.act, s.did
	if halt == nil && act != nil && len(b) > 6 && kmsg.Key(int16(b[4])<<8|int16(b[5])) == s.key {
		s.act = nil
		s.mu.Unlock()
		defer close(did)
		return act(func() (int, error) { return c.Conn.Write(b) })
	}
	s.mu.Unlock()
	if halt != nil {
		<-halt
	}
	return c.Conn.Write(b)
}
