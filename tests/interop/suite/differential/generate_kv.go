package differential

import (
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func (g *generator) put() planned {
	return g.call(mPut, g.putRequest(), "Put")
}

func (g *generator) putRequest() *pb.PutRequest {
	r := &pb.PutRequest{Key: g.key(), Value: g.value(), Lease: g.lease(), PrevKv: g.marked(20, "put/prev_kv")}
	if g.marked(5, "put/ignore_value") {
		r.IgnoreValue = true
		if g.percent(80) {
			r.Value = nil
		}
	}
	if g.marked(5, "put/ignore_lease") {
		r.IgnoreLease = true
		if g.percent(80) {
			r.Lease = 0
		}
	}
	return r
}

func (g *generator) delete() planned {
	return g.call(mDelete, g.deleteRequest(4), "DeleteRange")
}

// deleteRequest deletes everything from a key on only so many times in a hundred:
// a store that is always empty tests little.
func (g *generator) deleteRequest(wide int) *pb.DeleteRangeRequest {
	r := &pb.DeleteRangeRequest{Key: g.key(), PrevKv: g.marked(30, "delete/prev_kv")}
	switch {
	case g.percent(wide):
		r.RangeEnd = g.rangeEnd(r.Key)
	case g.marked(30, "delete/short-range"):
		r.RangeEnd = append(append([]byte{}, r.Key...), 'x')
	}
	return r
}

func (g *generator) rangeStep() planned {
	return g.call(mRange, g.rangeRequest(), "Range")
}

func (g *generator) rangeStreamStep() planned {
	r := g.rangeRequest()
	if g.percent(70) {
		r.SortOrder, r.SortTarget = 0, 0
		r.MinModRevision, r.MaxModRevision, r.MinCreateRevision, r.MaxCreateRevision = 0, 0, 0, 0
	}
	return planned{step: rangeStream{req: r, as: g.user()}, feature: "RangeStream"}
}

func (g *generator) rangeRequest() *pb.RangeRequest {
	r := &pb.RangeRequest{Key: g.key(), Revision: g.revision("range/rev"), Serializable: g.marked(30, "range/serializable")}
	if g.percent(10) {
		r.Key, r.RangeEnd = []byte{0}, []byte{0}
		g.mark("range_end/everything")
	} else {
		r.RangeEnd = g.rangeEnd(r.Key)
	}
	switch n := g.rng.IntN(100); {
	case n < 30:
		r.Limit = 1 + g.rng.Int64N(20)
		g.mark("range/limit")
	case n < 33:
		r.Limit = -1 - g.rng.Int64N(5)
		g.mark("range/negative-limit")
	case n < 34:
		r.Limit = 1<<63 - 1
		g.mark("range/max-limit")
	}
	r.KeysOnly = g.marked(15, "range/keys_only")
	r.CountOnly = g.marked(10, "range/count_only")
	if g.percent(25) {
		g.sort(r)
	}
	if g.percent(15) {
		g.filters(r)
	}
	return r
}

func (g *generator) sort(r *pb.RangeRequest) {
	r.SortOrder = pb.RangeRequest_SortOrder(g.rng.IntN(3))
	r.SortTarget = pb.RangeRequest_SortTarget(g.rng.IntN(5))
	if g.marked(4, "range/undefined-sort-order") {
		r.SortOrder = pb.RangeRequest_SortOrder(oneOf(g, 3, 7, -1))
	}
	if g.marked(4, "range/undefined-sort-target") {
		r.SortTarget = pb.RangeRequest_SortTarget(oneOf(g, 5, 9, -1))
	}
	if defined(r.SortTarget) && defined(r.SortOrder) {
		g.mark("range/sort/" + r.SortTarget.String() + "/" + r.SortOrder.String())
	}
}

func (g *generator) filters(r *pb.RangeRequest) {
	near := func() int64 { return g.rev - g.rng.Int64N(min(g.rev, 200)+1) }
	if g.marked(40, "range/min_mod") {
		r.MinModRevision = near()
	}
	if g.marked(40, "range/max_mod") {
		r.MaxModRevision = near()
	}
	if g.marked(40, "range/min_create") {
		r.MinCreateRevision = near()
	}
	if g.marked(40, "range/max_create") {
		r.MaxCreateRevision = near()
	}
	if g.marked(10, "range/negative-filter") {
		r.MaxModRevision = -1
	}
	if g.marked(10, "range/extreme-filter") {
		r.MinModRevision, r.MaxCreateRevision = math.MinInt64, math.MaxInt64
	}
}

// compact plans a compaction, and after one in the background often a second,
// physical one at the same revision: it fails, but only when the first is done.
func (g *generator) compact() planned {
	// The older half, so that most of the past stays.
	rev := g.compacted + 1 + g.rng.Int64N(max((g.rev-g.compacted)/2, 1))
	switch n := g.rng.IntN(100); {
	case n < 18:
		rev = g.compacted - g.rng.Int64N(3)
		g.mark("compact/compacted")
	case n < 36:
		rev = oneOf(g, g.rev+1, g.rev+2, g.rev+1000, math.MaxInt64)
		g.mark("compact/future")
	case n < 54:
		rev = oneOf(g, int64(0), -1, -100, math.MinInt64)
		g.mark("compact/zero-or-negative")
	case n < 72:
		rev = g.rev
		g.mark("compact/current")
	}
	for g.past.revived[rev] {
		// Upstream does not survive this one; its neighbour is as good.
		rev--
	}
	r := &pb.CompactionRequest{Revision: rev, Physical: g.marked(45, "compact/physical")}
	p := g.call(mCompact, r, "Compact")
	p.settle = true
	p.observe = func(o outcome) { g.noteCompaction(r, o) }
	return p
}

// noteCompaction notes one successful compaction.
func (g *generator) noteCompaction(r *pb.CompactionRequest, o outcome) {
	if !o.ok() {
		return
	}
	g.compacted = r.Revision
	if r.Physical {
		return
	}
	g.hashUnstable[r.Revision] = true
	barrier := g.call(mCompact, &pb.CompactionRequest{Revision: r.Revision, Physical: true}, "Compact/wait-for-running")
	g.queue = append(g.queue, barrier)
}

func (g *generator) hashKV() planned {
	rev := g.revision("hashkv/rev")
	for g.hashUnstable[rev] {
		rev++
	}
	return g.call(mHashKV, &pb.HashKVRequest{Revision: rev}, "HashKV")
}

// defined reports whether a value of an enum has a name.
func defined(value protoreflect.Enum) bool {
	return value.Descriptor().Values().ByNumber(value.Number()) != nil
}
