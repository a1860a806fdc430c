package readme

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

const (
	// limit bounds each test.
	limit = time.Minute
	// binary and folder are where README has the program and its data.
	binary, folder = "target/release/mainstay", "/tmp/m"
	// size is the line of README that says which members there are, and what it says of
	// clusters of five.
	sizeOf3, sizeOf5 = `members="1 2 3"`, `members="1 2 3 4 5"`
)

// TestCluster pastes README's cluster into a shell, and does the same with five members
// as README says. The network is the test's own, so the ports are README's.
func TestCluster(t *testing.T) {
	target := harness.MustTarget(t)
	if !target.IsMainstay() {
		t.Skip("skipped: README is about mainstay")
	}
	if !harness.Inside(t) {
		return
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	script := blockAfter(t, string(text), "A cluster of three")
	if !strings.Contains(string(text), "`"+sizeOf5+"`") {
		t.Errorf("README does not say %s", sizeOf5)
	}
	for _, size := range []int{3, 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			members := script
			if size == 5 {
				members = replace(t, script, sizeOf3, sizeOf5)
			}
			dir := t.TempDir()
			members = replace(t, replace(t, members, binary, target.Path), folder, dir+"/m")
			paste(t, members)
			serves(t, dir, size)
		})
	}
}

// blockAfter is the first block of shell commands after a text.
func blockAfter(t *testing.T, page, text string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, text)
	_, rest, opened := strings.Cut(rest, "```sh\n")
	block, _, closed := strings.Cut(rest, "```\n")
	if !found || !opened || !closed {
		t.Fatalf("README has no commands after %q", text)
	}
	return block
}

// replace insists that there is something to replace.
func replace(t *testing.T, text, old, with string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("README's commands have no %q:\n%s", old, text)
	}
	return strings.ReplaceAll(text, old, with)
}

// paste runs commands in a shell, which ends with the test together with what it started.
func paste(t *testing.T, commands string) {
	t.Helper()
	shell := exec.Command("sh", "-c", "trap 'kill -9 0' TERM\n"+commands+"wait\n")
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	shell.Stdout, shell.Stderr = log, log
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL)
		_ = shell.Wait()
		if out, err := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%v %s", err, out)
		}
	})
}

// serves writes to each member and reads from the next, then kills as many as the others
// can do without, and does that again.
func serves(t *testing.T, dir string, size int) {
	ctx := harness.Context(t, limit)
	clients := make([]*harness.Client, size)
	for i := range clients {
		c, err := harness.Dial(fmt.Sprintf("127.0.0.1:%d2379", i+1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		clients[i] = c
	}
	round := func(clients []*harness.Client, name string) {
		for i, c := range clients {
			key := fmt.Appendf(nil, "%s%d", name, i)
			insist(ctx, t, func() error {
				_, err := c.KV.Put(ctx, &pb.PutRequest{Key: key, Value: key})
				return err
			})
			insist(ctx, t, func() error {
				r, err := clients[(i+1)%len(clients)].KV.Range(ctx, &pb.RangeRequest{Key: key})
				if err == nil && (len(r.Kvs) != 1 || string(r.Kvs[0].Value) != string(key)) {
					t.Fatalf("%s holds %v", key, r.Kvs)
				}
				return err
			})
		}
	}
	round(clients, "all")
	list, err := clients[0].Cluster.MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
	if err != nil || len(list.Members) != size {
		t.Fatalf("%d members, not %d: %v", len(list.GetMembers()), size, err)
	}
	minority := (size - 1) / 2
	for i := range minority {
		kill(t, fmt.Sprintf("%s/m%d", dir, i+1))
	}
	round(clients[minority:], "majority")
}

// insist repeats a call until the cluster is there.
func insist(ctx context.Context, t *testing.T, call func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := call()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

// kill ends the member that has a data directory.
func kill(t *testing.T, dataDir string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		args, err := os.ReadFile(line)
		if err != nil || !strings.Contains(string(args), "--data-dir\x00"+dataDir+"\x00") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(line)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("nobody has %s", dataDir)
}
