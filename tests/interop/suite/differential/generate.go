package differential

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// planned is a step with what the driver must do around it.
type planned struct {
	step step
	// feature names the kind of step in the table of counts.
	feature string
	// settle asks for all watch events before the step, so that its outcome does
	// not depend on how far delivery got.
	settle bool
	// observe learns from the reference's outcome.
	observe func(outcome)
}

// generator draws steps. Everything random comes from rng, everything else from
// the reference's replies, so the seed names the sequence.
type generator struct {
	rng *rand.Rand
	// counts says how often each feature was drawn, outcomes what the replies were.
	counts, outcomes map[string]int
	// rev and compacted mirror the store of the reference.
	rev, compacted int64
	// limit is --max-request-bytes of both servers.
	limit int
	// leases are granted ids with TTLs so long that none expires in a run.
	leases []int64
	// hashUnstable are compaction revisions whose stored hash may not be there
	// yet, because the compaction ran in the background.
	hashUnstable map[int64]bool
	// alarmed are the raised alarms, alarmAge the steps since the first.
	alarmed  []*pb.AlarmRequest
	alarmAge int
	// slots mirror the watch streams.
	slots [streamSlots]*slot
	// past is the history of the reference.
	past *history
	// users are logged in; empty while authentication is off.
	users []string
	// usersOnly is true for a run about users.
	usersOnly bool
	// authLeft is the number of steps until authentication goes off.
	authLeft int
	// leftOut are the kinds of steps that are never drawn.
	leftOut []string
	// lifetime is that of the whole run.
	lifetime context.Context
	// queue holds steps that must come next.
	queue []planned
	// balance draws more often what is rare; nil draws by weight alone.
	balance *balance
}

func newGenerator(seed uint64, past *history, limit int) *generator {
	g := &generator{
		rng: rand.New(rand.NewPCG(seed, 0x6d61696e73746179)), counts: map[string]int{}, outcomes: map[string]int{},
		rev: 1, compacted: -1, limit: limit, hashUnstable: map[int64]bool{}, past: past,
	}
	for i := range g.slots {
		g.slots[i] = newSlot()
	}
	return g
}

// choice is one alternative with its weight. The kind is what [generator.without]
// leaves out.
type choice struct {
	kind   string
	weight int
	make   func() planned
}

// next draws a step.
func (g *generator) next() planned {
	var p planned
	g.countDown()
	if len(g.queue) > 0 {
		p, g.queue = g.queue[0], g.queue[1:]
	} else {
		p = g.drawNext()
	}
	g.mark(p.feature)
	inner := p.observe
	p.observe = func(o outcome) {
		g.learn(o)
		g.outcomes[p.feature+": "+o.code.String()]++
		if inner != nil {
			inner(o)
		}
	}
	return p
}

func (g *generator) drawNext() planned {
	if !g.usersOnly {
		return g.drawBalanced(g.without(g.menu()))
	}
	if len(g.users) == 0 && len(g.alarmed) == 0 && g.percent(30) {
		g.planAuthPhase()
		first := g.queue[0]
		g.queue = g.queue[1:]
		return first
	}
	return g.drawBalanced(g.without(g.usersMenu()))
}

// countDown ends phases that last a number of steps.
func (g *generator) countDown() {
	if len(g.queue) > 0 {
		return
	}
	if len(g.alarmed) > 0 {
		if g.alarmAge++; g.alarmAge > alarmSteps {
			g.alarmAge = 0
			g.lower()
		}
	}
	if g.authLeft > 0 {
		if g.authLeft--; g.authLeft == 0 {
			g.logOut()
		}
	}
}

