package rules_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

const (
	browser = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
	google  = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
	images  = "Googlebot-Image/1.0"
	monitor = "Uptime-Kuma/2.0.2"
)

// event is one request; what a case does not say is in request.
type event map[string]any

// stream makes events of one client, one each interval.
type stream struct {
	times int
	every time.Duration
	from  time.Duration
	make  func(i int) event
}

// ruleCase is what some clients do, and whether the rule says something about it.
// Where it does not, nobody may be banned or throttled by any other either.
type ruleCase struct {
	name    string
	fires   bool
	streams []stream
}

func act(name string, s ...stream) ruleCase  { return ruleCase{name, true, s} }
func calm(name string, s ...stream) ruleCase { return ruleCase{name, false, s} }

func each(times int, every time.Duration, make func(i int) event) stream {
	return stream{times: times, every: every, make: make}
}

// get is a request for a path that may hold the number of the request.
func get(agent string, status int, path string) func(i int) event {
	return func(i int) event {
		if strings.Contains(path, "%d") {
			path := fmt.Sprintf(path, i)
			return event{"path": path, "status": status, "user_agent": agent}
		}
		return event{"path": path, "status": status, "user_agent": agent}
	}
}

// ids is get for a path with ids in an order of their own.
func ids(path string, id func(i int) int) func(i int) event {
	return func(i int) event { return get(browser, 200, fmt.Sprintf(path, id(i)))(i) }
}

// signIn is an attempt to sign in; user may hold the number of the attempt, and be
// empty where the log has none.
func signIn(path string, status int, user string) func(i int) event {
	return func(i int) event {
		e := event{"method": "POST", "path": path, "status": status}
		if strings.Contains(user, "%d") {
			e["user_id"] = fmt.Sprintf(user, i)
		} else if user != "" {
			e["user_id"] = user
		}
		return e
	}
}

// by is make for a signed-in client.
func by(user string, make func(i int) event) func(i int) event {
	return func(i int) event { e := make(i); e["user_id"] = user; return e }
}

// with is make with a field besides.
func with(field string, value any, make func(i int) event) func(i int) event {
	return func(i int) event { e := make(i); e[field] = value; return e }
}

// oneOf takes the i-th of several paths.
func oneOf(agent string, status int, paths ...string) func(i int) event {
	return func(i int) event { return get(agent, status, paths[i%len(paths)])(i) }
}

