// Package utl compares our etcdutl and bbolt with upstream's, and takes snapshots
// from either tool and server to either.
package utl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
)

// callLimit bounds one call of a tool.
const callLimit = time.Minute

// Upstream's mains, which cannot be imported but can be built.
var mains = map[string]string{"etcdutl": "go.etcd.io/etcd/etcdutl/v3", "bbolt": "go.etcd.io/bbolt/cmd/bbolt"}

// tools are the two programs of one side.
type tools struct {
	label string
	// paths by name; words go before the arguments.
	paths map[string]string
	words map[string][]string
}

// upstream builds upstream's programs of 3.7.
func upstream(t testing.TB) tools {
	t.Helper()
	dir := t.TempDir()
	side := tools{label: "upstream", paths: map[string]string{}}
	for name, main := range mains {
		path := filepath.Join(dir, name)
		cmd := exec.CommandContext(harness.Context(t, 10*time.Minute), "go", "build", "-o", path, main)
		cmd.Dir = filepath.Join("..", "..", "etcd37")
		if out, err := cmd.CombinedOutput(); err != nil {
			harness.Missing(t, fmt.Sprintf("%s cannot be built: %v\n%s", main, err, out))
		}
		side.paths[name] = path
	}
	return side
}

// ours finds the product, called as a user calls it in upstream's place.
func ours(t testing.TB) tools {
	t.Helper()
	bin := harness.MustTarget(t)
	if !bin.IsMainstay() {
		t.Skip("skipped: the target has no tools of its own")
	}
	side := tools{
		label: bin.Label,
		paths: map[string]string{"bbolt": bin.Path, "mainstay": bin.Path},
		words: map[string][]string{"bbolt": {"bbolt"}},
	}
	dir := t.TempDir()
	for _, name := range []string{"etcdutl", "etcdctl"} {
		side.paths[name] = filepath.Join(dir, name)
		if err := os.Symlink(bin.Path, side.paths[name]); err != nil {
			t.Fatal(err)
		}
	}
	return side
}

// result is what a call printed.
type result struct {
	stdout, stderr string
	exit           int
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\n--- stdout\n%s--- stderr\n%s", r.exit, r.stdout, r.stderr)
}

// run calls a tool in a directory.
func (s tools) run(ctx context.Context, dir, name string, args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.paths[name], append(append([]string{}, s.words[name]...), args...)...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && (!errors.As(err, &failed) || ctx.Err() != nil) {
		return result{}, fmt.Errorf("%s: %s %q: %w", s.label, name, args, errors.Join(err, ctx.Err()))
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}, nil
}

// must calls etcdutl, which has to succeed.
func (s tools) must(t testing.TB, dir string, args ...string) string {
	t.Helper()
	r, err := s.run(t.Context(), dir, "etcdutl", args...)
	if err == nil && r.exit != 0 {
		err = fmt.Errorf("%s: etcdutl %q: %s", s.label, args, r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.stdout
}

var (
	// A line of the log: time, level, the library that wrote it, the place in the source.
	logLine = regexp.MustCompile(`^20\d\d-\S+Z\t(\w+)\t(?:bbolt\t)?\S+:\d+\t`)
	// What bbolt's library says of each file, with addresses in memory.
	libraryLine = regexp.MustCompile(`^20\d\d-\S+Z\t\w+\tbbolt\t`)
	// Stack traces below errors in the log, and goroutines after a panic.
	traceLine = regexp.MustCompile(`^(\t|goroutine |created by |(go\.etcd\.io|go\.uber\.org|github\.com|main|runtime)[./])`)
	took      = regexp.MustCompile(`"took": "[^"]*"`)
	sizes     = regexp.MustCompile(`[0-9.]+ [kMG]?B\b`)
	sizeField = regexp.MustCompile(`("current-db-size[a-z-]*"|"totalSize"|"Size" ?):? ?-?\d+`)
	hashFirst = regexp.MustCompile(`(?m)^[0-9a-f]{6,8}, `)
)

// normalised leaves out what differs from run to run.
func (r result) normalised(c call) result {
	var kept []string
	for _, line := range strings.SplitAfter(r.stderr, "\n") {
		if libraryLine.MatchString(line) || traceLine.MatchString(line) {
			continue
		}
		kept = append(kept, took.ReplaceAllString(logLine.ReplaceAllString(line, "$1\t"), `"took": TIME`))
	}
	r.stderr = strings.Join(kept, "")
	if c.anySize {
		for _, text := range []*string{&r.stdout, &r.stderr} {
			*text = sizes.ReplaceAllString(sizeField.ReplaceAllString(*text, "$1: SIZE"), "SIZE")
		}
	}
	if c.anyHash {
		r.stdout = hashFirst.ReplaceAllString(r.stdout, "HASH, ")
	}
	return r
}
