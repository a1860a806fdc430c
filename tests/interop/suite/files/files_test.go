package files

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// seed of the writes in these tests; any other would do.
const seed = 20260131

// journey passes one data directory between servers.
type journey struct {
	t    *testing.T
	ctx  context.Context
	work string
	dir  string
	// known is the last description, which the next server must confirm.
	known *Manifest
	// writes counts the legs, so that each writes something else.
	legs uint64
}

func newJourney(t *testing.T, dir string, known *Manifest) *journey {
	return &journey{t: t, ctx: harness.Context(t, 4*time.Minute), work: t.TempDir(), dir: dir, known: known}
}

// leg boots a server on the directory, compares what it holds with what is known,
// writes n requests, and leaves a new description.
func (j *journey) leg(bin harness.Binary, n int) {
	j.t.Helper()
	j.legs++
	err := WithServer(j.ctx, bin, j.work, j.dir, func(c *harness.Client) error {
		if err := j.confirm(bin, c); err != nil {
			return err
		}
		if err := j.write(c, n); err != nil {
			return err
		}
		after, err := Describe(j.ctx, c)
		if err != nil {
			return err
		}
		after.Server = bin.Label
		j.known = after
		return nil
	})
	if err != nil {
		j.t.Fatalf("leg %d, %s: %v", j.legs, bin.Label, err)
	}
}

// confirm compares the directory with what is known about it.
func (j *journey) confirm(bin harness.Binary, c *harness.Client) error {
	now, err := Describe(j.ctx, c)
	if err != nil {
		return err
	}
	now.Server = bin.Label
	if diffs := j.known.Differences(now); len(diffs) > 0 {
		return fmt.Errorf("the directory holds something else: %q", diffs)
	}
	return j.known.CheckHashes(j.ctx, c)
}

// write sends n random requests and takes back what would refuse them.
func (j *journey) write(c *harness.Client, n int) error {
	ctx := j.ctx
	if j.known.Auth != nil && j.known.Auth.Enabled {
		var err error
		if ctx, err = login(ctx, c); err != nil {
			return err
		}
	}
	if len(j.known.Alarms) > 0 {
		off := &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: alarmMember, Alarm: pb.AlarmType_NOSPACE}
		if _, err := c.Maintenance.Alarm(ctx, off); err != nil {
			return err
		}
	}
	w := NewWriter(c, seed+j.legs)
	if err := w.Grant(ctx, 5000+int64(j.legs), 20000); err != nil {
		return err
	}
	for i := range n {
		if err := w.Write(ctx); err != nil {
			return fmt.Errorf("write %d: %w", i, err)
		}
	}
	return w.Compact(ctx, int64(n/4))
}

// check runs upstream's offline readers over the directory.
func (j *journey) check() {
	j.t.Helper()
	if err := CheckOffline(j.dir); err != nil {
		j.t.Fatalf("after leg %d: %v", j.legs, err)
	}
}

// TestFromEtcd boots the target on directories of etcd, then etcd again, and the
// target once more.
func TestFromEtcd(t *testing.T) {
	target := harness.MustTarget(t)
	etcd := harness.MustEtcd(t, "3.7")
	for _, f := range Fixtures {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			writer := harness.MustEtcd(t, f.Minor)
			dir := filepath.Join(t.TempDir(), "data")
			known, err := f.MakeWith(t.Context(), writer, t.TempDir(), dir, seed)
			if err != nil {
				t.Fatal(err)
			}
			j := newJourney(t, dir, known)
			j.leg(target, 300)
			j.check()
			j.leg(etcd, 1000)
			j.leg(target, 100)
			j.check()
		})
	}
}

// TestFromTarget boots etcd on directories of the target, then the target again,
// and etcd once more.
func TestFromTarget(t *testing.T) {
	target := harness.MustTarget(t)
	etcd := harness.MustEtcd(t, "3.7")
	for _, f := range Fixtures {
		if f.Minor != "3.7" {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			known, err := f.MakeWith(t.Context(), target, t.TempDir(), dir, seed)
			if err != nil {
				t.Fatal(err)
			}
			j := newJourney(t, dir, known)
			if !f.Kill {
				j.check()
			}
			j.leg(etcd, 300)
			j.leg(target, 300)
			j.check()
			j.leg(etcd, 100)
		})
	}
}

// TestDowngrade leaves for 3.6 by way of "downgrade enable".
func TestDowngrade(t *testing.T) {
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		old := harness.MustEtcd(t, "3.6")
		ctx := harness.Context(t, 2*time.Minute)
		dir := filepath.Join(t.TempDir(), "data")
		f := Fixture{Name: "downgrade", Writes: 500, SnapshotCount: 100, Leases: true}
		known, err := f.MakeWith(ctx, bin, t.TempDir(), dir, seed)
		if err != nil {
			t.Fatal(err)
		}
		if err := downgrade(ctx, bin, t.TempDir(), dir); err != nil {
			t.Fatal(err)
		}
		newJourney(t, dir, known).leg(old, 300)
	})
}

// downgrade boots a server on a directory and leaves it ready for 3.6.
func downgrade(ctx context.Context, bin harness.Binary, work, dir string) error {
	return WithServer(ctx, bin, work, dir, func(c *harness.Client) error {
		if err := waitStorage(ctx, c, "3.7.0"); err != nil {
			return err
		}
		enable := &pb.DowngradeRequest{Action: pb.DowngradeRequest_ENABLE, Version: "3.6.0"}
		if _, err := c.Maintenance.Downgrade(ctx, enable); err != nil {
			return err
		}
		return waitStorage(ctx, c, "3.6.0")
	})
}

// TestEmulatedVersion keeps 3.6 possible from the start.
func TestEmulatedVersion(t *testing.T) {
	target := harness.MustTarget(t)
	if !target.IsMainstay() {
		t.Skip("skipped: --emulate-version is a flag of mainstay")
	}
	old := harness.MustEtcd(t, "3.6")
	ctx := harness.Context(t, 2*time.Minute)
	dir := filepath.Join(t.TempDir(), "data")
	f := Fixture{Name: "emulated", Minor: "3.6", Writes: 500, SnapshotCount: 100, Leases: true}
	known, err := f.MakeWith(ctx, old, t.TempDir(), dir, seed)
	if err != nil {
		t.Fatal(err)
	}
	j := newJourney(t, dir, known)
	err = WithServer(ctx, target, t.TempDir(), dir, func(c *harness.Client) error {
		if err := j.confirm(target, c); err != nil {
			return err
		}
		if err := j.write(c, 300); err != nil {
			return err
		}
		known, err = Describe(ctx, c)
		return err
	}, "--emulate-version=3.6", "--snapshot-count=100")
	if err != nil {
		t.Fatal(err)
	}
	known.Server = target.Label
	newJourney(t, dir, known).leg(old, 300)
}

// waitStorage polls until the storage version is the given one.
func waitStorage(ctx context.Context, c *harness.Client, version string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		st, err := c.Maintenance.Status(ctx, &pb.StatusRequest{})
		if err != nil {
			return err
		}
		if st.StorageVersion == version {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("storage version is %q, not %q", st.StorageVersion, version)
		}
	}
}
