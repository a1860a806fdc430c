package golden

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
)

// TestEtcdctl compares every command of etcdctl, against servers of upstream.
func TestEtcdctl(t *testing.T) {
	t.Parallel()
	etcd := harness.MustEtcd(t, "3.7")
	table := ctlTable()
	if len(table) < 300 {
		t.Errorf("only %d calls", len(table))
	}
	compare(t, serve(t, harness.MustCtl(t, "etcdctl", "3.7"), etcd), serve(t, ours(t, "etcdctl"), etcd), table, ctlDifferences)
}

// TestEtcdctlOnOurServers is the same, against servers under test.
func TestEtcdctlOnOurServers(t *testing.T) {
	t.Parallel()
	target := harness.MustTarget(t)
	compare(t, serve(t, harness.MustCtl(t, "etcdctl", "3.7"), target), serve(t, ours(t, "etcdctl"), target), ctlTable(), ctlDifferences)
}

// TestOtherServers tries our etcdctl with the releases that people have.
func TestOtherServers(t *testing.T) {
	t.Parallel()
	for _, minor := range []string{"3.5", "3.6", "3.7"} {
		t.Run(minor, func(t *testing.T) {
			t.Parallel()
			etcd := harness.MustEtcd(t, minor)
			compare(t, serve(t, harness.MustCtl(t, "etcdctl", "3.7"), etcd), serve(t, ours(t, "etcdctl"), etcd), shortTable(), nil)
		})
	}
}

// TestCheckPerf is etcdctl's own measurement, which takes a minute.
func TestCheckPerf(t *testing.T) {
	t.Parallel()
	etcd := harness.MustEtcd(t, "3.7")
	s := serve(t, ours(t, "etcdctl"), etcd)
	r, err := s.run(t.Context(), ctl("check perf --auto-compact --auto-defrag").lasting(2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	// Whether it passes depends on the machine.
	for _, line := range []string{"Compacted with revision N\n", "Defragmented \"{endpoint}\"\n", "Throughput", "Slowest request took", "Stddev"} {
		if !strings.Contains(r.stdout, line) {
			t.Errorf("there is no %q in %s", line, r)
		}
	}
	r, err = s.run(t.Context(), ctl("check datascale --auto-compact --auto-defrag").lasting(2*time.Minute))
	if err != nil || r.exit != 0 || !strings.Contains(r.stdout, "PASS: Approximate system memory used: SIZE.\n") {
		t.Errorf("%v, %s", err, r)
	}
	if r, err := s.run(t.Context(), ctl("get --prefix /etcdctl-check- --keys-only")); err != nil || r.stdout != "" {
		t.Errorf("keys are left: %v, %s", err, r)
	}
}

// TestDifferencesAreFound sees to it that the comparison finds what differs: an
// exit code, a line on standard error, a value.
func TestDifferencesAreFound(t *testing.T) {
	t.Parallel()
	etcd := harness.MustEtcd(t, "3.7")
	real := harness.MustCtl(t, "etcdctl", "3.7")
	a, b := serve(t, real, etcd), serve(t, real, etcd)
	if _, err := a.run(t.Context(), ctl("put only-here 1")); err != nil {
		t.Fatal(err)
	}
	a.words["flag"], b.words["flag"] = "--nosuch", "--neither"
	a.words["file"], b.words["file"] = "/nosuch/a", b.words["dir"]+"/a"
	table := []call{ctl("get only-here"), ctl("get a {flag}"), ctl("snapshot save {file}"), ctl("version"), ctl("get absent")}
	differ := different(t, a, b, table)
	var names []string
	for name := range differ {
		names = append(names, name)
	}
	slices.Sort(names)
	// Words are shown by their names, so that the flag itself is no difference.
	if want := []string{"get only-here", "snapshot save {file}"}; !slices.Equal(names, want) {
		t.Errorf("%q differ, and %q should", names, want)
	}
	for text, outlined := range map[string]string{
		"Reads.\n\nUsage:\n  x get [flags]\n\nFlags:\n      --limit int   most (default 3)\n  -h, --help        help\n": "Usage:\n  x get [flags]\n\nFlags:\n      --limit int (default 3)\n  -h, --help\n\n",
		"Error: no\nUsage:\n  x [command]\n\nKeys\n  get   Reads\n":                                                     "Error: no\nUsage:\n  x [command]\n\nKeys\n  get\n\n",
	} {
		if got := outline(text); got != outlined {
			t.Errorf("the outline of %q is %q", text, got)
		}
	}
}
