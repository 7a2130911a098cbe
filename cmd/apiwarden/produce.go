package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// produceOptions are the flags of produce.
type produceOptions struct {
	kafka     kafkaFlags
	topic     string
	preset    string
	rate      float64
	loop      int
	maxRecord sizeFlag
}

func newProduceCommand(g *globals) *cobra.Command {
	o := produceOptions{maxRecord: defaultMaxRecord}
	cmd := &cobra.Command{
		Use:   "produce --brokers B [flags] FILE | -",
		Short: "Send a log file to Kafka",
		Long: `Reads a log file (JSON lines, or the text lines of a preset; "-" is standard input)
and sends each line as it is to Kafka, keyed by its canonical client address, so that
all events of a client meet in one partition. The consumer must be given the same
preset. Every record is acknowledged by all replicas before the command ends.

Lines that cannot be used are shown with their line number, counted and skipped.`,
		Example: `  apiwarden produce --brokers 127.0.0.1:9092 events.jsonl
  apiwarden produce --brokers k1:9092,k2:9092 --preset combined /var/log/nginx/access.log
  tail -F access.json | apiwarden produce --brokers 127.0.0.1:9092 --preset nginx-json -
  apiwarden produce --brokers 127.0.0.1:9092 --rate 5000 --loop 10 events.jsonl.gz`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return argumentError(cmd, "name one log file, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return produce(cmd, g, o, args[0]) },
	}
	f := cmd.Flags()
	o.kafka.register(f)
	f.StringVar(&o.topic, "topic", "", "topic to send to (default: topics.logs of the configuration, api-logs)")
	f.StringVar(&o.preset, "preset", "", "shape of the log: "+presetList())
	f.Float64Var(&o.rate, "rate", 0, "records per second at most (0: as fast as it goes)")
	f.IntVar(&o.loop, "loop", 1, "how many times the file is sent")
	f.Var(&o.maxRecord, "max-record-bytes", "longer lines are skipped (default: input.max_record_bytes of the configuration, 1MiB)")
	completePresets(cmd, "preset")
	return cmd
}

func produce(cmd *cobra.Command, g *globals, o produceOptions, file string) error {
	switch {
	case o.loop < 1:
		return argumentError(cmd, "--loop is %d, it must be at least 1", o.loop)
	case o.loop > 1 && file == stdinName:
		return argumentError(cmd, "standard input can be sent once only: leave --loop out, or name a file")
	case o.rate < 0:
		return argumentError(cmd, "--rate is %g, it must not be negative", o.rate)
	}
	cfg, err := o.kafka.config(cmd)
	if err != nil {
		return err
	}
	if o.topic == "" {
		o.topic = cfg.Topics.Logs
	}
	if o.preset == "" {
		o.preset = cfg.Input.Preset
	}
	if !cmd.Flags().Changed("max-record-bytes") {
		o.maxRecord = sizeFlag(cfg.Input.MaxRecordBytes)
	}
	decoder, err := schemas.NewDecoder(schemas.Options{Preset: o.preset, Fields: cfg.Input.Fields, MaxRecordBytes: int(o.maxRecord)})
	if err != nil {
		return argumentError(cmd, "--preset: %v", err)
	}
	log, err := g.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer log.Sync() //nolint:errcheck // standard error cannot always be synced, and it does not matter
	in, err := openLog(cmd.Context(), file, cmd.InOrStdin())
	if err != nil {
		return err
	}
	in.close()

	cl, err := sink.Connect(cmd.Context(), cfg.Kafka, log,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.MaxBufferedRecords(100_000),
		kgo.UnknownTopicRetries(30), // a topic just created is not known to every broker at once
	)
	if err != nil {
		return err
	}
	defer cl.Close()
	topics := cfg.Topics
	topics.Logs = o.topic
	if err := ensureTopic(cmd.Context(), cl, cfg.Kafka, topics, o.topic, log); err != nil {
		return err
	}
	p := &producer{
		client: cl, topic: o.topic, file: file, decoder: decoder, limit: int(o.maxRecord),
		pace: pacer{rate: o.rate}, bad: map[schemas.Reason]int64{}, stderr: cmd.ErrOrStderr(),
	}
	return p.sendAll(cmd, o.loop)
}

// ensureTopic makes topic, one of topics, exist. Where it does, nothing is created, for
// the configuration at hand may not be that of the consumers.
func ensureTopic(ctx context.Context, cl *kgo.Client, cfg sink.KafkaConfig, topics sink.Topics, topic string, log *zap.Logger) error {
	if have, err := kadm.NewClient(cl).ListTopics(ctx, topic); err == nil && have.Has(topic) {
		return nil
	}
	return sink.EnsureTopics(ctx, cl, cfg, topics, log, topic)
}

// producer sends the lines of a log.
type producer struct {
	client  *kgo.Client
	topic   string
	file    string
	decoder *schemas.Decoder
	limit   int
	pace    pacer
	stderr  io.Writer
	bar     *progress

	block []byte // what keys and values are cut from
	slots []kgo.Record
	bad   map[schemas.Reason]int64
	sent  atomic.Int64
	lost  atomic.Pointer[error] // the first record that was not acknowledged
}

// grace is how long records in flight may take to be acknowledged after a signal.
const grace = 20 * time.Second

// sendAll sends the file loop times, waits for every acknowledgement and prints the
// summary.
func (p *producer) sendAll(cmd *cobra.Command, loop int) error {
	ctx := cmd.Context()
	// A signal ends the reading at once; what is in flight gets its time.
	flying, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, abandon) })
	defer stop()

	began := time.Now()
	var err error
	for pass := 0; pass < loop && err == nil && ctx.Err() == nil; pass++ {
		err = p.sendOnce(ctx, flying, cmd.InOrStdin(), pass, loop)
	}
	if flushErr := p.client.Flush(flying); flushErr != nil && err == nil {
		err = fmt.Errorf("waiting for acknowledgements: %w", flushErr)
	}
	p.bar.finish()
	if lost := p.lost.Load(); lost != nil && err == nil {
		err = *lost
	}
	took := time.Since(began)
	var bad int64
	for _, n := range p.bad {
		bad += n
	}
	sent := p.sent.Load()
	fmt.Fprintf(cmd.OutOrStdout(), "produced %s to %s in %s (%s/s); %s skipped%s\n", counted(sent, "record"), p.topic,
		took.Round(time.Millisecond), humanize.SIWithDigits(float64(sent)/max(took.Seconds(), 1e-6), 1, ""), counted(bad, "bad line"), counts(p.bad))
	return err
}

