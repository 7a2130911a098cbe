package schemas

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Each line of testdata/presets/NAME.in, documented samples of the vendor first, is
// a line of NAME.golden: the event in our own shape, or why there is none.
func TestPresetGolden(t *testing.T) {
	for _, name := range Presets() {
		t.Run(name, func(t *testing.T) {
			in, err := os.ReadFile(filepath.Join("testdata", "presets", name+".in"))
			if err != nil {
				t.Fatal(err)
			}
			d := newDecoder(t, Options{Preset: name})
			var got []byte
			var ev Event
			for line := range bytes.Lines(in) {
				if err := d.Decode(line, &ev); err != nil {
					got = fmt.Appendf(got, "%v\n", err)
					continue
				}
				got = append(ev.AppendJSON(got), '\n')
				compareAgain(t, &ev)
			}
			golden := filepath.Join("testdata", "presets", name+".golden")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
				t.Errorf("run with -update where this is right (-want +got):\n%s", diff)
			}
		})
	}
}
