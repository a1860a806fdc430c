package differential

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// rule says how one field is compared when equality would ask too much.
type rule int

const (
	// sameSign fields must be both zero (or empty), or both not.
	sameSign rule = iota + 1
	// withinOne is for seconds that may tick between the two calls.
	withinOne
	// anyOrder is for lists whose order is not promised.
	anyOrder
	// textForm is protobuf text, whose spacing differs from build to build.
	textForm
)

// normalisation is the one table of fields that are not compared for equality.
// Cluster and member id are not in it: both sides announce the same URLs and
// token, so the ids must agree. Of upstream itself two runs differ in the order of
// alarms, which it keeps in a hash map, in the spacing of the texts in errors,
// which Go's protobuf changes from build to build, and in tokens, which are drawn.
var normalisation = map[protoreflect.FullName]rule{
	"etcdserverpb.ResponseHeader.raft_term":        sameSign,
	"etcdserverpb.StatusResponse.raftTerm":         sameSign,
	"etcdserverpb.StatusResponse.raftIndex":        sameSign,
	"etcdserverpb.StatusResponse.raftAppliedIndex": sameSign,
	"etcdserverpb.StatusResponse.dbSize":           sameSign,
	"etcdserverpb.StatusResponse.dbSizeInUse":      sameSign,
	"etcdserverpb.StatusResponse.errors":           textForm,
	"etcdserverpb.LeaseTimeToLiveResponse.TTL":     withinOne,
	"etcdserverpb.LeaseTimeToLiveResponse.keys":    anyOrder,
	"etcdserverpb.AlarmResponse.alarms":            anyOrder,
	"etcdserverpb.AuthenticateResponse.token":      sameSign,
}

// diffMessages lists the fields in which two messages differ.
func diffMessages(path string, a, b proto.Message) []string {
	return diffReflect(path, a.ProtoReflect(), b.ProtoReflect())
}

func diffReflect(path string, a, b protoreflect.Message) []string {
	if a.Descriptor() != b.Descriptor() {
		return []string{fmt.Sprintf("%s: %s against %s", path, a.Descriptor().Name(), b.Descriptor().Name())}
	}
	var out []string
	if !bytes.Equal(a.GetUnknown(), b.GetUnknown()) {
		out = append(out, fmt.Sprintf("%s: unknown fields %x against %x", path, a.GetUnknown(), b.GetUnknown()))
	}
	fields := a.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		out = append(out, diffField(path+"."+string(f.Name()), f, a, b)...)
	}
	return out
}

func diffField(path string, f protoreflect.FieldDescriptor, a, b protoreflect.Message) []string {
	va, vb := a.Get(f), b.Get(f)
	switch r := normalisation[f.FullName()]; {
	case f.IsList():
		return diffList(path, f, r, va.List(), vb.List())
	case f.Kind() == protoreflect.MessageKind:
		if a.Has(f) != b.Has(f) {
			return []string{fmt.Sprintf("%s: present %t against %t", path, a.Has(f), b.Has(f))}
		}
		if !a.Has(f) {
			return nil
		}
		return diffReflect(path, va.Message(), vb.Message())
	case r == sameSign:
		if a.Has(f) != b.Has(f) {
			return []string{fmt.Sprintf("%s: %v against %v", path, va, vb)}
		}
		return nil
	case r == withinOne:
		if d := va.Int() - vb.Int(); d > 1 || d < -1 {
			return []string{fmt.Sprintf("%s: %d against %d, more than one apart", path, va.Int(), vb.Int())}
		}
		return nil
	case a.Has(f) != b.Has(f) || !va.Equal(vb):
		return []string{fmt.Sprintf("%s: %s against %s", path, short(va), short(vb))}
	}
	return nil
}

func diffList(path string, f protoreflect.FieldDescriptor, r rule, a, b protoreflect.List) []string {
	if a.Len() != b.Len() {
		return []string{fmt.Sprintf("%s: %d elements against %d", path, a.Len(), b.Len())}
	}
	if r == anyOrder || r == textForm {
		return diffSets(path, elements(f, r, a), elements(f, r, b))
	}
	for i := range a.Len() {
		at := fmt.Sprintf("%s[%d]", path, i)
		if f.Kind() == protoreflect.MessageKind {
			if d := diffReflect(at, a.Get(i).Message(), b.Get(i).Message()); len(d) > 0 {
				return d
			}
		} else if !a.Get(i).Equal(b.Get(i)) {
			return []string{fmt.Sprintf("%s: %s against %s", at, short(a.Get(i)), short(b.Get(i)))}
		}
	}
	return nil
}

