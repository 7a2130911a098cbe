package traffic

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"
)

const (
	colleagues = 20
	officePace = 3.0
)

// office is one address with many people behind it.
type office struct{ addr netip.Addr }

func newOffice(addr netip.Addr) *office { return &office{addr: addr} }

func (o *office) colleague(r *rand.Rand) visitor {
	n := r.IntN(colleagues)
	return visitor{addr: o.addr, agent: browsers[n%3], user: 6_000_000 + n}
}

// PartnerAddr is the partner whose nightly job the shipped rules exempt by address.
const PartnerAddr = "203.0.113.250"

// innocents are those beside the office.
func (t *Traffic) innocents(addr func() netip.Addr) []*player {
	return []*player{
		always("monitor", addr(), "Uptime-Kuma/2.0.2", "polls the product list every ten seconds, day and night",
			10*time.Second, 10*time.Second, -t.o.History, func(_ int, ev *Event, r *rand.Rand) {
				products.ask(ev, "/api/products?page=1", 200, r)
			}),
		always("crawler", addr(), "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example/about)",
			"reads every product page, one in five seconds, and meets a dead link now and then",
			5*time.Second, 5*time.Second, -t.o.History, func(i int, ev *Event, r *rand.Rand) {
				if i%400 == 399 {
					notFound(ev, "/api/products/"+strconv.Itoa(catalogue+i), r)
					return
				}
				product.ask(ev, productPath(1+i%catalogue), 200, r)
			}),
		always("bookmark", addr(), browsers[2], "comes back all day long through a bookmark that is broken",
			90*time.Second, 15*time.Second, -t.o.History, func(i int, ev *Event, r *rand.Rand) {
				if i%2 == 0 {
					notFound(ev, "/offers/spring-2024", r)
					return
				}
				home.ask(ev, "/", 200, r)
			}),
		always("stale app", addr(), "ShopApp/6.1.0 (Android 11)", "an app left open whose token has run out: it polls and is told 401",
			15*time.Second, 10*time.Second, -t.o.History, func(_ int, ev *Event, r *rand.Rand) {
				notifications.ask(ev, notifications.route, 401, r)
			}),
		always("health check", netip.MustParseAddr("127.0.0.1"), "kube-probe/1.34", "the shop's own health check on the loopback address",
			5*time.Second, time.Second, -t.o.History, func(_ int, ev *Event, r *rand.Rand) {
				health.ask(ev, health.route, 200, r)
			}),
		phone(addr()),
		luckyPlayer(addr()),
		partner(),
	}
}

// always is an innocent that does one thing all the time.
func always(name string, addr netip.Addr, agent, says string, past, now, start time.Duration, send func(int, *Event, *rand.Rand)) *player {
	return &player{
		Actor: Actor{Name: name, Addr: addr, Says: says}, agent: agent,
		past: []phase{{start: start, every: past, send: send}},
		now:  []phase{{every: now, send: send}},
	}
}

// phone mistypes a password four times, and gets it right.
func phone(addr netip.Addr) *player {
	user := userName(6_100_000)
	send := func(i int, ev *Event, r *rand.Rand) { signIn(ev, user, i%5 == 4, r) }
	return &player{
		Actor: Actor{Name: "phone", Addr: addr, Says: "retries a password four times and then gets it right"}, agent: browsers[3],
		past: []phase{{start: -3 * time.Hour, every: 4 * time.Second, times: 5, send: send}},
		now:  []phase{{start: 2 * time.Second, every: 2 * time.Second, times: 5, send: send}},
	}
}

// luckyPlayer plays the lottery a lot and wins as often as the rules let him.
func luckyPlayer(addr netip.Addr) *player {
	send := func(i int, ev *Event, r *rand.Rand) {
		play(ev, i == 11, r)
		ev.User = userName(6_200_000)
	}
	return &player{
		Actor: Actor{Name: "lucky player", Addr: addr, Says: "plays the lottery often and wins three times, which is luck"}, agent: browsers[4],
		past: []phase{
			{start: -5 * time.Hour, every: 20 * time.Second, times: 20, send: send},
			{start: -2 * time.Hour, every: 20 * time.Second, times: 20, send: send},
		},
		now: []phase{{start: time.Second, every: 700 * time.Millisecond, times: 20, send: send}},
	}
}

// partner's job is over every limit on purpose: an exemption lets it.
func partner() *player {
	send := func(i int, ev *Event, r *rand.Rand) {
		id := 1 + i%catalogue
		stock.ask(ev, "/api/stock/"+strconv.Itoa(id), 204, r)
		ev.User = "partner-acme"
	}
	return &player{
		Actor: Actor{Name: "partner", Addr: netip.MustParseAddr(PartnerAddr), Says: "a partner's nightly batch job, exempt by address"}, agent: "acme-stock-sync/3.2",
		past: []phase{{start: -3 * time.Hour, every: 40 * time.Millisecond, times: 4000, send: send}},
		now:  []phase{{start: 4 * time.Second, every: 30 * time.Millisecond, times: 500, send: send}},
	}
}
