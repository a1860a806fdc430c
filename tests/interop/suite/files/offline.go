package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/verify"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// CheckOffline runs upstream's own readers over a data directory that no server
// uses: the verification of etcd, the page check of bbolt, and a read of the
// whole WAL.
func CheckOffline(dataDir string) error {
	return errors.Join(
		named("server/verify", verifyDir(dataDir)),
		named("bbolt check", checkBolt(datadir.ToBackendFileName(dataDir))),
		named("wal", readWAL(datadir.ToWALDir(dataDir))),
		named("leftovers", checkNames(dataDir)),
	)
}

func named(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// verifyDir calls upstream's verification, which reports some findings by a panic.
func verifyDir(dataDir string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return verify.Verify(verify.Config{DataDir: dataDir, Logger: zap.NewNop()})
}

func checkBolt(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		var found []error
		for err := range tx.Check() {
			found = append(found, err)
		}
		return errors.Join(found...)
	})
}

// readWAL opens the WAL at its newest valid snapshot record, as a boot does, and
// decodes every entry.
func readWAL(dir string) error {
	snaps, err := wal.ValidSnapshotEntries(zap.NewNop(), dir)
	if err != nil {
		return err
	}
	if len(snaps) == 0 {
		return errors.New("no valid snapshot record")
	}
	w, err := wal.OpenForRead(zap.NewNop(), dir, snaps[len(snaps)-1])
	if err != nil {
		return err
	}
	defer w.Close()
	metadata, state, entries, err := w.ReadAll()
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(metadata, &pb.Metadata{}); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	start := snaps[len(snaps)-1].GetIndex()
	if commit := state.GetCommit(); commit < start || commit > start+uint64(len(entries)) {
		return fmt.Errorf("commit %d lies outside %d..%d", commit, start, start+uint64(len(entries)))
	}
	for _, e := range entries {
		if err := decodeEntry(e); err != nil {
			return fmt.Errorf("entry %d: %w", e.GetIndex(), err)
		}
	}
	return nil
}

// decodeEntry asks of an entry what etcd 3.7 asks when it applies one.
func decodeEntry(e *raftpb.Entry) error {
	if len(e.GetData()) == 0 {
		return nil
	}
	if e.GetType() != raftpb.EntryNormal {
		return proto.Unmarshal(e.GetData(), &raftpb.ConfChange{})
	}
	var r pb.InternalRaftRequest
	if err := proto.Unmarshal(e.GetData(), &r); err != nil {
		return err
	}
	if r.Header == nil && r.ID == 0 {
		return errors.New("neither header nor id")
	}
	return nil
}

// checkNames refuses what would change the next boot of etcd: temporary WAL
// files that hold anything but zeros, and broken or temporary files in snap.
func checkNames(dataDir string) error {
	entries, err := os.ReadDir(datadir.ToWALDir(dataDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(datadir.ToWALDir(dataDir), e.Name()))
		if err != nil {
			return err
		}
		for i, b := range data {
			if b != 0 {
				return fmt.Errorf("%s holds data at offset %d; etcd would take it for its next segment", e.Name(), i)
			}
		}
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".broken") {
			return fmt.Errorf("%s was left behind", e.Name())
		}
	}
	return nil
}