func diffSets(path string, a, b []string) []string {
	for i := range a {
		if a[i] != b[i] {
			return []string{fmt.Sprintf("%s: as a set, %q against %q", path, a[i], b[i])}
		}
	}
	return nil
}

// elements renders the members of a list in a canonical order.
func elements(f protoreflect.FieldDescriptor, r rule, list protoreflect.List) []string {
	var out []string
	for i := range list.Len() {
		v := list.Get(i)
		switch {
		case f.Kind() == protoreflect.MessageKind:
			data, err := proto.MarshalOptions{Deterministic: true}.Marshal(v.Message().Interface())
			out = append(out, fmt.Sprintf("%x %v", data, err))
		case r == textForm:
			out = append(out, strings.Join(strings.Fields(v.String()), " "))
		case f.Kind() == protoreflect.BytesKind:
			out = append(out, string(v.Bytes()))
		default:
			out = append(out, v.String())
		}
	}
	slices.Sort(out)
	return out
}

// shortMax bounds one value in a report.
const shortMax = 120

func short(v protoreflect.Value) string {
	var text string
	if data, ok := v.Interface().([]byte); ok {
		text = fmt.Sprintf("%q (%d bytes)", data[:min(len(data), shortMax)], len(data))
	} else {
		text = fmt.Sprintf("%q", v.String())
	}
	return text[:min(len(text), 4*shortMax)]
}

// untie removes from a reply what a sort with equal sort values leaves open: the
// order among equals, and which of them a limit cut off.
func untie(req, reply proto.Message) {
	switch reply := reply.(type) {
	case *pb.RangeResponse:
		if r, ok := req.(*pb.RangeRequest); ok {
			untieRange(r, reply)
		}
	case *pb.TxnResponse:
		if r, ok := req.(*pb.TxnRequest); ok {
			untieTxn(r, reply)
		}
	}
}

func untieTxn(req *pb.TxnRequest, reply *pb.TxnResponse) {
	ops := req.Success
	if !reply.Succeeded {
		ops = req.Failure
	}
	for i, op := range ops {
		if i >= len(reply.Responses) {
			return
		}
		if r := op.GetRequestRange(); r != nil {
			if got := reply.Responses[i].GetResponseRange(); got != nil {
				untieRange(r, got)
			}
		}
		if t := op.GetRequestTxn(); t != nil {
			if got := reply.Responses[i].GetResponseTxn(); got != nil {
				untieTxn(t, got)
			}
		}
	}
}

func untieRange(req *pb.RangeRequest, reply *pb.RangeResponse) {
	if req.SortTarget == pb.RangeRequest_KEY || len(reply.Kvs) == 0 {
		return
	}
	last := reply.Kvs[len(reply.Kvs)-1]
	for start := 0; start < len(reply.Kvs); {
		end := start
		for end < len(reply.Kvs) && compareBy(req.SortTarget, reply.Kvs[start], reply.Kvs[end]) == 0 {
			end++
		}
		group := reply.Kvs[start:end]
		slices.SortFunc(group, func(x, y *mvccpb.KeyValue) int { return bytes.Compare(x.Key, y.Key) })
		if reply.More && compareBy(req.SortTarget, group[0], last) == 0 {
			for i := range group {
				group[i] = onlySortValue(req.SortTarget, group[i])
			}
			return
		}
		start = end
	}
}

func compareBy(target pb.RangeRequest_SortTarget, x, y *mvccpb.KeyValue) int {
	switch target {
	case pb.RangeRequest_VERSION:
		return cmp.Compare(x.Version, y.Version)
	case pb.RangeRequest_CREATE:
		return cmp.Compare(x.CreateRevision, y.CreateRevision)
	case pb.RangeRequest_MOD:
		return cmp.Compare(x.ModRevision, y.ModRevision)
	default:
		return bytes.Compare(x.Value, y.Value)
	}
}

func onlySortValue(target pb.RangeRequest_SortTarget, kv *mvccpb.KeyValue) *mvccpb.KeyValue {
	switch target {
	case pb.RangeRequest_VERSION:
		return &mvccpb.KeyValue{Version: kv.Version}
	case pb.RangeRequest_CREATE:
		return &mvccpb.KeyValue{CreateRevision: kv.CreateRevision}
	case pb.RangeRequest_MOD:
		return &mvccpb.KeyValue{ModRevision: kv.ModRevision}
	default:
		return &mvccpb.KeyValue{Value: kv.Value}
	}
}