// cases holds what each shipped rule is for, and what it must leave alone.
var cases = map[string][]ruleCase{
	"burst": {
		act("250 requests in five seconds", each(250, 20*time.Millisecond, get(browser, 200, "/api/search"))),
		calm("a page of sixty parts", each(60, 10*time.Millisecond, get(browser, 200, "/static/%d.js"))),
	},
	"fast-client": {
		act("15 a second", each(500, 66*time.Millisecond, get(browser, 200, "/api/search"))),
		calm("8 a second for a minute", each(480, 125*time.Millisecond, get(browser, 200, "/api/search"))),
	},
	"volume": {
		act("11 a second for five minutes", each(3200, 91*time.Millisecond, get(browser, 200, "/api/search"))),
		calm("a monitor of many checks, two a second", each(1200, 500*time.Millisecond, get(monitor, 200, "/healthz"))),
	},
	"credential-stuffing": {
		act("eleven accounts", each(12, 10*time.Second, signIn("/api/login", 401, "u%d"))),
		act("another route for it", each(12, 10*time.Second, signIn("/api/v2/signin", 403, "u%d"))),
		calm("an office on a Monday: forty sign in, some mistype", each(40, 15*time.Second, func(i int) event {
			status := 200
			if i%6 == 0 {
				status = 401
			}
			return signIn("/api/login", status, "u%d")(i)
		})),
	},
	"login-failures": {
		act("one account, many passwords", each(25, 5*time.Second, signIn("/login", 401, "admin"))),
		calm("five wrong ones and the right one", each(6, 5*time.Second, func(i int) event { return signIn("/login", []int{401, 401, 401, 401, 401, 200}[i], "ann")(i) })),
	},
	"login-failures-notice": {
		act("ten wrong passwords", each(10, 20*time.Second, signIn("/login", 401, "ann"))),
		calm("five wrong ones", each(5, 20*time.Second, signIn("/login", 401, "ann"))),
	},
	"slow-guessing": {
		act("four an hour", each(30, 15*time.Minute, signIn("/api/login", 401, "ann"))),
		calm("an office, a third of it mistypes", each(90, 15*time.Minute, func(i int) event { return signIn("/api/login", []int{401, 200, 200}[i%3], "u%d")(i) })),
	},
	"login-burst": {
		act("passwords that are answered 200", each(70, 500*time.Millisecond, signIn("/login", 200, ""))),
		act("passwords that are answered with a redirect", each(70, 500*time.Millisecond, signIn("/account/login", 302, "u%d"))),
		calm("a campus at nine: one every three seconds", each(40, 3*time.Second, signIn("/login", 302, ""))),
		calm("a program that fetches a token for each request", each(200, 500*time.Millisecond, signIn("/oauth/token", 200, "batch"))),
	},
	"login-repetition": {
		act("one account, answered 302 each time", each(35, 10*time.Second, signIn("/login", 302, "ann"))),
		calm("a monitor that signs in every half minute", each(240, 30*time.Second, signIn("/login", 302, "probe"))),
		calm("an office, each once", each(50, 10*time.Second, signIn("/login", 302, "u%d"))),
	},
	"many-accounts": {
		act("seventy accounts, answered 200", each(70, 8*time.Second, signIn("/api/login", 200, "u%d"))),
		calm("an office of fifty", each(50, 10*time.Second, signIn("/api/login", 200, "u%d"))),
	},
	"login-volume": {
		act("no user in the log, answered 200", each(160, 20*time.Second, signIn("/login", 200, ""))),
		calm("a monitor that signs in every half minute", each(240, 30*time.Second, signIn("/login", 200, ""))),
	},
	"wordpress-guessing": {
		act("the form again and again", each(25, 10*time.Second, signIn("/wp-login.php", 200, ""))),
		calm("an editor mistypes and gets in", each(5, 10*time.Second, func(i int) event { return signIn("/wp-login.php", []int{200, 200, 200, 302, 302}[i], "")(i) })),
	},
	"id-enumeration": {
		act("one order after the other", each(120, 3*time.Second, get(browser, 200, "/api/orders/%d"))),
		act("others' orders, refused", each(120, 4*time.Second, get(browser, 403, "/api/orders/%d"))),
		calm("a customer looks at twenty orders again and again", each(200, 3*time.Second, func(i int) event {
			return get(browser, 200, fmt.Sprintf("/api/orders/%d", 880_000+i%20))(i)
		})),
	},
	"id-walking": {
		act("another endpoint, at a walk", each(220, 12*time.Second, get(browser, 200, "/v1/accounts/%d/statement"))),
		act("by a signed-in user", each(220, 12*time.Second, by("ann", get(browser, 200, "/v1/documents/%d")))),
		calm("five readers of one shop behind one address", func() (s []stream) {
			for n := range 5 {
				s = append(s, stream{100, 30 * time.Second, time.Duration(n) * time.Second, by(fmt.Sprint("u", n), get(browser, 200, fmt.Sprintf("/products/%d%%d", n+1)))})
			}
			return s
		}()...),
		calm("a search engine", each(720, 5*time.Second, get(google, 200, "/products/%d"))),
		calm("a feed reader", each(720, 5*time.Second, get("Tiny Tiny RSS/1.11 (http://tt-rss.org/)", 200, "/feed/17"))),
	},
	"id-steps": {
		act("up", each(80, 6*time.Second, ids("/v1/invoices/%d/pdf", func(i int) int { return 1 + i }))),
		act("down", each(80, 6*time.Second, ids("/v1/invoices/%d", func(i int) int { return 80 - i }))),
		act("by a signed-in user, refused", each(80, 6*time.Second, by("ann", with("status", 403, ids("/v1/invoices/%d", func(i int) int { return 1 + i }))))),
		act("two workers", each(80, 6*time.Second, ids("/v1/invoices/%d", func(i int) int { return 1 + i/2 + i%2*40 }))),
		act("shuffled", each(80, 6*time.Second, ids("/v1/invoices/%d", func(i int) int { return i/8*8 + []int{5, 2, 8, 1, 7, 4, 3, 6}[i%8] }))),
		calm("scattered ones", each(200, 3*time.Second, ids("/v1/invoices/%d", func(i int) int { return i * 7919 % 10_007 }))),
		calm("the same one, and two in turn", each(300, 2*time.Second, ids("/v1/invoices/%d", func(i int) int { return 17 + i/150*(i%2) }))),
		calm("a display of a dozen machines", each(600, time.Second, ids("/v1/machines/%d", func(i int) int { return 58 + i%12 }))),
		calm("twenty read one after the other", each(20, 6*time.Second, ids("/articles/%d", func(i int) int { return 300 - i }))),
		calm("six who share an address and read twenty each", func() (s []stream) {
			for n := range 6 {
				s = append(s, each(20, 6*time.Second, by(fmt.Sprint("u", n), ids("/articles/%d", func(i int) int { return 500*n + i }))))
			}
			return s
		}()...),
		calm("a search engine", each(80, 6*time.Second, with("user_agent", google, ids("/articles/%d", func(i int) int { return 1 + i })))),
	},
	"query-walking": {
		act("ids in the query", each(650, 800*time.Millisecond, get(browser, 200, "/order?id=%d"))),
		calm("a search box that asks with every key", each(300, time.Second, get(browser, 200, "/search?q=%d"))),
	},
	"refused-resources": {
		act("others' documents", each(30, 30*time.Second, by("ann", get(browser, 403, "/v1/documents/%d")))),
		act("with an API key", each(30, 30*time.Second, with("api_key_id", "k1", get(browser, 404, "/v1/documents/%d")))),
		calm("an app whose rights ran out", each(120, 30*time.Second, by("ann", oneOf(browser, 403, "/v1/inbox", "/v1/team", "/v1/news")))),
	},
	"path-enumeration": {
		act("the whole shop", each(650, 800*time.Millisecond, get(browser, 200, "/shop/item-%d.html"))),
		calm("a search engine, a page a second", each(1200, time.Second, get(google, 200, "/shop/item-%d.html"))),
	},
	"crawl-pace": {
		act("a crawler in a hurry", each(1300, 400*time.Millisecond, get(google, 200, "/shop/item-%d.html"))),
		calm("a search engine, a page a second", each(1200, time.Second, get(google, 200, "/shop/item-%d.html"))),
		calm("a monitor that says what it is", each(1200, time.Second, get("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", 200, "/"))),
	},
	"not-found-probing": {
		act("a word list", each(40, 2*time.Second, get(browser, 404, "/guess-%d"))),
		calm("a search engine after the site was rebuilt", each(150, 5*time.Second, get(google, 404, "/old/page-%d.html"))),
		calm("its robot for pictures", each(99, 5*time.Second, get(images, 404, "/img/%d.png"))),
		calm("a broken bookmark", each(200, 10*time.Second, get(browser, 404, "/offers/spring"))),
		calm("an installer that asks for one missing file", each(60, time.Minute, get("Chef Client/10.18.2 (ruby-1.9.3-p327)", 404, "/files/a.jar"))),
	},
	"slow-probing": {
		act("a path every ten minutes", each(70, 10*time.Minute, get(browser, 404, "/guess-%d"))),
		calm("a search engine meets dead links all day", each(150, 8*time.Minute, get(google, 404, "/old/page-%d.html"))),
	},
	"dead-links": {
		act("too many of them", each(230, 5*time.Minute, get(google, 404, "/old/page-%d.html"))),
		calm("some", each(100, 10*time.Minute, get(google, 404, "/old/page-%d.html"))),
	},
	"client-errors": {
		act("malformed searches", each(120, time.Second, get(browser, 400, "/api/search?q=%d"))),
		act("a search engine that is none", each(120, time.Second, get(google, 404, "/guess-%d"))),
		calm("an app whose token ran out", each(200, 15*time.Second, get("ShopApp/6.1.0", 401, "/api/notifications"))),
		calm("a monitor of something that is gone", each(500, 5*time.Second, get(monitor, 404, "/healthz"))),
		calm("a client that our own limit refuses", each(200, 2*time.Second, get(browser, 429, "/api/search"))),
	},
	"unexpected-method": {
		act("TRACE and its kin", each(8, 5*time.Second, with("method", "TRACE", get(browser, 405, "/")))),
		act("no HTTP at all", each(8, 5*time.Second, with("method", "-", get("", 400, "-")))),
		calm("connections on which nothing is asked", each(60, 10*time.Second, with("method", "-", get("", 408, "-")))),
		calm("a monitor with HEAD", each(60, 10*time.Second, with("method", "HEAD", get(monitor, 200, "/")))),
	},
	"refused-methods": {
		act("DELETE wherever it may work", each(15, 10*time.Second, with("method", "DELETE", get(browser, 405, "/api/items/%d")))),
		calm("a monitor whose HEAD is refused", each(60, 10*time.Second, with("method", "HEAD", get(monitor, 405, "/api/check-%d")))),
		calm("a form that is sent to the wrong place", each(40, 10*time.Second, with("method", "POST", get(browser, 405, "/contact")))),
	},
	"unfit-requests": {
		act("XML where JSON belongs", each(15, 10*time.Second, with("method", "POST", get(browser, 415, "/api/orders")))),
		act("queries beyond all limits", each(15, 10*time.Second, get(browser, 414, "/api/search"))),
		calm("one upload that is too large", each(3, 10*time.Second, with("method", "PUT", get(browser, 413, "/files/17")))),
	},
	"oversized-parameters": {
		act("a payload in the query", each(1, time.Second, get(browser, 404, "/plus/download.php?a="+strings.Repeat("%%41", 1024)))),
		act("a body where there is none", each(1, time.Second, with("request_bytes", 100_000, get(browser, 200, "/")))),
		calm("a long link, and a large upload", each(1, time.Second, get(browser, 200, "/?utm_source="+strings.Repeat("x", 600))),
			each(1, time.Second, with("method", "POST", with("request_bytes", 5_000_000, get(browser, 201, "/files"))))),
	},
	"expensive-requests": {
		act("slow answers", each(60, 4*time.Second, with("latency_ms", 2500, get(browser, 200, "/report")))),
		calm("some slow answers", each(40, 4*time.Second, with("latency_ms", 2500, get(browser, 200, "/report")))),
	},
	"scanner-agent": {
		act("a tool that says so", each(1, time.Second, get("sqlmap/1.9.8#stable (https://sqlmap.org)", 200, "/"))),
		calm("curl, and a robot", each(1, time.Second, get("curl/8.16.0", 200, "/")), each(1, time.Second, get(google, 200, "/"))),
	},
	"secret-files": {
		act("one", each(1, time.Second, get(browser, 404, "/backup/.env"))),
		calm("a search engine that was given a link to one", each(50, time.Minute, get(google, 404, "/.env"))),
		calm("a path that only looks like it", each(1, time.Second, get(browser, 404, "/docs/dot.env-files"))),
	},
	"secret-files-crawler": {
		act("a scanner with a page about itself", each(4, time.Second, oneOf("l9scan/2.0 (+https://leakix.net)", 404, "/.env", "/.git/config", "/wp-config.php.bak", "/.aws/credentials"))),
		calm("a search engine that was given a link to one", each(50, time.Minute, get(google, 404, "/.env"))),
	},
	"secret-files-served": {
		act("it was there", each(1, time.Second, get(browser, 200, "/.git/config"))),
		calm("something else was", each(1, time.Second, get(browser, 200, "/git/config"))),
	},
	"backup-files": {
		act("two of a list", each(2, time.Hour, with("method", "HEAD", oneOf("-", 404, "/backup/www.sql", "/old.tar.gz")))),
		act("the site's own name", each(2, time.Hour, oneOf(browser, 404, "/restore/shop.example.zip", "/backups/website.tar"))),
		calm("one that was linked, asked for again and again", each(20, time.Hour, get(browser, 404, "/backup/2024.zip"))),
		calm("old releases that were removed", each(20, time.Hour, get("Wget/1.21", 404, "/files/db-4.8.%d.tar.gz"))),
		calm("pictures with such names", each(2, time.Hour, oneOf(browser, 404, "/background/a.zip", "/oldtimers/b.zip"))),
		calm("a crawler", each(9, time.Hour, get(google, 404, "/backup/%d.zip"))),
	},
	"script-probing": {
		act("web shells", each(9, time.Second, get(browser, 404, "/up%d.php"))),
		act("answered 418", each(9, time.Second, get(browser, 418, "/plus/%d.aspx"))),
		calm("a page that lost two scripts", each(60, 5*time.Second, oneOf(browser, 404, "/a.php", "/b.php"))),
		calm("a search engine after the site left PHP", each(25, 5*time.Second, get(google, 404, "/old%d.php"))),
	},
	"winning-answers": {
		act("four prizes", each(4, time.Hour, with("response_body", `{"result":{"outcome":"win"}}`, with("method", "POST", get(browser, 200, "/api/lottery"))))),
		calm("three", each(3, time.Hour, with("response_body", `{"result":{"outcome":"win"}}`, with("method", "POST", get(browser, 200, "/api/lottery"))))),
	},
}

