package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
)

// reloadEvery is how often the rules on disk are looked at. Asking the file system finds
// what notifications miss: network file systems, and the links that Kubernetes swaps.
const reloadEvery = 2 * time.Second

// reloadMetrics tell what became of rules that have changed on disk.
type reloadMetrics struct {
	Reloads *prometheus.CounterVec
	Refused prometheus.Gauge
}

func newReloadMetrics(reg prometheus.Registerer) *reloadMetrics {
	m := &reloadMetrics{
		Reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiwarden_detector_reloads_total", Help: "Times the rules on disk were read again, by result: adopted, refused or unchanged.",
		}, []string{"result"}),
		Refused: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "apiwarden_detector_reload_refused", Help: "1 while the rules on disk are refused and those before them go on.",
		}),
	}
	reg.MustRegister(m.Reloads, m.Refused)
	for _, result := range []string{"adopted", "refused", "unchanged"} {
		m.Reloads.WithLabelValues(result)
	}
	return m
}

// reloader has the rules adopted that somebody has changed on disk, when their files
// change or SIGHUP asks. Rules that are refused change nothing.
type reloader struct {
	path    string
	adopt   func(*detector.Program) error // by every part of the process, or by none
	log     *zap.Logger
	metrics *reloadMetrics

	hash    string                 // of the rules in force
	refused atomic.Pointer[string] // why the rules on disk are not in force; nil: they are
}

// refusedWhy says why the rules on disk are not in force, "" if they are. Safe for
// concurrent use.
func (r *reloader) refusedWhy() string {
	if why := r.refused.Load(); why != nil {
		return *why
	}
	return ""
}

// run looks at the rules until ctx is done.
func (r *reloader) run(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	read, seen := "", "" // of the files: as they were when read, and when last looked at
	for {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			asked = true
			r.log.Info("SIGHUP: reading the rules again", zap.String("rules", r.path))
		case <-tick.C:
			now := stamp(r.path)
			// A file that is being written is left alone until it has come to rest.
			if settled := now == seen; now == read || !settled {
				seen = now
				continue
			}
		}
		read = stamp(r.path)
		r.reload(asked)
	}
}

// reload reads the rules and has them adopted; asked: somebody waits for an answer.
func (r *reloader) reload(asked bool) {
	program, err := detector.Load(r.path)
	switch {
	case err == nil && program.Hash() == r.hash:
		if r.settle("unchanged", nil); asked {
			r.log.Info("the rules are as before", zap.String("rules_hash", r.hash))
		}
		return
	case err == nil:
		err = r.adopt(program)
	}
	if err != nil {
		r.settle("refused", err)
		r.log.Error("the rules on disk are refused, those before them go on", zap.String("rules", r.path), zap.String("rules_hash", r.hash), zap.Error(err))
		return
	}
	before := r.hash
	r.hash = program.Hash()
	r.settle("adopted", nil)
	r.log.Info("rules adopted", zap.String("rules", r.path), zap.String("rules_hash", r.hash), zap.String("before", before), zap.Int("rules_count", len(program.Rules())))
	for _, w := range program.Warnings() {
		r.log.Warn("rules", zap.String("warning", w.String()))
	}
}

func (r *reloader) settle(result string, err error) {
	r.metrics.Reloads.WithLabelValues(result).Inc()
	if err == nil {
		r.metrics.Refused.Set(0)
		r.refused.Store(nil)
		return
	}
	r.metrics.Refused.Set(1)
	why := "the rules on disk are refused: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	r.refused.Store(&why)
}

// stamp tells states of a rules file, or of the files of a folder, apart.
func stamp(path string) string {
	about, err := os.Stat(path)
	if err != nil {
		return absent(err)
	}
	files := []string{path}
	if about.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.yaml")); err != nil {
			return err.Error()
		}
	}
	var b strings.Builder
	for _, f := range files {
		about, err := os.Stat(f)
		if err != nil {
			fmt.Fprintf(&b, "%s %s\n", f, absent(err))
			continue
		}
		fmt.Fprintf(&b, "%s %d %d\n", f, about.Size(), about.ModTime().UnixNano())
	}
	return b.String()
}

func absent(err error) string {
	if errors.Is(err, os.ErrNotExist) {
		return "absent"
	}
	return err.Error()
}
