package cluster

import (
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mainstay.dev/tests/interop/suite/harness"
)

var (
	watchersFlag = flag.Int("watchers", 300, "TestWatchersAndLeases: how many watchers")
	leasesFlag   = flag.Int("leases", 300, "TestWatchersAndLeases: how many leases")
)

const (
	leasePrefix = "leased/"
	// leaseTTL is the shortest TTL in seconds, when there are few leases; TTLs are spread
	// over twice the shortest. granters make leases at the same time.
	leaseTTL, granters = 6, 16
	// installTries bounds the pauses until the paused member needs a snapshot.
	installTries = 8
	// bulkBytes is the size of the values that a paused member misses, bulk their number:
	// more than connections hold.
	bulkBytes, bulk = 64 << 10, 200
)

// TestWatchersAndLeases lets watchers hang on one member while the leader is killed,
// and while their member falls behind so far that it gets a snapshot. Each gets each
// event once and in order, and no lease ends early.
func TestWatchersAndLeases(t *testing.T) {
	t.Parallel() // It mostly waits for the end of leases.
	mixes := []string{"ttt", "ett"}
	if *watchersFlag > 1000 {
		// What holds for etcd alone is known; the long form shows it again.
		mixes = append(mixes, "eee")
	}
	for _, mix := range mixes {
		t.Run(mix, func(t *testing.T) {
			bins := kinds(t, mix)
			within := limit + time.Duration(max(*watchersFlag, *leasesFlag))*40*time.Millisecond
			g := startWithin(t, within, []string{"--snapshot-count=50", "--snapshot-catchup-entries=10", "--max-request-bytes=10485760"}, bins...)
			const victim = 2
			g.lead(0)
			head, _ := g.head()
			began := time.Now()
			w := g.watch(g.Members[victim], *watchersFlag, head+1)
			watched := time.Now()
			granted := g.grant(g.Members[1].Client(t))
			t.Logf("watchers were there after %s, leases %s later", watched.Sub(began).Round(time.Millisecond), time.Since(watched).Round(time.Millisecond))
			g.writeWatched(g.Members[1], "first", "watched before")

			g.Members[0].Kill()
			g.writeWatched(g.Members[victim], "second", "without the old leader")
			g.Revive(0, bins[0])
			g.lead(1)
			g.pauseUntilSnapshot(victim)
			g.writeWatched(g.Members[0], "third", "after the snapshot")

			g.writeWatched(g.Members[victim], lastKey)
			w.wait.Wait()
			g.must(w.fault)
			g.compareWatched(w, head+1)
			g.leasesEnded(w, granted)
			g.agree()
			for i, s := range g.Members {
				now, most := s.Memory()
				t.Logf("member %d, %s, holds %d MiB and held %d at most", i, s.Bin.Label, now, most)
			}
		})
	}
}

// writeWatched puts some keys of every watched prefix, over one member. A put that
// gets no answer is sent again: it may be two events.
func (g *group) writeWatched(s *harness.Server, names ...string) {
	g.Helper()
	c := s.Client(g.T)
	for n := range watchedPrefixes {
		for _, name := range names {
			g.put(c, watchedPrefix(n)+name, nil)
		}
	}
}

func (g *group) put(c *harness.Client, key string, value []byte) {
	g.Helper()
	g.insist(func() error {
		_, err := c.KV.Put(g.ctx, &pb.PutRequest{Key: []byte(key), Value: value})
		return err
	})
}

// lease is one that a test granted.
type lease struct {
	asked time.Time
	ttl   time.Duration
}

// grant makes leases, each with a key. Many take a while, so they live longer.
func (g *group) grant(c *harness.Client) map[string]lease {
	g.Helper()
	shortest := leaseTTL + *leasesFlag/200
	granted := map[string]lease{}
	var mu sync.Mutex
	var fault error
	var wait sync.WaitGroup
	for id := range granters {
		wait.Go(func() {
			for i := id; i < *leasesFlag; i += granters {
				key := fmt.Sprintf("%s%05d", leasePrefix, i)
				l, err := g.grantOne(c, key, int64(shortest+i%(shortest+1)))
				mu.Lock()
				if err != nil {
					fault = err
				} else if l.ttl > 0 {
					granted[key] = l
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wait.Wait()
	g.must(fault)
	return granted
}

// grantOne makes a lease with a key. One without a TTL ended before it had it: the
// machine is slow.
func (g *group) grantOne(c *harness.Client, key string, ttl int64) (lease, error) {
	asked := time.Now()
	r, err := c.Lease.LeaseGrant(g.ctx, &pb.LeaseGrantRequest{TTL: ttl})
	if err != nil {
		return lease{}, err
	}
	_, err = c.KV.Put(g.ctx, &pb.PutRequest{Key: []byte(key), Lease: r.ID})
	lived := time.Duration(ttl) * time.Second
	if status.Code(err) == codes.NotFound && time.Since(asked) > lived {
		return lease{}, nil
	}
	return lease{asked, lived}, err
}

// pauseUntilSnapshot stops a member again and again, longer each time, until it needs
// a snapshot to go on.
func (g *group) pauseUntilSnapshot(i int) {
	g.Helper()
	value := make([]byte, bulkBytes)
	c := g.Members[(i+1)%len(g.Members)].Client(g.T)
	for try := range installTries {
		g.must(g.Members[i].Pause())
		for n := range bulk << min(try, 3) {
			g.put(c, fmt.Sprintf("bulk/%d", n%20), value)
			if n%20 == 0 {
				g.put(c, watchedPrefix(n)+"paused", nil)
			}
		}
		g.must(g.Members[i].Resume())
		g.caughtUp(g.Members[i].Client(g.T))
		if g.snapshotsReceived(g.Members[i]) {
			g.Logf("a snapshot after %d pauses", try+1)
			return
		}
	}
	g.Fatal("the paused member needs no snapshot")
}

// compareWatched holds what each watcher got against the history.
func (g *group) compareWatched(w *watchers, from int64) {
	g.Helper()
	history := map[string][]int64{}
	total := 0
	for n := range watchedPrefixes {
		prefix := watchedPrefix(n)
		one := &watcher{prefix: prefix}
		g.must(w.follow(g.ctx, g.Members[1].Client(g.T), []*watcher{one}, from, make(chan struct{})))
		history[prefix] = one.revisions
	}
	for i, one := range w.all {
		total += len(one.revisions)
		if !slices.Equal(one.revisions, history[one.prefix]) {
			g.Fatalf("watcher %d of %s got %v, the history is %v", i, one.prefix, one.revisions, history[one.prefix])
		}
	}
	g.Logf("%d watchers got %d events", len(w.all), total)
}

// leasesEnded waits for the end of all leases; none may have come early.
func (g *group) leasesEnded(w *watchers, granted map[string]lease) {
	g.Helper()
	for {
		w.mu.Lock()
		gone, grown, fault := len(w.gone), w.goneGrown, w.fault
		w.mu.Unlock()
		g.must(fault)
		if gone >= len(granted) {
			break
		}
		select {
		case <-grown:
		case <-g.ctx.Done():
			g.Fatalf("%d of %d leases ended: %v", gone, len(granted), g.ctx.Err())
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var latest time.Duration
	for key, lease := range granted {
		lived := w.gone[key].Sub(lease.asked)
		if lived < lease.ttl {
			g.Errorf("%s lived %s, the TTL of its lease is %s", key, lived, lease.ttl)
		}
		latest = max(latest, lived-lease.ttl)
	}
	g.Logf("%d leases ended, none early, the latest %s after its TTL", len(granted), latest.Round(time.Millisecond))
}
