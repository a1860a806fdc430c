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
}

// Recorder has clients that call members, and keeps what they see.
type Recorder struct {
	stop  context.CancelFunc
	wait  sync.WaitGroup
	began time.Time
	addrs []string

	mu  sync.Mutex
	ops []Op
	// turn is the number of the keys in use.
	turn int
	// wrote holds for each member the call time of the newest acknowledged write.
	wrote []time.Duration
	// acked counts known calls; grown is closed and replaced with each.
	acked int
	grown chan struct{}
}

// Record starts clients at the members of a cluster. They end with the test, or with
// [Recorder.End].
func Record(t testing.TB, c *harness.Cluster, load Load) *Recorder {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &Recorder{stop: stop, began: time.Now(), grown: make(chan struct{}), wrote: make([]time.Duration, len(c.Members))}
	for i := range r.wrote {
		r.wrote[i] = -1
	}
	for _, s := range c.Members {
		r.addrs = append(r.addrs, s.Addr)
	}
	t.Cleanup(r.End)
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
	if op.Wrote() {
		r.wrote[op.Member] = max(r.wrote[op.Member], op.Call)
	}
	close(r.grown)
	r.grown = make(chan struct{})
}

// Await waits until n more calls are answered.
func (r *Recorder) Await(ctx context.Context, n int) error {
	enough := -1
	return r.until(ctx, fmt.Sprintf("%d more calls are not answered", n), func() bool {
		if enough < 0 {
			enough = r.acked + n
		}
		return r.acked >= enough
	})
}

// AwaitWrite waits until one of these members acknowledges a write that it was asked for
// from now on, and returns how long that took.
func (r *Recorder) AwaitWrite(ctx context.Context, members ...int) (time.Duration, error) {
	since := r.Now()
	err := r.until(ctx, fmt.Sprintf("no write is acknowledged by any of the members %v", members), func() bool {
		return slices.ContainsFunc(members, func(m int) bool { return r.wrote[m] >= since })
	})
	return r.Now() - since, err
}

// until waits for something that changes with each answer.
func (r *Recorder) until(ctx context.Context, otherwise string, holds func() bool) error {
	for {
		r.mu.Lock()
		done, grown := holds(), r.grown
		r.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", otherwise, context.Cause(ctx))
		}
	}
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

// Asked counts the calls at some members that began between two times.
func (r *Recorder) Asked(from, to time.Duration, members ...int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, op := range r.ops {
		if op.Call >= from && op.Call < to && slices.Contains(members, op.Member) {
			n++
		}
	}
	return n
}

// Check ends the clients, reads every key once more from every member, and judges the
// history.
func (r *Recorder) Check(ctx context.Context, t testing.TB) {
	t.Helper()
	r.End()
	for member := range r.addrs {
		w, err := r.dial(member, len(r.addrs)*100+member, 0)
		if err != nil {
			t.Fatal(err)
		}
		for turn := range r.turn + 1 {
			for n := range keysAtOnce {
				if err := w.insist(ctx, keyName(turn, n)); err != nil {
					t.Errorf("member %d does not answer: %v", member, err)
				}
			}
		}
		_ = w.api.Close()
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
	Check(t, r.ops)
}
