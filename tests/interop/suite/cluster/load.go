package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"mainstay.dev/tests/interop/suite/harness"
)

const (
	// loadWriters is how many puts are under way at once.
	loadWriters = 8
	// loadPrefix begins the keys of a load.
	loadPrefix = "load/"
	// spinPrefix begins keys that a load puts and deletes again and again: compactions
	// have something to drop.
	spinPrefix = "spin/"
	// loadPause keeps a load beside which hashes are compared within what etcd compacts.
	loadPause = 10 * time.Millisecond
	// putWait bounds one put of a load. Its outcome is unknown then, and nobody asks.
	putWait = time.Second
	// probeEvery is the resolution of [firstAck].
	probeEvery = 5 * time.Millisecond
	// probeWait bounds [firstAck].
	probeWait = 30 * time.Second
)

// load puts keys that are never put again, so that each acknowledged one must be
// found later at its revision. A put that fails goes to the next member.
type load struct {
	stop context.CancelFunc
	wait sync.WaitGroup
	// pause is how long each writer rests after a put.
	pause time.Duration

	mu sync.Mutex
	// addrs are the members' addresses.
	addrs []string
	// acked holds the revision of each acknowledged key.
	acked map[string]int64
	// grown is closed and replaced with every acknowledged put.
	grown chan struct{}
}

// load starts writing to all members, as fast as they answer.
func (g *group) load() *load {
	g.Helper()
	return g.pacedLoad(0)
}

// pacedLoad is [group.load] with pauses: a member of etcd walks its whole file for each
// compaction, and falls behind when the file grows and compactions come fast.
func (g *group) pacedLoad(pause time.Duration) *load {
	g.Helper()
	ctx, stop := context.WithCancel(g.ctx)
	l := &load{stop: stop, pause: pause, acked: map[string]int64{}, grown: make(chan struct{})}
	for _, s := range g.Members {
		l.addrs = append(l.addrs, s.Addr)
	}
	for id := range loadWriters {
		l.wait.Go(func() { l.write(ctx, g.T, id) })
	}
	g.Cleanup(l.end)
	return l
}

// use lets the load write to these members from now on.
func (l *load) use(addrs []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addrs = addrs
}

// end stops the writers and waits for them.
func (l *load) end() {
	l.stop()
	l.wait.Wait()
}

// write is one writer.
func (l *load) write(ctx context.Context, t testing.TB, id int) {
	clients := map[string]*harness.Client{}
	defer func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}()
	value := make([]byte, 256)
	rng := rand.New(rand.NewPCG(seed, uint64(id)))
	for n, turn := 0, id; ctx.Err() == nil; n++ {
		l.mu.Lock()
		addr := l.addrs[turn%len(l.addrs)]
		l.mu.Unlock()
		c := clients[addr]
		if c == nil {
			var err error
			if c, err = dialQuick(addr); err != nil {
				t.Error(err)
				return
			}
			clients[addr] = c
		}
		for i := range value {
			value[i] = byte(rng.Uint32())
		}
		key := fmt.Sprintf("%s%d/%d", loadPrefix, id, n)
		within, cancel := context.WithTimeout(ctx, putWait)
		r, err := c.KV.Put(within, &pb.PutRequest{Key: []byte(key), Value: value})
		cancel()
		if err != nil {
			turn++
			// Members that are down refuse at once; there is no use in asking them
			// thousands of times a second.
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
			continue
		}
		l.mu.Lock()
		l.acked[key] = r.Header.Revision
		close(l.grown)
		l.grown = make(chan struct{})
		l.mu.Unlock()
		spin(ctx, c, id, n)
		if l.pause > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(l.pause):
			}
		}
	}
}

// spin changes a key that is changed all the time. Nobody asks for the outcome.
func spin(ctx context.Context, c *harness.Client, id, n int) {
	ctx, cancel := context.WithTimeout(ctx, putWait)
	defer cancel()
	key := fmt.Appendf(nil, "%s%d/%d", spinPrefix, id, n%7)
	if n%3 == 2 {
		_, _ = c.KV.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: key})
		return
	}
	_, _ = c.KV.Put(ctx, &pb.PutRequest{Key: key, Value: key})
}

// dialQuick connects to a member, and to one that was down soon again.
func dialQuick(addr string) (*harness.Client, error) {
	return harness.Dial(addr, grpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
	}))
}

// await waits until n more puts are acknowledged.
func (l *load) await(g *group, n int) {
	g.Helper()
	l.mu.Lock()
	enough := len(l.acked) + n
	l.mu.Unlock()
	for {
		l.mu.Lock()
		has, grown := len(l.acked), l.grown
		l.mu.Unlock()
		if has >= enough {
			return
		}
		select {
		case <-grown:
		case <-g.ctx.Done():
			g.Fatalf("%d of %d puts are acknowledged: %v", has, enough, g.ctx.Err())
		}
	}
}

// check ends the load and finds every acknowledged key at its revision, on every
// running member.
func (l *load) check(g *group) {
	g.Helper()
	l.end()
	for _, i := range g.Running() {
		s := g.Members[i]
		found := map[string]int64{}
		c := s.Client(g.T)
		g.insist(func() error {
			r, err := c.KV.Range(g.ctx, &pb.RangeRequest{Key: []byte(loadPrefix), RangeEnd: []byte(loadPrefix + "~"), KeysOnly: true})
			for _, kv := range r.GetKvs() {
				found[string(kv.Key)] = kv.ModRevision
			}
			return err
		})
		lost := 0
		for key, revision := range l.acked {
			if found[key] != revision {
				if lost++; lost < 10 {
					g.Errorf("%s at %s: %s was acknowledged at revision %d, and is at %d", s.Bin.Label, s.Addr, key, revision, found[key])
				}
			}
		}
		if lost > 0 {
			g.Fatalf("%s at %s: %d of %d acknowledged puts are lost", s.Bin.Label, s.Addr, lost, len(l.acked))
		}
	}
	g.Logf("%d acknowledged puts, all there", len(l.acked))
}

// firstAck sends puts to the members all the time, and returns how long after a
// moment the first one that was sent after it is acknowledged.
func firstAck(ctx context.Context, since time.Time, clients []*harness.Client) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	acked := make(chan time.Duration, 1)
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		for _, c := range clients {
			wait.Go(func() {
				if _, err := c.KV.Put(ctx, &pb.PutRequest{Key: []byte("probe")}); err == nil {
					select {
					case acked <- time.Since(since):
					default:
					}
				}
			})
		}
		select {
		case took := <-acked:
			return took, nil
		case <-ctx.Done():
			return 0, errors.New("no put is acknowledged")
		case <-tick.C:
		}
	}
}

// quantile of times, which get sorted.
func quantile(times []time.Duration, q float64) time.Duration {
	slices.Sort(times)
	return times[min(len(times)-1, int(q*float64(len(times))))].Round(time.Millisecond)
}
