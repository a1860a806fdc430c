package differential

import (
	"fmt"
	"maps"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// watchersMax bounds the watchers of one stream.
const watchersMax = 40

// slot mirrors one watch stream of the two sides.
type slot struct {
	open map[int64]*watcher
	// halfClosed is true when no more requests can be sent.
	halfClosed bool
}

// watcher mirrors one open watcher.
type watcher struct {
	interest
	// at is the index of the first change not yet compared.
	at int
	// requested is start_revision as sent.
	requested int64
	// cutOff is the compacted revision when the watcher began below it, and must
	// get nothing but a cancel with that revision; else 0.
	cutOff int64
	// mayCancel is the revision of a compaction that may have overtaken the
	// watcher while it caught up; 0 for none.
	mayCancel int64
	created   time.Time
}

func newSlot() *slot { return &slot{open: map[int64]*watcher{}} }

// blocksProgress says whether requests for progress get no reply because of
// watchers that cannot be in step with the store.
func (s *slot) blocksProgress(rev int64) bool {
	for _, w := range s.open {
		if w.cutOff != 0 || w.requested > rev {
			return true
		}
	}
	return len(s.open) == 0
}

// slot picks a stream that still takes requests, or -1.
func (g *generator) slot() int {
	first := g.rng.IntN(streamSlots)
	for i := range streamSlots {
		if n := (first + i) % streamSlots; !g.slots[n].halfClosed {
			return n
		}
	}
	return -1
}

func (g *generator) watchCreate() planned {
	n := g.slot()
	if n < 0 || len(g.slots[n].open) >= watchersMax {
		return g.watchReset()
	}
	r := g.watchRequest(n)
	if len(g.users) > 0 && g.percent(60) {
		return planned{step: firstWatchReply{req: r, as: g.user()}, feature: "Watch/create-as-user"}
	}
	return planned{
		step:    watchCreate{slot: n, req: r},
		feature: "Watch/create",
		observe: func(o outcome) { g.watchCreated(n, r, o) },
	}
}

func (g *generator) watchRequest(n int) *pb.WatchCreateRequest {
	r := &pb.WatchCreateRequest{Key: g.key(), StartRevision: g.revision("watch/start")}
	r.RangeEnd = g.rangeEnd(r.Key)
	if g.percent(30) {
		r.Key, r.RangeEnd = []byte("k/"), []byte("k0")
	}
	if r.StartRevision == g.compacted && g.hashUnstable[g.compacted] {
		// A tombstone of that revision may be gone on one side and not yet on the
		// other: after a restart compaction goes on in the background.
		r.StartRevision++
	}
	switch m := g.rng.IntN(100); {
	case m < 25:
		r.WatchId = 1 + g.rng.Int64N(30)
		g.mark("watch/chosen-id")
	case m < 33:
		r.WatchId = -2 - g.rng.Int64N(3)
		g.mark("watch/negative-id")
	case m < 43 && len(g.slots[n].open) > 0:
		r.WatchId = g.openID(n)
		g.mark("watch/duplicate-id")
	}
	if g.marked(12, "watch/no-put") {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if g.marked(12, "watch/no-delete") {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NODELETE)
	}
	if g.marked(8, "watch/undefined-filter") {
		r.Filters = append(r.Filters, 7)
	}
	r.PrevKv = g.marked(50, "watch/prev_kv")
	r.ProgressNotify = g.marked(30, "watch/progress_notify")
	r.Fragment = g.marked(25, "watch/fragment")
	return r
}

// partedPuts of values near the request limit are more than one reply may hold:
// the limit and 512 KiB.
const partedPuts = 12

// watchInParts plans a watch of a past so big that its reply comes in fragments.
func (g *generator) watchInParts() planned {
	n := g.slot()
	if n < 0 || len(g.slots[n].open) >= watchersMax {
		return g.watchReset()
	}
	r := &pb.WatchCreateRequest{Key: []byte("k/"), RangeEnd: []byte("k0"), StartRevision: g.rev + 1, Fragment: true}
	r.PrevKv = g.percent(50)
	for range partedPuts {
		key := fmt.Appendf(nil, "k/%02d", g.rng.IntN(manyKeys))
		put := &pb.PutRequest{Key: key, Value: g.bytes(g.limit - 1500)}
		g.queue = append(g.queue, planned{step: unary{method: mPut, req: put, as: g.root()}, feature: "Put"})
	}
	g.queue = append(g.queue, planned{
		step: watchCreate{slot: n, req: r}, feature: "Watch/create-in-parts",
		observe: func(o outcome) { g.watchCreated(n, r, o) },
	})
	first := g.queue[0]
	g.queue = g.queue[1:]
	return first
}

// openID picks an open watcher; sorted, because the seed must name the choice.
func (g *generator) openID(n int) int64 {
	return oneOf(g, slices.Sorted(maps.Keys(g.slots[n].open))...)
}

func (g *generator) watchCreated(n int, r *pb.WatchCreateRequest, o outcome) {
	if !o.ok() {
		return
	}
	reply := o.replies[0].(*pb.WatchResponse)
	if reply.Canceled {
		return
	}
	start := r.StartRevision
	if start == 0 {
		start = reply.Header.Revision + 1
	}
	w := &watcher{interest: interestOf(r, start, g.compacted), requested: r.StartRevision, created: time.Now()}
	w.at, _ = slices.BinarySearchFunc(g.past.changes, start, func(c change, rev int64) int {
		if c.event.Kv.ModRevision < rev {
			return -1
		}
		return 1
	})
	if start < g.compacted {
		w.cutOff = g.compacted
		g.mark("watch/below-compacted")
	}
	g.slots[n].open[reply.WatchId] = w
}

func (g *generator) watchCancel() planned {
	n := g.slot()
	if n < 0 {
		return g.watchReset()
	}
	if len(g.slots[n].open) == 0 || g.marked(30, "watch/cancel-unknown") {
		return planned{step: watchCancel{slot: n, id: 100000}, feature: "Watch/cancel"}
	}
	id := g.openID(n)
	return planned{
		step:    watchCancel{slot: n, id: id, answered: true},
		feature: "Watch/cancel",
		settle:  true,
		observe: func(outcome) { delete(g.slots[n].open, id) },
	}
}

func (g *generator) watchProgress() planned {
	n := g.slot()
	if n < 0 {
		return g.watchReset()
	}
	blocked := g.slots[n].blocksProgress(g.rev)
	if blocked {
		g.mark("watch/progress-withheld")
	}
	return planned{step: watchProgress{slot: n, answered: !blocked, revision: g.rev}, feature: "Watch/progress", settle: true}
}

// watchOdd sends what a server must take without a reply.
func (g *generator) watchOdd() planned {
	n := g.slot()
	if n < 0 {
		return g.watchReset()
	}
	r := &pb.WatchRequest{}
	if g.marked(50, "watch/unknown-union-member") {
		unknown := protowire.AppendTag(nil, 15, protowire.BytesType)
		r.ProtoReflect().SetUnknown(protowire.AppendBytes(unknown, []byte("x")))
	}
	return planned{step: watchSilent{slot: n, req: r}, feature: "Watch/ignored-request"}
}

func (g *generator) watchReset() planned {
	n := g.rng.IntN(streamSlots)
	return planned{
		step: watchReset{slot: n}, feature: "Watch/new-stream", settle: true,
		observe: func(outcome) { g.slots[n] = newSlot() },
	}
}

func (g *generator) watchHalfClose() planned {
	n := g.slot()
	if n < 0 {
		return g.watchReset()
	}
	return planned{
		step: watchHalfClose{slot: n}, feature: "Watch/half-close",
		observe: func(outcome) { g.slots[n].halfClosed = true },
	}
}
