package traffic

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strconv"
)

// crowd hands out the shop's visitors. Every address has two sessions at most, a
// quarter of them a second one some time after the first, so that no rule that
// looks at a day can ever take a visitor for somebody else, however long the demo
// runs.
type crowd struct {
	seed     uint64
	sessions uint64
}

// visitor is who sits behind an address.
type visitor struct {
	addr  netip.Addr
	agent string
	user  int
}

// next is the visitor of the next session.
func (c *crowd) next() visitor {
	n := c.sessions
	c.sessions++
	const ago = 1001 // odd, and 1001%4 = 1: who comes back was new then
	if n%4 == 3 && n > ago {
		n -= ago
	}
	return visitor{addr: c.address(n), agent: browsers[(n*7+c.seed)%uint64(len(browsers))], user: int(n % 5_000_000)}
}

// address is the address of visitor n: out of 100.64.0.0/10, a tenth of them out of
// 2001:db8:1000::/36. Nobody real has either.
func (c *crowd) address(n uint64) netip.Addr {
	mixed := (n + c.seed%(1<<22)) * 2654435761
	if n%10 == 7 {
		var a [16]byte
		binary.BigEndian.PutUint32(a[:], 0x20010db8)
		binary.BigEndian.PutUint32(a[4:], 0x1000_0000|uint32(mixed)&(1<<22-1))
		binary.BigEndian.PutUint64(a[8:], mixed*0x9e3779b97f4a7c15)
		return netip.AddrFrom16(a)
	}
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 100<<24|64<<16|uint32(mixed)&(1<<22-1))
	return netip.AddrFrom4(a)
}

// page is a list of calls that a browser makes at once.
type page uint8

const (
	pageHome page = iota
	pageProduct
	pageSearch
	pageCart
	pageAccount
	pageBuy
	pageLogin
	pageLottery
	pageMissing
)

// calls is how many requests each page makes.
var calls = [...]int{pageHome: 4, pageProduct: 2, pageSearch: 3, pageCart: 2, pageAccount: 2, pageBuy: 2, pageLogin: 2, pageLottery: 2, pageMissing: 1}

// meanGap is the mean time in µs between two requests of a session at pace 1, the
// time between two sessions included; found by counting (TestRate
// holds it).
const meanGap = 2_700_000

// meanSession is the mean length of a session in µs at pace 1, found likewise.
const meanSession = 48 * second

// session is a place in the shop that is always taken: when a visitor leaves,
// another one comes.
type session struct {
	crowd  *crowd  // nil: the office
	office *office // nil: the public
	pace   float64 // how much slower than most
	quiet  bool    // history: fewer visitors in the small hours

	who    visitor
	page   page
	call   int
	left   int // pages
	failed int // attempts to sign in
	won    bool
}

// start seats the first visitor.
func (s *session) start(r *rand.Rand) {
	if s.office != nil {
		s.who = s.office.colleague(r)
	} else {
		s.who = s.crowd.next()
	}
	s.page, s.call, s.failed, s.won = pageHome, 0, 0, false
	s.left = 3 + r.IntN(8)
}

func (s *session) step(at int64, ev *Event, r *rand.Rand) int64 {
	ev.Client, ev.Agent = s.who.addr, s.who.agent
	again := s.request(ev, r)
	if again {
		return at + 3*second + r.Int64N(3*second)
	}
	s.call++
	if s.call < calls[s.page] {
		return at + 20_000 + r.Int64N(200_000)
	}
	s.call = 0
	s.left--
	next := at + int64(s.pace*(float64(2*second)+r.ExpFloat64()*float64(5*second)))
	if s.left > 0 {
		s.page = s.another(r)
		return next
	}
	s.start(r)
	if s.quiet {
		next += int64(r.ExpFloat64() * s.pace * float64(meanSession) * (1/rhythm(at) - 1))
	}
	return next
}

// another picks the next page.
func (s *session) another(r *rand.Rand) page {
	x := r.IntN(1000)
	if s.office != nil && x < 170 { // they are signed in, have no time to play, and buy through the partner
		x = r.IntN(8)
	}
	switch {
	case x < 2:
		return pageMissing
	case x < 60:
		return pageLogin
	case x < 100 && s.office == nil:
		return pageLottery
	case x < 130:
		return pageBuy
	case x < 230:
		return pageAccount
	case x < 330:
		return pageCart
	case x < 560:
		return pageSearch
	case x < 900:
		return pageProduct
	default:
		return pageHome
	}
}

// request fills ev with the present call of the present page. It is true where the
// visitor will do the same again, having mistyped a password.
func (s *session) request(ev *Event, r *rand.Rand) (again bool) {
	ev.User = userName(s.who.user)
	switch s.page {
	case pageHome:
		[4]endpoint{home, script, products, notifications}[s.call].ask(ev, [4]string{"/", "/static/app.js", "/api/products?page=1", "/api/notifications"}[s.call], 200, r)
	case pageProduct:
		s.look(ev, s.call == 1, r)
	case pageSearch:
		if s.call == 2 {
			s.look(ev, false, r)
		} else {
			search.ask(ev, "/api/search?q="+words[r.IntN(len(words))], 200, r)
		}
	case pageCart:
		if s.call == 0 {
			addItem.ask(ev, addItem.route, 201, r)
		} else {
			cart.ask(ev, cart.route, 200, r)
		}
	case pageAccount:
		if s.call == 0 {
			profile.ask(ev, "/api/users/"+strconv.Itoa(s.who.user), 200, r)
		} else {
			s.ownOrder(ev, r)
		}
	case pageBuy:
		if s.call == 0 {
			placeOrder.ask(ev, placeOrder.route, 201, r)
		} else {
			s.ownOrder(ev, r)
		}
	case pageLogin:
		if s.call == 1 {
			profile.ask(ev, "/api/users/"+strconv.Itoa(s.who.user), 200, r)
			break
		}
		wrong := s.failed < 2 && r.IntN(100) < 6
		signIn(ev, userName(s.who.user), !wrong, r)
		if wrong {
			s.failed++
			return true
		}
	case pageLottery:
		won := !s.won && r.IntN(100) < 3
		s.won = s.won || won
		play(ev, won, r)
	case pageMissing:
		notFound(ev, [...]string{"/favicon-old.ico", "/blog/2019/summer", "/old/imprint"}[r.IntN(3)], r)
	}
	if ev.Status < 400 && r.IntN(1000) < 2 {
		ev.Status, ev.Body = 503, ""
	}
	return false
}

// look fills ev with a look at a product or at what others say of it.
func (s *session) look(ev *Event, others bool, r *rand.Rand) {
	n := catalogue
	if s.office != nil {
		n = 100 // an office knows what it needs
	}
	path := productPath(popular(n, r))
	if others {
		reviews.ask(ev, path+"/reviews", 200, r)
	} else {
		product.ask(ev, path, 200, r)
	}
}

// ownOrder fills ev with a look at one of the visitor's two orders.
func (s *session) ownOrder(ev *Event, r *rand.Rand) {
	order.ask(ev, "/api/orders/"+strconv.Itoa(2*s.who.user+r.IntN(2)), 200, r)
}
