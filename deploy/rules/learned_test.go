package rules_test

import (
	"fmt"
	"strings"
	"time"
)

// usual is a day and more of an endpoint at work: a request each ten seconds.
func usual(make func(i int) event) stream { return each(30*360, 10*time.Second, make) }

// unusual is what comes after it, for so long.
func unusual(long, every time.Duration, make func(i int) event) stream {
	s := each(int(long/every), every, make)
	s.from = 30 * time.Hour
	return s
}

// answered is a request of anybody, with its answer.
func answered(ms, status int) func(i int) event {
	return func(i int) event {
		return event{"client_ip": fmt.Sprintf("2001:db8::%x", i), "path": "/api/search", "status": status, "latency_ms": ms + i%7}
	}
}

// mixed has every so many requests answered with an error.
func mixed(every int) func(i int) event {
	return func(i int) event {
		if i%every == 0 {
			return answered(20, 500)(i)
		}
		return answered(20, 200)(i)
	}
}

// peers are thirty clients who each ask for something every few minutes, for so long.
func peers(long time.Duration, also ...stream) []stream {
	for c := range 30 {
		every := time.Duration(240+20*c) * time.Second
		also = append(also, each(int(long/every), every, with("client_ip", fmt.Sprint("198.51.100.", c+1), with("latency_ms", 100, get(browser, 200, "/api/search")))))
	}
	return also
}

// sized is a request of anybody with a body of so many bytes, and a query.
func sized(bytes int, query string) func(i int) event {
	return with("request_bytes", bytes, with("query", query, answered(20, 200)))
}

// sometimes has every so many requests be another.
func sometimes(every int, other, make func(i int) event) func(i int) event {
	return func(i int) event {
		if i%every == 0 {
			return other(i)
		}
		return make(i)
	}
}

// nineDays of an endpoint at work, and an hour: a request each minute.
var nineDays = each((9*24+1)*60, time.Minute, answered(20, 200))

// newly is what a client does with a method in that hour, one request each five seconds.
func newly(method string, status, times int) stream {
	s := each(times, 5*time.Second, with("method", method, answered(20, status)))
	s.from = 9 * 24 * time.Hour
	return s
}

// learnedCases are those of rules that learn.
var learnedCases = map[string][]ruleCase{
	"slow-endpoint": {
		act("ten times as slow for two minutes", usual(answered(20, 200)), unusual(2*time.Minute, 4*time.Second, answered(250, 200))),
		calm("five times the traffic, as fast as ever", usual(answered(20, 200)), unusual(10*time.Minute, 2*time.Second, answered(20, 200))),
		calm("one request that hangs", usual(answered(20, 200)), unusual(time.Second, time.Second, answered(30_000, 200)), unusual(10*time.Minute, 10*time.Second, answered(20, 200))),
	},
	"unusual-traffic": {
		act("twenty times as many clients", usual(answered(20, 200)), unusual(30*time.Minute, 500*time.Millisecond, answered(20, 200))),
		calm("half as much again", usual(answered(20, 200)), unusual(30*time.Minute, 7*time.Second, answered(20, 200))),
	},
	"unusual-answers": {
		act("every third an error", usual(mixed(200)), unusual(30*time.Minute, 5*time.Second, mixed(3))),
		calm("more traffic, the same share of errors", usual(mixed(200)), unusual(30*time.Minute, 3*time.Second, mixed(200))),
	},
	"unusual-size": {
		act("a body a hundred times as large", usual(sized(2000, "")), unusual(2*time.Minute, 10*time.Second, sized(200_000, ""))),
		calm("three times as large", usual(sized(2000, "")), unusual(10*time.Minute, 10*time.Second, sized(6000, ""))),
		calm("uploads now and then, as ever", usual(sometimes(40, sized(2_000_000, ""), sized(200, ""))), unusual(time.Minute, 10*time.Second, sized(3_000_000, ""))),
	},
	"unusual-query": {
		act("a query a hundred times as long", usual(sized(0, "q=red+shoes")), unusual(2*time.Minute, 10*time.Second, sized(0, strings.Repeat("q=red+shoes", 100)))),
		calm("a long one of a form", usual(sized(0, "q=red+shoes")), unusual(10*time.Minute, 10*time.Second, sized(0, strings.Repeat("q=red+shoes", 20)))),
	},
	"first-use": {
		act("a method that nobody used before", nineDays, newly("DELETE", 200, 12)),
		calm("a scan for it", nineDays, newly("DELETE", 405, 40)),
		calm("one request", nineDays, newly("DELETE", 200, 1)),
	},
	"greedy-client": {
		act("one client with forty times as much", peers(6*time.Hour, late(4*time.Hour, each(600, 5*time.Second, get(browser, 200, "/api/search"))))...),
		calm("one client with three times as much", peers(6*time.Hour, late(4*time.Hour, each(45, 80*time.Second, get(browser, 200, "/api/search"))))...),
	},
	"costly-client": {
		act("one client whose answers take five seconds", peers(6*time.Hour, late(4*time.Hour, each(40, 60*time.Second, with("latency_ms", 5000, get(browser, 200, "/api/search")))))...),
		calm("one client whose answers take a second", peers(6*time.Hour, late(4*time.Hour, each(12, 5*time.Minute, with("latency_ms", 1000, get(browser, 200, "/api/search")))))...),
	},
}

// late has a stream begin later.
func late(by time.Duration, s stream) stream { s.from += by; return s }
