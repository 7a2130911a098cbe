// Package traffic makes up the traffic of the demo: the requests of an imaginary
// shop, as its gateway would log them. It is pure: the same seed, times and
// refusals give the same events, and it reads no clock.
//
// Three sorts of clients send requests.
//
//   - Visitors (session.go): thousands of them, each with a session or two: pages
//     that make a few API calls at once, a while to read, the next page. How many
//     there are follows the time of day (rhythm.go).
//   - Attackers (attackers.go): one or several of every kind that the shipped rules
//     (deploy/rules) ban and that a shop like this one meets. A part of what they do lies in the history, so that the
//     slow ones are caught by what happened hours ago.
//   - Innocents (innocents.go): those that a careless rule takes for attackers, such
//     as an office behind one address or a job that polls.
//
// Order of calls: New, History to its end, GoLive once, then Until as time goes by.
// All of it from one goroutine.
package traffic
