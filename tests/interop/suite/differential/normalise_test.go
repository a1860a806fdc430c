package differential

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

type normalisationCase struct {
	name      string
	req, a, b proto.Message
	same      bool
}

// normalisationCases say what counts as a difference.
func normalisationCases() []normalisationCase {
	header := func(rev int64, term uint64) *pb.ResponseHeader {
		return &pb.ResponseHeader{ClusterId: 1, MemberId: 2, Revision: rev, RaftTerm: term}
	}
	kv := func(key string, version int64) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: []byte(key), Version: version}
	}
	byVersion := &pb.RangeRequest{SortTarget: pb.RangeRequest_VERSION}
	return []normalisationCase{
		{"other term", nil, &pb.PutResponse{Header: header(5, 2)}, &pb.PutResponse{Header: header(5, 3)}, true},
		{"no term", nil, &pb.PutResponse{Header: header(5, 2)}, &pb.PutResponse{Header: header(5, 0)}, false},
		{"other revision", nil, &pb.PutResponse{Header: header(5, 2)}, &pb.PutResponse{Header: header(6, 2)}, false},
		{"no header", nil, &pb.PutResponse{Header: header(5, 2)}, &pb.PutResponse{}, false},
		{"other type", nil, &pb.PutResponse{}, &pb.RangeResponse{}, false},
		{"second later", nil, &pb.LeaseTimeToLiveResponse{TTL: 10}, &pb.LeaseTimeToLiveResponse{TTL: 9}, true},
		{"two seconds later", nil, &pb.LeaseTimeToLiveResponse{TTL: 10}, &pb.LeaseTimeToLiveResponse{TTL: 8}, false},
		{"keys of a lease", nil, &pb.LeaseTimeToLiveResponse{Keys: [][]byte{{1}, {2}}}, &pb.LeaseTimeToLiveResponse{Keys: [][]byte{{2}, {1}}}, true},
		{"other key of a lease", nil, &pb.LeaseTimeToLiveResponse{Keys: [][]byte{{1}, {2}}}, &pb.LeaseTimeToLiveResponse{Keys: [][]byte{{1}, {3}}}, false},
		{"text with other spaces", nil, &pb.StatusResponse{Errors: []string{"memberID:1  alarm:NOSPACE"}}, &pb.StatusResponse{Errors: []string{"memberID:1 alarm:NOSPACE"}}, true},
		{
			"order of pairs", &pb.RangeRequest{},
			&pb.RangeResponse{Kvs: []*mvccpb.KeyValue{kv("a", 1), kv("b", 1)}}, &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{kv("b", 1), kv("a", 1)}}, false,
		},
		{
			"order among equal sort values", byVersion,
			&pb.RangeResponse{Kvs: []*mvccpb.KeyValue{kv("a", 1), kv("b", 1), kv("c", 2)}}, &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{kv("b", 1), kv("a", 1), kv("c", 2)}}, true,
		},
		{
			"order of different sort values", byVersion,
			&pb.RangeResponse{Kvs: []*mvccpb.KeyValue{kv("a", 1), kv("c", 2)}}, &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{kv("c", 2), kv("a", 1)}}, false,
		},
		{
			"which of equals a limit left", byVersion,
			&pb.RangeResponse{More: true, Kvs: []*mvccpb.KeyValue{kv("a", 1), kv("b", 2)}}, &pb.RangeResponse{More: true, Kvs: []*mvccpb.KeyValue{kv("a", 1), kv("c", 2)}}, true,
		},
		{
			"which of equals is there without a limit", byVersion,
			&pb.RangeResponse{Kvs: []*mvccpb.KeyValue{kv("a", 1), kv("b", 2)}}, &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{kv("a", 1), kv("c", 2)}}, false,
		},
	}
}

func TestNormalisation(t *testing.T) {
	for _, c := range normalisationCases() {
		if got := len(compareOutcomes(unary{req: c.req}, outcomeOf(c.a, nil), outcomeOf(c.b, nil))) == 0; got != c.same {
			t.Errorf("%s: equal is %t", c.name, got)
		}
	}
}
