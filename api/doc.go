// Package api is what a process says over HTTP: whether it lives and is ready, and
// its metrics.
//
// Every role listens on http.listen. Without a keys file only this machine may ask.
package api
