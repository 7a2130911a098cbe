package consumer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// chaosRules count for longer than a test lasts, and ban for shorter.
const chaosRules = `
version: 1
lateness: 5s
escalation: {factor: 2, max: 1m, decay: 1h}
rules:
  - {id: hour, type: usage, threshold: 12, window: 1h, action: alert, emit: every}
  - {id: burst, type: usage, threshold: 4, window: 10s, window_edge: half_open, action: ban, ban_for: 8s}
  - {id: endpoints, type: usage, group_by: [subject, endpoint], threshold: 5, window: 1h, action: throttle, throttle_for: 1h}
  - {id: often, type: frequency, max_frequency: 0.1, window: 30s, action: log}
  - {id: paths, type: distinct, field: path, threshold: 5, window: 1h, action: ban, ban_for: 5s, max_bans_per_minute: 2}
  - {id: errors, type: ratio, pattern: "status:>=400", min_volume: 4, threshold: 0.4, window: 1h, action: alert}
  - {id: steps, type: walk, field: latency_ms, max_step: 50, threshold: 1, window: 1h, action: alert}
  - {id: admin, type: match, when: 'path startsWith "/admin"', window: 15s, action: log}
  - {id: wins, type: return_pattern, pattern: win, threshold: 2, window: 1h, action: ban, ban_for: 10s, reset_on_ban: true}
`

// learnedRules are chaosRules with one more, which needs summaries.
const learnedRules = chaosRules + `
  - {id: slow, type: latency, action: alert}
`

// otherRules are what members are given now and then in place of chaosRules: counts of
// some rules go on, others begin, end, or decide otherwise.
func otherRules() []string {
	return []string{
		chaosRules,
		strings.Replace(chaosRules, "threshold: 12", "threshold: 9", 1) + `
  - {id: reads, type: usage, threshold: 6, window: 2m, when: 'method == "GET"', emit: every, action: log}
`,
		strings.Replace(chaosRules, "{id: often, type: frequency, max_frequency: 0.1", "{id: seldom, type: frequency, max_frequency: 0.05", 1),
	}
}

// chaos is what happens to a group of detects, as one seed has it.
type chaos struct {
	*site
	rnd     *rand.Rand
	named   map[string]bool // subjects that people have banned, pardoned or exempted; nil: people say nothing
	rules   []string        // of which each member has some
	learned bool            // some of them learn
	awake   bool            // nobody stands still: who is thought to be dead is
	members []*victim
	faults  []*kfake.FaultHandle
	ending  sync.WaitGroup // stops that nobody waits for
	story   []string
}

// victim is a member, and what can be done to it.
type victim struct {
	*running
	saboteur
}

// TestRandomFaults has faults and members come and go at random, for a few minutes of
// fake time for each seed, and compares with what each partition's log leads to when it
// is judged in one go. APIWARDEN_TEST_SEEDS says how many seeds, APIWARDEN_TEST_SEED
// which one alone, with the log of its members. Goroutines take turns as they like, so
// a seed does not always lead to the same.
func TestRandomFaults(t *testing.T) {
	first, n := uint64(1), uint64(16)
	if text := os.Getenv("APIWARDEN_TEST_SEED"); text != "" {
		n = 1
		scan(t, text, &first)
	} else if text := os.Getenv("APIWARDEN_TEST_SEEDS"); text != "" {
		scan(t, text, &n)
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			atSite(t, func(t *testing.T, s *site) {
				c := &chaos{site: s, rnd: rand.New(rand.NewPCG(seed, 2))}
				if n == 1 {
					s.log = zap.Must(zap.NewDevelopment())
				}
				defer func() {
					if t.Failed() {
						t.Logf("APIWARDEN_TEST_SEED=%d: %q", seed, c.story)
					}
				}()
				c.run(t)
			})
		})
	}
}

func scan(t *testing.T, text string, n *uint64) {
	t.Helper()
	if _, err := fmt.Sscan(text, n); err != nil {
		t.Fatal(err)
	}
}

