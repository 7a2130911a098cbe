package consumer

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var updatePage = flag.Bool("update", false, "write the computed tables of docs/SIZING.md anew")

const sizingPage = "../docs/SIZING.md"

// TestSizingPage fails where a computed table of docs/SIZING.md is not what the costs
// and the model give.
func TestSizingPage(t *testing.T) {
	old, err := os.ReadFile(sizingPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(old)
	for name, text := range map[string]string{"costs": costsTable(), "plans": plansTable(), "fleets": fleetsTable(t), "intervals": intervalsTable(t)} {
		begin, end := "<!-- computed: "+name+" -->\n", "<!-- end -->"
		head, rest, ok := strings.Cut(page, begin)
		_, tail, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the table %q", sizingPage, name)
		}
		page = head + begin + text + end + tail
	}
	if page == string(old) {
		return
	}
	if !*updatePage {
		t.Fatal("docs/SIZING.md is stale: go test ./consumer -run TestSizingPage -update")
	}
	if err := os.WriteFile(sizingPage, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

func sizes() []float64 { return []float64{10e3, 100e3, 1e6, 10e6} }

// table writes rows, the first being the head.
func table(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
	}
	return b.String()
}

func costsTable() string {
	rows := [][]string{{"what", "costs", "from"}}
	for _, f := range measured().figures() {
		rows = append(rows, []string{f.what, f.value, f.from})
	}
	return table(rows)
}

func plansTable() string {
	rows := [][]string{{"events/s"}}
	for _, line := range []string{
		"active addresses", "detect: processes of 4 cores", "partitions of api-logs", "state, whole group", "memory of a process (of it: ban table)", "state.interval",
		"cores: judging", "cores: packing snapshots", "cores: store", "cores: ClickHouse (times 16)", "cores: brokers", "dearest part",
		"api-logs in", "snapshots in", "verdicts in", "bans in; to all processes", "Kafka's network, in and out", "Kafka's disk, one day of api-logs", "store: processes", "a day on ClickHouse's disk; 30 days",
	} {
		rows = append(rows, []string{line})
	}
	for _, rate := range sizes() {
		p := planFor(rate, measured(), assumed())
		for i, cell := range []string{
			count(rate), count(p.addresses), fmt.Sprint(p.processes), fmt.Sprint(p.partitions), bytesText(p.state),
			bytesText(p.memory) + " (" + bytesText(p.banTable) + ")", fmt.Sprintf("%.0f s", p.interval.Seconds()),
			coresText(p.detectCores), coresText(p.packCores), coresText(p.storeCores), coresText(p.clickHouseCores) + fmt.Sprintf(" (%d)", p.servers), coresText(p.brokerCores), p.dearest(),
			bytesText(p.logs) + "/s", bytesText(p.snapshots) + "/s", bytesText(p.verdicts) + "/s", bytesText(p.bans) + "/s; " + bytesText(p.banReads) + "/s",
			bytesText(p.kafkaNet) + "/s", bytesText(p.kafkaDisk), fmt.Sprint(p.stores), bytesText(p.rows) + "; " + bytesText(p.disk),
		} {
			rows[i] = append(rows[i], cell)
		}
	}
	return table(rows)
}

// down is how long a process is away for its restart: stopped, replaced, connected.
const down = 5 * time.Second

func fleetsTable(t *testing.T) string {
	t.Helper()
	rows := [][]string{{"events/s", "processes, partitions", "cold start of all", "one crashes: caught up after", "restart of one, moving away and back: restores, worst lag, calm after", "static members: restores, worst lag, calm after", "rolling restart of all: moving, static"}}
	for _, rate := range sizes() {
		p := planFor(rate, measured(), assumed())
		m := p.fleet(measured(), assumed())
		cold, _ := m.start(p.processes)
		crash := m
		crash.notice = time.Duration(DefaultConfig().Kafka.SessionTimeout) + m.notice
		r := crash.begin(p.processes)
		r.until(time.Minute, r.calm)
		r.leave(0, true)
		crashed := r.until(time.Hour, r.calm)
		moving, static := m.rolling(p.processes, down, false), m.rolling(p.processes, down, true)
		one := func(r restart) string { return fmt.Sprintf("%d, %s, %s", r.moves, seconds(r.peak), seconds(r.each)) }
		rows = append(rows, []string{
			count(rate), fmt.Sprintf("%d, %d", p.processes, p.partitions), seconds(cold), seconds(crashed), one(moving), one(static), seconds(moving.whole) + ", " + seconds(static.whole),
		})
	}
	return table(rows)
}

// intervalsTable shows what state.interval buys and costs at the largest size.
func intervalsTable(t *testing.T) string {
	t.Helper()
	c, u := measured(), assumed()
	rows := [][]string{{"state.interval", "snapshots in", "cores for packing", "static restart: worst lag", "calm after"}}
	p := planFor(10e6, c, u)
	for _, every := range []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute} {
		m := p.fleet(c, u)
		m.interval = every
		r := m.rolling(p.processes, down, true)
		rows = append(rows, []string{
			seconds(every), bytesText(p.state/c.packRatio/every.Seconds()) + "/s", coresText(p.state / 1000 * c.pack / 1e6 / u.utilisation / every.Seconds()), seconds(r.peak), seconds(r.each),
		})
	}
	return table(rows)
}

func count(n float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, " G"}, {1e6, " M"}, {1e3, " k"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.3g", n/unit.size) + unit.name
		}
	}
	return fmt.Sprintf("%.3g", n)
}

func bytesText(n float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e15, " PB"}, {1e12, " TB"}, {1e9, " GB"}, {1e6, " MB"}, {1e3, " kB"}} {
		if n >= unit.size {
			if n/unit.size >= 100 {
				return fmt.Sprintf("%.0f", n/unit.size) + unit.name
			}
			return fmt.Sprintf("%.2g", n/unit.size) + unit.name
		}
	}
	return fmt.Sprintf("%.0f B", n)
}

func coresText(n float64) string {
	if n < 10 {
		return fmt.Sprintf("%.2g", n)
	}
	return fmt.Sprintf("%.0f", n)
}

func seconds(d time.Duration) string {
	switch {
	case d < 0:
		return "never"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}
