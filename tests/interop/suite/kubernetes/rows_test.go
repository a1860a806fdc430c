package kubernetes

import (
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	k8s "go.etcd.io/etcd/client/v3/kubernetes"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// create wraps a create request.
func create(r *pb.WatchCreateRequest) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}
}

// revision reads an absent key for the revision of the store.
func (t *table) revision(key string, want int64) {
	t.Helper()
	r, err := t.client.Kubernetes.Get(t.ctx, key, k8s.GetOptions{})
	t.must(err)
	if r.Revision != want || r.KV != nil {
		t.Fatalf("%+v", r)
	}
}

func (t *table) value(key string, at int64, want string) {
	t.Helper()
	r, err := t.client.Kubernetes.Get(t.ctx, key, k8s.GetOptions{Revision: at})
	t.must(err)
	if string(r.KV.GetValue()) != want {
		t.Fatalf("%+v", r)
	}
}

func (t *table) list(from string, limit, at, count int64, want ...string) {
	t.Helper()
	r, err := t.client.Kubernetes.List(t.ctx, pods, k8s.ListOptions{Continue: from, Limit: limit, Revision: at})
	t.must(err)
	var keys []string
	for _, kv := range r.Kvs {
		keys = append(keys, string(kv.Key))
	}
	if r.Revision != 4 || r.Count != count || fmt.Sprint(keys) != fmt.Sprint(want) {
		t.Fatalf("%+v", r)
	}
}

func (t *table) count() {
	t.Helper()
	n, err := t.client.Kubernetes.Count(t.ctx, pods, k8s.CountOptions{})
	t.must(err)
	if n != 2 {
		t.Fatalf("%d", n)
	}
}

func (t *table) keys() {
	t.Helper()
	r, err := t.client.KV.Get(t.ctx, pods, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	t.must(err)
	if r.Count != 2 || len(r.Kvs) != 2 || r.Kvs[0].Value != nil || r.Kvs[0].ModRevision != 3 {
		t.Fatalf("%+v", r)
	}
}

func (t *table) streamed(want int, opts ...clientv3.OpOption) {
	t.Helper()
	stream, err := t.client.GetStream(t.ctx, pods, opts...)
	t.must(err)
	r, err := clientv3.GetStreamToGetResponse(stream)
	t.must(err)
	if len(r.Kvs) != want || r.Count != int64(want) || r.More || r.Header.GetRevision() != 4 {
		t.Fatalf("%+v", r)
	}
}

func (t *table) put(key, value string, mod int64, onConflict, succeeds bool, revision int64) {
	t.Helper()
	r, err := t.client.Kubernetes.OptimisticPut(t.ctx, key, []byte(value), mod, k8s.PutOptions{GetOnFailure: onConflict})
	t.must(err)
	if r.Succeeded != succeeds || r.Revision != revision || (r.KV != nil) != (onConflict && !succeeds) {
		t.Fatalf("%+v", r)
	}
}

func (t *table) remove(key string, mod int64, succeeds bool, revision int64) {
	t.Helper()
	r, err := t.client.Kubernetes.OptimisticDelete(t.ctx, key, mod, k8s.DeleteOptions{GetOnFailure: true})
	t.must(err)
	if r.Succeeded != succeeds || r.Revision != revision || (r.KV != nil) == succeeds {
		t.Fatalf("%+v", r)
	}
}

func putTxn(key, value string, mod int64, onConflict bool) *pb.TxnRequest {
	r := &pb.TxnRequest{Compare: []*pb.Compare{modEquals(key, mod)}, Success: []*pb.RequestOp{putOp(key, value, 0)}}
	if onConflict {
		r.Failure = []*pb.RequestOp{getOp(key)}
	}
	return r
}

func deleteTxn(key string, mod int64) *pb.TxnRequest {
	return &pb.TxnRequest{
		Compare: []*pb.Compare{modEquals(key, mod)},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}}}},
		Failure: []*pb.RequestOp{getOp(key)},
	}
}

func (t *table) grant(seconds int64) {
	t.Helper()
	r, err := t.client.Grant(t.ctx, seconds)
	t.must(err)
	if r.TTL != seconds || r.ID <= 0 || r.Revision != 5 {
		t.Fatalf("%+v", r)
	}
	t.lease = r.ID
}

func (t *table) putLeased() {
	t.Helper()
	const key = "/registry/events/ns/e"
	r, err := t.client.Kubernetes.OptimisticPut(t.ctx, key, []byte("x"), 0, k8s.PutOptions{LeaseID: t.lease})
	t.must(err)
	if !r.Succeeded || r.Revision != 6 {
		t.Fatalf("%+v", r)
	}
}

// compactTxn is one round of the agreement on who compacts.
func compactTxn(version int64, revision string) *pb.TxnRequest {
	return &pb.TxnRequest{
		Compare: []*pb.Compare{{Result: pb.Compare_EQUAL, Target: pb.Compare_VERSION, Key: []byte(compactKey), TargetUnion: &pb.Compare_Version{Version: version}}},
		Success: []*pb.RequestOp{putOp(compactKey, revision, 0)},
		Failure: []*pb.RequestOp{getOp(compactKey)},
	}
}

