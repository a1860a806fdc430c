package files

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/api/v3/authpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// Fixture describes how a data directory is made.
type Fixture struct {
	// Name is the directory's name.
	Name string
	// Minor is upstream's release line, for example "3.7".
	Minor string
	// Writes is the number of random write requests.
	Writes int
	// LargeValues is how many values of 512 KiB are written besides.
	LargeValues int
	// SnapshotCount is --snapshot-count: a small one leaves many snapshot
	// records.
	SnapshotCount int
	// CompactEvery compacts after so many writes; 0 never.
	CompactEvery int
	// Leases, Users, Auth, Learner and Alarm add state of that kind. Users are
	// users and roles while authentication is off, Auth are the same with it on.
	// A learner is added and removed again, so its id stays in members_removed.
	Leases, Users, Auth, Learner, Alarm bool
	// Kill ends the server with SIGKILL, so the db lags behind the WAL.
	Kill bool
}

// Fixtures are the directories that other tests start from.
var Fixtures = []Fixture{
	{Name: "etcd37-plain", Minor: "3.7", Writes: 2000, SnapshotCount: 10000, Leases: true},
	{Name: "etcd37-auth", Minor: "3.7", Writes: 500, SnapshotCount: 200, Leases: true, Auth: true},
	{Name: "etcd37-users", Minor: "3.7", Writes: 500, SnapshotCount: 200, Leases: true, Users: true, Kill: true},
	{Name: "etcd37-compacted", Minor: "3.7", Writes: 4000, SnapshotCount: 500, CompactEvery: 700, Leases: true},
	{Name: "etcd37-killed", Minor: "3.7", Writes: 3000, SnapshotCount: 300, CompactEvery: 900, Leases: true, Kill: true},
	{Name: "etcd37-segments", Minor: "3.7", Writes: 1000, LargeValues: 400, SnapshotCount: 100, CompactEvery: 400, Leases: true, Learner: true},
	{Name: "etcd37-alarm", Minor: "3.7", Writes: 300, SnapshotCount: 100, Alarm: true, Learner: true, Kill: true},
	{Name: "etcd36", Minor: "3.6", Writes: 3000, SnapshotCount: 400, CompactEvery: 800, Leases: true},
	{Name: "etcd36-killed", Minor: "3.6", Writes: 2000, SnapshotCount: 10000, Leases: true, Kill: true},
	{Name: "etcd35", Minor: "3.5", Writes: 2000, SnapshotCount: 400, CompactEvery: 800, Leases: true},
	{Name: "etcd37-empty", Minor: "3.7"},
}

// Make creates the data directory, its manifest DIR.json and its key dump
// DIR.keys.tsv. The random writes follow from the seed.
func (f Fixture) Make(ctx context.Context, workDir, dataDir string, seed uint64) error {
	bin, err := harness.Etcd(f.Minor)
	if err != nil {
		return err
	}
	m, err := f.MakeWith(ctx, bin, workDir, dataDir, seed)
	if err != nil {
		return err
	}
	replica := filepath.Join(workDir, "keys-of-"+f.Name)
	if err := CopyDir(dataDir, replica); err != nil {
		return err
	}
	return errors.Join(m.Write(dataDir), WithServer(ctx, bin, workDir, replica, func(c *harness.Client) error {
		return DumpKeys(ctx, c, dataDir+".keys.tsv")
	}))
}

