package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// benchReport is what a run has found. Its JSON is what --json writes.
type benchReport struct {
	Started  time.Time `json:"started"`
	Version  string    `json:"version"`
	Commit   string    `json:"commit"`
	Go       string    `json:"go"`
	OS       string    `json:"os"`
	CPU      string    `json:"cpu"`
	CPUs     int       `json:"cpus"`
	Load     float64   `json:"load"` // processes that wanted a processor in the minute before
	Kafka    string    `json:"kafka,omitempty"`
	Quick    bool      `json:"quick"` // a small run, whose figures are rough
	Measures []measure `json:"measures"`
	Curves   []curve   `json:"curves"`
}

// measure is one figure. ID names it for ever; Section and What are for people.
type measure struct {
	Section string  `json:"section"`
	ID      string  `json:"id"`
	What    string  `json:"what"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Target  *target `json:"target,omitempty"`
	Met     *bool   `json:"met,omitempty"` // where there is a target
}

// target is what a figure should be: at least or at most a value of its unit.
type target struct {
	AtLeast *float64 `json:"at_least,omitempty"`
	AtMost  *float64 `json:"at_most,omitempty"`
}

func (t target) String() string {
	if t.AtLeast != nil {
		return "≥ " + figure(*t.AtLeast)
	}
	return "≤ " + figure(*t.AtMost)
}

func atLeast(bound float64, m measure) measure {
	met := m.Value >= bound
	m.Target, m.Met = &target{AtLeast: &bound}, &met
	return m
}

func atMost(bound float64, m measure) measure {
	met := m.Value <= bound
	m.Target, m.Met = &target{AtMost: &bound}, &met
	return m
}

// curve is what a figure does while something grows. ID is the name of its picture.
type curve struct {
	ID     string   `json:"id"`
	Title  string   `json:"title"`
	X      axis     `json:"x"`
	Y      axis     `json:"y"`
	Series []series `json:"series"`
}

// axis is one of the two of a curve.
type axis struct {
	Label string `json:"label"`
	Log   bool   `json:"log,omitempty"`
}

// series is one line of a curve.
type series struct {
	Name   string  `json:"name"`
	Points []point `json:"points"`
}

type point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// describe fills in where and of what the run is.
func (r *benchReport) describe(quick bool) {
	build := readBuild()
	r.Started, r.Quick = time.Now().UTC().Truncate(time.Second), quick
	r.Version, r.Commit, r.Go = build.version, build.commit, build.goVersion
	r.OS, r.CPU, r.CPUs = runtime.GOOS+"/"+runtime.GOARCH, cpuModel(), runtime.NumCPU()
	r.Load = loadAverage()
}

// cpuModel is what the system calls its processor; empty where it does not say.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// loadAverage is what the system says of the last minute; 0 where it does not.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}

func (r *benchReport) add(m ...measure) { r.Measures = append(r.Measures, m...) }

// refuseNothing takes out figures that are none, such as a ratio to nothing, and says so.
func (r *benchReport) refuseNothing() error {
	var none []string
	r.Measures = slices.DeleteFunc(r.Measures, func(m measure) bool {
		if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
			none = append(none, m.ID)
			return true
		}
		return false
	})
	if len(none) > 0 {
		return fmt.Errorf("too little was measured for %s", strings.Join(none, ", "))
	}
	return nil
}

func (r *benchReport) plot(c ...curve) { r.Curves = append(r.Curves, c...) }

// write writes the files that o asks for.
func (r *benchReport) write(o benchOptions) error {
	if o.json == "" && o.markdown == "" && o.svg == "" {
		return nil
	}
	var errs []error
	if o.json != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		errs = append(errs, err, writeReport(o.json, string(text)+"\n"))
	}
	if o.svg != "" {
		for _, c := range r.Curves {
			picture, err := drawCurve(c)
			if err != nil {
				errs = append(errs, fmt.Errorf("drawing %s: %w", c.ID, err))
				continue
			}
			errs = append(errs, writeReport(filepath.Join(o.svg, c.ID+".svg"), string(picture)))
		}
	}
	if o.markdown != "" {
		pictures := ""
		if o.svg != "" {
			if rel, err := filepath.Rel(filepath.Dir(o.markdown), o.svg); err == nil {
				pictures = filepath.ToSlash(rel)
			}
		}
		errs = append(errs, writeReport(o.markdown, r.markdown(pictures)))
	}
	return errors.Join(errs...)
}

// writeReport writes a file whose folder may be missing.
func writeReport(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("making a folder for the report: %w", err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
