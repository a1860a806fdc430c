package cluster

import (
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/files"
	"mainstay.dev/tests/interop/suite/harness"
)

// TestForceNewCluster loses two of three members. On copies of what the third has,
// upstream and the target go on alone: with the same id, members, and history. A copy
// then passes to the other binary, without the flag.
func TestForceNewCluster(t *testing.T) {
	etcd, target := harness.MustEtcd(t, "3.7"), harness.MustTarget(t)
	for _, mix := range []string{"eee", "ttt"} {
		t.Run(mix, func(t *testing.T) {
			g := start(t, nil, kinds(t, mix)...)
			g.write(200)
			g.caughtUp(g.Members[1].Client(t))
			id := g.memberID(1)
			for _, s := range g.Members {
				s.Kill()
			}
			var known []alone
			for _, first := range []harness.Binary{etcd, target} {
				dir := t.TempDir()
				g.must(files.CopyDir(g.Members[1].DataDir, dir))
				found := g.goesOn(first, dir, "--force-new-cluster")
				if found.member != id || found.members != 1 {
					t.Fatalf("%s goes on as %x among %d members, and was %x", first.Label, found.member, found.members, id)
				}
				second := []harness.Binary{target, etcd}[slices.Index([]string{etcd.Path, target.Path}, first.Path)]
				if again := g.goesOn(second, dir); again != found {
					t.Fatalf("%s leaves %+v, and %s finds %+v", first.Label, found, second.Label, again)
				}
				known = append(known, found)
			}
			if known[0] != known[1] {
				t.Fatalf("upstream goes on with %+v, the target with %+v", known[0], known[1])
			}
		})
	}
}

// alone is what a member says that has nobody to ask.
type alone struct {
	cluster, member uint64
	members         int
	revision        int64
	hash            uint32
}

// goesOn boots a binary on a directory, asks, and stops it.
func (g *group) goesOn(bin harness.Binary, dir string, args ...string) alone {
	g.Helper()
	s, err := harness.Launch(g.ctx, bin, harness.Options{WorkDir: g.TempDir(), DataDir: dir, Args: args})
	g.must(err)
	defer s.Kill()
	c := s.Client(g.T)
	hash, err := c.Maintenance.HashKV(g.ctx, &pb.HashKVRequest{})
	g.must(err)
	list, err := c.Cluster.MemberList(g.ctx, &pb.MemberListRequest{Linearizable: true})
	g.must(err)
	g.must(s.Stop())
	return alone{
		cluster: hash.Header.ClusterId, member: hash.Header.MemberId, members: len(list.Members),
		revision: hash.Header.Revision, hash: hash.Hash,
	}
}

func (g *group) memberID(i int) uint64 {
	g.Helper()
	st, err := g.Members[i].Client(g.T).Maintenance.Status(g.ctx, &pb.StatusRequest{})
	g.must(err)
	return st.Header.MemberId
}
