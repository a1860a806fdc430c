package files

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"

	"mainstay.dev/tests/interop/suite/harness"
)

var (
	writesFlag = flag.Int("writes", 3000, "TestEndurance: writes before the first kill")
	killsFlag  = flag.Int("kills", 2, "TestEndurance: how often the server is killed")
	everyFlag  = flag.Int("every", 1, "TestEndurance: after how many kills the other server boots on a copy")
	enduFlag   = flag.Uint64("seed", 1, "TestEndurance: seed of writes and of the moments of kills")
)

// full are the writes from which on a run must have the whole history that files
// can have: several segments, some of them purged, and many snapshot records.
const full = 300000

// TestEndurance lets a server write for long, stops it, and kills it at random
// moments. It must hold what it acknowledged each time. A copy of each directory
// then passes to the other server and back.
func TestEndurance(t *testing.T) {
	target, etcd, old := harness.MustTarget(t), harness.MustEtcd(t, "3.7"), harness.MustEtcd(t, "3.6")
	for _, c := range []struct {
		name           string
		writer, reader harness.Binary
		// back boots on the copy last.
		back harness.Binary
	}{
		{"target", target, etcd, target}, {"etcd37", etcd, target, etcd}, {"etcd36", old, target, etcd},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &endurance{
				T: t, ctx: t.Context(), writer: c.writer, reader: c.reader, back: c.back, target: target,
				work: t.TempDir(), crew: newCrew(*enduFlag), rng: rand.New(rand.NewPCG(*enduFlag, 99)), snapshots: map[uint64]bool{},
			}
			e.dir = filepath.Join(e.work, "data")
			e.run()
		})
	}
}

// endurance is one run.
type endurance struct {
	*testing.T
	ctx context.Context
	// writer owns the directory; copies pass to reader, and then to back.
	writer, reader, back, target harness.Binary
	work, dir                    string
	crew                         *crew
	rng                          *rand.Rand
	// snapshots are the indexes of all snapshot records ever seen.
	snapshots map[uint64]bool
	// passed counts copies that went to the reader and back.
	passed int
}

// args leave few segments, and a snapshot record every fortieth of the writes.
func (e *endurance) args() []string {
	return []string{"--max-wals=3", "--max-snapshots=3", fmt.Sprintf("--snapshot-count=%d", max(*writesFlag/40, 100))}
}

func (e *endurance) must(what string, err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("%s: %v", what, err)
	}
}

func (e *endurance) run() {
	e.must("first run", e.serve(e.fill))
	e.pass("after a clean stop")
	for i := range *killsFlag {
		what := fmt.Sprintf("kill %d", i+1)
		if i%10 == 9 {
			e.killBooting(what)
		} else {
			e.killWorking(what)
		}
		if i%*everyFlag == *everyFlag-1 {
			e.pass(what)
		}
	}
	e.must("last run", e.serve(func(s *harness.Server, c *harness.Client) error {
		if err := e.crew.check(e.ctx, c); err != nil {
			return err
		}
		return e.crew.work(e.ctx, c, 500, 1000)
	}))
	e.pass("at the end")
	if e.writer.Path == e.target.Path {
		e.leave()
	}
	first, last := e.segments()
	e.Logf("%d acknowledged writes, revision %d; segments 0..%d, %d purged; %d snapshot records; %d kills; %d copies to %s and back to %s",
		e.crew.written.Load(), e.crew.head.Load(), last, first, len(e.snapshots), *killsFlag, e.passed, e.reader.Label, e.back.Label)
	if *writesFlag >= full && (last < 5 || first == 0 || len(e.snapshots) < 10) {
		e.Errorf("a run of %d writes must have 6 segments, a purge and 10 snapshot records", *writesFlag)
	}
}

// serve boots the writer on the directory and stops it.
func (e *endurance) serve(do func(*harness.Server, *harness.Client) error) error {
	s, err := harness.Launch(e.ctx, e.writer, harness.Options{WorkDir: e.work, DataDir: e.dir, Args: e.args()})
	if err != nil {
		return err
	}
	defer s.Kill()
	c, err := harness.Dial(s.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := do(s, c); err != nil {
		return fmt.Errorf("%w\n%s", err, s.LogTail(15))
	}
	return s.Stop()
}

// fill is the first run: users, leases, and most of the writes.
func (e *endurance) fill(s *harness.Server, c *harness.Client) error {
	if err := errors.Join(addUsers(e.ctx, c), e.crew.prepare(e.ctx, c)); err != nil {
		return err
	}
	if err := e.crew.work(e.ctx, c, *writesFlag, 2000); err != nil {
		return err
	}
	if *writesFlag < full {
		return nil
	}
	// Servers purge every 30 seconds.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Second) {
		if first, _ := e.segments(); first > 0 {
			return nil
		}
	}
	return errors.New("nothing was purged")
}