// MakeWith creates the data directory with the given server, and describes it.
//
// The description comes from a second server on a copy: after a kill only that
// shows what survives, and reading would have flushed the db.
func (f Fixture) MakeWith(ctx context.Context, bin harness.Binary, workDir, dataDir string, seed uint64) (*Manifest, error) {
	if err := f.write(ctx, bin, workDir, dataDir, seed); err != nil {
		return nil, err
	}
	replica := filepath.Join(workDir, "copy-of-"+f.Name)
	if err := CopyDir(dataDir, replica); err != nil {
		return nil, err
	}
	var m *Manifest
	err := WithServer(ctx, bin, workDir, replica, func(c *harness.Client) (err error) {
		m, err = Describe(ctx, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	m.Name, m.Server, m.End = f.Name, bin.Label, "stopped"
	if f.Kill {
		m.End = "killed"
	}
	return m, nil
}

// write fills a new directory and ends the server as the fixture asks.
func (f Fixture) write(ctx context.Context, bin harness.Binary, workDir, dataDir string, seed uint64) error {
	s, err := harness.Launch(ctx, bin, harness.Options{WorkDir: workDir, DataDir: dataDir, Args: f.flags()})
	if err != nil {
		return err
	}
	defer s.Kill()
	c, err := harness.Dial(s.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := f.fill(ctx, c, seed); err != nil {
		return err
	}
	if f.Kill {
		return nil
	}
	return s.Stop()
}

// WithServer boots a server on a directory, runs the function, and stops it.
func WithServer(ctx context.Context, bin harness.Binary, workDir, dataDir string, do func(*harness.Client) error, args ...string) error {
	s, err := harness.Launch(ctx, bin, harness.Options{WorkDir: workDir, DataDir: dataDir, Args: args})
	if err != nil {
		return err
	}
	defer s.Kill()
	c, err := harness.Dial(s.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := do(c); err != nil {
		return fmt.Errorf("%w\n%s", err, s.LogTail(10))
	}
	return s.Stop()
}

func (f Fixture) flags() []string {
	var args []string
	if f.SnapshotCount > 0 {
		args = append(args, fmt.Sprintf("--snapshot-count=%d", f.SnapshotCount))
	}
	if f.Kill {
		// Let the db lag behind the WAL, so that a boot has much to replay.
		args = append(args, "--backend-batch-interval=10m", "--backend-batch-limit=1000000")
	}
	return args
}

// fill writes everything the fixture asks for, auth last.
func (f Fixture) fill(ctx context.Context, c *harness.Client, seed uint64) error {
	w := NewWriter(c, seed)
	if f.Leases {
		for i := range int64(6) {
			if err := w.Grant(ctx, 1000+i, 10000+i); err != nil {
				return err
			}
		}
	}
	for i := range f.Writes {
		if err := w.Write(ctx); err != nil {
			return fmt.Errorf("write %d: %w", i, err)
		}
		if f.CompactEvery > 0 && i%f.CompactEvery == f.CompactEvery-1 {
			if err := w.Compact(ctx, int64(f.CompactEvery/3)); err != nil {
				return err
			}
		}
	}
	for i := range f.LargeValues {
		if err := w.PutLarge(ctx, i%20, 512<<10); err != nil {
			return err
		}
	}
	if f.Leases {
		if _, err := c.Lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: 1002}); err != nil {
			return err
		}
	}
	if f.Learner {
		if err := addAndRemoveLearner(ctx, c); err != nil {
			return err
		}
	}
	if f.Alarm {
		req := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: alarmMember, Alarm: pb.AlarmType_NOSPACE}
		if _, err := c.Maintenance.Alarm(ctx, req); err != nil {
			return err
		}
	}
	if f.Users || f.Auth {
		if err := addUsers(ctx, c); err != nil {
			return err
		}
	}
	if f.Auth {
		_, err := c.Auth.AuthEnable(ctx, &pb.AuthEnableRequest{})
		return err
	}
	return nil
}

func addAndRemoveLearner(ctx context.Context, c *harness.Client) error {
	added, err := c.Cluster.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:9"}, IsLearner: true})
	if err != nil {
		return err
	}
	_, err = c.Cluster.MemberRemove(ctx, &pb.MemberRemoveRequest{ID: added.Member.ID})
	return err
}

func addUsers(ctx context.Context, c *harness.Client) error {
	users := map[string]string{"root": rootPassword, "alice": "alicepw", "bob": "bobpw"}
	for _, name := range []string{"root", "alice", "bob"} {
		if _, err := c.Auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: name, Password: users[name]}); err != nil {
			return err
		}
	}
	noPassword := &pb.AuthUserAddRequest{Name: "certonly", Options: &authpb.UserAddOptions{NoPassword: true}}
	if _, err := c.Auth.UserAdd(ctx, noPassword); err != nil {
		return err
	}
	for _, role := range []string{"root", "reader", "writer"} {
		if _, err := c.Auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: role}); err != nil {
			return err
		}
	}
	grants := []*pb.AuthRoleGrantPermissionRequest{
		{Name: "reader", Perm: &authpb.Permission{PermType: authpb.Permission_READ, Key: []byte("key/"), RangeEnd: []byte("key0")}},
		{Name: "writer", Perm: &authpb.Permission{PermType: authpb.Permission_READWRITE, Key: []byte("key/1"), RangeEnd: []byte("key/5")}},
		{Name: "writer", Perm: &authpb.Permission{PermType: authpb.Permission_WRITE, Key: []byte("single")}},
		{Name: "writer", Perm: &authpb.Permission{PermType: authpb.Permission_READ, Key: []byte("z"), RangeEnd: []byte{0}}},
	}
	for _, g := range grants {
		if _, err := c.Auth.RoleGrantPermission(ctx, g); err != nil {
			return err
		}
	}
	for user, role := range map[string]string{"root": "root", "alice": "reader", "bob": "writer"} {
		if _, err := c.Auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: user, Role: role}); err != nil {
			return err
		}
	}
	return nil
}

