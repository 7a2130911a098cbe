package detector

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write generated and golden files anew")

const schemaFile = "../schemas/rules.schema.json"

func TestRulesSchemaFileIsCurrent(t *testing.T) {
	if *update {
		if err := os.WriteFile(schemaFile, RulesSchema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(RulesSchema()), string(got)); diff != "" {
		t.Errorf("%s is stale; write it with go test ./detector -run Schema -update:\n%s", schemaFile, diff)
	}
}

// compiledSchema gives the schema ready to validate.
func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(RulesSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("rules.schema.json", text); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("rules.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// asJSON gives YAML as the JSON library would have read it.
func asJSON(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// beyondSchema are refusals of what only the rules reader can judge: ids twice, a
// threshold that comes out as 0, patterns, conditions, a window of "0s".
var beyondSchema = []string{
	"ref-02", "ref-04", "ref-05", "ref-05b", "ref-06", "ref-06b", "ref-07", "ref-07b", "ref-07c", "ref-07d",
	"ref-07f", "ref-08", "ref-08b", "ref-14", "ref-18c",
}

func TestSchemaAcceptsWhatIsAcceptedAndRefusesMost(t *testing.T) {
	schema := compiledSchema(t)
	var missed []string
	for _, c := range conformanceCases(t) {
		err := schema.Validate(asJSON(t, c.Rules))
		if c.mentions() == nil {
			if err != nil {
				t.Errorf("%s: the schema refuses accepted rules: %v", c.ID, err)
			}
			continue
		}
		if err == nil {
			missed = append(missed, c.ID)
		}
	}
	slices.Sort(missed)
	if diff := cmp.Diff(beyondSchema, missed); diff != "" {
		t.Errorf("refused files that the schema lets pass:\n%s", diff)
	}
}

func TestReferenceExamplesAreAcceptedByReaderAndSchema(t *testing.T) {
	schema := compiledSchema(t)
	for _, d := range typeDocs {
		text := "version: 1\nrules:" + strings.ReplaceAll(d.example, "\n", "\n  ")
		set, err := readRules("rules.yaml", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", d.kind, err)
			continue
		}
		if set.Rules[0].Type != d.kind {
			t.Errorf("the example of %s is of type %s", d.kind, set.Rules[0].Type)
		}
		if err := schema.Validate(asJSON(t, text)); err != nil {
			t.Errorf("%s: %v", d.kind, err)
		}
	}
}

func TestReferenceNamesEveryKeyAndType(t *testing.T) {
	page := RulesReference()
	for i := range ruleKeys {
		if k := &ruleKeys[i]; k.readyTypes() != "" && !strings.Contains(page, "| `"+k.name+"` |") {
			t.Errorf("no key %s", k.name)
		}
	}
	for _, kind := range knownTypes {
		if !strings.Contains(page, string(kind)) {
			t.Errorf("no type %s", kind)
		}
	}
}
