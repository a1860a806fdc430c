package utl

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mainstay.dev/tests/interop/suite/harness"
)

// blockLen is what a snapshot is damaged by.
const blockLen = 4096

// TestDamage damages each block of a snapshot, and the digest. Restore and status
// refuse it, and nothing is written.
func TestDamage(t *testing.T) {
	us := ours(t)
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		m := prepare(t, bin, harness.MustCtl(t, "etcdctl", "3.7"))
		good := read(t, m.snapshot)
		dir := t.TempDir()
		us.must(t, dir, "snapshot", "restore", m.snapshot, "--data-dir", "good")
		rng := rand.New(rand.NewPCG(seed, 1))
		tries := 0
		for start := 0; start < len(good); start += blockLen {
			length := min(blockLen, len(good)-start)
			one := damaged(good, start+rng.IntN(length))
			zeros := bytes.Clone(good)
			clear(zeros[start : start+length])
			for what, data := range map[string][]byte{"a byte": one, "zeros": zeros, "an end": good[:start]} {
				if bytes.Equal(data, good) {
					continue
				}
				tries++
				refused(t, us, dir, data, fmt.Sprintf("%s in block %d", what, start/blockLen))
				if what == "a byte" {
					if r := status(t, us, dir, data); r.exit != 1 || r.stdout != "" {
						t.Fatalf("status of a snapshot with a byte changed in block %d: %s", start/blockLen, r)
					}
				}
			}
		}
		t.Logf("%d damaged snapshots refused (%d blocks)", tries, (len(good)+blockLen-1)/blockLen)
	})
}

// TestDamageWithoutDigest overwrites each page of a snapshot that is restored with
// --skip-hash-check: what is in use is refused, what is not does no harm.
func TestDamageWithoutDigest(t *testing.T) {
	us := ours(t)
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		m := prepare(t, bin, harness.MustCtl(t, "etcdctl", "3.7"))
		good := read(t, m.snapshot)
		dir := t.TempDir()
		kinds := pageKinds(t, us, m.snapshot)
		refusals, harmless := 0, 0
		for page := range (len(good) - digestLen) / blockLen {
			data := bytes.Clone(good)
			copy(data[page*blockLen:], bytes.Repeat([]byte{0xa5}, blockLen))
			switch kinds[page] {
			case inUse:
				refusals++
				refused(t, us, dir, data, fmt.Sprintf("page %d", page), "--skip-hash-check")
				continue
			case overflow:
				continue
			}
			harmless++
			write(t, filepath.Join(dir, "harmless.db"), data)
			target := "ok" + strconv.Itoa(page)
			us.must(t, dir, "snapshot", "restore", "harmless.db", "--skip-hash-check", "--data-dir", target)
			if err := os.RemoveAll(filepath.Join(dir, target)); err != nil {
				t.Fatal(err)
			}
		}
		if refusals < 20 {
			t.Fatalf("only %d pages are in use", refusals)
		}
		t.Logf("%d pages refused, %d not in use", refusals, harmless)
	})
}

// kind is what a page is for.
type kind int

const (
	free kind = iota
	inUse
	// overflow pages hold values, which only a digest protects, and the rest of a
	// page's keys.
	overflow
)

// pageKinds lists what pages are for.
func pageKinds(t *testing.T, us tools, file string) map[int]kind {
	t.Helper()
	r, err := us.run(t.Context(), filepath.Dir(file), "bbolt", "pages", file)
	if err != nil || r.exit != 0 {
		t.Fatalf("%v, %s", err, r)
	}
	kinds := map[int]kind{}
	for line := range strings.Lines(r.stdout) {
		fields := strings.Fields(line)
		id, err := strconv.Atoi(fields[0])
		if err != nil || fields[1] == "free" {
			continue
		}
		kinds[id] = inUse
		if len(fields) < 4 {
			continue
		}
		count, err := strconv.Atoi(fields[3])
		if err != nil {
			t.Fatal(err)
		}
		for page := id + 1; page <= id+count; page++ {
			kinds[page] = overflow
		}
	}
	return kinds
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// refused restores, which must fail and leave nothing behind.
func refused(t *testing.T, us tools, dir string, data []byte, what string, flags ...string) {
	t.Helper()
	write(t, filepath.Join(dir, "bad.db"), data)
	before := read(t, filepath.Join(dir, "bad.db"))
	args := append([]string{"snapshot", "restore", "bad.db", "--data-dir", "target/data", "--wal-dir", "target/wal"}, flags...)
	r, err := us.run(t.Context(), dir, "etcdutl", args...)
	if err != nil {
		t.Fatal(err)
	}
	if r.exit != 1 || !strings.Contains(r.stderr, "Error: ") {
		t.Fatalf("%s: restore %q: %s", what, flags, r)
	}
	if _, err := os.Stat(filepath.Join(dir, "target")); !os.IsNotExist(err) {
		t.Fatalf("%s: something was written (%v)", what, err)
	}
	if !bytes.Equal(before, read(t, filepath.Join(dir, "bad.db"))) {
		t.Fatalf("%s: the snapshot itself was changed", what)
	}
}

func status(t *testing.T, us tools, dir string, data []byte) result {
	t.Helper()
	write(t, filepath.Join(dir, "bad.db"), data)
	r, err := us.run(t.Context(), dir, "etcdutl", "snapshot", "status", "bad.db")
	if err != nil {
		t.Fatal(err)
	}
	return r
}
