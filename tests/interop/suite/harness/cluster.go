package harness

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// clusterArgs make elections quick enough for tests.
var clusterArgs = []string{"--heartbeat-interval=50", "--election-timeout=500"}

// Cluster is a group of members, possibly of different binaries.
type Cluster struct {
	// Members are the running servers by position; an ended one stays in place.
	Members []*Server

	t    testing.TB
	work string
	args []string
	// peers are the entries of --initial-cluster.
	peers []string
}

// StartCluster starts one member for each binary and waits until all are healthy.
// They end with the test.
func StartCluster(t testing.TB, args []string, bins ...Binary) *Cluster {
	t.Helper()
	c := &Cluster{t: t, work: t.TempDir(), args: append(append([]string{}, clusterArgs...), args...)}
	at := make([]ports, len(bins))
	for i := range bins {
		var err error
		if at[i], err = freePorts(); err != nil {
			t.Fatal(err)
		}
		c.peers = append(c.peers, fmt.Sprintf("m%d=http://%s", i, at[i].peer))
	}
	for i, bin := range bins {
		s, err := spawn(bin, c.options(i, "new"), at[i])
		if err != nil {
			t.Fatal(err)
		}
		endWith(t, s)
		c.Members = append(c.Members, s)
	}
	for _, s := range c.Members {
		if err := s.waitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *Cluster) options(i int, state string) Options {
	return Options{
		WorkDir: c.work, DataDir: filepath.Join(c.work, fmt.Sprintf("m%d", i)), Args: c.args,
		member: &membership{name: fmt.Sprintf("m%d", i), initial: strings.Join(c.peers, ","), state: state},
	}
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

// Join adds a new member by the API of member 0, first as a learner if asked, and
// starts it.
func (c *Cluster) Join(ctx context.Context, bin Binary, learner bool) (*Server, uint64) {
	c.t.Helper()
	at, err := freePorts()
	if err != nil {
		c.t.Fatal(err)
	}
	api := c.Members[0].Client(c.t)
	var added *pb.MemberAddResponse
	// A cluster that has just changed refuses the next change for a while.
	for {
		added, err = api.Cluster.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{"http://" + at.peer}, IsLearner: learner})
		if err == nil || !strings.Contains(err.Error(), "unhealthy cluster") {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	i := len(c.peers)
	c.peers = append(c.peers, fmt.Sprintf("m%d=http://%s", i, at.peer))
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

// status asks over a connection of its own.
func (s *Server) status(ctx context.Context) (*pb.StatusResponse, error) {
	c, err := Dial(s.Addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Maintenance.Status(ctx, &pb.StatusRequest{})
}
