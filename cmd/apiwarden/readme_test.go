package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/deploy/dev"
	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// example is a fenced block of a page that the page asks to be tested, by a comment
// in front of it: <!-- test: KIND NAME -->
type example struct {
	kind, name string
	text       string
}

var fenced = regexp.MustCompile("(?s)<!-- test: (\\w+) ?([^ ]*) -->\n```\\w*\n(.*?)```\n")

func examples(t *testing.T, page, kind string) []example {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", page))
	if err != nil {
		t.Fatal(err)
	}
	var list []example
	for _, m := range fenced.FindAllStringSubmatch(string(text), -1) {
		if m[1] == kind {
			list = append(list, example{m[1], m[2], m[3]})
		}
	}
	if len(list) == 0 {
		t.Fatalf("%s has no example of kind %s", page, kind)
	}
	return list
}

func TestReadmeFirstRule(t *testing.T) {
	bin := builtBinary(t)
	dir := t.TempDir()
	for _, e := range examples(t, "README.md", "file") {
		if err := os.WriteFile(filepath.Join(dir, e.name), []byte(e.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range examples(t, "README.md", "run") {
		cmd := exec.Command("bash", "-euc", e.text)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(bin)+string(os.PathListSeparator)+os.Getenv("PATH"))
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", e.text, err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		var v schemas.Verdict
		if err := schemas.DecodeVerdict([]byte(lines[len(lines)-1]), &v); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if v.RuleID != "password-guessing" || v.Subject != "192.0.2.7" || v.Count != 4 || v.Trigger.Offset != 4 {
			t.Errorf("the verdict is %+v, want that of the fifth line about 192.0.2.7", v)
		}
	}
}

// The rules that docs/MISUSE.md shows are accepted.
func TestMisuseExamples(t *testing.T) {
	for _, e := range examples(t, filepath.Join("docs", "MISUSE.md"), "rules") {
		file := filepath.Join(t.TempDir(), "rules.yaml")
		if err := os.WriteFile(file, []byte(e.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := detector.Load(file); err != nil {
			t.Error(err)
		}
	}
}

// The lines that docs/feeding.md shows become events with the preset it names.
func TestFeedingExamples(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range examples(t, filepath.Join("docs", "feeding.md"), "preset") {
		t.Run(e.name, func(t *testing.T) {
			seen[e.name] = true
			dec, err := schemas.NewDecoder(schemas.Options{Preset: e.name})
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(e.text) {
				var ev schemas.Event
				if err := dec.Decode([]byte(strings.TrimSuffix(line, "\n")), &ev); err != nil {
					t.Fatalf("decoding %s: %v", line, err)
				}
				if ev.ClientIP.String() != "192.0.2.7" || string(ev.Method) != "POST" || string(ev.Path) != "/api/login" || ev.Status != 401 {
					t.Errorf("%s became %s %s of %s with status %d", line, ev.Method, ev.Path, ev.ClientIP, ev.Status)
				}
				if at := time.UnixMicro(ev.Time).UTC().Format(time.DateTime); !ev.HasTime || at != "2026-01-01 10:00:00" {
					t.Errorf("%s is of %s", line, at)
				}
				if string(ev.UserAgent) != "curl/8.16.0" {
					t.Errorf("the user agent of %s is %q", line, ev.UserAgent)
				}
			}
		})
	}
	for _, preset := range []string{"nginx-json", "combined", "envoy", "traefik", "kong"} {
		if !seen[preset] {
			t.Errorf("docs/feeding.md shows no line of preset %s", preset)
		}
	}
}

// Subscribers and queries of the README, against a demo that runs.
func TestReadmeBesideDemo(t *testing.T) {
	t.Parallel()
	python := pythonWithKafka(t)
	demo := startDemo(t, "--for", "0", "--rate", "500")
	brokers := demo.await(`(?m)^  kafka +(\S+)$`)
	clickhouse := demo.await(`(?m)^  clickhouse +(\S+)$`)
	demo.await(`(?m)^(live) `)
	dir := t.TempDir()
	t.Run("go", func(t *testing.T) {
		source := filepath.Join(dir, "main.go")
		write(t, source, examples(t, "README.md", "go")[0].text)
		program := filepath.Join(dir, "subscriber")
		build := exec.Command("go", "build", "-o", program, source)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		line := firstLine(t, brokers, program)
		if !regexp.MustCompile(`^(ban|throttle|alert) \S+ by [a-z-]+: `).MatchString(line) {
			t.Errorf("the subscriber printed %q", line)
		}
	})
	t.Run("python", func(t *testing.T) {
		source := filepath.Join(dir, "main.py")
		write(t, source, examples(t, "README.md", "python")[0].text)
		line := firstLine(t, brokers, python, source)
		if !regexp.MustCompile(`^(ban|throttle) \S+ until \S+ because of [a-z-]+|^end ip:`).MatchString(line) {
			t.Errorf("the subscriber printed %q", line)
		}
	})
	for _, e := range examples(t, "README.md", "sql") {
		t.Run("sql", func(t *testing.T) {
			rows := ""
			for range 60 { // rows come a second after their events
				if rows = query(t, clickhouse, e.text); rows != "" {
					return
				}
				time.Sleep(500 * time.Millisecond)
			}
			t.Errorf("no rows of\n%s", e.text)
		})
	}
	if err := demo.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	demo.end()
}

// Every file that the pages link to is there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for _, page := range []string{"README.md", "docs/feeding.md", "CONTRIBUTING.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join("..", "..", filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}

// pythonWithKafka is a Python that has the package of the README's example: that of
// the folder of development tools, else the machine's.
func pythonWithKafka(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := os.Getenv("APIWARDEN_DEV_DIR")
	if dir == "" {
		dir = filepath.Join(root, ".dev")
	}
	for _, python := range []string{filepath.Join(dir, "python", "bin", "python3"), "python3"} {
		if exec.Command(python, "-c", "import confluent_kafka").Run() == nil {
			return python
		}
	}
	dev.Missing(t, "Python package confluent-kafka (deploy/dev/python.sh install)")
	return ""
}

// firstLine runs a subscriber until it has printed a line.
func firstLine(t *testing.T, brokers, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "KAFKA_BROKERS="+brokers)
	var said tail
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		lines <- line
	}()
	line := ""
	select {
	case line = <-lines:
	case <-time.After(60 * time.Second):
	}
	_ = cmd.Process.Kill() // it would go on for ever
	_ = cmd.Wait()
	if line == "" {
		t.Fatalf("%s printed nothing: %s", program, said.String())
	}
	return line
}

func query(t *testing.T, clickhouse, sql string) string {
	t.Helper()
	resp, err := http.Post(clickhouse+"/", "text/plain", strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s\n%v %s", sql, err, answer)
	}
	return string(answer)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
