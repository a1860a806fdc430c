package differential

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// depthMax is how deep generated txns nest.
const depthMax = 3

// opsOverLimit is one more operation than --max-txn-ops allows.
const opsOverLimit = 129

func (g *generator) txn() planned {
	r := g.txnRequest(1)
	if deletesFromKey(r) {
		// Upstream panics when such a delete removes the key of a put that
		// wants to keep the value or the lease.
		dropIgnores(r)
		g.mark("txn/from-key-delete")
	}
	return g.call(mTxn, r, "Txn")
}

func (g *generator) txnRequest(depth int) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	for range g.few(4) {
		r.Compare = append(r.Compare, g.compare())
	}
	if len(r.Compare) == 0 {
		g.mark("txn/no-compare")
	}
	r.Success = g.ops(depth)
	r.Failure = g.ops(depth)
	if g.marked(2, "txn/too-many-ops") {
		for len(r.Success) < opsOverLimit {
			r.Success = append(r.Success, g.rangeOp())
		}
	}
	if depth == 1 && g.marked(2, "txn/exactly-the-ops-limit") {
		for len(r.Success) < opsOverLimit-1 {
			r.Success = append(r.Success, g.rangeOp())
		}
	}
	g.mark([]string{"", "txn/depth-1", "txn/depth-2", "txn/depth-3"}[depth])
	return r
}

// few is a small number, zero often.
func (g *generator) few(n int) int { return g.rng.IntN(g.rng.IntN(n+1) + 1) }

func (g *generator) ops(depth int) []*pb.RequestOp {
	var ops []*pb.RequestOp
	readOnly := g.marked(15, "txn/read-only-branch")
	for range g.few(6) {
		ops = append(ops, g.op(depth, readOnly))
	}
	return ops
}

func (g *generator) op(depth int, readOnly bool) *pb.RequestOp {
	n := g.rng.IntN(100)
	switch {
	case readOnly || n < 25:
		g.mark("txn/op/range")
		return g.rangeOp()
	case n < 65:
		g.mark("txn/op/put")
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: g.putRequest()}}
	case n < 84:
		g.mark("txn/op/delete")
		del := g.deleteRequest(12)
		if g.percent(4) {
			del.RangeEnd = []byte{0}
		}
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: del}}
	case n < 98 && depth < depthMax:
		g.mark("txn/op/txn")
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: g.txnRequest(depth + 1)}}
	case n >= 98:
		g.mark("txn/op/empty-union")
		return &pb.RequestOp{}
	default:
		g.mark("txn/op/put")
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: g.putRequest()}}
	}
}

// rangeOp is mostly at a revision that exists: any other fails the whole txn.
func (g *generator) rangeOp() *pb.RequestOp {
	r := g.rangeRequest()
	if (r.Revision > g.rev || r.Revision < g.compacted) && g.percent(70) {
		r.Revision = 0
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

func (g *generator) compare() *pb.Compare {
	c := &pb.Compare{Key: g.key(), Result: pb.Compare_CompareResult(g.rng.IntN(4)), Target: pb.Compare_CompareTarget(g.rng.IntN(5))}
	if g.marked(25, "compare/range") {
		c.RangeEnd = g.rangeEnd(c.Key)
	}
	if g.marked(4, "compare/undefined-result") {
		c.Result = pb.Compare_CompareResult(oneOf(g, 4, 17, -1))
	}
	if g.marked(4, "compare/undefined-target") {
		c.Target = pb.Compare_CompareTarget(oneOf(g, 5, 17, -1))
	}
	union := c.Target
	if g.marked(4, "compare/operand-of-another-target") {
		union = pb.Compare_CompareTarget(g.rng.IntN(5))
	}
	if !g.marked(4, "compare/no-operand") {
		g.operand(c, union)
	}
	if defined(c.Target) && defined(c.Result) {
		g.mark("compare/" + c.Target.String() + "/" + c.Result.String())
	}
	return c
}

// operand fills in what the stored attribute is compared with, near to what is
// stored so that both outcomes are common.
func (g *generator) operand(c *pb.Compare, union pb.Compare_CompareTarget) {
	stored := g.past.live[string(c.Key)]
	near := func(v int64) int64 {
		if g.percent(50) {
			return v
		}
		return oneOf(g, v-1, v+1, 0, -1, g.rev)
	}
	switch union {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: near(stored.GetVersion())}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: near(stored.GetCreateRevision())}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: near(stored.GetModRevision())}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: near(stored.GetLease())}
	default:
		value := stored.GetValue()
		if g.percent(50) {
			value = g.bytes(g.rng.IntN(4))
		}
		c.TargetUnion = &pb.Compare_Value{Value: value}
	}
}

// eachOp visits every operation of a txn at every depth.
func eachOp(r *pb.TxnRequest, visit func(*pb.RequestOp)) {
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range ops {
			visit(op)
			if t := op.GetRequestTxn(); t != nil {
				eachOp(t, visit)
			}
		}
	}
}

func deletesFromKey(r *pb.TxnRequest) bool {
	found := false
	eachOp(r, func(op *pb.RequestOp) {
		end := op.GetRequestDeleteRange().GetRangeEnd()
		found = found || (len(end) == 1 && end[0] == 0)
	})
	return found
}

func dropIgnores(r *pb.TxnRequest) {
	eachOp(r, func(op *pb.RequestOp) {
		if p := op.GetRequestPut(); p != nil {
			p.IgnoreValue, p.IgnoreLease = false, false
		}
	})
}
