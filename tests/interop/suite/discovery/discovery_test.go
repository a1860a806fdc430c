// Package discovery lets members of upstream and of the server under test find each
// other.
package discovery

import (
	"context"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// limit bounds each test.
const limit = time.Minute

// TestService forms clusters by a discovery service, which may be upstream's or the
// target's, as may their members.
func TestService(t *testing.T) {
	etcd, target := harness.MustEtcd(t, "3.7"), harness.MustTarget(t)
	for _, c := range []struct {
		name    string
		service harness.Binary
		members []harness.Binary
	}{
		{"etcd alone", etcd, []harness.Binary{etcd, etcd, etcd}},
		{"mixed by etcd", etcd, []harness.Binary{etcd, target, target}},
		{"mixed by target", target, []harness.Binary{target, etcd, target}},
		{"target alone", target, []harness.Binary{target, target, target}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := harness.Context(t, limit)
			service := harness.Start(t, c.service, harness.Options{})
			api := service.Client(t)
			put(ctx, t, api, "/_etcd/registry/tok/_config/size", "3")
			cluster := harness.StartDiscovered(t, []string{"--discovery-token=tok", "--discovery-endpoints=http://" + service.Addr}, c.members...)
			foundEachOther(ctx, t, cluster)
			put(ctx, t, cluster.Members[0].Client(t), "k", "v")
		})
	}
}

func put(ctx context.Context, t *testing.T, c *harness.Client, key, value string) {
	t.Helper()
	if _, err := c.KV.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
}

// foundEachOther checks that all members are there under their names, in one cluster.
func foundEachOther(ctx context.Context, t *testing.T, cluster *harness.Cluster) {
	t.Helper()
	var names []string
	var ids []uint64
	for _, s := range cluster.Members {
		r, err := s.Client(t).Cluster.MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
		if err != nil {
			t.Fatal(err)
		}
		// Those that the last member knows count.
		names = nil
		for _, m := range r.Members {
			names = append(names, m.Name)
		}
		ids = append(ids, r.Header.ClusterId)
	}
	slices.Sort(names)
	slices.Sort(ids)
	if !slices.Equal(names, []string{"m0", "m1", "m2"}) {
		t.Fatalf("the members are %v", names)
	}
	if ids = slices.Compact(ids); len(ids) != 1 {
		t.Fatalf("the members are of clusters %x", ids)
	}
}
