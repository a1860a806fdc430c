package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// kinds are the binaries of a mix; e is etcd 3.7, t the target.
func kinds(t *testing.T, mix string) []harness.Binary {
	t.Helper()
	var bins []harness.Binary
	for _, kind := range mix {
		if kind == 't' {
			bins = append(bins, harness.MustTarget(t))
		} else {
			bins = append(bins, harness.MustEtcd(t, "3.7"))
		}
	}
	return bins
}

// TestReplace puts a member of the one kind in the place of one of the other, in
// clusters of both majorities, with the leader among those that go. Leases, users and
// roles come along.
func TestReplace(t *testing.T) {
	t.Parallel() // It mostly waits until members count as healthy.
	for _, mix := range []string{"eet", "ett"} {
		t.Run(mix, func(t *testing.T) {
			g := start(t, []string{"--snapshot-count=100"}, kinds(t, mix)...)
			g.furnish()
			l, h := g.pacedLoad(loadPause), g.compareHashes()
			for i, kind := range []string{"t", "e", "t"} {
				l.await(g, 50)
				if i > 0 {
					g.lead(i)
				}
				g.Remove(g.ctx, i)
				if log := g.Members[i].LogTail(100); !strings.Contains(log, "removed from the cluster") && !strings.Contains(log, "has been permanently removed") {
					g.Errorf("a removed member of %s says\n%s", g.Members[i].Bin.Label, log)
				}
				g.useMembers(l)
				server, id := g.Join(g.ctx, kinds(t, kind)[0], true)
				g.promote(id)
				g.caughtUp(server.Client(t))
				g.useMembers(l)
				h.await(g, 1)
			}
			l.await(g, 50)
			h.check(g, 3)
			l.check(g)
			g.agree()
			g.sameFurniture()
		})
	}
}

// addrs are the addresses of the members that run.
func (g *group) addrs() []string {
	var addrs []string
	for _, i := range g.Running() {
		addrs = append(addrs, g.Members[i].Addr)
	}
	return addrs
}

// furnish makes leases with keys, users and roles, and leaves authentication off.
func (g *group) furnish() {
	g.Helper()
	c := g.Members[0].Client(g.T)
	for i := range int64(5) {
		_, err := c.Lease.LeaseGrant(g.ctx, &pb.LeaseGrantRequest{ID: 900 + i, TTL: 5000 + i})
		g.must(err)
		_, err = c.KV.Put(g.ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "leased/%d", i), Lease: 900 + i})
		g.must(err)
		role, user := fmt.Sprintf("role%d", i), fmt.Sprintf("user%d", i)
		_, err = c.Auth.RoleAdd(g.ctx, &pb.AuthRoleAddRequest{Name: role})
		g.must(err)
		_, err = c.Auth.UserAdd(g.ctx, &pb.AuthUserAddRequest{Name: user, Password: "secret"})
		g.must(err)
		_, err = c.Auth.UserGrantRole(g.ctx, &pb.AuthUserGrantRoleRequest{User: user, Role: role})
		g.must(err)
	}
}

// sameFurniture asks every member for what [group.furnish] made.
func (g *group) sameFurniture() {
	g.Helper()
	for _, i := range g.Running() {
		c, who := g.Members[i].Client(g.T), g.Members[i].Bin.Label
		leases, err := c.Lease.LeaseLeases(g.ctx, &pb.LeaseLeasesRequest{})
		g.must(err)
		var ids []int64
		for _, lease := range leases.Leases {
			ids = append(ids, lease.ID)
		}
		slices.Sort(ids)
		if !slices.Equal(ids, []int64{900, 901, 902, 903, 904}) {
			g.Errorf("%s has the leases %v", who, ids)
		}
		for n := range 5 {
			user, err := c.Auth.UserGet(g.ctx, &pb.AuthUserGetRequest{Name: fmt.Sprintf("user%d", n)})
			g.must(err)
			if !slices.Equal(user.Roles, []string{fmt.Sprintf("role%d", n)}) {
				g.Errorf("%s: user%d has the roles %v", who, n, user.Roles)
			}
		}
	}
}

// TestAutoTLS lets members make their certificates themselves.
func TestAutoTLS(t *testing.T) {
	bins := kinds(t, "ett")
	g := groupOf(t, limit, harness.StartAutoTLSCluster(t, nil, bins...))
	for i := range 2 {
		g.lead(i)
		g.write(20)
	}
	g.Members[1].Kill()
	g.Revive(1, bins[1])
	g.agree()
}

// TestPeerTLS lets members speak with certificates only: either leads, and each gets
// a snapshot from the other kind.
func TestPeerTLS(t *testing.T) {
	args := []string{"--snapshot-count=50", "--snapshot-catchup-entries=10"}
	bins := kinds(t, "ett")
	g := groupOf(t, limit, harness.StartSecureCluster(t, args, bins...))
	for i := range 2 {
		g.lead(1 - i)
		g.write(50)
		g.Members[i].Kill()
		g.write(300)
		g.compact(100)
		g.Revive(i, bins[i])
		g.agree()
		g.gotSnapshot(g.Members[i])
	}
}
