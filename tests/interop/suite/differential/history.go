package differential

import (
	"bytes"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// change is one event of the tap with the pair it replaced.
type change struct {
	event *mvccpb.Event
	// prev is the pair at the end of the revision before, nil when there was none.
	prev *mvccpb.KeyValue
}

// history is everything that happened on one side, in order.
type history struct {
	changes []change
	// live is the store after the last change.
	live map[string]*mvccpb.KeyValue
	// last is the revision of the last change; a fresh store has 1.
	last int64
	// revived holds the revisions in which some key was deleted and then put.
	revived map[int64]bool
}

func newHistory() *history {
	return &history{live: map[string]*mvccpb.KeyValue{}, last: 1, revived: map[int64]bool{}}
}

// add appends events. All events of one revision must be in one call.
func (h *history) add(events []*mvccpb.Event) {
	for start := 0; start < len(events); {
		end := start
		for end < len(events) && events[end].Kv.ModRevision == events[start].Kv.ModRevision {
			end++
		}
		h.addRevision(events[start:end])
		start = end
	}
}

func (h *history) addRevision(events []*mvccpb.Event) {
	deleted := map[string]bool{}
	for _, e := range events {
		key := string(e.Kv.Key)
		h.changes = append(h.changes, change{event: e, prev: h.live[key]})
		if e.Type == mvccpb.Event_PUT && deleted[key] {
			h.revived[e.Kv.ModRevision] = true
		}
		deleted[key] = e.Type == mvccpb.Event_DELETE
	}
	for _, e := range events {
		if e.Type == mvccpb.Event_PUT {
			h.live[string(e.Kv.Key)] = e.Kv
		} else {
			delete(h.live, string(e.Kv.Key))
		}
	}
	h.last = events[0].Kv.ModRevision
}

// interest is what one watcher asked for.
type interest struct {
	key, end       []byte
	start          int64
	noPut, noDel   bool
	prevKV         bool
	compactedAtOpn int64
}

func interestOf(r *pb.WatchCreateRequest, start, compacted int64) interest {
	key := r.Key
	if len(key) == 0 {
		key = []byte{0}
	}
	return interest{
		key: key, end: r.RangeEnd, start: start, prevKV: r.PrevKv, compactedAtOpn: compacted,
		noPut: slices.Contains(r.Filters, pb.WatchCreateRequest_NOPUT),
		noDel: slices.Contains(r.Filters, pb.WatchCreateRequest_NODELETE),
	}
}

func (w interest) covers(key []byte) bool {
	switch {
	case len(w.end) == 0:
		return bytes.Equal(key, w.key)
	case len(w.end) == 1 && w.end[0] == 0:
		return bytes.Compare(key, w.key) >= 0
	default:
		return bytes.Compare(key, w.key) >= 0 && bytes.Compare(key, w.end) < 0
	}
}

// want returns the event this watcher must receive for a change, or nil.
func (w interest) want(c change) *mvccpb.Event {
	e := c.event
	if e.Kv.ModRevision < w.start || !w.covers(e.Kv.Key) {
		return nil
	}
	if (e.Type == mvccpb.Event_PUT && w.noPut) || (e.Type == mvccpb.Event_DELETE && w.noDel) {
		return nil
	}
	created := e.Type == mvccpb.Event_PUT && e.Kv.CreateRevision == e.Kv.ModRevision
	prev := c.prev
	// The pair before is read at the revision before, which may be compacted.
	if !w.prevKV || created || e.Kv.ModRevision-1 < w.compactedAtOpn {
		prev = nil
	}
	return &mvccpb.Event{Type: e.Type, Kv: e.Kv, PrevKv: prev}
}
