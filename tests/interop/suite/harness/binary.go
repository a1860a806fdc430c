package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Binary is one way to start a server.
type Binary struct {
	// Label names the binary in messages, for example "etcd-3.7".
	Label string
	// Path is the executable file.
	Path string
	// Prefix holds the arguments before the flags: "server" for mainstay when
	// it is called by its own name, nothing for etcd.
	Prefix []string
}

// IsMainstay reports whether the binary is the product rather than upstream.
func (b Binary) IsMainstay() bool { return len(b.Prefix) > 0 }

// Etcd returns upstream's server of a minor version such as "3.7".
func Etcd(minor string) (Binary, error) {
	label := "etcd-" + minor
	path, err := tool(label)
	return Binary{Label: label, Path: path}, err
}

// Target returns the server under test: the executable in TARGET_BIN, or else
// the one in MAINSTAY_BIN. The word "etcd" in TARGET_BIN stands for upstream's
// 3.7, so that the tests can be tried with etcd on both sides.
func Target() (Binary, error) {
	path := os.Getenv("TARGET_BIN")
	if path == "etcd" {
		b, err := Etcd("3.7")
		b.Label = "target-etcd"
		return b, err
	}
	if path == "" {
		path = os.Getenv("MAINSTAY_BIN")
	}
	if path == "" {
		return Binary{}, fmt.Errorf("MAINSTAY_BIN not set")
	}
	abs, err := absolute(path)
	if err != nil {
		return Binary{}, err
	}
	b := Binary{Label: filepath.Base(abs), Path: abs}
	if strings.HasPrefix(b.Label, "mainstay") {
		b.Prefix = []string{"server"}
	}
	return b, nil
}

// Ctl returns the path of an upstream command-line tool, for example "etcdctl"
// and "3.7", built by cmd/build.
func Ctl(name, minor string) (string, error) { return tool(name + "-" + minor) }

// MustEtcd is [Etcd] for tests: a missing binary skips, or fails under CI.
func MustEtcd(t testing.TB, minor string) Binary {
	t.Helper()
	b, err := Etcd(minor)
	if err != nil {
		Missing(t, "no etcd binary: "+err.Error())
	}
	return b
}

// MustTarget is [Target] for tests: a missing binary skips, or fails under CI.
func MustTarget(t testing.TB) Binary {
	t.Helper()
	b, err := Target()
	if err != nil {
		Missing(t, err.Error())
	}
	return b
}

// MustCtl is [Ctl] for tests: a missing tool skips, or fails under CI.
func MustCtl(t testing.TB, name, minor string) string {
	t.Helper()
	path, err := Ctl(name, minor)
	if err != nil {
		Missing(t, err.Error())
	}
	return path
}

// OldCtl finds an etcdctl of 3.4, which Go cannot build beside the others: the
// executable in MAINSTAY_ETCDCTL34, or an etcdctl on the PATH that is of 3.4, such
// as that of Debian's package etcd-client. Machines without it skip, under CI too.
func OldCtl(t testing.TB) string {
	t.Helper()
	path := os.Getenv("MAINSTAY_ETCDCTL34")
	if path == "" {
		path, _ = exec.LookPath("etcdctl")
	}
	if path == "" {
		t.Skip("skipped: no etcdctl 3.4 here (set MAINSTAY_ETCDCTL34, or install Debian's etcd-client)")
	}
	cmd := exec.Command(path, "version")
	cmd.Env = append(cleanEnv(), "ETCDCTL_API=3")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "etcdctl version: 3.4.") {
		t.Skipf("skipped: %s is no etcdctl 3.4 (%q, %v)", path, out, err)
	}
	return path
}

// Missing skips the test, or fails it when CI is set: a run that proves nothing
// must not look green there.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("CI is set, so this is required: %s", what)
	}
	t.Skipf("skipped: %s", what)
}

// tool finds an executable below tests/interop/bin.
func tool(name string) (string, error) {
	dir := os.Getenv("INTEROP_BIN")
	if dir == "" {
		root, err := moduleRoot()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, "..", "bin")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not built (go run ./cmd/build)", name)
	}
	return filepath.Abs(path)
}

// absolute resolves a path given by the user: relative to the working directory,
// or else to the root of the repository, where cargo puts its target directory.
func absolute(path string) (string, error) {
	candidates := []string{path}
	if root, err := moduleRoot(); err == nil && !filepath.IsAbs(path) {
		candidates = append(candidates, filepath.Join(root, "..", "..", "..", path))
	}
	for _, c := range candidates {
		if _, err := os.Stat(c); err == nil {
			return filepath.Abs(c)
		}
	}
	return "", fmt.Errorf("no such binary: %s", path)
}

// moduleRoot walks up to the directory that holds go.mod. Tests run in their
// package's directory, commands anywhere inside the module.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("not inside the suite module")
		}
		dir = parent
	}
}
