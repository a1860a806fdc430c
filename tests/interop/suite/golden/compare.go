package golden

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// ours is the tool under test: the product, called by that name.
func ours(t testing.TB, name string) string {
	t.Helper()
	target := harness.MustTarget(t)
	if !target.IsMainstay() {
		return harness.MustCtl(t, name, "3.7")
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(target.Path, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve gives a tool a fresh server, whose storage version is settled: status shows it.
func serve(t *testing.T, tool string, bin harness.Binary) *side {
	t.Helper()
	args := []string{"--bcrypt-cost=4", "--watch-progress-notify-interval=1s"}
	if strings.HasSuffix(bin.Label, "3.5") {
		args[1] = "--experimental-watch-progress-notify-interval=1s"
	}
	s := harness.Start(t, bin, harness.Options{Args: args})
	c, ctx := s.Client(t), harness.Context(t, 30*time.Second)
	words := map[string]string{"dir": t.TempDir(), "endpoint": s.Addr}
	for {
		st, err := c.Maintenance.Status(ctx, &pb.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if st.StorageVersion != "" && st.StorageVersion[:3] == st.Version[:3] || st.Version < "3.6" {
			return &side{tool: tool, client: c, words: words}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// offline is a side without a server: a tool that works on files in {dir}.
func offline(t *testing.T, tool string) *side {
	return &side{tool: tool, words: map[string]string{"dir": t.TempDir()}}
}

// compare runs a table with two tools, and judges it.
func compare(t *testing.T, want, got *side, table []call, listed map[string]string) {
	t.Helper()
	names := make([]string, len(table))
	for i, c := range table {
		names[i] = c.name()
	}
	Judge(t, names, different(t, want, got, table), listed)
}

// Judge takes the names of all calls of a table, and how those differ that do. Calls
// that differ must be listed with a reason, and those that are listed must differ.
func Judge(t *testing.T, names []string, differ, listed map[string]string) {
	t.Helper()
	for name, how := range differ {
		if reason, ok := listed[name]; ok {
			t.Logf("%q differs: %s", name, reason)
		} else {
			t.Errorf("%q differs\n%s", name, how)
		}
	}
	for _, name := range names {
		if _, ok := listed[name]; ok && differ[name] == "" {
			t.Errorf("%q differs no more: take it off the list", name)
		}
	}
	t.Logf("%d calls, %d differ", len(names), len(differ))
}

// different runs a table with two tools, and says how results differ, by call.
func different(t *testing.T, want, got *side, table []call) map[string]string {
	t.Helper()
	differ := map[string]string{}
	for _, c := range table {
		var a, b result
		var errA, errB error
		var both sync.WaitGroup
		both.Go(func() { a, errA = want.run(t.Context(), c) })
		b, errB = got.run(t.Context(), c)
		both.Wait()
		if errA != nil || errB != nil {
			t.Errorf("%q: reference: %v, ours: %v", c.name(), errA, errB)
			continue
		}
		if a != b {
			differ[c.name()] = "reference: " + a.String() + "ours: " + b.String()
		}
	}
	return differ
}
