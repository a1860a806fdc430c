// Command build compiles upstream's binaries into tests/interop/bin.
//
// Run it from the suite module: go run ./cmd/build [name ...], where a name is
// for example "etcd-3.7"; without names it builds them all, the newest first.
// Go's build cache makes a second run cheap.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// minors are the release lines, each a module of its own beside the suite.
var minors = []string{"3.7", "3.6", "3.5"}

// tools are the commands of each module.
var tools = []string{"etcd", "etcdctl", "etcdutl"}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(wanted []string) error {
	interop, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(interop, "etcd37", "go.mod")); err != nil {
		return fmt.Errorf("run this from tests/interop/suite: %w", err)
	}
	known := false
	for _, minor := range minors {
		for _, tool := range tools {
			name := tool + "-" + minor
			if len(wanted) > 0 && !slices.Contains(wanted, name) {
				continue
			}
			known = true
			if err := build(interop, minor, tool, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if !known {
		return fmt.Errorf("no such binary: %s", strings.Join(wanted, " "))
	}
	return nil
}

// build runs the Go tool inside the module of one release line.
func build(interop, minor, tool, name string) error {
	start := time.Now()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join("..", "bin", name), "./cmd/"+tool)
	cmd.Dir = filepath.Join(interop, "etcd"+strings.ReplaceAll(minor, ".", ""))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	fmt.Printf("%-12s %s\n", name, time.Since(start).Round(time.Millisecond))
	return nil
}
