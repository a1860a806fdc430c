package differential

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// callLimit bounds one request; far above what a healthy server needs.
const callLimit = 15 * time.Second

// step is one thing done to both sides.
type step interface {
	// run does it on one side.
	run(ctx context.Context, s *side) outcome
	// String shows the request in a report.
	String() string
}

// unary is a call with one reply.
type unary struct {
	method method
	req    proto.Message
	// as is the user whose token goes along; empty for none.
	as string
	// hasLeader sends the metadata that asks for a leader.
	hasLeader bool
	// scrub removes from the reply what each side chooses freely.
	scrub func(proto.Message)
}

func (u unary) run(ctx context.Context, s *side) outcome {
	ctx, cancel := context.WithTimeout(u.attach(ctx, s), callLimit)
	defer cancel()
	reply := u.method.newReply()
	o := outcomeOf(reply, s.client.Conn.Invoke(ctx, string(u.method), u.req, reply))
	if u.method == "/etcdserverpb.Auth/Authenticate" && o.ok() {
		s.tokens[u.req.(*pb.AuthenticateRequest).Name] = reply.(*pb.AuthenticateResponse).Token
	}
	if u.scrub != nil && o.ok() {
		u.scrub(reply)
	}
	return o
}

// attach adds the metadata of the call.
func (u unary) attach(ctx context.Context, s *side) context.Context {
	if u.as != "" {
		ctx = withToken(ctx, u.as, s.tokens[u.as])
	}
	if u.hasLeader {
		ctx = metadata.AppendToOutgoingContext(ctx, "hasleader", "true")
	}
	return ctx
}

func (u unary) String() string {
	text := fmt.Sprintf("%s %s", u.method, show(u.req))
	if u.as != "" {
		text += " as " + u.as
	}
	return text
}

// rangeStream reads a streamed range to its end and joins the chunks.
type rangeStream struct {
	req *pb.RangeRequest
	as  string
}

func (r rangeStream) run(ctx context.Context, s *side) outcome {
	ctx, cancel := context.WithTimeout(unary{as: r.as}.attach(ctx, s), callLimit)
	defer cancel()
	stream, err := s.client.KV.RangeStream(ctx, r.req)
	if err != nil {
		return failed(err)
	}
	joined := &pb.RangeResponse{}
	var note string
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return outcome{replies: []proto.Message{joined}, note: note}
		}
		if err != nil {
			return failed(err)
		}
		part := chunk.GetRangeResponse()
		if joined.Header != nil {
			note = "a chunk followed the one with the header"
		}
		if part.GetHeader() == nil && (part.GetCount() != 0 || part.GetMore()) {
			note = "count or more before the last chunk"
		}
		joined.Kvs = append(joined.Kvs, part.GetKvs()...)
		joined.Header, joined.More, joined.Count = part.GetHeader(), part.GetMore(), part.GetCount()
	}
}

func (r rangeStream) String() string {
	return string(mRangeStream) + " " + show(r.req) + " as " + r.as
}

// keepAlive renews one lease over the side's standing stream.
type keepAlive struct{ id int64 }

func (k keepAlive) run(ctx context.Context, s *side) outcome {
	reply, err := s.renew(ctx, k.id)
	if err != nil {
		return failed(err)
	}
	return outcome{replies: []proto.Message{reply}}
}

func (k keepAlive) String() string { return fmt.Sprintf("LeaseKeepAlive{ID:%d}", k.id) }

// sequence runs several calls and compares all their replies. A link fills a
// request from the replies before it, for ids that each side chooses freely.
type sequence struct {
	title string
	calls []link
}

// link is one call of a sequence.
type link struct {
	unary
	// fill adapts a clone of the request to what this side replied so far.
	fill func(req proto.Message, before []proto.Message)
}

func (q sequence) run(ctx context.Context, s *side) outcome {
	var all outcome
	var raw []proto.Message
	for _, l := range q.calls {
		u := l.unary
		scrub := u.scrub
		u.scrub = nil
		if l.fill != nil {
			u.req = proto.Clone(u.req)
			l.fill(u.req, raw)
		}
		o := u.run(ctx, s)
		if !o.ok() {
			all.code, all.text = o.code, fmt.Sprintf("%s: %s", u.method, o.text)
			return all
		}
		raw = append(raw, o.replies[0])
		seen := proto.Clone(o.replies[0])
		if scrub != nil {
			scrub(seen)
		}
		all.replies = append(all.replies, seen)
	}
	return all
}

func (q sequence) String() string {
	parts := []string{q.title}
	for _, l := range q.calls {
		parts = append(parts, l.unary.String())
	}
	return strings.Join(parts, "; ")
}

// firstWatchReply opens a stream, creates one watcher, and compares the first
// reply only. It is for permissions, which are checked at creation.
type firstWatchReply struct {
	req *pb.WatchCreateRequest
	as  string
}

func (f firstWatchReply) run(ctx context.Context, s *side) outcome {
	ctx, cancel := context.WithTimeout(unary{as: f.as}.attach(ctx, s), callLimit)
	defer cancel()
	stream, err := s.client.Watch.Watch(ctx)
	if err != nil {
		return failed(err)
	}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: f.req}}); err != nil {
		return failed(err)
	}
	reply, err := stream.Recv()
	return outcomeOf(reply, err)
}

func (f firstWatchReply) String() string { return "first reply to " + show(f.req) + " as " + f.as }

// restart ends both servers and starts them again on their directories.
type restart struct {
	// kill is true for SIGKILL, false for a graceful stop.
	kill bool
	// lifetime outlives the step: streams opened now belong to it.
	lifetime context.Context
}

func (r restart) run(_ context.Context, s *side) outcome {
	if err := s.restart(r.lifetime, r.kill); err != nil {
		return outcome{note: err.Error()}
	}
	return outcome{}
}

func (r restart) String() string { return fmt.Sprintf("restart (kill: %t)", r.kill) }

// compareOutcomes lists what differs between the two sides of a step.
func compareOutcomes(st step, a, b outcome) []string {
	var out []string
	if a.note != "" {
		out = append(out, "reference: "+a.note)
	}
	if b.note != "" {
		out = append(out, "target: "+b.note)
	}
	if a.code != b.code || a.text != b.text {
		return append(out, fmt.Sprintf("status: %s %q against %s %q", a.code, a.text, b.code, b.text))
	}
	if a.code != codes.OK && len(a.replies) == 0 {
		return out
	}
	if len(a.replies) != len(b.replies) {
		return append(out, fmt.Sprintf("%d replies against %d", len(a.replies), len(b.replies)))
	}
	for i := range a.replies {
		x, y := proto.Clone(a.replies[i]), proto.Clone(b.replies[i])
		if req := requestOf(st, i); req != nil {
			untie(req, x)
			untie(req, y)
		}
		out = append(out, diffMessages("reply", x, y)...)
	}
	return out
}

// requestOf returns the request that reply i belongs to, where that matters.
func requestOf(st step, i int) proto.Message {
	switch st := st.(type) {
	case unary:
		return st.req
	case sequence:
		return st.calls[i].req
	}
	return nil
}
