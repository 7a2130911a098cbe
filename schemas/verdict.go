package schemas

// Action is what a rule asks for.
type Action string

// All actions, the strongest first.
const (
	ActionBan      Action = "ban"
	ActionThrottle Action = "throttle"
	ActionAlert    Action = "alert"
	ActionLog      Action = "log"
)

// Values of Verdict.ActionTaken besides the action itself.
const (
	TakenLoggedOnly = "logged_only" // passive mode
	TakenTracked    = "tracked"     // a ban or throttle of somebody who may not be banned
	TakenAlert      = "alert"       // a ban over the rule's ban budget
)

// Scope says what kind of thing a subject is.
type Scope string

// All scopes.
const (
	ScopeIP       Scope = "ip"
	ScopeRange    Scope = "range"
	ScopeUser     Scope = "user"
	ScopeEndpoint Scope = "endpoint"
)

// Phase says which verdict of an episode one is: what a learned rule has found goes on
// for some time, which one verdict opens and one closes.
type Phase string

// All phases.
const (
	PhaseOpen   Phase = "open"
	PhaseRemind Phase = "remind"
	PhaseClose  Phase = "close"
)

// Position is where a record stands in its log: a Kafka position, or a file's
// base name, partition 0 and the line number from 0.
type Position struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// Evidence says which events led to a verdict: those of the subject that the rule
// counted from FromTime to ToTime, the trigger included. The events themselves are
// found in ClickHouse by subject and time.
type Evidence struct {
	FromTime Micros `json:"from_time"`
	ToTime   Micros `json:"to_time"`
	Trigger  string `json:"trigger_event"` // the trigger's request as text: METHOD path → status
}

// Verdict is one decision of one rule about one subject, as it stands on the
// verdict topic and in ClickHouse.
type Verdict struct {
	VerdictID   string    `json:"verdict_id"`
	RuleID      string    `json:"rule_id"`
	RuleVersion string    `json:"rule_version"`
	RuleType    string    `json:"rule_type"`
	Trigger     *Position `json:"trigger"`
	Scope       Scope     `json:"scope"`
	Subject     string    `json:"subject"`
	Endpoint    string    `json:"endpoint"`
	Action      Action    `json:"action"`
	ActionTaken string    `json:"action_taken"`
	Count       int64     `json:"count"`
	Threshold   *float64  `json:"threshold"` // whole numbers print without a fraction
	WindowS     float64   `json:"window_s"`
	Score       *float64  `json:"score"`
	Baseline    *float64  `json:"baseline"`
	EpisodeID   string    `json:"episode_id,omitempty"` // learned rules: the same for all verdicts of one episode
	Phase       Phase     `json:"phase,omitempty"`      // learned rules
	Details     string    `json:"details"`
	EventTime   Micros    `json:"event_time"`
	RecordTime  *Micros   `json:"record_time"` // the trigger's Kafka timestamp; null in a file
	DetectedAt  Micros    `json:"detected_at"`
	ExpiresAt   *Micros   `json:"expires_at"` // null for alert and log
	RetryAfterS *int64    `json:"retry_after_s"`
	Message     string    `json:"message"`
	Tags        []string  `json:"tags,omitempty"`
	Evidence    Evidence  `json:"evidence"`
}

// Ban is the value of a record of the ban topic: what is enforced now for one
// subject. The record's key is BanKey(scope, value); a tombstone ends it.
type Ban struct {
	Scope       Scope    `json:"scope"`
	Value       string   `json:"value"`
	Action      Action   `json:"action"` // ban or throttle
	RuleIDs     []string `json:"rule_ids"`
	Reason      string   `json:"reason"`
	Message     string   `json:"message"`
	RetryAfterS *int64   `json:"retry_after_s"`
	Since       Micros   `json:"since"`
	ExpiresAt   Micros   `json:"expires_at"`
}

// BanKey is the key of a subject's record on the ban topic.
func BanKey(s Scope, value string) string { return string(s) + ":" + value }

// BanChange is one change of the ban topic: a new value, or the end of what was
// enforced (End, with only Scope and Value of Ban set).
type BanChange struct {
	Ban Ban
	End bool
}
