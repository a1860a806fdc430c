package differential

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// streamSlots is how many watch streams are open at a time.
const streamSlots = 3

// side is one of the two servers with everything connected to it.
type side struct {
	name   string
	server *harness.Server
	client *harness.Client
	// tokens holds the newest token of each user.
	tokens map[string]string

	ctx       context.Context
	cancel    context.CancelFunc
	keepAlive pb.Lease_LeaseKeepAliveClient
	// streams are the watch streams that steps work on, tap the one that sees
	// every event.
	streams [streamSlots]*watchStream
	tap     *watchStream
	// events is the history that the tap has seen.
	events *history
	// kinds counts the kinds of replies on ended watch streams.
	kinds map[string]int
}

// newSide connects to a server and starts its tap.
func newSide(ctx context.Context, name string, server *harness.Server) (*side, error) {
	s := &side{name: name, server: server, tokens: maps.Clone(strangers), events: newHistory(), kinds: map[string]int{}}
	return s, s.connect(ctx)
}

// connect opens everything that a side keeps open. The tap goes on after the last
// event seen.
func (s *side) connect(ctx context.Context) error {
	var err error
	if s.client, err = harness.Dial(s.server.Addr); err != nil {
		return err
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if s.keepAlive, err = s.client.Lease.LeaseKeepAlive(s.ctx); err != nil {
		return err
	}
	for i := range s.streams {
		if s.streams[i], err = s.openWatch(); err != nil {
			return err
		}
	}
	if s.tap, err = s.openWatch(); err != nil {
		return err
	}
	create := &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: s.events.last + 1}
	if _, err = s.tap.create(create); err != nil {
		return fmt.Errorf("%s: tap: %w", s.name, err)
	}
	return nil
}

// close ends all streams and the connection.
func (s *side) close() {
	for _, w := range append(s.streams[:], s.tap) {
		s.count(w)
	}
	s.cancel()
	_ = s.client.Close()
}

// count adds what a stream has seen, which is over.
func (s *side) count(w *watchStream) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for kind, n := range w.kinds {
		s.kinds[kind] += n
	}
	w.kinds = map[string]int{}
}

// restart ends the server, by a kill or gracefully, and starts it again on its
// directory.
func (s *side) restart(ctx context.Context, kill bool) error {
	s.close()
	if !kill {
		if err := s.server.Stop(); err != nil {
			return err
		}
	}
	again, err := s.server.Move(ctx)
	if err != nil {
		return fmt.Errorf("%s does not come back: %w", s.name, err)
	}
	s.server = again
	return s.connect(ctx)
}

// renew sends one keepalive and waits for its reply.
func (s *side) renew(ctx context.Context, id int64) (*pb.LeaseKeepAliveResponse, error) {
	if err := s.keepAlive.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
		return nil, err
	}
	type result struct {
		reply *pb.LeaseKeepAliveResponse
		err   error
	}
	got := make(chan result, 1)
	go func() {
		reply, err := s.keepAlive.Recv()
		got <- result{reply, err}
	}()
	select {
	case r := <-got:
		return r.reply, r.err
	case <-time.After(callLimit):
		return nil, errors.New("no keepalive reply")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// catchUp waits until the tap has seen every event up to the revision, and moves
// them into the history.
func (s *side) catchUp(revision int64) error {
	deadline := time.Now().Add(callLimit)
	for {
		signal := s.tap.signal()
		events, seen := s.tap.take(0)
		s.events.add(events)
		if seen >= revision || s.events.last >= revision {
			return nil
		}
		if err := s.tap.wait(signal, deadline); err != nil {
			return fmt.Errorf("%s: events up to revision %d were expected, the last one seen has %d: %w", s.name, revision, s.events.last, err)
		}
	}
}
