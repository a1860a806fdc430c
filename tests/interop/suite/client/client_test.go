// Package client tests what etcd's own Go client makes of a server: resumed
// watches, kept leases, locks and elections, across a crash of the server.
package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	"mainstay.dev/tests/interop/suite/harness"
)

// limit bounds each test.
const limit = time.Minute

// each runs a test on both servers with a connected client.
func each(t *testing.T, test func(t *testing.T, ctx context.Context, s *harness.Server, c *clientv3.Client)) {
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		s := harness.Start(t, bin, harness.Options{})
		test(t, harness.Context(t, limit), s, dial(t, s))
	})
}

func dial(t *testing.T, s *harness.Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Addr}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// put writes until it is acknowledged; the client does not repeat writes itself.
func put(t *testing.T, ctx context.Context, c *clientv3.Client, key, value string) int64 {
	t.Helper()
	for {
		r, err := c.Put(ctx, key, value)
		if err == nil {
			return r.Header.Revision
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestWatchResumes: every event arrives once, in order, although the server is
// killed twice in between.
func TestWatchResumes(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *harness.Server, c *clientv3.Client) {
		events := c.Watch(ctx, "k/", clientv3.WithPrefix(), clientv3.WithPrevKV())
		const rounds, puts = 3, 20
		last := int64(0)
		for round := range rounds {
			if round > 0 {
				s.Kill()
				s = s.StartAgain(t)
			}
			for i := range puts {
				put(t, ctx, c, fmt.Sprintf("k/%d", i), fmt.Sprint(round))
			}
			for seen := 0; seen < puts; {
				select {
				case r := <-events:
					if r.Err() != nil {
						t.Fatal(r.Err())
					}
					for _, e := range r.Events {
						// A put whose reply was lost may have been written twice.
						if e.Kv.ModRevision <= last {
							t.Fatalf("revision %d after %d", e.Kv.ModRevision, last)
						}
						last = e.Kv.ModRevision
						if string(e.Kv.Value) == fmt.Sprint(round) && e.Kv.Version == int64(round+1) {
							seen++
						}
					}
				case <-ctx.Done():
					t.Fatalf("round %d: %d events", round, seen)
				}
			}
		}
	})
}

func TestWatchOfCompactedHistory(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *harness.Server, c *clientv3.Client) {
		for i := range 10 {
			put(t, ctx, c, "k", fmt.Sprint(i))
		}
		if _, err := c.Compact(ctx, 8); err != nil {
			t.Fatal(err)
		}
		r := <-c.Watch(ctx, "k", clientv3.WithRev(3))
		if !errors.Is(r.Err(), rpctypes.ErrCompacted) || r.CompactRevision != 8 {
			t.Fatalf("%v, compact revision %d", r.Err(), r.CompactRevision)
		}
	})
}

// TestKeptLease: a kept lease outlives its TTL and a crash; when it is no longer
// kept, its keys go.
func TestKeptLease(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *harness.Server, c *clientv3.Client) {
		lease, err := c.Grant(ctx, 3)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Put(ctx, "kept", "x", clientv3.WithLease(lease.ID)); err != nil {
			t.Fatal(err)
		}
		keeping, stop := context.WithCancel(ctx)
		replies, err := c.KeepAlive(keeping, lease.ID)
		if err != nil {
			t.Fatal(err)
		}
		s.Kill()
		s.StartAgain(t)
		for since := time.Now(); time.Since(since) < 4*time.Second; {
			if r, ok := <-replies; !ok || r.TTL != 3 {
				t.Fatalf("keepalive: %v, channel open: %t", r, ok)
			}
		}
		if r, err := c.Get(ctx, "kept"); err != nil || r.Count != 1 {
			t.Fatalf("kept key: %v, %v", r, err)
		}
		gone := c.Watch(ctx, "kept")
		stop()
		if r := <-gone; len(r.Events) != 1 || r.Events[0].Type != clientv3.EventTypeDelete {
			t.Fatalf("%v", r)
		}
	})
}

// TestMutex: two sessions take turns, and a lost session hands the lock over.
func TestMutex(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *harness.Server, c *clientv3.Client) {
		first, second := session(t, c), session(t, c)
		a, b := concurrency.NewMutex(first, "mutex"), concurrency.NewMutex(second, "mutex")
		if err := a.Lock(ctx); err != nil {
			t.Fatal(err)
		}
		if err := b.TryLock(ctx); !errors.Is(err, concurrency.ErrLocked) {
			t.Fatalf("second lock: %v", err)
		}
		guarded := clientv3.OpPut("guarded", "by a")
		if r, err := c.Txn(ctx).If(a.IsOwner()).Then(guarded).Commit(); err != nil || !r.Succeeded {
			t.Fatalf("owner's txn: %v, %v", r, err)
		}
		if r, err := c.Txn(ctx).If(b.IsOwner()).Then(guarded).Commit(); err != nil || r.Succeeded {
			t.Fatalf("other's txn: %v, %v", r, err)
		}
		locked := make(chan error, 1)
		go func() { locked <- b.Lock(ctx) }()
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-locked; err != nil {
			t.Fatal(err)
		}
		if err := b.Unlock(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

func session(t *testing.T, c *clientv3.Client) *concurrency.Session {
	t.Helper()
	s, err := concurrency.NewSession(c, concurrency.WithTTL(5))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestElection(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *harness.Server, c *clientv3.Client) {
		a := concurrency.NewElection(session(t, c), "post")
		b := concurrency.NewElection(session(t, c), "post")
		if err := a.Campaign(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		observed := b.Observe(ctx)
		if r := <-observed; string(r.Kvs[0].Value) != "alice" {
			t.Fatalf("%v", r)
		}
		won := make(chan error, 1)
		go func() { won <- b.Campaign(ctx, "bob") }()
		if err := a.Resign(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-won; err != nil {
			t.Fatal(err)
		}
		if r := <-observed; string(r.Kvs[0].Value) != "bob" {
			t.Fatalf("%v", r)
		}
	})
}

// TestErrorsAreTyped: the client recognises errors by their text.
func TestErrorsAreTyped(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *harness.Server, c *clientv3.Client) {
		rev := put(t, ctx, c, "k", "v")
		put(t, ctx, c, "k", "w")
		if _, err := c.Compact(ctx, rev); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			want error
			do   func() error
		}{
			{rpctypes.ErrEmptyKey, func() error { _, err := c.Put(ctx, "", "v"); return err }},
			{rpctypes.ErrCompacted, func() error { _, err := c.Get(ctx, "k", clientv3.WithRev(1)); return err }},
			{rpctypes.ErrFutureRev, func() error { _, err := c.Get(ctx, "k", clientv3.WithRev(99)); return err }},
			{rpctypes.ErrLeaseNotFound, func() error { _, err := c.Put(ctx, "k", "v", clientv3.WithLease(9)); return err }},
			{rpctypes.ErrLeaseNotFound, func() error { _, err := c.KeepAliveOnce(ctx, 9); return err }},
			{rpctypes.ErrDuplicateKey, func() error {
				_, err := c.Txn(ctx).Then(clientv3.OpPut("k", "1"), clientv3.OpPut("k", "2")).Commit()
				return err
			}},
			{rpctypes.ErrRootUserNotExist, func() error { _, err := c.AuthEnable(ctx); return err }},
		} {
			if err := test.do(); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		}
	})
}

func TestMemberErrorIsTyped(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *harness.Server, c *clientv3.Client) {
		if _, err := c.MemberRemove(ctx, 9); !errors.Is(err, rpctypes.ErrMemberNotFound) {
			t.Fatal(err)
		}
	})
}
