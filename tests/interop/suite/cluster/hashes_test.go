package cluster

import (
	"flag"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

var thousandsFlag = flag.Int("thousands", 1, "TestHashes: how many thousands of revisions go between any two disturbances")

// TestHashes compares the hashes of mixed members while they are written to, and while
// the leader changes, members pause, are killed, and need snapshots.
func TestHashes(t *testing.T) {
	for _, mix := range []string{"eet", "ett"} {
		t.Run(mix, func(t *testing.T) {
			bins := kinds(t, mix)
			g := startWithin(t, limit+time.Duration(*thousandsFlag)*time.Minute, []string{"--snapshot-count=500", "--snapshot-catchup-entries=50"}, bins...)
			g.furnish()
			l, h := g.pacedLoad(loadPause), g.compareHashes()
			for i := range bins {
				h.await(g, *thousandsFlag)
				g.lead((i + 1) % len(bins))
				g.Members[i].Kill()
				// More than the others keep for it.
				l.await(g, 1000)
				g.Revive(i, bins[i])
				h.await(g, *thousandsFlag)
				g.gotSnapshot(g.Members[i])
				g.must(g.Members[i].Pause())
				l.await(g, 100)
				g.must(g.Members[i].Resume())
			}
			h.await(g, *thousandsFlag)
			h.check(g, 7**thousandsFlag)
			l.check(g)
			g.agree()
			g.sameFurniture()
		})
	}
}

// TestSelfHashes shows that a member that differs is found.
func TestSelfHashes(t *testing.T) {
	g := start(t, nil, kinds(t, "e")...)
	other := start(t, nil, kinds(t, "e")...)
	for _, each := range []*group{g, other} {
		c := each.Members[0].Client(t)
		for n := range hashEvery + 1 {
			value := "same"
			if each == other && n == hashEvery/2 {
				value = "different"
			}
			each.put(c, "k", []byte(value))
		}
		r, err := c.KV.Range(each.ctx, &pb.RangeRequest{Key: []byte("k"), CountOnly: true})
		g.must(err)
		if r.Header.Revision <= hashEvery {
			t.Fatalf("the revision is %d only", r.Header.Revision)
		}
	}
	// To the comparison they are members of one cluster.
	h := g.compareHashes()
	h.use(append(g.addrs(), other.addrs()...))
	select {
	case <-h.grown:
	case <-g.ctx.Done():
	}
	h.wait.Wait()
	if h.fault == nil || !strings.Contains(h.fault.Error(), "revision 1000") {
		t.Fatalf("a different value in the history of revision 1000 gives %v", h.fault)
	}
}
