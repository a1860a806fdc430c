package utl

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/files"
	"mainstay.dev/tests/interop/suite/harness"
)

// report is what `mainstay migrate check -o json` says, as far as it is compared.
type report struct {
	Starts bool `json:"starts"`
	Origin struct {
		Kind   string `json:"kind"`
		Digest string `json:"sha_256"`
	} `json:"origin"`
	Versions struct {
		Storage string `json:"storage_version"`
		Cluster string `json:"cluster_version"`
	} `json:"versions"`
	Keys struct {
		Revision  int64 `json:"revision"`
		Compacted int64 `json:"compacted_revision"`
		Keys      int64 `json:"keys"`
	} `json:"keys"`
	Members struct {
		Members []struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"members"`
		Removed int `json:"removed_ids"`
	} `json:"members"`
	Others struct {
		Leases int      `json:"leases"`
		Users  int      `json:"users"`
		Auth   string   `json:"authentication"`
		Alarms []string `json:"alarms"`
	} `json:"leases_users_alarms"`
	Log struct {
		Segments int    `json:"segments"`
		Member   string `json:"member"`
		Torn     string `json:"torn_tail"`
	} `json:"log"`
	Remarks []struct{ Weight, Text string } `json:"remarks"`
}

// TestMigrateCheck reads directories of all releases, left by a stop, and compares
// what it says with what the servers said.
func TestMigrateCheck(t *testing.T) {
	us := ours(t)
	bin := harness.MustTarget(t)
	for _, f := range []files.Fixture{
		{Name: "etcd35", Minor: "3.5", Writes: 300, SnapshotCount: 100, CompactEvery: 100, Leases: true},
		{Name: "etcd36", Minor: "3.6", Writes: 300, SnapshotCount: 100, CompactEvery: 100, Leases: true},
		{Name: "etcd37", Minor: "3.7", Writes: 300, SnapshotCount: 100, CompactEvery: 100, Leases: true, Learner: true, Alarm: true},
		{Name: "users", Minor: "3.7", Writes: 300, SnapshotCount: 10000, Leases: true, Users: true},
		{Name: "ours", Writes: 300, SnapshotCount: 100, CompactEvery: 100, Leases: true, Users: true},
	} {
		t.Run(f.Name, func(t *testing.T) {
			server := bin
			if f.Minor != "" {
				server = harness.MustEtcd(t, f.Minor)
			}
			dir := filepath.Join(t.TempDir(), "data")
			known, err := f.MakeWith(harness.Context(t, 3*time.Minute), server, t.TempDir(), dir, seed)
			if err != nil {
				t.Fatal(err)
			}
			before := tree(t, dir)
			r := check(t, us, dir)
			if after := tree(t, dir); before != after {
				t.Fatal("it has written")
			}
			if !r.Starts || r.Origin.Kind != "data directory" {
				t.Fatalf("%+v", r)
			}
			if r.Keys.Revision != known.Revision || r.Keys.Keys != known.Keys || r.Keys.Compacted != known.CompactRevision {
				t.Errorf("keys: %+v, the server said revision %d, %d keys, compacted %d", r.Keys, known.Revision, known.Keys, known.CompactRevision)
			}
			if want := storage(known.StorageVersion); r.Versions.Storage != want {
				t.Errorf("storage version %q, want %q", r.Versions.Storage, want)
			}
			if r.Others.Leases != len(known.Leases) || len(r.Others.Alarms) != len(known.Alarms) {
				t.Errorf("%+v, the server said %d leases, alarms %q", r.Others, len(known.Leases), known.Alarms)
			}
			if known.Auth != nil && r.Others.Users != len(known.Auth.Users) {
				t.Errorf("%d users, the server said %v", r.Others.Users, known.Auth.Users)
			}
			if len(r.Members.Members) != 1 || r.Members.Members[0].ID != known.MemberID || r.Log.Member != known.MemberID || r.Members.Members[0].Name != "m0" {
				t.Errorf("members %+v, log of %s, want %s", r.Members, r.Log.Member, known.MemberID)
			}
			if f.Learner != (r.Members.Removed > 0) {
				t.Errorf("%d removed ids", r.Members.Removed)
			}
			if f.Alarm != mentions(r, "NOSPACE") {
				t.Errorf("remarks %v", r.Remarks)
			}
		})
	}
}

// storage is how a report shows the storage version that a server told, which is
// none below 3.6.
func storage(version string) string {
	if version == "" {
		return "3.5.0"
	}
	return version
}

func mentions(r report, word string) bool {
	for _, remark := range r.Remarks {
		if strings.Contains(remark.Text, word) {
			return true
		}
	}
	return false
}

// TestMigrateCheckOfTrouble looks at what no server would take over in silence.
func TestMigrateCheckOfTrouble(t *testing.T) {
	us := ours(t)
	m := prepare(t, harness.MustEtcd(t, "3.7"), harness.MustCtl(t, "etcdctl", "3.7"))
	dir, us := m.side(t, us)
	if r := check(t, us, filepath.Join(dir, "s.db")); !r.Starts || r.Origin.Digest != "right" || len(r.Remarks) != 0 {
		t.Errorf("a good snapshot: %+v", r)
	}
	if r := check(t, us, filepath.Join(dir, "nh.db")); !mentions(r, "--skip-hash-check") {
		t.Errorf("a snapshot without a digest: %+v", r.Remarks)
	}
	if r := check(t, us, filepath.Join(dir, "bad.db")); r.Starts || r.Origin.Digest != "wrong" {
		t.Errorf("a damaged snapshot: %+v", r)
	}
	if r := check(t, us, filepath.Join(dir, "page.db")); r.Starts || !mentions(r, "the database is damaged") {
		t.Errorf("a damaged page: %+v", r.Remarks)
	}
	us.must(t, dir, "migrate", "--data-dir", "d", "--target-version", "3.9", "--force")
	if r := check(t, us, filepath.Join(dir, "d")); r.Starts || !mentions(r, "3.9") {
		t.Errorf("a version to come: %+v", r.Remarks)
	}
	us.must(t, dir, "migrate", "--data-dir", "d", "--target-version", "3.7", "--force")
	wal := filepath.Join(dir, "d", "member", "wal")
	if err := os.Rename(wal, wal+".away"); err != nil {
		t.Fatal(err)
	}
	if r := check(t, us, filepath.Join(dir, "d")); r.Starts || !mentions(r, "there is no log") {
		t.Errorf("no log: %+v", r.Remarks)
	}
	r, err := us.run(t.Context(), dir, "mainstay", "migrate", "check", "absent")
	if err != nil || r.exit != 1 || !strings.Contains(r.stderr, "no such file or directory") {
		t.Errorf("%v, %s", err, r)
	}
}

// check asks for a report, in both forms.
func check(t *testing.T, us tools, path string) report {
	t.Helper()
	r, err := us.run(t.Context(), filepath.Dir(path), "mainstay", "migrate", "check", path, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var said report
	if err := json.Unmarshal([]byte(r.stdout), &said); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	if said.Starts != (r.exit == 0) {
		t.Fatalf("exit %d of a directory on which a server starts: %t", r.exit, said.Starts)
	}
	table, err := us.run(t.Context(), filepath.Dir(path), "mainstay", "migrate", "check", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, remark := range said.Remarks {
		if !strings.Contains(table.stdout, strings.ToUpper(remark.Weight)+": "+remark.Text) {
			t.Errorf("%q is not in the table:\n%s", remark.Text, table.stdout)
		}
	}
	return said
}

// tree is a hash over all files of a directory.
func tree(t *testing.T, dir string) string {
	t.Helper()
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintln(sum, path, d.IsDir())
		if !d.IsDir() {
			_, err = sum.Write(read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}
