package badinput

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mainstay.dev/tests/interop/suite/harness"
)

const (
	// crowd is how many connections do nothing; BADINPUT_CONNECTIONS asks for more.
	crowd = 2000
	// perConnection is what each of them may cost before it is known who it is, slackBytes
	// what the process may grow besides.
	perConnection, slackBytes = 64 << 10, 48 << 20
	// samples is how many calls of others are timed, quietSamples the same with a release
	// build on a machine that does nothing else (BADINPUT_QUIET): so many that what comes
	// before the server has seen through an attack is not the worst hundredth of it.
	samples, quietSamples = 2000, 10000
	// spared is how much slower than twice as slow they may be on such a machine, where one
	// run's figure is off by as much; busy is for all others.
	spared, busy = 5 * time.Millisecond, time.Second
	// attackers work at a time.
	attackers = 4
)

// attack is what one connection does until the context ends. It returns when the server
// hangs up; then it is begun again.
type attack func(ctx context.Context, conn net.Conn)

// attacks by name.
var attacks = map[string]attack{
	"rapid reset":                rapidReset,
	"continuation without end":   continuation,
	"pings":                      pings,
	"settings":                   settings,
	"empty data":                 emptyData,
	"window updates":             windowUpdates,
	"connecting and hanging up":  func(context.Context, net.Conn) {},
	"priorities":                 priorities,
	"headers that are too large": largeHeaders,
}

// leaveAlone keeps the processors as busy as an attack does, and the server out of it: what
// others notice of that is the machine.
const leaveAlone = "nothing but computing"

// attackVar makes a process of this test an attacker: "NAME@ADDRESS".
const attackVar = "BADINPUT_ATTACK"

// TestMain lets attackers be processes of their own, and modest ones: what they take of the
// machine is not what they take of the server.
func TestMain(m *testing.M) {
	name, addr, found := strings.Cut(os.Getenv(attackVar), "@")
	if !found {
		os.Exit(m.Run())
	}
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19)
	attack := attacks[name]
	if name == leaveAlone {
		attack = computing
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, begun := make(chan int, attackers), make(chan struct{}, attackers)
	for range attackers {
		go func() { done <- attackUntilEnd(ctx, addr, attack, begun) }()
	}
	for range attackers {
		<-begun
	}
	fmt.Println("begun")
	// Whoever started it closes its input.
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	rounds := 0
	for range attackers {
		rounds += <-done
	}
	fmt.Println(rounds)
}

// attackUntilEnd counts the connections it has needed.
func attackUntilEnd(ctx context.Context, addr string, attack attack, begun chan<- struct{}) int {
	rounds, told := 0, false
	for ; ctx.Err() == nil; rounds++ {
		if conn, err := net.Dial("tcp", addr); err == nil {
			if !told {
				begun <- struct{}{}
				told = true
			}
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			attack(ctx, conn)
			stop()
			_ = conn.Close()
		}
	}
	return rounds
}

// TestAbuse lets many do what costs a server much and them little, before they have said who
// they are. Whoever behaves must not notice more of it than of a machine that is as busy.
func TestAbuse(t *testing.T) {
	for name := range attacks {
		t.Run(name, func(t *testing.T) {
			s := harness.Start(t, harness.MustTarget(t), harness.Options{})
			before, _, _ := beside(t, s, leaveAlone)
			during, grown, rounds := beside(t, s, name)
			t.Logf("p99 %v beside a busy processor, %v beside %d connections, %d KiB more", before, during, rounds, grown>>10)
			judge(t, before, during, grown, 0)
			well(t, s)
		})
	}
}

