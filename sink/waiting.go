package sink

import (
	"sync"
	"time"
)

// Waiting is what ClickHouse is asked for at the moment and does not do. It is safe
// for concurrent use.
type Waiting struct {
	mu sync.Mutex
	of map[string]complaint // by what is being done
}

type complaint struct {
	since time.Time
	why   string
}

// note says that doing failed once more.
func (w *Waiting) note(doing string, err error, do string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	since := time.Now()
	if c, again := w.of[doing]; again {
		since = c.since
	}
	why := doing + ": " + err.Error()
	if do != "" {
		why += " (" + do + ")"
	}
	if w.of == nil {
		w.of = make(map[string]complaint)
	}
	w.of[doing] = complaint{since, why}
}

// over says that doing is done, or given up.
func (w *Waiting) over(doing string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.of, doing)
}

// Longest gives for how long something has been asked for in vain, and why; 0 where
// ClickHouse does all that it is asked for.
func (w *Waiting) Longest() (time.Duration, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var oldest complaint
	for _, c := range w.of {
		if oldest.since.IsZero() || c.since.Before(oldest.since) {
			oldest = c
		}
	}
	if oldest.since.IsZero() {
		return 0, ""
	}
	return time.Since(oldest.since), oldest.why
}
