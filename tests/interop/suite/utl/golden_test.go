package utl

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/files"
	"mainstay.dev/tests/interop/suite/golden"
	"mainstay.dev/tests/interop/suite/harness"
)

// seed of the random writes.
const seed = 4711

// digestLen is how many bytes of SHA-256 end a snapshot.
const digestLen = 32

// source is what all files come from: rows on many pages, overflow pages, leases,
// users, a removed member, a compaction.
var source = files.Fixture{Name: "utl", Writes: 900, SnapshotCount: 200, CompactEvery: 250, Leases: true, Users: true, Learner: true, LargeValues: 2}

// made is a stopped data directory, a snapshot of it, and what it holds.
type made struct {
	dir, snapshot string
	known         *files.Manifest
	root          uint64
}

// prepare makes them with a server, and saves the snapshot with an etcdctl.
func prepare(t *testing.T, bin harness.Binary, ctl string) made {
	t.Helper()
	return prepareFrom(t, source, bin, ctl)
}

func prepareFrom(t *testing.T, fixture files.Fixture, bin harness.Binary, ctl string) made {
	t.Helper()
	ctx := harness.Context(t, 3*time.Minute)
	work := t.TempDir()
	m := made{dir: filepath.Join(work, "data"), snapshot: filepath.Join(work, "s.db")}
	known, err := fixture.MakeWith(ctx, bin, t.TempDir(), m.dir, seed)
	if err != nil {
		t.Fatal(err)
	}
	m.known = known
	m.save(t, bin, ctl, m.snapshot)
	m.root = rootPage(read(t, filepath.Join(m.dir, "member", "snap", "db")))
	return m
}

// save serves the directory and saves a snapshot of it.
func (m made) save(t *testing.T, bin harness.Binary, ctl, file string) {
	t.Helper()
	replica := filepath.Join(t.TempDir(), "replica")
	if err := files.CopyDir(m.dir, replica); err != nil {
		t.Fatal(err)
	}
	s := harness.Start(t, bin, harness.Options{DataDir: replica})
	defer s.Kill()
	args := []string{"--endpoints=" + s.Addr, "snapshot", "save", file}
	switch {
	case m.known.Auth != nil && m.known.Auth.Enabled:
		args = append(args, "--user=root:"+m.known.Auth.Password)
	case m.known.StorageVersion != "":
		waitStorage(t, s)
	}
	cmd := exec.CommandContext(harness.Context(t, time.Minute), ctl, args...)
	cmd.Env = []string{"ETCDCTL_API=3", "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", ctl, err, out)
	}
}

// side is a directory with the files that [calls] names, and the tools that run there.
func (m made) side(t *testing.T, with tools) (string, tools) {
	t.Helper()
	dir := t.TempDir()
	if err := files.CopyDir(m.dir, filepath.Join(dir, "d")); err != nil {
		t.Fatal(err)
	}
	snapshot := read(t, m.snapshot)
	db := read(t, filepath.Join(m.dir, "member", "snap", "db"))
	page := bytes.Clone(db)
	copy(page[rootPage(db)*blockLen:], bytes.Repeat([]byte{0xa5}, blockLen))
	for name, data := range map[string][]byte{
		"db": db, "h.db": db, "page.db": page, "s.db": snapshot, "nh.db": snapshot[:len(snapshot)-digestLen],
		"bad.db": damaged(snapshot, len(snapshot)/2), "f5": snapshot[:5], "f544": snapshot[:544], "none": nil,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, with
}

// rootPage is the page that the newer of the two meta pages begins with.
func rootPage(db []byte) uint64 {
	field := func(page, at int) uint64 { return binary.LittleEndian.Uint64(db[page*blockLen+at:]) }
	const root, txid = 32, 64
	if field(1, txid) > field(0, txid) {
		return field(1, root)
	}
	return field(0, root)
}

// damaged is a copy with one byte changed.
func damaged(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 0xff
	return data
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestGolden runs all calls with upstream's tools and with ours, on equal files.
func TestGolden(t *testing.T) {
	us, up := ours(t), upstream(t)
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		m := prepare(t, bin, harness.MustCtl(t, "etcdctl", "3.7"))
		compare(t, m, up, us, differences)
	})
}

// TestSelf compares upstream with itself: what differs is a fault of the
// normalisation. A tool that is made to differ is found out.
func TestSelf(t *testing.T) {
	up := upstream(t)
	m := prepare(t, harness.MustEtcd(t, "3.7"), harness.MustCtl(t, "etcdctl", "3.7"))
	compare(t, m, up, up, nil)

	other := tools{label: "other", paths: map[string]string{"etcdutl": "true", "bbolt": "true"}}
	a, _ := m.side(t, up)
	want, err := up.run(t.Context(), a, "etcdutl", "version")
	if err != nil {
		t.Fatal(err)
	}
	got, err := other.run(t.Context(), a, "etcdutl", "version")
	if err != nil {
		t.Fatal(err)
	}
	if want.normalised(call{}) == got.normalised(call{}) {
		t.Fatal("a tool that prints nothing counts as equal")
	}
}

// compare runs all calls on both sides, and judges them.
func compare(t *testing.T, m made, up, us tools, listed map[string]string) {
	t.Helper()
	a, up := m.side(t, up)
	b, us := m.side(t, us)
	var names []string
	differ := map[string]string{}
	for _, c := range calls() {
		want, err := up.run(t.Context(), a, c.tool, m.expand(c.args)...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := us.run(t.Context(), b, c.tool, m.expand(c.args)...)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, c.String())
		if want, got := want.normalised(c), got.normalised(c); want != got {
			differ[c.String()] = fmt.Sprintf("upstream: %s%s: %s", short(want), us.label, short(got))
		}
	}
	golden.Judge(t, names, differ, listed)
}

// short cuts what is too long to read.
func short(r result) result {
	const most = 1500
	for _, text := range []*string{&r.stdout, &r.stderr} {
		if len(*text) > most {
			*text = (*text)[:most] + fmt.Sprintf("... (%d bytes)\n", len(*text))
		}
	}
	return r
}

// expand puts revisions in the place of their names.
func (m made) expand(args []string) []string {
	revisions := strings.NewReplacer(
		"{compacted}", strconv.FormatInt(m.known.CompactRevision, 10),
		"{compacted+1}", strconv.FormatInt(m.known.CompactRevision+1, 10),
		"{revision}", strconv.FormatInt(m.known.Revision, 10),
		// Any other page may be free, or of any kind.
		"{root}", strconv.FormatUint(m.root, 10),
	)
	expanded := make([]string, len(args))
	for i, arg := range args {
		expanded[i] = revisions.Replace(arg)
	}
	return expanded
}

// waitStorage waits until the file says which version it is of, which is soon
// after a start.
func waitStorage(t *testing.T, s *harness.Server) {
	t.Helper()
	c, ctx := s.Client(t), harness.Context(t, 30*time.Second)
	if err := untilStored(ctx, c); err != nil {
		t.Fatal(err)
	}
}

func untilStored(ctx context.Context, c *harness.Client) error {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for {
		st, err := c.Maintenance.Status(ctx, &pb.StatusRequest{})
		if err != nil {
			return err
		}
		if st.StorageVersion != "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
		}
	}
}
