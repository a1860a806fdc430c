package files

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"

	"mainstay.dev/tests/interop/suite/harness"
)

// Manifest is what a data directory must hold, as seen through the API of the
// server that wrote it. Another server on a copy must give the same answers.
type Manifest struct {
	// Name is the fixture's name, Server the binary that wrote it.
	Name   string `json:"name"`
	Server string `json:"server"`
	// End is how the writer ended: "stopped" or "killed".
	End             string `json:"end"`
	Version         string `json:"version"`
	StorageVersion  string `json:"storage_version"`
	ClusterID       string `json:"cluster_id"`
	MemberID        string `json:"member_id"`
	Revision        int64  `json:"revision"`
	CompactRevision int64  `json:"compact_revision"`
	// RaftTerm and AppliedIndex are those of the describing boot: the term of the
	// directory is one less, its last index one or two less.
	RaftTerm     uint64 `json:"raft_term"`
	AppliedIndex uint64 `json:"applied_index"`
	Keys         int64  `json:"keys"`
	// Hashes are HashKV replies, the newest revision first.
	Hashes  []Hash        `json:"hashes"`
	Members []Member      `json:"members"`
	Leases  []LeaseRecord `json:"leases"`
	Alarms  []string      `json:"alarms"`
	Auth    *AuthState    `json:"auth,omitempty"`
}

// Hash is one HashKV reply.
type Hash struct {
	Revision        int64  `json:"revision"`
	Hash            uint32 `json:"hash"`
	CompactRevision int64  `json:"compact_revision"`
}

// Member is one row of the member list.
type Member struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	PeerURLs  []string `json:"peer_urls"`
	IsLearner bool     `json:"is_learner"`
}

// LeaseRecord is a granted lease and the keys attached to it.
type LeaseRecord struct {
	ID         int64 `json:"id"`
	GrantedTTL int64 `json:"granted_ttl"`
	Keys       int   `json:"keys"`
}

// AuthState is what the auth store holds, and how to log in.
type AuthState struct {
	Enabled  bool                `json:"enabled"`
	Revision uint64              `json:"revision"`
	Users    map[string][]string `json:"users"`
	Roles    []string            `json:"roles"`
	Password string              `json:"root_password"`
}

// rootPassword is the password of user root in fixtures with auth.
const rootPassword = "rootpw"

// hashSteps is how many older revisions are hashed besides the newest.
const hashSteps = 20

// Describe reads everything a manifest holds from a running server. With auth on
// it logs in as root.
func Describe(ctx context.Context, c *harness.Client) (*Manifest, error) {
	m := &Manifest{}
	status, err := c.Auth.AuthStatus(ctx, &pb.AuthStatusRequest{})
	if err != nil || status.Enabled {
		if ctx, err = login(ctx, c); err != nil {
			return nil, err
		}
	}
	steps := []func(context.Context, *harness.Client) error{
		m.readStatus, m.readHashes, m.readMembers, m.readLeases, m.readAlarms, m.readAuth,
	}
	for _, step := range steps {
		if err := step(ctx, c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// login returns a context that carries root's token.
func login(ctx context.Context, c *harness.Client) (context.Context, error) {
	resp, err := c.Auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: "root", Password: rootPassword})
	if err != nil {
		return nil, fmt.Errorf("log in as root: %w", err)
	}
	return metadata.AppendToOutgoingContext(ctx, "token", resp.Token), nil
}

func (m *Manifest) readStatus(ctx context.Context, c *harness.Client) error {
	st, err := c.Maintenance.Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return err
	}
	m.Version, m.StorageVersion = st.Version, st.StorageVersion
	m.ClusterID = fmt.Sprintf("%x", st.Header.ClusterId)
	m.MemberID = fmt.Sprintf("%x", st.Header.MemberId)
	m.RaftTerm, m.AppliedIndex = st.RaftTerm, st.RaftAppliedIndex
	count, err := c.KV.Range(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true})
	if err != nil {
		return err
	}
	m.Keys, m.Revision = count.Count, count.Header.Revision
	return nil
}

func (m *Manifest) readHashes(ctx context.Context, c *harness.Client) error {
	head, err := c.Maintenance.HashKV(ctx, &pb.HashKVRequest{})
	if err != nil {
		return err
	}
	m.CompactRevision = head.CompactRevision
	// At a revision that the same process compacted, HashKV gives what it stored
	// at that time, which no other process can know.
	lowest := min(max(head.CompactRevision+1, 2), m.Revision)
	for i := range int64(hashSteps + 1) {
		rev := m.Revision - (m.Revision-lowest)*i/hashSteps
		resp, err := c.Maintenance.HashKV(ctx, &pb.HashKVRequest{Revision: rev})
		if err != nil {
			return fmt.Errorf("hash at %d: %w", rev, err)
		}
		m.Hashes = append(m.Hashes, Hash{rev, resp.Hash, resp.CompactRevision})
	}
	return nil
}

