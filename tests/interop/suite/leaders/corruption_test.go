package leaders

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// logged waits until a server's log has a text.
func (g *group) logged(s *harness.Server, text string) {
	g.Helper()
	for g.ctx.Err() == nil {
		data, err := os.ReadFile(s.LogPath)
		g.must(err)
		if strings.Contains(string(data), text) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	g.Fatalf("%s does not log %q", s.Bin.Label, text)
}

func (g *group) alarms() []*pb.AlarmMember {
	g.Helper()
	reply, err := g.Members[1].Client(g.T).Maintenance.Alarm(g.ctx, &pb.AlarmRequest{})
	g.must(err)
	return reply.Alarms
}

func (g *group) write(n int) {
	g.Helper()
	for i := range n {
		_, err := g.Members[1].Client(g.T).KV.Put(g.ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i), Value: []byte("value")})
		g.must(err)
	}
}

// spoil changes a value in the file of a member that does not run.
func (g *group) spoil(s *harness.Server) {
	g.Helper()
	db, err := bolt.Open(filepath.Join(s.DataDir, "member", "snap", "db"), 0o600, &bolt.Options{Timeout: time.Second})
	g.must(err)
	g.must(db.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket([]byte("key"))
		key, value := bucket.Cursor().Last()
		other := []byte(strings.Replace(string(value), "value", "eulav", 1))
		if string(other) == string(value) {
			return errors.New("the last row is no value")
		}
		return bucket.Put(append([]byte(nil), key...), other)
	}))
	g.must(db.Close())
}

// TestHealthyClusterPasses runs all checks on members that agree.
func TestHealthyClusterPasses(t *testing.T) {
	args := []string{"--feature-gates=CompactHashCheck=true,InitialCorruptCheck=true", "--compact-hash-check-time=300ms", "--corrupt-check-time=300ms"}
	for _, mix := range []string{"eee", "ett"} {
		t.Run(mix, func(t *testing.T) {
			g := start(t, mix, args...)
			g.write(20)
			_, err := g.Members[1].Client(t).KV.Compact(g.ctx, &pb.CompactionRequest{Revision: 10, Physical: true})
			g.must(err)
			g.lead(1)
			g.logged(g.Members[1], "successfully checked hash on whole cluster")
			g.logged(g.Members[1], "finished peer corruption check")
			g.must(g.Members[2].Stop())
			g.Revive(2, g.Members[2].Bin)
			g.logged(g.Members[2], "initial corruption checking passed; no corruption")
			if alarms := g.alarms(); len(alarms) != 0 {
				t.Fatalf("alarms: %v", alarms)
			}
		})
	}
}

// TestSpoiledMemberIsFound lets the leader find a member whose file was changed
// while it was down; the spoiled member is always upstream's.
func TestSpoiledMemberIsFound(t *testing.T) {
	for _, mix := range []string{"eee", "ett"} {
		for _, args := range [][]string{
			{"--corrupt-check-time=300ms"},
			{"--feature-gates=CompactHashCheck=true", "--compact-hash-check-time=300ms"},
		} {
			t.Run(mix+args[0], func(t *testing.T) {
				g := start(t, mix, args...)
				g.write(20)
				g.lead(1)
				spoiled := g.id(0)
				g.must(g.Members[0].Stop())
				g.spoil(g.Members[0])
				g.Revive(0, g.Members[0].Bin)
				// Only the check of compaction hashes gets a compaction: asked about the very
				// revision of its last one, upstream answers with the hash stored then, which
				// the periodic check compares with nothing.
				if len(args) > 1 {
					_, err := g.Members[1].Client(t).KV.Compact(g.ctx, &pb.CompactionRequest{Revision: 21, Physical: true})
					g.must(err)
				}
				for g.ctx.Err() == nil {
					alarms := g.alarms()
					if len(alarms) == 0 {
						time.Sleep(50 * time.Millisecond)
						continue
					}
					if len(alarms) != 1 || alarms[0].MemberID != spoiled || alarms[0].Alarm != pb.AlarmType_CORRUPT {
						t.Fatalf("alarms: %v", alarms)
					}
					return
				}
				t.Fatal("nobody finds the spoiled member")
			})
		}
	}
}
