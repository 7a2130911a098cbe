package sink

import "errors"

// PermanentError is an error that waiting does not heal: wrong credentials, a
// refused certificate, a missing right, a setting the server does not accept.
// Whoever gets one stops and says so; everything else is tried again.
type PermanentError struct {
	Doing string // gerund and object, "connecting to kafka at a:9092"
	Err   error
	Do    string // what a person can do about it; may be empty
}

func (e *PermanentError) Error() string {
	msg := e.Doing + ": " + e.Err.Error()
	if e.Do != "" {
		msg += " (" + e.Do + ")"
	}
	return msg
}

func (e *PermanentError) Unwrap() error { return e.Err }

// IsPermanent reports whether err is, or wraps, a PermanentError.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[*PermanentError](err)
	return ok
}