// killWorking boots the writer, which must hold everything acknowledged, and kills
// it under load.
func (e *endurance) killWorking(what string) {
	e.Helper()
	s, err := harness.Launch(e.ctx, e.writer, harness.Options{WorkDir: e.work, DataDir: e.dir, Args: e.args()})
	e.must(what, err)
	c, err := harness.Dial(s.Addr)
	e.must(what, err)
	defer c.Close()
	e.must(what, e.crew.check(e.ctx, c))
	life := time.Duration(1+e.rng.IntN(1500)) * time.Millisecond
	if e.rng.IntN(5) == 0 {
		// Long enough for a purge.
		life += 2500 * time.Millisecond
	}
	timer := time.AfterFunc(life, s.Kill)
	defer timer.Stop()
	err = e.crew.work(e.ctx, c, 1<<40, 2000)
	if err == nil || errors.Is(err, errLost) {
		e.Fatalf("%s: %v", what, err)
	}
	s.Kill()
	if exit := s.ExitError(); exit == nil || exit.Error() != "signal: killed" {
		e.Fatalf("%s: the server had ended: %v; the load saw %v\n%s", what, exit, err, s.LogTail(20))
	}
}

// killBooting kills the writer on its way up.
func (e *endurance) killBooting(what string) {
	e.Helper()
	s, err := harness.Spawn(e.writer, harness.Options{WorkDir: e.work, DataDir: e.dir, Args: e.args()})
	e.must(what, err)
	time.Sleep(time.Duration(e.rng.IntN(300)) * time.Millisecond)
	s.Kill()
}

// pass gives a copy of the directory to the reader and then to the last server.
// What the writer itself finds on another copy is what they must find.
func (e *endurance) pass(what string) {
	e.Helper()
	own, other := filepath.Join(e.work, "own"), filepath.Join(e.work, "other")
	defer os.RemoveAll(own)
	defer os.RemoveAll(other)
	e.must(what, errors.Join(CopyDir(e.dir, own), CopyDir(e.dir, other)))
	e.noteSnapshots()
	// A killed etcd may have put aside a torn segment; nobody reads it any more.
	broken, _ := filepath.Glob(filepath.Join(datadir.ToWALDir(other), "*.broken"))
	for _, b := range broken {
		e.must(what, os.Remove(b))
	}
	if e.writer.Path == e.target.Path {
		e.must(what+", as the target left it", CheckOffline(own))
	}
	var known *Manifest
	err := WithServer(e.ctx, e.writer, e.work, own, func(c *harness.Client) (err error) {
		known, err = Describe(e.ctx, c)
		return err
	}, e.args()...)
	e.must(what, err)
	known.Server = e.writer.Label
	j := newJourney(e.T, other, known)
	j.legs = uint64(e.passed) * 2
	j.leg(e.reader, 1000)
	if e.reader.Path == e.target.Path {
		j.check()
	}
	j.leg(e.back, 50)
	if e.back.Path == e.target.Path {
		j.check()
	}
	e.passed++
	e.removeLogs()
}

// leave goes back to 3.6 by its rules, on the directory itself.
func (e *endurance) leave() {
	e.Helper()
	var known *Manifest
	err := WithServer(e.ctx, e.writer, e.work, e.dir, func(c *harness.Client) (err error) {
		known, err = Describe(e.ctx, c)
		return err
	}, e.args()...)
	e.must("before the downgrade", err)
	known.Server = e.writer.Label
	e.must("downgrade", downgrade(e.ctx, e.writer, e.work, e.dir))
	newJourney(e.T, e.dir, known).leg(harness.MustEtcd(e.T, "3.6"), 100)
}

// removeLogs keeps the work directory small.
func (e *endurance) removeLogs() {
	logs, _ := filepath.Glob(filepath.Join(e.work, "*.log"))
	for _, l := range logs {
		_ = os.Remove(l)
	}
}

// segments returns the numbers of the first and the last WAL segment.
func (e *endurance) segments() (first, last int64) {
	names, _ := filepath.Glob(filepath.Join(datadir.ToWALDir(e.dir), "*.wal"))
	if len(names) == 0 {
		return 0, 0
	}
	slices.Sort(names)
	number := func(path string) int64 {
		n, _ := strconv.ParseInt(filepath.Base(path)[:16], 16, 64)
		return n
	}
	return number(names[0]), number(names[len(names)-1])
}

// noteSnapshots collects the snapshot records before segments are purged.
func (e *endurance) noteSnapshots() {
	records, err := wal.ValidSnapshotEntries(zap.NewNop(), datadir.ToWALDir(e.dir))
	e.must("snapshot records", err)
	for _, r := range records {
		e.snapshots[r.GetIndex()] = true
	}
}
