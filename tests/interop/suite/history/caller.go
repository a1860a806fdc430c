package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mainstay.dev/tests/interop/suite/harness"
)

// caller is one client with one call under way.
type caller struct {
	r          *Recorder
	api        *harness.Client
	member, id int
	rng        *rand.Rand
	// calls makes values unique.
	calls int
	// last is what the caller last saw of the key lastKey.
	last    Seen
	lastKey string
}

// call makes a random call and keeps it.
func (w *caller) call(ctx context.Context) {
	w.calls++
	op := Op{Client: w.id, Member: w.member, Key: w.r.key(w.rng), Value: fmt.Sprintf("%d.%d", w.id, w.calls)}
	switch n := w.rng.IntN(100); {
	case n < 40:
		op.Kind = Get
	case n < 65:
		op.Kind = Put
	case n < 75:
		op.Kind = Delete
	default:
		op.Kind = Swap
		// What one saw last is often still there; mostly a value that is not is of no use.
		if w.lastKey != "" {
			op.Key, op.Expect = w.lastKey, w.last.Value
		}
	}
	limit := callWait
	if w.rng.IntN(10) == 0 {
		limit = longCallWait
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if w.do(within, &op) {
		w.r.add(op)
	}
	if !op.Known {
		select {
		case <-ctx.Done():
		case <-time.After(refusedPause):
		}
	}
}

// once makes one call of a kind and keeps it.
func (w *caller) once(ctx context.Context, kind Kind, key string, limit time.Duration) Op {
	w.calls++
	op := Op{Client: w.id, Member: w.member, Kind: kind, Key: key, Value: fmt.Sprintf("%d.%d", w.id, w.calls)}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if w.do(ctx, &op) {
		w.r.add(op)
	}
	return op
}

// insist makes a call until there is an answer.
func (w *caller) insist(ctx context.Context, kind Kind, key string, limit time.Duration) error {
	for {
		op := w.once(ctx, kind, key, limit)
		if op.Known {
			return nil
		}
		select {
		case <-ctx.Done():
			return op.Err
		case <-time.After(refusedPause):
		}
	}
}

// do makes a call. It reports false if the call certainly never left.
func (w *caller) do(ctx context.Context, op *Op) bool {
	op.Call = w.r.Now()
	header, err := w.ask(ctx, op)
	op.Return = w.r.Now()
	if err != nil {
		op.Err = err
		return !neverLeft(err)
	}
	op.Known, op.Revision = true, header.Revision
	w.lastKey, w.last = op.Key, op.Before
	switch {
	case op.Kind == Put, op.Kind == Swap && op.Swapped:
		w.last = Seen{op.Value, op.Revision}
	case op.Kind == Delete:
		w.last = Seen{}
	}
	return true
}

func (w *caller) ask(ctx context.Context, op *Op) (*pb.ResponseHeader, error) {
	key := []byte(op.Key)
	put := &pb.PutRequest{Key: key, Value: []byte(op.Value), PrevKv: true}
	switch op.Kind {
	case Get:
		r, err := w.api.KV.Range(ctx, &pb.RangeRequest{Key: key, Serializable: w.r.serializable})
		op.Before = first(r.GetKvs())
		return r.GetHeader(), err
	case Put:
		r, err := w.api.KV.Put(ctx, put)
		op.Before = seen(r.GetPrevKv())
		return r.GetHeader(), err
	case Delete:
		r, err := w.api.KV.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: key, PrevKv: true})
		op.Before = first(r.GetPrevKvs())
		return r.GetHeader(), err
	}
	r, err := w.api.KV.Txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{holds(key, op.Expect)},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}},
	})
	if err != nil {
		return nil, err
	}
	op.Swapped = r.Succeeded
	if r.Succeeded {
		op.Before = seen(r.Responses[0].GetResponsePut().PrevKv)
	} else {
		op.Before = first(r.Responses[0].GetResponseRange().Kvs)
	}
	return r.Header, nil
}

// holds compares a key with a value, empty for no key.
func holds(key []byte, value string) *pb.Compare {
	if value == "" {
		return &pb.Compare{Key: key, Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{}}
	}
	return &pb.Compare{Key: key, Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte(value)}}
}

func first(kvs []*mvccpb.KeyValue) Seen {
	if len(kvs) == 0 {
		return Seen{}
	}
	return seen(kvs[0])
}

func seen(kv *mvccpb.KeyValue) Seen { return Seen{string(kv.GetValue()), kv.GetModRevision()} }

// neverLeft recognises the error of a call that found no connection. All others may come
// after the member got the call.
func neverLeft(err error) bool {
	s := status.Convert(err)
	return s.Code() == codes.Unavailable && strings.Contains(s.Message(), "Error while dialing")
}
