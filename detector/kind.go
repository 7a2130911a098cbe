package detector

// kind is what tells the detector types apart: how many cells of a record a rule
// takes, how it judges an event, and what a ban does to its counts.
type kind struct {
	lanes  int // bits of the shared log
	extras int // cells of its own, side by side

	// counts says whether the rule's lanes count an event that it sees, where the
	// record tells; nil: they count all of them.
	counts func(rec record, r *rule, value uint64, time int64) bool

	// observe judges an event that the rule sees and that stands in the log
	// already (kinds with lanes).
	observe func(e *Engine, o *occurrence, r *rule) finding

	// half says whether a rule is over half its threshold by what its cells say, or
	// keeps silent since a verdict. Only where the rule has a cell.
	half func(e *Engine, rec record, r *rule) bool

	// banned follows a ban by the rule: the rule is armed again for what comes
	// after the ban and, with reset_on_ban, has counted nothing. Only of kinds that fire.
	banned func(e *Engine, rec record, r *rule)
}

// kinds holds one line per detector type.
var kinds = map[Type]*kind{
	TypeUsage:         &counting,
	TypeFrequency:     &counting,
	TypeReturnPattern: &counting,
	TypeRatio:         &ratio,
	TypeDistinct:      &distinct,
	TypeMatch:         &match,
	TypeWalk:          &walk,
	TypeOutlier:       &peers, // or peerPaths: see kindFor
}

// occurrence is one event in one record, as a kind sees it.
type occurrence struct {
	rec      record
	time     int64
	newest   bool       // no event of the record, in whatever cell, is newer
	value    uint64     // distinct: hash of the field's value; outlier: what Metric.measure gives
	pardoned bool       // the subject's ban was ended by hand
	change   peerChange // of an outlier rule's observe

	// Only where lanes count the event:
	log  []uint64 // of rec, with the event
	base int64    // of log
	at   int      // index of the event's entry
	last bool     // the entry was put at the end: no event of the record is newer
}

// finding is what a rule has to say of an event.
type finding struct {
	fire  bool
	count int   // events (distinct: values; ratio: matching events; walk: steps) in the window
	of    int   // ratio: seen events in the window
	from  int64 // event time of the oldest of them, µs
}
