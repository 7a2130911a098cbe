package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/dustin/go-humanize"

	"github.com/apiwarden/apiwarden/schemas"
)

// palette holds the styles of the view.
type palette struct{ title, head, dim, ban, throttle, alert, log, good, bar lipgloss.Style }

func newPalette() palette {
	color := func(light, dark string) lipgloss.Style {
		return lipgloss.NewStyle().Foreground(lipgloss.AdaptiveColor{Light: light, Dark: dark})
	}
	return palette{
		title:    lipgloss.NewStyle().Bold(true).Reverse(true),
		head:     lipgloss.NewStyle().Bold(true),
		dim:      color("244", "245"),
		ban:      color("160", "203").Bold(true),
		throttle: color("130", "215"),
		alert:    color("90", "177"),
		log:      color("240", "250"),
		good:     color("28", "78"),
		bar:      color("25", "75"),
	}
}

func (p palette) action(action string) lipgloss.Style {
	switch action {
	case string(schemas.ActionBan):
		return p.ban
	case string(schemas.ActionThrottle):
		return p.throttle
	case string(schemas.ActionAlert):
		return p.alert
	}
	return p.log
}

// wide is the width from which on there is room for more than the most important.
const wide = 110

// drawScene draws s on exactly height lines of at most width cells.
func drawScene(s scene, width, height int) string {
	p := newPalette()
	lines := []string{p.header(s, width)}
	lines = append(lines, p.rates(s, width)...)
	rest := height - len(lines) - 1 // the last line says where things are
	if rest < 6 {
		return fit(append(lines, p.section("latest verdicts", width)), p.verdicts(s, width, rest-1), width, height, "")
	}
	upper := rest * 9 / 20
	lower := rest - upper
	lines = append(lines, p.section(fmt.Sprintf("latest verdicts (%s)", humanize.Comma(int64(s.verdicts))), width))
	lines = append(lines, pad(p.verdicts(s, width, upper-1), upper-1)...)
	if width >= wide {
		left := width/2 - 1
		right := width - left - 2
		a := append([]string{p.section(p.bansTitle(s), left)}, pad(p.bans(s, lower-1), lower-1)...)
		b := append([]string{p.section("top offenders", right)}, pad(p.topOffenders(s, lower-1), lower-1)...)
		for i := range a {
			lines = append(lines, cell(a[i], left)+"  "+b[i])
		}
		return fit(lines, nil, width, height, p.footer(s, width))
	}
	bans := lower * 3 / 5
	lines = append(lines, p.section(p.bansTitle(s), width))
	lines = append(lines, pad(p.bans(s, bans-1), bans-1)...)
	lines = append(lines, p.section("top offenders", width))
	lines = append(lines, pad(p.topOffenders(s, lower-bans-1), lower-bans-1)...)
	return fit(lines, nil, width, height, p.footer(s, width))
}

func (p palette) header(s scene, width int) string {
	left := p.title.Render(" apiwarden demo ") + " " + p.head.Render(s.phase)
	if s.elapsed > 0 {
		left += " " + clock(s.elapsed)
		if s.length > 0 {
			left += " of " + clock(s.length)
		}
	}
	right := p.dim.Render("q quits")
	return cell(left, width-ansi.StringWidth(right)) + right
}

// rates are three lines: a counter with its sparkline on the left, numbers on the
// right.
func (p palette) rates(s scene, width int) []string {
	spark := width/2 - 36
	spark = min(max(spark, 8), 60)
	age := "p99 -"
	if s.hasP99 {
		age = "p99 " + p.good.Render(millis(s.p99))
		if width >= wide {
			age += " from event to verdict"
		}
	}
	right := []string{
		fmt.Sprintf("%s, %s", plural(s.byAction[string(schemas.ActionBan)], "ban", "bans"), s.mix()),
		fmt.Sprintf("lag detect %s, store %s", humanize.Comma(s.lagDetect), humanize.Comma(s.lagStore)),
		age,
	}
	if s.blocked > 0 {
		right[2] += fmt.Sprintf(", %s refused", humanize.Comma(int64(s.blocked)))
	}
	var lines []string
	for i, f := range []struct {
		name string
		flow flow
	}{{"produced", s.produced}, {"detected", s.detected}, {"stored", s.stored}} {
		left := fmt.Sprintf(" %-9s%s %9s/s %s", f.name, p.bar.Render(sparkline(f.flow.rates, spark)),
			humanize.Comma(int64(f.flow.rate())), p.dim.Render(fmt.Sprintf("%11s", humanize.Comma(int64(f.flow.total)))))
		lines = append(lines, left+"   "+right[i])
	}
	return lines
}

