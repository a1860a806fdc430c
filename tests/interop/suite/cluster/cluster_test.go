// Package cluster mixes members of upstream and of the server under test in one
// cluster.
package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mainstay.dev/tests/interop/suite/files"
	"mainstay.dev/tests/interop/suite/harness"
)

// limit bounds each test.
const limit = 3 * time.Minute

// seed of the random writes; any other would do.
const seed = 20260201

// group is a cluster with what the tests do to it.
type group struct {
	*testing.T
	*harness.Cluster
	ctx    context.Context
	writer *files.Writer
	// hashes is set while hashes are compared beside a load.
	hashes *hashes
}

// mixes are the combinations of binaries; e is etcd 3.7, t the target.
var mixes = []string{"eee", "eet", "ett", "ttt"}

// eachMix runs a test for each combination. The one of etcd alone shows that the
// test asks for what etcd does.
func eachMix(t *testing.T, args []string, test func(g *group, bins []harness.Binary)) {
	for _, mix := range mixes {
		t.Run(mix, func(t *testing.T) {
			var bins []harness.Binary
			for _, kind := range mix {
				if kind == 't' {
					bins = append(bins, harness.MustTarget(t))
				} else {
					bins = append(bins, harness.MustEtcd(t, "3.7"))
				}
			}
			test(start(t, args, bins...), bins)
		})
	}
}

func start(t *testing.T, args []string, bins ...harness.Binary) *group {
	t.Helper()
	return startWithin(t, limit, args, bins...)
}

func startWithin(t *testing.T, limit time.Duration, args []string, bins ...harness.Binary) *group {
	t.Helper()
	return groupOf(t, limit, harness.StartCluster(t, args, bins...))
}

func groupOf(t *testing.T, limit time.Duration, c *harness.Cluster) *group {
	g := &group{T: t, Cluster: c, ctx: harness.Context(t, limit)}
	g.writer = files.NewWriter(g.Members[0].Client(t), seed)
	return g
}

// caughtUp waits until a member serves linearizable reads, and so has applied
// everything that was committed before.
func (g *group) caughtUp(c *harness.Client) {
	g.Helper()
	g.insist(func() error {
		_, err := c.KV.Range(g.ctx, &pb.RangeRequest{Key: []byte("k")})
		return err
	})
}

func (g *group) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// learnerRefuses is what a learner says to most calls, and a member that was promoted
// until it knows of it.
const learnerRefuses = "etcdserver: rpc not supported for learner"

