package differential

import (
	"context"
	"slices"
)

// attemptsMax bounds the runs that a search for a shorter sequence may take; each
// starts two servers.
const attemptsMax = 80

// replayable keeps the steps that make sense in any company. Steps on standing
// watch streams depend on each other, so a difference in events is not minimised.
func replayable(steps []step) []step {
	return slices.DeleteFunc(slices.Clone(steps), func(s step) bool {
		switch s.(type) {
		case unary, rangeStream, keepAlive, sequence, firstWatchReply:
			return false
		}
		return true
	})
}

// differs replays steps on two fresh sides and says whether any outcome differs.
func differs(ctx context.Context, a, b *side, steps []step, allowed allowances) bool {
	for _, st := range steps {
		var x, y outcome
		both(func() { x = st.run(ctx, a) }, func() { y = st.run(ctx, b) })
		if len(compareOutcomes(st, x, y)) > 0 && allowed.rule(st, x, y) == "" {
			return true
		}
	}
	return false
}

// minimise removes ever smaller parts of a sequence as long as the rest still
// shows the fault. It gives up after attemptsMax tries and returns the shortest
// sequence found.
func minimise(steps []step, shows func([]step) bool) []step {
	attempts := 0
	try := func(s []step) bool {
		attempts++
		return attempts <= attemptsMax && shows(s)
	}
	if !try(steps) {
		return nil
	}
	for part := (len(steps) + 1) / 2; part > 0; part /= 2 {
		for at := 0; at < len(steps); {
			rest := slices.Concat(steps[:at], steps[min(at+part, len(steps)):])
			if len(rest) > 0 && try(rest) {
				steps = rest
			} else {
				at += part
			}
		}
	}
	return steps
}
