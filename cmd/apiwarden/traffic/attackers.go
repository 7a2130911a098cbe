package traffic

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"
)

// attackers are one or several of every kind. Those whose attack is live start one
// after the other, early enough to be caught before the live phase ends; nine
// seconds are enough for each.
func (t *Traffic) attackers(addr func() netip.Addr) []*player {
	list := []*player{
		volume(addr()),
		burst(addr()),
		stuffing("credential stuffing", addr()),
		stuffing("credential stuffing, second host", addr()),
		quietStuffing("credential stuffing, third host", addr()),
		bruteForce(addr()),
		idEnumeration(addr()),
		scraper(addr()),
		prober(addr()),
		fuzzer(addr()),
		cheat(addr()),
		oddMethods(addr()),
		scanner(addr()),
		secretHunter(addr()),
		sixth(t.r),
		slowGuesser(addr(), t.o.History),
		slowProber(addr(), t.o.History),
	}
	spread := 30 * time.Second
	if t.o.Live != 0 {
		spread = min(spread, (t.o.Live-ShortestLive)*7/10)
	}
	for i, p := range list {
		p.evil = true
		later := 500*time.Millisecond + spread*time.Duration(i)/time.Duration(len(list))
		for j := range p.now {
			p.now[j].start += later
		}
	}
	return append(list, returning(addr()))
}

// attacker is one that starts with the live phase and has to be caught once enough
// requests were sent.
func attacker(name string, addr netip.Addr, agent, says string, every time.Duration, times, enough int, send func(int, *Event, *rand.Rand)) *player {
	return &player{
		Actor: Actor{Name: name, Addr: addr, Says: says}, agent: agent, evil: true,
		now: []phase{
			{every: every, times: times, enough: enough, send: send},
			{start: every * time.Duration(times), every: 2 * time.Second, times: 40, send: send}, // goes on, being refused
		},
	}
}

// volume stays below every short limit, and is caught by the sum of minutes.
func volume(addr netip.Addr) *player {
	send := func(_ int, ev *Event, r *rand.Rand) {
		products.ask(ev, "/api/products?page="+strconv.Itoa(1+r.IntN(9)), 200, r)
	}
	p := attacker("volume", addr, "python-requests/2.32.5", "asks for the product list many times a second for minutes", 60*time.Millisecond, 200, 150, send)
	p.past = []phase{{start: -200 * time.Second, every: 69 * time.Millisecond, times: 2880, send: send}}
	return p
}

func burst(addr netip.Addr) *player {
	return attacker("burst", addr, "Go-http-client/2.0", "sends some hundred requests within seconds", 16*time.Millisecond, 400, 260,
		func(_ int, ev *Event, r *rand.Rand) {
			search.ask(ev, "/api/search?q="+words[r.IntN(len(words))], 200, r)
		})
}

func stuffing(name string, addr netip.Addr) *player {
	first := int(addr.As4()[3]) * 1000
	return attacker(name, addr, "okhttp/5.1.0", "tries leaked passwords, another account each time", 250*time.Millisecond, 60, 14,
		func(i int, ev *Event, r *rand.Rand) {
			signIn(ev, userName(first+i), i%40 == 39, r)
		})
}

// quietStuffing is never told that it failed: each answer is 200.
func quietStuffing(name string, addr netip.Addr) *player {
	first := int(addr.As4()[3]) * 1000
	return attacker(name, addr, "okhttp/5.1.0", "tries leaked passwords and is answered 200 each time, so that only the repetition shows", 80*time.Millisecond, 140, 75,
		func(i int, ev *Event, r *rand.Rand) {
			signInAnswered(ev, userName(first+i), 200, r)
		})
}

func bruteForce(addr netip.Addr) *player {
	return attacker("password guessing", addr, "okhttp/5.1.0", "tries one password after the other for one account", 180*time.Millisecond, 80, 25,
		func(_ int, ev *Event, r *rand.Rand) {
			signIn(ev, "admin", false, r)
		})
}

func idEnumeration(addr netip.Addr) *player {
	return attacker("id enumeration", addr, browsers[0], "reads one order number after the other", 70*time.Millisecond, 180, 115,
		func(i int, ev *Event, r *rand.Rand) {
			status := 200
			if i%5 == 4 {
				status = 403
			}
			order.ask(ev, "/api/orders/"+strconv.Itoa(880_000+i), status, r)
		})
}

// scraper spends minutes of the history on what it needs for its last step.
func scraper(addr netip.Addr) *player {
	p := attacker("path enumeration", addr, browsers[1], "copies the catalogue, product by product", 75*time.Millisecond, 120, 80,
		func(i int, ev *Event, r *rand.Rand) {
			product.ask(ev, productPath(1000+i), 200, r)
		})
	p.past = []phase{{start: -4 * time.Minute, every: 410 * time.Millisecond, times: 560, send: func(i int, ev *Event, r *rand.Rand) {
		product.ask(ev, productPath(2000+i), 200, r)
	}}}
	return p
}

// guessed is a path that a word list would have.
func guessed(i int) string {
	parts := [...]string{"admin", "backup", "old", "test", "dev", "api/v1", "api/v2", "internal", "private", "staging", "console", "debug"}
	names := [...]string{"login", "config", "users", "dump", "status", "db", "keys", "upload", "shell", "index", "info"}
	n := i % (len(parts) * len(names))
	return fmt.Sprintf("/%s/%s%d", parts[n%len(parts)], names[n/len(parts)], i/(len(parts)*len(names)))
}

