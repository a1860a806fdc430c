package differential

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// differencesMax is after how many kinds of differences a run ends: later ones
// mostly follow from the first.
const differencesMax = 8

// settleEvery is the number of steps between two comparisons of all watchers.
const settleEvery = 150

// difference is one step on which the sides do not agree.
type difference struct {
	index int
	step  string
	what  []string
	// reference and target are the two outcomes.
	reference, target string
}

func (d difference) String() string {
	return fmt.Sprintf("step %d: %s\n  %s\n  reference: %s\n  target:    %s",
		d.index, d.step, strings.Join(d.what, "\n  "), d.reference, d.target)
}

// driver runs one sequence of steps on both sides.
type driver struct {
	reference, target *side
	gen               *generator
	allowed           allowances
	found             []difference
	// repeated counts differences of a kind that is in found already.
	repeated map[string]int
	// excused counts differences that deviations.tsv allows, by rule.
	excused map[string]int
	// compared is how far the two histories were compared.
	compared int
	index    int
	// done are the steps that ran, for a search for a shorter sequence.
	done []step
}

// newDriver prepares a run. Both servers must be fresh and started alike.
func newDriver(reference, target *side, seed uint64, limit int, allowed allowances) *driver {
	return &driver{
		reference: reference, target: target, allowed: allowed, excused: map[string]int{}, repeated: map[string]int{},
		gen: newGenerator(seed, reference.events, limit),
	}
}

// run performs n steps. Its error means that the run could not go on; differences
// are in found.
func (d *driver) run(ctx context.Context, n int) error {
	d.gen.lifetime = ctx
	for d.index = 0; d.index < n; d.index++ {
		if err := d.one(ctx, d.gen.next()); err != nil {
			return err
		}
		if len(d.found) >= differencesMax {
			return fmt.Errorf("stopped after %d differences", len(d.found))
		}
		if d.index%settleEvery == settleEvery-1 {
			if _, err := d.settle(); err != nil {
				return err
			}
		}
	}
	_, err := d.settle()
	return err
}

func (d *driver) one(ctx context.Context, p planned) error {
	if p.settle {
		if replaced, err := d.settle(); replaced || err != nil {
			// The step may be about the stream that is gone.
			return err
		}
		d.beforeCompaction(p.step)
	}
	d.done = append(d.done, p.step)
	var a, b outcome
	both(func() { a = p.step.run(ctx, d.reference) }, func() { b = p.step.run(ctx, d.target) })
	if !d.reference.server.Running() {
		return fmt.Errorf("step %d ended the reference: %s: %s\n%s", d.index, p.step, a, d.reference.server.LogTail(20))
	}
	if what := compareOutcomes(p.step, a, b); len(what) > 0 {
		d.note(difference{d.index, p.step.String(), what, a.String(), b.String()}, p.step, a, b)
	}
	if !d.target.server.Running() {
		return fmt.Errorf("step %d ended the target: %s: %s\n%s", d.index, p.step, b, d.target.server.LogTail(20))
	}
	p.observe(a)
	return d.followEvents()
}

// both runs two functions at the same time.
func both(f, g func()) {
	var wait sync.WaitGroup
	wait.Go(f)
	g()
	wait.Wait()
}

func (d *driver) note(found difference, st step, a, b outcome) {
	if rule := d.allowed.rule(st, a, b); rule != "" {
		d.excused[rule]++
		return
	}
	kind := kindOf(st, found.what[0])
	if d.repeated[kind]++; d.repeated[kind] == 1 {
		d.found = append(d.found, found)
	}
}

// values are the parts of a difference that say nothing about its kind.
var values = regexp.MustCompile(`"(\\.|[^"\\])*"|[0-9]+`)

// kindOf names a sort of difference: the step's method and what differs, without
// the values.
func kindOf(st step, what string) string {
	if u, ok := st.(unary); ok {
		return string(u.method) + " " + values.ReplaceAllString(what, "_")
	}
	return fmt.Sprintf("%T %s", st, values.ReplaceAllString(what, "_"))
}

// followEvents waits for the taps and compares what they saw.
func (d *driver) followEvents() error {
	var errA, errB error
	both(func() { errA = d.reference.catchUp(d.gen.rev) }, func() { errB = d.target.catchUp(d.gen.rev) })
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	a, b := d.reference.events.changes[d.compared:], d.target.events.changes[min(d.compared, len(d.target.events.changes)):]
	d.compared += len(a)
	if what := diffEvents(eventsOf(b), eventsOf(a)); len(what) > 0 {
		d.found = append(d.found, difference{d.index, "events of this step", what, fmt.Sprint(len(a), " events"), fmt.Sprint(len(b), " events")})
	}
	return nil
}

