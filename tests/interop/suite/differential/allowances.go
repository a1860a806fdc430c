package differential

import (
	"bytes"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// allowance excuses one kind of difference. It counts only if deviations.tsv has
// a row with the same rule.
type allowance struct {
	rule    string
	matches func(st step, reference, target outcome) bool
}

// known lists the differences that the tests can tell apart. A row of
// deviations.tsv that shows in replies needs an entry here.
var known = []allowance{
	{rule: "2.13", matches: unorderedStream},
}

// unorderedStream is a RangeStream without order but with a sort target, which the
// target answers in key order.
func unorderedStream(st step, reference, target outcome) bool {
	stream, ok := st.(rangeStream)
	if !ok || !reference.ok() || !target.ok() || stream.req.SortOrder != pb.RangeRequest_NONE || stream.req.SortTarget == pb.RangeRequest_KEY {
		return false
	}
	reply, ok := target.replies[0].(*pb.RangeResponse)
	ascending := func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) }
	return ok && slices.IsSortedFunc(reply.Kvs, ascending) && (reply.More || int64(len(reply.Kvs)) == reply.Count)
}

// allowances are the known differences that the contract permits.
type allowances []allowance

// rule returns the rule that excuses a difference, or nothing.
func (a allowances) rule(st step, reference, target outcome) string {
	for _, one := range a {
		if one.matches(st, reference, target) {
			return one.rule
		}
	}
	return ""
}

// readAllowances returns the known differences that have a row in the contract.
func readAllowances() (allowances, error) {
	rules, err := harness.Deviations()
	var out allowances
	for _, k := range known {
		if rules[k.rule] {
			out = append(out, k)
		}
	}
	return out, err
}
