// Package kubernetes holds the requests of kube-apiserver, 1.30 to 1.37, in their
// exact shapes, and the properties of the replies that it depends on.
package kubernetes

import (
	"context"
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"mainstay.dev/tests/interop/suite/harness"
)

// limit bounds each wait of a test.
const limit = 20 * time.Second

// notifyEvery is --watch-progress-notify-interval, kubeadm has 5s.
const notifyEvery = 300 * time.Millisecond

// apiserver talks to one server as kube-apiserver does.
type apiserver struct {
	*testing.T
	ctx    context.Context
	server *harness.Server
	*harness.Client
}

// each runs a test against upstream and against the server under test, each on a
// fresh store.
func each(t *testing.T, test func(a *apiserver)) {
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		s := harness.Start(t, bin, harness.Options{Args: []string{
			"--snapshot-count=10000",
			"--feature-gates=InitialCorruptCheck=true",
			fmt.Sprintf("--watch-progress-notify-interval=%s", notifyEvery),
		}})
		test(&apiserver{T: t, ctx: harness.Context(t, 2*time.Minute), server: s, Client: s.Client(t)})
	})
}

func (a *apiserver) must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

func (a *apiserver) get(key string, rev int64) *pb.RangeResponse {
	a.Helper()
	r, err := a.KV.Range(a.ctx, &pb.RangeRequest{Key: []byte(key), Limit: 1, Revision: rev})
	a.must(err)
	return r
}

func (a *apiserver) list(from, to string, limit, rev int64) *pb.RangeResponse {
	a.Helper()
	r, err := a.KV.Range(a.ctx, &pb.RangeRequest{Key: []byte(from), RangeEnd: []byte(to), Limit: limit, Revision: rev})
	a.must(err)
	return r
}

// optimisticPut is "if the key is still at mod, put". With onConflict the current
// pair comes back otherwise.
func (a *apiserver) optimisticPut(key, value string, mod, lease int64, onConflict bool) *pb.TxnResponse {
	a.Helper()
	r := &pb.TxnRequest{
		Compare: []*pb.Compare{modEquals(key, mod)},
		Success: []*pb.RequestOp{putOp(key, value, lease)},
	}
	if onConflict {
		r.Failure = []*pb.RequestOp{getOp(key)}
	}
	resp, err := a.KV.Txn(a.ctx, r)
	a.must(err)
	return resp
}

// create puts a new key and returns its revision.
func (a *apiserver) create(key, value string) int64 {
	a.Helper()
	r := a.optimisticPut(key, value, 0, 0, false)
	if !r.Succeeded {
		a.Fatalf("create %s: exists", key)
	}
	return r.Header.Revision
}

func (a *apiserver) optimisticDelete(key string, mod int64) *pb.TxnResponse {
	a.Helper()
	resp, err := a.KV.Txn(a.ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{modEquals(key, mod)},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}}}},
		Failure: []*pb.RequestOp{getOp(key)},
	})
	a.must(err)
	return resp
}

func modEquals(key string, mod int64) *pb.Compare {
	return &pb.Compare{Result: pb.Compare_EQUAL, Target: pb.Compare_MOD, Key: []byte(key), TargetUnion: &pb.Compare_ModRevision{ModRevision: mod}}
}

func putOp(key, value string, lease int64) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(value), Lease: lease}}}
}

func getOp(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key)}}}
}

// watch opens a stream as the apiserver's cacher does.
func (a *apiserver) watch(prefix, end string, rev int64) pb.Watch_WatchClient {
	a.Helper()
	ctx := metadata.AppendToOutgoingContext(a.ctx, "hasleader", "true")
	w, err := a.Watch.Watch(ctx)
	a.must(err)
	a.must(w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: []byte(prefix), RangeEnd: []byte(end), StartRevision: rev, PrevKv: true, ProgressNotify: true,
	}}}))
	created := a.next(w)
	if !created.Created || created.Canceled || created.WatchId != 0 || len(created.Events) > 0 {
		a.Fatalf("created reply: %v", created)
	}
	return w
}

// next receives one reply within the limit.
func (a *apiserver) next(w pb.Watch_WatchClient) *pb.WatchResponse {
	a.Helper()
	type result struct {
		r   *pb.WatchResponse
		err error
	}
	got := make(chan result, 1)
	go func() {
		r, err := w.Recv()
		got <- result{r, err}
	}()
	select {
	case r := <-got:
		a.must(r.err)
		return r.r
	case <-time.After(limit):
		a.Fatal("no watch reply")
		return nil
	}
}

// nextEvents skips progress replies.
func (a *apiserver) nextEvents(w pb.Watch_WatchClient) *pb.WatchResponse {
	a.Helper()
	for {
		if r := a.next(w); len(r.Events) > 0 || r.Canceled {
			return r
		}
	}
}

func (a *apiserver) wantError(err error, code codes.Code, text string) {
	a.Helper()
	if st := status.Convert(err); st.Code() != code || st.Message() != text {
		a.Fatalf("got %s %q, want %s %q", st.Code(), st.Message(), code, text)
	}
}

const (
	compactedText = "etcdserver: mvcc: required revision has been compacted"
	futureText    = "etcdserver: mvcc: required revision is a future revision"
)
