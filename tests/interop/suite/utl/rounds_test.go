package utl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/files"
	"mainstay.dev/tests/interop/suite/harness"
)

// restorer makes data directories from snapshots.
type restorer struct {
	label string
	with  tools
}

// restorers are ours, upstream's of 3.7, and upstream's of 3.6.
func restorers(t *testing.T) []restorer {
	old := tools{label: "etcdutl-3.6", paths: map[string]string{"etcdutl": harness.MustCtl(t, "etcdutl", "3.6")}}
	return []restorer{{"ours", ours(t)}, {"upstream", upstream(t)}, {"upstream-3.6", old}}
}

// asServed are the flags of restore for the member that the harness starts.
func asServed(file, dir string, more ...string) []string {
	return append([]string{
		"snapshot", "restore", file, "--data-dir", dir, "--name", "m0",
		"--initial-cluster", "m0=http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380", "--initial-cluster-token", "interop",
	}, more...)
}

// TestRounds saves snapshots from either server with each etcdctl, looks at them
// and restores them with each etcdutl, and serves what came out with either server:
// keys, hashes, leases and users are those of the source.
func TestRounds(t *testing.T) {
	with := restorers(t)
	servers := []harness.Binary{harness.MustEtcd(t, "3.7"), harness.MustTarget(t)}
	for _, from := range servers {
		t.Run("from "+from.Label, func(t *testing.T) {
			m := prepare(t, from, harness.MustCtl(t, "etcdctl", "3.7"))
			savers := map[string]string{"ours": ours(t).paths["etcdctl"]}
			for _, minor := range []string{"3.7", "3.6", "3.5"} {
				savers[minor] = harness.MustCtl(t, "etcdctl", minor)
			}
			for label, ctl := range savers {
				t.Run("saved by "+label, func(t *testing.T) {
					file := filepath.Join(t.TempDir(), "s.db")
					m.save(t, from, ctl, file)
					sameStatus(t, with, file)
					for _, r := range with {
						t.Run("restored by "+r.label, func(t *testing.T) { m.restoreAndServe(t, r, file, servers) })
					}
				})
			}
		})
	}
}

// sameStatus asks all tools what is in a snapshot.
func sameStatus(t *testing.T, with []restorer, file string) {
	t.Helper()
	said := map[string][]string{}
	for _, r := range with {
		text := r.with.must(t, t.TempDir(), "snapshot", "status", file, "-w", "json")
		said[text] = append(said[text], r.label)
	}
	if len(said) != 1 {
		t.Fatalf("status: %q", said)
	}
}

func (m made) restoreAndServe(t *testing.T, r restorer, file string, servers []harness.Binary) {
	dir := filepath.Join(t.TempDir(), "restored")
	r.with.must(t, t.TempDir(), asServed(file, dir)...)
	if err := files.CheckOffline(dir); err != nil {
		t.Fatalf("upstream's readers: %v", err)
	}
	for _, server := range servers {
		replica := filepath.Join(t.TempDir(), "replica")
		if err := files.CopyDir(dir, replica); err != nil {
			t.Fatal(err)
		}
		ctx := harness.Context(t, time.Minute)
		// Restoring makes a new member of a new cluster.
		want := *m.known
		want.Members, want.ClusterID, want.MemberID = nil, "", ""
		err := files.WithServer(ctx, server, t.TempDir(), replica, func(c *harness.Client) error {
			now, err := files.Describe(ctx, c)
			if err != nil {
				return err
			}
			if len(now.Members) != 1 || now.Members[0].Name != "m0" {
				return fmt.Errorf("members %+v", now.Members)
			}
			now.Members, now.ClusterID, now.MemberID = nil, "", ""
			if diffs := want.Differences(now); len(diffs) > 0 {
				return fmt.Errorf("it differs from the source: %q", diffs)
			}
			if want.Auth == nil || !want.Auth.Enabled {
				if _, err := c.KV.Put(ctx, &pb.PutRequest{Key: []byte("after"), Value: []byte("restore")}); err != nil {
					return err
				}
			}
			return want.CheckHashes(ctx, c)
		})
		if err == nil {
			// And once more, on what that server has made of it.
			err = files.WithServer(ctx, server, t.TempDir(), replica, func(c *harness.Client) error { return want.CheckHashes(ctx, c) })
		}
		if err != nil {
			t.Fatalf("%s: %v", server.Label, err)
		}
	}
}

// TestUsers restores where authentication is on: who could log in before can log in
// after.
func TestUsers(t *testing.T) {
	with, fixture := restorers(t)[:2], source
	fixture.Users, fixture.Auth = false, true
	servers := []harness.Binary{harness.MustEtcd(t, "3.7"), harness.MustTarget(t)}
	for _, from := range servers {
		t.Run("from "+from.Label, func(t *testing.T) {
			m := prepareFrom(t, fixture, from, harness.MustCtl(t, "etcdctl", "3.7"))
			if m.known.Auth == nil || !m.known.Auth.Enabled {
				t.Fatal("authentication is off")
			}
			sameStatus(t, with, m.snapshot)
			for _, r := range with {
				t.Run("restored by "+r.label, func(t *testing.T) { m.restoreAndServe(t, r, m.snapshot, servers) })
			}
		})
	}
}

// TestOlder restores snapshots of etcd 3.6 and 3.5, which serve what comes out, as we
// do.
func TestOlder(t *testing.T) {
	with := restorers(t)[:2]
	for _, minor := range []string{"3.6", "3.5"} {
		t.Run(minor, func(t *testing.T) {
			from := harness.MustEtcd(t, minor)
			m := prepare(t, from, harness.MustCtl(t, "etcdctl", minor))
			sameStatus(t, with, m.snapshot)
			for _, r := range with {
				t.Run("restored by "+r.label, func(t *testing.T) {
					m.restoreAndServe(t, r, m.snapshot, []harness.Binary{from, harness.MustTarget(t)})
				})
			}
		})
	}
}

