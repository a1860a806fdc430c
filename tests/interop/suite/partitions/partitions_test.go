package partitions

import (
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
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
	x.last(t, since)
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
			select {
			case <-t.Context().Done():
				t.Fatal(t.Context().Err())
			case <-time.After(time.Duration(x.rng.Int64N(int64(flapMost)))):
			}
		}
	}
}