// menu weighs the kinds of steps.
func (g *generator) menu() []choice {
	return []choice{
		{"put", 220, g.put}, {"delete", 80, g.delete}, {"range", 200, g.rangeStep}, {"stream", 60, g.rangeStreamStep}, {"txn", 220, g.txn},
		{"compact", 58, g.compact}, {"hash", 85, g.hashKV},
		{"lease", 50, g.grant}, {"lease", 24, g.revoke}, {"lease", 26, g.timeToLive}, {"lease", 14, g.listLeases}, {"lease", 18, g.renew}, {"lease", 16, g.shortLease},
		{"watch", 105, g.watchCreate}, {"watch", 30, g.watchCancel}, {"watch", 18, g.watchProgress}, {"watch", 20, g.watchOdd},
		{"watch", 13, g.watchReset}, {"watch", 14, g.watchHalfClose}, {"watch", 12, g.watchInParts},
		{"status", 14, g.statusStep}, {"alarm", 58, g.alarm}, {"downgrade", 30, g.downgrade}, {"unknown", 9, g.unknownMethod}, {"cluster", 13, g.memberList}, {"members", 66, g.memberStep},
		{"users", 215, g.usersStep}, {"auth", 24, g.authStep}, {"lock", 17, g.lockStep}, {"election", 30, g.electionStep}, {"maintenance", 26, g.maintenanceStep},
		{"health", 13, g.healthStep}, {"restart", 20, g.restart},
	}
}

// without leaves out kinds of steps, for a server that is not complete yet.
func (g *generator) without(menu []choice) []choice {
	return slices.DeleteFunc(menu, func(c choice) bool { return slices.Contains(g.leftOut, c.kind) })
}

// draw picks an alternative by weight.
func (g *generator) draw(menu []choice) int {
	total := 0
	for _, c := range menu {
		total += c.weight
	}
	n := g.rng.IntN(total)
	for i, c := range menu {
		if n -= c.weight; n < 0 {
			return i
		}
	}
	panic("weights do not add up")
}

// learn takes the store's revision from a reply of the reference.
func (g *generator) learn(o outcome) {
	for _, m := range o.replies {
		if h, ok := m.(interface{ GetHeader() *pb.ResponseHeader }); ok {
			g.rev = max(g.rev, h.GetHeader().GetRevision())
		}
	}
}

// mark counts a feature.
func (g *generator) mark(feature string) { g.counts[feature]++ }

// table renders counts.
func table(counts map[string]int) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%8d  %s\n", counts[name], name)
	}
	return b.String()
}

// seldom lists the features that were drawn less often than the given number.
func (g *generator) seldom(least int) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(g.counts)) {
		if g.counts[name] < least {
			out = append(out, fmt.Sprintf("%s (%d)", name, g.counts[name]))
		}
	}
	return out
}

// percent is true n times in a hundred.
func (g *generator) percent(n int) bool { return g.rng.IntN(100) < n }

// oneOf picks an element.
func oneOf[T any](g *generator, list ...T) T { return list[g.rng.IntN(len(list))] }

// marked is percent with a count.
func (g *generator) marked(n int, feature string) bool {
	if !g.percent(n) {
		return false
	}
	g.mark(feature)
	return true
}

// call plans a unary step, sometimes with metadata, as a user if there are any.
func (g *generator) call(m method, req proto.Message, feature string) planned {
	return planned{step: unary{method: m, req: req, as: g.user(), hasLeader: g.percent(5)}, feature: feature}
}

// user picks who sends a request: nobody while authentication is off.
func (g *generator) user() string {
	if len(g.users) == 0 {
		return ""
	}
	return oneOf(g, g.users...)
}

// specialKeys sit at the edges of the byte order.
var specialKeys = []string{
	"\x00", "\x00\x00", "a", "aa", "ab", "a\x00", "a\xff", "b", "k", "k/", "k0", "z", "zz",
	"\xfe\xff", "\xff", "\xff\x00", "\xff\xff", "\xff\xff\xff", "\u00e9", strings.Repeat("long", 300),
}

// manyKeys is the number of ordinary keys.
const manyKeys = 60

// key picks from a small set, so that requests meet. It is empty now and then.
func (g *generator) key() []byte {
	switch n := g.rng.IntN(200); {
	case n == 0:
		g.mark("key/empty")
		return nil
	case n < 30:
		g.mark("key/special")
		return []byte(oneOf(g, specialKeys...))
	default:
		return fmt.Appendf(nil, "k/%02d", g.rng.IntN(manyKeys))
	}
}

