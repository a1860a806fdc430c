package history

import (
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
)

// state is one key.
type state struct {
	// value is empty if there is no key.
	value string
	// revision is that of the key's last change; only a lower bound of it unless exact.
	// Whether an unknown write took place is told by later calls, and so is its revision.
	revision int64
	exact    bool
}

// model explains the calls on one key.
func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, input, _ any) (bool, any) {
			return step(s.(state), input.(Op))
		},
		DescribeOperation: func(input, _ any) string { return input.(Op).String() },
		DescribeState:     func(s any) string { return fmt.Sprintf("%+v", s) },
	}
}

// step tells whether a call can happen in a state, and the state after it.
func step(s state, op Op) (bool, state) {
	if !op.Known {
		return true, stepUnknown(s, op)
	}
	if !s.shows(op.Before) {
		return false, s
	}
	if op.Before.Mod != 0 {
		s.revision, s.exact = op.Before.Mod, true
	}
	if op.Kind == Swap && op.Swapped != (op.Before.Value == op.Expect) {
		return false, s
	}
	if !op.Wrote() {
		return op.Revision >= s.revision, s
	}
	if op.Revision <= s.revision {
		return false, s
	}
	s.revision, s.exact = op.Revision, true
	switch op.Kind {
	case Put, Swap:
		s.value = op.Value
	case Delete:
		s.value = ""
	}
	return true, s
}

// stepUnknown is the state after a write of unknown outcome that took place. That it did
// not is the case in which it comes after everything else.
func stepUnknown(s state, op Op) state {
	switch {
	case op.Kind == Delete && s.value == "", op.Kind == Swap && s.value != op.Expect:
		return s
	case op.Kind == Delete:
		return state{revision: s.revision + 1}
	}
	return state{value: op.Value, revision: s.revision + 1}
}

// shows reports whether a call in this state finds that.
func (s state) shows(seen Seen) bool {
	if (seen.Mod == 0) != (s.value == "") || seen.Value != s.value {
		return false
	}
	if seen.Mod == 0 {
		return true
	}
	return seen.Mod == s.revision || !s.exact && seen.Mod >= s.revision
}

// byKey sorts the calls that say something by key.
//
// Reads without a reply say nothing. A put or swap without one can be left out if nobody
// ever found its value: every known call tells what it found, so the write can only have
// come right before another unknown one, and the history has the same explanations
// without it. That matters, as each unknown call doubles what the checker may try.
func byKey(ops []Op) map[string][]Op {
	found := map[string]bool{}
	for _, op := range ops {
		if op.Known {
			found[op.Before.Value] = true
		}
	}
	keys := map[string][]Op{}
	for _, op := range ops {
		if op.Known || op.Kind == Delete || op.Kind != Get && found[op.Value] {
			keys[op.Key] = append(keys[op.Key], op)
		}
	}
	return keys
}

// operations translates for porcupine. Calls without a reply never end.
func operations(ops []Op) []porcupine.Operation {
	var end int64
	for _, op := range ops {
		end = max(end, int64(op.Return)+1)
	}
	var all []porcupine.Operation
	for _, op := range ops {
		back := int64(op.Return)
		if !op.Known {
			back = end
		}
		all = append(all, porcupine.Operation{ClientId: op.Client, Input: op, Call: int64(op.Call), Return: back})
	}
	return all
}

// sortedKeys lists a map's keys in order.
func sortedKeys(keys map[string][]Op) []string {
	var names []string
	for key := range keys {
		names = append(names, key)
	}
	slices.Sort(names)
	return names
}
