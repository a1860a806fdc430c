package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mainstay.dev/tests/interop/suite/harness"
)

const (
	// hashEvery is the distance of the revisions at which members are compared.
	hashEvery = 1000
	// hashPoll is how long members get to catch up before they are asked again.
	hashPoll = 20 * time.Millisecond
	// hashWait bounds one question.
	hashWait = 5 * time.Second
)

// hashes compares HashKV of all members while others write: at each multiple of
// [hashEvery] once every member has it, and around each compaction. It compacts itself,
// behind what it has compared, so that no multiple escapes it. A member that is down is
// waited for.
type hashes struct {
	stop context.CancelFunc
	wait sync.WaitGroup

	mu    sync.Mutex
	addrs []string
	fault error
	// compared and compacted count multiples and compactions.
	compared, compacted int
	// grown is closed and replaced with every comparison, and closed with a fault.
	grown chan struct{}

	clients map[string]*harness.Client
	rng     *rand.Rand
}

// hashAnswer is what a member says of a revision.
type hashAnswer struct {
	hash    uint32
	compact int64
	refusal string
}

// compareHashes begins to compare all members that run.
func (g *group) compareHashes() *hashes {
	g.Helper()
	ctx, stop := context.WithCancel(g.ctx)
	h := &hashes{stop: stop, addrs: g.addrs(), grown: make(chan struct{}), clients: map[string]*harness.Client{}, rng: rand.New(rand.NewPCG(seed, 7))}
	h.wait.Go(func() {
		err := h.run(ctx)
		for _, c := range h.clients {
			_ = c.Close()
		}
		if err != nil && ctx.Err() == nil {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.fault = err
			close(h.grown)
		}
	})
	g.Cleanup(h.end)
	g.hashes = h
	return h
}

// agreeNow compares the members as they are now: by what goes on beside a load, or at
// once when nobody compacts.
func (g *group) agreeNow() {
	g.Helper()
	if g.hashes == nil {
		g.agree()
		return
	}
	g.hashes.await(g, 1)
}

// useMembers makes load and comparisons go on with the members that run.
func (g *group) useMembers(l *load) {
	l.use(g.addrs())
	g.hashes.use(g.addrs())
}

// use compares these members from now on.
func (h *hashes) use(addrs []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.addrs = addrs
}

func (h *hashes) end() {
	h.stop()
	h.wait.Wait()
}

// await waits until n more multiples were compared, with the compactions behind them.
func (h *hashes) await(g *group, n int) {
	g.Helper()
	h.mu.Lock()
	enough := h.compacted + n
	h.mu.Unlock()
	for {
		h.mu.Lock()
		has, grown, fault := h.compacted, h.grown, h.fault
		h.mu.Unlock()
		g.must(fault)
		if has >= enough {
			return
		}
		select {
		case <-grown:
		case <-g.ctx.Done():
			g.Fatalf("%d of %d comparisons of hashes: %v", has, enough, g.ctx.Err())
		}
	}
}

// check ends the comparisons; at least so many must have been made, and all have been equal.
func (h *hashes) check(g *group, least int) {
	g.Helper()
	h.end()
	g.hashes = nil
	g.must(h.fault)
	if h.compacted < least {
		g.Fatalf("hashes were compared at %d multiples of %d, at least %d were asked for", h.compacted, hashEvery, least)
	}
	g.Logf("HashKV equal at %d multiples of %d and around %d compactions", h.compared, hashEvery, h.compacted)
}

// run compares until the context ends or a difference is found.
func (h *hashes) run(ctx context.Context) error {
	previous := int64(-1)
	for multiple := int64(hashEvery); ctx.Err() == nil; multiple += hashEvery {
		if err := h.equal(ctx, multiple, sameAt(previous)); err != nil {
			return fmt.Errorf("at revision %d: %w", multiple, err)
		}
		h.count(&h.compared)
		at := multiple - 1 - h.rng.Int64N(hashEvery-100)
		if err := h.compact(ctx, at); err != nil {
			return err
		}
		for _, revision := range []struct {
			at    int64
			judge judgement
		}{{at - 1, allRefuse}, {at, sameOf(previous, at)}, {at + 1, sameAt(at)}} {
			if err := h.equal(ctx, revision.at, revision.judge); err != nil {
				return fmt.Errorf("at revision %d, compacted at %d: %w", revision.at, at, err)
			}
		}
		h.count(&h.compacted)
		previous = at
	}
	return ctx.Err()
}

