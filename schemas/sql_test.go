package schemas

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSchemaText keeps the SQL of each variant as a golden file; UPDATE_GOLDEN=1
// writes them anew.
func TestSchemaText(t *testing.T) {
	const day = 24 * time.Hour
	for name, o := range map[string]SQLOptions{
		"server":  {Database: "apiwarden", EventsTTL: 30 * day, VerdictsTTL: 180 * day},
		"cluster": {Database: "apiwarden", Cluster: "main", EventsTTL: 30 * day, VerdictsTTL: 180 * day},
		"forever": {Database: "other"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := PrintSchema(o)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "schema_"+name+".sql")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("schema differs from %s (UPDATE_GOLDEN=1 writes it anew):\n%s", golden, diff)
			}
		})
	}
}
