package kubernetes

import (
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
)

func TestOptimisticPut(t *testing.T) {
	each(t, func(a *apiserver) {
		const key = "/registry/configmaps/ns/c"
		rev := a.create(key, "1")
		again := a.optimisticPut(key, "2", 0, 0, false)
		if again.Succeeded || len(again.Responses) != 0 || again.Header.Revision != rev {
			a.Fatalf("second create: %v", again)
		}
		update := a.optimisticPut(key, "2", rev, 0, true)
		// 1.30 and 1.31 read the revision from the inner header.
		if !update.Succeeded || update.Responses[0].GetResponsePut().Header.Revision != rev+1 || update.Header.Revision != rev+1 {
			a.Fatalf("update: %v", update)
		}
		conflict := a.optimisticPut(key, "3", rev, 0, true)
		got := conflict.Responses[0].GetResponseRange()
		if conflict.Succeeded || got.Count != 1 || string(got.Kvs[0].Value) != "2" || got.Kvs[0].Version != 2 || got.Header.Revision != rev+1 {
			a.Fatalf("conflict: %v", conflict)
		}
		if gone := a.optimisticPut("/registry/configmaps/ns/none", "x", 7, 0, true); gone.Succeeded || gone.Responses[0].GetResponseRange().Count != 0 {
			a.Fatalf("update of an absent key: %v", gone)
		}
	})
}

func TestOptimisticDelete(t *testing.T) {
	each(t, func(a *apiserver) {
		const key = "/registry/secrets/ns/s"
		rev := a.create(key, "1")
		wrong := a.optimisticDelete(key, rev+5)
		if wrong.Succeeded || wrong.Responses[0].GetResponseRange().Kvs[0].ModRevision != rev || wrong.Header.Revision != rev {
			a.Fatalf("conflict: %v", wrong)
		}
		right := a.optimisticDelete(key, rev)
		if !right.Succeeded || right.Responses[0].GetResponseDeleteRange().Deleted != 1 || right.Header.Revision != rev+1 {
			a.Fatalf("delete: %v", right)
		}
		if r := a.get(key, rev); r.Count != 1 || r.Header.Revision != rev+1 {
			a.Fatalf("read before the deletion: %v", r)
		}
	})
}

// compactAs is what one apiserver does every five minutes: it wins or loses the
// right to compact by the version of compact_rev_key.
func (a *apiserver) compactAs(version int64, rev string) *pb.TxnResponse {
	a.Helper()
	r, err := a.KV.Txn(a.ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{{Result: pb.Compare_EQUAL, Target: pb.Compare_VERSION, Key: []byte("compact_rev_key"), TargetUnion: &pb.Compare_Version{Version: version}}},
		Success: []*pb.RequestOp{putOp("compact_rev_key", rev, 0)},
		Failure: []*pb.RequestOp{getOp("compact_rev_key")},
	})
	a.must(err)
	return r
}

func TestCompaction(t *testing.T) {
	each(t, func(a *apiserver) {
		rev := a.fill(20)
		own := a.watch("compact_rev_key", "", rev+1)
		if r := a.compactAs(0, "0"); !r.Succeeded {
			a.Fatalf("first round: %v", r)
		}
		if r := a.compactAs(0, "0"); r.Succeeded || r.Responses[0].GetResponseRange().Kvs[0].Version != 1 {
			a.Fatalf("the loser: %v", r)
		}
		if r := a.compactAs(1, fmt.Sprint(rev)); !r.Succeeded {
			a.Fatalf("second round: %v", r)
		}
		for _, want := range []string{"0", fmt.Sprint(rev)} {
			if r := a.nextEvents(own); string(r.Events[0].Kv.Value) != want {
				a.Fatalf("event on compact_rev_key: %v", r)
			}
		}
		done, err := a.KV.Compact(a.ctx, &pb.CompactionRequest{Revision: rev})
		a.must(err)
		if done.Header.Revision != rev+2 {
			a.Fatalf("compact: %v", done)
		}
		_, err = a.KV.Compact(a.ctx, &pb.CompactionRequest{Revision: rev})
		a.wantError(err, codes.OutOfRange, compactedText)
		_, err = a.KV.Range(a.ctx, &pb.RangeRequest{Key: []byte("/registry/pods/"), RangeEnd: []byte("/registry/pods0"), Limit: 500, Revision: rev - 1})
		a.wantError(err, codes.OutOfRange, compactedText)
		if r := a.list("/registry/pods/", "/registry/pods0", 500, rev); r.Count != 20 {
			a.Fatalf("at the compacted revision: %v", r)
		}
		_, err = a.KV.Range(a.ctx, &pb.RangeRequest{Key: []byte("/registry/pods/"), Limit: 1, Revision: rev + 100})
		a.wantError(err, codes.OutOfRange, futureText)
	})
}

// TestLeaseExpiry: the apiserver never revokes; events and endpoints go away
// because the server expires their leases.
func TestLeaseExpiry(t *testing.T) {
	each(t, func(a *apiserver) {
		granted, err := a.Lease.LeaseGrant(a.ctx, &pb.LeaseGrantRequest{TTL: 2})
		a.must(err)
		if granted.TTL != 2 || granted.ID <= 0 {
			a.Fatalf("%v", granted)
		}
		for i := range 5 {
			if r := a.optimisticPut(fmt.Sprintf("/registry/events/e%d", i), "x", 0, granted.ID, false); !r.Succeeded {
				a.Fatalf("%v", r)
			}
		}
		start := time.Now()
		w := a.watch("/registry/events/", "/registry/events0", 0)
		r := a.nextEvents(w)
		if len(r.Events) != 5 {
			a.Fatalf("%d events at once, want 5: %v", len(r.Events), r)
		}
		for i, e := range r.Events {
			if e.Type != mvccpb.Event_DELETE || e.Kv.ModRevision != 7 || string(e.Kv.Key) != fmt.Sprintf("/registry/events/e%d", i) || e.PrevKv.GetLease() != granted.ID {
				a.Fatalf("event %d: %v", i, e)
			}
		}
		if age := time.Since(start); age < time.Second || age > 6*time.Second {
			a.Fatalf("expired after %s", age)
		}
		ttl, err := a.Lease.LeaseTimeToLive(a.ctx, &pb.LeaseTimeToLiveRequest{ID: granted.ID})
		a.must(err)
		if ttl.TTL != -1 {
			a.Fatalf("%v", ttl)
		}
	})
}

func TestTooLarge(t *testing.T) {
	each(t, func(a *apiserver) {
		_, err := a.KV.Txn(a.ctx, &pb.TxnRequest{Success: []*pb.RequestOp{putOp("/registry/secrets/big", string(make([]byte, 1572864)), 0)}})
		a.wantError(err, codes.InvalidArgument, "etcdserver: request is too large")
		_, err = a.KV.Put(a.ctx, &pb.PutRequest{Key: []byte("k"), Value: make([]byte, 2097152)})
		a.wantError(err, codes.ResourceExhausted, "grpc: received message larger than max (2097160 vs. 2097152)")
	})
}