func (c *chaos) run(t *testing.T) {
	c.cfg.State.Interval = schemas.Duration(time.Second + time.Duration(c.rnd.IntN(5000))*time.Millisecond)
	c.cfg.Kafka.GroupProtocol = protocols()[c.rnd.IntN(2)]
	if c.rnd.IntN(3) == 0 { // counts are given up for want of memory
		c.cfg.State.MaxBytes, c.cfg.State.Shards = 1<<20, 64
	}
	c.rules = otherRules()[:1]
	if c.rnd.IntN(2) == 0 {
		c.named = make(map[string]bool)
	}
	if c.rnd.IntN(2) == 0 {
		c.awake, c.rules = true, otherRules()
	}
	if c.learned = c.rnd.IntN(2) == 0; c.learned {
		c.rules = append([]string{learnedRules}, c.rules[1:]...)
	}
	c.member(t)
	for range 25 {
		c.feed(t, 5+c.rnd.IntN(60))
		pause := time.Duration(c.rnd.IntN(4000)) * time.Millisecond
		if c.awake && c.rnd.IntN(2) == 0 {
			pause /= 100 // what has just been judged is not in a snapshot yet
		}
		time.Sleep(pause)
		c.disturb(t)
		c.change(t)
	}
	for _, f := range c.faults {
		f.Remove()
	}
	c.feed(t, 50)
	c.member(t)
	c.ending.Wait()
	time.Sleep(2 * time.Minute) // who stands still wakes up
	for _, m := range c.members {
		if err := m.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	c.bury(t)
	last := c.begin(t, c.rules[0], kgo.AutoCommitInterval(24*time.Hour))
	time.Sleep(4 * time.Minute) // sessions of those that crashed have to time out, one after the other
	last.await(t)
	time.Sleep(30 * time.Second) // what nobody had committed is judged
	c.compare(t)
	if c.learned {
		c.compareSummaries(t)
	}
	if err := last.stop(); err != nil {
		t.Fatal(err)
	}
	if n := c.uncommitted(t); n != 0 {
		t.Errorf("%d records are not committed", n)
	}
}

// change has people say something, or gives a member other rules.
func (c *chaos) change(t *testing.T) {
	t.Helper()
	if c.named != nil && c.rnd.IntN(3) == 0 {
		op := []schemas.Op{schemas.OpBan, schemas.OpUnban, schemas.OpExempt, schemas.OpUnexempt}[c.rnd.IntN(4)]
		who := fmt.Sprintf("10.0.0.%d", c.rnd.IntN(8))
		c.named[who] = true
		c.did("%s %s", op, who)
		c.say(t, op, schemas.ScopeIP, who)
	}
	if len(c.members) > 0 && len(c.rules) > 1 && c.rnd.IntN(4) == 0 {
		n, m := c.rnd.IntN(len(c.rules)), c.members[c.rnd.IntN(len(c.members))]
		c.did("rules %d", n)
		if err := m.Adopt(program(t, c.rules[n])); err != nil {
			t.Fatal(err)
		}
	}
}

// bury takes out of the group whom kfake keeps in it for ever: members of the classic
// protocol that have vanished while the group was rebalancing.
func (c *chaos) bury(t *testing.T) {
	t.Helper()
	if c.cfg.Kafka.GroupProtocol != sink.GroupClassic {
		return
	}
	groups, err := c.adm.DescribeGroups(t.Context(), c.cfg.Kafka.Group)
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = c.cfg.Kafka.Group
	for _, m := range groups[req.Group].Members {
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID = m.MemberID
		req.Members = append(req.Members, member)
	}
	if len(req.Members) == 0 {
		return
	}
	c.did("%d vanished members are taken out of the group", len(req.Members))
	if _, err := req.RequestWith(t.Context(), c.cl); err != nil {
		t.Fatal(err)
	}
}

// did notes what is done, for who looks for the reason of a failure.
func (c *chaos) did(format string, args ...any) {
	c.story = append(c.story, fmt.Sprintf(format, args...))
}

// member starts one more.
func (c *chaos) member(t *testing.T) {
	v := &victim{saboteur: saboteur{dial: c.net.DialContext}}
	// The client's periodic commit waits for a join at a lock, which keeps the bubble's
	// clock from moving on: see fleet_test.go.
	n := c.rnd.IntN(len(c.rules))
	v.running = c.begin(t, c.rules[n], kgo.Dialer(v.Dial), kgo.AutoCommitInterval(24*time.Hour))
	c.members = append(c.members, v)
	c.did("join with rules %d", n)
}

// disturb does one thing.
func (c *chaos) disturb(t *testing.T) {
	at := func() *victim { return c.members[c.rnd.IntN(len(c.members))] }
	keys := []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.OffsetCommit, kmsg.Heartbeat, kmsg.ConsumerGroupHeartbeat, kmsg.OffsetFetch, kmsg.ListOffsets}
	key := keys[c.rnd.IntN(len(keys))]
	switch what := c.rnd.IntN(10); {
	case what < 2 && len(c.members) < 4, len(c.members) == 0:
		c.member(t)
	case what < 3:
		c.did("stop")
		c.leave(t, at())
	case what == 3, what == 5 && c.awake:
		v := at()
		v.die()
		c.did("crash")
		c.leave(t, v)
	case what == 4:
		v := at()
		v.dieAfter(key)
		c.did("crash after %s", key.Name())
	case what == 5:
		d := time.Duration(c.rnd.IntN(60)) * time.Second
		at().sleepBefore(key, d)
		c.did("stand still for %v before %s", d, key.Name())
	case what == 6:
		at().hiccup()
		c.did("lose connections")
	default:
		c.fault()
	}
}

