package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

// TestConformance runs every case of the conformance suite through the built
// binary, with the runner that belongs to the suite.
func TestConformance(t *testing.T) {
	suite := filepath.Join(dev.Shared(t), "conformance")
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3 not found: the conformance suite is run by it")
		}
		t.Skip("python3 not found: the conformance suite is run by it")
	}
	bin := builtBinary(t)
	out, err := exec.Command(python, filepath.Join(suite, "expand.py"), filepath.Join(suite, "cases.json"), bin).CombinedOutput()
	text := strings.TrimSpace(string(out))
	last := text[strings.LastIndexByte(text, '\n')+1:]
	if err != nil || !strings.HasSuffix(last, " passed, 0 failed") || strings.HasPrefix(last, "0 ") {
		t.Fatalf("conformance suite (%v):\n%s", err, text)
	}
	t.Log(last)
}
