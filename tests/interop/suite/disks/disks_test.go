package disks

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
	"mainstay.dev/tests/interop/suite/history"
)

const (
	members = 3
	// electionTimeout is that of the harness's clusters.
	electionTimeout = 500 * time.Millisecond
	// serveWait bounds the time until members that lost their leader acknowledge a write.
	serveWait = 10 * time.Second
	// healWait bounds the time until a member serves again.
	healWait = 15 * time.Second
	// stallTime is how long disks stall at least: far beyond an election.
	stallTime = 6 * electionTimeout
	// leaseTTL, in seconds, runs out during the test, once more for the change of leaders.
	leaseTTL = 3
)

// trial is a cluster whose disks can be made to stall and fail, with clients that record.
type trial struct {
	*harness.Cluster
	*history.Recorder
	disks []disk
}

func begin(t *testing.T) *trial {
	t.Helper()
	target := harness.MustTarget(t)
	if !target.IsMainstay() {
		t.Skip("upstream's binaries use no libc: there is no place for a disk of ours")
	}
	all, places := disks(t, members)
	c := harness.StartPlacedCluster(t, nil, places, target, target, target)
	return &trial{c, history.Record(t, c, history.Load{Clients: 2, Pause: 10 * time.Millisecond, Seed: 1}), all}
}

// end judges what the clients saw, and compares the members.
func (x *trial) end(t *testing.T) {
	t.Helper()
	ctx := harness.Context(t, 2*healWait)
	x.Check(ctx, t)
	history.Agree(ctx, t, x.Cluster)
}

// leader gives its position and those of the others.
func (x *trial) leader(t *testing.T) (int, []int) {
	t.Helper()
	leader, err := x.Leader(harness.Context(t, serveWait))
	if err != nil {
		t.Fatal(err)
	}
	var others []int
	for i := range x.Members {
		if i != leader {
			others = append(others, i)
		}
	}
	return leader, others
}

// serves waits until one of these members acknowledges a write.
func (x *trial) serves(t *testing.T, limit time.Duration, members ...int) {
	t.Helper()
	took, err := x.Write(harness.Context(t, limit), members...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("first acknowledged write after %s", took.Round(time.Millisecond))
}

// logged waits for a text in a member's log.
func (x *trial) logged(t *testing.T, member int, text string) {
	t.Helper()
	eventually(t, text, func() bool {
		log, err := os.ReadFile(x.Members[member].LogPath)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(log, []byte(text))
	})
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(healWait); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", healWait, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestStalledLeader holds up the disk of the leader for several election timeouts.
func TestStalledLeader(t *testing.T) {
	x := begin(t)
	leader, others := x.leader(t)
	var apis []*harness.Client
	for _, s := range x.Members {
		apis = append(apis, s.Client(t))
	}
	idle, kept := grant(t, apis[leader], 1), grant(t, apis[leader], 2)
	began := time.Now()
	x.disks[leader].does(stalls)
	x.serves(t, serveWait, others...)
	x.logged(t, leader, "the leader hands over: its disk stalls")
	eventually(t, "a reason why it is not ready", func() bool {
		status, text := harness.Fetch(t, "http://"+x.Members[leader].MetricsAddr+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "the disk has not finished a write of the log")
	})
	for time.Since(began) < stallTime {
		kept.renew(t, apis[others[0]])
	}
	// One that nobody renews ends by itself; its end is not the business of the old leader.
	idle.ends(t, apis[others[1]])
	kept.renew(t, apis[others[1]])

	x.disks[leader].does(works)
	x.serves(t, healWait, leader)
	if status, text := harness.Fetch(t, "http://"+x.Members[leader].MetricsAddr+"/readyz"); status != http.StatusOK {
		t.Errorf("not ready after the stall: %d %s", status, text)
	}
	kept.renew(t, apis[leader])
	x.end(t)
}

// TestFailedSync fails a sync on the leader, then on a follower: the member ends at once, and comes back
// with a disk that works.
func TestFailedSync(t *testing.T) {
	x := begin(t)
	for _, who := range []string{"leader", "follower"} {
		leader, others := x.leader(t)
		victim, rest := leader, others
		if who == "follower" {
			victim, rest = others[0], []int{leader, others[1]}
		}
		x.disks[victim].does(fails)
		began := time.Now()
		if err := x.Members[victim].WaitExit(serveWait); err != nil {
			t.Fatal(err)
		}
		t.Logf("ended after %s: %v", time.Since(began).Round(time.Millisecond), x.Members[victim].ExitError())
		if x.Members[victim].ExitError() == nil {
			t.Error("ended as if all were well")
		}
		x.logged(t, victim, "the write-ahead log failed: ")
		x.logged(t, victim, "os error 5")
		x.serves(t, serveWait, rest...)
		x.disks[victim].does(works)
		x.Revive(victim, x.Members[victim].Bin)
		x.serves(t, healWait, victim)
	}
	x.end(t)
}

// lease is one with a key on it.
type lease struct {
	id      int64
	key     string
	granted time.Time
}

func grant(t *testing.T, api *harness.Client, id int64) lease {
	t.Helper()
	ctx := harness.Context(t, serveWait)
	l := lease{id: id, key: "leased/" + string(rune('0'+id)), granted: time.Now()}
	if _, err := api.Lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: leaseTTL}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.KV.Put(ctx, &pb.PutRequest{Key: []byte(l.key), Lease: id}); err != nil {
		t.Fatal(err)
	}
	return l
}

// renew keeps the lease alive by one member, which must still know it.
func (l lease) renew(t *testing.T, api *harness.Client) {
	t.Helper()
	ctx := harness.Context(t, serveWait)
	stream, err := api.Lease.LeaseKeepAlive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: l.id}); err != nil {
		t.Fatal(err)
	}
	reply, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if reply.TTL != leaseTTL {
		t.Fatalf("a lease that was always renewed has a TTL of %d", reply.TTL)
	}
	_ = stream.CloseSend()
}

// ends waits until the lease's key is gone, which must not be before its time.
func (l lease) ends(t *testing.T, api *harness.Client) {
	t.Helper()
	ctx := harness.Context(t, healWait)
	for {
		reply, err := api.KV.Range(ctx, &pb.RangeRequest{Key: []byte(l.key)})
		if err != nil {
			t.Fatal(err)
		}
		if reply.Count == 0 {
			break
		}
	}
	if lived := time.Since(l.granted); lived < leaseTTL*time.Second {
		t.Errorf("a lease of %d s ended after %s", leaseTTL, lived)
	}
}