// leave stops a member; nobody waits for that, which may take long for one that has
// crashed.
func (c *chaos) leave(t *testing.T, v *victim) {
	c.members = slices.DeleteFunc(c.members, func(m *victim) bool { return m == v })
	c.ending.Go(func() {
		if err := v.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// fault has requests of a kind fail for a while, with an error that passes.
func (c *chaos) fault() {
	for range 1 + c.rnd.IntN(3) {
		f := kfake.Fault{Count: 1 + c.rnd.IntN(4)}
		var errs []*kerr.Error
		switch c.rnd.IntN(7) {
		case 0, 1:
			f.Keys, f.Topic = []kmsg.Key{kmsg.Produce}, []string{c.cfg.Topics.Verdicts, c.cfg.Topics.Bans, c.cfg.Topics.State, c.cfg.Topics.EndpointStats}[c.rnd.IntN(4)]
			errs = []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.KafkaStorageError}
		case 2:
			f.Keys, f.Topic = []kmsg.Key{kmsg.Fetch}, []string{c.cfg.Topics.Logs, c.cfg.Topics.Bans, c.cfg.Topics.State}[c.rnd.IntN(3)]
			errs = []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownServerError, kerr.OffsetNotAvailable}
		case 3:
			f.Keys = []kmsg.Key{kmsg.OffsetCommit, kmsg.OffsetFetch}
			errs = []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator}
		case 4:
			f.Keys = []kmsg.Key{kmsg.Heartbeat}
			errs = []*kerr.Error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.NotCoordinator}
		case 5:
			f.Keys = []kmsg.Key{kmsg.ConsumerGroupHeartbeat}
			errs = []*kerr.Error{kerr.FencedMemberEpoch, kerr.UnknownMemberID, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress}
		case 6:
			f.Keys = []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup}
			errs = []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.UnknownMemberID}
		}
		f.Err = errs[c.rnd.IntN(len(errs))]
		c.faults = append(c.faults, c.Fault(f))
		c.did("%s %s %d times for %s", f.Err.Message, f.Keys[0].Name(), f.Count, f.Topic)
	}
}

