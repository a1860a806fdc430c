package recipes

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"mainstay.dev/tests/interop/suite/harness"
)

const (
	// limit bounds each scenario on one server.
	limit = 2 * time.Minute
	// longTTL is of leases that do not end in a test, shortTTL of those that do;
	// seconds.
	longTTL, shortTTL = 600, 2
)

// world is one server with all ways to reach it, and the account of a scenario.
type world struct {
	t   *testing.T
	ctx context.Context
	// stub calls the services, lib is etcd's client, ctl the path of etcdctl.
	stub   *harness.Client
	lib    *clientv3.Client
	ctl    string
	addr   string
	leases int64
	told   []string
}

// compare runs a scenario on both servers and compares what it wrote down.
func compare(t *testing.T, scenario func(w *world)) {
	t.Helper()
	ctl := harness.MustCtl(t, "etcdctl", "3.7")
	var accounts [][]string
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		s := harness.Start(t, bin, harness.Options{})
		lib, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Addr}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = lib.Close() })
		w := &world{t: t, ctx: harness.Context(t, limit), stub: s.Client(t), lib: lib, ctl: ctl, addr: s.Addr, leases: 0x100}
		scenario(w)
		accounts = append(accounts, w.told)
	})
	if len(accounts) == 2 && !slices.Equal(accounts[0], accounts[1]) {
		t.Fatalf("upstream:\n%s\ntarget:\n%s", strings.Join(accounts[0], "\n"), strings.Join(accounts[1], "\n"))
	}
}

// tell adds a line to the account.
func (w *world) tell(format string, args ...any) {
	w.told = append(w.told, fmt.Sprintf(format, args...))
}

// check ends the test after an error.
func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// lease grants a lease that nobody renews; ids are equal on all servers.
func (w *world) lease(ttl int64) int64 {
	w.t.Helper()
	w.leases++
	_, err := w.stub.Lease.LeaseGrant(w.ctx, &pb.LeaseGrantRequest{ID: w.leases, TTL: ttl})
	w.check(err)
	return w.leases
}

// keys lists the keys of a lock or election, oldest first.
func (w *world) keys(name string) []string {
	w.t.Helper()
	got, err := w.lib.Get(w.ctx, name+"/", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	w.check(err)
	var keys []string
	for _, kv := range got.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

// inLine returns the keys once there are so many.
func (w *world) inLine(name string, count int) []string {
	w.t.Helper()
	for {
		// The context bounds this.
		if keys := w.keys(name); len(keys) == count {
			return keys
		}
	}
}

// watchers waits until the server has so many. A contender who watches the one in
// front has seen the answer to its put; before that, etcd and its client forget the
// key of one who gives up.
func (w *world) watchers(count int) {
	w.t.Helper()
	want := fmt.Sprintf("\netcd_debugging_mvcc_watcher_total %d\n", count)
	for {
		request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, "http://"+w.addr+"/metrics", nil)
		w.check(err)
		reply, err := http.DefaultClient.Do(request)
		w.check(err)
		text, err := io.ReadAll(reply.Body)
		_ = reply.Body.Close()
		w.check(err)
		if strings.Contains(string(text), want) {
			return
		}
	}
}

// await receives, or ends the test when time is up.
func await[T any](w *world, from <-chan T, what string) T {
	w.t.Helper()
	select {
	case v := <-from:
		return v
	case <-w.ctx.Done():
		w.t.Fatalf("no %s: %v", what, w.ctx.Err())
		panic("unreachable")
	}
}

// still fails the test if there is something to receive already.
func still[T any](w *world, from <-chan T, what string) {
	w.t.Helper()
	select {
	case v := <-from:
		w.t.Fatalf("%s: %v", what, v)
	default:
	}
}
