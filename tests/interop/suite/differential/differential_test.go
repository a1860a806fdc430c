package differential

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
)

var (
	stepsFlag = flag.Int("steps", envInt("DIFF_STEPS", 5000), "number of random steps")
	leastFlag = flag.Int("least", 0, "how often each feature of the generator must be drawn; half of the steps then go after the rarest")
	lessFlag  = flag.String("without", os.Getenv("DIFF_WITHOUT"), "kinds of steps to leave out, for example auth,lock,watch")
	minFlag   = flag.Bool("minimise", false, "after a difference, search for a shorter sequence that shows it")
	seedFlag  = flag.Uint64("seed", uint64(envInt("DIFF_SEED", 0)), "seed of the steps; 0 takes the clock")
)

func envInt(name string, fallback int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return fallback
}

// requestLimit is --max-request-bytes of both servers: small, so that requests at
// the limit are cheap.
const requestLimit = 64 << 10

// serverArgs start both servers alike.
var serverArgs = []string{
	fmt.Sprintf("--max-request-bytes=%d", requestLimit),
	"--bcrypt-cost=4",
	"--unsafe-no-fsync",
	"--snapshot-count=1000",
	// A lone member comes back after one tick, and the least TTL is still 2 seconds.
	"--heartbeat-interval=10",
	"--election-timeout=1000",
	"--watch-progress-notify-interval=250ms",
	// Nobody connects to it: with the same URL in both, member lists are equal.
	"--advertise-client-urls=http://127.0.0.1:2379",
}

// TestDifferential compares upstream's 3.7 with the server under test.
func TestDifferential(t *testing.T) {
	compare(t, harness.MustTarget(t), *stepsFlag)
}

// TestSelf compares upstream's 3.7 with itself. What it finds is a fault of the
// tests, not of a server.
func TestSelf(t *testing.T) {
	compare(t, harness.MustEtcd(t, "3.7"), min(*stepsFlag, 2500))
}

// TestAuthDifferential compares both with authentication on and requests of many
// users, with simple tokens.
func TestAuthDifferential(t *testing.T) {
	compareUsers(t, harness.MustTarget(t), *stepsFlag)
}

// TestAuthDifferentialSigned does so with signed tokens, which end with every
// change of users and roles.
func TestAuthDifferentialSigned(t *testing.T) {
	compareUsers(t, harness.MustTarget(t), *stepsFlag/2, signedTokens(t))
}

// TestAuthSelf compares upstream's 3.7 with itself.
func TestAuthSelf(t *testing.T) {
	compareUsers(t, harness.MustEtcd(t, "3.7"), min(*stepsFlag, 1500))
	compareUsers(t, harness.MustEtcd(t, "3.7"), min(*stepsFlag, 1000), signedTokens(t))
}

// signedTokens is the flag for them.
func signedTokens(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("a secret of both"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--auth-token=jwt,sign-method=HS256,ttl=1h,priv-key=" + path
}

func compareUsers(t *testing.T, target harness.Binary, steps int, args ...string) {
	compareWith(t, target, steps, (*generator).aboutUsers, args...)
}

func compare(t *testing.T, target harness.Binary, steps int) {
	compareWith(t, target, steps, func(*generator) {})
}

func compareWith(t *testing.T, target harness.Binary, steps int, prepare func(*generator), args ...string) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d, %d steps (repeat with -seed=%d -steps=%d)", seed, steps, seed, steps)
	a := startSide(t, "reference", harness.MustEtcd(t, "3.7"), args...)
	b := startSide(t, "target", target, args...)
	allowed, err := readAllowances()
	if err != nil {
		t.Fatal(err)
	}
	d := newDriver(a, b, seed, requestLimit, allowed)
	d.gen.leftOut = leftOut(t, target)
	if *leastFlag > 0 {
		d.gen.balance = &balance{least: *leastFlag}
	}
	prepare(d.gen)
	start := time.Now()
	err = d.run(t.Context(), steps)
	t.Logf("%d steps in %s; the generator drew\n%s", d.index, time.Since(start).Round(time.Millisecond), table(d.gen.counts))
	t.Logf("the replies of the reference were\n%s", table(d.gen.outcomes))
	for _, s := range d.sides() {
		t.Logf("%s sent on watch streams\n%s", s.name, table(s.kinds))
	}
	if rare := d.gen.seldom(*leastFlag); len(rare) > 0 {
		t.Errorf("drawn less than %d times: %s", *leastFlag, strings.Join(rare, ", "))
	}
	for rule, n := range d.excused {
		t.Logf("%d differences allowed by rule %s", n, rule)
	}
	for kind, n := range d.repeated {
		if n > 1 {
			t.Logf("%d differences of one kind, the first is shown: %s", n, kind)
		}
	}
	for _, f := range d.found {
		t.Errorf("seed %d, %s", seed, f)
	}
	if err != nil {
		t.Error(err)
	}
	if t.Failed() && *minFlag {
		reportShortest(t, target, d.done, allowed, args...)
	}
}

// leftOut are the kinds of steps that are not sent: those of -without, and those
// that need a part which the target does not have yet.
func leftOut(t *testing.T, target harness.Binary) []string {
	kinds := strings.Split(*lessFlag, ",")
	for part, brings := range harness.Pending(target) {
		if isKind(string(part)) {
			t.Logf("not yet: no steps of kind %q are sent to %s, they need %s", part, target.Label, brings)
			kinds = append(kinds, string(part))
		}
	}
	return kinds
}

// isKind reports whether there are steps of a kind.
func isKind(kind string) bool {
	menu := newGenerator(1, newHistory(), requestLimit).menu()
	return slices.ContainsFunc(menu, func(c choice) bool { return c.kind == kind })
}

// reportShortest prints the shortest sequence found that still shows a difference.
func reportShortest(t *testing.T, target harness.Binary, steps []step, allowed allowances, args ...string) {
	shortest := minimise(replayable(steps), func(s []step) bool {
		a := startSide(t, "reference", harness.MustEtcd(t, "3.7"), args...)
		b := startSide(t, "target", target, args...)
		defer a.server.Kill()
		defer b.server.Kill()
		defer a.close()
		defer b.close()
		return differs(t.Context(), a, b, s, allowed)
	})
	if shortest == nil {
		t.Log("the difference does not show without the watch streams, or does not show again")
	}
	for i, s := range shortest {
		t.Logf("shortest sequence, step %d: %s", i, s)
	}
}

func startSide(t *testing.T, name string, bin harness.Binary, args ...string) *side {
	t.Helper()
	server := harness.Start(t, bin, harness.Options{Args: slices.Concat(serverArgs, args)})
	s, err := newSide(t.Context(), name, server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.close()
		s.server.Kill()
		if t.Failed() && s.server != server {
			t.Logf("last lines of the %s, started again:\n%s", s.name, s.server.LogTail(30))
		}
	})
	if err := s.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}