// insist repeats a call that fails because the leader, or the member itself, is
// changing.
func (g *group) insist(call func() error) {
	g.Helper()
	for {
		err := call()
		code := status.Code(err)
		again := code == codes.Unavailable || code == codes.Unknown || status.Convert(err).Message() == learnerRefuses
		if err == nil || g.ctx.Err() != nil || !again {
			g.must(err)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// compact drops all but the given number of revisions. After a lost reply the
// repeated call finds it done.
func (g *group) compact(keep int64) {
	g.Helper()
	g.insist(func() error {
		err := g.writer.Compact(g.ctx, keep)
		if status.Code(err) == codes.OutOfRange {
			return nil
		}
		return err
	})
}

// write sends n random writes to the members in turn, leaving out ended ones. A
// write that fails while the leader changes is passed over: nobody asks here
// which writes happened, only that all members agree.
func (g *group) write(n int) {
	g.Helper()
	var clients []*harness.Client
	for _, s := range g.Members {
		if s.Running() {
			clients = append(clients, s.Client(g.T))
		}
	}
	failed := 0
	for i := range n {
		g.writer.Use(clients[i%len(clients)])
		if err := g.writer.Write(g.ctx); err != nil {
			if code := status.Code(err); code != codes.Unavailable && code != codes.Unknown {
				g.Fatalf("write %d: %v", i, err)
			}
			failed++
		}
	}
	if failed > n/4 {
		g.Fatalf("%d of %d writes failed", failed, n)
	}
}

// agree waits until all running members applied the same, and compares their
// hashes at the newest and at older revisions.
func (g *group) agree() {
	g.Helper()
	var first []files.Hash
	var name string
	head, compacted := g.head()
	for _, s := range g.Members {
		if !s.Running() {
			continue
		}
		c := s.Client(g.T)
		g.caughtUp(c)
		var hashes []files.Hash
		for rev := head; rev > max(compacted+1, 2); rev -= max(1, (head-compacted)/7) {
			r, err := c.Maintenance.HashKV(g.ctx, &pb.HashKVRequest{Revision: rev})
			g.must(err)
			hashes = append(hashes, files.Hash{Revision: rev, Hash: r.Hash, CompactRevision: r.CompactRevision})
		}
		if first == nil {
			first, name = hashes, s.Bin.Label
		}
		if fmt.Sprint(first) != fmt.Sprint(hashes) {
			g.Fatalf("%s (first member) has %v\n%s at %s has %v", name, first, s.Bin.Label, s.Addr, hashes)
		}
	}
}

// head returns the newest and the compacted revision.
func (g *group) head() (head, compacted int64) {
	g.Helper()
	for _, s := range g.Members {
		if !s.Running() {
			continue
		}
		c := s.Client(g.T)
		g.insist(func() error {
			r, err := c.KV.Range(g.ctx, &pb.RangeRequest{Key: []byte("k")})
			head = r.GetHeader().GetRevision()
			return err
		})
		r, err := c.Maintenance.HashKV(g.ctx, &pb.HashKVRequest{})
		g.must(err)
		return head, r.CompactRevision
	}
	g.Fatal("no member runs")
	return 0, 0
}

// lead makes a member the leader.
func (g *group) lead(i int) {
	g.Helper()
	for g.ctx.Err() == nil {
		now, err := g.Leader(g.ctx)
		g.must(err)
		if now == i {
			return
		}
		st, err := g.Members[i].Client(g.T).Maintenance.Status(g.ctx, &pb.StatusRequest{})
		g.must(err)
		_, _ = g.Members[now].Client(g.T).Maintenance.MoveLeader(g.ctx, &pb.MoveLeaderRequest{TargetID: st.Header.MemberId})
	}
	g.Fatalf("member %d does not become leader", i)
}

// TestEveryMemberLeads writes under each leader in turn.
func TestEveryMemberLeads(t *testing.T) {
	eachMix(t, nil, func(g *group, bins []harness.Binary) {
		g.must(g.writer.Grant(g.ctx, 100, 5000))
		for i := range bins {
			g.lead(i)
			g.write(300)
			g.compact(50)
			g.agree()
		}
	})
}

// TestKillEachMember kills every member once, the leader too, and lets it return.
func TestKillEachMember(t *testing.T) {
	eachMix(t, []string{"--snapshot-count=100"}, func(g *group, bins []harness.Binary) {
		for i := range bins {
			g.write(100)
			g.Members[i].Kill()
			_, err := g.Leader(g.ctx)
			g.must(err)
			g.write(100)
			g.Revive(i, bins[i])
			g.write(100)
			g.agree()
		}
	})
}

// TestSnapshotToFollower leaves a member so far behind that it needs a snapshot,
// from each other member as leader.
func TestSnapshotToFollower(t *testing.T) {
	args := []string{"--snapshot-count=50", "--snapshot-catchup-entries=10"}
	eachMix(t, args, func(g *group, bins []harness.Binary) {
		for i := range bins {
			leader := (i + 1) % len(bins)
			g.lead(leader)
			g.write(50)
			g.Members[i].Kill()
			g.write(400)
			g.compact(100)
			g.Revive(i, bins[i])
			g.write(50)
			g.agree()
			g.gotSnapshot(g.Members[i])
		}
	})
}

// gotSnapshot makes sure that the test tests what it says.
func (g *group) gotSnapshot(s *harness.Server) {
	g.Helper()
	if !g.snapshotsReceived(s) {
		g.Fatalf("%s at %s caught up without a snapshot", s.Bin.Label, s.Addr)
	}
}

func (g *group) snapshotsReceived(s *harness.Server) bool {
	g.Helper()
	resp, err := http.Get("http://" + s.MetricsAddr + "/metrics")
	g.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	g.must(err)
	return received.Match(body)
}

// received is the metric that counts snapshots taken in.
var received = regexp.MustCompile(`(?m)^etcd_network_snapshot_receive_success\{From="[0-9a-f]+"\} [1-9]`)

// TestJoin adds a member as a learner, promotes it, and removes the oldest one.
func TestJoin(t *testing.T) {
	t.Parallel() // It mostly waits until members count as healthy.
	for _, c := range []struct{ name, from, joining string }{{"etcd joins etcd", "e", "e"}, {"target joins etcd", "e", "t"}, {"etcd joins target", "t", "e"}, {"target joins target", "t", "t"}} {
		t.Run(c.name, func(t *testing.T) {
			kind := map[string]func() harness.Binary{
				"e": func() harness.Binary { return harness.MustEtcd(t, "3.7") },
				"t": func() harness.Binary { return harness.MustTarget(t) },
			}
			g := start(t, []string{"--snapshot-count=100"}, kind[c.from]())
			g.write(300)
			server, id := g.Join(g.ctx, kind[c.joining](), true)
			g.learnerRefusesWrites(server)
			g.promote(id)
			g.write(200)
			g.agree()
			// The newcomer must be able to lead.
			g.lead(1)
			g.write(100)
			g.agree()
		})
	}
}

// learnerRefusesWrites waits for the learner's port and asks what it serves.
func (g *group) learnerRefusesWrites(s *harness.Server) {
	g.Helper()
	c := s.Client(g.T)
	for g.ctx.Err() == nil {
		_, err := c.KV.Put(g.ctx, &pb.PutRequest{Key: []byte("k")})
		if status.Code(err) == codes.Unavailable {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		if st := status.Convert(err); st.Code() != codes.FailedPrecondition || st.Message() != learnerRefuses {
			g.Fatalf("a put on a learner: %v", err)
		}
		break
	}
	if _, err := c.KV.Range(g.ctx, &pb.RangeRequest{Key: []byte("k"), Serializable: true}); err != nil {
		g.Fatalf("a serializable range on a learner: %v", err)
	}
	if _, err := c.KV.Range(g.ctx, &pb.RangeRequest{Key: []byte("k")}); status.Code(err) != codes.FailedPrecondition {
		g.Fatalf("a linearizable range on a learner: %v", err)
	}
}

// promote repeats until the learner is in step. The leader is asked.
func (g *group) promote(id uint64) {
	g.Helper()
	for g.ctx.Err() == nil {
		leader, err := g.Leader(g.ctx)
		g.must(err)
		_, err = g.Members[leader].Client(g.T).Cluster.MemberPromote(g.ctx, &pb.MemberPromoteRequest{ID: id})
		if err == nil {
			return
		}
		switch status.Convert(err).Message() {
		case "etcdserver: can only promote a learner member which is in sync with leader", "etcdserver: not leader", "etcdserver: unhealthy cluster":
		default:
			g.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	g.Fatal("the learner does not catch up")
}
