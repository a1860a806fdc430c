package differential

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// progressPause lies between two requests for progress; a watcher that is still
// catching up makes the server drop a request, by its rules.
const progressPause = 60 * time.Millisecond

// watchCreate creates a watcher and waits for the created reply.
type watchCreate struct {
	slot int
	req  *pb.WatchCreateRequest
}

func (w watchCreate) run(_ context.Context, s *side) outcome {
	reply, err := s.streams[w.slot].create(proto.CloneOf(w.req))
	return outcomeOf(reply, err)
}

func (w watchCreate) String() string { return fmt.Sprintf("stream %d: %s", w.slot, show(w.req)) }

// watchCancel cancels a watcher. Unknown ids get no reply.
type watchCancel struct {
	slot     int
	id       int64
	answered bool
}

func (w watchCancel) run(_ context.Context, s *side) outcome {
	stream := s.streams[w.slot]
	req := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: w.id}}}
	if err := stream.send(req); err != nil {
		return failed(err)
	}
	if !w.answered {
		return outcome{}
	}
	reply, err := stream.nextControl()
	return outcomeOf(reply, err)
}

func (w watchCancel) String() string { return fmt.Sprintf("stream %d: cancel %d", w.slot, w.id) }

// watchProgress asks for progress, again and again until there is a reply, or
// once when none may come.
type watchProgress struct {
	slot     int
	answered bool
	// revision is what the reply must carry.
	revision int64
}

func (w watchProgress) run(_ context.Context, s *side) outcome {
	stream := s.streams[w.slot]
	req := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
	if !w.answered {
		stream.forbidProgress()
		if err := stream.send(req); err != nil {
			return failed(err)
		}
		return outcome{}
	}
	stream.allowProgress()
	before, _ := stream.progressCount()
	deadline := time.Now().Add(callLimit)
	for time.Now().Before(deadline) {
		if err := stream.send(req); err != nil {
			return failed(err)
		}
		pause := time.Now().Add(progressPause)
		for time.Now().Before(pause) {
			signal := stream.signal()
			if n, rev := stream.progressCount(); n > before {
				return w.judge(rev)
			}
			_ = stream.wait(signal, pause)
		}
	}
	return outcome{note: "no reply to requests for progress"}
}

func (w watchProgress) judge(rev int64) outcome {
	if rev != w.revision {
		return outcome{note: fmt.Sprintf("progress at revision %d, the store is at %d", rev, w.revision)}
	}
	return outcome{}
}

func (w watchProgress) String() string {
	return fmt.Sprintf("stream %d: progress request (answered: %t)", w.slot, w.answered)
}

// watchSilent sends a request that gets no reply.
type watchSilent struct {
	slot int
	req  *pb.WatchRequest
}

func (w watchSilent) run(_ context.Context, s *side) outcome {
	if err := s.streams[w.slot].send(w.req); err != nil {
		return failed(err)
	}
	return outcome{}
}

func (w watchSilent) String() string { return fmt.Sprintf("stream %d: %s", w.slot, show(w.req)) }

// watchReset replaces a stream by a new one.
type watchReset struct{ slot int }

func (w watchReset) run(_ context.Context, s *side) outcome {
	s.streams[w.slot].cancel()
	s.count(s.streams[w.slot])
	stream, err := s.openWatch()
	if err != nil {
		return failed(err)
	}
	s.streams[w.slot] = stream
	return outcome{}
}

func (w watchReset) String() string { return fmt.Sprintf("stream %d: end it, open another", w.slot) }

// watchHalfClose ends the sending side of a stream; events must go on.
type watchHalfClose struct{ slot int }

func (w watchHalfClose) run(_ context.Context, s *side) outcome {
	if err := s.streams[w.slot].stream.CloseSend(); err != nil {
		return failed(err)
	}
	return outcome{}
}

func (w watchHalfClose) String() string { return fmt.Sprintf("stream %d: half-close", w.slot) }
