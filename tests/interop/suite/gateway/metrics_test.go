package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// metricLine is a sample: name, labels, value.
var metricLine = regexp.MustCompile(`^([a-z_:A-Z0-9]+)(\{[^}]*\})? `)

// label is one label with its value. The order of labels means nothing.
var label = regexp.MustCompile(`(\w+)="(?:[^"\\]|\\.)*"`)

// notOurs are metrics of Go's libraries, which another language cannot have, and
// of the gRPC proxy, which upstream's server only happens to show.
var notOurs = regexp.MustCompile(`^(go_|promhttp_|os_fd_|etcd_grpc_proxy_)`)

// TestMetrics asks for the metrics that upstream shows after the same requests,
// with the same label names.
func TestMetrics(t *testing.T) {
	a := harness.Start(t, harness.MustEtcd(t, "3.7"), harness.Options{})
	b := harness.Start(t, harness.MustTarget(t), harness.Options{})
	want, got := metrics(t, a), metrics(t, b)
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !got[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		t.Errorf("%d of %d metrics are missing:\n%s", len(missing), len(want), strings.Join(missing, "\n"))
	}
}

// metrics names the samples of a server with their label names.
func metrics(t *testing.T, s *harness.Server) map[string]bool {
	t.Helper()
	work(t, s)
	names := map[string]bool{}
	for _, line := range strings.Split(exchange(t, s, request{method: http.MethodGet, path: "/metrics"}).body, "\n") {
		m := metricLine.FindStringSubmatch(line)
		if m == nil || notOurs.MatchString(m[1]) {
			continue
		}
		var labels []string
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			labels = append(labels, l[1])
		}
		slices.Sort(labels)
		names[fmt.Sprint(m[1], labels)] = true
	}
	return names
}

// work gives the counters something to count.
func work(t *testing.T, s *harness.Server) {
	t.Helper()
	c, ctx := s.Client(t), t.Context()
	if _, err := c.KV.Put(ctx, &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.KV.Range(ctx, &pb.RangeRequest{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.KV.Txn(ctx, &pb.TxnRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: 5, TTL: 1000}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.KV.Compact(ctx, &pb.CompactionRequest{Revision: 2, Physical: true}); err != nil {
		t.Fatal(err)
	}
}
