package cluster

import (
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
)

// TestMigration swaps the binaries one member at a time, there and back, while
// clients call. None of them sees an error, but for what etcd loses itself.
func TestMigration(t *testing.T) {
	etcd, target := harness.MustEtcd(t, "3.7"), harness.MustTarget(t)
	g := start(t, []string{"--snapshot-count=100"}, etcd, etcd, etcd)
	l, h := g.pacedLoad(loadPause), g.compareHashes()
	service := g.serve()
	g.turnTo(service, target)
	g.turnTo(service, etcd)
	service.faultless(g)
	h.check(g, 6)
	l.check(g)
	g.agree()
}

// TestMigrationFrom36 lets the target take over a cluster of 3.6, after two members
// went there and back: that needs no downgrade while one of 3.6 is left.
func TestMigrationFrom36(t *testing.T) {
	old, target := harness.MustEtcd(t, "3.6"), harness.MustTarget(t)
	g := start(t, []string{"--snapshot-count=100"}, old, old, old)
	l, h := g.pacedLoad(loadPause), g.compareHashes()
	service := g.serve()
	leader, err := g.Leader(g.ctx)
	g.must(err)
	others := []int{(leader + 1) % 3, (leader + 2) % 3}
	for _, bin := range []harness.Binary{target, old} {
		for _, i := range others {
			g.replaceBinary(service, i, bin)
		}
	}
	g.turnTo(service, target)
	service.faultless(g)
	h.check(g, 7)
	l.check(g)
	g.agree()
}

// turnTo swaps the binaries of all members, that of the leader at last: so it changes
// once.
func (g *group) turnTo(service *service, bin harness.Binary) {
	g.Helper()
	leader, err := g.Leader(g.ctx)
	g.must(err)
	for i := 1; i <= len(g.Members); i++ {
		g.replaceBinary(service, (leader+i)%len(g.Members), bin)
	}
}

// replaceBinary swaps the binary of one member under the eyes of clients.
//
// A leader of etcd drops what followers pass on to it while it hands over, without a
// word, and their clients wait in vain. So one that leads hands over first, and errors
// of that moment are excused. Mainstay stops as it is, and has no excuse.
func (g *group) replaceBinary(service *service, i int, bin harness.Binary) {
	g.Helper()
	service.await(g, 200)
	leader, err := g.Leader(g.ctx)
	g.must(err)
	if leader == i && !g.Members[i].Bin.IsMainstay() {
		from := time.Now()
		g.lead((i + 1) % len(g.Members))
		for _, s := range g.Members {
			g.caughtUp(s.Client(g.T))
		}
		service.excuse(from, time.Now())
	}
	g.Swap(i, bin)
	g.caughtUp(g.Members[i].Client(g.T))
	service.await(g, 100)
	g.agreeNow()
}
