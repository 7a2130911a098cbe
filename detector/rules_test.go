package detector

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sharedFile finds test data that lies beside the repository.
func sharedFile(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("APIWARDEN_TESTDATA")
	if dir == "" {
		root, err := filepath.Abs(".")
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if filepath.Dir(root) == root {
				t.Fatal("finding the repository: no go.mod above the working directory")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s not found: %v", name, err)
		}
		t.Skipf("%s not found: %v", name, err)
	}
	return path
}

// conformanceRules is the part of a conformance case that is about rules.
type conformanceRules struct {
	ID     string `json:"id"`
	Rules  string `json:"rules"`
	Expect struct {
		Refused any      `json:"refused"`
		Lines   [][2]int `json:"lines"`
	} `json:"expect"`
}

func (c *conformanceRules) mentions() []string {
	switch v := c.Expect.Refused.(type) {
	case string:
		return []string{v}
	case []any:
		var texts []string
		for _, text := range v {
			texts = append(texts, text.(string))
		}
		return texts
	}
	return nil
}

func conformanceCases(t testing.TB) []conformanceRules {
	t.Helper()
	text, err := os.ReadFile(sharedFile(t, "conformance/cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []conformanceRules
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestConformanceRulesAreAcceptedOrRefusedWithLineAndReason(t *testing.T) {
	for _, c := range conformanceCases(t) {
		t.Run(c.ID, func(t *testing.T) {
			_, err := readRules("rules.yaml", []byte(c.Rules))
			mentions := c.mentions()
			if mentions == nil {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			refusal, ok := err.(*Refusal)
			if !ok {
				t.Fatalf("accepted, error %v", err)
			}
			text := refusal.Error()
			for _, m := range mentions {
				exact, found := strings.CutPrefix(m, "=")
				if found && !strings.Contains(text, exact) || !found && !strings.Contains(strings.ToLower(text), strings.ToLower(m)) {
					t.Errorf("no mention of %q in %q", m, text)
				}
			}
			for _, span := range c.Expect.Lines {
				inside := false
				for _, p := range refusal.Problems {
					inside = inside || p.Line >= span[0] && p.Line <= span[1]
				}
				if !inside {
					t.Errorf("no problem in lines %v of %q", span, text)
				}
			}
		})
	}
}
