// Package native runs the commands of mainstay itself against real etcd and against
// Mainstay: both are the same to them.
package native

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
)

// tool is our binary with a server to talk to.
type tool struct {
	path, endpoint string
}

// run gives standard output, standard error and the exit code.
func (c tool) run(t *testing.T, stdin string, args ...string) (string, string, int) {
	t.Helper()
	cmd := exec.CommandContext(harness.Context(t, time.Minute), c.path, args...)
	cmd.Env = append(os.Environ(), "MAINSTAY_ENDPOINTS="+c.endpoint)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// step is a call, and parts of what it must say.
type step struct {
	args   string
	stdin  string
	code   int
	stdout []string
	stderr []string
}

// each starts a fresh server of both kinds.
func each(t *testing.T, test func(t *testing.T, c tool)) {
	ours := harness.MustTarget(t)
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		s := harness.Start(t, bin, harness.Options{Metrics: true})
		test(t, tool{ours.Path, s.Addr})
	})
}

// TestCommands goes through keys, leases, locks and the cluster, failures too.
func TestCommands(t *testing.T) {
	steps := []step{
		{args: "put greeting hello", stdout: []string{"put greeting at revision 2\n"}},
		{args: "get greeting", stdout: []string{"hello\n"}},
		{args: "get greeting -o json", stdout: []string{`"value": "hello"`, `"mod_revision": 2`}},
		{args: "put greeting hi --if-absent", code: 1, stderr: []string{"is at revision 2", "Try:"}},
		{args: "put greeting hi --if-revision 2", stdout: []string{"revision 3"}},
		{args: "put other x --if-revision 9", code: 1, stderr: []string{"there is no key"}},
		{args: "put piped -", stdin: "from standard input", stdout: []string{"revision 4"}},
		{args: "get --prefix g", stdout: []string{"KEY       VALUE  REVISION  VERSION  LEASE\ngreeting  hi     3         2\n"}},
		{args: "get --prefix  -o name", code: 2, stderr: []string{"accepts between 1 and 2"}},
		{args: "get --prefix p -o name", stdout: []string{"piped\n"}},
		{args: "get --prefix p -o yaml", stdout: []string{"value: \"from standard input\"\n"}},
		{args: "get --prefix p --count", stdout: []string{"1\n"}},
		{args: "get --rev 2 greeting", stdout: []string{"hello\n"}},
		{args: "get nothing", code: 1, stderr: []string{"there is no key \"nothing\""}},
		{args: "get a -o xml", code: 2, stderr: []string{"there is no format \"xml\"", "table, json"}},
		{args: "watch greeting --rev 2 --count 2", stdout: []string{"created  greeting = hello  at revision 2\n", "changed  greeting = hi  at revision 3\n"}},
		{args: "del greeting", code: 2, stderr: []string{"not done: this deletes", "--yes"}},
		{args: "del greeting --yes", stdout: []string{"deleted 1 key at revision 5\n"}},
		{args: "del greeting --yes", code: 1, stderr: []string{"nothing to delete"}},
		{args: "txn if create l = 0 then put l me else get l", stdout: []string{"the conditions hold\nput\n"}},
		{args: "txn if create l = 0 then put l me else get l", code: 1, stdout: []string{"the conditions do not hold\nget  l = me  at revision 6\n"}},
		{args: "txn if size l = 0 then get l", code: 2, stderr: []string{"nothing is compared by"}},
		{args: "lease get 12", code: 1, stderr: []string{"there is no lease 12"}},
		{args: "lease grant soon", code: 2, stderr: []string{"is no time"}},
		{args: "lock name -- sh -c exit\\ $(test\\ $MAINSTAY_LOCK_REVISION\\ -gt\\ 1\\ &&\\ echo\\ 7)", code: 7},
		{args: "health", stdout: []string{"healthy"}},
		{args: "status", stdout: []string{"healthy · 1/1 members · can lose 0", "leader"}},
		{args: "member list", stdout: []string{"voter"}},
		{args: "member remove nobody", code: 1, stderr: []string{"there is no member"}},
		{args: "doctor -o json", stdout: []string{"there is one voting member"}},
		{args: "bench put --requests 200 -o json", stdout: []string{`"requests": 200`}},
		{args: "bench get --requests 100 --keys 10", stdout: []string{"PER SECOND"}},
		{args: "bench list --requests 10 --keys 50", stdout: []string{"list"}},
		{args: "bench txn --requests 50 --keys 10", stdout: []string{"txn"}},
		{args: "bench watch --requests 50 --clients 2", stdout: []string{"watch"}},
		{args: "bench lease --requests 50", stdout: []string{"lease"}},
		{args: "bench put --keys 0", code: 2, stderr: []string{"--keys must be above 0"}},
		{args: "get --prefix mainstay-bench/ --count", stdout: []string{"0\n"}},
		{args: "get a --endpoints 127.0.0.1:1", code: 1, stderr: []string{"onnection refused", "check --endpoints"}},
		{args: "frobnicate", code: 1 + 1, stderr: []string{"unknown command"}},
		{args: "completion bash", stdout: []string{"mainstay"}},
		{args: "man", stdout: []string{".TH MAINSTAY 1\n"}},
	}
	each(t, func(t *testing.T, c tool) {
		for _, step := range steps {
			stdout, stderr, code := c.run(t, step.stdin, words(step.args)...)
			if code != step.code {
				t.Errorf("%s: exit %d, not %d\n%s%s", step.args, code, step.code, stdout, stderr)
			}
			for _, part := range step.stdout {
				if !strings.Contains(stdout, part) {
					t.Errorf("%s: %q is not in %q", step.args, part, stdout)
				}
			}
			for _, part := range step.stderr {
				if !strings.Contains(stderr, part) {
					t.Errorf("%s: %q is not in %q", step.args, part, stderr)
				}
			}
		}
	})
}

