package kubernetes

import (
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// call is one row of the table of what kube-apiserver sends.
type call struct {
	row string
	// do makes the call with upstream's client and judges what came back.
	do func(t *table)
	// method and want are what must have gone over the wire.
	method string
	want   []proto.Message
	leader bool
}

// table is one run of all rows on one server.
type table struct {
	*apiserver
	client *recorder
	// watch is the cacher's, compactions the one of compact_rev_key.
	watch, compactions clientv3.WatchChan
	// stream is what went over the stream of the first watch.
	stream *exchange
	// lease holds the id of the last lease.
	lease clientv3.LeaseID
	// replies are all replies that must be the same on both servers.
	replies []string
}

const (
	pods    = "/registry/pods/"
	podsEnd = "/registry/pods0"
	pod     = pods + "ns/a"
	// compactKey is where the apiservers agree on who compacts.
	compactKey = "compact_rev_key"
)

// calls are all calls of 1.30 to 1.37, in an order in which each has something to
// find. The store is fresh before the first.
var calls = []call{
	{row: "current revision, fresh store", do: func(t *table) { t.revision("/registry/pods", 1) }, method: "KV/Range",
		want: []proto.Message{&pb.RangeRequest{Key: []byte("/registry/pods"), Limit: 1}}},
	{row: "status at the start", do: (*table).status, method: "Maintenance/Status", want: []proto.Message{&pb.StatusRequest{}}},
	{row: "watch", do: (*table).openWatch, method: "Watch/Watch", leader: true,
		want: []proto.Message{create(&pb.WatchCreateRequest{Key: []byte(pods), RangeEnd: []byte(podsEnd), StartRevision: 2, PrevKv: true, ProgressNotify: true})}},
	{row: "create", do: func(t *table) { t.put(pod, "1", 0, false, true, 2) }, method: "KV/Txn",
		want: []proto.Message{putTxn(pod, "1", 0, false)}},
	{row: "create of what exists", do: func(t *table) { t.put(pod, "2", 0, false, false, 2) }, method: "KV/Txn",
		want: []proto.Message{putTxn(pod, "2", 0, false)}},
	{row: "update", do: func(t *table) { t.put(pod, "2", 2, true, true, 3) }, method: "KV/Txn",
		want: []proto.Message{putTxn(pod, "2", 2, true)}},
	{row: "update, conflict", do: func(t *table) { t.put(pod, "3", 2, true, false, 3) }, method: "KV/Txn",
		want: []proto.Message{putTxn(pod, "3", 2, true)}},
	{row: "get", do: func(t *table) { t.value(pod, 0, "2") }, method: "KV/Range",
		want: []proto.Message{&pb.RangeRequest{Key: []byte(pod), Limit: 1}}},
	{row: "get at a revision", do: func(t *table) { t.value(pod, 2, "1") }, method: "KV/Range",
		want: []proto.Message{&pb.RangeRequest{Key: []byte(pod), Limit: 1, Revision: 2}}},
	{row: "another", do: func(t *table) { t.put(pods+"ns/b", "1", 0, false, true, 4) }, method: "KV/Txn",
		want: []proto.Message{putTxn(pods+"ns/b", "1", 0, false)}},
	{row: "current revision", do: func(t *table) { t.revision("/registry/pods", 4) }, method: "KV/Range",
		want: []proto.Message{&pb.RangeRequest{Key: []byte("/registry/pods"), Limit: 1}}},
	{row: "current revision, before 1.33", do: func(t *table) { t.list("", 1, 0, 2, pod) }, method: "KV/Range",
		want: []proto.Message{&pb.RangeRequest{Key: []byte(pods), RangeEnd: []byte(podsEnd), Limit: 1}}},
	{row: "list, first page of the cacher", do: func(t *table) { t.list("", 10000, 0, 2, pod, pods+"ns/b") }, method: "KV/Range",
		want: []proto.Message{&pb.RangeRequest{Key: []byte(pods), RangeEnd: []byte(podsEnd), Limit: 10000}}},
	{row: "list at a revision", do: func(t *table) { t.list("", 500, 2, 1, pod) }, method: "KV/Range",
		want: []proto.Message{&pb.RangeRequest{Key: []byte(pods), RangeEnd: []byte(podsEnd), Limit: 500, Revision: 2}}},
	{row: "list, next page", do: func(t *table) { t.list(pod+"\x00", 500, 4, 1, pods+"ns/b") }, method: "KV/Range",
		want: []proto.Message{&pb.RangeRequest{Key: []byte(pod + "\x00"), RangeEnd: []byte(podsEnd), Limit: 500, Revision: 4}}},
	{row: "count", do: (*table).count, method: "KV/Range",
		want: []proto.Message{&pb.RangeRequest{Key: []byte(pods), RangeEnd: []byte(podsEnd), CountOnly: true}}},
	{row: "keys", do: (*table).keys, method: "KV/Range",
		want: []proto.Message{&pb.RangeRequest{Key: []byte(pods), RangeEnd: []byte(podsEnd), KeysOnly: true}}},
	{row: "range stream", do: func(t *table) { t.streamed(2, clientv3.WithPrefix()) }, method: "KV/RangeStream",
		want: []proto.Message{&pb.RangeRequest{Key: []byte(pods), RangeEnd: []byte(podsEnd)}}},
	{row: "range stream, revision and limit", do: func(t *table) { t.streamed(1, clientv3.WithPrefix(), clientv3.WithRev(3), clientv3.WithLimit(500)) }, method: "KV/RangeStream",
		want: []proto.Message{&pb.RangeRequest{Key: []byte(pods), RangeEnd: []byte(podsEnd), Revision: 3, Limit: 500}}},
	{row: "delete, conflict", do: func(t *table) { t.remove(pod, 2, false, 4) }, method: "KV/Txn", want: []proto.Message{deleteTxn(pod, 2)}},
	{row: "delete", do: func(t *table) { t.remove(pod, 3, true, 5) }, method: "KV/Txn", want: []proto.Message{deleteTxn(pod, 3)}},
	{row: "lease of a master", do: func(t *table) { t.grant(15) }, method: "Lease/LeaseGrant", want: []proto.Message{&pb.LeaseGrantRequest{TTL: 15}}},
	{row: "lease of events", do: func(t *table) { t.grant(3660) }, method: "Lease/LeaseGrant", want: []proto.Message{&pb.LeaseGrantRequest{TTL: 3660}}},
	{row: "create with a lease", do: (*table).putLeased, method: "KV/Txn"},
	{row: "watch of compactions", do: (*table).watchCompactions, method: "Watch/Watch",
		want: []proto.Message{create(&pb.WatchCreateRequest{Key: []byte(compactKey), StartRevision: 7})}},
	{row: "compaction, first round", do: func(t *table) { t.compactRound(0, "0", true) }, method: "KV/Txn", want: []proto.Message{compactTxn(0, "0")}},
	{row: "compaction, lost", do: func(t *table) { t.compactRound(0, "3", false) }, method: "KV/Txn", want: []proto.Message{compactTxn(0, "3")}},
	{row: "compaction, won", do: func(t *table) { t.compactRound(1, "3", true) }, method: "KV/Txn", want: []proto.Message{compactTxn(1, "3")}},
	{row: "compact", do: (*table).compactNow, method: "KV/Compact", want: []proto.Message{&pb.CompactionRequest{Revision: 3}}},
	{row: "list, compacted", do: (*table).listCompacted, method: "KV/Range",
		want: []proto.Message{&pb.RangeRequest{Key: []byte(pods), RangeEnd: []byte(podsEnd), Limit: 500, Revision: 2}}},
	{row: "status, size", do: (*table).status, method: "Maintenance/Status", want: []proto.Message{&pb.StatusRequest{}}},
}

// TestCallTable makes every call of the table on both servers. The requests must be
// those of the table, the replies what the apiserver needs, and the same on both.
func TestCallTable(t *testing.T) {
	var sides [][]string
	each(t, func(a *apiserver) {
		client, err := newRecorder(a.server.Addr)
		a.must(err)
		defer client.Close()
		run := &table{apiserver: a, client: client}
		for _, c := range calls {
			run.one(c)
		}
		run.watched()
		sides = append(sides, run.replies)
	})
	if len(sides) < 2 {
		return
	}
	t.Logf("%d calls, %d replies compared", len(calls), len(sides[0]))
	for i := range sides[0] {
		if sides[0][i] != sides[1][i] {
			t.Errorf("etcd:   %s\ntarget: %s", sides[0][i], sides[1][i])
		}
	}
}

// one makes a call and compares what was sent.
func (t *table) one(c call) {
	t.Helper()
	t.client.take()
	c.do(t)
	made := t.client.take()
	if len(made) != 1 || made[0].method != "/etcdserverpb."+c.method || made[0].leader != c.leader {
		t.Fatalf("%s: %d calls, %+v", c.row, len(made), made)
	}
	for i, want := range c.want {
		if i >= len(made[0].sent) || !proto.Equal(made[0].sent[i], want) {
			t.Fatalf("%s: sent %v, want %v", c.row, made[0].sent, want)
		}
	}
	if strings.HasSuffix(c.method, "/Watch") {
		if t.stream == nil {
			t.stream = made[0]
		}
		return
	}
	for _, m := range made[0].got {
		t.replies = append(t.replies, c.row+": "+t.plain(m))
	}
}

// plain shows a reply without what differs from server to server: term, raft's
// index, sizes, and ids that the server chooses.
func (t *table) plain(m proto.Message) string {
	switch m := m.(type) {
	case *pb.StatusResponse:
		m.RaftTerm, m.RaftIndex, m.RaftAppliedIndex, m.DbSize, m.DbSizeInUse = 0, 0, 0, 0, 0
		// It follows the cluster version some moments after the start.
		m.StorageVersion = ""
	case *pb.LeaseGrantResponse:
		m.ID = 0
	}
	if h, ok := m.(interface{ GetHeader() *pb.ResponseHeader }); ok && h.GetHeader() != nil {
		h.GetHeader().RaftTerm = 0
	}
	// The spacing of this format is not stable.
	return strings.Join(strings.Fields(prototext.MarshalOptions{}.Format(m)), " ")
}
