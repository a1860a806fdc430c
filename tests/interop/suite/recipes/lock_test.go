package recipes

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/status"
)

// TestExclusion: each kind waits for each other, and comes next.
func TestExclusion(t *testing.T) {
	compare(t, func(w *world) {
		for _, a := range kinds {
			for _, b := range kinds {
				name := fmt.Sprintf("pair/%s-%s", a, b)
				first := w.lock(a, name)
				held := w.must(first)
				second := w.lock(b, name)
				line := w.inLine(name, 2)
				if line[0] != held {
					t.Fatalf("%s holds %q, in line are %q", a, held, line)
				}
				still(w, second.got, "two hold the lock")
				w.check(first.release())
				if key := w.must(second); key != line[1] {
					t.Fatalf("%s holds %q, not %q", b, key, line[1])
				}
				w.check(second.release())
				w.inLine(name, 0)
				w.tell("%s before %s", a, b)
			}
		}
	})
}

// TestTurns: who stands in line first comes first.
func TestTurns(t *testing.T) {
	compare(t, func(w *world) {
		var lockers []*locker
		for i := range 9 {
			lockers = append(lockers, w.lock(kinds[i%len(kinds)], "turns"))
			w.inLine("turns", i+1)
		}
		line := w.keys("turns")
		for i, l := range lockers {
			if key := w.must(l); key != line[i] {
				t.Fatalf("%d holds %q, not %q", i, key, line[i])
			}
			for _, later := range lockers[i+1:] {
				still(w, later.got, "two hold the lock")
			}
			w.tell("%d: %s", i, l.kind)
			w.check(l.release())
		}
		w.inLine("turns", 0)
	})
}

// TestCrowd: many at once, each of whom reads and writes without any other guard.
// They come in the order in which the server put them in line.
func TestCrowd(t *testing.T) {
	compare(t, func(w *world) {
		const rounds = 4
		var lockers []*locker
		for i := range rounds * len(kinds) {
			lockers = append(lockers, w.lock(kinds[i%len(kinds)], "crowd"))
		}
		var mu sync.Mutex
		var turns []int64
		errs := make(chan error, len(lockers))
		for _, l := range lockers {
			go func() {
				errs <- func() error {
					r := <-l.got
					if r.err != nil {
						return fmt.Errorf("%s: %w", l.kind, r.err)
					}
					own, err := w.stub.KV.Range(w.ctx, &pb.RangeRequest{Key: []byte(r.key)})
					if err != nil || own.Count != 1 {
						return fmt.Errorf("%s holds %q: %v, %w", l.kind, r.key, own, err)
					}
					mu.Lock()
					turns = append(turns, own.Kvs[0].CreateRevision)
					mu.Unlock()
					counted, err := w.lib.Get(w.ctx, "count")
					if err != nil {
						return err
					}
					count := 0
					if counted.Count == 1 {
						if count, err = strconv.Atoi(string(counted.Kvs[0].Value)); err != nil {
							return err
						}
					}
					if _, err := w.lib.Put(w.ctx, "count", strconv.Itoa(count+1)); err != nil {
						return err
					}
					return l.release()
				}()
			}()
		}
		for range lockers {
			w.check(await(w, errs, "turn"))
		}
		if !slices.IsSorted(turns) {
			t.Fatalf("turns by create revision: %v", turns)
		}
		counted, err := w.lib.Get(w.ctx, "count")
		w.check(err)
		w.tell("%s turns", counted.Kvs[0].Value)
		if got := string(counted.Kvs[0].Value); got != strconv.Itoa(len(lockers)) {
			t.Fatalf("%s turns were counted, not %d", got, len(lockers))
		}
		w.inLine("crowd", 0)
	})
}

// TestGivingUp: who stops waiting leaves nothing, and lets nobody in.
func TestGivingUp(t *testing.T) {
	compare(t, func(w *world) {
		for _, k := range kinds {
			name := "giving-up/" + string(k)
			w.watchers(0)
			first := w.lock(service, name)
			w.must(first)
			second := w.lock(k, name)
			before := w.inLine(name, 2)
			third := w.lock(library, name)
			w.inLine(name, 3)
			w.watchers(2)
			w.check(second.cancel())
			r := await(w, second.got, "end of the wait")
			w.tell("%s: %s", k, status.Code(r.err))
			if left := w.inLine(name, 2); left[0] != before[0] || left[1] == before[1] {
				t.Fatalf("%s is gone: %q of %q", k, left, before)
			}
			still(w, third.got, "two hold the lock")
			w.check(first.release())
			w.must(third)
			w.check(third.release())
		}
	})
}

// TestLostLeases: when a holder is no longer heard of, the next one comes.
func TestLostLeases(t *testing.T) {
	compare(t, func(w *world) {
		var waiting []*locker
		for _, a := range kinds {
			for _, b := range kinds {
				name := fmt.Sprintf("lost/%s-%s", a, b)
				first := w.lockFor(a, name, shortTTL)
				w.must(first)
				waiting = append(waiting, w.lock(b, name))
				w.check(first.abandon())
			}
		}
		for i, l := range waiting {
			w.must(l)
			w.check(l.release())
			w.tell("%s after %s", l.kind, kinds[i/len(kinds)])
		}
	})
}

// TestLostWhileWaiting: a contender whose lease ends in line learns it at its turn.
func TestLostWhileWaiting(t *testing.T) {
	compare(t, func(w *world) {
		for _, k := range []kind{service, library} {
			name := "waiting/" + string(k)
			first := w.lock(service, name)
			w.must(first)
			second := w.lockFor(k, name, longTTL)
			w.inLine(name, 2)
			_, err := w.stub.Lease.LeaseRevoke(w.ctx, &pb.LeaseRevokeRequest{ID: w.leases})
			w.check(err)
			w.inLine(name, 1)
			w.check(first.release())
			r := await(w, second.got, "end of the wait")
			w.tell("%s: %v", k, r.err)
			if r.err == nil {
				t.Fatalf("%s holds %q without a lease", k, r.key)
			}
		}
	})
}

// TestSameLease: a lease has one place in line, whoever uses it.
func TestSameLease(t *testing.T) {
	compare(t, func(w *world) {
		lease := w.lease(longTTL)
		for range 2 {
			r, err := w.stub.Lock.Lock(w.ctx, &v3lockpb.LockRequest{Name: []byte("same"), Lease: lease})
			w.check(err)
			w.tell("%s at %d", r.Key, r.Header.Revision)
		}
		w.tell("%q", w.keys("same"))
	})
}

func TestLockErrors(t *testing.T) {
	compare(t, func(w *world) {
		long := make([]byte, 1600000)
		for _, r := range []*v3lockpb.LockRequest{
			{Name: []byte("l"), Lease: 999}, {Name: []byte("l"), Lease: -1}, {Lease: 999}, {Name: long, Lease: w.lease(longTTL)},
		} {
			_, err := w.stub.Lock.Lock(w.ctx, r)
			w.tell("lock %.9q %d: %v", r.Name, r.Lease, err)
		}
		for _, key := range []string{"", "absent"} {
			_, err := w.stub.Lock.Unlock(w.ctx, &v3lockpb.UnlockRequest{Key: []byte(key)})
			w.tell("unlock %q: %v", key, err)
		}
	})
}
