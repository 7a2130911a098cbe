package detector

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSourceGivesTheSameProgram(t *testing.T) {
	const first = "version: 1\nendpoints: [\"GET /users/{id}\"]\nlateness: 5s\nrules:\n  - {id: a, type: usage, threshold: 3, window: 1h}\n"
	const second = "# more\nrules:\n  - {id: b, type: usage, threshold: 4, window: 1h, endpoint: \"GET /users/{id}\"}\n"
	write := func(names ...string) *Program {
		dir := t.TempDir()
		for i, text := range []string{first, second} {
			if err := os.WriteFile(filepath.Join(dir, names[i]), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := write("1.yaml", "2.yaml")
	if diff := cmp.Diff(Source{{"1.yaml", first}, {"2.yaml", second}}, p.Source()); diff != "" {
		t.Error(diff)
	}
	again, err := LoadSource(p.Source())
	if err != nil {
		t.Fatal(err)
	}
	if again.Hash() != p.Hash() || len(again.Rules()) != 2 || again.set.Settings.Lateness != p.set.Settings.Lateness {
		t.Errorf("made again: %s with %d rules, want %s with 2", again.Hash(), len(again.Rules()), p.Hash())
	}
	if elsewhere := write("1.yaml", "2.yaml"); elsewhere.Hash() != p.Hash() {
		t.Error("the hash depends on the folder")
	}
	if other := write("1.yaml", "3.yaml"); other.Hash() == p.Hash() {
		t.Error("rules of files with other names have the same hash")
	}
}

func TestLoadSourceRefusesWhatItCannotRead(t *testing.T) {
	for name, s := range map[string]Source{
		"nothing": nil, "no rules": {{"a.yaml", "version: 1"}}, "a newer version": {{"a.yaml", "version: 99\nrules: []"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := LoadSource(s); err == nil {
				t.Error("it is accepted")
			}
		})
	}
}
