package main

import "testing"

func TestSplitInsert(t *testing.T) {
	for _, tc := range []struct {
		text, statement, format, data string
		ok                            bool
	}{
		{"INSERT INTO t (`a`, `b`) FORMAT Native", "INSERT INTO t (`a`, `b`)", "Native", "", true},
		{"INSERT INTO db.t FORMAT TSV\n1\t2\n", "INSERT INTO db.t", "TSV", "1\t2\n", true},
		{"insert into t format JSONEachRow {\"a\":\"x\n\ny\"}", "insert into t", "JSONEachRow", "{\"a\":\"x\n\ny\"}", true},
		{"INSERT INTO t (a) VALUES (1),('\n\n')", "INSERT INTO t (a)", "Values", " (1),('\n\n')", true},
		{"INSERT INTO t(a, f(b)) FORMAT CSV\n\n1,2", "INSERT INTO t(a, f(b))", "CSV", "\n1,2", true},
		{"INSERT INTO t SELECT * FROM u FORMAT CSV", "", "", "", false},
		{"SELECT 'INSERT INTO t FORMAT CSV'", "", "", "", false},
		{"INSERT INTO t FROM INFILE 'x' FORMAT CSV", "", "", "", false},
	} {
		statement, format, at, ok := splitInsert(tc.text)
		if ok != tc.ok || statement != tc.statement || format != tc.format {
			t.Errorf("%q: %q, %q, %v; want %q, %q, %v", tc.text, statement, format, ok, tc.statement, tc.format, tc.ok)
			continue
		}
		if ok && tc.text[at:] != tc.data {
			t.Errorf("%q: data %q, want %q", tc.text, tc.text[at:], tc.data)
		}
	}
}
