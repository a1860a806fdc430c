package history

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// at makes the times of a call, in seconds.
func at(op Op, from, to float64) Op {
	op.Call, op.Return = time.Duration(from*float64(time.Second)), time.Duration(to*float64(time.Second))
	op.Key, op.Known = "k", op.Err == nil
	return op
}

var errNoReply = errors.New("no reply")

func get(before Seen, revision int64) Op {
	return Op{Kind: Get, Before: before, Revision: revision}
}

func put(value string, before Seen, revision int64) Op {
	return Op{Kind: Put, Value: value, Before: before, Revision: revision}
}

func del(before Seen, revision int64) Op {
	return Op{Kind: Delete, Before: before, Revision: revision}
}

func swap(expect, value string, swapped bool, before Seen, revision int64) Op {
	return Op{Kind: Swap, Expect: expect, Value: value, Swapped: swapped, Before: before, Revision: revision}
}

func lost(op Op) Op {
	op.Err = errNoReply
	return op
}

// TestSelfJudgement shows that the checker accepts what can happen and finds what cannot.
func TestSelfJudgement(t *testing.T) {
	none := Seen{}
	for _, c := range []struct {
		name string
		ops  []Op
		// fault is part of the verdict, empty if all is well.
		fault string
	}{
		{"one after the other", []Op{
			at(get(none, 1), 0, 1), at(put("a", none, 2), 2, 3), at(get(Seen{"a", 2}, 2), 4, 5), at(del(Seen{"a", 2}, 3), 6, 7),
			at(del(none, 3), 8, 9), at(swap("", "b", true, none, 4), 10, 11), at(swap("a", "c", false, Seen{"b", 4}, 4), 12, 13),
			at(swap("b", "d", true, Seen{"b", 4}, 5), 14, 15), at(get(Seen{"d", 5}, 9), 16, 17),
		}, ""},
		{"reads beside a write see it or not", []Op{
			at(put("a", none, 2), 0, 9), at(get(none, 1), 1, 2), at(get(Seen{"a", 2}, 2), 3, 4),
		}, ""},
		{"a stale read", []Op{
			at(put("a", none, 2), 0, 1), at(put("b", Seen{"a", 2}, 3), 2, 3), at(get(Seen{"a", 2}, 3), 4, 5),
		}, "not linearizable"},
		{"a read goes back behind another", []Op{
			at(put("a", none, 2), 0, 9), at(get(Seen{"a", 2}, 2), 1, 2), at(get(none, 2), 3, 4),
		}, "not linearizable"},
		{"an acknowledged write is lost", []Op{
			at(put("a", none, 2), 0, 1), at(get(none, 2), 2, 3),
		}, "not linearizable"},
		{"a deleted key comes back", []Op{
			at(put("a", none, 2), 0, 1), at(del(Seen{"a", 2}, 3), 2, 3), at(get(Seen{"a", 2}, 3), 4, 5),
		}, "not linearizable"},
		{"two swaps win", []Op{
			at(put("a", none, 2), 0, 1), at(swap("a", "b", true, Seen{"a", 2}, 3), 2, 5), at(swap("a", "c", true, Seen{"a", 2}, 4), 2, 5),
		}, "not linearizable"},
		{"a swap loses against what it wanted", []Op{
			at(put("a", none, 2), 0, 1), at(swap("a", "b", false, Seen{"a", 2}, 2), 2, 3),
		}, "not linearizable"},
		{"a write is applied again", []Op{
			at(put("a", none, 2), 0, 1), at(get(Seen{"a", 3}, 3), 2, 3),
		}, "not linearizable"},
		{"a value from nowhere", []Op{
			at(put("a", none, 2), 0, 1), at(get(Seen{"b", 3}, 3), 2, 3),
		}, "not linearizable"},
		{"an unknown write took place late", []Op{
			at(lost(put("a", none, 0)), 0, 1), at(get(none, 1), 2, 3), at(put("b", none, 2), 4, 5), at(get(Seen{"a", 3}, 3), 6, 7),
		}, ""},
		{"an unknown write did not take place", []Op{
			at(lost(put("a", none, 0)), 0, 1), at(lost(del(none, 0)), 0, 1), at(put("b", none, 2), 2, 3), at(get(Seen{"b", 2}, 2), 4, 5),
		}, ""},
		{"an unknown delete took place", []Op{
			at(put("a", none, 2), 0, 1), at(lost(del(none, 0)), 2, 3), at(get(none, 3), 4, 5), at(put("b", none, 4), 6, 7),
		}, ""},
		{"an unknown write before its time", []Op{
			at(put("b", none, 2), 0, 1), at(get(Seen{"a", 3}, 3), 2, 3), at(lost(put("a", none, 0)), 4, 5),
		}, "not linearizable"},
		{"an unknown write took place twice", []Op{
			at(lost(put("a", none, 0)), 0, 1), at(get(Seen{"a", 2}, 2), 2, 3), at(put("b", Seen{"a", 2}, 3), 4, 5), at(get(Seen{"a", 4}, 4), 6, 7),
		}, "not linearizable"},
		{"an unknown swap without what it wanted", []Op{
			at(put("a", none, 2), 0, 1), at(lost(swap("z", "b", false, none, 0)), 2, 3), at(get(Seen{"b", 3}, 3), 4, 5),
		}, "not linearizable"},
		{"a read with an old header", []Op{
			at(put("a", none, 5), 0, 1), at(get(Seen{"a", 5}, 4), 2, 3),
		}, "revisions step back"},
		{"a write with the revision of another", []Op{
			at(put("a", none, 5), 0, 9), at(del(Seen{"a", 5}, 5), 1, 8),
		}, "two writes have one revision"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Judge(c.ops)
			if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
				t.Errorf("want %q, got %v", c.fault, err)
			}
		})
	}
}

// TestSelfKeysTogether shows that revisions are compared between keys.
func TestSelfKeysTogether(t *testing.T) {
	one, other := at(put("a", Seen{}, 9), 0, 1), at(get(Seen{}, 8), 2, 3)
	other.Key = "other"
	if err := checkRevisions([]Op{other, one}); err == nil {
		t.Error("a read below the revision of an acknowledged write passes")
	}
	if faults := checkKeys([]Op{one, other}); len(faults) > 0 {
		t.Error(faults[0].err)
	}
}