// beside is the latency of others beside an attack, what the server has grown by in the
// meantime, and how many connections the attack has needed.
func beside(t *testing.T, s *harness.Server, name string) (p99 time.Duration, grown, rounds int) {
	t.Helper()
	// Whatever is made once.
	latency(t, s)
	memory := resident(t, s)
	attacker := exec.Command(os.Args[0])
	attacker.Env = append(os.Environ(), attackVar+"="+name+"@"+s.Addr)
	input, err := attacker.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := attacker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	attacker.Stderr = os.Stderr
	if err := attacker.Start(); err != nil {
		t.Fatal(err)
	}
	output := bufio.NewReader(stdout)
	if line, err := output.ReadString('\n'); line != "begun\n" {
		t.Fatalf("%q, %v", line, err)
	}
	p99 = latency(t, s)
	grown = resident(t, s) - memory
	_ = input.Close()
	line, _ := output.ReadString('\n')
	if err := attacker.Wait(); err != nil {
		t.Errorf("the attacker: %v", err)
	}
	rounds, err = strconv.Atoi(strings.TrimSpace(line))
	if err != nil || rounds < attackers {
		t.Errorf("%q connections, %v: that was no attack", line, err)
	}
	return p99, grown, rounds
}

// TestCancels is no attack: a busy client whose contexts end, a thousand in a second, all on one
// connection. Each of its calls is reset, and none may fail for another reason.
func TestCancels(t *testing.T) {
	const rate, seconds = 1000, 5
	s := harness.Start(t, harness.MustTarget(t), harness.Options{})
	c := s.Client(t)
	ticks := time.NewTicker(time.Second / rate)
	defer ticks.Stop()
	results := make(chan error, rate*seconds)
	for i := range rate * seconds {
		<-ticks.C
		ctx, cancel := context.WithCancel(harness.Context(t, time.Minute))
		go func() {
			_, err := c.KV.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
			results <- err
		}()
		// Before it is sent, while it is under way, or when it is over.
		time.AfterFunc(time.Duration(i%10)*100*time.Microsecond, cancel)
	}
	canceled := 0
	for range rate * seconds {
		switch err := <-results; status.Code(err) {
		case codes.OK:
		case codes.Canceled:
			canceled++
		default:
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d calls were canceled", canceled, rate*seconds)
	if canceled < rate*seconds/10 {
		t.Error("too few to tell")
	}
	well(t, s)
}

// TestCrowd opens connections that say nothing, or not all of it.
func TestCrowd(t *testing.T) {
	count := crowd
	if text := os.Getenv("BADINPUT_CONNECTIONS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	raiseLimit(t, count)
	for name, words := range map[string]string{
		"nothing":           "",
		"half a preface":    http2.ClientPreface[:10],
		"a preface":         http2.ClientPreface,
		"half a request":    "GET /health HTTP/1.1\r\nHost: x\r\n",
		"half a handshake":  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"half a big header": http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x40\x00\x01\x00\x00\x00\x00\x01",
	} {
		t.Run(name, func(t *testing.T) {
			certs, err := harness.NewTLS(t.TempDir(), "anybody")
			if err != nil {
				t.Fatal(err)
			}
			secure := name == "nothing" || name == "half a handshake"
			opts := harness.Options{Metrics: true}
			if secure {
				opts.TLS = certs
			}
			s := harness.Start(t, harness.MustTarget(t), opts)
			before, memory := latency(t, s), resident(t, s)
			conns := make([]net.Conn, 0, count)
			defer func() {
				for _, conn := range conns {
					_ = conn.Close()
				}
			}()
			for range count {
				conn, err := net.Dial("tcp", s.Addr)
				if err != nil {
					t.Fatalf("after %d connections: %v", len(conns), err)
				}
				conns = append(conns, conn)
				if _, err := io.WriteString(conn, words); err != nil {
					t.Fatal(err)
				}
			}
			during := latency(t, s)
			grown := resident(t, s) - memory
			t.Logf("p99 %v before, %v beside %d connections, %d KiB more", before, during, count, grown>>10)
			judge(t, before, during, grown, count)
			if name != "a preface" {
				// Who has said nothing for long enough is let go.
				_ = conns[0].SetReadDeadline(time.Now().Add(30 * time.Second))
				if _, err := io.Copy(io.Discard, conns[0]); err != nil && !strings.Contains(err.Error(), "reset") {
					t.Errorf("it is still open: %v", err)
				}
			}
		})
	}
}

func judge(t *testing.T, before, during time.Duration, grown, connections int) {
	t.Helper()
	slack := busy
	if quiet() {
		slack = spared
	}
	if bound := 2*before + slack; during > bound {
		t.Errorf("others' p99 is %v, was %v", during, before)
	}
	if bound := connections*perConnection + slackBytes; grown > bound {
		t.Errorf("%d KiB more for %d connections", grown>>10, connections)
	}
}

// quiet tells whether nothing but this test is on the machine.
func quiet() bool {
	return os.Getenv("BADINPUT_QUIET") != ""
}

// latency is the 99th percentile of a well-behaved client's calls.
func latency(t *testing.T, s *harness.Server) time.Duration {
	t.Helper()
	c := s.Client(t)
	ctx := harness.Context(t, time.Minute)
	count := samples
	if quiet() {
		count = quietSamples
	}
	times := make([]time.Duration, 0, count)
	for range count {
		begun := time.Now()
		if _, err := c.KV.Range(ctx, &pb.RangeRequest{Key: []byte("k")}); err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	return times[len(times)*99/100]
}

// resident is the process's memory in bytes.
func resident(t *testing.T, s *harness.Server) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// raiseLimit lets this process, and those it starts, have so many connections.
func raiseLimit(t *testing.T, count int) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if int(limit.Max) < count+200 {
		t.Skipf("skipped: only %d files may be open", limit.Max)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

// begin sends the preface, and reads whatever comes.
func begin(conn net.Conn) *http2.Framer {
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	_, _ = io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, nil)
	_ = framer.WriteSettings()
	return framer
}

// until repeats a step while the server takes it.
func until(ctx context.Context, step func(i uint32) error) {
	for i := uint32(0); ctx.Err() == nil && i < 1<<30; i++ {
		if step(i) != nil {
			return
		}
	}
}

// computing is [leaveAlone].
func computing(ctx context.Context, _ net.Conn) {
	for ctx.Err() == nil {
	}
}

func rapidReset(ctx context.Context, conn net.Conn) {
	framer, block := begin(conn), properBlock()
	until(ctx, func(i uint32) error {
		id := 2*i + 1
		if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}); err != nil {
			return err
		}
		return framer.WriteRSTStream(id, http2.ErrCodeCancel)
	})
}

func continuation(ctx context.Context, conn net.Conn) {
	framer, block := begin(conn), make([]byte, 16<<10)
	if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: properBlock()}) != nil {
		return
	}
	until(ctx, func(uint32) error { return framer.WriteContinuation(1, false, block) })
}

