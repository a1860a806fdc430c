package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	portTries = 20
	// advertisedPeer is the peer address that every member announces. Member and
	// cluster id are derived from it, so all single members have the same ids,
	// wherever they listen.
	advertisedPeer = "127.0.0.1:2380"
	// healthPath asks for readiness; a directory may hold alarms from before.
	healthPath = "/health?exclude=NOSPACE&exclude=CORRUPT"
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
	// Metrics adds --listen-metrics-urls, which then also serves the readiness
	// probe.
	Metrics bool
	// TLS makes client and peer URLs https, with client certificates required.
	TLS *TLS
	// AsEtcd calls mainstay through a symbolic link named etcd.
	AsEtcd bool

	// autoTLS makes peer URLs https, with certificates of the members' own making.
	autoTLS bool
	// discovers leaves out --initial-cluster.
	discovers bool
	// member is set for members of a [Cluster].
	member *membership
	// restore makes each member's data directory before it starts.
	restore Restore
	// command precedes the command line.
	command []string
}

// scheme begins the URLs of clients.
func (o Options) scheme() string {
	if o.TLS != nil {
		return "https://"
	}
	return "http://"
}

// peerScheme begins the URLs of members.
func (o Options) peerScheme() string {
	if o.autoTLS {
		return "https://"
	}
	return o.scheme()
}

// membership is how a server finds its cluster.
type membership struct {
	name string
	// initial is --initial-cluster, state --initial-cluster-state.
	initial, state string
}

// Server is one running process.
type Server struct {
	// Bin is what runs.
	Bin Binary
	// DataDir is the directory given as --data-dir.
	DataDir string
	// Addr is the client endpoint, HOST:PORT.
	Addr string
	// MetricsAddr is where metrics and probes are, HOST:PORT; the client endpoint
	// unless Options.Metrics was set.
	MetricsAddr string
	// PeerAddr is the peer endpoint, HOST:PORT.
	PeerAddr string
	// LogPath is the file with the process's standard output and error.
	LogPath string

	opts Options
	at   ports
	cmd  *exec.Cmd
	done chan struct{}

	mu      sync.Mutex
	exitErr error
}

// Launch starts a server and waits until it is healthy, alarms left aside.
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

// Spawn starts a server and waits for nothing, so that it can be killed while it
// boots.
func Spawn(bin Binary, opts Options) (*Server, error) {
	at, err := freePorts()
	if err != nil {
		return nil, err
	}
	return spawn(bin, opts, at)
}

func launchOnce(ctx context.Context, bin Binary, opts Options) (*Server, error) {
	at, err := freePorts()
	if err != nil {
		return nil, err
	}
	return launchAt(ctx, bin, opts, at)
}

// Restart starts the ended server again: same directory, same ports, same flags.
func (s *Server) Restart(ctx context.Context) (*Server, error) {
	s.Kill()
	return launchAt(ctx, s.Bin, s.opts, s.at)
}

// Move starts the ended server again on its directory, at other ports: one that was
// free for a moment may be somebody else's by now.
func (s *Server) Move(ctx context.Context) (*Server, error) {
	s.Kill()
	return Launch(ctx, s.Bin, s.opts)
}

func launchAt(ctx context.Context, bin Binary, opts Options, at ports) (*Server, error) {
	s, err := spawn(bin, opts, at)
	if err != nil {
		return nil, err
	}
	if err := s.waitReady(ctx); err != nil {
		s.Kill()
		return s, err
	}
	return s, nil
}

// spawn starts a process and does not wait for anything.
func spawn(bin Binary, opts Options, at ports) (*Server, error) {
	log, err := os.CreateTemp(opts.WorkDir, bin.Label+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	path, args, err := commandLine(bin, opts, at)
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
		Bin: bin, DataDir: opts.DataDir, Addr: at.client, MetricsAddr: at.client, PeerAddr: at.peer, LogPath: log.Name(),
		opts: opts, at: at, cmd: cmd, done: make(chan struct{}),
	}
	if opts.Metrics {
		s.MetricsAddr = at.metrics
	}
	go s.reap()
	return s, nil
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.MetricsAddr+healthPath, nil)
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

// Memory is what the process holds, and the most it ever held, in MiB.
func (s *Server) Memory() (now, most int) {
	page, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(page)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			now = kib >> 10
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			most = kib >> 10
		}
	}
	return now, most
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

// Pause stops the process where it is, as a machine that hangs; Resume lets it go on.
func (s *Server) Pause() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends a [Server.Pause].
func (s *Server) Resume() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Dial connects to the server, with its certificates if it has some.
func (s *Server) Dial() (*Client, error) {
	if s.opts.TLS != nil {
		return Dial(s.Addr, s.opts.TLS.Dial())
	}
	return Dial(s.Addr)
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
