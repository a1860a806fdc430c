package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// clusterArgs make elections quick enough for tests.
var clusterArgs = []string{"--heartbeat-interval=50", "--election-timeout=500"}

// statusWait bounds the question for one member's status: a process that has just
// ended may leave a connection that nobody answers.
const statusWait = 2 * time.Second

// Cluster is a group of members, possibly of different binaries.
type Cluster struct {
	// Members are the running servers by position; an ended one stays in place.
	Members []*Server

	t    testing.TB
	base Options
	// places are those of the first members; later ones are at home.
	places []Place
	// peers are the entries of --initial-cluster by position, empty for a removed
	// member.
	peers []string
}

// StartCluster starts one member for each binary and waits until all are healthy.
// They end with the test.
func StartCluster(t testing.TB, args []string, bins ...Binary) *Cluster {
	t.Helper()
	return startCluster(t, Options{Args: args}, make([]Place, len(bins)), bins)
}

// StartPlacedCluster is [StartCluster] with a place for each member.
func StartPlacedCluster(t testing.TB, args []string, places []Place, bins ...Binary) *Cluster {
	t.Helper()
	return startCluster(t, Options{Args: args}, places, bins)
}

// Restore makes the data directory of a member: its name, its peer address, all of
// --initial-cluster, and where.
type Restore func(name, peer, initial, dir string) error

// StartRestored is [StartCluster] on directories that are there before the members
// start.
func StartRestored(t testing.TB, restore Restore, bins ...Binary) *Cluster {
	t.Helper()
	return startCluster(t, Options{restore: restore}, make([]Place, len(bins)), bins)
}

// StartSecureCluster is [StartCluster] with certificates required from clients and
// between members.
func StartSecureCluster(t testing.TB, args []string, bins ...Binary) *Cluster {
	t.Helper()
	certs, err := NewTLS(t.TempDir(), "member")
	if err != nil {
		t.Fatal(err)
	}
	return startCluster(t, Options{Args: args, TLS: certs, Metrics: true}, make([]Place, len(bins)), bins)
}

// StartDiscovered is [StartCluster] without --initial-cluster: args say how members
// find each other.
func StartDiscovered(t testing.TB, args []string, bins ...Binary) *Cluster {
	t.Helper()
	return startCluster(t, Options{Args: args, discovers: true}, make([]Place, len(bins)), bins)
}

// StartDiscoveredAt is [StartDiscovered] with a place for each member.
func StartDiscoveredAt(t testing.TB, args []string, places []Place, bins ...Binary) *Cluster {
	t.Helper()
	return startCluster(t, Options{Args: args, discovers: true}, places, bins)
}

// StartAutoTLSCluster is [StartCluster] with TLS between members, whose certificates
// prove nothing.
func StartAutoTLSCluster(t testing.TB, args []string, bins ...Binary) *Cluster {
	t.Helper()
	return startCluster(t, Options{Args: args, autoTLS: true}, make([]Place, len(bins)), bins)
}

