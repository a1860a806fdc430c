package partitions

import (
	"strings"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
	"mainstay.dev/tests/interop/suite/history"
)

// flapMost is the longest time for which flapping links drop packets, or pass them.
const flapMost = 500 * time.Millisecond

// TestPartitions cuts clusters apart in all ways.
func TestPartitions(t *testing.T) {
	needNetwork(t)
	eachCombination(t, func(t *testing.T, bins []harness.Binary) {
		n := newNetwork(t, len(bins))
		x := begin(t, n.places(), bins)
		for round := range *roundsFlag {
			for _, c := range cuts {
				x.suffer(t, round, c.name, func(t *testing.T) { x.cut(t, n, c) })
			}
		}
		x.end(t)
	})
}

// cut cuts once, and heals.
func (x *trial) cut(t *testing.T, n *network, c cut) {
	t.Helper()
	members := inOrder(x.rng, len(x.Members), x.leader(t))
	p := c.make(members)
	t.Logf("members, the leader first: %v; silent: %v; links that drop: %v", members, p.silent, p.dropped)
	if p.flaps {
		x.flap(t, n, p)
	} else {
		x.hold(t, n, p)
	}
	n.heal()
	x.recovers(t)
}

// hold drops packets for a while. Nobody answers who must not, and the others go on.
func (x *trial) hold(t *testing.T, n *network, p parts) {
	t.Helper()
	n.drop(p.dropped...)
	since := x.Now()
	if len(p.serving) > 0 {
		x.serves(t, p.serving...)
	}
	x.refuses(t, since, p.silent...)
	x.lasts(t, since+*holdFlag)
	// Once more: by now everybody has noticed.
	x.refuses(t, since, p.silent...)
	if len(p.serving) > 0 {
		x.serves(t, p.serving...)
	}
}

// flap drops and passes packets in turn.
func (x *trial) flap(t *testing.T, n *network, p parts) {
	t.Helper()
	for since := x.Now(); x.Now()-since < 2**holdFlag; {
		for _, dropped := range [][]link{p.dropped, nil} {
			n.drop(dropped...)
			x.lasts(t, x.Now()+time.Duration(x.rng.Int64N(int64(flapMost))))
		}
	}
}

// TestSelfStale lets clients read what the member itself has, of etcd that is cut apart:
// that such reads are stale must be found.
func TestSelfStale(t *testing.T) {
	needNetwork(t)
	t.Parallel()
	etcd := harness.MustEtcd(t, "3.7")
	n := newNetwork(t, 3)
	c := harness.StartPlacedCluster(t, nil, n.places(), etcd, etcd, etcd)
	x := newTrial(c, history.Record(t, c, history.Load{Clients: 2, Pause: 10 * time.Millisecond, Seed: *seedFlag, Serializable: true}))
	p := apart([]int{0, 1, 2}, []int{x.leader(t)})
	n.drop(p.dropped...)
	x.serves(t, p.serving...)
	for _, m := range p.silent {
		if err := x.Read(harness.Context(t, serveWait), m); err != nil {
			t.Fatal(err)
		}
	}
	n.heal()
	err := history.Judge(x.Ops())
	if err == nil || !strings.Contains(err.Error(), "not linearizable") || !strings.Contains(err.Error(), "revisions step back") {
		t.Errorf("stale reads are not found: %v", err)
	}
}