// words splits at blanks that have no backslash in front.
func words(text string) []string {
	var all []string
	for _, word := range strings.Split(strings.ReplaceAll(text, "\\ ", "\x00"), " ") {
		if word != "" {
			all = append(all, strings.ReplaceAll(word, "\x00", " "))
		}
	}
	return all
}

// TestLeases makes a lease, gives it a key, and ends it.
func TestLeases(t *testing.T) {
	each(t, func(t *testing.T, c tool) {
		id, stderr, code := c.run(t, "", "lease", "grant", "2m")
		id = strings.TrimSpace(id)
		if code != 0 || id == "" {
			t.Fatalf("%d %s", code, stderr)
		}
		c.run(t, "", "put", "leased", "x", "--lease", id)
		out, _, _ := c.run(t, "", "lease", "list", "-o", "json")
		var leases []struct {
			Lease string
			TTL   int
			Keys  []string
		}
		if err := json.Unmarshal([]byte(out), &leases); err != nil || len(leases) != 1 || leases[0].Lease != id || leases[0].TTL != 120 || len(leases[0].Keys) != 1 {
			t.Fatalf("%v: %s", err, out)
		}
		if out, _, code := c.run(t, "", "lease", "keep-alive", id, "--once"); code != 0 || !strings.Contains(out, "120 s") {
			t.Errorf("%d %s", code, out)
		}
		if out, _, code := c.run(t, "", "lease", "revoke", id, "--yes"); code != 0 || !strings.Contains(out, "deleted 1 key\n") {
			t.Errorf("%d %s", code, out)
		}
		if _, _, code := c.run(t, "", "get", "leased"); code != 1 {
			t.Error("the key is still there")
		}
	})
}

// TestTransfer exports keys, changes some, and imports them.
func TestTransfer(t *testing.T) {
	each(t, func(t *testing.T, c tool) {
		for _, key := range []string{"k/1", "k/2", "k/3"} {
			c.run(t, "", "put", key, "v"+key)
		}
		c.run(t, "\xff\x00", "put", "k/bytes", "-")
		exported, _, code := c.run(t, "", "kv", "export", "k/")
		if code != 0 || strings.Count(exported, "\n") != 4 || !strings.Contains(exported, `"value_base64":"/wA="`) {
			t.Fatalf("%d %s", code, exported)
		}
		file := filepath.Join(t.TempDir(), "export.jsonl")
		if err := os.WriteFile(file, []byte(exported), 0o600); err != nil {
			t.Fatal(err)
		}
		c.run(t, "", "put", "k/2", "other")
		c.run(t, "", "del", "--yes", "k/bytes")
		if out, stderr, _ := c.run(t, "", "kv", "import", file, "--dry-run"); out != "changed  k/2\nnew  k/bytes\n" || !strings.Contains(stderr, "1 new keys, 1 changed ones, 2 as they are") {
			t.Errorf("%s%s", out, stderr)
		}
		if _, stderr, code := c.run(t, "", "kv", "import", file); code != 2 || !strings.Contains(stderr, "this overwrites values") {
			t.Errorf("%d %s", code, stderr)
		}
		if _, stderr, code := c.run(t, "", "kv", "import", file, "--cas", "--yes"); code != 1 || !strings.Contains(stderr, "1 keys were not written") {
			t.Errorf("%d %s", code, stderr)
		}
		if _, stderr, code := c.run(t, "", "kv", "import", file, "--yes"); code != 0 {
			t.Errorf("%d %s", code, stderr)
		}
		if out, _, _ := c.run(t, "", "get", "k/2"); out != "vk/2\n" {
			t.Errorf("%q", out)
		}
		if out, _, _ := c.run(t, "", "get", "k/bytes"); out != "\xff\x00\n" {
			t.Errorf("%q", out)
		}
		if _, stderr, code := c.run(t, "{\"key\":\"a\"}\n", "kv", "import", "-"); code != 1 || !strings.Contains(stderr, "line 1: there is no \"value\"") {
			t.Errorf("%d %s", code, stderr)
		}
	})
}

// TestDemo runs a cluster of three with a load; it must end by itself, and leave nothing.
func TestDemo(t *testing.T) {
	c := tool{path: harness.MustTarget(t).Path}
	out, stderr, code := c.run(t, "", "demo", "--nodes", "3", "--load", "50", "--for", "3s")
	if code != 0 || !strings.Contains(out, "3 members serve https://") || !strings.Contains(out, "stopped after 3 s") {
		t.Errorf("%d %s%s", code, out, stderr)
	}
	if _, stderr, code := c.run(t, "", "demo", "--nodes", "x"); code != 1 || !strings.Contains(stderr, "--kill-leader-every") {
		t.Errorf("%d %s", code, stderr)
	}
}
