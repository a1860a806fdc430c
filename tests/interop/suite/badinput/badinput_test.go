package badinput

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"mainstay.dev/tests/interop/suite/harness"
)

// aspect says how much of an answer is compared.
type aspect int

const (
	// exact compares status and text.
	exact aspect = iota
	// statusOnly leaves out the text, where it comes from upstream's libraries.
	statusOnly
	// staysWell compares nothing: the server must only serve the next request.
	staysWell
)

type badCall struct {
	name    string
	call    call
	compare aspect
}

// get is a proper request for one key.
var get = encode(&pb.RangeRequest{Key: []byte("k")})

func encode(m proto.Message) []byte {
	data, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return data
}

func path(p string) map[string]string { return map[string]string{":path": p} }

// nested is a txn with so many levels.
func nested(levels int) []byte {
	t := &pb.TxnRequest{}
	for range levels {
		t = &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: t}}}}
	}
	return encode(t)
}

// nestedDeeper is built by hand, because the encoder refuses such depth.
func nestedDeeper(levels int) []byte {
	var inner []byte
	for range levels {
		op := protowire.AppendBytes(protowire.AppendTag(nil, 4, protowire.BytesType), inner)
		inner = protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), op)
		if len(inner) > 1<<20 {
			break
		}
	}
	return inner
}

// groups is an unknown group with groups in it.
func groups(depth int) []byte {
	return append(bytes.Repeat([]byte{0x7b}, depth), bytes.Repeat([]byte{0x7c}, depth)...)
}

