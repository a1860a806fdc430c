package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	// callers is how many clients call at once.
	callers = 4
	// callWait is the deadline of each of their calls.
	callWait = 5 * time.Second
	// callPause is between calls of one caller: members of etcd on two cores must be able to
	// follow, or they refuse for minutes.
	callPause = 5 * time.Millisecond
	// shownErrors bounds what is printed of a service that fails for long.
	shownErrors = 10
)

// service is how users see the cluster: clients of upstream as they are, which know
// all members, with a deadline for each call.
type service struct {
	stop  context.CancelFunc
	wait  sync.WaitGroup
	calls atomic.Int64

	mu     sync.Mutex
	errors []callError
	slow   time.Duration
	// excused are the times in which errors do not count.
	excused []span
}

// span is a time.
type span struct{ from, to time.Time }

// callError is what a caller was told.
type callError struct {
	span
	client, n int
	err       error
}

func (e callError) String() string {
	return fmt.Sprintf("call %d of client %d, at %s after %s: %v", e.n, e.client, e.from.Format("15:04:05.000"), e.to.Sub(e.from).Round(time.Millisecond), e.err)
}

// excuse lets errors pass of calls that are under way at some time between two moments.
func (s *service) excuse(from, to time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.excused = append(s.excused, span{from, to})
}

// serve starts the clients.
func (g *group) serve() *service {
	g.Helper()
	ctx, stop := context.WithCancel(g.ctx)
	s := &service{stop: stop}
	var endpoints []string
	for _, m := range g.Members {
		endpoints = append(endpoints, m.Addr)
	}
	for id := range callers {
		c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: callWait, Logger: zap.NewNop()})
		g.must(err)
		s.wait.Go(func() {
			defer c.Close()
			for n := 0; ctx.Err() == nil; n++ {
				if !s.call(ctx, c, id, n) {
					// What the key holds is not known before the next put.
					n += 3 - n%4
				}
				select {
				case <-ctx.Done():
				case <-time.After(callPause):
				}
			}
		})
	}
	g.Cleanup(s.end)
	return s
}

func (s *service) end() {
	s.stop()
	s.wait.Wait()
}

// call is one call, and a look at what it answers: the key is the caller's own. It
// reports whether all is well.
func (s *service) call(ctx context.Context, c *clientv3.Client, id, n int) bool {
	within, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	key, value := fmt.Sprintf("service/%d", id), fmt.Sprint(n/4)
	began := time.Now()
	var err error
	switch n % 4 {
	case 0:
		_, err = c.Put(within, key, value)
	case 1:
		var r *clientv3.GetResponse
		if r, err = c.Get(within, key); err == nil && (len(r.Kvs) != 1 || string(r.Kvs[0].Value) != value) {
			err = fmt.Errorf("after a put of %s the key holds %v", value, r.Kvs)
		}
	case 2:
		var r *clientv3.TxnResponse
		r, err = c.Txn(within).If(clientv3.Compare(clientv3.Value(key), "=", value)).Then(clientv3.OpDelete(key)).Commit()
		if err == nil && !r.Succeeded {
			err = fmt.Errorf("the key does not hold %s any more", value)
		}
	default:
		var r *clientv3.GetResponse
		if r, err = c.Get(within, key); err == nil && len(r.Kvs) != 0 {
			err = fmt.Errorf("a deleted key holds %v", r.Kvs)
		}
	}
	if ctx.Err() != nil {
		return false
	}
	ended := time.Now()
	s.calls.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = max(s.slow, ended.Sub(began))
	if err != nil {
		s.errors = append(s.errors, callError{span{began, ended}, id, n, err})
	}
	return err == nil
}

// faultless ends the clients; none may have seen an error that is not excused.
func (s *service) faultless(g *group) {
	g.Helper()
	s.end()
	faults := 0
	for _, e := range s.errors {
		if slices.ContainsFunc(s.excused, func(x span) bool { return !e.from.After(x.to) && !e.to.Before(x.from) }) {
			continue
		}
		if faults++; faults <= shownErrors {
			g.Error(e)
		}
	}
	g.Logf("%d calls, %d errors, %d more while etcd handed over (%d times); the slowest call took %s",
		s.calls.Load(), faults, len(s.errors)-faults, len(s.excused), s.slow.Round(time.Millisecond))
}

// await lets the clients make some more calls.
func (s *service) await(g *group, n int64) {
	g.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for enough := s.calls.Load() + n; s.calls.Load() < enough; {
		select {
		case <-tick.C:
		case <-g.ctx.Done():
			g.Fatal("clients make no progress")
		}
	}
}