// rangeEnd picks an end for a key. With authentication on some key lies below it:
// whether upstream denies other ranges depends on the shape of a tree.
func (g *generator) rangeEnd(key []byte) []byte {
	end := g.anyRangeEnd(key)
	if len(g.users) > 0 && !bytes.Equal(end, []byte{0}) && bytes.Compare(end, key) <= 0 {
		return nil
	}
	return end
}

// anyRangeEnd picks an end of every kind there is.
func (g *generator) anyRangeEnd(key []byte) []byte {
	switch n := g.rng.IntN(100); {
	case n < 40:
		g.mark("range_end/none")
		return nil
	case n < 55:
		g.mark("range_end/prefix")
		return prefixEnd(key)
	case n < 63:
		g.mark("range_end/from-key")
		return []byte{0}
	case n < 67:
		g.mark("range_end/equal-to-key")
		return slices.Clone(key)
	case n < 70:
		g.mark("range_end/odd")
		return []byte(oneOf(g, "\x00\x00", "\xff", "\xff\xff", "\x00\x01"))
	case n < 80:
		g.mark("range_end/prefix-of-all")
		return []byte("k0")
	default:
		g.mark("range_end/other-key")
		return g.key()
	}
}

// prefixEnd is the end of the range of keys that begin with the given one, by the
// convention of the clients.
func prefixEnd(key []byte) []byte {
	for i := len(key) - 1; i >= 0; i-- {
		if key[i] < 0xff {
			end := slices.Clone(key[:i+1])
			end[i]++
			return end
		}
	}
	return []byte{0}
}

// value is mostly short, sometimes empty, rarely near or above the limits.
func (g *generator) value() []byte {
	switch n := g.rng.IntN(1000); {
	case n < 60:
		g.mark("value/empty")
		return nil
	case n < 966:
		return g.bytes(1 + g.rng.IntN(60))
	case n < 977:
		g.mark("value/large")
		return g.bytes(g.limit / 2)
	case n < 985:
		g.mark("value/just-below-request-limit")
		return g.bytes(g.limit - 1500 - g.rng.IntN(500))
	case n < 993:
		g.mark("value/above-request-limit")
		return g.bytes(g.limit + 1 + g.rng.IntN(1000))
	default:
		g.mark("value/above-message-limit")
		return g.bytes(g.limit + 512<<10 + g.rng.IntN(1000))
	}
}

func (g *generator) bytes(n int) []byte {
	b := make([]byte, n)
	var bits uint64
	for i := range b {
		// Two bits for each letter.
		if i%32 == 0 {
			bits = g.rng.Uint64()
		}
		b[i], bits = byte('a'+bits&3), bits>>2
	}
	return b
}

// revision picks a revision for a read: mostly zero, else old, odd or future.
func (g *generator) revision(feature string) int64 {
	switch n := g.rng.IntN(100); {
	case n < 45:
		return 0
	case n < 70:
		g.mark(feature + "/past")
		return g.rev - g.rng.Int64N(max(g.rev-g.compacted, 1))
	case n < 78:
		g.mark(feature + "/compacted-edge")
		return g.compacted + g.rng.Int64N(3) - 1
	case n < 84:
		g.mark(feature + "/future")
		return oneOf(g, g.rev+1, g.rev+2, g.rev+1000, math.MaxInt64)
	case n < 90:
		g.mark(feature + "/negative")
		return oneOf(g, int64(-1), -2, math.MinInt64)
	default:
		g.mark(feature + "/current")
		return g.rev
	}
}

// lease picks a lease for a put: mostly none, else a granted or an unknown one.
func (g *generator) lease() int64 {
	switch n := g.rng.IntN(100); {
	case n < 75 || len(g.leases) == 0:
		return 0
	case n < 97:
		g.mark("put/lease")
		return oneOf(g, g.leases...)
	default:
		g.mark("put/unknown-lease")
		return oneOf(g, int64(424242), -424242)
	}
}