func prober(addr netip.Addr) *player {
	return attacker("404 probing", addr, browsers[2], "tries names out of a word list and meets 404 after 404", 130*time.Millisecond, 90, 40,
		func(i int, ev *Event, r *rand.Rand) { notFound(ev, guessed(i), r) })
}

func fuzzer(addr netip.Addr) *player {
	return attacker("error ratio", addr, "axios/1.12.2", "sends one malformed search after the other", 70*time.Millisecond, 160, 120,
		func(i int, ev *Event, r *rand.Rand) {
			status := 400
			if i%8 == 7 {
				status = 200
			}
			search.ask(ev, `/api/search?q=%22'`+strconv.Itoa(i), status, r)
		})
}

func cheat(addr netip.Addr) *player {
	return attacker("winning answers", addr, browsers[5], "wins the lottery every other time", 400*time.Millisecond, 30, 10,
		func(i int, ev *Event, r *rand.Rand) {
			play(ev, i%2 == 0, r)
			ev.User = userName(6_300_000)
		})
}

func oddMethods(addr netip.Addr) *player {
	return attacker("unexpected methods", addr, "curl/8.16.0", "tries methods that the API does not have", 500*time.Millisecond, 16, 8,
		func(i int, ev *Event, r *rand.Rand) {
			method := [...]string{"TRACE", "PROPFIND", "DEBUG", "TRACK", "CONNECT"}[i%5]
			endpoint{method, "", "web", 3, 120}.ask(ev, "/", 405, r)
		})
}

func scanner(addr netip.Addr) *player {
	return attacker("known scanner", addr, "sqlmap/1.9.8#stable (https://sqlmap.org)", "says in its user agent what it is", 800*time.Millisecond, 10, 1,
		func(i int, ev *Event, r *rand.Rand) {
			product.ask(ev, productPath(17)+"?v="+strconv.Itoa(i), 200, r)
		})
}

func secretHunter(addr netip.Addr) *player {
	return attacker("secret files", addr, browsers[0], "asks for files that hold secrets on careless servers", 900*time.Millisecond, 10, 1,
		func(i int, ev *Event, r *rand.Rand) {
			notFound(ev, [...]string{"/.env", "/.git/config", "/wp-config.php.bak"}[i%3], r)
		})
}

// sixth guesses passwords from one IPv6 address that its gateways spell in several
// ways: it is one subject all the same.
func sixth(r *rand.Rand) *player {
	host := 1 + r.IntN(0xeff)
	addr := netip.MustParseAddr(fmt.Sprintf("2001:db8:bad::%x", host))
	spellings := [...]string{addr.String(), fmt.Sprintf("2001:DB8:BAD:0:0:0:0:%X", host), addr.StringExpanded(), fmt.Sprintf("[%s]:443", addr)}
	return attacker("IPv6 password guessing", addr, "okhttp/5.1.0", "guesses passwords from an IPv6 address that logs spell in four ways, and is sent back to the form", 180*time.Millisecond, 80, 40,
		func(i int, ev *Event, r *rand.Rand) {
			signInAnswered(ev, "root", 302, r)
			ev.ClientIP = spellings[i%len(spellings)]
		})
}

// slowGuesser tries four passwords an hour. What it did in the last
// hours is all that gives it away.
func slowGuesser(addr netip.Addr, history time.Duration) *player {
	const before = 24
	send := func(_ int, ev *Event, r *rand.Rand) { signIn(ev, userName(77), false, r) }
	p := attacker("slow and low guessing", addr, browsers[4], "tries a few passwords an hour, for hours", 2*time.Second, 4, 2, send)
	every := history / (before + 1)
	p.past = []phase{{start: every - history, every: every * 9 / 10, times: before, send: send}}
	return p
}

// slowProber looks for hidden paths, a few in an hour.
func slowProber(addr netip.Addr, history time.Duration) *player {
	const before = 59
	p := attacker("slow and low probing", addr, browsers[1], "tries another hidden path every few minutes, for hours", 2*time.Second, 4, 2,
		func(i int, ev *Event, r *rand.Rand) { notFound(ev, guessed(500+i), r) })
	every := history / (before + 1)
	p.past = []phase{{start: every - history, every: every * 9 / 10, times: before, send: func(i int, ev *Event, r *rand.Rand) {
		notFound(ev, guessed(i), r)
	}}}
	return p
}

// returning is banned three times in the history, longer each time. The third ban,
// of an hour, ends soon after the live phase began; then he comes back once more.
func returning(addr netip.Addr) *player {
	send := func(_ int, ev *Event, r *rand.Rand) {
		products.ask(ev, "/api/products?page="+strconv.Itoa(1+r.IntN(9)), 200, r)
	}
	burst := func(start time.Duration) phase {
		return phase{start: start, every: 16 * time.Millisecond, times: 300, send: send}
	}
	const (
		crossing = 3300 * time.Millisecond // from the start of a burst to its 201st request
		banEnds  = 20 * time.Second        // the third one
	)
	again := burst(2 * time.Second)
	again.times, again.after = 600, banEnds+2*time.Second
	return &player{
		Actor: Actor{Name: "returning", Addr: addr, Says: "comes back when its ban ends, and gets a longer one", Done: true},
		agent: "Go-http-client/2.0", evil: true,
		past: []phase{
			burst(-250 * time.Minute),
			burst(-140 * time.Minute),
			burst(-60*time.Minute + banEnds - crossing),
		},
		now: []phase{again},
	}
}
