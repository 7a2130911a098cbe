// Package schemas is what every other package agrees on: the shape of an event,
// a verdict and a ban, how a record's bytes become an event, who the subject of
// an event is, and how events and verdicts are stored.
//
// What flows through it: consumer hands a Kafka record's value (or replay a line
// of a file) to Decoder.Decode, which fills an Event in one pass over the bytes
// and keeps slices into them; Identity.Subject says whom the event counts for.
// detector reads the Event and makes Verdict and BanChange values; sink encodes
// them as JSON (json/ holds their JSON Schemas) and writes events and verdicts to
// the ClickHouse tables whose migrations are under sql/.
//
// The package starts nothing, holds no state between calls but a Decoder's
// scratch space, and imports no other package of this module.
package schemas
