package disks

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"mainstay.dev/tests/interop/suite/harness"
)

//go:embed testdata/shim.c
var shimSource []byte

// disk is what a member sees of its disk, where the log is concerned.
type disk struct {
	t     *testing.T
	fault string
}

// works, stalls and fails are what a disk can do.
const (
	works  = ""
	stalls = "stall"
	fails  = "fail"
)

// does changes what the disk does from its next sync on; a sync that it holds up goes on.
func (d disk) does(what string) {
	d.t.Helper()
	// Whole or not at all: the member may look at any time.
	part := d.fault + ".part"
	if err := os.WriteFile(part, []byte(what), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(part, d.fault); err != nil {
		d.t.Fatal(err)
	}
}

// disks are those of n members, all of which work.
func disks(t *testing.T, n int) ([]disk, []harness.Place) {
	t.Helper()
	dir := t.TempDir()
	shim := filepath.Join(dir, "shim.so")
	compile(t, shim)
	env, err := exec.LookPath("env")
	if err != nil {
		t.Fatal(err)
	}
	var all []disk
	var places []harness.Place
	for i := range n {
		d := disk{t: t, fault: filepath.Join(dir, "fault."+string(rune('0'+i)))}
		d.does(works)
		all = append(all, d)
		places = append(places, harness.Place{Command: []string{env, "LD_PRELOAD=" + shim, "DISK_FAULT=" + d.fault}})
	}
	return all, places
}

func compile(t *testing.T, shim string) {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		harness.Missing(t, "a C compiler (cc)")
	}
	source := shim + ".c"
	if err := os.WriteFile(source, shimSource, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(cc, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", shim, source, "-ldl").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
