package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestLifeOfAServer(t *testing.T) {
	EachServer(t, func(t *testing.T, bin Binary) {
		ctx := Context(t, time.Minute)
		first := Start(t, bin, Options{})
		put := &pb.PutRequest{Key: []byte("k"), Value: []byte("v")}
		if _, err := first.Client(t).KV.Put(ctx, put); err != nil {
			t.Fatal(err)
		}
		first.Kill()
		if first.Running() {
			t.Fatal("a killed server still runs")
		}

		second := Start(t, bin, Options{DataDir: first.DataDir})
		got, err := second.Client(t).KV.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
		if err != nil {
			t.Fatal(err)
		}
		if got.Count != 1 || string(got.Kvs[0].Value) != "v" || got.Header.Revision != 2 {
			t.Fatalf("after a kill: %v", got)
		}
		if err := second.Stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSameIdentity holds because all servers announce the same peer URL. Other
// tests compare ids for equality.
func TestSameIdentity(t *testing.T) {
	ctx := Context(t, time.Minute)
	var ids [2]*pb.ResponseHeader
	for i, bin := range []Binary{MustEtcd(t, "3.7"), MustTarget(t)} {
		got, err := Start(t, bin, Options{}).Client(t).KV.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = got.Header
	}
	if ids[0].ClusterId != ids[1].ClusterId || ids[0].MemberId != ids[1].MemberId {
		t.Fatalf("ids differ: %v and %v", ids[0], ids[1])
	}
}

func TestCalledAsEtcd(t *testing.T) {
	target := MustTarget(t)
	if !target.IsMainstay() {
		t.Skip("skipped: only mainstay has two names")
	}
	ctx := Context(t, time.Minute)
	c := Start(t, target, Options{AsEtcd: true}).Client(t)
	if _, err := c.Maintenance.Status(ctx, &pb.StatusRequest{}); err != nil {
		t.Fatal(err)
	}
}

// TestUnknownFlag shows that a server which cannot start is reported with its log.
func TestUnknownFlag(t *testing.T) {
	EachServer(t, func(t *testing.T, bin Binary) {
		s, err := Launch(t.Context(), bin, Options{WorkDir: t.TempDir(), Args: []string{"--no-such-flag"}})
		if err == nil {
			s.Kill()
			t.Fatal("an unknown flag was accepted")
		}
		if !strings.Contains(err.Error(), "no-such-flag") {
			t.Fatalf("the error does not show the log: %v", err)
		}
	})
}

func TestBinariesAreFound(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("INTEROP_BIN", dir)
	if _, err := Etcd("3.7"); err == nil {
		t.Fatal("found a binary in an empty directory")
	}
	path := filepath.Join(dir, "etcd-3.7")
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if b, err := Etcd("3.7"); err != nil || b.Path != path {
		t.Fatalf("got %v, %v", b, err)
	}
}
