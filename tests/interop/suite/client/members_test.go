package client

import (
	"context"
	"errors"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"mainstay.dev/tests/interop/suite/harness"
)

// TestLearnerOnOneMember: a learner that never starts is added, listed, changed and
// removed, and everything that cannot be is refused with the same error.
func TestLearnerOnOneMember(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *harness.Server, c *clientv3.Client) {
		refused := func(want error, err error) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
		own := list(t, ctx, c)[0]
		put(t, ctx, c, "k", "v")
		added, err := c.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:4", "http://127.0.0.1:3"})
		if err != nil {
			t.Fatal(err)
		}
		m := added.Member
		if !m.IsLearner || m.Name != "" || len(m.ClientURLs) != 0 || !slices.Equal(m.PeerURLs, []string{"http://127.0.0.1:3", "http://127.0.0.1:4"}) {
			t.Errorf("added %v", m)
		}
		if len(added.Members) != 2 || added.Header.Revision != 0 || added.Header.RaftTerm == 0 {
			t.Errorf("answer %v", added)
		}
		put(t, ctx, c, "k", "w")

		_, err = c.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:5"})
		refused(rpctypes.ErrTooManyLearners, err)
		_, err = c.MemberAdd(ctx, own.PeerURLs)
		refused(rpctypes.ErrPeerURLExist, err)
		_, err = c.MemberUpdate(ctx, m.ID, own.PeerURLs)
		refused(rpctypes.ErrPeerURLExist, err)
		_, err = c.MemberPromote(ctx, m.ID)
		refused(rpctypes.ErrMemberLearnerNotReady, err)
		_, err = c.MemberPromote(ctx, own.ID)
		refused(rpctypes.ErrMemberNotLearner, err)
		_, err = c.MemberPromote(ctx, 5)
		refused(rpctypes.ErrMemberNotFound, err)
		_, err = c.MemberRemove(ctx, own.ID)
		refused(rpctypes.ErrMemberNotEnoughStarted, err)
		_, err = c.MoveLeader(ctx, m.ID)
		refused(rpctypes.ErrBadLeaderTransferee, err)

		updated, err := c.MemberUpdate(ctx, m.ID, []string{"http://127.0.0.1:6"})
		if err != nil {
			t.Fatal(err)
		}
		if updated.Header.Revision != 0 {
			t.Errorf("header %v", updated.Header)
		}
		s.Kill()
		s, err = s.Restart(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Kill)
		members := list(t, ctx, c)
		if len(members) != 2 {
			t.Fatalf("members %v", members)
		}
		for _, known := range members {
			if known.ID == m.ID && (!known.IsLearner || !slices.Equal(known.PeerURLs, []string{"http://127.0.0.1:6"})) {
				t.Errorf("after a crash %v", known)
			}
		}
		if _, err := c.MemberRemove(ctx, m.ID); err != nil {
			t.Fatal(err)
		}
		_, err = c.MemberRemove(ctx, m.ID)
		refused(rpctypes.ErrMemberNotFound, err)
		if members := list(t, ctx, c); len(members) != 1 {
			t.Errorf("members %v", members)
		}
	})
}

func list(t *testing.T, ctx context.Context, c *clientv3.Client) []*pb.Member {
	t.Helper()
	r, err := c.MemberList(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return r.Members
}
