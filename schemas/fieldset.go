package schemas

// FieldSet is a set of the fields of an Event, for whoever reads only some of them.
// The zero value is all of them.
type FieldSet uint32

// always are the fields without which a record cannot be used, and its time.
const always FieldSet = 1<<fieldClientIP | 1<<fieldMethod | 1<<fieldPath | 1<<fieldStatus | 1<<fieldTimestamp

// FieldsNamed gives the set of the fields of these names and of those that make a
// record an event: client_ip, method, path, status and timestamp. A name that is none
// of ours (see EventFields) stands for all that are not: Extra.
func FieldsNamed(names ...string) FieldSet {
	set := always
	for _, name := range names {
		set |= 1 << fieldOf([]byte(name))
	}
	if set.has(fieldResponseBytes) || set.has(fieldBytes) { // two names of one field
		set |= 1<<fieldResponseBytes | 1<<fieldBytes
	}
	return set
}

// Has says whether the field of a name is in s, or for a name that is none of ours
// whether Extra is.
func (s FieldSet) Has(name string) bool { return s == 0 || s.has(fieldOf([]byte(name))) }

func (s FieldSet) has(f field) bool { return s>>f&1 != 0 }