func startCluster(t testing.TB, base Options, places []Place, bins []Binary) *Cluster {
	t.Helper()
	base.WorkDir, base.Args = t.TempDir(), append(append([]string{}, clusterArgs...), base.Args...)
	for try := range portTries {
		c := &Cluster{t: t, base: base, places: places}
		err := c.bring(bins)
		if err != nil && try < portTries-1 && slices.ContainsFunc(c.Members, (*Server).portTaken) {
			for _, s := range c.Members {
				s.Kill()
				_ = os.RemoveAll(s.DataDir)
			}
			continue
		}
		for _, s := range c.Members {
			endWith(t, s)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	panic("unreachable")
}

// bring starts all members of a new cluster.
func (c *Cluster) bring(bins []Binary) error {
	at, err := freePortsFor(len(bins))
	if err != nil {
		return err
	}
	for i := range bins {
		c.places[i].move(&at[i])
		c.peers = append(c.peers, c.entry(i, at[i]))
	}
	for i, bin := range bins {
		opts := c.options(i, "new")
		if opts.restore != nil {
			if err := opts.restore(opts.member.name, at[i].announced(), opts.member.initial, opts.DataDir); err != nil {
				return err
			}
		}
		s, err := spawn(bin, opts, at[i])
		if err != nil {
			return err
		}
		c.Members = append(c.Members, s)
	}
	for _, s := range c.Members {
		if err := s.waitReady(c.t.Context()); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) options(i int, state string) Options {
	opts := c.base
	if i < len(c.places) {
		opts.command = c.places[i].Command
	}
	opts.DataDir = filepath.Join(opts.WorkDir, fmt.Sprintf("m%d", i))
	present := slices.DeleteFunc(slices.Clone(c.peers), func(entry string) bool { return entry == "" })
	opts.member = &membership{name: fmt.Sprintf("m%d", i), initial: strings.Join(present, ","), state: state}
	return opts
}

// entry is a member's part of --initial-cluster.
func (c *Cluster) entry(i int, at ports) string {
	return fmt.Sprintf("m%d=%s%s", i, c.base.peerScheme(), at.announced())
}

// Swap ends a member and starts another binary on its directory and ports.
func (c *Cluster) Swap(i int, bin Binary) {
	c.t.Helper()
	if err := c.Members[i].Stop(); err != nil {
		c.t.Fatal(err)
	}
	c.Revive(i, bin)
}

// Revive starts a binary in the place of an ended member.
func (c *Cluster) Revive(i int, bin Binary) {
	c.t.Helper()
	old := c.Members[i]
	s, err := launchAt(c.t.Context(), bin, old.opts, old.at)
	if err != nil {
		c.t.Fatal(err)
	}
	endWith(c.t, s)
	c.Members[i] = s
}

// ReviveAll starts binaries in the place of all members, which have ended: none gets
// ready before others are there.
func (c *Cluster) ReviveAll(bins ...Binary) {
	c.t.Helper()
	for i, bin := range bins {
		s, err := spawn(bin, c.Members[i].opts, c.Members[i].at)
		if err != nil {
			c.t.Fatal(err)
		}
		endWith(c.t, s)
		c.Members[i] = s
	}
	for _, s := range c.Members {
		if err := s.waitReady(c.t.Context()); err != nil {
			c.t.Fatal(err)
		}
	}
}

// Running are the positions of the members that run.
func (c *Cluster) Running() []int {
	var at []int
	for i, s := range c.Members {
		if s.Running() {
			at = append(at, i)
		}
	}
	return at
}

// Remove takes a running member out of the cluster by the API of another one, and
// waits for the end of its process.
func (c *Cluster) Remove(ctx context.Context, i int) {
	c.t.Helper()
	st, err := c.Members[i].status(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	by := slices.DeleteFunc(c.Running(), func(at int) bool { return at == i })[0]
	c.untilHealthy(ctx, func() error {
		_, err := c.Members[by].Client(c.t).Cluster.MemberRemove(ctx, &pb.MemberRemoveRequest{ID: st.Header.MemberId})
		return err
	})
	c.peers[i] = ""
	if err := c.Members[i].WaitExit(stopWait); err != nil {
		c.t.Fatal(err, c.Members[i].LogTail(logLines))
	}
}

// untilHealthy repeats a change of members while a cluster that has just changed
// refuses it.
//
// Nothing says that a change got lost: etcd's leaders void one that comes before they
// applied all that they found in their log, and whoever asked waits in vain. So what is
// changed here must first have settled: all members serve linearizable reads.
func (c *Cluster) untilHealthy(ctx context.Context, change func() error) {
	c.t.Helper()
	for _, i := range c.Running() {
		c.settle(ctx, c.Members[i])
	}
	for {
		err := change()
		if err == nil {
			return
		}
		if ctx.Err() != nil || !strings.Contains(err.Error(), "unhealthy cluster") {
			c.t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// settle waits until a member serves a linearizable read.
func (c *Cluster) settle(ctx context.Context, s *Server) {
	c.t.Helper()
	api := s.Client(c.t)
	for {
		_, err := api.KV.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			c.t.Fatalf("%s at %s serves no reads: %v", s.Bin.Label, s.Addr, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Join adds a new member by the API of the first running one, first as a learner if
// asked, and starts it.
func (c *Cluster) Join(ctx context.Context, bin Binary, learner bool) (*Server, uint64) {
	c.t.Helper()
	at, err := freePorts()
	if err != nil {
		c.t.Fatal(err)
	}
	api := c.Members[c.Running()[0]].Client(c.t)
	var added *pb.MemberAddResponse
	c.untilHealthy(ctx, func() (err error) {
		added, err = api.Cluster.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{c.base.peerScheme() + at.peer}, IsLearner: learner})
		return err
	})
	i := len(c.peers)
	c.peers = append(c.peers, c.entry(i, at))
	s, err := spawn(bin, c.options(i, "existing"), at)
	if err != nil {
		c.t.Fatal(err)
	}
	endWith(c.t, s)
	c.Members = append(c.Members, s)
	if !learner {
		if err := s.waitReady(ctx); err != nil {
			c.t.Fatal(err)
		}
	}
	return s, added.Member.ID
}

// Leader returns the position of the leader.
func (c *Cluster) Leader(ctx context.Context) (int, error) {
	for {
		for i, s := range c.Members {
			if !s.Running() {
				continue
			}
			st, err := s.status(ctx)
			if err == nil && st.Leader != 0 && st.Leader == st.Header.MemberId {
				return i, nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, errors.Join(errors.New("no leader"), ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ClusterVersion is what the member's page of versions says, or what is wrong with it.
func (s *Server) ClusterVersion() string {
	resp, err := http.Get("http://" + s.MetricsAddr + "/version")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var page struct{ Etcdcluster string }
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		return err.Error()
	}
	return page.Etcdcluster
}

// status asks over a connection of its own.
func (s *Server) status(ctx context.Context) (*pb.StatusResponse, error) {
	c, err := s.Dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	return c.Maintenance.Status(ctx, &pb.StatusRequest{})
}