func (h *hashes) count(what *int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*what++
	close(h.grown)
	h.grown = make(chan struct{})
}

// members are the clients of those that are compared now.
func (h *hashes) members() (map[string]*harness.Client, error) {
	h.mu.Lock()
	addrs := h.addrs
	h.mu.Unlock()
	found := map[string]*harness.Client{}
	for _, addr := range addrs {
		if h.clients[addr] == nil {
			c, err := dialQuick(addr)
			if err != nil {
				return nil, err
			}
			h.clients[addr] = c
		}
		found[addr] = h.clients[addr]
	}
	return found, nil
}

// equal asks all members for the hash at a revision until the answers can be judged.
func (h *hashes) equal(ctx context.Context, revision int64, judge judgement) error {
	for ctx.Err() == nil {
		members, err := h.members()
		if err != nil {
			return err
		}
		answers, err := askHashes(ctx, members, revision)
		if err == nil {
			var ready bool
			if ready, err = judge(answers); ready || err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(hashPoll):
		}
	}
	return ctx.Err()
}

// judgement says whether members are right; not ready are those of whom some have not
// applied a compaction yet.
type judgement func(map[string]hashAnswer) (ready bool, err error)

// allRefuse asks for a revision that is gone.
func allRefuse(answers map[string]hashAnswer) (bool, error) {
	for _, answer := range answers {
		if answer.refusal == "" {
			return false, nil
		}
	}
	return true, allEqual(answers)
}

// sameAt asks for a revision above the last compaction.
func sameAt(compacted int64) judgement {
	return func(answers map[string]hashAnswer) (bool, error) {
		for _, answer := range answers {
			if answer.refusal == "" && answer.compact != compacted {
				return false, nil
			}
		}
		for addr, answer := range answers {
			if answer.refusal != "" {
				return true, fmt.Errorf("%s refuses: %s", addr, answer.refusal)
			}
		}
		return true, allEqual(answers)
	}
}

// sameOf asks for the revision of a compaction itself. Members that made it remember the
// hash over what was there before, since the previous compaction; those that were
// started again, or got a snapshot, hash what is left.
func sameOf(previous, compacted int64) judgement {
	return func(answers map[string]hashAnswer) (bool, error) {
		groups := map[int64]map[string]hashAnswer{previous: {}, compacted: {}}
		for addr, answer := range answers {
			group := groups[answer.compact]
			if answer.refusal != "" || group == nil {
				return true, fmt.Errorf("%s says %+v", addr, answer)
			}
			group[addr] = answer
		}
		return true, errors.Join(allEqual(groups[previous]), allEqual(groups[compacted]))
	}
}

func allEqual(answers map[string]hashAnswer) error {
	var first hashAnswer
	var by string
	for addr, answer := range answers {
		if by == "" {
			first, by = answer, addr
		}
		if answer != first {
			return fmt.Errorf("%s says %+v, %s says %+v", by, first, addr, answer)
		}
	}
	return nil
}

// askHashes asks all members at once. An error means that one has no answer yet.
func askHashes(ctx context.Context, members map[string]*harness.Client, revision int64) (map[string]hashAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	var wait sync.WaitGroup
	var mu sync.Mutex
	var fault error
	answers := map[string]hashAnswer{}
	for addr, c := range members {
		wait.Go(func() {
			r, err := c.Maintenance.HashKV(ctx, &pb.HashKVRequest{Revision: revision})
			mu.Lock()
			defer mu.Unlock()
			refusal := status.Convert(err)
			switch {
			case err == nil:
				answers[addr] = hashAnswer{hash: r.Hash, compact: r.CompactRevision}
			case refusal.Code() == codes.OutOfRange && strings.Contains(refusal.Message(), "compacted"):
				answers[addr] = hashAnswer{refusal: refusal.Message()}
			default:
				fault = err
			}
		})
	}
	wait.Wait()
	return answers, fault
}

// compact compacts by any member. After a lost reply the repeated request finds it done.
func (h *hashes) compact(ctx context.Context, at int64) error {
	for ctx.Err() == nil {
		members, err := h.members()
		if err != nil {
			return err
		}
		for _, c := range members {
			within, cancel := context.WithTimeout(ctx, hashWait)
			_, err := c.KV.Compact(within, &pb.CompactionRequest{Revision: at})
			cancel()
			if err == nil || status.Code(err) == codes.OutOfRange && strings.Contains(status.Convert(err).Message(), "compacted") {
				return nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(hashPoll):
		}
	}
	return ctx.Err()
}
