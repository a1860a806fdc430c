package kubernetes

import (
	"context"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	k8s "go.etcd.io/etcd/client/v3/kubernetes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// exchange is one call of upstream's client, as it went over the wire.
type exchange struct {
	method string
	sent   []proto.Message
	got    []proto.Message
	// leader is true when the call asked for a leader by its metadata.
	leader bool
}

// recorder is upstream's client for Kubernetes, which the apiserver uses from 1.32
// on. It keeps what it sends and gets.
type recorder struct {
	*k8s.Client

	mu    sync.Mutex
	calls []*exchange
}

// newRecorder connects to HOST:PORT.
func newRecorder(addr string) (*recorder, error) {
	r := &recorder{}
	var err error
	r.Client, err = k8s.New(clientv3.Config{
		Endpoints:   []string{addr},
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(r.unary), grpc.WithChainStreamInterceptor(r.stream)},
	})
	return r, err
}

// take returns the calls since the last time.
func (r *recorder) take() []*exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// begin notes a call.
func (r *recorder) begin(ctx context.Context, method string) *exchange {
	md, _ := metadata.FromOutgoingContext(ctx)
	e := &exchange{method: method, leader: len(md.Get("hasleader")) > 0}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, e)
	return e
}

// note adds a message to one of the two lists of a call.
func (r *recorder) note(list *[]proto.Message, m any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, proto.Clone(m.(proto.Message)))
}

func (r *recorder) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	e := r.begin(ctx, method)
	r.note(&e.sent, req)
	err := invoke(ctx, method, req, reply, cc, opts...)
	if err == nil {
		r.note(&e.got, reply)
	}
	return err
}

func (r *recorder) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	e := r.begin(ctx, method)
	s, err := open(ctx, desc, cc, method, opts...)
	return &recordedStream{s, r, e}, err
}

// recordedStream notes the messages of a stream.
type recordedStream struct {
	grpc.ClientStream
	r *recorder
	e *exchange
}

func (s *recordedStream) SendMsg(m any) error {
	s.r.note(&s.e.sent, m)
	return s.ClientStream.SendMsg(m)
}

func (s *recordedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil {
		s.r.note(&s.e.got, m)
	}
	return err
}