func badCalls() []badCall {
	unknownField := protowire.AppendVarint(protowire.AppendTag(bytes.Clone(get), 500, protowire.VarintType), 7)
	badUTF8 := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "\xff\xfe")
	return []badCall{
		{"proper request", call{body: message(get)}, exact},
		{"unknown field", call{body: message(unknownField)}, exact},
		{"empty message", call{body: message(nil)}, exact},
		{"wire type 7", call{body: message([]byte{0x0f, 0x01})}, statusOnly},
		{"field number 0", call{body: message([]byte{0x00, 0x01})}, statusOnly},
		{"endless varint", call{body: message(bytes.Repeat([]byte{0xff}, 20))}, statusOnly},
		{"length beyond the end", call{body: message([]byte{0x0a, 0x7f, 'k'})}, statusOnly},
		{"wrong wire type for a known field", call{body: message([]byte{0x08, 0x01})}, statusOnly},
		{"group", call{body: message([]byte{0xa3, 0x1f, 0xa4, 0x1f})}, statusOnly},
		{"unmatched end of group", call{body: message([]byte{0xa4, 0x1f})}, statusOnly},
		{"string that is not UTF-8", call{headers: path("/etcdserverpb.Auth/UserAdd"), body: message(badUTF8)}, statusOnly},
		{"txn of 100 levels", call{headers: path("/etcdserverpb.KV/Txn"), body: message(nested(100))}, exact},
		{"txn of 120 levels", call{headers: path("/etcdserverpb.KV/Txn"), body: message(nested(120))}, exact},
		// As many as a txn may have operations.
		{"txn of 128 levels", call{headers: path("/etcdserverpb.KV/Txn"), body: message(nested(128))}, exact},
		{"txn of 129 levels", call{headers: path("/etcdserverpb.KV/Txn"), body: message(nested(129))}, exact},
		{"txn of 200 levels", call{headers: path("/etcdserverpb.KV/Txn"), body: message(nested(200))}, exact},
		// As many as the decoder takes, and one more.
		{"txn of 4999 levels", call{headers: path("/etcdserverpb.KV/Txn"), body: message(nestedDeeper(4999))}, exact},
		{"txn of 5000 levels", call{headers: path("/etcdserverpb.KV/Txn"), body: message(nestedDeeper(5000))}, statusOnly},
		{"100 groups", call{body: message(groups(100))}, exact},
		{"10001 groups", call{body: message(groups(10001))}, exact},
		{"20000 groups", call{body: message(groups(20000))}, statusOnly},
		{"txn of 20000 levels", call{headers: path("/etcdserverpb.KV/Txn"), body: message(nestedDeeper(20000))}, staysWell},
		// Upstream never answers a call without a message.
		{"no message", call{patience: time.Second}, staysWell},
		{"half a message", call{body: message(get)[:4]}, statusOnly},
		{"message cut short", call{body: message(get)[:6]}, statusOnly},
		{"two messages in a unary call", call{body: append(message(get), message(get)...)}, statusOnly},
		{"compressed flag without encoding", call{body: flagged(1, get)}, statusOnly},
		{"undefined flag", call{body: flagged(9, get)}, statusOnly},
		{"unknown encoding", call{headers: map[string]string{"grpc-encoding": "nope"}, body: flagged(1, get)}, statusOnly},
		{"declared 4 GiB", call{body: []byte{0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3}}, statusOnly},
		{"more data than the window allows", call{headers: path("/etcdserverpb.KV/Put"), body: message(encode(&pb.PutRequest{Key: []byte("k"), Value: make([]byte, 3<<20)}))}, staysWell},
		{"unknown service", call{headers: path("/etcdserverpb.Nope/Range"), body: message(get)}, exact},
		{"unknown method", call{headers: path("/etcdserverpb.KV/Nope"), body: message(get)}, exact},
		{"path without method", call{headers: path("/etcdserverpb.KV"), body: message(get)}, exact},
		{"path with more parts", call{headers: path("/a/etcdserverpb.KV/Range"), body: message(get)}, exact},
		{"empty path", call{headers: path("/"), body: message(get)}, exact},
		{"GET", call{headers: map[string]string{":method": "GET"}, body: message(get)}, statusOnly},
		{"other content type", call{headers: map[string]string{"content-type": "text/plain"}, body: message(get)}, statusOnly},
		{"grpc+proto", call{headers: map[string]string{"content-type": "application/grpc+proto"}, body: message(get)}, exact},
		{"grpc+json", call{headers: map[string]string{"content-type": "application/grpc+json"}, body: message(get)}, staysWell},
		{"malformed timeout", call{headers: map[string]string{"grpc-timeout": "5x"}, body: message(get)}, statusOnly},
		{"timeout of nine digits", call{headers: map[string]string{"grpc-timeout": "123456789S"}, body: message(get)}, statusOnly},
		{"timeout of zero", call{headers: map[string]string{"grpc-timeout": "0n"}, body: message(get)}, staysWell},
		{"token while authentication is off", call{headers: map[string]string{"token": "nonsense"}, body: message(get)}, exact},
		{"binary header that is not base64", call{headers: map[string]string{"x-bin": "!!"}, body: message(get)}, staysWell},
		{"long header", call{headers: map[string]string{"x-long": strings.Repeat("x", 64<<10)}, body: message(get)}, staysWell},
		{"watch with garbage", call{headers: path("/etcdserverpb.Watch/Watch"), body: message([]byte{0xff, 0xff})}, statusOnly},
		{"keepalive with garbage", call{headers: path("/etcdserverpb.Lease/LeaseKeepAlive"), body: message([]byte{0xff, 0xff})}, statusOnly},
		{"keepalive without requests", call{headers: path("/etcdserverpb.Lease/LeaseKeepAlive"), patience: time.Second}, staysWell},
		{"snapshot with garbage", call{headers: path("/etcdserverpb.Maintenance/Snapshot"), body: message([]byte{0x0f})}, statusOnly},
	}
}

// TestBadCalls compares the answers of both servers and then the health of the
// one under test.
func TestBadCalls(t *testing.T) { compare(t, harness.MustTarget(t)) }

// TestSelf compares upstream with itself.
func TestSelf(t *testing.T) { compare(t, harness.MustEtcd(t, "3.7")) }

