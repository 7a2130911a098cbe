package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// bansChange is a command by which a person changes what is enforced.
type bansChange struct {
	op      schemas.Op
	use     string
	short   string
	long    string
	done    string // what was done, before the subject
	lasting string // usage of --for; "": the change has no end
}

func bansChanges() []bansChange {
	return []bansChange{
		{
			op: schemas.OpBan, use: "add", short: "Ban somebody by hand", done: "banned",
			long: `Bans an address, a network or a user, whatever the rules say. The ban stands on the ban
topic within a second, with the rule "manual", beside what rules have decided.`,
			lasting: "how long the ban lasts, such as 30m, 12h, 7d (default: 1h)",
		},
		{
			op: schemas.OpUnban, use: "remove", short: "End every ban and throttle of somebody", done: "unbanned",
			long: `Ends every ban and throttle of the subject, by hand or by rules, within a second. Rules
may ban it again on its next offence: bans exempt keeps them from that.`,
		},
		{
			op: schemas.OpExempt, use: "exempt", short: "Neither count nor ban somebody", done: "exempt:",
			long: `Ends every ban and throttle of the subject within a second, and keeps rules and people
from banning it. No network that shares addresses with it can be banned either.`,
			lasting: "how long the exemption lasts (default: until bans unexempt)",
		},
		{
			op: schemas.OpUnexempt, use: "unexempt", short: "End an exemption by hand", done: "no longer exempt:",
			long: `Ends what bans exempt began: rules count and ban the subject again. Exemptions of the
rules file stay.`,
		},
	}
}

// bansChangeOptions are the flags of a change.
type bansChangeOptions struct {
	kafka  kafkaFlags
	topic  string
	lasts  string
	reason string
	by     string
	scope  string
	asJSON bool
}

func newBansChangeCommand(g *globals, c bansChange) *cobra.Command {
	var o bansChangeOptions
	cmd := &cobra.Command{
		Use:   c.use + " SUBJECT",
		Short: c.short,
		Long: c.long + `

SUBJECT is an address (192.0.2.7, 2001:db8::1), a network (192.0.2.0/24), or with
--scope user a user. The newest change of a subject replaces those before it. The change
is written to the control topic, which every detect follows, and store keeps it in
ClickHouse, in the table controls.`,
		Example: "  apiwarden bans " + c.use + " 192.0.2.7 --reason 'ticket 4711'\n" +
			"  apiwarden bans " + c.use + " --config apiwarden.yaml --scope user anna",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return argumentError(cmd, "name one subject: an address, a network, or with --scope user a user")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := o.control(cmd, c.op, args[0])
			if err != nil {
				return err
			}
			r, err := o.send(cmd, g, change)
			if err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), r, o.asJSON)
		},
	}
	f := cmd.Flags()
	o.kafka.register(f)
	f.StringVar(&o.topic, "topic", "", "control topic (default: topics.control of the configuration, apiwarden-control)")
	if c.lasting != "" {
		f.StringVar(&o.lasts, "for", "", c.lasting)
	}
	f.StringVar(&o.reason, "reason", "", "why, for people")
	f.StringVar(&o.by, "by", "", "who asks for it (default: the user of the operating system)")
	f.StringVar(&o.scope, "scope", "", "ip, range or user (default: ip or range, as SUBJECT is written)")
	f.BoolVar(&o.asJSON, "json", false, "say what was done as a JSON object")
	return cmd
}

// control gives the change that the arguments ask for, or refuses them.
func (o *bansChangeOptions) control(cmd *cobra.Command, op schemas.Op, subject string) (*schemas.Control, error) {
	c := schemas.Control{Op: op, Reason: o.reason, By: o.by, At: schemas.Micros(time.Now().UnixMicro())}
	var err error
	if c.Scope, c.Value, err = schemas.ControlSubject(schemas.Scope(o.scope), subject); err != nil {
		if o.scope == "" {
			err = fmt.Errorf("%w (a user needs --scope user)", err)
		}
		return nil, argumentError(cmd, "%v", err)
	}
	if o.lasts != "" {
		d, err := schemas.ParseDuration(o.lasts)
		if err == nil && d <= 0 {
			err = fmt.Errorf("%s is not positive", o.lasts)
		}
		if err != nil {
			return nil, argumentError(cmd, "--for: %v", err)
		}
		c.For = schemas.Duration(d)
	}
	if c.By == "" {
		c.By = osUser()
	}
	if err := c.Validate(); err != nil {
		return nil, argumentError(cmd, "%v", err)
	}
	return &c, nil
}

func osUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return os.Getenv("USER")
}

// send writes the change and waits until all in-sync replicas have it.
func (o *bansChangeOptions) send(cmd *cobra.Command, g *globals, c *schemas.Control) (*sink.ControlRecord, error) {
	cfg, err := o.kafka.config(cmd)
	if err != nil {
		return nil, err
	}
	if o.topic == "" {
		o.topic = cfg.Topics.Control
	}
	log, err := g.logger(cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	ctx := cmd.Context()
	cl, err := sink.Connect(ctx, cfg.Kafka, log, append(sink.ProducerOpts(), kgo.UnknownTopicRetries(30))...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	topics := cfg.Topics
	topics.Control = o.topic
	if err := ensureTopic(ctx, cl, cfg.Kafka, topics, o.topic, log); err != nil {
		return nil, err
	}
	r := sink.NewControlRecord(o.topic, c)
	if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
		if perm := sink.Refusal("writing to topic "+o.topic, err); perm != nil {
			return nil, perm
		}
		return nil, fmt.Errorf("writing to topic %s: %w", o.topic, err)
	}
	return &sink.ControlRecord{Control: *c, Position: schemas.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}}, nil
}

// print says what was done.
func (c *bansChange) print(w io.Writer, r *sink.ControlRecord, asJSON bool) error {
	if asJSON {
		return printControlJSON(w, r)
	}
	line := fmt.Sprintf("%s %s %s", c.done, r.Scope, r.Value)
	if until := r.Until(); until != 0 {
		line += " until " + until.Time().Format(time.RFC3339)
	}
	_, err := fmt.Fprintf(w, "%s (%s/%d@%d)\n", line, r.Position.Topic, r.Position.Partition, r.Position.Offset)
	return err
}

// printControlJSON writes a change as one line: subject, the value of its record, when
// it ends by itself, and where it stands.
func printControlJSON(w io.Writer, r *sink.ControlRecord) error {
	var until *schemas.Micros
	if u := r.Until(); u != 0 {
		until = &u
	}
	line, err := json.Marshal(struct {
		Scope schemas.Scope `json:"scope"`
		Value string        `json:"value"`
		*schemas.Control
		ExpiresAt *schemas.Micros `json:"expires_at"`
		schemas.Position
	}{r.Scope, r.Value, &r.Control, until, r.Position})
	if err != nil {
		return fmt.Errorf("writing a manual change: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", line)
	return err
}

// printExemptions writes who is exempt by hand now, of all that was said.
func printExemptions(w io.Writer, said []sink.ControlRecord, now time.Time, asJSON bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := 0
	for i := range said {
		r := &said[i]
		until := r.Until()
		if r.Op != schemas.OpExempt || until != 0 && int64(until) < now.UnixMicro() {
			continue
		}
		rows++
		if asJSON {
			if err := printControlJSON(w, r); err != nil {
				return err
			}
			continue
		}
		ends := "never"
		if until != 0 {
			ends = humanize.RelTime(until.Time(), now, "ago", "from now")
		}
		if rows == 1 {
			fmt.Fprintln(t, "SCOPE\tSUBJECT\tENDS\tSINCE\tBY\tREASON")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Scope, r.Value, ends, r.At.Time().Format(time.DateTime), r.By, r.Reason)
	}
	if rows == 0 && !asJSON {
		_, err := fmt.Fprintln(w, "nobody is exempt by hand")
		return err
	}
	return t.Flush()
}