func (m *Manifest) readMembers(ctx context.Context, c *harness.Client) error {
	resp, err := c.Cluster.MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
	if err != nil {
		return err
	}
	for _, mb := range resp.Members {
		m.Members = append(m.Members, Member{fmt.Sprintf("%x", mb.ID), mb.Name, mb.PeerURLs, mb.IsLearner})
	}
	return nil
}

func (m *Manifest) readLeases(ctx context.Context, c *harness.Client) error {
	resp, err := c.Lease.LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
	if err != nil {
		return err
	}
	for _, l := range resp.Leases {
		ttl, err := c.Lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: l.ID, Keys: true})
		if err != nil {
			return err
		}
		m.Leases = append(m.Leases, LeaseRecord{l.ID, ttl.GrantedTTL, len(ttl.Keys)})
	}
	// The list is sorted by expiry, which starts anew with each leader.
	slices.SortFunc(m.Leases, func(x, y LeaseRecord) int { return cmp.Compare(x.ID, y.ID) })
	return nil
}

func (m *Manifest) readAlarms(ctx context.Context, c *harness.Client) error {
	resp, err := c.Maintenance.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_GET})
	if err != nil {
		return err
	}
	for _, a := range resp.Alarms {
		m.Alarms = append(m.Alarms, fmt.Sprintf("%x:%s", a.MemberID, a.Alarm))
	}
	return nil
}

func (m *Manifest) readAuth(ctx context.Context, c *harness.Client) error {
	status, err := c.Auth.AuthStatus(ctx, &pb.AuthStatusRequest{})
	if err != nil {
		return err
	}
	users, err := c.Auth.UserList(ctx, &pb.AuthUserListRequest{})
	if err != nil {
		return err
	}
	if len(users.Users) == 0 && !status.Enabled {
		return nil
	}
	roles, err := c.Auth.RoleList(ctx, &pb.AuthRoleListRequest{})
	if err != nil {
		return err
	}
	state := &AuthState{Enabled: status.Enabled, Revision: status.AuthRevision, Roles: roles.Roles, Users: map[string][]string{}, Password: rootPassword}
	for _, u := range users.Users {
		got, err := c.Auth.UserGet(ctx, &pb.AuthUserGetRequest{Name: u})
		if err != nil {
			return err
		}
		state.Users[u] = got.Roles
	}
	m.Auth = state
	return nil
}

// Differences lists what another server found otherwise on the same directory.
// Terms, indexes and versions are left out: every boot may move them on. Hashes
// are compared by [CheckHashes], at the revisions of the first description.
func (m *Manifest) Differences(other *Manifest) []string {
	var out []string
	check := func(what string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			out = append(out, fmt.Sprintf("%s: %v by %s, %v by %s", what, a, m.Server, b, other.Server))
		}
	}
	check("cluster id", m.ClusterID, other.ClusterID)
	check("member id", m.MemberID, other.MemberID)
	check("revision", m.Revision, other.Revision)
	check("compacted revision", m.CompactRevision, other.CompactRevision)
	check("number of keys", m.Keys, other.Keys)
	check("members", m.Members, other.Members)
	check("leases", m.Leases, other.Leases)
	check("alarms", m.Alarms, other.Alarms)
	check("auth", m.Auth, other.Auth)
	return out
}

// CheckHashes asks another server for HashKV at the revisions of the manifest.
func (m *Manifest) CheckHashes(ctx context.Context, c *harness.Client) error {
	if m.Auth != nil && m.Auth.Enabled {
		var err error
		if ctx, err = login(ctx, c); err != nil {
			return err
		}
	}
	for _, h := range m.Hashes {
		got, err := c.Maintenance.HashKV(ctx, &pb.HashKVRequest{Revision: h.Revision})
		if err != nil {
			return fmt.Errorf("hash at %d: %w", h.Revision, err)
		}
		if got.Hash != h.Hash || got.CompactRevision != h.CompactRevision {
			return fmt.Errorf("hash at revision %d is %d (compacted %d), %s had %d (compacted %d)",
				h.Revision, got.Hash, got.CompactRevision, m.Server, h.Hash, h.CompactRevision)
		}
	}
	return nil
}

// Write saves the manifest beside a data directory, as DIR.json.
func (m *Manifest) Write(dataDir string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Clean(dataDir)+".json", append(data, '\n'), 0o644)
}

// DumpKeys writes one line per live key at the newest revision: key in hex,
// create revision, mod revision, version, lease, value length.
func DumpKeys(ctx context.Context, c *harness.Client, path string) error {
	if status, err := c.Auth.AuthStatus(ctx, &pb.AuthStatusRequest{}); err != nil || status.Enabled {
		if ctx, err = login(ctx, c); err != nil {
			return err
		}
	}
	resp, err := c.KV.Range(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	if err != nil {
		return err
	}
	var out []byte
	for _, kv := range resp.Kvs {
		out = fmt.Appendf(out, "%x\t%d\t%d\t%d\t%d\t%d\n", kv.Key, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease, len(kv.Value))
	}
	return os.WriteFile(path, out, 0o644)
}
