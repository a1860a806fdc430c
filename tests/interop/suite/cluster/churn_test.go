package cluster

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mainstay.dev/tests/interop/suite/harness"
)

// changeWait bounds one change of membership; ours answer within seven seconds.
const changeWait = 15 * time.Second

// churnPause keeps what 200 changes leave small enough for etcd.
const churnPause = 40 * time.Millisecond

var (
	changesFlag = flag.Int("changes", 10, "TestChurn: how many changes of membership")
	churnFlag   = flag.Uint64("churnseed", 1, "TestChurn: seed of the changes")
)

// TestChurn changes the members of a mixed cluster at random under load: learners and
// voters join, get promoted, and go, leaders too. In between come changes that must
// be refused.
func TestChurn(t *testing.T) {
	t.Parallel() // It mostly waits until members count as healthy.
	const fewest, most = 3, 5
	t.Logf("-churnseed %d -changes %d", *churnFlag, *changesFlag)
	rng := rand.New(rand.NewPCG(*churnFlag, 0))
	g := startWithin(t, limit+time.Duration(*changesFlag)*20*time.Second, []string{"--snapshot-count=200", "--snapshot-catchup-entries=50"}, kinds(t, "ett")...)
	l, h := g.pacedLoad(churnPause), g.compareHashes()
	done := map[string]int{}
	for n := range *changesFlag {
		l.await(g, 20)
		voters := len(g.Running())
		bin := kinds(t, string("et"[rng.IntN(2)]))[0]
		switch what := rng.IntN(3); {
		case voters <= fewest || voters < most && what > 0:
			learner := rng.IntN(3) > 0
			server, id := g.Join(g.ctx, bin, learner)
			if learner {
				g.promote(id)
			}
			g.caughtUp(server.Client(t))
			done[fmt.Sprintf("%s joins, as a learner first: %t", bin.Label, learner)]++
		default:
			running := g.Running()
			i := running[rng.IntN(len(running))]
			leader, err := g.Leader(g.ctx)
			g.must(err)
			done[fmt.Sprintf("%s removed, leading: %t", g.Members[i].Bin.Label, i == leader)]++
			g.Remove(g.ctx, i)
		}
		g.useMembers(l)
		g.refusals()
		if n%5 == 4 {
			h.await(g, 1)
		}
		if n%25 == 24 {
			t.Logf("%d changes", n+1)
		}
	}
	h.await(g, 1)
	h.check(g, max(1, *changesFlag/5))
	l.check(g)
	g.agree()
	for _, what := range slices.Sorted(maps.Keys(done)) {
		t.Logf("%3d × %s", done[what], what)
	}
}

// refusals asks every member for changes that no cluster makes.
func (g *group) refusals() {
	g.Helper()
	var own []string
	for _, i := range g.Running() {
		own = []string{"http://" + g.Members[i].PeerAddr}
	}
	for _, i := range g.Running() {
		c := g.Members[i].Client(g.T)
		for _, refused := range []struct {
			want string
			do   func(context.Context) error
		}{
			{"etcdserver: Peer URLs already exists", func(ctx context.Context) error {
				_, err := c.Cluster.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: own})
				return err
			}},
			{"etcdserver: member not found", func(ctx context.Context) error {
				_, err := c.Cluster.MemberRemove(ctx, &pb.MemberRemoveRequest{ID: 5})
				return err
			}},
			{"etcdserver: member not found", func(ctx context.Context) error {
				_, err := c.Cluster.MemberUpdate(ctx, &pb.MemberUpdateRequest{ID: 5, PeerURLs: []string{"http://127.0.0.1:1"}})
				return err
			}},
		} {
			g.refusedWith(g.Members[i], refused.want, refused.do)
		}
	}
}

// refusedWith asks until the answer is the wanted one. A leader of etcd voids a change
// that comes before it applied an earlier one; then a follower of ours says after seven
// seconds that time is up, and one of etcd's never answers.
func (g *group) refusedWith(s *harness.Server, want string, do func(context.Context) error) {
	g.Helper()
	for g.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(g.ctx, changeWait)
		err := do(ctx)
		cancel()
		if status.Code(err) == codes.DeadlineExceeded && !s.Bin.IsMainstay() {
			continue
		}
		got := status.Convert(err).Message()
		if strings.HasPrefix(got, "etcdserver: request timed out") {
			continue // The leader is changing, too, perhaps.
		}
		switch got {
		case want:
			return
		// A cluster that has just changed is unhealthy for a while, and says only that. An
		// id is a hash over URLs and the second: one who has just joined is found by it.
		case "etcdserver: unhealthy cluster", "etcdserver: member ID already exist":
		default:
			g.Fatalf("%s at %s says %q instead of %q", s.Bin.Label, s.Addr, got, want)
		}
		time.Sleep(20 * time.Millisecond)
	}
	g.Fatal(g.ctx.Err())
}
