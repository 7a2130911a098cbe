package detector

import (
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

func TestField(t *testing.T) {
	const missing = "<missing>"
	ev := whenEvent()
	ev.UserID = []byte("")
	ev.ResponseFields = []byte(`{ "id" : 7, "one": 1.0, "big": 12345678901234567890, "small": -0.00250, "huge": 1.50e400, "zero": -0,
		"text": "a\u0062c", "yes": true, "nil": null, "list": [1, 2], "obj": {"a" : 1}, "deep": {"er": {"id": "x"}}, "twice": 1, "twice": 2 }`)
	ev.Extra = append(ev.Extra, schemas.Member{Key: []byte("http.method"), Value: []byte(`"GET"`)})
	for text, want := range map[string]string{
		"path":                       "/api/users/17",
		"method":                     "GET",
		"status":                     "404",
		"latency_ms":                 "12.5",
		"response_bytes":             "2048",
		"bytes":                      "2048",
		"request_bytes":              missing,
		"client_ip":                  "192.0.2.7",
		"peer_ip":                    missing,
		"blocked":                    "false",
		"timestamp":                  "1767225600000000",
		"user_id":                    "", // there, and empty
		"api_key_id":                 missing,
		"query":                      "",
		"country":                    "DE",
		"score":                      "7",
		"is_bot":                     "true",
		"empty":                      missing,
		"nowhere":                    missing,
		"nowhere.at.all":             missing,
		"geo.asn":                    "64500",
		"geo":                        `{"asn":64500}`,
		"geo.asn.x":                  missing,
		"http.method":                "GET",
		"response_fields.id":         "7",
		"response_fields.one":        "1",
		"response_fields.big":        "12345678901234567890",
		"response_fields.small":      "-0.0025",
		"response_fields.huge":       "0.15e401",
		"response_fields.zero":       "0",
		"response_fields.text":       "abc",
		"response_fields.yes":        "true",
		"response_fields.nil":        missing,
		"response_fields.list":       "[1,2]",
		"response_fields.obj":        `{"a":1}`,
		"response_fields.deep.er.id": "x",
		"response_fields.deep.id":    missing,
		"response_fields.twice":      "2",
	} {
		f, err := NewField(text)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := f.Value(ev, &Scratch{})
		if !ok {
			got = []byte(missing)
		}
		if string(got) != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
		if value, ok := f.Value(&schemas.Event{}, &Scratch{}); ok && text != "status" && text != "blocked" {
			t.Errorf("%s of nothing is %q", text, value)
		}
	}
}

// A number is one value however it is written.
func TestNumbersAreOneValue(t *testing.T) {
	f, err := NewField("response_fields.n")
	if err != nil {
		t.Fatal(err)
	}
	for want, texts := range map[string][]string{
		"1":       {"1", "1.0", "10e-1", "0.1e1", "100E-2"},
		"1000000": {"1000000", "1e6", "1.0e+6"},
		"0":       {"0", "-0", "0.00", "0e99"},
		"-12.5":   {"-12.5", "-125e-1", "-12.50"},
	} {
		for _, text := range texts {
			got, _ := f.Value(&schemas.Event{ResponseFields: []byte(`{"n":` + text + `}`)}, &Scratch{})
			if string(got) != want {
				t.Errorf("%s is %s, want %s", text, got, want)
			}
		}
	}
}

func TestFieldsAreThoseOfTheEventSchema(t *testing.T) {
	for _, name := range schemas.EventFields() {
		if eventFields[name] == fieldUnknown {
			t.Errorf("%s is not known", name)
		}
	}
	if got, want := len(eventFields), len(schemas.EventFields())+1; got != want { // and bytes
		t.Errorf("%d fields, the schema has %d", got, want)
	}
}
