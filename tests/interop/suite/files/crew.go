package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

const (
	// crewWorkers is how many requests are under way at once.
	crewWorkers = 32
	// workerKeys is how many keys each worker has for itself.
	workerKeys = 60
	// valueMax bounds an ordinary value; one in largeEvery has largeBytes.
	valueMax, largeEvery, largeBytes = 2500, 1000, 512 << 10
	// crewLease is the first of the leases that puts use, crewLeases how many.
	crewLease, crewLeases = 7000, 4
)

// crew writes to a server from several workers at once and remembers what was
// acknowledged, so that a server that comes back after a crash can be held to it.
//
// Every worker has keys of its own and one request under way at most. So after a
// crash its keys hold exactly what the last acknowledged request left, or what the
// one under way would have left.
type crew struct {
	workers []*worker
	// head is the highest acknowledged revision.
	head atomic.Int64
	// written counts acknowledged writes.
	written atomic.Int64
}

// worker is one sequence of requests.
type worker struct {
	rng    *rand.Rand
	prefix string
	// keys is what the worker's keys hold after its last acknowledged request.
	keys map[string]held
	// pending is what a request changes that got no answer yet; nil for none.
	pending *request
}

// held is what a key holds. The value is remembered by length and hash.
type held struct {
	size     int
	hash     uint64
	lease    int64
	revision int64
}

// request is one write and what it changes: a missing value is a delete.
type request struct {
	send    func(context.Context, *harness.Client) (*pb.ResponseHeader, error)
	changes map[string]*held
}

func newCrew(seed uint64) *crew {
	c := &crew{}
	for i := range crewWorkers {
		c.workers = append(c.workers, &worker{
			rng: rand.New(rand.NewPCG(seed, uint64(i))), prefix: fmt.Sprintf("crew/%02d/", i), keys: map[string]held{},
		})
	}
	return c
}

// prepare grants the leases.
func (c *crew) prepare(ctx context.Context, to *harness.Client) error {
	for i := range int64(crewLeases) {
		if _, err := to.Lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: crewLease + i, TTL: 100000}); err != nil {
			return err
		}
	}
	return nil
}

