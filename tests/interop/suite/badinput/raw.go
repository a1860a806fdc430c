// Package badinput sends what no proper client sends, and asks that the server
// answers as upstream's does, or at least stays well.
package badinput

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// replyLimit bounds the wait for one answer.
const replyLimit = 10 * time.Second

// call is one request, written frame by frame.
type call struct {
	// headers replace or add to those of a proper gRPC request; an empty value
	// removes one.
	headers map[string]string
	// body is sent in DATA frames, the last one ending the stream.
	body []byte
	// patience is how long to wait for the answer; zero means replyLimit.
	patience time.Duration
}

// answer is what came back on the stream.
type answer struct {
	http, grpc, message string
	// messages is the number of gRPC messages in the body.
	messages int
	// reset is the error code of RST_STREAM; gone is set when the connection
	// ended instead.
	reset string
	gone  bool
	// silent is set when nothing came in time.
	silent bool
}

func (a answer) String() string {
	return fmt.Sprintf("http %q grpc-status %q %q, %d messages, reset %q, connection ended: %t, silent: %t", a.http, a.grpc, a.message, a.messages, a.reset, a.gone, a.silent)
}

// message frames bytes as one gRPC message.
func message(payload []byte) []byte { return flagged(0, payload) }

// flagged frames bytes with a given flag byte.
func flagged(flag byte, payload []byte) []byte {
	head := binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(payload)))
	return append(head, payload...)
}

// do opens a connection, sends the call, and reads until the stream ends.
func do(addr string, c call) (answer, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(cmp.Or(c.patience, replyLimit))); err != nil {
		return answer{}, err
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return answer{}, err
	}
	// Frames are written from here and from the sender, each in one piece.
	out := &oneAtATime{w: conn}
	if err := http2.NewFramer(out, nil).WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}); err != nil {
		return answer{}, err
	}
	// A server may answer and end before it has read everything.
	go func() { _ = send(http2.NewFramer(out, nil), c) }()
	framer := http2.NewFramer(out, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return receive(framer)
}

// oneAtATime lets several framers write to one connection.
type oneAtATime struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *oneAtATime) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// properHeaders are those of a gRPC request for a range.
func properHeaders() [][2]string {
	return [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/etcdserverpb.KV/Range"}, {":authority", "test"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	}
}

func send(framer *http2.Framer, c call) error {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	fields := properHeaders()
	for name, value := range c.headers {
		found := false
		for i := range fields {
			if fields[i][0] == name {
				fields[i][1], found = value, true
			}
		}
		if !found {
			fields = append(fields, [2]string{name, value})
		}
	}
	for _, f := range fields {
		if f[1] != "" {
			if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
				return err
			}
		}
	}
	end := len(c.body) == 0
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end}); err != nil {
		return err
	}
	const part = 16 << 10
	for body := c.body; len(body) > 0; {
		n := min(part, len(body))
		if err := framer.WriteData(1, n == len(body), body[:n]); err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}

func receive(framer *http2.Framer) (answer, error) {
	var got answer
	var body []byte
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				got.silent = true
				return got, nil
			}
			got.gone = true
			return got, nil
		}
		ended := false
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				if framer.WriteSettingsAck() != nil {
					got.gone = true
					return got, nil
				}
			}
		case *http2.MetaHeadersFrame:
			got.take(f.Fields)
			ended = f.StreamEnded()
		case *http2.DataFrame:
			body = append(body, f.Data()...)
			ended = f.StreamEnded()
		case *http2.RSTStreamFrame:
			got.reset, ended = f.ErrCode.String(), true
		case *http2.GoAwayFrame:
			got.gone, ended = true, true
		}
		if ended {
			got.messages = countMessages(got, body)
			return got, nil
		}
	}
}

func (a *answer) take(fields []hpack.HeaderField) {
	for _, f := range fields {
		switch strings.ToLower(f.Name) {
		case ":status":
			a.http = f.Value
		case "grpc-status":
			a.grpc = f.Value
		case "grpc-message":
			a.message = f.Value
		}
	}
}

// countMessages counts gRPC frames; a body that is not gRPC has none.
func countMessages(got answer, body []byte) int {
	if got.grpc == "" {
		return 0
	}
	n := 0
	for len(body) >= 5 {
		size := int(binary.BigEndian.Uint32(body[1:5]))
		if len(body) < 5+size {
			break
		}
		body = body[5+size:]
		n++
	}
	return n
}