// accountCases are those of deploy/rules-rekey: there the addresses differ.
var accountCases = map[string][]ruleCase{
	"account-stuffing": {
		act("twelve addresses fail at one account", each(12, 4*time.Minute, fromAnywhere(signIn("/login", 401, "ann")))),
		calm("a telephone between three networks", each(6, 4*time.Minute, func(i int) event {
			return with("client_ip", fmt.Sprintf("203.0.113.%d", i%3+1), signIn("/login", 401, "ann"))(i)
		})),
	},
	"account-repetition": {
		act("25 addresses, answered 302 each time", each(25, 2*time.Minute, fromAnywhere(signIn("/login", 302, "ann")))),
		calm("25 accounts from 25 addresses", each(25, 2*time.Minute, fromAnywhere(signIn("/login", 302, "u%d")))),
	},
	"account-guessing": {
		act("another address every half hour", each(48, 30*time.Minute, fromAnywhere(signIn("/login", 401, "ann")))),
		calm("somebody who forgets a lot", each(20, time.Hour, signIn("/login", 401, "ann"))),
	},
}

func fromAnywhere(make func(i int) event) func(i int) event {
	return func(i int) event {
		e := make(i)
		e["client_ip"] = fmt.Sprintf("203.0.113.%d", i+1)
		return e
	}
}

