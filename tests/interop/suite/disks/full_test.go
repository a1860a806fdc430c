package disks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

const (
	// cycles are how often the disk is filled and freed.
	cycles = 20
	// putWait bounds one write, which may wait for space.
	putWait = 500 * time.Millisecond
	// returnWait bounds the time until writes are taken again once there is space.
	returnWait = 20 * time.Second
	// refuseTries bounds the writes that a member takes after its disk got full: it has a reserve.
	refuseTries = 5000
)

// TestFullDisk has a member live on a file system of 64 MiB that somebody else fills and frees, again and again: it
// never exits, reads go on, what was acknowledged stays, and writes return by themselves.
func TestFullDisk(t *testing.T) {
	target := harness.MustTarget(t)
	if !target.IsMainstay() {
		t.Skip("etcd exits when its disk is full")
	}
	if !harness.Inside(t) {
		return
	}
	small := t.TempDir()
	if err := syscall.Mount("none", small, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) })
	s := harness.Start(t, target, harness.Options{DataDir: filepath.Join(small, "data"), Args: []string{"--snapshot-count=500"}})
	x := full{t: t, s: s, client: s.Client(t), filler: filepath.Join(small, "filler"), acknowledged: map[string]string{}}
	for cycle := range cycles {
		x.fill()
		x.refuses(cycle)
		x.reads()
		if err := os.Remove(x.filler); err != nil {
			t.Fatal(err)
		}
		x.returns(cycle)
		if !s.Running() {
			t.Fatalf("it ended in cycle %d: %v\n%s", cycle, s.ExitError(), s.LogTail(20))
		}
	}
	x.reads()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	x.s = s.StartAgain(t)
	x.client = x.s.Client(t)
	x.reads()
	t.Logf("%d cycles, %d writes acknowledged, %d refused", cycles, len(x.acknowledged), x.refused)
}

// full is a member whose disk gets full.
type full struct {
	t      *testing.T
	s      *harness.Server
	client *harness.Client
	filler string
	// acknowledged are keys, each written once, and their values.
	acknowledged map[string]string
	refused      int
}

// fill takes all space that is left.
func (x *full) fill() {
	x.t.Helper()
	file, err := os.Create(x.filler)
	if err != nil {
		x.t.Fatal(err)
	}
	defer file.Close()
	for piece := 1 << 20; piece >= 4096; {
		_, err := file.Write(make([]byte, piece))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			piece /= 2
		case err != nil:
			x.t.Fatal(err)
		}
	}
}

// put writes a key of its own.
func (x *full) put(name string) error {
	ctx, cancel := context.WithTimeout(x.t.Context(), putWait)
	defer cancel()
	value := strings.Repeat(name, 8192/len(name))
	if _, err := x.client.KV.Put(ctx, &pb.PutRequest{Key: []byte(name), Value: []byte(value)}); err != nil {
		x.refused++
		return err
	}
	x.acknowledged[name] = value
	return nil
}

// refuses waits until a write is refused.
func (x *full) refuses(cycle int) {
	x.t.Helper()
	for n := range refuseTries {
		if x.put(fmt.Sprintf("full-%d-%d", cycle, n)) != nil {
			return
		}
	}
	x.t.Fatalf("in cycle %d all writes were taken on a full disk", cycle)
}

// returns waits until a write is taken.
func (x *full) returns(cycle int) {
	x.t.Helper()
	var err error
	deadline := time.Now().Add(returnWait)
	for n := 0; time.Now().Before(deadline); n++ {
		if err = x.put(fmt.Sprintf("free-%d-%d", cycle, n)); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	x.t.Fatalf("in cycle %d writes did not return: %v\n%s", cycle, err, x.s.LogTail(20))
}

// reads compares everything that was acknowledged.
func (x *full) reads() {
	x.t.Helper()
	for name, value := range x.acknowledged {
		reply, err := x.client.KV.Range(harness.Context(x.t, healWait), &pb.RangeRequest{Key: []byte(name)})
		if err != nil {
			x.t.Fatalf("get %s: %v", name, err)
		}
		if len(reply.Kvs) != 1 || string(reply.Kvs[0].Value) != value {
			x.t.Fatalf("%s was acknowledged and is lost", name)
		}
	}
}