func pings(ctx context.Context, conn net.Conn) {
	framer := begin(conn)
	until(ctx, func(i uint32) error { return framer.WritePing(false, [8]byte{byte(i)}) })
}

func settings(ctx context.Context, conn net.Conn) {
	framer := begin(conn)
	until(ctx, func(i uint32) error {
		return framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<16 + i%2})
	})
}

func emptyData(ctx context.Context, conn net.Conn) {
	framer := begin(conn)
	if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: properBlock(), EndHeaders: true}) != nil {
		return
	}
	until(ctx, func(uint32) error { return framer.WriteData(1, false, nil) })
}

func windowUpdates(ctx context.Context, conn net.Conn) {
	framer := begin(conn)
	until(ctx, func(uint32) error { return framer.WriteWindowUpdate(0, 1) })
}

func priorities(ctx context.Context, conn net.Conn) {
	framer := begin(conn)
	until(ctx, func(i uint32) error {
		return framer.WritePriority(2*(i%10000)+1, http2.PriorityParam{Weight: 1})
	})
}

func largeHeaders(ctx context.Context, conn net.Conn) {
	framer, block := begin(conn), make([]byte, 16<<10)
	until(ctx, func(i uint32) error {
		if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: properBlock()}); err != nil {
			return err
		}
		for n := range 8 {
			if err := framer.WriteContinuation(2*i+1, n == 7, block); err != nil {
				return err
			}
		}
		return nil
	})
}
