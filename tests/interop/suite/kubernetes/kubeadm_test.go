package kubernetes

import (
	"net/http"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mainstay.dev/tests/interop/suite/harness"
)

// TestKubeadmStart starts a member with the flags of kubeadm's static pod and
// probes it as the kubelet does.
func TestKubeadmStart(t *testing.T) {
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		certs, err := harness.NewTLS(t.TempDir(), "kube-apiserver-etcd-client")
		if err != nil {
			t.Fatal(err)
		}
		s := harness.Start(t, bin, harness.Options{TLS: certs, Metrics: true, Args: []string{
			"--feature-gates=InitialCorruptCheck=true",
			"--snapshot-count=10000",
			"--watch-progress-notify-interval=5s",
			"--initial-cluster-state=new",
		}})
		for _, path := range []string{"/livez", "/readyz", "/health", "/health?serializable=true"} {
			if code, body := harness.Fetch(t, "http://"+s.MetricsAddr+path); code != http.StatusOK || !strings.Contains(body, "ok") && !strings.Contains(body, `"health":"true"`) {
				t.Errorf("%s: %d %q", path, code, body)
			}
		}
		if code, body := harness.Fetch(t, "http://"+s.MetricsAddr+"/metrics"); code != http.StatusOK || !strings.Contains(body, "etcd_server_has_leader 1") {
			t.Errorf("/metrics: %d, %d bytes", code, len(body))
		}

		ctx := harness.Context(t, time.Minute)
		with, err := harness.Dial(s.Addr, certs.Dial())
		if err != nil {
			t.Fatal(err)
		}
		defer with.Close()
		if _, err := with.KV.Range(ctx, &pb.RangeRequest{Key: []byte("/registry/health")}); err != nil {
			t.Error(err)
		}
		list, err := with.Cluster.MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
		if err != nil || len(list.Members) != 1 || list.Members[0].Name != "m0" {
			t.Errorf("member list: %v, %v", list, err)
		}
		without, err := harness.Dial(s.Addr, certs.DialWithoutCert())
		if err != nil {
			t.Fatal(err)
		}
		defer without.Close()
		if _, err := without.KV.Range(ctx, &pb.RangeRequest{Key: []byte("k")}); status.Code(err) != codes.Unavailable {
			t.Errorf("without a client certificate: %v", err)
		}
	})
}

// TestFlagsOfOlderKubeadm starts with the spellings of 3.5 and 3.6, which etcd 3.7
// refuses (deviations.tsv, experimental-*).
func TestFlagsOfOlderKubeadm(t *testing.T) {
	target := harness.MustTarget(t)
	if !target.IsMainstay() {
		t.Skip("skipped: etcd 3.7 refuses these flags")
	}
	s := harness.Start(t, target, harness.Options{Args: []string{
		"--experimental-initial-corrupt-check=true",
		"--experimental-watch-progress-notify-interval=300ms",
		"--snapshot-count=10000",
	}})
	a := &apiserver{T: t, ctx: harness.Context(t, time.Minute), server: s, Client: s.Client(t)}
	w := a.watch("/registry/pods/", "/registry/pods0", 0)
	rev := a.create("/registry/other/1", "x")
	// Only the interval makes this come: nobody asks.
	for {
		if r := a.next(w); r.Header.Revision == rev {
			return
		}
	}
}
