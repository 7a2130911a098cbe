package main

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
)

// configReference describes every key of the configuration, from the tags of the
// structs that hold them.
func configReference() string {
	var b bytes.Buffer
	b.WriteString(generatedNote + `# Configuration

One YAML file, named by ` + "`--config`" + `. Every key is optional. A key can also be set by an environment variable, which wins
over the file unless it is empty: lists are separated by commas, maps are ` + "`name=value`" + ` pairs. ` + "`${NAME}`" + ` in a value of the file stands for an environment
variable. Names of files are relative to the configuration file. Unknown keys are refused, with the nearest known one.

Durations: ` + "`90s`, `1h30m`, `7d`" + `, or a number of seconds. Sizes: ` + "`256KiB`, `1MiB`, `4GiB`" + `, or a number of bytes.
A commented file with every key: [deploy/apiwarden.example.yaml](../../deploy/apiwarden.example.yaml).

| key | default | meaning | environment |
|---|---|---|---|
`)
	cfg := DefaultConfig()
	for _, k := range keysOf(reflect.TypeOf(cfg)).keys {
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` |\n", k.path, code(defaultText(fieldAt(reflect.ValueOf(cfg), k.path))), tableCell(k.doc), k.env())
	}
	return b.String()
}

// fieldAt gives the field of configuration struct v that holds the key at path.
func fieldAt(v reflect.Value, path string) reflect.Value {
	name, rest, deeper := strings.Cut(path, ".")
	for i := range v.NumField() {
		tag, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		switch {
		case option == "inline":
			if f := fieldAt(v.Field(i), path); f.IsValid() {
				return f
			}
		case tag == name && deeper:
			return fieldAt(v.Field(i), rest)
		case tag == name:
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// defaultText writes a default as it would stand in the file.
func defaultText(v reflect.Value) string {
	if s, ok := v.Interface().(fmt.Stringer); ok {
		return s.String()
	}
	switch v.Kind() {
	case reflect.Slice:
		var items []string
		for i := range v.Len() {
			items = append(items, defaultText(v.Index(i)))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Map:
		var items []string
		for _, k := range v.MapKeys() {
			items = append(items, fmt.Sprintf("%v: %s", k, defaultText(v.MapIndex(k))))
		}
		return "{" + strings.Join(items, ", ") + "}"
	default:
		return fmt.Sprint(v.Interface())
	}
}