func TestShippedRules(t *testing.T) {
	all := maps.Clone(cases)
	maps.Copy(all, learnedCases)
	testRules(t, load(t, "."), all)
}

func TestRulesByAccount(t *testing.T) {
	all := maps.Clone(cases)
	maps.Copy(all, learnedCases)
	maps.Copy(all, accountCases)
	testRules(t, withAccounts(t), all)
}

// docs/MISUSE.md says of every rule what it finds.
func TestPageNamesEveryRule(t *testing.T) {
	page, err := os.ReadFile("../../docs/MISUSE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range withAccounts(t).Rules() {
		if !strings.Contains(string(page), "`"+r.ID+"`") {
			t.Errorf("docs/MISUSE.md does not name %s", r.ID)
		}
	}
}

// withAccounts loads deploy/rules-rekey beside the shipped rules, as its first lines
// say.
func withAccounts(t *testing.T) *detector.Program {
	t.Helper()
	both := t.TempDir()
	for _, dir := range []string{".", "../rules-rekey"} {
		if err := os.CopyFS(both, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	}
	return load(t, both)
}

func load(t *testing.T, dir string) *detector.Program {
	t.Helper()
	p, err := detector.Load(filepath.FromSlash(dir))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// testRules runs the cases through the production engine, each with all rules of the
// program. Every rule needs one that it fires in and one that it does not.
func testRules(t *testing.T, p *detector.Program, cases map[string][]ruleCase) {
	for _, r := range p.Rules() {
		list := cases[r.ID]
		for _, fires := range []bool{true, false} {
			if !slices.ContainsFunc(list, func(c ruleCase) bool { return c.fires == fires }) {
				t.Errorf("rule %s has no case with fires %v", r.ID, fires)
			}
		}
		for _, c := range list {
			t.Run(r.ID+"/"+c.name, func(t *testing.T) {
				verdicts := judge(t, p, c.streams)
				fired := slices.ContainsFunc(verdicts, func(v schemas.Verdict) bool { return v.RuleID == r.ID })
				if fired != c.fires {
					t.Errorf("fired: %v, want %v; verdicts:\n%s", fired, c.fires, tell(verdicts))
				}
				if !c.fires && slices.ContainsFunc(verdicts, func(v schemas.Verdict) bool {
					return v.ActionTaken == string(schemas.ActionBan) || v.ActionTaken == string(schemas.ActionThrottle)
				}) {
					t.Errorf("somebody is acted against who ought to be left alone:\n%s", tell(verdicts))
				}
			})
		}
	}
}

func tell(verdicts []schemas.Verdict) string {
	var lines []string
	for _, v := range verdicts {
		lines = append(lines, fmt.Sprintf("%s %s: %s", v.RuleID, v.ActionTaken, v.Details))
	}
	return strings.Join(lines, "\n")
}

func judge(t *testing.T, p *detector.Program, streams []stream) (verdicts []schemas.Verdict) {
	t.Helper()
	type timed struct {
		at   time.Time
		text []byte
	}
	start := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	var log []timed
	for _, s := range streams {
		for i := range s.times {
			e := event{"client_ip": "192.0.2.7", "method": "GET", "user_agent": browser}
			for field, value := range s.make(i) {
				e[field] = value
			}
			at := start.Add(s.from + time.Duration(i)*s.every)
			e["timestamp"] = at
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			log = append(log, timed{at, text})
		}
	}
	slices.SortStableFunc(log, func(a, b timed) int { return a.at.Compare(b.at) })
	dec, err := schemas.NewDecoder(schemas.Options{})
	if err != nil {
		t.Fatal(err)
	}
	engine := detector.NewEngine(p, detector.Options{Topic: "api-logs"})
	learned := detector.NewBaselines(p, detector.BaselinesOptions{})
	var ev schemas.Event
	for offset, line := range log {
		if err := dec.Decode(line.text, &ev); err != nil {
			t.Fatalf("decoding %s: %v", line.text, err)
		}
		out, bad := engine.Observe(&ev, detector.Record{Offset: int64(offset), Time: line.at.UnixMicro()})
		if bad != nil || out == detector.Late {
			t.Fatalf("%s: outcome %v, %v", line.text, out, bad)
		}
		taken, _ := engine.Take()
		for _, v := range taken {
			v.Details = strings.Clone(v.Details)
			verdicts = append(verdicts, v)
		}
		summaries, mark := engine.TakeSummaries()
		if mark == nil {
			continue
		}
		for i := range summaries {
			learned.Merge(&summaries[i])
		}
		mark.Partitions = 1
		learned.Mark(mark)
		learned.Close(learned.Complete(), nil)
		verdicts = append(verdicts, learned.Take()...)
	}
	return verdicts
}
