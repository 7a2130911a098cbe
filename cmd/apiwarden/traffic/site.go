package traffic

import (
	"math"
	"math/rand/v2"
	"strconv"
)

// endpoint is one thing that the shop's API can do.
type endpoint struct {
	method, route, service string
	latency                float64 // ms, median
	bytes                  int     // of an answer, median
}

// The shop's endpoints. Reviews stand for those that a gateway logs without a
// template: the rules file's own templates cover them.
var (
	home          = endpoint{"GET", "/", "web", 12, 18_000}
	script        = endpoint{"GET", "/static/app.js", "web", 2, 92_000}
	products      = endpoint{"GET", "/api/products", "catalog", 35, 9_000}
	product       = endpoint{"GET", "/api/products/{product_id}", "catalog", 18, 2_400}
	reviews       = endpoint{"GET", "", "catalog", 26, 5_200}
	search        = endpoint{"GET", "/api/search", "search", 60, 4_800}
	cart          = endpoint{"GET", "/api/cart", "orders", 9, 700}
	addItem       = endpoint{"POST", "/api/cart/items", "orders", 22, 240}
	placeOrder    = endpoint{"POST", "/api/orders", "orders", 140, 380}
	order         = endpoint{"GET", "/api/orders/{order_id}", "orders", 16, 1_100}
	profile       = endpoint{"GET", "/api/users/{user_id}", "accounts", 11, 620}
	notifications = endpoint{"GET", "/api/notifications", "accounts", 6, 180}
	login         = endpoint{"POST", "/api/login", "accounts", 85, 320}
	lottery       = endpoint{"POST", "/api/lottery", "games", 30, 90}
	stock         = endpoint{"PUT", "/api/stock/{product_id}", "catalog", 20, 60}
	health        = endpoint{"GET", "/healthz", "web", 1, 2}
)

// ask fills ev with a request of e for path and its answer.
func (e endpoint) ask(ev *Event, path string, status int, r *rand.Rand) {
	ev.Method, ev.Path, ev.Route, ev.Service = e.method, path, e.route, e.service
	ev.Status = status
	ev.LatencyMS = e.latency * math.Exp(0.5*r.NormFloat64())
	ev.Response = 40 + int(float64(e.bytes)*(0.5+r.Float64()))
	if status >= 400 {
		ev.LatencyMS *= 0.5
		ev.Response = 60 + r.IntN(120)
	}
	if e.method != "GET" {
		ev.Request = 80 + r.IntN(400)
	}
}

// play fills ev with a round of the shop's lottery.
func play(ev *Event, won bool, r *rand.Rand) {
	lottery.ask(ev, lottery.route, 200, r)
	ev.Body = `{"result":{"outcome":"lose"}}`
	if won {
		ev.Body = `{"result":{"outcome":"win","prize":` + strconv.Itoa(5+r.IntN(95)) + `}}`
	}
}

// signIn fills ev with an attempt to sign in as user.
func signIn(ev *Event, user string, right bool, r *rand.Rand) {
	status := 401
	if right {
		status = 200
	}
	signInAnswered(ev, user, status, r)
}

// signInAnswered is as signIn, for a shop that may answer a wrong password with 200 or
// 302 and leave it at that.
func signInAnswered(ev *Event, user string, status int, r *rand.Rand) {
	login.ask(ev, login.route, status, r)
	ev.User = user
}

// notFound fills ev with a request for something that is not there.
func notFound(ev *Event, path string, r *rand.Rand) {
	endpoint{"GET", "", "web", 4, 150}.ask(ev, path, 404, r)
}

// catalogue is how many products the shop has.
const catalogue = 4000

func productPath(id int) string { return "/api/products/" + strconv.Itoa(id) }

// popular picks a product out of the first n, early ones more often.
func popular(n int, r *rand.Rand) int {
	x := r.Float64()
	return 1 + int(float64(n)*x*x*x)
}

var words = [...]string{
	"lamp", "chair", "desk", "shelf", "mug", "kettle", "rug", "clock", "mirror", "vase", "sofa", "pillow", "towel",
	"basket", "candle", "frame", "plant", "stool", "hook", "tray",
}

var browsers = [...]string{
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
	"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
	"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
	"ShopApp/7.4.1 (iOS 18.6)",
	"ShopApp/7.4.0 (Android 15)",
}

func userName(n int) string { return "u" + strconv.Itoa(10_000+n) }
