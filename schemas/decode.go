package schemas

// Options say how records become events.
type Options struct {
	Preset         string            // "" is json, our own names; see Presets
	Fields         map[string]string // event field -> gjson path into the record; beside or instead of a preset
	MaxRecordBytes int               // 0: 1 MiB
}