// feed puts events of a few subjects.
func (c *chaos) feed(t *testing.T, n int) {
	t.Helper()
	recs := make([]*kgo.Record, 0, n)
	for range n {
		who := c.rnd.IntN(70)
		if who >= 50 { // some are seen once
			who = 1000 + c.rnd.IntN(60000)
		}
		ip := fmt.Sprintf("10.0.%d.%d", who>>8, who&255)
		at := time.Now()
		if c.rnd.IntN(4) == 0 {
			at = at.Add(-time.Duration(c.rnd.IntN(8000)) * time.Millisecond)
		}
		path := fmt.Sprintf("/items/x%d", c.rnd.IntN(30))
		if c.rnd.IntN(8) == 0 {
			path = "/admin/users"
		}
		recs = append(recs, &kgo.Record{Topic: c.cfg.Topics.Logs, Key: []byte(ip), Value: fmt.Appendf(nil,
			`{"client_ip":%q,"method":"GET","path":%q,"status":%d,"timestamp":%d,"latency_ms":%d,"response_body":%q}`,
			ip, path, []int{200, 200, 404, 500}[c.rnd.IntN(4)], at.UnixMicro(), c.rnd.IntN(300), []string{"win", "loss", "draw"}[c.rnd.IntN(3)])})
	}
	if err := c.cl.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// judgedInOneGo gives the partitions as their journals begin.
func (c *chaos) judgedInOneGo(t *testing.T) map[int32]*partition {
	t.Helper()
	var rules rulesInForce
	rules.Store(program(t, c.rules[0]))
	l := newLibrary(&rules, schemas.Options{MaxRecordBytes: 1 << 20})
	out := make(map[int32]*partition)
	for n, j := range c.journals(t) {
		p := &partition{tp: topicPartition{c.cfg.Topics.Logs, n}, journal: j, next: j.begin(), replay: &replay{log: zap.NewNop()}}
		if err := l.rewind(p); err != nil {
			t.Fatal(err)
		}
		p.resume()
		out[n] = p
	}
	return out
}

// compare holds verdicts and bans against those of logs that are judged in one go.
func (c *chaos) compare(t *testing.T) {
	t.Helper()
	want, bans := make(map[string]string), make(map[string]schemas.Ban)
	add := func(to map[string]string, v *schemas.Verdict) {
		// Who stands still is taken for dead, and judges on when it wakes up, without knowing
		// what people have said meanwhile. That is seen of named subjects alone, and of bans
		// that the budget has left for others.
		taken := v.ActionTaken
		if c.named != nil && !c.awake {
			taken = ""
		}
		if c.awake || !c.named[v.Subject] {
			to[v.VerdictID] = fmt.Sprint(v.RuleID, " ", v.Subject, " ", v.EventTime, " ", v.Count, " ", v.Action, " ", taken)
		}
	}
	partitions := c.judgedInOneGo(t)
	logs := c.read(t, c.cfg.Topics.Logs)
	for _, r := range logs {
		p := partitions[r.Partition]
		p.judgeOne(t, r)
		verdicts, _ := p.engine.Take()
		for i := range verdicts {
			add(want, &verdicts[i])
		}
	}
	now, evicted := schemas.Micros(time.Now().UnixMicro()), uint64(0)
	for _, p := range partitions {
		evicted += p.engine.Stats().Evicted
		for _, b := range p.engine.Shown() {
			if b.ExpiresAt >= now {
				bans[schemas.BanKey(b.Scope, b.Value)] = b
			}
		}
	}
	got, twice := make(map[string]string), 0
	for _, v := range c.verdicts(t) {
		if _, ok := got[v.VerdictID]; ok {
			twice++
		}
		add(got, &v)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts of an undisturbed run (-) and of this one (+) differ:\n%s", diff[:min(len(diff), 3000)])
	}
	t.Logf("%d events, %d verdicts, %d of them once more on the topic, %d evicted, %d bans at the end", len(logs), len(got), twice, evicted, len(bans))
	if c.named != nil {
		return // the ban topic has what they have said besides, whatever has been counted
	}
	enforced := c.bans(t)
	for key, b := range enforced {
		if b.ExpiresAt < now {
			delete(enforced, key)
		}
	}
	if diff := cmp.Diff(bans, enforced); diff != "" {
		t.Errorf("bans of an undisturbed run (-) and of this one (+) differ:\n%s", diff[:min(len(diff), 3000)])
	}
}

// judgeOne has the partition judge a record that can be used, after what changes before it.
func (p *partition) judgeOne(t *testing.T, r *kgo.Record) {
	t.Helper()
	p.replay.advance(p, r.Offset)
	var ev schemas.Event
	if err := p.rules.decoder.Decode(r.Value, &ev); err != nil {
		t.Fatal(err)
	}
	p.engine.Observe(&ev, detector.Record{Offset: r.Offset, Time: r.Timestamp.UnixMicro()})
}
