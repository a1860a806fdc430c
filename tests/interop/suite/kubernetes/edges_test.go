package kubernetes

import (
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"mainstay.dev/tests/interop/suite/harness"
)

var askProgress = &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}

// TestOneStepForEachTxn: the revision grows by one for a txn that writes, whatever
// it writes, and not at all for one that does not.
func TestOneStepForEachTxn(t *testing.T) {
	each(t, func(a *apiserver) {
		first := a.create("/registry/pods/a", "1")
		many := &pb.TxnRequest{}
		for i := range 50 {
			many.Success = append(many.Success, putOp(fmt.Sprintf("/registry/pods/%d", i), "x", 0))
		}
		steps := []struct {
			what string
			txn  *pb.TxnRequest
			want int64
		}{
			{"50 puts", many, first + 1},
			{"a conflict", putTxn("/registry/pods/a", "2", 77, true), first + 1},
			{"a read", &pb.TxnRequest{Success: []*pb.RequestOp{getOp("/registry/pods/a")}}, first + 1},
			{"a delete of nothing", deleteTxn("/registry/pods/none", 0), first + 1},
			{"the same value again", putTxn("/registry/pods/a", "1", first, true), first + 2},
		}
		for _, s := range steps {
			r, err := a.KV.Txn(a.ctx, s.txn)
			a.must(err)
			if r.Header.Revision != s.want {
				a.Fatalf("%s: revision %d, want %d", s.what, r.Header.Revision, s.want)
			}
		}
		if r := a.get("/registry/pods/a", 0); r.Header.Revision != first+2 || r.Kvs[0].Version != 2 {
			a.Fatalf("%v", r)
		}
	})
}

// TestProgressUnderLoad: whatever else goes on, after progress at a revision no
// watcher of the stream gets an event at or below it.
func TestProgressUnderLoad(t *testing.T) {
	each(t, func(a *apiserver) {
		const writes = 600
		w := a.watch("/registry/pods/", "/registry/pods0", 1)
		a.must(w.Send(create(&pb.WatchCreateRequest{Key: []byte("/registry/nodes/"), RangeEnd: []byte("/registry/nodes0"), StartRevision: 1, PrevKv: true})))
		if second := a.next(w); !second.Created || second.WatchId != 1 {
			a.Fatalf("%v", second)
		}
		failed := make(chan error, 1)
		go func() {
			defer close(failed)
			for i := range writes {
				key := fmt.Sprintf("/registry/%s/%d", []string{"pods", "nodes", "other"}[i%3], i%20)
				if _, err := a.KV.Put(a.ctx, &pb.PutRequest{Key: []byte(key), Value: []byte("x")}); err != nil {
					failed <- err
					return
				}
				if err := w.Send(askProgress); err != nil {
					failed <- err
					return
				}
			}
		}()
		told, seen, last := int64(0), 0, map[int64]int64{}
		for seen < writes*2/3 {
			r := a.next(w)
			if r.WatchId == -1 {
				told = max(told, r.Header.Revision)
				continue
			}
			for _, e := range r.Events {
				if e.Kv.ModRevision <= told || e.Kv.ModRevision <= last[r.WatchId] {
					a.Fatalf("watcher %d: revision %d after %d, and progress at %d", r.WatchId, e.Kv.ModRevision, last[r.WatchId], told)
				}
				last[r.WatchId] = e.Kv.ModRevision
				seen++
			}
		}
		a.must(<-failed)
		// Late answers to requests under load may come first.
		for end := int64(0); end != writes+1; {
			if end = a.progress(w).Header.Revision; end > writes+1 {
				a.Fatalf("progress at %d", end)
			}
		}
		if told == 0 {
			a.Fatal("no progress during the load")
		}
	})
}

// TestProgressWaitsForTheFuture: a watcher that begins later than now is not in
// step, so nothing is said about the stream.
func TestProgressWaitsForTheFuture(t *testing.T) {
	each(t, func(a *apiserver) {
		rev := a.create("/registry/pods/a", "1")
		w := a.watch("/registry/pods/", "/registry/pods0", 0)
		a.must(w.Send(create(&pb.WatchCreateRequest{Key: []byte("/registry/pods/b"), StartRevision: rev + 3})))
		if second := a.next(w); !second.Created {
			a.Fatalf("%v", second)
		}
		a.must(w.Send(askProgress))
		// Created comes after the request was taken, events after any answer to it.
		a.must(w.Send(create(&pb.WatchCreateRequest{Key: []byte("/registry/pods/c"), StartRevision: rev + 3})))
		for created := false; !created; {
			r := a.next(w)
			if r.WatchId == -1 {
				a.Fatalf("progress at %d", r.Header.Revision)
			}
			created = r.Created
		}
		a.create("/registry/pods/b", "too early for its own watcher")
		for events := 0; events == 0; {
			r := a.next(w)
			if r.WatchId == -1 || r.WatchId == 1 {
				a.Fatalf("%v", r)
			}
			events = len(r.Events)
		}
		a.create("/registry/pods/d", "1")
		now := a.create("/registry/pods/e", "1")
		if r := a.progress(w); r.Header.Revision != now {
			a.Fatalf("%v", r)
		}
	})
}

// TestNoLeader: a watch that asked for a leader ends when there is none for about
// three election timeouts, one that did not ask goes on.
func TestNoLeader(t *testing.T) {
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		cluster := harness.StartCluster(t, nil, bin, bin, bin)
		s := cluster.Members[0]
		a := &apiserver{T: t, ctx: harness.Context(t, time.Minute), server: s, Client: s.Client(t)}
		asking := a.watch("/registry/pods/", "/registry/pods0", 0)
		other, err := a.Watch.Watch(a.ctx)
		a.must(err)
		a.must(other.Send(create(&pb.WatchCreateRequest{Key: []byte("/registry/pods/a")})))
		if r := a.next(other); !r.Created {
			a.Fatalf("%v", r)
		}
		cluster.Members[1].Kill()
		cluster.Members[2].Kill()
		for err == nil {
			_, err = asking.Recv()
		}
		a.wantError(err, codes.Unavailable, "etcdserver: no leader")
		// A new one that asks is refused at once, on a connection that works.
		again, err := a.Watch.Watch(metadata.AppendToOutgoingContext(a.ctx, "hasleader", "true"))
		a.must(err)
		_, err = again.Recv()
		a.wantError(err, codes.Unavailable, "etcdserver: no leader")
		_, err = a.KV.Range(metadata.AppendToOutgoingContext(a.ctx, "hasleader", "true"), &pb.RangeRequest{Key: []byte("k"), Serializable: true})
		a.wantError(err, codes.Unavailable, "etcdserver: no leader")
		// The first two come back; the one that did not ask sees their writes.
		cluster.Revive(1, bin)
		_, err = a.KV.Put(a.ctx, &pb.PutRequest{Key: []byte("/registry/pods/a")})
		for status.Code(err) == codes.Unavailable && a.ctx.Err() == nil {
			_, err = a.KV.Put(a.ctx, &pb.PutRequest{Key: []byte("/registry/pods/a")})
		}
		a.must(err)
		if r := a.nextEvents(other); len(r.Events) == 0 {
			a.Fatalf("%v", r)
		}
	})
}
