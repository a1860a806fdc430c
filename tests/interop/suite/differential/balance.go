package differential

import (
	"cmp"
	"maps"
	"slices"
)

// catchUp is the percentage of steps that go after the rarest feature.
const catchUp = 50

// balance knows which alternatives of the menu bring which features, from what they
// brought so far.
type balance struct {
	// least is how often each feature is wanted.
	least int
	// drawn says how often each alternative was drawn, brought with what.
	drawn   []int
	brought []map[string]int
}

// drawBalanced makes a step of one alternative of the menu.
func (g *generator) drawBalanced(menu []choice) planned {
	b := g.balance
	if b == nil {
		return menu[g.draw(menu)].make()
	}
	for len(b.drawn) < len(menu) {
		b.drawn, b.brought = append(b.drawn, 0), append(b.brought, map[string]int{})
	}
	i := -1
	if g.percent(catchUp) {
		i = b.towardsRarest(g.counts)
	}
	if i < 0 {
		i = g.draw(menu)
	}
	before := maps.Clone(g.counts)
	p := menu[i].make()
	b.drawn[i]++
	b.brought[i][p.feature]++
	for feature, n := range g.counts {
		b.brought[i][feature] += n - before[feature]
	}
	return p
}

// towardsRarest is the alternative that brings the rarest feature most often, -1 when
// every feature came often enough or only in other ways.
func (b *balance) towardsRarest(counts map[string]int) int {
	rare := slices.DeleteFunc(slices.Sorted(maps.Keys(counts)), func(f string) bool { return counts[f] >= b.least })
	slices.SortStableFunc(rare, func(x, y string) int { return cmp.Compare(counts[x], counts[y]) })
	for _, feature := range rare {
		best, most := -1, 0.0
		for i, brought := range b.brought {
			if share := float64(brought[feature]) / float64(max(1, b.drawn[i])); share > most {
				best, most = i, share
			}
		}
		if best >= 0 {
			return best
		}
	}
	return -1
}
