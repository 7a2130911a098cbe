package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReferenceIsFresh fails when docs/reference is not what the code would write.
func TestReferenceIsFresh(t *testing.T) {
	for name, want := range referencePages() {
		got, err := os.ReadFile(filepath.Join("../../docs/reference", name))
		if err != nil {
			t.Errorf("%v (run: make docs)", err)
			continue
		}
		if d := cmp.Diff(want, string(got)); d != "" {
			t.Errorf("docs/reference/%s is stale (run: make docs) (-code +file):\n%s", name, d)
		}
	}
}
