package recipes

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
)

// kind is a way to take part.
type kind string

const (
	service kind = "service"
	library kind = "library"
	etcdctl kind = "etcdctl"
)

var kinds = []kind{service, library, etcdctl}

// locker is somebody who wants a lock.
type locker struct {
	kind kind
	// got receives the key once the lock is held, or why it never will be.
	got chan result
	// release gives the lock back, cancel gives up waiting; both wait for the effect
	// on the client's side.
	release, cancel func() error
	// abandon stops the renewal of the lease and leaves everything as it is.
	abandon func() error
}

type result struct {
	key string
	err error
}

// lock starts to ask for a lock.
func (w *world) lock(k kind, name string) *locker { return w.lockFor(k, name, longTTL) }

func (w *world) lockFor(k kind, name string, ttl int64) *locker {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	w.t.Cleanup(cancel)
	l := &locker{kind: k, got: make(chan result, 1), cancel: func() error { cancel(); return nil }}
	switch k {
	case service:
		var key []byte
		lease := w.lease(ttl)
		go func() {
			r, err := w.stub.Lock.Lock(ctx, &v3lockpb.LockRequest{Name: []byte(name), Lease: lease})
			key = r.GetKey()
			l.got <- result{string(key), err}
		}()
		l.release = func() error {
			_, err := w.stub.Lock.Unlock(w.ctx, &v3lockpb.UnlockRequest{Key: key})
			return err
		}
		l.abandon = func() error { return nil }
	case library:
		session, err := concurrency.NewSession(w.lib, concurrency.WithLease(clientv3.LeaseID(w.lease(ttl))))
		w.check(err)
		mutex := concurrency.NewMutex(session, name)
		go func() {
			err := mutex.Lock(ctx)
			l.got <- result{mutex.Key(), err}
		}()
		l.release = func() error { return mutex.Unlock(w.ctx) }
		l.abandon = func() error { session.Orphan(); return nil }
	case etcdctl:
		p := w.start("lock", name, fmt.Sprintf("--ttl=%d", ttl))
		go func() {
			if key, ok := <-p.lines; ok {
				l.got <- result{key: key}
			} else {
				l.got <- result{err: errEnded}
			}
		}()
		l.release, l.cancel, l.abandon = p.interrupt, p.interrupt, p.kill
	}
	return l
}

// must waits until the lock is held.
func (w *world) must(l *locker) string {
	w.t.Helper()
	r := await(w, l.got, "lock for "+string(l.kind))
	if r.err != nil {
		w.t.Fatalf("%s: %v", l.kind, r.err)
	}
	return r.key
}
