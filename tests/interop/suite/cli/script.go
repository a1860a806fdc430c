// Package cli runs upstream's etcdctl against upstream's server and against the
// server under test, and compares what it prints.
package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// commandLimit bounds one run of etcdctl. The check of performance takes a minute.
const commandLimit = 2 * time.Minute

// alarmMember is in the name of which alarms are raised.
const alarmMember = 0xabc

// command is one call of etcdctl. Words in braces, such as {lease}, stand for what
// an earlier command captured, {dir} for a directory of this side.
type command struct {
	args  []string
	stdin string
	// until is for commands that do not end by themselves: once the output
	// contains it, the command gets an interrupt.
	until string
	// capture stores the first group of a match in the output under a name.
	capture string
	pattern *regexp.Regexp
	// alarm is raised on the server first.
	alarm bool
	// loose replaces all numbers and widths, for tables of sizes and indexes.
	loose bool
}

// ctl makes a command from words.
func ctl(words string) command { return command{args: strings.Fields(words)} }

func (c command) with(stdin string) command        { c.stdin = stdin; return c }
func (c command) interruptedAt(out string) command { c.until = out; return c }
func (c command) loosely() command                 { c.loose = true; return c }
func (c command) underAlarm() command              { c.alarm = true; return c }
func (c command) capturing(name, pattern string) command {
	c.capture, c.pattern = name, regexp.MustCompile(pattern)
	return c
}

// arg adds a word that may contain spaces or be empty.
func (c command) arg(words ...string) command {
	c.args = append(append([]string{}, c.args...), words...)
	return c
}

// target is one server as seen by a run of commands.
type target struct {
	binary   string
	endpoint string
	client   *harness.Client
	// words are what braces stand for.
	words map[string]string
}

// result is what a command printed, normalised.
type result struct {
	stdout, stderr string
	exit           int
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\n--- stdout\n%s--- stderr\n%s", r.exit, r.stdout, r.stderr)
}

// run calls etcdctl once.
func (t *target) run(ctx context.Context, c command) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	if c.alarm {
		raise := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: alarmMember, Alarm: pb.AlarmType_NOSPACE}
		if _, err := t.client.Maintenance.Alarm(ctx, raise); err != nil {
			return result{}, err
		}
	}
	args := append([]string{"--endpoints=" + t.endpoint}, c.args...)
	for i := range args {
		args[i] = t.expand(args[i])
	}
	cmd := exec.CommandContext(ctx, t.binary, args...)
	// Etcdctl says so when it does not know a variable.
	cmd.Env = []string{"ETCDCTL_API=3", "PATH=" + os.Getenv("PATH"), "HOME=" + t.words["dir"]}
	var stderr bytes.Buffer
	stdout := NewOutput(c.until)
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return result{}, err
	}
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	if _, err := io.WriteString(in, t.expand(c.stdin)); err != nil {
		return result{}, err
	}
	if c.until == "" {
		_ = in.Close()
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-stdout.Reached():
		_ = cmd.Process.Signal(os.Interrupt)
		err = <-ended
	case err = <-ended:
	}
	if ctx.Err() != nil {
		return result{}, fmt.Errorf("etcdctl %q did not end; so far it printed %q, %q", args, stdout.String(), stderr.String())
	}
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return result{}, err
	}
	if c.pattern != nil {
		m := c.pattern.FindStringSubmatch(stdout.String())
		if m == nil {
			return result{}, fmt.Errorf("etcdctl %q printed %q, %q", args, stdout.String(), stderr.String())
		}
		t.words[c.capture] = m[1]
	}
	r := result{t.normalise(stdout.String(), c.loose), t.normalise(DropLog(stderr.String()), c.loose), cmd.ProcessState.ExitCode()}
	if strings.HasSuffix(r.stdout, verdict) {
		// It depends on the machine, and so does the exit code.
		r.exit = 0
	}
	return r, nil
}

func (t *target) expand(s string) string {
	for name, value := range t.words {
		s = strings.ReplaceAll(s, "{"+name+"}", value)
	}
	return s
}