// work writes until n more writes are acknowledged, or a request fails, which is
// the error returned. It compacts whenever compactEvery writes are acknowledged.
func (c *crew) work(ctx context.Context, to *harness.Client, n, compactEvery int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	enough := c.written.Load() + int64(n)
	var wait sync.WaitGroup
	for _, w := range c.workers {
		wait.Go(func() {
			for ctx.Err() == nil {
				if c.written.Load() >= enough {
					return
				}
				if err := w.step(ctx, c, to); err != nil {
					cancel(err)
					return
				}
				if c.written.Add(1)%int64(compactEvery) == 0 {
					if err := c.compact(ctx, to); err != nil {
						cancel(err)
					}
				}
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

// compact keeps some history. Two workers may compact at once, and the second one
// to be late.
func (c *crew) compact(ctx context.Context, to *harness.Client) error {
	req := &pb.CompactionRequest{Revision: c.head.Load() - 500, Physical: c.written.Load()%2 == 0}
	if req.Revision < 2 {
		return nil
	}
	_, err := to.KV.Compact(ctx, req)
	if err != nil && bytes.Contains([]byte(err.Error()), []byte("has been compacted")) {
		return nil
	}
	return err
}

// step sends one request. What it changes is known by the answer, and pending
// without one.
func (w *worker) step(ctx context.Context, c *crew, to *harness.Client) error {
	w.pending = w.draw()
	header, err := w.pending.send(ctx, to)
	if err != nil {
		return err
	}
	w.adopt(header.Revision)
	for {
		head := c.head.Load()
		if header.Revision <= head || c.head.CompareAndSwap(head, header.Revision) {
			return nil
		}
	}
}

// adopt takes what is pending for done, at a revision.
func (w *worker) adopt(revision int64) {
	for key, h := range w.pending.changes {
		if h == nil {
			delete(w.keys, key)
			continue
		}
		h.revision = revision
		w.keys[key] = *h
	}
	w.pending = nil
}

func (w *worker) key() string { return fmt.Sprintf("%s%02d", w.prefix, w.rng.IntN(workerKeys)) }

// draw makes the next request.
func (w *worker) draw() *request {
	switch n := w.rng.IntN(100); {
	case n < 70:
		put, h := w.put(w.key())
		return &request{changes: map[string]*held{string(put.Key): h}, send: func(ctx context.Context, c *harness.Client) (*pb.ResponseHeader, error) {
			r, err := c.KV.Put(ctx, put)
			return r.GetHeader(), err
		}}
	case n < 80:
		key := w.key()
		return &request{changes: map[string]*held{key: nil}, send: func(ctx context.Context, c *harness.Client) (*pb.ResponseHeader, error) {
			r, err := c.KV.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte(key)})
			return r.GetHeader(), err
		}}
	case n < 82:
		return w.deleteSome()
	default:
		return w.txn()
	}
}

func (w *worker) put(key string) (*pb.PutRequest, *held) {
	size := w.rng.IntN(valueMax)
	if w.rng.IntN(largeEvery) == 0 {
		size = largeBytes
	}
	value := make([]byte, size)
	for i := 0; i < size; i += 8 {
		word := w.rng.Uint64()
		for j := i; j < min(i+8, size); j++ {
			value[j] = byte(word >> (8 * (j - i)))
		}
	}
	lease := int64(0)
	if w.rng.IntN(5) == 0 {
		lease = crewLease + w.rng.Int64N(crewLeases)
	}
	return &pb.PutRequest{Key: []byte(key), Value: value, Lease: lease}, &held{size: size, hash: hashOf(value), lease: lease}
}

func hashOf(value []byte) uint64 {
	h := fnv.New64a()
	h.Write(value)
	return h.Sum64()
}

// deleteSome deletes a tenth of the worker's keys in one request.
func (w *worker) deleteSome() *request {
	from := fmt.Sprintf("%s%d", w.prefix, w.rng.IntN(workerKeys/10))
	changes := map[string]*held{}
	for i := range 10 {
		changes[fmt.Sprintf("%s%d", from, i)] = nil
	}
	return &request{changes: changes, send: func(ctx context.Context, c *harness.Client) (*pb.ResponseHeader, error) {
		r, err := c.KV.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte(from), RangeEnd: []byte(from + "~")})
		return r.GetHeader(), err
	}}
}

// txn writes some keys if one of them is as it must be; it is an error if not.
func (w *worker) txn() *request {
	guard := w.key()
	req := &pb.TxnRequest{Compare: []*pb.Compare{{
		Target: pb.Compare_MOD, Key: []byte(guard), TargetUnion: &pb.Compare_ModRevision{ModRevision: w.keys[guard].revision},
	}}}
	changes := map[string]*held{}
	for range 1 + w.rng.IntN(5) {
		key := w.key()
		if _, twice := changes[key]; twice {
			continue
		}
		put, h := w.put(key)
		changes[key] = h
		req.Success = append(req.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
	}
	return &request{changes: changes, send: func(ctx context.Context, c *harness.Client) (*pb.ResponseHeader, error) {
		r, err := c.KV.Txn(ctx, req)
		if err == nil && !r.Succeeded {
			return nil, fmt.Errorf("%w: %s is not at revision %d", errLost, guard, req.Compare[0].GetModRevision())
		}
		return r.GetHeader(), err
	}}
}

// errLost says that the server does not hold what it acknowledged.
var errLost = errors.New("acknowledged state is lost")

// check compares the server with everything that was acknowledged, and takes over
// what it made of the requests that got no answer.
func (c *crew) check(ctx context.Context, from *harness.Client) error {
	for _, w := range c.workers {
		r, err := from.KV.Range(ctx, &pb.RangeRequest{Key: []byte(w.prefix), RangeEnd: []byte(w.prefix + "~")})
		if err != nil {
			return err
		}
		if r.Header.Revision < c.head.Load() {
			return fmt.Errorf("%w: revision %d, but %d was acknowledged", errLost, r.Header.Revision, c.head.Load())
		}
		if err := w.settle(r); err != nil {
			return err
		}
	}
	return nil
}

// settle decides whether the pending request took place.
func (w *worker) settle(r *pb.RangeResponse) error {
	got := map[string]held{}
	for _, kv := range r.Kvs {
		got[string(kv.Key)] = held{size: len(kv.Value), hash: hashOf(kv.Value), lease: kv.Lease, revision: kv.ModRevision}
	}
	without := differences(w.keys, got)
	if len(without) == 0 {
		w.pending = nil
		return nil
	}
	if w.pending == nil {
		return fmt.Errorf("%w: %q", errLost, without)
	}
	revision := int64(0)
	for key, h := range w.pending.changes {
		if h != nil {
			revision = got[key].revision
		}
	}
	w.adopt(revision)
	if with := differences(w.keys, got); len(with) > 0 {
		return fmt.Errorf("%w: without the request under way %q, with it %q", errLost, without, with)
	}
	return nil
}

// differences lists keys whose content is not as wanted, some of them.
func differences(want, got map[string]held) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[key]; !ok || g != want[key] {
			out = append(out, fmt.Sprintf("%s: %+v, found %+v", key, want[key], g))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			out = append(out, fmt.Sprintf("%s: absent, found %+v", key, got[key]))
		}
	}
	return out[:min(len(out), 5)]
}