func compare(t *testing.T, bin harness.Binary) {
	a := harness.Start(t, harness.MustEtcd(t, "3.7"), harness.Options{})
	b := harness.Start(t, bin, harness.Options{})
	for _, bad := range badCalls() {
		t.Run(bad.name, func(t *testing.T) {
			want, err := do(a.Addr, bad.call)
			if err != nil {
				t.Fatalf("reference: %v after %s", err, want)
			}
			got, err := do(b.Addr, bad.call)
			if err != nil {
				t.Fatalf("target: %v after %s", err, got)
			}
			t.Logf("reference: %s", want)
			if bad.compare == statusOnly {
				want.message, got.message = "", ""
			}
			if bad.compare != staysWell && (want != got || got.silent) {
				t.Errorf("reference: %s\ntarget:    %s", want, got)
			}
			well(t, b)
		})
	}
}

// well asks for a proper answer over a new connection.
func well(t *testing.T, s *harness.Server) {
	t.Helper()
	if !s.Running() {
		t.Fatalf("the server ended\n%s", s.LogTail(30))
	}
	got, err := do(s.Addr, call{body: message(get)})
	if err != nil || got.grpc != "0" || got.messages != 1 {
		t.Fatalf("a proper request after it: %s, %v", got, err)
	}
}

// TestGarbage sends bytes that are not even HTTP/2.
func TestGarbage(t *testing.T) {
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		s := harness.Start(t, bin, harness.Options{})
		rng := rand.New(rand.NewPCG(1, 2))
		noise := make([]byte, 64<<10)
		for i := range noise {
			noise[i] = byte(rng.Uint32())
		}
		pings := bytes.Repeat([]byte{0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}, 5000)
		for name, data := range map[string][]byte{
			"nothing":                nil,
			"noise":                  noise,
			"preface and noise":      append([]byte(http2.ClientPreface), noise...),
			"preface cut short":      []byte(http2.ClientPreface[:10]),
			"zeros":                  make([]byte, 64<<10),
			"TLS hello":              {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03},
			"HTTP/1.1 without end":   []byte("GET /health HTTP/1.1\r\nHost: x\r\nX: "),
			"HTTP/1.1 with bad size": []byte("POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n{}"),
			"header of 10 MiB":       append([]byte("GET / HTTP/1.1\r\nX: "), bytes.Repeat([]byte("x"), 10<<20)...),
			"frame of 16 MiB":        append([]byte(http2.ClientPreface), 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1),
			"many pings":             append([]byte(http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"), pings...),
		} {
			t.Run(name, func(t *testing.T) {
				throw(t, s.Addr, data)
				well(t, s)
			})
		}
	})
}

// throw writes bytes to a new connection, as far as the server takes them.
func throw(t *testing.T, addr string, data []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	// The server may well hang up in the middle.
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	_, _ = conn.Write(data)
}

// TestResetFlood opens streams and resets them at once.
func TestResetFlood(t *testing.T) {
	harness.EachServer(t, func(t *testing.T, bin harness.Binary) {
		s := harness.Start(t, bin, harness.Options{})
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(replyLimit)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			t.Fatal(err)
		}
		framer := http2.NewFramer(conn, nil)
		_ = framer.WriteSettings()
		block := headerBlock(t)
		for i := range uint32(20000) {
			id := 2*i + 1
			if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}) != nil {
				break
			}
			if framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				break
			}
		}
		well(t, s)
	})
}

// headerBlock encodes the headers of a proper call without the dynamic table, so
// that the block can be sent any number of times.
func headerBlock(t *testing.T) []byte {
	t.Helper()
	block := properBlock()
	if block == nil {
		t.Fatal("the headers cannot be encoded")
	}
	return block
}

// properBlock is [headerBlock] for whoever has no test at hand; nil when that fails.
func properBlock() []byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range properHeaders() {
		if enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true}) != nil {
			return nil
		}
	}
	return block.Bytes()
}
