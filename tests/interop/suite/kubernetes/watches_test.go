package kubernetes

import (
	"context"
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

func TestWatchEvents(t *testing.T) {
	each(t, func(a *apiserver) {
		const key = "/registry/pods/p"
		first := a.create(key, "1")
		w := a.watch("/registry/pods/", "/registry/pods0", first)
		second := a.optimisticPut(key, "2", first, 0, true).Header.Revision
		third := a.optimisticDelete(key, second).Header.Revision
		v1 := &mvccpb.KeyValue{Key: []byte(key), Value: []byte("1"), CreateRevision: first, ModRevision: first, Version: 1}
		v2 := &mvccpb.KeyValue{Key: []byte(key), Value: []byte("2"), CreateRevision: first, ModRevision: second, Version: 2}
		gone := &mvccpb.KeyValue{Key: []byte(key), ModRevision: third}
		want := []*mvccpb.Event{{Kv: v1}, {Kv: v2, PrevKv: v1}, {Type: mvccpb.Event_DELETE, Kv: gone, PrevKv: v2}}
		var got []*mvccpb.Event
		for len(got) < len(want) {
			got = append(got, a.nextEvents(w).Events...)
		}
		for i := range want {
			if !proto.Equal(got[i], want[i]) {
				a.Fatalf("event %d: %v, want %v", i, got[i], want[i])
			}
		}
	})
}

// TestPreviousValueAtTheCompactedRevision: a watcher that begins just above the
// compacted revision still gets previous values.
func TestPreviousValueAtTheCompactedRevision(t *testing.T) {
	each(t, func(a *apiserver) {
		const key = "/registry/pods/p"
		first := a.create(key, "1")
		second := a.optimisticPut(key, "2", first, 0, true).Header.Revision
		third := a.optimisticDelete(key, second).Header.Revision
		_, err := a.KV.Compact(a.ctx, &pb.CompactionRequest{Revision: first, Physical: true})
		a.must(err)
		w := a.watch("/registry/pods/", "/registry/pods0", second)
		var got []*mvccpb.Event
		for len(got) < 2 {
			got = append(got, a.nextEvents(w).Events...)
		}
		if string(got[0].PrevKv.GetValue()) != "1" || got[1].Kv.ModRevision != third || string(got[1].PrevKv.GetValue()) != "2" {
			a.Fatalf("%v", got)
		}
	})
}

func TestWatchBelowCompaction(t *testing.T) {
	each(t, func(a *apiserver) {
		rev := a.fill(10)
		_, err := a.KV.Compact(a.ctx, &pb.CompactionRequest{Revision: rev})
		a.must(err)
		w := a.watch("/registry/pods/", "/registry/pods0", rev-3)
		r := a.nextEvents(w)
		if !r.Canceled || r.CompactRevision != rev || r.CancelReason != "" || r.Header.Revision != 0 {
			a.Fatalf("%v", r)
		}
	})
}

// progress asks until there is an answer; a server may drop requests while a
// watcher catches up.
func (a *apiserver) progress(w pb.Watch_WatchClient) *pb.WatchResponse {
	a.Helper()
	asking, stop := context.WithCancel(a.ctx)
	defer stop()
	a.must(w.Send(askProgress))
	go func() {
		for {
			select {
			case <-asking.Done():
				return
			case <-time.After(100 * time.Millisecond):
				_ = w.Send(askProgress)
			}
		}
	}()
	for {
		if r := a.next(w); r.WatchId == -1 {
			return r
		}
	}
}

// TestProgress: a reply to a request says that everything up to its revision was
// sent on the stream, so that reads can be answered from memory.
func TestProgress(t *testing.T) {
	each(t, func(a *apiserver) {
		w := a.watch("/registry/pods/", "/registry/pods0", 0)
		for i := range 30 {
			rev := a.create(fmt.Sprintf("/registry/other/%d", i), "x")
			if r := a.progress(w); r.Header.Revision != rev || len(r.Events) > 0 || r.Canceled {
				a.Fatalf("progress at %d: %v", rev, r)
			}
		}
	})
}

func TestPeriodicProgress(t *testing.T) {
	each(t, func(a *apiserver) {
		w := a.watch("/registry/pods/", "/registry/pods0", 0)
		rev := a.create("/registry/other/1", "x")
		for {
			r := a.next(w)
			if r.WatchId != 0 || len(r.Events) > 0 {
				a.Fatalf("%v", r)
			}
			if r.Header.Revision == rev {
				return
			}
		}
	})
}

// TestOneRevisionInOneReply: without fragment, a revision is never split.
func TestOneRevisionInOneReply(t *testing.T) {
	each(t, func(a *apiserver) {
		w := a.watch("/registry/pods/", "/registry/pods0", 0)
		r := &pb.TxnRequest{}
		for i := range 120 {
			r.Success = append(r.Success, putOp(fmt.Sprintf("/registry/pods/%03d", i), string(make([]byte, 10000)), 0))
		}
		_, err := a.KV.Txn(a.ctx, r)
		a.must(err)
		for range 5 {
			_, err = a.KV.DeleteRange(a.ctx, &pb.DeleteRangeRequest{Key: []byte("/registry/pods/"), RangeEnd: []byte("/registry/pods0")})
			a.must(err)
			_, err = a.KV.Txn(a.ctx, r)
			a.must(err)
		}
		for i := range 11 {
			got, rev := a.nextEvents(w), int64(i+2)
			// A watcher that is behind gets the current revision in the header.
			if len(got.Events) != 120 || got.Fragment || got.Events[0].Kv.ModRevision != rev || got.Header.Revision < rev {
				a.Fatalf("reply %d: %d events, fragment %t, %v", i, len(got.Events), got.Fragment, got.Header)
			}
		}
		// The same from the past, where revisions may share a reply.
		late := a.watch("/registry/pods/", "/registry/pods0", 2)
		for seen := 0; seen < 11*120; {
			got := a.nextEvents(late)
			if len(got.Events)%120 != 0 || got.Fragment {
				a.Fatalf("%d events in a reply, fragment %t", len(got.Events), got.Fragment)
			}
			seen += len(got.Events)
		}
	})
}

// TestManyConnections: the apiserver has one connection and one watch stream for
// each resource.
func TestManyConnections(t *testing.T) {
	each(t, func(a *apiserver) {
		const resources = 150
		var streams []pb.Watch_WatchClient
		for i := range resources {
			one := *a
			one.Client = a.server.Client(a.T)
			streams = append(streams, one.watch(fmt.Sprintf("/registry/r%d/", i), fmt.Sprintf("/registry/r%d0", i), 0))
		}
		for i := range resources {
			a.create(fmt.Sprintf("/registry/r%d/o", i), "x")
		}
		for i, w := range streams {
			if r := a.nextEvents(w); len(r.Events) != 1 || r.Header.Revision != int64(i+2) {
				a.Fatalf("stream %d: %v", i, r)
			}
		}
	})
}
