package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// replayOptions are the flags of replay.
type replayOptions struct {
	rules     string
	preset    string
	bans      bool
	dlq       string
	maxRecord sizeFlag
}

func newReplayCommand() *cobra.Command {
	o := replayOptions{maxRecord: defaultMaxRecord}
	var profile string
	cmd := &cobra.Command{
		Use:   "replay --rules RULES.yaml [flags] [FILE | -]",
		Short: "Judge a log file by rules, without a broker",
		Long: `Runs the production engine over a log file (or standard input) and prints one
verdict a line, as JSON, in the order in which they happen. The clock is the events'
own, so the same file always gives the same verdicts, with the same ids.

The position of an event is its line number, from 0. Lines that cannot be used are
counted and left out; --dlq keeps them, with the reason. A summary goes to standard
error. Files that end in .gz are decompressed.`,
		Example: `  apiwarden replay --rules rules.yaml events.jsonl
  apiwarden replay --rules deploy/rules --input-preset combined /var/log/nginx/access.log
  zcat access.log.*.gz | apiwarden replay --rules rules.yaml --input-preset combined -
  apiwarden replay --rules rules.yaml --bans events.jsonl       # who would have been banned, and until when
  apiwarden replay --rules rules.yaml --dlq bad.jsonl events.jsonl`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := stdinName
			if len(args) > 0 {
				file = args[0]
			}
			return profiled(profile, func() error { return replay(cmd, o, file) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.rules, "rules", "", "rules file, or folder of rules files")
	f.StringVar(&o.preset, "input-preset", "", "shape of the log: "+presetList())
	f.BoolVar(&o.bans, "bans", false, "print the changes of the ban topic instead of the verdicts")
	f.StringVar(&o.dlq, "dlq", "", "write the lines that cannot be used to this `file`, as JSON lines with offset, reason and record")
	f.Var(&o.maxRecord, "max-record-bytes", "longer lines cannot be used")
	profileFlag(cmd, &profile)
	completePresets(cmd, "input-preset")
	return cmd
}

// replay judges file and prints what came of it.
func replay(cmd *cobra.Command, o replayOptions, file string) error {
	if o.rules == "" {
		return argumentError(cmd, "--rules is missing: name a rules file or a folder of them")
	}
	program, err := detector.Load(o.rules)
	if err != nil {
		return err
	}
	for _, w := range program.Warnings() {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s (warning)\n", w)
	}
	decoder, err := schemas.NewDecoder(schemas.Options{Preset: o.preset, MaxRecordBytes: int(o.maxRecord), Needs: program.Needs()})
	if err != nil {
		return argumentError(cmd, "--input-preset: %v", err)
	}
	in, err := openLog(cmd.Context(), file, cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer in.close()

	out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
	r := &replayer{
		engine:  detector.NewEngine(program, detector.Options{Topic: in.name, File: true}),
		decoder: decoder,
		lines:   newLineReader(&flushingReader{r: in, w: out}, int(o.maxRecord)),
		limit:   int(o.maxRecord),
		bans:    o.bans,
		out:     out,
	}
	if len(program.Views()) > 0 {
		r.learned = detector.NewBaselines(program, detector.BaselinesOptions{})
	}
	if o.dlq != "" {
		f, err := os.Create(o.dlq)
		if err != nil {
			return fmt.Errorf("creating the file of --dlq: %w", err)
		}
		defer f.Close()
		r.rejected = bufio.NewWriter(f)
	}
	began := time.Now()
	if err := r.run(cmd.Context()); err != nil {
		return fmt.Errorf("replaying %s: %w", file, err)
	}
	r.summary.took = time.Since(began)
	r.summary.stats = r.engine.Stats()
	r.summary.print(cmd.ErrOrStderr(), in.name)
	return nil
}

// replayer drives one engine over one file, and behind it what learned rules need.
type replayer struct {
	engine   *detector.Engine
	learned  *detector.Baselines // nil: no rule is learned
	decoder  *schemas.Decoder
	lines    *lineReader
	limit    int
	bans     bool
	out      *bufio.Writer
	rejected *bufio.Writer // nil: nobody wants them
	text     []byte        // scratch of one output line
	summary  replaySummary

	// Of the lines at hand.
	batch  [detector.Ahead]logLine
	events [detector.Ahead]schemas.Event
	bad    [detector.Ahead]*schemas.BadRecord
	ahead  [detector.Ahead]*schemas.Event // the usable ones of events
}

// run reads to the end of the file, or until ctx is done. What it has judged is
// flushed whatever it returns.
func (r *replayer) run(ctx context.Context) (err error) {
	defer func() {
		err = errors.Join(err, r.out.Flush())
		if r.rejected != nil {
			err = errors.Join(err, r.rejected.Flush())
		}
	}()
	for offset := int64(0); ; {
		n, err := r.lines.batch(r.batch[:])
		if ctx.Err() != nil {
			r.summary.interrupted = true
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading line %d: %w", offset, err)
		}
		r.summary.lines += int64(n)
		r.decode(n)
		for i := range n {
			if err := r.judge(i, offset); err != nil {
				return err
			}
			offset++
		}
	}
}

// decode decodes the first n lines at hand and has the engine look ahead at them.
func (r *replayer) decode(n int) {
	usable := 0
	r.decoder.Begin()
	for i := range n {
		line := &r.batch[i]
		if line.length > r.limit {
			r.bad[i] = tooLarge(line.length, r.limit)
			continue
		}
		if r.bad[i] = badRecord(r.decoder.DecodeNext(line.text, &r.events[i])); r.bad[i] == nil {
			r.ahead[usable] = &r.events[i]
			usable++
		}
	}
	r.engine.Foresee(r.ahead[:usable])
}

// judge has the engine judge the i-th line at hand, and prints what came of it.
func (r *replayer) judge(i int, offset int64) error {
	if r.bad[i] == nil {
		_, r.bad[i] = r.engine.Observe(&r.events[i], detector.Record{Offset: offset})
	}
	if r.bad[i] != nil {
		if err := r.reject(r.bad[i], r.batch[i].text, offset); err != nil {
			return err
		}
	}
	verdicts, changes := r.engine.Take()
	if err := r.print(verdicts, changes); err != nil {
		return err
	}
	if r.learned == nil {
		return nil
	}
	return r.learn(offset)
}

// learn takes the summaries of the buckets that the line at offset has closed, if it has,
// through the second stage.
func (r *replayer) learn(offset int64) error {
	summaries, mark := r.engine.TakeSummaries()
	if mark == nil {
		return nil
	}
	for i := range summaries {
		r.learned.Merge(&summaries[i])
	}
	mark.Partitions = 1
	r.learned.Mark(mark)
	r.learned.Close(r.learned.Complete(), &schemas.Position{Topic: mark.Topic, Partition: mark.Partition, Offset: offset})
	return r.print(r.learned.Take(), nil)
}

// print writes what has been decided.
func (r *replayer) print(verdicts []schemas.Verdict, changes []schemas.BanChange) error {
	for i := range verdicts {
		v := &verdicts[i]
		v.DetectedAt = schemas.Micros(r.engine.Newest()) // a file has no other clock than its events
		r.summary.verdict(v)
		if r.bans {
			continue
		}
		r.text = append(schemas.AppendVerdict(r.text[:0], v), '\n')
		if _, err := r.out.Write(r.text); err != nil {
			return fmt.Errorf("writing a verdict: %w", err)
		}
	}
	for i := range changes {
		c := &changes[i]
		r.summary.change(c)
		if !r.bans {
			continue
		}
		if c.End {
			r.text = appendBanEnd(r.text[:0], c)
		} else {
			r.text = schemas.AppendBan(r.text[:0], &c.Ban)
		}
		r.text = append(r.text, '\n')
		if _, err := r.out.Write(r.text); err != nil {
			return fmt.Errorf("writing a ban: %w", err)
		}
	}
	return nil
}

// appendBanEnd appends the JSON of a ban's end.
func appendBanEnd(dst []byte, c *schemas.BanChange) []byte {
	text, err := json.Marshal(struct {
		Scope     schemas.Scope   `json:"scope"`
		Value     string          `json:"value"`
		Action    *schemas.Action `json:"action"`
		RuleIDs   []string        `json:"rule_ids"`
		ExpiresAt *schemas.Micros `json:"expires_at"`
	}{Scope: c.Ban.Scope, Value: c.Ban.Value, RuleIDs: []string{}})
	if err != nil {
		panic(err) // texts and nulls always marshal
	}
	return append(dst, text...)
}

// rejectedRecord is one line of the file of --dlq.
type rejectedRecord struct {
	Offset   int64          `json:"offset"`
	Reason   schemas.Reason `json:"reason"`
	Detail   string         `json:"detail"`
	Record   string         `json:"record"`
	Encoding string         `json:"encoding,omitempty"` // base64 where the record is not UTF-8
	Cut      bool           `json:"cut,omitempty"`      // the record is longer than what stands here
}

// reject counts a line that cannot be used and writes it to the file of --dlq.
func (r *replayer) reject(bad *schemas.BadRecord, line []byte, offset int64) error {
	r.summary.reject(bad.Reason)
	if r.rejected == nil {
		return nil
	}
	rec := rejectedRecord{Offset: offset, Reason: bad.Reason, Detail: bad.Detail, Cut: bad.Reason == schemas.ReasonTooLarge}
	if utf8.Valid(line) {
		rec.Record = string(line)
	} else {
		rec.Record, rec.Encoding = base64.StdEncoding.EncodeToString(line), "base64"
	}
	enc := json.NewEncoder(r.rejected)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(rec); err != nil {
		return fmt.Errorf("writing a rejected record: %w", err)
	}
	return nil
}

// flushingReader flushes what was printed before it reads on, so that whoever pipes
// a live log through sees each verdict at once.
type flushingReader struct {
	r io.Reader
	w *bufio.Writer
}

func (f *flushingReader) Read(p []byte) (int, error) {
	if err := f.w.Flush(); err != nil {
		return 0, fmt.Errorf("writing results: %w", err)
	}
	return f.r.Read(p)
}
