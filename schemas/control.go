package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Op is what a person asks for.
type Op string

// All ops. The newest of a subject replaces those before it.
const (
	OpBan      Op = "ban"      // enforce a ban, whatever rules say
	OpUnban    Op = "unban"    // end every ban and throttle; rules may ban again on a new offence
	OpExempt   Op = "exempt"   // neither count nor ban
	OpUnexempt Op = "unexempt" // end the exemption
)

// ControlBanFor is how long a manual ban lasts that does not say.
const ControlBanFor = Duration(time.Hour)

// Control is a record of the control topic: a change that a person has made. The
// record's key is BanKey(Scope, Value).
type Control struct {
	Scope  Scope    `json:"-"`
	Value  string   `json:"-"` // canonical: see ControlSubject
	Op     Op       `json:"op"`
	For    Duration `json:"for,omitempty"` // of a ban or an exemption; 0: ControlBanFor, or for ever
	Reason string   `json:"reason"`
	By     string   `json:"by"`
	At     Micros   `json:"at"`
}

// Until is when a ban or an exemption ends by itself, in µs; 0: never.
func (c *Control) Until() Micros {
	d := c.For
	switch {
	case d == 0 && c.Op == OpBan:
		d = ControlBanFor
	case d == 0, c.Op != OpBan && c.Op != OpExempt:
		return 0
	}
	return c.At + Micros(time.Duration(d).Microseconds())
}

// AppendControl appends the value of a record of the control topic.
func AppendControl(dst []byte, c *Control) []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and numbers alone
	}
	return append(dst, b...)
}

// DecodeControl reads a record of the control topic.
func DecodeControl(key, value []byte) (Control, error) {
	var c Control
	if err := json.Unmarshal(value, &c); err != nil {
		return Control{}, fmt.Errorf("decoding a manual change: %w", err)
	}
	scope, subject, ok := strings.Cut(string(key), ":")
	if !ok {
		return Control{}, fmt.Errorf("the key %q of a manual change is not scope:value", key)
	}
	var err error
	if c.Scope, c.Value, err = ControlSubject(Scope(scope), subject); err != nil {
		return Control{}, err
	}
	return c, c.Validate()
}

// lastInstant is the end of the last year that RFC 3339 can write, in µs.
const lastInstant = Micros(253_402_300_799_999_999)

// Validate says what nobody may ask for. Scope and Value are those of ControlSubject.
func (c *Control) Validate() error {
	switch {
	case c.Op != OpBan && c.Op != OpUnban && c.Op != OpExempt && c.Op != OpUnexempt:
		return fmt.Errorf("op is %q, it must be ban, unban, exempt or unexempt", c.Op)
	case c.For < 0:
		return fmt.Errorf("for is %s, it must not be negative", c.For)
	case c.At <= 0:
		return errors.New("at is missing")
	case c.Until() > lastInstant:
		return fmt.Errorf("for is %s, which ends after the year 9999", c.For)
	case c.Op == OpBan && c.loopback():
		return fmt.Errorf("%s holds loopback addresses, which cannot be banned", c.Value)
	}
	return nil
}

// loopback: a ban would hit the machine itself.
func (c *Control) loopback() bool {
	p, ok := SubjectPrefix(c.Scope, c.Value)
	return ok && (p.Overlaps(netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)) || p.Contains(netip.IPv6Loopback()))
}

// SubjectPrefix gives the addresses of a subject; false where it is none of a network.
func SubjectPrefix(scope Scope, value string) (netip.Prefix, bool) {
	switch scope {
	case ScopeIP:
		a, err := netip.ParseAddr(value)
		return netip.PrefixFrom(a, a.BitLen()), err == nil
	case ScopeRange:
		p, err := netip.ParsePrefix(value)
		return p, err == nil
	default:
		return netip.Prefix{}, false
	}
}

// ControlSubject gives a subject in the form in which rules name it: an address, a
// network as range, or a user. An empty scope is told by the value: an address or a
// network, otherwise it is an error.
func ControlSubject(scope Scope, value string) (Scope, string, error) {
	switch scope {
	case ScopeUser:
		if value == "" {
			return "", "", errors.New("the user is empty")
		}
		return scope, value, nil
	case "", ScopeIP, ScopeRange:
	default:
		return "", "", fmt.Errorf("scope is %q, it must be ip, range or user", scope)
	}
	if p, err := netip.ParsePrefix(value); err == nil && scope != ScopeIP {
		p = p.Masked()
		if p.Addr().Is4In6() {
			return "", "", fmt.Errorf("%s is an IPv4 network written as IPv6", value)
		}
		if p.IsSingleIP() {
			return ScopeIP, p.Addr().String(), nil
		}
		return ScopeRange, p.String(), nil
	}
	a, err := netip.ParseAddr(value)
	if err != nil || scope == ScopeRange {
		return "", "", fmt.Errorf("%q is neither an address nor a network such as 192.0.2.0/24", value)
	}
	return ScopeIP, a.Unmap().WithZone("").String(), nil
}
