package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// readyWait bounds the time from start to the first good /health.
	readyWait = 60 * time.Second
	// stopWait bounds a graceful stop; a leader may take 7 s to hand over.
	stopWait = 30 * time.Second
	// portTries bounds the restarts after another process took a chosen port.
	portTries = 5
	// advertisedPeer is the peer URL that every member announces. Member and
	// cluster id are derived from it, so all single members have the same ids,
	// wherever they listen.
	advertisedPeer = "http://127.0.0.1:2380"
)

// Options say how a server is started. The zero value is a fresh single member.
type Options struct {
	// DataDir is used as it is; empty means a new directory below WorkDir.
	DataDir string
	// WorkDir receives the log file and, if need be, the data directory.
	WorkDir string
	// Args are appended to the generated flags, so they win.
	Args []string
	// Env is added to the environment.
	Env []string
	// AsEtcd calls mainstay through a symbolic link named etcd.
	AsEtcd bool
}

// Server is one running process.
type Server struct {
	// Bin is what runs.
	Bin Binary
	// DataDir is the directory given as --data-dir.
	DataDir string
	// Addr is the client endpoint, HOST:PORT.
	Addr string
	// LogPath is the file with the process's standard output and error.
	LogPath string

	opts Options
	cmd  *exec.Cmd
	done chan struct{}

	mu      sync.Mutex
	exitErr error
}

// Launch starts a server and waits until it is healthy.
func Launch(ctx context.Context, bin Binary, opts Options) (*Server, error) {
	if opts.WorkDir == "" {
		return nil, errors.New("harness: WorkDir is required")
	}
	if opts.DataDir == "" {
		opts.DataDir = filepath.Join(opts.WorkDir, "data")
	}
	var err error
	for range portTries {
		var s *Server
		if s, err = launchOnce(ctx, bin, opts); err == nil {
			return s, nil
		}
		if s == nil || !s.portTaken() {
			return nil, err
		}
	}
	return nil, err
}

func launchOnce(ctx context.Context, bin Binary, opts Options) (*Server, error) {
	client, peer, err := freePorts()
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp(opts.WorkDir, bin.Label+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	path, args, err := commandLine(bin, opts, client, peer)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(cleanEnv(), opts.Env...)
	// If the tests die, the servers must not stay behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", bin.Label, err)
	}
	s := &Server{
		Bin: bin, DataDir: opts.DataDir, Addr: client, LogPath: log.Name(),
		opts: opts, cmd: cmd, done: make(chan struct{}),
	}
	go s.reap()
	if err := s.waitReady(ctx); err != nil {
		s.Kill()
		return s, err
	}
	return s, nil
}

// commandLine builds the executable and its arguments.
func commandLine(bin Binary, opts Options, client, peer string) (string, []string, error) {
	path, args := bin.Path, append([]string{}, bin.Prefix...)
	if opts.AsEtcd {
		link := filepath.Join(opts.WorkDir, "etcd")
		if err := os.Symlink(bin.Path, link); err != nil && !os.IsExist(err) {
			return "", nil, err
		}
		path, args = link, nil
	}
	args = append(args,
		"--name=m0",
		"--data-dir="+opts.DataDir,
		"--listen-client-urls=http://"+client,
		"--advertise-client-urls=http://"+client,
		"--listen-peer-urls=http://"+peer,
		"--initial-advertise-peer-urls="+advertisedPeer,
		"--initial-cluster=m0="+advertisedPeer,
		"--initial-cluster-token=interop",
		"--log-level=info",
	)
	return path, append(args, opts.Args...), nil
}

// cleanEnv is the environment without ETCD_ variables, which would be taken as
// flags.
func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ETCD_") && !strings.HasPrefix(kv, "ETCDCTL_") {
			env = append(env, kv)
		}
	}
	return env
}

// freePorts asks the system for two unused ports on the loopback interface.
func freePorts() (client, peer string, err error) {
	a, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer a.Close()
	b, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer b.Close()
	return a.Addr().String(), b.Addr().String(), nil
}

func (s *Server) reap() {
	err := s.cmd.Wait()
	s.mu.Lock()
	s.exitErr = err
	s.mu.Unlock()
	close(s.done)
}

// waitReady polls /health until it is good, the process ends, or time is up.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.healthy(ctx) {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("%s ended before it was ready: %v\n%s", s.Bin.Label, s.ExitError(), s.LogTail(30))
		case <-ctx.Done():
			return fmt.Errorf("%s not ready after %s\n%s", s.Bin.Label, readyWait, s.LogTail(30))
		case <-tick.C:
		}
	}
}

func (s *Server) healthy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr+"/health", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Running reports whether the process is still there.
func (s *Server) Running() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// ExitError is the result of waiting for the process, nil while it runs.
func (s *Server) ExitError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exitErr
}

// Stop asks for a graceful end with SIGTERM and waits for it. It kills the
// process and reports an error when that takes too long.
func (s *Server) Stop() error {
	if s.Running() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-s.done:
		return nil
	case <-time.After(stopWait):
		s.Kill()
		return fmt.Errorf("%s did not stop within %s\n%s", s.Bin.Label, stopWait, s.LogTail(30))
	}
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (s *Server) Kill() {
	if s.Running() {
		_ = s.cmd.Process.Kill()
	}
	<-s.done
}

// WaitExit waits until the process ends by itself.
func (s *Server) WaitExit(limit time.Duration) error {
	select {
	case <-s.done:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("%s still runs after %s", s.Bin.Label, limit)
	}
}

// LogTail returns the last n lines of the log.
func (s *Server) LogTail(n int) string {
	data, err := os.ReadFile(s.LogPath)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}

// portTaken reports whether the process ended because somebody else listens on
// one of its ports.
func (s *Server) portTaken() bool {
	tail := strings.ToLower(s.LogTail(30))
	return strings.Contains(tail, "address already in use")
}
