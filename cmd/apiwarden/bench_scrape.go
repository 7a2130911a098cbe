package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// reading is what a role says of itself at one moment.
type reading struct {
	at       time.Time
	cpu      float64 // seconds since it started
	resident float64 // bytes
	metrics  map[string]float64
}

// read asks a role for its metrics.
func (r *roleChild) read(ctx context.Context) (reading, error) {
	code, body, err := r.get(ctx, "/metrics")
	at := time.Now()
	if err != nil {
		return reading{}, err
	}
	if code != http.StatusOK {
		return reading{}, fmt.Errorf("reading metrics of %s: status %d", r.what, code)
	}
	m := sumMetrics(body)
	return reading{at: at, cpu: m["process_cpu_seconds_total"], resident: m["process_resident_memory_bytes"], metrics: m}, nil
}

func (r *roleChild) get(ctx context.Context, path string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.http+path, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("asking %s: %w", r.what, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("asking %s: %w", r.what, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("asking %s: %w", r.what, err)
	}
	return resp.StatusCode, body, nil
}

// sumMetrics gives each metric of a Prometheus text, summed over its labels.
func sumMetrics(text []byte) map[string]float64 {
	sums := make(map[string]float64)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		end, space := strings.IndexAny(line, "{ "), strings.LastIndexByte(line, ' ')
		if end < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if v, err := strconv.ParseFloat(line[space+1:], 64); err == nil {
			sums[line[:end]] += v
		}
	}
	return sums
}

// awaitCount returns the first reading in which the metric has reached n. It asks
// seldom while that is far, because to be asked costs the role time, and often when
// it is near.
func (r *roleChild) awaitCount(ctx context.Context, from reading, metric string, n float64) (reading, error) {
	for {
		now, err := r.read(ctx)
		if err != nil {
			return now, err
		}
		done := now.metrics[metric]
		if done >= n {
			return now, nil
		}
		wait := 20 * time.Millisecond
		if gone := now.at.Sub(from.at); done > from.metrics[metric] {
			left := float64(gone) * (n - done) / (done - from.metrics[metric])
			wait = time.Duration(min(max(left/2, float64(4*time.Millisecond)), float64(250*time.Millisecond)))
		}
		if err := r.pause(ctx, wait); err != nil {
			return now, err
		}
	}
}
