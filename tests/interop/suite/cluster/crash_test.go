package cluster

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
)

var killsFlag = flag.Int("kills", 5, "TestKillTheLeader: how often the leader is killed; from 50 on times are judged, with an election timeout of 1 s too")

// judged is the number of kills from which quantiles mean something.
const judged = 50

// TestKillTheLeader kills the leader under load again and again, and at last the
// whole cluster. Every acknowledged write must still be there. The time from a kill
// to the first acknowledged write stands beside that of etcd.
func TestKillTheLeader(t *testing.T) {
	timeouts := []time.Duration{300 * time.Millisecond}
	if *killsFlag >= judged {
		timeouts = append(timeouts, time.Second)
	}
	for _, timeout := range timeouts {
		harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
			times := killLeaders(t, bin, timeout, *killsFlag)
			p50, p95, most := quantile(times, 0.5), quantile(times, 0.95), quantile(times, 1)
			t.Logf("%s, election timeout %s, %d kills: first acknowledged write after p50 %s, p95 %s, max %s", bin.Label, timeout, len(times), p50, p95, most)
			if len(times) < judged || !bin.IsMainstay() {
				return
			}
			if p50 > timeout*17/10 || p95 > timeout*22/10 || most > timeout*5 {
				t.Errorf("more than 1.7, 2.2 and 5 election timeouts")
			}
		})
	}
}

func killLeaders(t *testing.T, bin harness.Binary, timeout time.Duration, kills int) []time.Duration {
	args := []string{fmt.Sprintf("--heartbeat-interval=%d", timeout.Milliseconds()/10), fmt.Sprintf("--election-timeout=%d", timeout.Milliseconds()), "--snapshot-count=2000"}
	g := startWithin(t, limit+time.Duration(kills)*10*time.Second, args, bin, bin, bin)
	l := g.load()
	var took []time.Duration
	for range kills {
		l.await(g, 100)
		leader, err := g.Leader(g.ctx)
		g.must(err)
		var others []*harness.Client
		for i, s := range g.Members {
			if i == leader {
				continue
			}
			c := s.Client(t)
			g.caughtUp(c)
			others = append(others, c)
		}
		since := time.Now()
		g.Members[leader].Kill()
		first, err := firstAck(g.ctx, since, others)
		g.must(err)
		took = append(took, first)
		g.Revive(leader, bin)
		g.caughtUp(g.Members[leader].Client(t))
	}
	for range 2 {
		l.await(g, 100)
		for _, s := range g.Members {
			s.Kill()
		}
		g.ReviveAll(bin, bin, bin)
	}
	l.await(g, 100)
	l.check(g)
	g.agree()
	return took
}
