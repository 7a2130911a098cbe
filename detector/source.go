package detector

import (
	"fmt"
	"hash"
	"path/filepath"
)

// Source is the text of a rules file, or of those of a folder in name order: what
// LoadSource needs to make the same rules again, elsewhere and later.
type Source []SourceFile

// SourceFile is one rules file. Its name is without a folder, so that rules which
// have been moved are the same rules.
type SourceFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// LoadSource compiles rules from the text that Program.Source gave. The error is a
// *Refusal: this program may know less, or more, than the one that took the text.
func LoadSource(s Source) (*Program, error) {
	l := newLoader()
	if len(s) == 0 {
		l.refuse("rules", 1, "there is no text to read rules from")
	}
	for _, f := range s {
		l.document(f.Name, []byte(f.Text))
	}
	set, err := l.rules()
	if err != nil {
		return nil, err
	}
	return Compile(set)
}

// keep remembers the text of a file that is read.
func (s *Source) keep(file string, text []byte) {
	*s = append(*s, SourceFile{Name: filepath.Base(file), Text: string(text)})
}

// sum adds the source to a hash, so that no two sources are the same to it.
func (s Source) sum(h hash.Hash) {
	for _, f := range s {
		fmt.Fprintf(h, "%q %d\n%s\n", f.Name, len(f.Text), f.Text)
	}
}
