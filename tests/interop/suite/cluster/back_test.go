package cluster

import (
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// backLimit bounds the tests of the way back: each swaps every member twice or more.
const backLimit = 5 * time.Minute

// TestBackTo36Downgraded takes a cluster of 3.6 to the target, which makes 3.7 of it, and
// back by "downgrade enable".
func TestBackTo36Downgraded(t *testing.T) {
	old, target := harness.MustEtcd(t, "3.6"), harness.MustTarget(t)
	g, l, h := startOld(t, old)
	g.takeOver(l, h, old, target)
	g.reaches("3.7.0", "3.7.0", "")

	service := g.serve()
	service.await(g, 100)
	_, err := g.Members[0].Client(t).Maintenance.Downgrade(g.ctx, &pb.DowngradeRequest{Action: pb.DowngradeRequest_ENABLE, Version: "3.6.0"})
	g.must(err)
	g.reaches("3.6.0", "3.6.0", "3.6.0")
	g.turnTo(service, old)
	service.faultless(g)
	// The last one that arrives ends the downgrade.
	g.reaches("3.6.0", "3.6.0", "")
	g.came(l, h, 9)
}

// TestBackTo36Emulated takes a cluster of 3.6 to members of the target that say they are
// of 3.6 too, so that nothing holds them on the way back.
func TestBackTo36Emulated(t *testing.T) {
	old, target := harness.MustEtcd(t, "3.6"), harness.MustTarget(t)
	if !target.IsMainstay() {
		t.Skip("skipped: --emulate-version is a flag of mainstay")
	}
	target.Prefix = append(target.Prefix, "--emulate-version=3.6")
	g, l, h := startOld(t, old)
	g.takeOver(l, h, old, target)
	g.reaches("3.6.0", "3.6.0", "")

	// All of one kind, and from nothing but their directories.
	for _, s := range g.Members {
		s.Kill()
	}
	g.ReviveAll(target, target, target)
	h.await(g, 1)
	service := g.serve()
	g.turnTo(service, old)
	service.faultless(g)
	g.reaches("3.6.0", "3.6.0", "")
	g.came(l, h, 9)
}

// startOld starts a cluster of 3.6 with something of everything in it, under load.
func startOld(t *testing.T, old harness.Binary) (*group, *load, *hashes) {
	t.Helper()
	t.Parallel() // It mostly waits for others to catch up.
	args := []string{"--snapshot-count=500", "--snapshot-catchup-entries=50"}
	g := startWithin(t, backLimit, args, old, old, old)
	g.furnish()
	g.reaches("3.6.0", "3.6.0", "")
	return g, g.pacedLoad(loadPause), g.compareHashes()
}

// takeOver replaces the members one after the other. While both kinds are there, each
// gets a snapshot from the other.
func (g *group) takeOver(l *load, h *hashes, old, target harness.Binary) {
	g.Helper()
	g.Swap(0, target)
	h.await(g, 1)
	g.lead(1)
	g.snapshotUnderLoad(l, 0, target)
	g.lead(0)
	g.snapshotUnderLoad(l, 1, old)
	h.await(g, 1)
	for i := 1; i < len(g.Members); i++ {
		g.Swap(i, target)
		h.await(g, 1)
	}
}

// snapshotUnderLoad kills a member and lets it return, until it needs a snapshot then.
func (g *group) snapshotUnderLoad(l *load, i int, bin harness.Binary) {
	g.Helper()
	for try := range 5 {
		g.Members[i].Kill()
		l.await(g, 1000<<try)
		g.Revive(i, bin)
		g.caughtUp(g.Members[i].Client(g.T))
		if g.snapshotsReceived(g.Members[i]) {
			return
		}
	}
	g.Fatalf("%s at %s needs no snapshot", g.Members[i].Bin.Label, g.Members[i].Addr)
}

// reaches waits until every member is at a cluster and a storage version, and goes to
// the target of a downgrade, or to none. The cluster version is on the page of versions.
func (g *group) reaches(cluster, storage, target string) {
	g.Helper()
	for _, s := range g.Members {
		c := s.Client(g.T)
		for {
			st, err := c.Maintenance.Status(g.ctx, &pb.StatusRequest{})
			if err == nil && st.StorageVersion == storage && st.DowngradeInfo.GetTargetVersion() == target && s.ClusterVersion() == cluster {
				break
			}
			select {
			case <-g.ctx.Done():
				g.Fatalf("%s at %s has cluster version %q instead of %q, and %v, %v", s.Bin.Label, s.Addr, s.ClusterVersion(), cluster, st, err)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// came ends a journey.
func (g *group) came(l *load, h *hashes, compared int) {
	g.Helper()
	h.await(g, 1)
	h.check(g, compared)
	l.check(g)
	g.agree()
	g.sameFurniture()
}
