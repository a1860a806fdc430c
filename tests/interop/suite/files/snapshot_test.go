package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// snapshotSource is what the snapshot tests take snapshots of.
var snapshotSource = Fixture{Name: "snapshot", Writes: 800, SnapshotCount: 100, CompactEvery: 300, Leases: true, LargeValues: 3}

// TestSnapshot takes a snapshot by the API and lets upstream's tools read it.
func TestSnapshot(t *testing.T) {
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		utl := harness.MustCtl(t, "etcdutl", "3.7")
		ctx := harness.Context(t, 2*time.Minute)
		work := t.TempDir()
		file, dir := filepath.Join(work, "snapshot.db"), filepath.Join(work, "data")
		known, err := snapshotSource.MakeWith(ctx, bin, t.TempDir(), dir, seed)
		if err != nil {
			t.Fatal(err)
		}
		err = WithServer(ctx, bin, t.TempDir(), dir, func(c *harness.Client) error {
			if err := waitStorage(ctx, c, "3.7.0"); err != nil {
				return err
			}
			return saveSnapshot(ctx, c, file)
		})
		if err != nil {
			t.Fatal(err)
		}

		var status struct {
			Revision int64  `json:"revision"`
			TotalKey int64  `json:"totalKey"`
			Version  string `json:"version"`
		}
		decode(t, run(t, utl, "snapshot", "status", file, "-w", "json"), &status)
		if status.Revision != known.Revision || status.Version != "3.7.0" || status.TotalKey < known.Keys {
			t.Fatalf("etcdutl says %+v, the server %d keys at revision %d", status, known.Keys, known.Revision)
		}

		for _, reader := range []harness.Binary{harness.MustEtcd(t, "3.7"), bin} {
			restored := filepath.Join(t.TempDir(), "restored")
			run(t, utl, restoreArgs(file, restored)...)
			// Restoring makes a new member of a new cluster.
			want := *known
			want.Members, want.ClusterID, want.MemberID = nil, "", ""
			err := WithServer(ctx, reader, t.TempDir(), restored, func(c *harness.Client) error {
				now, err := Describe(ctx, c)
				if err != nil {
					return err
				}
				now.Members, now.ClusterID, now.MemberID = nil, "", ""
				if diffs := want.Differences(now); len(diffs) > 0 {
					return fmt.Errorf("restored: %q", diffs)
				}
				return want.CheckHashes(ctx, c)
			})
			if err != nil {
				t.Fatalf("%s on a restored directory: %v", reader.Label, err)
			}
		}
	})
}

// TestSnapshotWithBumpedRevision restores so that watchers of the old cluster
// cannot miss that history was replaced.
func TestSnapshotWithBumpedRevision(t *testing.T) {
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		utl := harness.MustCtl(t, "etcdutl", "3.7")
		ctx := harness.Context(t, 2*time.Minute)
		file := filepath.Join(t.TempDir(), "snapshot.db")
		dir := filepath.Join(t.TempDir(), "data")
		known, err := snapshotSource.MakeWith(ctx, harness.MustEtcd(t, "3.7"), t.TempDir(), dir, seed)
		if err != nil {
			t.Fatal(err)
		}
		err = WithServer(ctx, harness.MustEtcd(t, "3.7"), t.TempDir(), dir, func(c *harness.Client) error { return saveSnapshot(ctx, c, file) })
		if err != nil {
			t.Fatal(err)
		}
		restored := filepath.Join(t.TempDir(), "restored")
		run(t, utl, append(restoreArgs(file, restored), "--bump-revision=1000", "--mark-compacted")...)
		err = WithServer(ctx, bin, t.TempDir(), restored, func(c *harness.Client) error {
			got, err := c.KV.Range(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true})
			if err != nil {
				return err
			}
			if got.Header.Revision != known.Revision+1000 {
				return fmt.Errorf("revision %d, want %d", got.Header.Revision, known.Revision+1000)
			}
			w, err := c.Watch.Watch(ctx)
			if err != nil {
				return err
			}
			create := &pb.WatchCreateRequest{Key: []byte("key/"), StartRevision: known.Revision + 1}
			if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
				return err
			}
			for range 2 {
				r, err := w.Recv()
				if err != nil {
					return err
				}
				if r.Canceled && r.CompactRevision == known.Revision+1000 {
					return nil
				}
			}
			return errors.New("the watcher was not canceled by compaction")
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestToolsOnADirectory runs etcdutl on the directory of a stopped server.
func TestToolsOnADirectory(t *testing.T) {
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		utl := harness.MustCtl(t, "etcdutl", "3.7")
		ctx := harness.Context(t, 2*time.Minute)
		dir := filepath.Join(t.TempDir(), "data")
		known, err := snapshotSource.MakeWith(ctx, bin, t.TempDir(), dir, seed)
		if err != nil {
			t.Fatal(err)
		}
		var hash struct {
			Hash            uint32 `json:"hash"`
			HashRevision    int64  `json:"hashRevision"`
			CompactRevision int64  `json:"compactRevision"`
		}
		decode(t, run(t, utl, "hashkv", filepath.Join(dir, "member", "snap", "db"), "-w", "json"), &hash)
		if want := known.Hashes[0]; hash.Hash != want.Hash || hash.HashRevision != want.Revision || hash.CompactRevision != want.CompactRevision {
			t.Fatalf("etcdutl hashkv: %+v, the server: %+v", hash, want)
		}
		run(t, utl, "defrag", "--data-dir", dir)
		newJourney(t, dir, known).leg(bin, 50)
	})
}

func restoreArgs(file, dir string) []string {
	return []string{
		"snapshot", "restore", file, "--data-dir", dir, "--name", "m0",
		"--initial-cluster", "m0=http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
	}
}

// saveSnapshot streams a snapshot into a file and checks the form of the stream.
func saveSnapshot(ctx context.Context, c *harness.Client, path string) error {
	stream, err := c.Maintenance.Snapshot(ctx, &pb.SnapshotRequest{})
	if err != nil {
		return err
	}
	var data, last []byte
	var remaining []uint64
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(r.Blob) > 32<<10 || r.Version != "3.7.0" {
			return fmt.Errorf("a message with %d bytes, version %q", len(r.Blob), r.Version)
		}
		data, last = append(data, last...), r.Blob
		remaining = append(remaining, r.RemainingBytes)
	}
	sum := sha256.Sum256(data)
	if !bytes.Equal(sum[:], last) {
		return fmt.Errorf("the last message is not the digest: %x", last)
	}
	if len(data)%512 != 0 {
		return fmt.Errorf("%d bytes of db", len(data))
	}
	if n := len(remaining); n < 2 || remaining[n-1] != 0 || remaining[n-2] != 0 || remaining[0] >= uint64(len(data)) {
		return fmt.Errorf("remaining bytes %v for a db of %d", remaining, len(data))
	}
	return os.WriteFile(path, append(data, last...), 0o600)
}

// run calls a tool and returns its standard output.
func run(t *testing.T, path string, args ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", filepath.Base(path), args, err, out, stderr.Bytes())
	}
	return out
}

func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
}
