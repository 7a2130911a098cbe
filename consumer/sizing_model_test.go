package consumer

import (
	"cmp"
	"slices"
	"time"
)

// fleetModel predicts what a fleet of detect processes does when members come and go.
// All sizes are of the whole group. It is a simulation in steps of time: partitions
// have owners, a backlog and, while they are restored, state to read and log to replay;
// processes share their capacity among what they own.
type fleetModel struct {
	partitions int
	rate       float64       // events/s of all partitions
	cores      float64       // of a process; a partition is worked on by one at a time
	capacity   float64       // events/s that one core can judge
	state      float64       // bytes of state of all partitions
	restore    float64       // bytes of state/s that one core can read back
	interval   time.Duration // every shard's snapshot is at most this old
	notice     time.Duration // until members know of a change: a heartbeat, at most
	rounds     int           // of the group's protocol until a newcomer owns what it is given
}

const modelStep = 0.1 // s

// groupModel is a fleet without events or state, for what the group's protocol does
// alone. Members know of a change by their next heartbeat, which the client sends every
// three seconds; a newcomer is given nothing in the first round, in which the others
// give up what it is to have, and gets that in the second.
func groupModel(partitions int) fleetModel {
	return fleetModel{partitions: partitions, rate: 1, cores: 1, capacity: 2, restore: 1, notice: 3 * time.Second, rounds: 2}
}

// modelPartition is a partition of the model.
type modelPartition struct {
	owner   int     // -1: nobody
	from    float64 // when the owner begins, s
	unread  float64 // bytes of state still to be read
	replay  float64 // events to be judged again, muted
	backlog float64 // events that wait
	time    float64 // of a core, that it may still use in this step
}

// modelRun is a model in motion.
type modelRun struct {
	fleetModel
	now     float64
	parts   []modelPartition
	members []bool
	peak    float64 // the largest lag so far: how old the oldest waiting event of a partition is, s
	moves   int
}

func (m fleetModel) begin(processes int) *modelRun {
	r := &modelRun{fleetModel: m, parts: make([]modelPartition, m.partitions), members: make([]bool, processes)}
	for i := range r.members {
		r.members[i] = true
	}
	for i := range r.parts {
		r.parts[i].owner = i % processes
	}
	return r
}

// leave takes a member's partitions away. Where shared, the others get them once they
// know of it (each goes to who has fewest); else they wait for the member.
func (r *modelRun) leave(member int, shared bool) {
	r.members[member] = false
	for i := range r.parts {
		p := &r.parts[i]
		if p.owner != member {
			continue
		}
		p.owner = -1
		if shared {
			r.give(p, r.fewest(), r.notice)
		}
	}
}

// join gives a member its share: what nobody has, then partitions of those who have
// most. A partition that moves is without an owner for the protocol's last round.
func (r *modelRun) join(member int) {
	r.members[member] = true
	for i := range r.parts {
		if r.parts[i].owner < 0 {
			r.give(&r.parts[i], member, r.notice)
		}
	}
	for {
		most := slices.MaxFunc(r.loads(), func(a, b load) int { return cmp.Compare(a.partitions, b.partitions) })
		if most.partitions <= r.owned(member)+1 {
			return
		}
		for i := range r.parts {
			if r.parts[i].owner == most.member {
				r.give(&r.parts[i], member, r.notice*time.Duration(r.rounds)/2)
				break
			}
		}
	}
}

// give starts the restore of a partition at its new owner, after a delay. The oldest
// of the shards' snapshots is a whole interval old: so much is replayed.
func (r *modelRun) give(p *modelPartition, member int, after time.Duration) {
	p.owner, p.from = member, r.now+after.Seconds()
	p.unread = r.state / float64(r.partitions)
	p.replay = r.rate / float64(r.partitions) * r.interval.Seconds()
	r.moves++
}

type load struct{ member, partitions int }

func (r *modelRun) loads() []load {
	var loads []load
	for m, here := range r.members {
		if here {
			loads = append(loads, load{m, r.owned(m)})
		}
	}
	return loads
}

func (r *modelRun) owned(member int) int {
	n := 0
	for i := range r.parts {
		if r.parts[i].owner == member {
			n++
		}
	}
	return n
}