func eventsOf(changes []change) []*mvccpb.Event {
	out := make([]*mvccpb.Event, len(changes))
	for i, c := range changes {
		out[i] = c.event
	}
	return out
}

// settle waits until every watcher on both sides got what it must get, and
// compares that with the reference's history. It reports whether it had to
// replace a stream, because compaction overtook one of its watchers.
func (d *driver) settle() (replaced bool, err error) {
	for n, sl := range d.gen.slots {
		overtaken := false
		for id, w := range sl.open {
			want := d.wanted(w)
			for _, s := range d.sides() {
				over, err := d.settleWatcher(s, n, id, w, want)
				if err != nil {
					return false, err
				}
				overtaken = overtaken || over
			}
		}
		for _, s := range d.sides() {
			for _, fault := range s.streams[n].faults() {
				d.found = append(d.found, difference{d.index, fmt.Sprintf("watch stream %d of %s", n, s.name), []string{fault}, "", ""})
			}
		}
		if overtaken {
			replaced = true
			if err := d.replace(n); err != nil {
				return false, err
			}
		}
	}
	return replaced, nil
}

func (d *driver) sides() [2]*side { return [2]*side{d.reference, d.target} }

// replace opens a new stream in a slot on both sides.
func (d *driver) replace(n int) error {
	d.gen.mark("watch/overtaken-by-compaction")
	d.gen.slots[n] = newSlot()
	for _, s := range d.sides() {
		if o := (watchReset{slot: n}).run(context.Background(), s); !o.ok() {
			return fmt.Errorf("%s: %s", s.name, o)
		}
	}
	return nil
}

// wanted returns the events for a watcher since the last time.
func (d *driver) wanted(w *watcher) []*mvccpb.Event {
	changes := d.reference.events.changes
	if w.cutOff != 0 {
		w.at = len(changes)
		return nil
	}
	var want []*mvccpb.Event
	for ; w.at < len(changes); w.at++ {
		if e := w.want(changes[w.at]); e != nil {
			want = append(want, e)
		}
	}
	return want
}

// settleWatcher compares what one watcher got on one side. A watcher that was
// still catching up may be overtaken by compaction, which is reported.
func (d *driver) settleWatcher(s *side, n int, id int64, w *watcher, want []*mvccpb.Event) (overtaken bool, err error) {
	stream := s.streams[n]
	deadline := time.Now().Add(callLimit)
	var got []*mvccpb.Event
	for {
		signal := stream.signal()
		more, _ := stream.take(id)
		got = append(got, more...)
		if at := stream.compactedAt(id); at != 0 && at == w.mayCancel && w.cutOff == 0 {
			return true, nil
		} else if len(got) >= len(want) && (w.cutOff == 0 || at != 0) {
			break
		}
		if err := stream.wait(signal, deadline); err != nil {
			break
		}
	}
	what := diffEvents(got, want)
	if at := stream.compactedAt(id); at != w.cutOff {
		what = append(what, fmt.Sprintf("compact_revision %d in the cancel, expected %d", at, w.cutOff))
	}
	if len(what) > 0 {
		title := fmt.Sprintf("events of watcher %d on stream %d of %s, range %q %q from %d", id, n, s.name, w.key, w.end, w.start)
		d.found = append(d.found, difference{index: d.index, step: title, what: what})
		return false, fmt.Errorf("watcher %d of %s went astray", id, s.name)
	}
	return false, nil
}

// catchUpTime is how long a watcher may need to find out that its past holds no
// events for it. Nothing shows when it did.
const catchUpTime = 250 * time.Millisecond

// beforeCompaction gives watchers of the past that long, so that a compaction
// seldom overtakes one; [driver.settle] copes with it when it does.
func (d *driver) beforeCompaction(st step) {
	u, ok := st.(unary)
	if !ok || u.method != mCompact {
		return
	}
	rev := u.req.(*pb.CompactionRequest).Revision
	for _, sl := range d.gen.slots {
		for _, w := range sl.open {
			if w.requested > 0 && w.requested < rev && w.cutOff == 0 {
				time.Sleep(time.Until(w.created.Add(catchUpTime)))
				w.mayCancel = rev
			}
		}
	}
}

// ready waits until a fresh server has settled its storage version, which it
// raises some seconds after its start.
func (s *side) ready(ctx context.Context) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		st, err := s.client.Maintenance.Status(ctx, &pb.StatusRequest{})
		if err != nil {
			return err
		}
		if st.StorageVersion != "" && strings.HasPrefix(st.Version, strings.TrimSuffix(st.StorageVersion, "0")) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: storage version is still %q", s.name, st.StorageVersion)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