// mix says how many verdicts did something other than ban.
func (s scene) mix() string {
	parts := []string{plural(s.byAction[string(schemas.ActionThrottle)], "throttle", "throttles"), plural(s.byAction[string(schemas.ActionAlert)], "alert", "alerts")}
	if s.dead > 0 {
		parts = append(parts, plural(s.dead, "dead letter", "dead letters"))
	}
	return strings.Join(parts, ", ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + many
}

func (p palette) verdicts(s scene, width, most int) []string {
	var lines []string
	for _, v := range s.latest[:min(max(most, 0), len(s.latest))] {
		style := p.action(v.ActionTaken)
		line := " " + p.dim.Render(v.EventTime.Time().Format("15:04:05")) + " " + style.Render(fmt.Sprintf("%-8s", v.ActionTaken)) + " "
		if width >= wide {
			line += fmt.Sprintf("%-21s ", v.RuleID)
		}
		lines = append(lines, line+v.Details)
	}
	if len(lines) == 0 && most > 0 {
		lines = []string{p.dim.Render(" none yet")}
	}
	return lines
}

func (p palette) bansTitle(s scene) string {
	return fmt.Sprintf("enforced now (%d)", s.bansLive)
}

// bans are those that ended a moment ago, then those that are enforced.
func (p palette) bans(s scene, most int) []string {
	var lines []string
	for _, e := range s.ended {
		if ago := s.now.Sub(e.at); ago < 6*time.Second && len(lines) < most/3+1 {
			lines = append(lines, p.good.Render(fmt.Sprintf(" ○ %-8s %-22s ended %s ago", e.ban.Action, e.ban.Value, clock(ago))))
		}
	}
	for _, b := range s.bans {
		mark := "●"
		if s.now.Sub(b.Since.Time()) < 3*time.Second {
			mark = "◆"
		}
		lines = append(lines, " "+p.action(string(b.Action)).Render(fmt.Sprintf("%s %-8s", mark, b.Action))+" "+
			fmt.Sprintf("%-22s ", b.Value)+p.dim.Render("ends in ")+fmt.Sprintf("%-8s ", clock(b.ExpiresAt.Time().Sub(s.now)))+
			p.dim.Render(strings.Join(b.RuleIDs, ", ")))
	}
	if len(lines) == 0 && most > 0 {
		lines = []string{p.dim.Render(" nothing")}
	}
	return lines[:min(max(most, 0), len(lines))]
}

func (p palette) topOffenders(s scene, most int) []string {
	var lines []string
	for _, o := range s.offenders[:min(max(most, 0), len(s.offenders))] {
		line := fmt.Sprintf(" %-22s %12s  ", o.subject, plural(o.verdicts, "verdict", "verdicts")) + p.dim.Render(strings.Join(o.rules, ", "))
		if name := s.names[o.subject]; name != "" && strings.ReplaceAll(name, " ", "-") != o.rules[0] {
			line += p.log.Render("  (" + name + ")")
		}
		lines = append(lines, line)
	}
	return lines
}

func (p palette) footer(s scene, width int) string {
	if s.warning != "" {
		return p.throttle.Render(" " + s.warning)
	}
	var parts []string
	for _, w := range s.where {
		addr := w.addr
		if width < wide { // without what can be guessed
			addr = strings.TrimSuffix(strings.TrimPrefix(addr, "http://"), "/metrics")
		}
		parts = append(parts, p.dim.Render(w.name+" ")+addr)
	}
	return " " + strings.Join(parts, p.dim.Render("  ·  "))
}

func (p palette) section(title string, width int) string {
	return p.dim.Render("── ") + p.head.Render(title) + p.dim.Render(" "+strings.Repeat("─", max(0, width-ansi.StringWidth(title)-4)))
}

var sparks = [...]string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}

// sparkline draws the last width rates, the newest at the right.
func sparkline(rates []float64, width int) string {
	rates = rates[max(0, len(rates)-width):]
	most := 0.0
	for _, r := range rates {
		most = max(most, r)
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(rates)))
	for _, r := range rates {
		level := 0
		if most > 0 {
			level = min(len(sparks)-1, int(r/most*float64(len(sparks))))
		}
		b.WriteString(sparks[level])
	}
	return b.String()
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
}

// cell makes s exactly width cells wide.
func cell(s string, width int) string {
	s = ansi.Truncate(s, width, "…")
	return s + strings.Repeat(" ", max(0, width-ansi.StringWidth(s)))
}

// pad makes lines n.
func pad(lines []string, n int) []string {
	lines = lines[:min(max(n, 0), len(lines))]
	for len(lines) < n {
		lines = append(lines, "")
	}
	return lines
}

// fit joins lines, more and last into exactly height lines of at most width cells.
func fit(lines, more []string, width, height int, last string) string {
	lines = append(lines, more...)
	if last != "" {
		lines = append(pad(lines, height-1), last)
	}
	lines = pad(lines, height)
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], width, "…")
	}
	return strings.Join(lines, "\n")
}
