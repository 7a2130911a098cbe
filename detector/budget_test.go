package detector

import (
	"fmt"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// TestBudgetsForgetPastMinutes spends a budget for hours: what is kept of it does not
// grow with them where nothing can be judged again, as in a file.
func TestBudgetsForgetPastMinutes(t *testing.T) {
	e := NewEngine(mustLoad(t, "version: 1\nrules: [{id: a, type: usage, threshold: 1, window: 10s, action: ban, max_bans_per_minute: 2}]"),
		Options{Topic: "t", File: true})
	taken := map[string]int{}
	for i := range 3 * 600 { // three clients a minute, two requests each
		ev := hit(client(i/2), origin+int64(i/6)*minute+int64(i%6)*second, "/")
		for _, v := range observe(e, ev, i).verdicts {
			taken[v.ActionTaken]++
		}
		held := 0
		for _, list := range e.budgets {
			held += len(list)
		}
		if held > 4 {
			t.Fatalf("after %d requests %d bans are kept", i, held)
		}
	}
	if want := fmt.Sprint(map[string]int{"ban": 600, schemas.TakenAlert: 300}); fmt.Sprint(taken) != want {
		t.Errorf("taken %v, want %s", taken, want)
	}
}
