package history

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
)

var (
	killsFlag    = flag.Int("kills", 6, "TestKills: how often a minority is killed at least")
	durationFlag = flag.Duration("duration", 0, "TestKills: how long it goes on at least")
	seedFlag     = flag.Uint64("seed", 1, "seed of what is asked and who is killed")
)

const (
	// progressWait bounds the time until a majority answers again.
	progressWait = 30 * time.Second
	// answersBetween is how many calls are answered between two kills.
	answersBetween = 150
	// allEvery is after how many kills of a minority all members are killed.
	allEvery = 4
)

// TestKills kills minorities with SIGKILL under load, and now and then all members. What
// clients see must be linearizable, with etcd as well.
func TestKills(t *testing.T) {
	for _, size := range []int{3, 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
				t.Parallel()
				kills(t, slices.Repeat([]harness.Binary{bin}, size))
			})
		})
	}
}

func kills(t *testing.T, bins []harness.Binary) {
	c := harness.StartCluster(t, []string{"--snapshot-count=500", "--snapshot-catchup-entries=100"}, bins...)
	r := Record(t, c, Load{Clients: 2, Pause: 10 * time.Millisecond, Seed: *seedFlag})
	rng := rand.New(rand.NewPCG(*seedFlag, uint64(len(bins))))
	began := time.Now()
	round := 0
	for ; round < *killsFlag || time.Since(began) < *durationFlag; round++ {
		r.Turn()
		answered(t, r, answersBetween)
		killMinority(t, c, r, rng, bins)
		if (round+1)%allEvery == 0 {
			answered(t, r, answersBetween)
			for _, s := range c.Members {
				s.Kill()
			}
			c.ReviveAll(bins...)
		}
	}
	answered(t, r, answersBetween)
	ctx := harness.Context(t, progressWait)
	r.Check(ctx, t)
	Agree(ctx, t, c)
	t.Logf("%d minorities killed within %s", round, time.Since(began).Round(time.Second))
}

// killMinority kills a random minority, half the time with the leader in it, and starts it
// again after the others went on.
func killMinority(t *testing.T, c *harness.Cluster, r *Recorder, rng *rand.Rand, bins []harness.Binary) {
	t.Helper()
	members := rng.Perm(len(bins))
	if rng.IntN(2) == 0 {
		leader, err := c.Leader(harness.Context(t, progressWait))
		if err != nil {
			t.Fatal(err)
		}
		at := slices.Index(members, leader)
		members[0], members[at] = members[at], members[0]
	}
	some := 1 + rng.IntN((len(bins)-1)/2)
	for _, i := range members[:some] {
		c.Members[i].Kill()
	}
	ctx, cancel := context.WithTimeout(t.Context(), progressWait)
	defer cancel()
	if _, err := r.Write(ctx, members[some:]...); err != nil {
		t.Fatal(err)
	}
	answered(t, r, answersBetween)
	for _, i := range members[:some] {
		c.Revive(i, bins[i])
	}
}

func answered(t *testing.T, r *Recorder, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), progressWait)
	defer cancel()
	if err := r.Await(ctx, n); err != nil {
		t.Fatal(err)
	}
}
