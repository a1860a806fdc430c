package differential

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// watchStream is one Watch call. A goroutine sorts what comes in: created and
// canceled replies go to control, events to the log of their watcher. It also
// checks, on each side alone, the rules that hold for any stream of replies.
type watchStream struct {
	stream pb.Watch_WatchClient
	cancel context.CancelFunc

	mu sync.Mutex
	// changed is closed and replaced whenever something arrives.
	changed chan struct{}
	control []*pb.WatchResponse
	logs    map[int64]*watcherLog
	// progress holds the header revisions of replies to progress requests.
	progress []int64
	// quiet is the number of progress replies beyond which no more may come; -1
	// when they may.
	quiet int
	// asked is true once progress was asked for and could be answered.
	asked bool
	// notify is progress_notify of the create request under way.
	notify bool
	// kinds counts the kinds of replies.
	kinds map[string]int
	// broken lists the rules that this side broke.
	broken []string
	end    error
}

// watcherLog is what one watcher received and was not yet taken out.
type watcherLog struct {
	events []*mvccpb.Event
	// last is the newest revision received; replies never go back to it.
	last int64
	// told is the revision of the last progress reply since the watcher began.
	told int64
	// notify is true when the watcher may be told how far it is.
	notify bool
	// parts is true inside a fragmented reply.
	parts bool
	// compacted is the revision in a cancel by compaction, or 0.
	compacted int64
}

