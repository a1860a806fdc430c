// Package leaders asks followers what only the leader can answer, in clusters of
// upstream's members and the server under test, and asks members what they ask
// each other over the peer port.
package leaders

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/status"

	"mainstay.dev/tests/interop/suite/harness"
)

// limit bounds each test.
const limit = 2 * time.Minute

// notInSync refuses to promote who lacks what the leader has.
const notInSync = "etcdserver: can only promote a learner member which is in sync with leader"

type group struct {
	*testing.T
	*harness.Cluster
	ctx context.Context
}

// start runs a cluster; e is etcd 3.7, o etcd 3.6, t the target.
func start(t *testing.T, mix string, args ...string) *group {
	t.Helper()
	var bins []harness.Binary
	for _, kind := range mix {
		bins = append(bins, binary(t, kind))
	}
	return &group{T: t, Cluster: harness.StartCluster(t, args, bins...), ctx: harness.Context(t, limit)}
}

func binary(t *testing.T, kind rune) harness.Binary {
	t.Helper()
	switch kind {
	case 'e':
		return harness.MustEtcd(t, "3.7")
	case 'o':
		return harness.MustEtcd(t, "3.6")
	default:
		return harness.MustTarget(t)
	}
}

func (g *group) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// lead makes a member the leader, known to all.
func (g *group) lead(i int) {
	g.Helper()
	id := g.id(i)
	for g.ctx.Err() == nil {
		now, err := g.Leader(g.ctx)
		g.must(err)
		if now != i {
			_, _ = g.Members[now].Client(g.T).Maintenance.MoveLeader(g.ctx, &pb.MoveLeaderRequest{TargetID: id})
			continue
		}
		agreed := true
		for _, s := range g.Members {
			st, err := s.Client(g.T).Maintenance.Status(g.ctx, &pb.StatusRequest{})
			g.must(err)
			agreed = agreed && st.Leader == id
		}
		if agreed {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	g.Fatalf("member %d does not become leader", i)
}

func (g *group) id(i int) uint64 {
	g.Helper()
	st, err := g.Members[i].Client(g.T).Maintenance.Status(g.ctx, &pb.StatusRequest{})
	g.must(err)
	return st.Header.MemberId
}

// renew sends one keepalive and returns its reply.
func (g *group) renew(i int, id int64) *pb.LeaseKeepAliveResponse {
	g.Helper()
	stream, err := g.Members[i].Client(g.T).Lease.LeaseKeepAlive(g.ctx)
	g.must(err)
	g.must(stream.Send(&pb.LeaseKeepAliveRequest{ID: id}))
	reply, err := stream.Recv()
	g.must(err)
	g.must(stream.CloseSend())
	return reply
}

// TestLeases asks every member about leases under every leader.
func TestLeases(t *testing.T) {
	for _, mix := range []string{"eee", "ett", "eet", "ott"} {
		t.Run(mix, func(t *testing.T) {
			g := start(t, mix)
			for leader := range g.Members {
				g.lead(leader)
				for i := range g.Members {
					g.askAboutLeases(i, int64(1000+100*leader+10*i))
				}
			}
		})
	}
}

func (g *group) askAboutLeases(i int, id int64) {
	g.Helper()
	c := g.Members[i].Client(g.T)
	key := fmt.Sprintf("key-%d", id)
	_, err := c.Lease.LeaseGrant(g.ctx, &pb.LeaseGrantRequest{ID: id, TTL: 100})
	g.must(err)
	_, err = c.KV.Put(g.ctx, &pb.PutRequest{Key: []byte(key), Value: []byte("v"), Lease: id})
	g.must(err)

	alive := g.renew(i, id)
	if alive.TTL != 100 || alive.ID != id || alive.Header.MemberId != g.id(i) || alive.Header.Revision == 0 {
		g.Fatalf("member %d renews %d: %v", i, id, alive)
	}
	left, err := c.Lease.LeaseTimeToLive(g.ctx, &pb.LeaseTimeToLiveRequest{ID: id, Keys: true})
	g.must(err)
	if left.GrantedTTL != 100 || left.TTL < 60 || left.TTL > 100 || len(left.Keys) != 1 || string(left.Keys[0]) != key ||
		left.Header.MemberId != g.id(i) || left.Header.Revision == 0 {
		g.Fatalf("member %d about %d: %v", i, id, left)
	}

	if gone := g.renew(i, id+5); gone.TTL != 0 || gone.ID != id+5 {
		g.Fatalf("member %d renews a lease that is not there: %v", i, gone)
	}
	none, err := c.Lease.LeaseTimeToLive(g.ctx, &pb.LeaseTimeToLiveRequest{ID: id + 5, Keys: true})
	g.must(err)
	if none.TTL != -1 || none.GrantedTTL != 0 || len(none.Keys) != 0 {
		g.Fatalf("member %d about a lease that is not there: %v", i, none)
	}
}

// TestKeptAlive keeps a short lease alive through each follower, across a change
// of leader, and lets it expire then.
func TestKeptAlive(t *testing.T) {
	g := start(t, "ett")
	for leader := range g.Members {
		g.lead(leader)
		follower := (leader + 1) % len(g.Members)
		c := g.Members[follower].Client(g.T)
		id := int64(77 + leader)
		_, err := c.Lease.LeaseGrant(g.ctx, &pb.LeaseGrantRequest{ID: id, TTL: 2})
		g.must(err)
		moved := false
		for begun := time.Now(); time.Since(begun) < 5*time.Second; time.Sleep(300 * time.Millisecond) {
			if !moved && time.Since(begun) > 2*time.Second {
				g.lead((leader + 2) % len(g.Members))
				moved = true
			}
			if reply := g.renew(follower, id); reply.TTL != 2 {
				g.Fatalf("after %v: %v", time.Since(begun), reply)
			}
		}
		for {
			left, err := c.Lease.LeaseTimeToLive(g.ctx, &pb.LeaseTimeToLiveRequest{ID: id})
			g.must(err)
			if left.TTL == -1 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// TestPromoteThroughFollower promotes learners by way of a member that does not lead.
func TestPromoteThroughFollower(t *testing.T) {
	for _, c := range []struct {
		mix              string
		leader, follower int
	}{{"et", 0, 1}, {"et", 1, 0}, {"tt", 0, 1}, {"ee", 0, 1}} {
		t.Run(fmt.Sprintf("%s led by %d", c.mix, c.leader), func(t *testing.T) {
			g := start(t, c.mix)
			_, learner := g.Join(g.ctx, binary(t, 't'), true)
			g.leadVoters(c.leader)
			promote := func(id uint64) (*pb.MemberPromoteResponse, error) {
				return g.Members[c.follower].Client(t).Cluster.MemberPromote(g.ctx, &pb.MemberPromoteRequest{ID: id})
			}
			_, err := promote(12345)
			g.refused(err, "etcdserver: member not found")
			_, err = promote(g.id(c.leader))
			g.refused(err, "etcdserver: can only promote a learner member")
			var reply *pb.MemberPromoteResponse
			for {
				if reply, err = promote(learner); err == nil {
					break
				}
				g.refused(err, notInSync)
				time.Sleep(50 * time.Millisecond)
			}
			if len(reply.Members) != 3 || reply.Header.MemberId != g.id(c.follower) || reply.Header.Revision != 0 {
				t.Fatalf("promoted: %v", reply)
			}
			for _, m := range reply.Members {
				if m.IsLearner || len(m.PeerURLs) != 1 {
					t.Fatalf("promoted: %v", reply)
				}
			}
			// A leader looks first whether the member has what it has, and then whether it is a learner.
			for {
				_, err = promote(learner)
				if status.Convert(err).Message() != notInSync {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			g.refused(err, "etcdserver: can only promote a learner member")
		})
	}
}

// leadVoters is lead, where the last member is a learner that answers little.
func (g *group) leadVoters(i int) {
	g.Helper()
	all := g.Members
	g.Members = all[:len(all)-1]
	g.lead(i)
	g.Members = all
}

func (g *group) refused(err error, text string) {
	g.Helper()
	if status.Convert(err).Message() != text {
		g.Fatalf("want %q, got %v", text, err)
	}
}

// TestPeerPages compares what members answer each other.
func TestPeerPages(t *testing.T) {
	g := start(t, "ett")
	g.lead(0)
	c := g.Members[0].Client(t)
	for i := range 20 {
		_, err := c.KV.Put(g.ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i%5)})
		g.must(err)
	}
	_, err := c.KV.Compact(g.ctx, &pb.CompactionRequest{Revision: 10, Physical: true})
	g.must(err)
	list, err := c.Cluster.MemberList(g.ctx, &pb.MemberListRequest{Linearizable: true})
	g.must(err)
	urls := make([]string, len(g.Members))
	for i, s := range g.Members {
		// A linearizable read waits until this member has applied everything.
		_, err := s.Client(t).KV.Range(g.ctx, &pb.RangeRequest{Key: []byte("k")})
		g.must(err)
		for _, m := range list.Members {
			if m.ID == g.id(i) {
				urls[i] = m.PeerURLs[0]
			}
		}
	}
	for _, ask := range []struct{ method, path, body, cluster string }{
		{"GET", "/downgrade/enabled", "", ""},
		{"POST", "/downgrade/enabled", "", ""},
		{"GET", "/members/hashkv", `{"revision":0}`, ""},
		{"GET", "/members/hashkv", `{"revision":15}`, ""},
		{"GET", "/members/hashkv", `{"revision":12}`, fmt.Sprintf("%x", list.Header.ClusterId)},
		{"GET", "/members/hashkv", `{"revision":5}`, ""},
		{"GET", "/members/hashkv", `{"revision":999}`, ""},
		{"GET", "/members/hashkv", `{}`, "1"},
		{"GET", "/members/hashkv", `{"revision":"x"}`, ""},
		{"GET", "/members/hashkv", ``, ""},
		{"POST", "/members/hashkv", `{}`, ""},
		{"GET", "/leases", "", ""},
		{"POST", "/leases", "\xff", ""},
		{"POST", "/leases", strings.Repeat("x", 70<<10), ""},
		{"POST", "/leases/internal", "\xff", ""},
		{"GET", "/leases/other", "", ""},
		{"GET", "/members/promote/1", "", ""},
		{"POST", "/members/promote/x", "", ""},
		{"POST", "/members/promote/0", "", ""},
	} {
		want := ""
		for i := range g.Members {
			// A follower would pass a promotion on, and an etcd that follows does.
			if strings.HasSuffix(ask.path, "/0") {
				g.lead(i)
			}
			got := g.ask(urls[i], ask.method, ask.path, ask.body, ask.cluster)
			if want == "" {
				want = got
			} else if got != want {
				t.Errorf("%s %s %.40q: %s answers\n%s\ninstead of\n%s", ask.method, ask.path, ask.body, g.Members[i].Bin.Label, got, want)
			}
		}
	}
}

func (g *group) ask(url, method, path, body, cluster string) string {
	g.Helper()
	req, err := http.NewRequestWithContext(g.ctx, method, url+path, bytes.NewReader([]byte(body)))
	g.must(err)
	if cluster != "" {
		req.Header.Set("X-Etcd-Cluster-ID", cluster)
	}
	resp, err := http.DefaultClient.Do(req)
	g.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	g.must(err)
	return fmt.Sprintf("%d allow %q type %q cluster %q: %s", resp.StatusCode, resp.Header.Get("Allow"),
		resp.Header.Get("Content-Type"), resp.Header.Get("X-Etcd-Cluster-ID"), text)
}
