package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// defaultPeers is where the peers' program lies beside a checkout.
const defaultPeers = "../shared/tools/peers/run.sh"

// peer is another system that counts the same events.
type peer struct {
	name   string // as its program takes it
	what   string
	six    bool
	target float64 // times its events per CPU-second
}

func peers() []peer {
	return []peer{
		{"flink-deque", "Flink, exact function, one rule", false, 10},
		{"flink-deque6", "Flink, exact function, six rules", true, 25},
		{"ks-slide", "Kafka Streams, sliding windows, one rule", false, 40},
	}
}

// measurePeers runs the peers on the topic of the throughput measurements. CPU time is
// of their whole process and of our whole process, the start of each included.
func (b *bench) measurePeers(ctx context.Context) error {
	program, missing := b.findPeers()
	if missing != "" {
		b.say("left out: %s", missing)
		return nil
	}
	logs, err := b.sharedLogs(ctx)
	if err != nil {
		return err
	}
	for _, p := range peers() {
		ours, err := b.oursBeside(ctx, logs, p.six)
		if err != nil {
			return err
		}
		theirs, err := b.runPeer(ctx, program, logs, p)
		if err != nil {
			b.say("%s left out: %v", p.name, err)
			continue
		}
		times := ours / theirs.perCPU
		b.say("%s: %.0f events/s, %.0f per CPU-second, %.0f MB; ours %.0f per CPU-second", p.name, theirs.rate, theirs.perCPU, theirs.residentMB, ours)
		id := "peer_" + strings.ReplaceAll(p.name, "-", "_")
		b.report.add(
			measure{Section: "peers", ID: id + "_rate", What: p.what + ": events/s", Value: theirs.rate, Unit: "events/s"},
			measure{Section: "peers", ID: id + "_per_cpu", What: "the same per CPU-second", Value: theirs.perCPU, Unit: "events/s"},
			measure{Section: "peers", ID: id + "_ours_per_cpu", What: "ours on the same topic per CPU-second", Value: ours, Unit: "events/s"},
			measure{Section: "peers", ID: id + "_resident", What: "its resident memory", Value: theirs.residentMB, Unit: "MB"},
			atLeast(p.target, measure{Section: "peers", ID: id + "_times", What: "ours per CPU-second, of " + p.name, Value: times, Unit: "times"}),
		)
	}
	return nil
}

// findPeers gives the peers' program, or what is missing to run it.
func (b *bench) findPeers() (program, missing string) {
	program = b.o.peers
	if program == "" {
		program = defaultPeers
	}
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Sprintf("no peers at %s (--peers names their run.sh)", program)
	}
	for _, tool := range []string{"java", "javac", "mvn", "python3", "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", tool + " not found, which the peers need"
		}
	}
	return program, ""
}

// oursBeside is our events per CPU-second of the whole process, measured right before
// a peer.
func (b *bench) oursBeside(ctx context.Context, logs string, six bool) (float64, error) {
	purpose, rules := "beside-one", benchOneRule
	if six {
		purpose, rules = "beside-six", benchSixRules
	}
	t, err := b.detectAll(ctx, logs, purpose, rules, b.size.events)
	if err != nil {
		return 0, err
	}
	return t.perWholeCPU(), nil
}

// peerResult is what a peer's program says of it.
type peerResult struct {
	rate, perCPU, residentMB float64
}

// runPeer runs a peer to its end, or for as long as it may take.
func (b *bench) runPeer(ctx context.Context, program, topic string, p peer) (peerResult, error) {
	limit := time.Duration(b.size.peerSeconds)*time.Second + 5*time.Minute // Maven may have to fetch it
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %s", limit))
	defer cancel()
	c := &child{what: p.name, done: make(chan struct{}), cmd: exec.Command(program, strings.Join(b.broker.addrs, ","), topic, strconv.Itoa(b.size.events), p.name)}
	c.cmd.Env = []string{"MAX_S=" + strconv.Itoa(b.size.peerSeconds)}
	if err := c.start(); err != nil {
		return peerResult{}, err
	}
	if err := c.wait(ctx); err != nil {
		return peerResult{}, err
	}
	return parsePeer(c.out.String())
}

// parsePeer reads the line of a peer's program.
func parsePeer(line string) (peerResult, error) {
	fields := make(map[string]float64)
	for _, word := range strings.Fields(line) {
		if name, value, ok := strings.Cut(word, "="); ok {
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				fields[name] = v
			}
		}
	}
	r := peerResult{rate: fields["events_per_s"], perCPU: fields["events_per_cpu_s"], residentMB: fields["rss_mb"]}
	if r.rate == 0 || r.perCPU == 0 {
		return r, fmt.Errorf("reading what it says: %q", strings.TrimSpace(line))
	}
	return r, nil
}