// openWatch starts an empty stream on the side.
func (s *side) openWatch() (*watchStream, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	stream, err := s.client.Watch.Watch(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	w := &watchStream{stream: stream, cancel: cancel, changed: make(chan struct{}), logs: map[int64]*watcherLog{}, kinds: map[string]int{}, quiet: -1}
	go w.receive()
	return w, nil
}

func (w *watchStream) receive() {
	for {
		reply, err := w.stream.Recv()
		w.mu.Lock()
		if err != nil {
			w.end = err
		} else {
			w.sort(reply)
		}
		close(w.changed)
		w.changed = make(chan struct{})
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// sort files one reply. The lock is held.
func (w *watchStream) sort(r *pb.WatchResponse) {
	w.kinds[kindOfReply(r)]++
	switch {
	case r.Created:
		if !r.Canceled {
			w.logs[r.WatchId] = &watcherLog{notify: w.notify}
		}
		w.control = append(w.control, r)
	case r.Canceled && r.CompactRevision != 0:
		w.compactCancel(r)
	case r.Canceled:
		delete(w.logs, r.WatchId)
		w.control = append(w.control, r)
	case r.WatchId == -1:
		if len(r.Events) > 0 {
			w.breaks("events in a reply to a progress request")
		}
		w.progress = append(w.progress, r.Header.GetRevision())
		for _, log := range w.logs {
			log.told = r.Header.GetRevision()
		}
	default:
		w.eventReply(r)
	}
}

func kindOfReply(r *pb.WatchResponse) string {
	switch {
	case r.Created && r.Canceled:
		return "create refused"
	case r.Created:
		return "created"
	case r.Canceled && r.CompactRevision != 0:
		return "canceled by compaction"
	case r.Canceled:
		return "canceled"
	case r.WatchId == -1:
		return "progress on request"
	case len(r.Events) == 0:
		return "progress by itself"
	case r.Fragment:
		return "events, more to come"
	default:
		return "events"
	}
}

func (w *watchStream) compactCancel(r *pb.WatchResponse) {
	log := w.logs[r.WatchId]
	switch {
	case log == nil:
		w.breaks("compaction cancel for unknown watcher %d", r.WatchId)
	case log.compacted != 0:
		w.breaks("watcher %d canceled by compaction twice", r.WatchId)
	case r.Header.GetRevision() != 0 || r.CancelReason != "" || len(r.Events) > 0:
		w.breaks("compaction cancel with more than it should hold: %s", show(r))
	default:
		log.compacted = r.CompactRevision
	}
}

func (w *watchStream) eventReply(r *pb.WatchResponse) {
	log := w.logs[r.WatchId]
	switch {
	case log == nil:
		w.breaks("reply for watcher %d, which does not exist: %s", r.WatchId, show(r))
		return
	case log.compacted != 0:
		w.breaks("watcher %d got a reply after its cancel by compaction", r.WatchId)
		return
	}
	for i, e := range r.Events {
		rev := e.Kv.ModRevision
		if rev < log.last || (rev == log.last && i == 0 && !log.parts) {
			w.breaks("watcher %d got revision %d after %d", r.WatchId, rev, log.last)
		}
		if rev > r.Header.GetRevision() {
			w.breaks("watcher %d got revision %d under header revision %d", r.WatchId, rev, r.Header.GetRevision())
		}
		if rev <= log.told {
			w.breaks("watcher %d got revision %d after progress said %d", r.WatchId, rev, log.told)
		}
		log.last = rev
	}
	if len(r.Events) == 0 {
		if !log.notify || log.parts || r.Fragment {
			w.breaks("watcher %d got a reply without events: %s", r.WatchId, show(r))
		}
		// It promises that everything up to its revision was sent.
		log.told = max(log.told, r.Header.GetRevision())
	}
	log.parts = r.Fragment
	log.events = append(log.events, r.Events...)
}

func (w *watchStream) breaks(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// signal returns a channel that is closed when something arrives. It must be taken
// before looking at the state that one wants to see changed.
func (w *watchStream) signal() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// wait returns when the signal fires, or with an error at the deadline or at the
// end of the stream.
func (w *watchStream) wait(signal <-chan struct{}, deadline time.Time) error {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-signal:
		return nil
	case <-timer.C:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.end != nil {
		return fmt.Errorf("watch stream ended: %w", w.end)
	}
	return errors.New("nothing came in time")
}

// send passes a request to the server.
func (w *watchStream) send(r *pb.WatchRequest) error { return w.stream.Send(r) }

// create sends a create request and waits for its reply.
func (w *watchStream) create(r *pb.WatchCreateRequest) (*pb.WatchResponse, error) {
	w.mu.Lock()
	w.notify = r.ProgressNotify
	w.mu.Unlock()
	if err := w.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}); err != nil {
		return nil, err
	}
	return w.nextControl()
}

// nextControl waits for the next created or canceled reply.
func (w *watchStream) nextControl() (*pb.WatchResponse, error) {
	deadline := time.Now().Add(callLimit)
	for {
		signal := w.signal()
		w.mu.Lock()
		if len(w.control) > 0 {
			r := w.control[0]
			w.control = w.control[1:]
			w.mu.Unlock()
			return r, nil
		}
		w.mu.Unlock()
		if err := w.wait(signal, deadline); err != nil {
			return nil, err
		}
	}
}

// take moves out the events that a watcher got, and says up to which revision.
// Inside a fragmented reply it gives nothing.
func (w *watchStream) take(id int64) ([]*mvccpb.Event, int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.logs[id]
	if log == nil || log.parts {
		return nil, 0
	}
	events := log.events
	log.events = nil
	return events, log.last
}

// compactedAt returns the compaction revision that canceled a watcher, or 0.
func (w *watchStream) compactedAt(id int64) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if log := w.logs[id]; log != nil {
		return log.compacted
	}
	return 0
}

// progressCount is how many progress replies came, and the revision of the last.
func (w *watchStream) progressCount() (int, int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.progress) == 0 {
		return 0, 0
	}
	return len(w.progress), w.progress[len(w.progress)-1]
}

// allowProgress ends what forbidProgress began, for good: repeated requests may
// bring replies late.
func (w *watchStream) allowProgress() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quiet = -1
	w.asked = true
}

// forbidProgress makes progress replies a fault from now on.
func (w *watchStream) forbidProgress() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.asked {
		w.quiet = len(w.progress)
	}
}

// faults returns and forgets the rules broken so far, and control replies that
// nobody asked for.
func (w *watchStream) faults() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.broken
	w.broken = nil
	if w.quiet >= 0 && len(w.progress) > w.quiet {
		out = append(out, fmt.Sprintf("progress said %d while a watcher was not in step", w.progress[len(w.progress)-1]))
	}
	for _, r := range w.control {
		out = append(out, "unexpected reply "+show(r))
	}
	w.control = nil
	return out
}

// diffEvents compares received events with the expected ones.
func diffEvents(got, want []*mvccpb.Event) []string {
	for i := range min(len(got), len(want)) {
		if !proto.Equal(got[i], want[i]) {
			return append(diffMessages(fmt.Sprintf("event[%d] (expected against received)", i), want[i], got[i]),
				"expected "+show(want[i]), "received "+show(got[i]))
		}
	}
	if len(got) != len(want) {
		return []string{fmt.Sprintf("%d events expected, %d received", len(want), len(got))}
	}
	return nil
}
