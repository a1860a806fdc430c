package partitions

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
)

var pausesFlag = flag.String("pauses", "100ms,400ms,2s", "how long members are paused, each time")

// apartMost is the longest time between members that wake one after the other.
const apartMost = 300 * time.Millisecond

// weathers are what connections between members suffer. An election timeout is 500 ms.
var weathers = []struct {
	name string
	weather
}{
	{"delay", weather{delay: 60 * time.Millisecond}},
	{"loss", weather{loss: 0.05, pause: 300 * time.Millisecond}},
	{"resets", weather{reset: 0.01}},
	{"all", weather{delay: 20 * time.Millisecond, loss: 0.02, pause: 250 * time.Millisecond, reset: 0.003}},
}

// TestWeather lets members talk through forwarders that delay, stall and reset.
func TestWeather(t *testing.T) {
	eachCombination(t, func(t *testing.T, bins []harness.Binary) {
		places := loopback(len(bins))
		forwarders := make([]*forwarder, len(bins))
		for i := range places {
			places[i].Front = func(peer string) string {
				forwarders[i] = forward(t, peer, *seedFlag+uint64(i))
				return forwarders[i].addr()
			}
		}
		x := begin(t, places, bins)
		for round := range *roundsFlag {
			for _, w := range weathers {
				x.suffer(t, round, w.name, func(t *testing.T) { x.endure(t, forwarders, w.weather) })
			}
			x.suffer(t, round, "unreachable-leader", func(t *testing.T) { x.unreachable(t, forwarders) })
		}
		x.end(t)
	})
}

// endure has bad weather at all members for a while. The cluster has to serve in it.
func (x *trial) endure(t *testing.T, forwarders []*forwarder, w weather) {
	t.Helper()
	var everybody []int
	_, before := counts(forwarders)
	for i, f := range forwarders {
		everybody = append(everybody, i)
		f.change(w)
	}
	since := x.Now()
	for n := range 4 {
		x.serves(t, everybody...)
		x.lasts(t, since+*holdFlag*time.Duration(n+1)/4)
	}
	for _, f := range forwarders {
		f.change(weather{})
	}
	passed, spoiled := counts(forwarders)
	t.Logf("of %d chunks %d were spoiled", passed, spoiled-before)
	if (w.loss > 0 || w.reset > 0) && spoiled == before {
		t.Error("nothing was spoiled")
	}
	x.recovers(t)
}

func counts(forwarders []*forwarder) (passed, spoiled int) {
	for _, f := range forwarders {
		p, s := f.counts()
		passed, spoiled = passed+p, spoiled+s
	}
	return passed, spoiled
}

// unreachable closes the leader's front: it can still call others, and nobody calls it.
// What that leads to is open; nothing may be wrong with what clients see.
func (x *trial) unreachable(t *testing.T, forwarders []*forwarder) {
	t.Helper()
	leader := x.leader(t)
	forwarders[leader].change(weather{closed: true})
	x.lasts(t, x.Now()+*holdFlag)
	forwarders[leader].change(weather{})
	x.recovers(t)
}

// TestPauses stops members with SIGSTOP, and lets them go on as if nothing had happened:
// their clocks and timers jump, and what they were asked meanwhile is answered late.
func TestPauses(t *testing.T) {
	var pauses []time.Duration
	for _, text := range strings.Split(*pausesFlag, ",") {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		pauses = append(pauses, d)
	}
	eachCombination(t, func(t *testing.T, bins []harness.Binary) {
		x := begin(t, loopback(len(bins)), bins)
		for round := range *roundsFlag {
			for _, d := range pauses {
				for from, who := range []string{"leader", "follower"} {
					x.suffer(t, round, fmt.Sprint(who, "-", d), func(t *testing.T) { x.pause(t, d, from) })
				}
			}
			x.suffer(t, round, "all", x.pauseAll)
		}
		x.end(t)
	})
}

// pause stops a minority of members, with the leader in it if from is 0.
func (x *trial) pause(t *testing.T, d time.Duration, from int) {
	t.Helper()
	members := inOrder(x.rng, len(x.Members), x.leader(t))
	some := minority(members, from)
	t.Logf("members, the leader first: %v; paused: %v", members, some)
	since := x.Now()
	x.stop(t, some)
	// The rest does not have to notice a short pause.
	if d > time.Second {
		x.serves(t, slices.DeleteFunc(slices.Clone(members), func(m int) bool { return slices.Contains(some, m) })...)
	}
	x.lasts(t, since+d)
	x.proceed(t, some)
	x.recovers(t)
}

// pauseAll stops everybody for longer than an election timeout, and wakes them one by one,
// the leader first.
func (x *trial) pauseAll(t *testing.T) {
	t.Helper()
	members := inOrder(x.rng, len(x.Members), x.leader(t))
	x.stop(t, members)
	x.lasts(t, x.Now()+*holdFlag)
	for _, m := range members {
		x.proceed(t, []int{m})
		x.lasts(t, x.Now()+time.Duration(x.rng.Int64N(int64(apartMost))))
	}
	x.recovers(t)
}

func (x *trial) stop(t *testing.T, members []int) {
	t.Helper()
	for _, m := range members {
		if err := x.Members[m].Pause(); err != nil {
			t.Fatal(err)
		}
	}
}

func (x *trial) proceed(t *testing.T, members []int) {
	t.Helper()
	for _, m := range members {
		if err := x.Members[m].Resume(); err != nil {
			t.Fatal(err)
		}
	}
}
