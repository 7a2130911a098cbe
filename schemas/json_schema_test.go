package schemas

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func schemaOf(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	b, err := fs.ReadFile(JSONSchemas, "json/"+name+".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s.Validate(v)
}

// Events of all presets, written in our own shape, fulfil the schema.
func TestEventSchema(t *testing.T) {
	s := schemaOf(t, "event")
	for _, name := range EventFields() {
		if s.Properties[name] == nil {
			t.Errorf("the schema has no %s", name)
		}
	}
	files, err := filepath.Glob("testdata/presets/*.golden")
	if err != nil || len(files) != len(Presets()) {
		t.Fatalf("golden files: %v, %v", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			if bytes.HasPrefix(line, []byte("{")) {
				if err := valid(t, s, line); err != nil {
					t.Errorf("%s: %s: %v", file, line, err)
				}
			}
		}
	}
	d := newDecoder(t, Options{})
	for more, ok := range map[string]bool{
		``: true, `"status":"404"`: true, `"status":99`: false, `"status":"99"`: false, `"method":null`: false, `"path":""`: false, `"timestamp":null`: true, `"timestamp":true`: false,
		`"user_id":5`: true, `"latency_ms":"1e3"`: true, `"blocked":1`: true, `"anything":{"else":[]}`: true,
	} {
		var ev Event
		if err := d.Decode([]byte(record(more)), &ev); (err == nil) != ok {
			t.Errorf("decoder: %s: %v", more, err)
		}
		if err := valid(t, s, []byte(record(more))); (err == nil) != ok {
			t.Errorf("schema: %s: %v", more, err)
		}
	}
}

func TestVerdictAndBanSchemas(t *testing.T) {
	verdict, ban := schemaOf(t, "verdict"), schemaOf(t, "ban")
	for _, v := range sampleVerdicts() {
		if err := valid(t, verdict, AppendVerdict(nil, &v)); err != nil {
			t.Error(err)
		}
	}
	for _, b := range sampleBans() {
		if err := valid(t, ban, AppendBan(nil, &b)); err != nil {
			t.Error(err)
		}
	}
	sameNames(t, verdict, reflect.TypeFor[Verdict]())
	sameNames(t, ban, reflect.TypeFor[Ban]())
	sameNames(t, verdict.Properties["evidence"], reflect.TypeFor[Evidence]())
	for _, bad := range []string{`{}`, strings.Replace(string(AppendBan(nil, &Ban{Scope: ScopeIP, Value: "1.2.3.4", Action: ActionBan})), `"ban"`, `"alert"`, 1)} {
		if valid(t, ban, []byte(bad)) == nil {
			t.Errorf("%s fulfils the schema", bad)
		}
	}
}

// sameNames checks that a schema has the members of a struct, and no others.
func sameNames(t *testing.T, s *jsonschema.Schema, typ reflect.Type) {
	t.Helper()
	var names, required []string
	for i := range typ.NumField() {
		name, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if name == "-" {
			continue // part of the record's key
		}
		names = append(names, name)
		if options == "" {
			required = append(required, name)
		}
	}
	var properties []string
	for name := range s.Properties {
		properties = append(properties, name)
	}
	slices.Sort(properties)
	slices.Sort(names)
	if !slices.Equal(properties, names) {
		t.Errorf("%v: schema has %v, type has %v", typ, properties, names)
	}
	got := slices.Sorted(slices.Values(s.Required))
	slices.Sort(required)
	if !slices.Equal(got, required) {
		t.Errorf("%v: schema requires %v, type always writes %v", typ, got, required)
	}
}

// Files under json/ end with a newline and are formatted as JSON allows.
func TestSchemasAreJSON(t *testing.T) {
	entries, err := fs.ReadDir(JSONSchemas, "json")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := fs.ReadFile(JSONSchemas, "json/"+e.Name())
		if err != nil || !json.Valid(b) || !bytes.HasSuffix(b, []byte("}\n")) {
			t.Errorf("%s: %v", e.Name(), err)
		}
	}
}