// alarmMember is the member id of the alarm in fixtures, of no real member.
const alarmMember = 77

// Writer sends random writes that follow from a seed.
type Writer struct {
	c      *harness.Client
	rng    *rand.Rand
	leases []int64
	rev    int64
}

// NewWriter starts a sequence of writes.
func NewWriter(c *harness.Client, seed uint64) *Writer {
	return &Writer{c: c, rng: rand.New(rand.NewPCG(seed, 1)), leases: []int64{0}}
}

// Use sends the following writes to another member of the same cluster.
func (w *Writer) Use(c *harness.Client) { w.c = c }

// Grant creates a lease that later puts may use.
func (w *Writer) Grant(ctx context.Context, id, ttl int64) error {
	_, err := w.c.Lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: ttl})
	w.leases = append(w.leases, id)
	return err
}

// Write sends one put, delete or txn.
func (w *Writer) Write(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	switch n := w.rng.IntN(100); {
	case n < 65:
		resp, err := w.c.KV.Put(ctx, w.put())
		return w.note(resp.GetHeader(), err)
	case n < 75:
		resp, err := w.c.KV.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: w.key()})
		return w.note(resp.GetHeader(), err)
	case n < 78:
		key := w.key()
		resp, err := w.c.KV.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: key, RangeEnd: append(key, '~')})
		return w.note(resp.GetHeader(), err)
	default:
		resp, err := w.c.KV.Txn(ctx, w.txn())
		return w.note(resp.GetHeader(), err)
	}
}

// PutLarge writes a value of the given size.
func (w *Writer) PutLarge(ctx context.Context, n, size int) error {
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(w.rng.Uint32())
	}
	resp, err := w.c.KV.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "large/%03d", n), Value: value})
	return w.note(resp.GetHeader(), err)
}

// Compact drops history that is older than the given number of revisions.
func (w *Writer) Compact(ctx context.Context, behind int64) error {
	_, err := w.c.KV.Compact(ctx, &pb.CompactionRequest{Revision: w.rev - behind, Physical: true})
	return err
}

func (w *Writer) note(h *pb.ResponseHeader, err error) error {
	if err != nil {
		return err
	}
	w.rev = h.Revision
	return nil
}

func (w *Writer) key() []byte { return fmt.Appendf(nil, "key/%d", w.rng.IntN(600)) }

func (w *Writer) put() *pb.PutRequest {
	value := make([]byte, w.rng.IntN(200))
	for i := range value {
		value[i] = byte('a' + w.rng.IntN(26))
	}
	lease := w.leases[0]
	if w.rng.IntN(5) == 0 {
		lease = w.leases[w.rng.IntN(len(w.leases))]
	}
	return &pb.PutRequest{Key: w.key(), Value: value, Lease: lease}
}

// txn touches up to six different keys under a condition that is often true.
func (w *Writer) txn() *pb.TxnRequest {
	req := &pb.TxnRequest{Compare: []*pb.Compare{{
		Result: pb.Compare_LESS, Target: pb.Compare_VERSION, Key: w.key(),
		TargetUnion: &pb.Compare_Version{Version: int64(w.rng.IntN(6))},
	}}}
	for i := range w.rng.IntN(6) + 1 {
		put := w.put()
		put.Key = fmt.Appendf(put.Key, "/%d", i)
		req.Success = append(req.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
	}
	del := &pb.DeleteRangeRequest{Key: w.key()}
	req.Failure = append(req.Failure, &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: del}})
	return req
}
