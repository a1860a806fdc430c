package history

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	// checkWait bounds the search for an order of the calls on one key.
	checkWait = time.Minute
	// shownOps bounds how many calls are printed of a faulty key.
	shownOps = 60
)

// Judge returns what is wrong with a history, nil if it has an explanation.
func Judge(ops []Op) error {
	err := checkRevisions(ops)
	for _, f := range checkKeys(ops) {
		err = errors.Join(err, f.err)
	}
	return err
}

// check fails the test if the history has no explanation. Drawings of faulty keys go to
// the test's artifacts (go test -artifacts).
func check(t testing.TB, ops []Op) {
	t.Helper()
	if err := checkRevisions(ops); err != nil {
		t.Error(err)
	}
	for i, f := range checkKeys(ops) {
		path := filepath.Join(t.ArtifactDir(), fmt.Sprintf("history-%d.html", i))
		if err := porcupine.VisualizePath(model(), f.info, path); err != nil {
			t.Error(err)
		}
		t.Errorf("%v; drawn in %s", f.err, path)
	}
}

// faulty is a key without an explanation.
type faulty struct {
	err  error
	info porcupine.LinearizationInfo
}

// checkKeys judges each key by itself.
func checkKeys(ops []Op) []faulty {
	var all []faulty
	keys := byKey(ops)
	for _, key := range sortedKeys(keys) {
		calls := keys[key]
		result, info := porcupine.CheckOperationsVerbose(model(), operations(calls), checkWait)
		if result == porcupine.Ok {
			continue
		}
		what := "the history of a key is not linearizable"
		if result == porcupine.Unknown {
			what = fmt.Sprintf("no order was found within %s for the history of a key", checkWait)
		}
		explained := longest(info)
		slices.SortFunc(calls, func(a, b Op) int { return int(a.Call - b.Call) })
		var lines []string
		for _, op := range calls {
			// What was explained and ended before the first call that was not is of no
			// interest.
			if op.Return >= explained-time.Second {
				lines = append(lines, op.String())
			}
		}
		if len(lines) > shownOps {
			lines = append(lines[:shownOps], "...")
		}
		all = append(all, faulty{fmt.Errorf("%s, %s (%d calls)\n%s", what, key, len(calls), strings.Join(lines, "\n")), info})
	}
	return all
}

// longest is how far the longest partial order gets: the reply of its last call.
func longest(info porcupine.LinearizationInfo) time.Duration {
	var most []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, order := range partition {
			if len(order) > len(most) {
				most = order
			}
		}
	}
	var last time.Duration
	for _, op := range most {
		if op := op.Input.(Op); op.Known {
			last = max(last, op.Call)
		}
	}
	return last
}

// checkRevisions judges all keys together: the revision of a reply is not below that of
// any reply that came before the call began, a write's is above it, and no two writes
// have the same.
func checkRevisions(ops []Op) error {
	var calls []Op
	for _, op := range ops {
		if op.Known {
			calls = append(calls, op)
		}
	}
	replies := slices.Clone(calls)
	slices.SortFunc(calls, func(a, b Op) int { return int(a.Call - b.Call) })
	slices.SortFunc(replies, func(a, b Op) int { return int(a.Return - b.Return) })
	var faults []error
	var newest Op
	writes := map[int64]Op{}
	for _, op := range calls {
		for len(replies) > 0 && replies[0].Return < op.Call {
			if replies[0].Revision > newest.Revision {
				newest = replies[0]
			}
			replies = replies[1:]
		}
		if op.Revision < newest.Revision || op.Wrote() && op.Revision == newest.Revision {
			faults = append(faults, fmt.Errorf("revisions step back:\n%s\n%s", newest, op))
		}
		if !op.Wrote() {
			continue
		}
		if other, twice := writes[op.Revision]; twice {
			faults = append(faults, fmt.Errorf("two writes have one revision:\n%s\n%s", other, op))
		}
		writes[op.Revision] = op
	}
	if len(faults) > 10 {
		faults = append(faults[:10], fmt.Errorf("and %d more", len(faults)-10))
	}
	return errors.Join(faults...)
}