// TestDeprecated calls the two commands that scripts still look for at etcdctl, which
// say where they have gone and do what etcdutl does.
func TestDeprecated(t *testing.T) {
	us := ours(t)
	m := prepare(t, harness.MustTarget(t), harness.MustCtl(t, "etcdctl", "3.7"))
	dir, us := m.side(t, us)
	for _, line := range []string{
		"snapshot status s.db", "snapshot status s.db -w json", "snapshot status s.db -w table", "snapshot status absent", "snapshot status", "snapshot status s.db -w nope",
		"snapshot restore s.db --data-dir a", "snapshot restore s.db --data-dir d", "snapshot restore", "snapshot restore s.db --data-dir b --bump-revision 7",
	} {
		args := strings.Fields(line)
		want, err := us.run(t.Context(), dir, "etcdutl", args...)
		if err != nil {
			t.Fatal(err)
		}
		// What was restored to is no place for a second time.
		if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
		got, err := us.run(t.Context(), dir, "etcdctl", args...)
		if err != nil {
			t.Fatal(err)
		}
		want.stderr = "Deprecated: Use `etcdutl snapshot " + args[1] + "` instead.\n\n" + want.stderr
		if want, got := want.normalised(call{}), got.normalised(call{}); want != got {
			t.Errorf("etcdctl %s: %s\nwant %s", line, got, want)
		}
	}
}

// TestBumpedRounds restores with revisions that no client can have seen, with both
// tools, and serves with both servers: they agree on revision, compaction and hash.
func TestBumpedRounds(t *testing.T) {
	up, us := upstream(t), ours(t)
	etcd, target := harness.MustEtcd(t, "3.7"), harness.MustTarget(t)
	m := prepare(t, etcd, harness.MustCtl(t, "etcdctl", "3.7"))
	const bump = 1_000_000
	type seen struct {
		revision, compacted int64
		hash                uint32
	}
	all := map[seen][]string{}
	for _, tool := range []tools{up, us} {
		for _, server := range []harness.Binary{etcd, target} {
			dir := filepath.Join(t.TempDir(), "restored")
			tool.must(t, t.TempDir(), asServed(m.snapshot, dir, "--bump-revision", fmt.Sprint(bump), "--mark-compacted")...)
			ctx := harness.Context(t, time.Minute)
			err := files.WithServer(ctx, server, t.TempDir(), dir, func(c *harness.Client) error {
				got, err := c.KV.Range(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true})
				if err != nil {
					return err
				}
				if got.Count != m.known.Keys {
					return fmt.Errorf("%d keys of %d", got.Count, m.known.Keys)
				}
				_, err = c.KV.Range(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: m.known.Revision})
				if err == nil {
					return errors.New("a revision from before can be read")
				}
				if _, err := c.KV.Put(ctx, &pb.PutRequest{Key: []byte("after"), Value: []byte("restore")}); err != nil {
					return err
				}
				hash, err := c.Maintenance.HashKV(ctx, &pb.HashKVRequest{})
				if err != nil {
					return err
				}
				key := seen{hash.HashRevision, hash.CompactRevision, hash.Hash}
				all[key] = append(all[key], tool.label+" on "+server.Label)
				if hash.CompactRevision != m.known.Revision+bump || hash.HashRevision != m.known.Revision+bump+1 {
					return fmt.Errorf("%+v after revision %d", key, m.known.Revision)
				}
				return nil
			})
			if err != nil {
				t.Fatalf("%s, %s: %v", tool.label, server.Label, err)
			}
		}
	}
	if len(all) != 1 {
		t.Fatalf("they disagree: %v", all)
	}
}

// TestClusterOfThree restores three members from one snapshot, with both tools, and
// lets them serve together, etcd and ours.
func TestClusterOfThree(t *testing.T) {
	up, us := upstream(t), ours(t)
	etcd, target := harness.MustEtcd(t, "3.7"), harness.MustTarget(t)
	m := prepare(t, target, harness.MustCtl(t, "etcdctl", "3.7"))
	c := harness.StartRestored(t, func(name, peer, initial, dir string) error {
		with := us
		if name == "m1" {
			with = up
		}
		r, err := with.run(t.Context(), filepath.Dir(dir), "etcdutl", "snapshot", "restore", m.snapshot, "--data-dir", dir, "--name", name,
			"--initial-cluster", initial, "--initial-advertise-peer-urls", "http://"+peer, "--initial-cluster-token", "interop")
		if err == nil && r.exit != 0 {
			err = fmt.Errorf("%s: %s", with.label, r)
		}
		return err
	}, target, etcd, target).Members
	ctx := harness.Context(t, time.Minute)
	for _, s := range c {
		client := s.Client(t)
		if _, err := client.KV.Put(ctx, &pb.PutRequest{Key: []byte("after/" + s.Addr), Value: []byte("restore")}); err != nil {
			t.Fatalf("%s: %v", s.Bin.Label, err)
		}
	}
	hashes := map[uint32]bool{}
	for _, s := range c {
		client := s.Client(t)
		if _, err := client.KV.Range(ctx, &pb.RangeRequest{Key: []byte("after")}); err != nil {
			t.Fatal(err)
		}
		hash, err := client.Maintenance.HashKV(ctx, &pb.HashKVRequest{Revision: m.known.Revision + int64(len(c))})
		if err != nil {
			t.Fatalf("%s: %v", s.Bin.Label, err)
		}
		hashes[hash.Hash] = true
	}
	if len(hashes) != 1 {
		t.Fatalf("members disagree: %v", hashes)
	}
}
