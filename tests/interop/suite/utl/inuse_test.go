package utl

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/files"
	"mainstay.dev/tests/interop/suite/harness"
)

// TestInUse calls the tools on files that a running member, or another reader, has
// open. Upstream ends in a panic with exit code 2, or waits for ever.
func TestInUse(t *testing.T) {
	us := ours(t)
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		s := harness.Start(t, bin, harness.Options{})
		db := filepath.Join(s.DataDir, "member", "snap", "db")
		for _, line := range []string{
			"defrag --data-dir " + s.DataDir, "hashkv " + db, "snapshot status " + db,
			"migrate --data-dir " + s.DataDir + " --target-version 3.6",
		} {
			start := time.Now()
			r, err := us.run(t.Context(), t.TempDir(), "etcdutl", append(strings.Fields(line), "--timeout", "200ms")...)
			if err != nil {
				t.Fatal(err)
			}
			if r.exit != 1 || r.stdout != "" || !strings.Contains(r.stderr, "timeout: another process has "+db+" open") {
				t.Errorf("%s: %s", line, r)
			}
			if waited := time.Since(start); waited < 200*time.Millisecond {
				t.Errorf("%s: gave up after %s", line, waited)
			}
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		us.must(t, t.TempDir(), "defrag", "--data-dir", s.DataDir)
	})
}

// TestReaders looks at a file that another reader has open, as bbolt's readers do,
// and leaves it as it was to the byte.
func TestReaders(t *testing.T) {
	us := ours(t)
	m := prepare(t, harness.MustTarget(t), harness.MustCtl(t, "etcdctl", "3.7"))
	dir, us := m.side(t, us)
	path := filepath.Join(dir, "db")
	before := read(t, path)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	for _, c := range append(looks(), bbolts()...) {
		if _, err := us.run(t.Context(), dir, c.tool, m.expand(c.args)...); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(before, read(t, path)) || !bytes.Equal(before, read(t, filepath.Join(dir, "h.db"))) {
		t.Fatal("a look has changed the file")
	}
	if r, err := us.run(t.Context(), dir, "etcdutl", "snapshot", "status", "db"); err != nil || r.exit != 0 {
		t.Fatalf("%v, %s", err, r)
	}
}

// TestDefragmented defragments directories that either server made, with either
// tool, and serves them with both.
func TestDefragmented(t *testing.T) {
	up, us := upstream(t), ours(t)
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		m := prepare(t, bin, harness.MustCtl(t, "etcdctl", "3.7"))
		size := func(dir string) int64 {
			info, err := os.Stat(filepath.Join(dir, "member", "snap", "db"))
			if err != nil {
				t.Fatal(err)
			}
			return info.Size()
		}
		sizes := map[string]int64{}
		for _, tool := range []tools{up, us} {
			dir := filepath.Join(t.TempDir(), "data")
			if err := files.CopyDir(m.dir, dir); err != nil {
				t.Fatal(err)
			}
			tool.must(t, t.TempDir(), "defrag", "--data-dir", dir)
			sizes[tool.label] = size(dir)
			if err := files.CheckOffline(dir); err != nil {
				t.Fatalf("%s: %v", tool.label, err)
			}
			ctx := harness.Context(t, time.Minute)
			for _, server := range []harness.Binary{harness.MustTarget(t), harness.MustEtcd(t, "3.7")} {
				err := files.WithServer(ctx, server, t.TempDir(), dir, func(c *harness.Client) error { return m.known.CheckHashes(ctx, c) })
				if err != nil {
					t.Fatalf("%s, served by %s: %v", tool.label, server.Label, err)
				}
			}
		}
		t.Logf("%d bytes before, then %v", size(m.dir), sizes)
		if sizes[us.label] > size(m.dir) || sizes[us.label] > sizes[up.label]*11/10 {
			t.Errorf("ours is larger: %v", sizes)
		}
	})
}