// DropLog removes the client's log lines, which carry times.
func DropLog(stderr string) string {
	var kept []string
	for _, line := range strings.SplitAfter(stderr, "\n") {
		if !strings.HasPrefix(line, `{"level"`) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// verdict stands for the outcome of a check of performance.
const verdict = "VERDICT\n"

// normalisation replaces what differs from run to run.
var normalisation = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`(PASS: )?(Slowest request took|Stddev)( is| too high:| too long:)? [0-9.]+s\n`), "$2\n"},
	{regexp.MustCompile(`took( =)? [0-9.]+(µs|ms|s)`), "took TIME"},
	{regexp.MustCompile(`"took": ?"[^"]*"`), `"took":"TIME"`},
	{regexp.MustCompile(`"(raft_?[tT]erm|raft_?[iI]ndex|raftAppliedIndex|dbSize|dbSizeInUse)":\d+`), `"$1":N`},
	{regexp.MustCompile(`"(RaftTerm|RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse|Took)" : \S+`), `"$1" : N`},
	{regexp.MustCompile(`remaining\(\d+s\)`), "remaining(N)"},
	{regexp.MustCompile(`"ttl":\d+`), `"ttl":N`},
	{regexp.MustCompile(`"TTL" : \d+`), `"TTL" : N`},
	// What a machine is good for, and how far a bar got; the bar of 3.4 may come to
	// stand before the next line.
	{regexp.MustCompile(`Compacting with revision \d+\n?`), ""},
	{regexp.MustCompile(`\r?[ \t]*\d+ / \d+ [^\r\n]*[\r\n]*`), ""},
	{regexp.MustCompile(`PASS: Throughput is \d+ writes/s`), "PASS: Throughput"},
	{regexp.MustCompile(`(?m)^(Stddev\n)(PASS|FAIL)$`), "${1}" + strings.TrimSpace(verdict)},
	{regexp.MustCompile(`memory used ?: [-0-9.]+ MB`), "memory used: SIZE"},
	{regexp.MustCompile(`\bCompacted with revision \d+`), "Compacted with revision N"},
	// Go's protobuf changes the spacing of its texts from build to build.
	{regexp.MustCompile(`(memberID:\d+) +alarm`), "$1 alarm"},
	// The hash of a snapshot covers raft's index.
	{regexp.MustCompile(`^[0-9a-f]{6,8}, (\d+), (\d+), `), "HASH, $1, $2, "},
	// Sessions of lock and elect take a lease of the server's choice.
	{regexp.MustCompile(`/[0-9a-f]{8,16}\b`), "/LEASE"},
}

var (
	sizes   = regexp.MustCompile(`[0-9.]+ [kMG]?B`)
	numbers = regexp.MustCompile(`\b\d+%?`)
	widths  = regexp.MustCompile(`[-─ ]{2,}`)
)

// Normalise replaces what differs from run to run in the output of etcdctl.
func Normalise(s string) string {
	for _, n := range normalisation {
		s = n.pattern.ReplaceAllString(s, n.with)
	}
	return s
}

// Loosely replaces sizes, numbers and widths, too.
func Loosely(s string) string {
	s = sizes.ReplaceAllString(s, "SIZE")
	s = numbers.ReplaceAllString(s, "N")
	return widths.ReplaceAllString(s, " ")
}

func (t *target) normalise(s string, loose bool) string {
	s = strings.ReplaceAll(s, t.endpoint, "ENDPOINT")
	for name, value := range t.words {
		s = strings.ReplaceAll(s, value, "{"+name+"}")
		// Some formats print a lease id in decimal.
		if id, err := strconv.ParseInt(value, 16, 64); err == nil {
			s = strings.ReplaceAll(s, strconv.FormatInt(id, 10), "{"+name+"}")
		}
	}
	s = Normalise(s)
	if loose {
		s = Loosely(s)
	}
	return s
}

// Output collects output and reports when it contains a text.
type Output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	until   string
	seen    bool
	reached chan struct{}
}

// NewOutput waits for a text; for none when it is empty.
func NewOutput(until string) *Output {
	return &Output{until: until, reached: make(chan struct{})}
}

// Reached is closed when the text has come.
func (w *Output) Reached() <-chan struct{} { return w.reached }

func (w *Output) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if w.until != "" && !w.seen && strings.Contains(w.buf.String(), w.until) {
		w.seen = true
		close(w.reached)
	}
	return len(p), nil
}

func (w *Output) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}
