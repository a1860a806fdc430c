package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"mainstay.dev/tests/interop/suite/harness"
)

const (
	// watchedPrefixes is how many parts of the key space are watched.
	watchedPrefixes = 50
	// watchersPerStream is how many watchers share a connection.
	watchersPerStream = 100
	// lastKey ends the history of a prefix.
	lastKey = "~last"
)

// watcher is what one watcher got.
type watcher struct {
	prefix string
	// revisions of the events, in order of arrival.
	revisions []int64
	ended     bool
}

// watchers hang on one member and never reconnect.
type watchers struct {
	all  []*watcher
	wait sync.WaitGroup

	mu    sync.Mutex
	fault error
	// gone says when the deletion of each key below leasePrefix was told.
	gone map[string]time.Time
	// goneGrown is closed and replaced with every one.
	goneGrown chan struct{}
}

func watchedPrefix(n int) string { return fmt.Sprintf("watched/%02d/", n%watchedPrefixes) }

// watch opens n watchers on a member, from a revision on, and one for the keys of
// leases.
func (g *group) watch(s *harness.Server, n int, from int64) *watchers {
	g.Helper()
	w := &watchers{gone: map[string]time.Time{}, goneGrown: make(chan struct{})}
	for i := range n {
		w.all = append(w.all, &watcher{prefix: watchedPrefix(i)})
	}
	for begin := 0; begin < n; begin += watchersPerStream {
		share := w.all[begin:min(n, begin+watchersPerStream)]
		ready := make(chan struct{})
		w.wait.Go(func() { w.fail(w.follow(g.ctx, s.Client(g.T), share, from, ready)) })
		g.await(ready)
	}
	ready := make(chan struct{})
	client := s.Client(g.T)
	ctx, stop := context.WithCancel(g.ctx)
	g.Cleanup(stop)
	go w.followLeases(ctx, client, from, ready)
	g.await(ready)
	return w
}

func (g *group) await(what <-chan struct{}) {
	g.Helper()
	select {
	case <-what:
	case <-g.ctx.Done():
		g.Fatal(g.ctx.Err())
	}
}

func (w *watchers) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == nil {
		w.fault = err
	}
}

// follow keeps a share of the watchers on one stream until the last event of each.
func (w *watchers) follow(ctx context.Context, c *harness.Client, share []*watcher, from int64, ready chan<- struct{}) error {
	stream, err := c.Watch.Watch(ctx)
	if err != nil {
		return err
	}
	go func() {
		for i, one := range share {
			create := &pb.WatchCreateRequest{Key: []byte(one.prefix), RangeEnd: []byte(one.prefix + "\x7f"), StartRevision: from, WatchId: int64(i + 1)}
			if stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}) != nil {
				return // The receiver is told why.
			}
		}
	}()
	created, open := 0, len(share)
	for open > 0 {
		r, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("a watch stream ended: %w", err)
		}
		if r.Canceled {
			return fmt.Errorf("watcher %d was cancelled: %v", r.WatchId, r)
		}
		if r.Created {
			if created++; created == len(share) {
				close(ready)
			}
		}
		one := share[max(0, r.WatchId-1)]
		for _, e := range r.Events {
			key := string(e.Kv.Key)
			if !strings.HasPrefix(key, one.prefix) {
				return fmt.Errorf("the watcher of %s got %s", one.prefix, key)
			}
			one.revisions = append(one.revisions, e.Kv.ModRevision)
			if strings.HasSuffix(key, lastKey) && !one.ended {
				one.ended = true
				open--
			}
		}
	}
	return stream.CloseSend()
}

// followLeases notes when keys with leases go.
func (w *watchers) followLeases(ctx context.Context, c *harness.Client, from int64, ready chan<- struct{}) {
	stream, err := c.Watch.Watch(ctx)
	if err == nil {
		create := &pb.WatchCreateRequest{Key: []byte(leasePrefix), RangeEnd: []byte(leasePrefix + "\x7f"), StartRevision: from}
		err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}})
	}
	for err == nil {
		var r *pb.WatchResponse
		if r, err = stream.Recv(); err != nil {
			break
		}
		if r.Created {
			close(ready)
		}
		w.mu.Lock()
		for _, e := range r.Events {
			if e.Type == mvccpb.DELETE {
				w.gone[string(e.Kv.Key)] = time.Now()
				close(w.goneGrown)
				w.goneGrown = make(chan struct{})
			}
		}
		w.mu.Unlock()
	}
	if ctx.Err() == nil {
		w.fail(err)
	}
}
