package traffic

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// shipped compiles deploy/rules.
func shipped(t *testing.T) *detector.Program {
	t.Helper()
	p, err := detector.Load(filepath.Join("..", "..", "..", "deploy", "rules"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range p.Warnings() {
		t.Errorf("warning about the shipped rules: %s", w)
	}
	return p
}

// judge runs traffic through the production engine under the shipped rules. It gives
// the verdicts that did something to somebody, by subject.
func judge(t *testing.T, p *detector.Program, seed uint64, o Options, late, live time.Duration) (*Traffic, map[string][]schemas.Verdict) {
	t.Helper()
	dec, err := schemas.NewDecoder(schemas.Options{})
	if err != nil {
		t.Fatal(err)
	}
	engine := detector.NewEngine(p, detector.Options{Topic: "api-logs"})
	acts := map[string][]schemas.Verdict{}
	var line []byte
	var ev schemas.Event
	var offset int64
	tr := run(seed, o, late, live, func(e *Event, _ bool) {
		line = e.AppendJSON(line[:0])
		if err := dec.Decode(line, &ev); err != nil {
			t.Fatalf("decoding %s: %v", line, err)
		}
		if out, bad := engine.Observe(&ev, detector.Record{Offset: offset, Time: e.Time}); bad != nil || out == detector.Late {
			t.Fatalf("%s: outcome %v, %v", line, out, bad)
		}
		offset++
		verdicts, _ := engine.Take()
		for _, v := range verdicts {
			v.Details, v.Endpoint = strings.Clone(v.Details), strings.Clone(v.Endpoint)
			acts[v.Subject] = append(acts[v.Subject], v)
		}
	})
	return tr, acts
}

func bans(verdicts []schemas.Verdict) (rules []string) {
	for _, v := range verdicts {
		if v.ActionTaken == string(schemas.ActionBan) {
			rules = append(rules, v.RuleID)
		}
	}
	return rules
}

// Whatever the seed, the shipped rules ban every attacker and do nothing to anybody
// else, not even throttle them.
func TestShippedRulesTellAttackersFromInnocents(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 3
	}
	p := shipped(t)
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			o := DefaultOptions(noon.Add(time.Duration(seed) * 67 * time.Minute))
			o.Live = 30 * time.Second
			if seed == 1 {
				o.HistoryEvents, o.Rate = 30_000, 1000
			} else { // fewer visitors; attackers and look-alikes are all there
				o.History, o.HistoryEvents, o.Rate = 2*time.Hour, 500, 100
			}
			late := []time.Duration{8 * time.Second, time.Second, 25 * time.Second, 60 * time.Second}[seed%4]
			tr, acts := judge(t, p, seed, o, late, o.Live)
			evil := map[string]string{}
			for _, a := range tr.Attackers() {
				evil[a.Addr.String()] = a.Name
				rules := bans(acts[a.Addr.String()])
				if len(rules) == 0 {
					t.Errorf("%s (%s) was not banned; verdicts: %v", a.Name, a.Addr, acts[a.Addr.String()])
				}
			}
			innocent := map[string]string{}
			for _, a := range tr.Innocents() {
				innocent[a.Addr.String()] = a.Name
			}
			for subject, list := range acts {
				if evil[subject] != "" {
					continue
				}
				for _, v := range list {
					if v.Action == schemas.ActionBan || v.Action == schemas.ActionThrottle {
						t.Errorf("%s %s: %s by %s: %s", innocent[subject], subject, v.Action, v.RuleID, v.Details)
					}
				}
			}
		})
	}
}

// notInDemo are rules that act and that nobody in the demo trips; deploy/rules tests
// them with all others.
var notInDemo = []string{
	"wordpress-guessing", "script-probing", "backup-files", // the shop has nothing to do with PHP
	"secret-files-crawler", "crawl-pace",
}

// The demo shows every other rule of the shipped set that acts at work, and the
// attacker who returns is banned longer each time.
func TestDemoShowsEveryRuleAndEscalation(t *testing.T) {
	p := shipped(t)
	o := DefaultOptions(noon)
	o.HistoryEvents, o.Rate, o.Live = 1000, 100, 30*time.Second
	tr, acts := judge(t, p, 1, o, 8*time.Second, o.Live)
	fired := map[string]bool{}
	for _, list := range acts {
		for _, v := range list {
			fired[v.RuleID] = true
		}
	}
	for _, r := range p.Rules() {
		acts := r.Action == schemas.ActionBan || r.Action == schemas.ActionThrottle
		if !fired[r.ID] && acts && !slices.Contains(notInDemo, r.ID) {
			t.Errorf("no attacker of the demo trips %s", r.ID)
		}
	}
	for _, a := range tr.Attackers() {
		if a.Name != "returning" {
			continue
		}
		var lengths []string
		for _, v := range acts[a.Addr.String()] {
			if v.ActionTaken == string(schemas.ActionBan) {
				lengths = append(lengths, v.ExpiresAt.Time().Sub(v.EventTime.Time()).String())
			}
		}
		if got := strings.Join(lengths, " "); got != "15m0s 30m0s 1h0m0s 2h0m0s" {
			t.Errorf("bans lasted %s, want 15 minutes doubled three times", got)
		}
	}
}

// An endless demo gets new attackers; they are caught as well.
func TestWavesAreCaught(t *testing.T) {
	o := DefaultOptions(noon)
	o.History, o.HistoryEvents, o.Rate = time.Hour, 500, 100
	tr, acts := judge(t, shipped(t), 11, o, 5*time.Second, 4*time.Minute)
	attackers := tr.Attackers()
	if len(attackers) < 40 {
		t.Errorf("%d attackers in four minutes, want another one every few seconds", len(attackers))
	}
	evil := map[string]bool{}
	for _, a := range attackers {
		evil[a.Addr.String()] = true
		if a.Done && len(bans(acts[a.Addr.String()])) == 0 {
			t.Errorf("%s (%s) was not banned", a.Name, a.Addr)
		}
	}
	for subject, list := range acts {
		if rules := bans(list); len(rules) > 0 && !evil[subject] {
			t.Errorf("%s is no attacker and was banned by %v", subject, rules)
		}
	}
}
