package golden

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
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/cli"
	"mainstay.dev/tests/interop/suite/harness"
)

// callLimit bounds one run of a tool.
const callLimit = 30 * time.Second

// alarmMember is in the name of which alarms are raised.
const alarmMember = 0xabc

// call is one invocation. Words in braces, such as {lease}, stand for what an
// earlier call captured, {dir} for a directory of this side, {endpoint} for the
// address of its server.
type call struct {
	args  []string
	stdin string
	env   []string
	// bare calls are not told where the server is.
	bare bool
	// until is for calls that do not end by themselves: once the output contains
	// it, the tool gets an interrupt.
	until string
	// untilKey likewise, once the server holds a key.
	untilKey string
	// names and patterns of what is captured from the output.
	capture string
	pattern *regexp.Regexp
	// alarm is raised on the server first.
	alarm bool
	// loose replaces all numbers and widths, for tables of sizes and indexes.
	loose bool
	// limit is for calls that take long.
	limit time.Duration
}

// name is how messages and the list of differences call it.
func (c call) name() string {
	name := strings.Join(c.args, " ")
	if len(c.env) > 0 {
		name = strings.Join(c.env, " ") + " " + name
	}
	if c.stdin != "" {
		name += fmt.Sprintf(" < %q", c.stdin)
	}
	return name
}

// ctl makes a call from words.
func ctl(words string) call { return call{args: strings.Fields(words)} }

// alone is a call that is not told where the server is.
func alone(words string) call { return call{args: strings.Fields(words), bare: true} }

func (c call) with(stdin string) call        { c.stdin = stdin; return c }
func (c call) interruptedAt(out string) call { c.until = out; return c }
func (c call) interruptedBy(key string) call { c.untilKey = key; return c }
func (c call) loosely() call                 { c.loose = true; return c }
func (c call) lasting(d time.Duration) call  { c.limit = d; return c }
func (c call) underAlarm() call              { c.alarm = true; return c }
func (c call) under(env ...string) call      { c.env = env; return c }
func (c call) capturing(name, pattern string) call {
	c.capture, c.pattern = name, regexp.MustCompile(pattern)
	return c
}

// arg adds words that may contain spaces or be empty.
func (c call) arg(words ...string) call {
	c.args = append(append([]string{}, c.args...), words...)
	return c
}

// side is a tool and the server it talks to.
type side struct {
	tool string
	// client is nil for tools that work on files.
	client *harness.Client
	// words are what braces stand for.
	words map[string]string
}

// result is what a call printed, normalised.
type result struct {
	stdout, stderr string
	exit           int
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\n--- stdout\n%s--- stderr\n%s", r.exit, r.stdout, r.stderr)
}

// run makes a call.
func (s *side) run(ctx context.Context, c call) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, max(callLimit, c.limit))
	defer cancel()
	if c.alarm {
		raise := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: alarmMember, Alarm: pb.AlarmType_NOSPACE}
		if _, err := s.client.Maintenance.Alarm(ctx, raise); err != nil {
			return result{}, err
		}
	}
	var args []string
	if !c.bare && s.words["endpoint"] != "" {
		args = append(args, "--endpoints={endpoint}")
	}
	args = append(args, c.args...)
	for i := range args {
		args[i] = s.expand(args[i])
	}
	cmd := exec.CommandContext(ctx, s.tool, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.words["dir"]}
	for _, variable := range c.env {
		cmd.Env = append(cmd.Env, s.expand(variable))
	}
	var stderr bytes.Buffer
	stdout := cli.NewOutput(c.until)
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return result{}, err
	}
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	// A tool that has ended already does not read.
	_, _ = io.WriteString(in, s.expand(c.stdin))
	if c.until == "" {
		_ = in.Close()
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var key <-chan error
	if c.untilKey != "" {
		key = s.waitForKey(ctx, s.expand(c.untilKey))
	}
	select {
	case <-stdout.Reached():
		_ = cmd.Process.Signal(os.Interrupt)
		err = <-ended
	case err = <-key:
		if err != nil {
			return result{}, err
		}
		_ = cmd.Process.Signal(os.Interrupt)
		err = <-ended
	case err = <-ended:
	}
	if ctx.Err() != nil {
		return result{}, fmt.Errorf("%q did not end; so far it printed %q, %q", args, stdout.String(), stderr.String())
	}
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return result{}, err
	}
	if c.pattern != nil {
		m := c.pattern.FindStringSubmatch(stdout.String())
		if m == nil {
			return result{}, fmt.Errorf("%q printed %q, %q", args, stdout.String(), stderr.String())
		}
		s.words[c.capture] = m[1]
	}
	exit := cmd.ProcessState.ExitCode()
	return result{s.normalise(stdout.String(), c), s.normalise(cli.DropLog(stderr.String()), c), exit}, nil
}

// waitForKey tells when the server holds a key.
func (s *side) waitForKey(ctx context.Context, key string) <-chan error {
	found := make(chan error, 1)
	go func() {
		for {
			reply, err := s.client.KV.Range(ctx, &pb.RangeRequest{Key: []byte(key)})
			if err != nil || len(reply.Kvs) > 0 {
				found <- err
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return found
}

func (s *side) expand(text string) string {
	for name, value := range s.words {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// more is what differs from run to run beyond [cli.Normalise].
var more = []struct {
	pattern *regexp.Regexp
	with    string
}{
	// An id of a member that was added depends on the second.
	{regexp.MustCompile(`"(member_?[iI][dD]|cluster_?[iI][dD])":"?[0-9a-f]+"?`), `"$1":ID`},
	{regexp.MustCompile(`took [0-9.]+[µm]?s`), "took TIME"},
	{regexp.MustCompile(`took = [0-9.]+[µm]?s`), "took = TIME"},
	// In tables without anything around it, in whatever unit fits.
	{regexp.MustCompile(`\b[0-9]+(\.[0-9]+)?(µs|ms)`), "TIME"},
	// Leases of the server's choice.
	{regexp.MustCompile(`"Lease" : \d{10,}`), `"Lease" : LEASE`},
	{regexp.MustCompile(`(?m)^[0-9a-f]{16}$`), "LEASE"},
	// The id of a member that was added is made of the time, too.
	{regexp.MustCompile(`(?m)^[0-9a-f]{10,16}, unstarted, `), "ID, unstarted, "},
	// Resolvers name the server that they asked, each its own way.
	{regexp.MustCompile(`lookup (_[a-z-]+\._tcp\.[a-z.]+)[^\n]*? and lookup (_[a-z-]+\._tcp\.[a-z.]+)[^\n]*`), "lookup $1 and lookup $2"},
	// The child of a lock sees its key and revision.
	{regexp.MustCompile(`ETCD_LOCK_REV=\d+`), "ETCD_LOCK_REV=N"},
}

func (s *side) normalise(text string, c call) string {
	for name, value := range s.words {
		text = strings.ReplaceAll(text, value, "{"+name+"}")
		// Some formats print an id in decimal.
		if id, err := strconv.ParseUint(value, 16, 64); err == nil && len(value) > 8 {
			text = strings.ReplaceAll(text, strconv.FormatUint(id, 10), "{"+name+"}")
		}
	}
	text = cli.Normalise(text)
	for _, n := range more {
		text = n.pattern.ReplaceAllString(text, n.with)
	}
	if c.loose {
		text = cli.Loosely(text)
	}
	if strings.Contains(text, "Usage:\n") || strings.HasPrefix(text, "The following options") {
		text = outline(text)
	}
	return text
}
