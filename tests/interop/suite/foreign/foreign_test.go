// Package foreign runs clients that are neither ours nor upstream's against a server with
// TLS: PyPI's etcd3gw over the JSON gateway, npm's etcd3 over gRPC.
//
// What they do is in ../../foreign, with pinned versions; foreign/install puts them into
// packages. Without interpreter or package the tests are skipped, also when CI is set: the
// package indexes are not always there.
package foreign

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
)

// limit bounds one client's whole run.
const limit = 2 * time.Minute

// wanted are the parts that each client must have gone through.
const wanted = "pairs ok\ntransactions ok\nleases ok\nlocks ok\nwatches ok\nusers ok\n"

func TestPython(t *testing.T) {
	run(t, "python3", "Python", "python", "check.py", "PYTHONPATH=")
}

func TestNode(t *testing.T) {
	run(t, "node", "Node", "node", "check.js", "NODE_PATH=")
}

func run(t *testing.T, interpreter, language, dir, script, variable string) {
	program, err := exec.LookPath(interpreter)
	if err != nil {
		t.Skipf("skipped: no %s", language)
	}
	packages, err := filepath.Abs(filepath.Join("../../foreign/packages", dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(packages); err != nil {
		t.Skipf("skipped: no packages for %s, tests/interop/foreign/install gets them", language)
	}
	if dir == "node" {
		packages = filepath.Join(packages, "node_modules")
	}
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		// Names of certificates do not count: the gateway refuses whoever has one.
		certs, err := harness.NewTLS(t.TempDir(), "anybody")
		if err != nil {
			t.Fatal(err)
		}
		s := harness.Start(t, bin, harness.Options{TLS: certs, Metrics: true, Args: []string{"--client-cert-auth=false"}})
		_, port, err := net.SplitHostPort(s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, filepath.Join("../../foreign", dir, script))
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), variable + packages, "PYTHONDONTWRITEBYTECODE=1",
			"PORT=" + port, "CA=" + certs.CAFile, "CERT=" + certs.CertFile, "KEY=" + certs.KeyFile,
		}
		var told lastLines
		cmd.Stderr = &told
		out, err := cmd.Output()
		if err != nil || string(out) != wanted {
			t.Fatalf("%v\n%s%s", err, out, told)
		}
	})
}

// lastLines keeps the end of what a program says about its failure.
type lastLines []byte

const lastLinesMax = 4 << 10

func (l *lastLines) Write(text []byte) (int, error) {
	*l = append(*l, text...)
	if more := len(*l) - lastLinesMax; more > 0 {
		*l = (*l)[more:]
	}
	return len(text), nil
}
