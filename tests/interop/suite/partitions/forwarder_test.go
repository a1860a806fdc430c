package partitions

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"
)

// sink accepts one connection, and sends a checksum of what came.
func sink(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			sum := sha256.New()
			_, _ = io.Copy(sum, c)
			_, _ = c.Write(sum.Sum(nil))
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// TestSelfForwarder shows that nothing but time changes, unless connections are reset.
func TestSelfForwarder(t *testing.T) {
	t.Parallel()
	f := forward(t, sink(t), 1)
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	want := sha256.Sum256(data)
	send := func(w weather) (time.Duration, error) {
		t.Helper()
		f.change(w)
		began := time.Now()
		c, err := net.Dial("tcp", f.addr())
		if err != nil {
			return 0, err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write(data); err != nil {
			return 0, err
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			return 0, err
		}
		got, err := io.ReadAll(c)
		if err == nil && !bytes.Equal(got, want[:]) {
			err = errors.New("the data changed on the way")
		}
		return time.Since(began), err
	}
	for _, c := range []struct {
		weather
		least time.Duration
	}{{weather{}, 0}, {weather{delay: 50 * time.Millisecond}, 100 * time.Millisecond}, {weather{loss: 1, pause: 70 * time.Millisecond}, 140 * time.Millisecond}} {
		took, err := send(c.weather)
		if err != nil || took < c.least {
			t.Errorf("%+v: %s, %v", c.weather, took, err)
		}
	}
	for _, w := range []weather{{reset: 1}, {closed: true}} {
		// What notices a reset first is a matter of time.
		_, err := send(w)
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ENOTCONN) {
			t.Errorf("%+v: %v", w, err)
		}
	}
	if _, err := send(weather{}); err != nil {
		t.Error(err)
	}
	if passed, spoiled := f.counts(); passed < 1<<20/chunk*3 || spoiled == 0 {
		t.Errorf("%d chunks passed, %d of them spoiled", passed, spoiled)
	}
}
