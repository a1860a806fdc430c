package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"mainstay.dev/tests/interop/suite/harness"
)

const (
	// callWait bounds a call. A few get [longCallWait]: a member that hangs, or is cut
	// off, shall still have calls to answer when it comes back.
	callWait     = time.Second
	longCallWait = 15 * time.Second
	// probeWait bounds each attempt of [Recorder.Write].
	probeWait = 300 * time.Millisecond
	// firstProbe is above the numbers of all clients.
	firstProbe = 1000
	// keysAtOnce is how many keys the clients share.
	keysAtOnce = 3
	// refusedPause is how long a client waits after an error, lest it asks a member that
	// is down thousands of times a second.
	refusedPause = 20 * time.Millisecond
)

// Load says how much the clients of a [Recorder] ask.
type Load struct {
	// Clients is their number at each member.
	Clients int
	// Pause is the longest time between the calls of a client; it takes a random part.
	Pause time.Duration
	// Seed decides what they ask.
	Seed uint64
	// Serializable makes their reads so, and the history one that must not be explained:
	// it shows that stale reads are found.
	Serializable bool
}

// Recorder has clients that call members, and keeps what they see.
type Recorder struct {
	stop  context.CancelFunc
	wait  sync.WaitGroup
	began time.Time
	addrs []string
	// serializable reads are asked for.
	serializable bool

	mu  sync.Mutex
	ops []Op
	// turn is the number of the keys in use.
	turn int
	// probes is the number of callers that were made beside the clients.
	probes int
	// acked counts known calls; grown is closed and replaced with each.
	acked int
	grown chan struct{}
}

// Record starts clients at the members of a cluster. They end with the test, or with
// [Recorder.End].
func Record(t testing.TB, c *harness.Cluster, load Load) *Recorder {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &Recorder{stop: stop, began: time.Now(), grown: make(chan struct{})}
	for _, s := range c.Members {
		r.addrs = append(r.addrs, s.Addr)
	}
	t.Cleanup(r.End)
	r.serializable = load.Serializable
	for id := range load.Clients * len(r.addrs) {
		w, err := r.dial(id%len(r.addrs), id, load.Seed)
		if err != nil {
			t.Fatal(err)
		}
		r.wait.Go(func() {
			defer w.api.Close()
			for ctx.Err() == nil {
				w.call(ctx)
				select {
				case <-ctx.Done():
				case <-time.After(rand.N(load.Pause + 1)):
				}
			}
		})
	}
	return r
}

// dial makes a client of a member, which finds it again soon after it was down.
func (r *Recorder) dial(member, id int, seed uint64) (*caller, error) {
	api, err := harness.Dial(r.addrs[member], grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
		MinConnectTimeout: callWait,
	}))
	return &caller{r: r, api: api, member: member, id: id, rng: rand.New(rand.NewPCG(seed, uint64(id)))}, err
}

// Now is the time by the recorder's clock.
func (r *Recorder) Now() time.Duration { return time.Since(r.began) }

// Turn lets the clients use new keys, so that the calls on one do not become too many to
// judge.
func (r *Recorder) Turn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn++
}

// key picks one of those in use.
func (r *Recorder) key(rng *rand.Rand) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return keyName(r.turn, rng.IntN(keysAtOnce))
}

func keyName(turn, n int) string { return fmt.Sprintf("history/%d/%d", turn, n) }

// add keeps a call.
func (r *Recorder) add(op Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op)
	if !op.Known {
		return
	}
	r.acked++
	close(r.grown)
	r.grown = make(chan struct{})
}

// Await waits until n more calls are answered.
func (r *Recorder) Await(ctx context.Context, n int) error {
	r.mu.Lock()
	enough := r.acked + n
	r.mu.Unlock()
	for {
		r.mu.Lock()
		has, grown := r.acked, r.grown
		r.mu.Unlock()
		if has >= enough {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d calls are answered: %w", has, enough, context.Cause(ctx))
		}
	}
}

// Write puts at all of these members, again and again, until one of them acknowledges, and
// returns how long that took. These puts are part of the history.
func (r *Recorder) Write(ctx context.Context, members ...int) (time.Duration, error) {
	since := time.Now()
	ctx, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer stop()
	errs := make(chan error, len(members))
	for _, member := range members {
		w, err := r.probe(member)
		if err != nil {
			return 0, err
		}
		wait.Go(func() {
			defer w.api.Close()
			errs <- w.insist(ctx, Put, r.key(w.rng), probeWait)
		})
	}
	var last error
	for range members {
		if last = <-errs; last == nil {
			return time.Since(since), nil
		}
	}
	return time.Since(since), fmt.Errorf("no put is acknowledged by any of the members %v: %w", members, last)
}

// Try makes one call of each kind at each of the members, and returns those that are
// answered. They are part of the history.
func (r *Recorder) Try(ctx context.Context, members ...int) ([]Op, error) {
	var wait sync.WaitGroup
	var mu sync.Mutex
	var answered []Op
	for _, member := range members {
		for _, kind := range []Kind{Get, Put, Delete, Swap} {
			w, err := r.probe(member)
			if err != nil {
				return nil, err
			}
			wait.Go(func() {
				defer w.api.Close()
				if op := w.once(ctx, kind, r.key(w.rng), callWait); op.Known {
					mu.Lock()
					defer mu.Unlock()
					answered = append(answered, op)
				}
			})
		}
	}
	wait.Wait()
	return answered, nil
}

// Read gets every key that was ever in use from a member. These reads are part of the
// history.
func (r *Recorder) Read(ctx context.Context, member int) error {
	w, err := r.probe(member)
	if err != nil {
		return err
	}
	defer w.api.Close()
	r.mu.Lock()
	turns := r.turn + 1
	r.mu.Unlock()
	for turn := range turns {
		for n := range keysAtOnce {
			if err := w.insist(ctx, Get, keyName(turn, n), longCallWait); err != nil {
				return err
			}
		}
	}
	return nil
}

// probe makes a caller beside the clients.
func (r *Recorder) probe(member int) (*caller, error) {
	r.mu.Lock()
	r.probes++
	id := firstProbe + r.probes
	r.mu.Unlock()
	return r.dial(member, id, uint64(id))
}

// End stops the clients and waits for them.
func (r *Recorder) End() {
	r.stop()
	r.wait.Wait()
}

// Answered returns the known calls at some members that began at or after a time, and
// were answered before another.
func (r *Recorder) Answered(from, to time.Duration, members ...int) []Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Op
	for _, op := range r.ops {
		if op.Known && op.Call >= from && op.Return < to && slices.Contains(members, op.Member) {
			all = append(all, op)
		}
	}
	return all
}

// Ops ends the clients, and returns the history.
func (r *Recorder) Ops() []Op {
	r.End()
	return r.ops
}

// Check ends the clients, reads every key once more from every member, and judges the
// history.
func (r *Recorder) Check(ctx context.Context, t testing.TB) {
	t.Helper()
	r.End()
	for member := range r.addrs {
		if err := r.Read(ctx, member); err != nil {
			t.Errorf("member %d does not answer: %v", member, err)
		}
	}
	unknown, wrote := 0, 0
	for _, op := range r.ops {
		if !op.Known && op.Kind != Get {
			unknown++
		}
		if op.Wrote() {
			wrote++
		}
	}
	t.Logf("%d calls on %d keys: %d answered, among them %d writes; of %d writes the outcome is unknown",
		len(r.ops), keysAtOnce*(r.turn+1), r.acked, wrote, unknown)
	check(t, r.ops)
}