func (r *modelRun) fewest() int {
	return slices.MinFunc(r.loads(), func(a, b load) int { return cmp.Compare(a.partitions, b.partitions) }).member
}

// step lets modelStep pass: events arrive, and each process works on its partitions.
func (r *modelRun) step() {
	r.now += modelStep
	perSecond := r.rate / float64(r.partitions)
	byMember := make([][]*modelPartition, len(r.members))
	for i := range r.parts {
		p := &r.parts[i]
		p.backlog += perSecond * modelStep
		p.time = modelStep
		if p.owner >= 0 && r.members[p.owner] && r.now > p.from {
			byMember[p.owner] = append(byMember[p.owner], p)
		}
	}
	for _, parts := range byMember {
		r.work(parts)
	}
	for i := range r.parts {
		r.peak = max(r.peak, r.parts[i].backlog/perSecond)
	}
}

// work spends one step of a process on its partitions: an equal share for each that has
// something to do, but no more than a core's; what one leaves over is for the others.
func (r *modelRun) work(parts []*modelPartition) {
	left := modelStep * r.cores
	for left > 1e-9 {
		waiting := slices.DeleteFunc(slices.Clone(parts), func(p *modelPartition) bool {
			return p.time <= 1e-12 || p.unread+p.replay+p.backlog <= 0
		})
		if len(waiting) == 0 {
			return
		}
		share := left / float64(len(waiting))
		for _, p := range waiting {
			granted := min(share, p.time)
			used := granted - r.spend(p, granted)
			p.time -= used
			left -= used
		}
	}
}

// spend works on one partition and gives back the time that it did not need.
func (r *modelRun) spend(p *modelPartition, t float64) float64 {
	for _, job := range []struct {
		amount *float64
		speed  float64
	}{{&p.unread, r.restore}, {&p.replay, r.capacity}, {&p.backlog, r.capacity}} {
		if *job.amount <= 0 {
			continue
		}
		if need := *job.amount / job.speed; need <= t {
			*job.amount, t = 0, t-need
		} else {
			*job.amount -= t * job.speed
			return 0
		}
	}
	return t
}

// calm says whether every partition has an owner, is restored, and is no further
// behind than a step.
func (r *modelRun) calm() bool {
	perStep := r.rate / float64(r.partitions) * modelStep
	return !slices.ContainsFunc(r.parts, func(p modelPartition) bool {
		return p.owner < 0 || p.unread > 0 || p.replay > 0 || p.backlog > 1.5*perStep
	})
}

// until steps until what holds, and gives the time it took; -1 where it takes more
// than limit.
func (r *modelRun) until(limit time.Duration, holds func() bool) time.Duration {
	began := r.now
	for !holds() {
		if r.now-began > limit.Seconds() {
			return -1
		}
		r.step()
	}
	return time.Duration((r.now - began) * float64(time.Second))
}

// restart is what a rolling restart comes to.
type restart struct {
	each  time.Duration // from one process's stop until the fleet is calm again
	whole time.Duration // one process after the other
	peak  time.Duration // the largest lag of a partition
	moves int           // partitions restored for one process's restart
}

// rolling restarts one process, which is away for down, and reckons the others alike.
// With static members its partitions wait for it, else they move away and back.
func (m fleetModel) rolling(processes int, down time.Duration, static bool) restart {
	r := m.begin(processes)
	r.until(time.Minute, r.calm)
	r.peak = 0
	began := r.now
	r.leave(0, !static)
	stopped := r.now
	r.until(down, func() bool { return r.now-stopped >= down.Seconds() })
	r.join(0)
	if r.until(time.Hour, r.calm) < 0 {
		return restart{each: -1, whole: -1, peak: -1, moves: r.moves}
	}
	each := time.Duration((r.now - began) * float64(time.Second))
	return restart{each: each, whole: each * time.Duration(processes), peak: time.Duration(r.peak * float64(time.Second)), moves: r.moves}
}

// start is the time from nothing to a calm fleet, the whole state restored.
func (m fleetModel) start(processes int) (took, peak time.Duration) {
	r := m.begin(processes)
	for i := range r.parts {
		r.give(&r.parts[i], r.parts[i].owner, m.notice)
	}
	took = r.until(24*time.Hour, r.calm)
	return took, time.Duration(r.peak * float64(time.Second))
}
