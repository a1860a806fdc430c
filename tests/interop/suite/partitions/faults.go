package partitions

import (
	"math/rand/v2"
	"slices"
)

// cut is a way to take a cluster apart.
type cut struct {
	name string
	// make says what to do to a cluster of some size with a leader, whose members are given
	// in a random order that begins with the leader.
	make func(members []int) parts
}

// parts is what a cut does.
type parts struct {
	// dropped are the links that drop packets.
	dropped []link
	// silent are the members that must not answer, serving those of which one must.
	silent, serving []int
	// flaps says that the links drop packets and pass them in turn.
	flaps bool
}

// cuts are all of them.
var cuts = []cut{
	{"leader", func(members []int) parts { return apart(members, minority(members, 0)) }},
	{"follower", func(members []int) parts { return apart(members, minority(members, 1)) }},
	{"mute-leader", func(members []int) parts { return oneWay(members, members[0], true) }},
	{"deaf-leader", func(members []int) parts { return oneWay(members, members[0], false) }},
	{"mute-follower", func(members []int) parts { return oneWay(members, members[1], true) }},
	{"deaf-follower", func(members []int) parts { return oneWay(members, members[1], false) }},
	{"ring", ring},
	{"shattered", shattered},
	{"flapping", func(members []int) parts {
		p := apart(members, minority(members, 0))
		return parts{dropped: p.dropped, flaps: true}
	}},
}

// minority is as many members as a cluster can do without, from a position on.
func minority(members []int, from int) []int {
	return members[from : from+(len(members)-1)/2]
}

// apart cuts some members off from the others, both ways.
func apart(members, some []int) parts {
	p := parts{silent: some}
	for _, m := range members {
		if slices.Contains(some, m) {
			continue
		}
		p.serving = append(p.serving, m)
		for _, s := range some {
			p.dropped = append(p.dropped, link{m, s}, link{s, m})
		}
	}
	return p
}

// oneWay drops what one member sends, or what it is sent.
func oneWay(members []int, one int, sent bool) parts {
	p := parts{silent: []int{one}}
	for _, m := range members {
		switch {
		case m == one:
			continue
		case sent:
			p.dropped = append(p.dropped, link{one, m})
		default:
			p.dropped = append(p.dropped, link{m, one})
		}
		p.serving = append(p.serving, m)
	}
	return p
}

// ring leaves each member its neighbours. Three in a ring all reach each other, so there
// it is a line, with the leader at its end. All have a majority around them, or a
// neighbour that has; one of them must serve.
func ring(members []int) parts {
	p := parts{serving: members}
	size := len(members)
	for i, a := range members {
		for j, b := range members {
			far := (i-j+size)%size != 1 && (j-i+size)%size != 1
			ends := size == 3 && i+j == 2
			if i != j && (far || ends) {
				p.dropped = append(p.dropped, link{a, b})
			}
		}
	}
	return p
}

// shattered leaves every member alone.
func shattered(members []int) parts {
	p := parts{silent: members}
	for _, a := range members {
		for _, b := range members {
			if a != b {
				p.dropped = append(p.dropped, link{a, b})
			}
		}
	}
	return p
}

// inOrder lists the members of a cluster at random, the leader first.
func inOrder(rng *rand.Rand, size, leader int) []int {
	members := rng.Perm(size)
	at := slices.Index(members, leader)
	members[0], members[at] = members[at], members[0]
	return members
}
