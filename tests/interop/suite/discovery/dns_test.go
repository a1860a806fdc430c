package discovery

import (
	"fmt"
	"slices"
	"testing"

	"mainstay.dev/tests/interop/suite/harness"
)

// TestDNS forms clusters by the SRV records of a domain, in a network with a name server
// of its own.
func TestDNS(t *testing.T) {
	etcd, target := harness.MustEtcd(t, "3.7"), harness.MustTarget(t)
	if !harness.Inside(t) {
		return
	}
	const domain = "cluster.test"
	n := &names{hosts: map[string][4]byte{}, services: map[string][]service{}}
	records := fmt.Sprintf("_etcd-server._tcp.%s.", domain)
	places := make([]harness.Place, 3)
	for i := range places {
		host := fmt.Sprintf("h%d.%s", i, domain)
		n.hosts[host+"."] = [4]byte{127, 0, 7, byte(i + 1)}
		n.services[records] = append(n.services[records], service{host + ".", 2380})
		places[i] = harness.Place{
			Host:  fmt.Sprintf("127.0.7.%d", i+1),
			Front: func(string) string { return host + ":2380" },
		}
	}
	serveNames(t, n)
	for _, c := range []struct {
		name    string
		members []harness.Binary
	}{
		{"etcd alone", []harness.Binary{etcd, etcd, etcd}},
		{"mixed", []harness.Binary{etcd, target, target}},
		{"target alone", []harness.Binary{target, target, target}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := harness.Context(t, limit)
			before := n.times(records)
			cluster := harness.StartDiscoveredAt(t, []string{"--discovery-srv=" + domain}, slices.Clone(places), c.members...)
			foundEachOther(ctx, t, cluster)
			put(ctx, t, cluster.Members[2].Client(t), "k", "v")
			if asked := n.times(records) - before; asked < 3 {
				t.Fatalf("the records were asked for %d times", asked)
			}
			// Once they have data they ask nobody.
			before = n.times(records)
			for _, s := range cluster.Members {
				s.Kill()
			}
			cluster.ReviveAll(c.members...)
			put(ctx, t, cluster.Members[0].Client(t), "k", "w")
			if asked := n.times(records) - before; asked != 0 {
				t.Fatalf("the records were asked for %d times after the start", asked)
			}
			for _, s := range cluster.Members {
				s.Kill()
			}
		})
	}
}