func (t *table) compactRound(version int64, revision string, wins bool) {
	t.Helper()
	r, err := t.client.KV.Txn(t.ctx).
		If(clientv3.Compare(clientv3.Version(compactKey), "=", version)).
		Then(clientv3.OpPut(compactKey, revision)).
		Else(clientv3.OpGet(compactKey)).
		Commit()
	t.must(err)
	if r.Succeeded != wins {
		t.Fatalf("%+v", r)
	}
	if !wins {
		if kv := r.Responses[0].GetResponseRange().Kvs[0]; kv.Version != 1 || string(kv.Value) != "0" {
			t.Fatalf("%+v", r)
		}
	}
}

func (t *table) compactNow() {
	t.Helper()
	r, err := t.client.Compact(t.ctx, 3)
	t.must(err)
	if r.Header.Revision != 8 {
		t.Fatalf("%+v", r)
	}
}

func (t *table) listCompacted() {
	t.Helper()
	_, err := t.KV.Range(t.ctx, &pb.RangeRequest{Key: []byte(pods), RangeEnd: []byte(podsEnd), Limit: 500, Revision: 2})
	t.wantError(err, codes.OutOfRange, compactedText)
	if _, err = t.client.Kubernetes.List(t.ctx, pods, k8s.ListOptions{Limit: 500, Revision: 2}); err == nil || err.Error() != compactedText {
		t.Fatalf("%v", err)
	}
}

func (t *table) status() {
	t.Helper()
	r, err := t.client.Status(t.ctx, t.server.Addr)
	t.must(err)
	if r.Version != "3.7.1" || r.DbSize <= 0 || r.Leader != r.Header.MemberId {
		t.Fatalf("%+v", r)
	}
}

// openWatch watches as the cacher does after a list at revision 1.
func (t *table) openWatch() {
	t.Helper()
	ctx := clientv3.WithRequireLeader(t.ctx)
	opts := []clientv3.OpOption{clientv3.WithRev(2), clientv3.WithPrevKV(), clientv3.WithProgressNotify(), clientv3.WithPrefix(), clientv3.WithCreatedNotify()}
	t.watch = t.client.Watch(ctx, pods, opts...)
	if first := t.nextWatch(t.watch); !first.Created {
		t.Fatalf("%+v", first)
	}
}

func (t *table) watchCompactions() {
	t.Helper()
	w := t.client.Watch(t.ctx, compactKey, clientv3.WithRev(7), clientv3.WithCreatedNotify())
	if first := t.nextWatch(w); !first.Created {
		t.Fatalf("%+v", first)
	}
	t.compactions = w
}

func (t *table) nextWatch(w clientv3.WatchChan) clientv3.WatchResponse {
	t.Helper()
	select {
	case r, open := <-w:
		if !open {
			t.Fatal("the watch ended")
		}
		t.must(r.Err())
		return r
	case <-time.After(limit):
		t.Fatal("no watch reply")
		return clientv3.WatchResponse{}
	}
}

// watched looks at what the two watches brought, and asks for progress on the
// stream of the first.
func (t *table) watched() {
	t.Helper()
	a1 := &mvccpb.KeyValue{Key: []byte(pod), Value: []byte("1"), CreateRevision: 2, ModRevision: 2, Version: 1}
	a2 := &mvccpb.KeyValue{Key: []byte(pod), Value: []byte("2"), CreateRevision: 2, ModRevision: 3, Version: 2}
	b := &mvccpb.KeyValue{Key: []byte(pods + "ns/b"), Value: []byte("1"), CreateRevision: 4, ModRevision: 4, Version: 1}
	gone := &mvccpb.KeyValue{Key: []byte(pod), ModRevision: 5}
	t.events(t.watch, []*mvccpb.Event{{Kv: a1}, {Kv: a2, PrevKv: a1}, {Kv: b}, {Type: mvccpb.Event_DELETE, Kv: gone, PrevKv: a2}})
	c1 := &mvccpb.KeyValue{Key: []byte(compactKey), Value: []byte("0"), CreateRevision: 7, ModRevision: 7, Version: 1}
	c2 := &mvccpb.KeyValue{Key: []byte(compactKey), Value: []byte("3"), CreateRevision: 7, ModRevision: 8, Version: 2}
	t.events(t.compactions, []*mvccpb.Event{{Kv: c1}, {Kv: c2}})

	t.must(t.client.RequestProgress(clientv3.WithRequireLeader(t.ctx)))
	for {
		if r := t.nextWatch(t.watch); !r.IsProgressNotify() || r.Header.Revision > 8 {
			t.Fatalf("%+v", r)
		} else if r.Header.Revision == 8 {
			break
		}
	}
	t.client.mu.Lock()
	defer t.client.mu.Unlock()
	progress := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
	if sent := t.stream.sent; len(sent) != 2 || !proto.Equal(sent[1], progress) {
		t.Fatalf("sent on the stream: %v", sent)
	}
}

func (t *table) events(w clientv3.WatchChan, want []*mvccpb.Event) {
	t.Helper()
	var got []*clientv3.Event
	for len(got) < len(want) {
		got = append(got, t.nextWatch(w).Events...)
	}
	for i := range want {
		if !proto.Equal((*mvccpb.Event)(got[i]), want[i]) {
			t.Fatalf("event %d: %v, want %v", i, got[i], want[i])
		}
	}
}