// sendOnce sends the file once: ctx ends the reading, flying the sending.
func (p *producer) sendOnce(ctx, flying context.Context, stdin io.Reader, pass, loop int) error {
	in, err := openLog(ctx, p.file, stdin)
	if err != nil {
		return err
	}
	defer in.close()
	if p.bar == nil {
		p.bar = newProgress(p.stderr, "producing", in.size*int64(loop))
	}
	lines := newLineReader(in, p.limit)
	var ev schemas.Event
	for number := 1; ; number++ {
		if p.lost.Load() != nil || ctx.Err() != nil {
			return nil
		}
		line, length, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading line %d of %s: %w", number, p.file, err)
		}
		if number%1024 == 0 {
			p.bar.set(in.size*int64(pass) + in.raw.n)
		}
		if bad := p.check(line, length, &ev); bad != nil {
			p.skip(number, bad)
			continue
		}
		if err := p.pace.wait(ctx); err != nil {
			return nil
		}
		p.send(flying, number, line, &ev)
	}
}

func (p *producer) check(line []byte, length int, ev *schemas.Event) *schemas.BadRecord {
	if length > p.limit {
		return tooLarge(length, p.limit)
	}
	return badRecord(p.decoder.Decode(line, ev))
}

func (p *producer) skip(number int, bad *schemas.BadRecord) {
	p.bad[bad.Reason]++
	p.bar.clear()
	fmt.Fprintf(p.stderr, "%s:%d: skipped: %v\n", p.file, number, bad)
}

// send hands one line to the client, which batches, and blocks where too much is in
// flight.
func (p *producer) send(ctx context.Context, number int, line []byte, ev *schemas.Event) {
	const block, maxKey, slots = 1 << 20, 64, 4096
	if need := len(line) + maxKey; cap(p.block)-len(p.block) < need {
		p.block = make([]byte, 0, max(block, need))
	}
	if len(p.slots) == 0 {
		p.slots = make([]kgo.Record, slots)
	}
	r := &p.slots[0]
	p.slots = p.slots[1:]

	from := len(p.block)
	p.block = ev.ClientIP.AppendTo(p.block)
	r.Key = p.block[from:len(p.block):len(p.block)]
	from = len(p.block)
	p.block = append(p.block, line...)
	r.Value = p.block[from:len(p.block):len(p.block)]
	r.Topic = p.topic
	p.client.Produce(ctx, r, func(_ *kgo.Record, err error) { p.acknowledged(number, err) })
}

// acknowledged notes what became of one record. It runs on a goroutine of the
// client.
func (p *producer) acknowledged(number int, err error) {
	if err == nil {
		p.sent.Add(1)
		return
	}
	what := ""
	if errors.Is(err, kerr.MessageTooLarge) {
		what = " (the brokers take no record of this size: lower --max-record-bytes, or raise the topic's max.message.bytes)"
	}
	lost := fmt.Errorf("sending line %d of %s to topic %s: %w%s", number, p.file, p.topic, err, what)
	p.lost.CompareAndSwap(nil, &lost)
}
