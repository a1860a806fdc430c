package partitions

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
	"mainstay.dev/tests/interop/suite/history"
)

var (
	seedFlag   = flag.Uint64("seed", 1, "seed of what is asked, who is hit, and when")
	holdFlag   = flag.Duration("hold", 1500*time.Millisecond, "how long each fault lasts at least")
	roundsFlag = flag.Int("rounds", 1, "how often the list of faults is gone through")
	fullFlag   = flag.Bool("full", false, "all combinations of binaries and sizes, with all faults")
)

const (
	// serveWait bounds the time from a fault to the first write that a majority
	// acknowledges, in which a leader may have to be elected.
	serveWait = 10 * time.Second
	// healWait bounds the time from the end of a fault until every member acknowledges a
	// write.
	healWait = 15 * time.Second
	// endWait bounds the last reads and the comparison of all members.
	endWait = 30 * time.Second
)

// trial is a cluster that suffers, with clients that record.
type trial struct {
	*harness.Cluster
	*history.Recorder
	rng *rand.Rand
}

// combinations are the binaries of clusters, e for etcd 3.7 and t for the target. Those of
// etcd alone show that the tests ask for what etcd does.
func combinations() []string {
	if *fullFlag {
		return []string{"eee", "eeeee", "ett", "eet", "eettt", "ttt", "ttttt"}
	}
	return []string{"eee", "ett", "ttt", "ttttt"}
}

// eachCombination runs a test for every combination, several at a time.
func eachCombination(t *testing.T, test func(t *testing.T, bins []harness.Binary)) {
	for _, mix := range combinations() {
		t.Run(mix, func(t *testing.T) {
			t.Parallel()
			var bins []harness.Binary
			for _, kind := range mix {
				if kind == 't' {
					bins = append(bins, harness.MustTarget(t))
				} else {
					bins = append(bins, harness.MustEtcd(t, "3.7"))
				}
			}
			test(t, bins)
		})
	}
}

// begin starts a cluster and its clients. When the test ends well, the history is judged
// and the members are compared.
func begin(t *testing.T, places []harness.Place, bins []harness.Binary) *trial {
	t.Helper()
	c := harness.StartPlacedCluster(t, []string{"--snapshot-count=500", "--snapshot-catchup-entries=100"}, places, bins...)
	return newTrial(c, history.Record(t, c, history.Load{Clients: 2, Pause: 40 * time.Millisecond, Seed: *seedFlag}))
}

func newTrial(c *harness.Cluster, r *history.Recorder) *trial {
	return &trial{Cluster: c, Recorder: r, rng: rand.New(rand.NewPCG(*seedFlag, uint64(len(c.Members))))}
}

// end judges.
func (x *trial) end(t *testing.T) {
	t.Helper()
	ctx := harness.Context(t, endWait)
	x.Check(ctx, t)
	history.Agree(ctx, t, x.Cluster)
}

// leader is that of a cluster at peace.
func (x *trial) leader(t *testing.T) int {
	t.Helper()
	leader, err := x.Leader(harness.Context(t, serveWait))
	if err != nil {
		t.Fatal(err)
	}
	return leader
}

// serves waits until one of these members acknowledges a write.
func (x *trial) serves(t *testing.T, members ...int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), serveWait)
	defer cancel()
	took, err := x.Write(ctx, members...)
	if err != nil {
		t.Error(err)
		return
	}
	t.Logf("first acknowledged write after %s", took.Round(time.Millisecond))
}

// refuses asks members that must not answer, and looks at what the clients got from them
// since then.
func (x *trial) refuses(t *testing.T, since time.Duration, members ...int) {
	t.Helper()
	if _, err := x.Try(t.Context(), members...); err != nil {
		t.Fatal(err)
	}
	for _, op := range x.Answered(since, x.Now(), members...) {
		t.Errorf("a member without a quorum answers: %s", op)
	}
}

// lasts waits until a time by the recorder's clock: that of the end of a fault.
func (x *trial) lasts(t *testing.T, end time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	case <-time.After(end - x.Now()):
	}
}

// recovers waits until every member acknowledges a write.
func (x *trial) recovers(t *testing.T) {
	t.Helper()
	since := x.Now()
	ctx, cancel := context.WithTimeout(t.Context(), healWait)
	defer cancel()
	for i, s := range x.Members {
		if _, err := x.Write(ctx, i); err != nil {
			t.Fatalf("%s, %s after the fault: %v\n%s", s.Bin.Label, x.Now()-since, err, s.LogTail(20))
		}
	}
	t.Logf("all members acknowledge writes after %s", (x.Now() - since).Round(time.Millisecond))
}

// suffer runs a fault as a test of its own.
func (x *trial) suffer(t *testing.T, round int, name string, fault func(t *testing.T)) {
	if round > 0 {
		name = fmt.Sprintf("%s-%d", name, round)
	}
	t.Run(name, func(t *testing.T) {
		x.Turn()
		t.Logf("from %.3f", x.Now().Seconds())
		fault(t)
		t.Logf("to %.3f", x.Now().Seconds())
	})
}
