package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// insertHead matches an INSERT whose rows follow in some format, up to where they
// begin: the statement without the format, the format's name, nothing else.
var insertHead = regexp.MustCompile(`(?is)^(\s*INSERT\s+INTO\s+(?:TABLE\s+)?[^\s(]+(?:\s*\((?:[^()]|\([^()]*\))*\))?)\s+(?:FORMAT\s+(\w+)|(VALUES))(?:\s|$|;)?`)

// splitInsert cuts the beginning of an INSERT with data into the statement up to
// its column list, the format of the data and how many bytes of text come before
// the data. ok is false for every other statement (INSERT ... SELECT too).
func splitInsert(text string) (statement, format string, dataAt int, ok bool) {
	m := insertHead.FindStringSubmatchIndex(text)
	if m == nil {
		return "", "", 0, false
	}
	statement, format, dataAt = text[m[2]:m[3]], "Values", m[1]
	if m[4] >= 0 {
		format = text[m[4]:m[5]]
		// The format's name ends with the line; what follows is data to the last byte.
		for dataAt < len(text) && text[dataAt-1] != '\n' && (text[dataAt] == ' ' || text[dataAt] == '\r' || text[dataAt] == '\n') {
			dataAt++
		}
	} else {
		dataAt = m[7]
	}
	return statement, format, dataAt, true
}

// insert runs statement with what data holds as its rows. They go by way of a
// file in dir: inside a statement the engine cuts them at the first two newlines
// in a row, which binary data has anywhere.
func (e *Engine) insert(s session, statement, format string, data io.Reader, dir string) (*Result, error) {
	file, err := os.CreateTemp(dir, "insert-*")
	if err != nil {
		return nil, fmt.Errorf("storing the rows of an insert: %w", err)
	}
	defer os.Remove(file.Name())
	n, err := io.Copy(file, data)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("storing the rows of an insert: %w", err)
	}
	if n == 0 {
		return &Result{}, nil
	}
	return e.Query(s, strings.TrimSpace(statement)+" FROM INFILE "+quote(file.Name())+" COMPRESSION 'none' FORMAT "+format, "TSV")
}
