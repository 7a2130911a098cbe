package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// baselineOptions are the flags of baseline.
type baselineOptions struct {
	valueColumn string
	timeColumn  string
	out         string
}

func newBaselineCommand(g *globals) *cobra.Command {
	var o baselineOptions
	cmd := &cobra.Command{
		Use:   "baseline --out DIR [flags] FILE...",
		Short: "Judge series of numbers in CSV files by what is normal for them",
		Long: `Reads each file as one series of closed buckets, such as requests a minute, once and
from the first record to the last, and judges each record by those before it, with the
detector and the parameters that learned rules use. Nothing is set per series.

For each file it writes DIR/<name of the file> with the columns
timestamp,value,anomaly_score,alert,kind: timestamp and value as they were read, the
score 0 to 1, alert 1 at the first record of an episode, and the kind of alert:
new (outside of everything seen for long; score above 0.5), large (far from usual,
though seen before) or quiet (either, downwards). A record without a value, or with
NaN, is a missing bucket: it is written with score 0.

Times are RFC 3339, "2006-01-02 15:04:05" or epoch in s, ms, us or ns. Days and weeks
are told by the hours as they are written. A summary goes to standard error.`,
		Example: `  apiwarden baseline --out judged requests.csv errors.csv
  apiwarden baseline --value-column Value --time-column TimeStamp --out judged *.csv`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, files []string) error { return baseline(cmd, o, files) },
	}
	f := cmd.Flags()
	f.StringVar(&o.valueColumn, "value-column", "value", "column that holds the values")
	f.StringVar(&o.timeColumn, "time-column", "timestamp", "column that holds the times")
	f.StringVar(&o.out, "out", "", "folder to write to; made where it is absent")
	cmd.AddCommand(newBaselineShowCommand(g))
	return cmd
}

// baseline judges files one after the other. A file that cannot be judged leaves no
// output behind and does not stop the others.
func baseline(cmd *cobra.Command, o baselineOptions, files []string) error {
	if o.out == "" {
		return argumentError(cmd, "--out is missing: name the folder to write to")
	}
	if len(files) == 0 {
		return argumentError(cmd, "name at least one CSV file")
	}
	from := map[string]string{} // by name of the output
	for _, file := range files {
		name := filepath.Base(file)
		if other, taken := from[name]; taken {
			return argumentError(cmd, "%s and %s would both be written to %s: judge them one at a time, with another --out", other, file, filepath.Join(o.out, name))
		}
		from[name] = file
		if sameFile(file, filepath.Join(o.out, name)) {
			return argumentError(cmd, "%s would be overwritten: name another folder with --out", file)
		}
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("making the folder of --out: %w", err)
	}
	var failed error
	for _, file := range files {
		if err := cmd.Context().Err(); err != nil {
			return errors.Join(failed, err)
		}
		sum, err := judgeSeriesFile(o, file, filepath.Join(o.out, filepath.Base(file)))
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		fmt.Fprintln(cmd.ErrOrStderr(), sum.line(file))
	}
	return failed
}

// sameFile says whether two names lead to one file that exists.
func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// judgeSeriesFile judges the series of one file and writes what was found. The output
// appears under its name when it is complete.
func judgeSeriesFile(o baselineOptions, file, out string) (seriesSummary, error) {
	in, err := os.Open(file)
	if err != nil {
		return seriesSummary{}, fmt.Errorf("opening a series: %w", err)
	}
	defer in.Close()
	to, err := os.CreateTemp(filepath.Dir(out), ".baseline-*")
	if err != nil {
		return seriesSummary{}, fmt.Errorf("creating the output of %s: %w", file, err)
	}
	defer os.Remove(to.Name()) // an error where it has its name by then
	defer to.Close()
	sum, err := judgeSeries(o, file, in, to)
	if err != nil {
		return sum, err
	}
	if err := errors.Join(to.Chmod(fs.FileMode(0o644)), to.Close(), os.Rename(to.Name(), out)); err != nil {
		return sum, fmt.Errorf("writing what was found in %s: %w", file, err)
	}
	return sum, nil
}
