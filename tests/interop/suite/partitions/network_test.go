package partitions

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mainstay.dev/tests/interop/suite/harness"
)

const (
	// passWait bounds the way of a datagram where packets pass: new links take a moment.
	passWait = 10 * time.Second
	// dropWait is how long none must come where packets are dropped.
	dropWait = 200 * time.Millisecond
)

// needNetwork skips a test where there are no namespaces, or fails it in CI.
func needNetwork(t *testing.T) {
	t.Helper()
	if noNetwork != nil {
		harness.Missing(t, noNetwork.Error())
	}
}

// TestSelfDrop shows that links pass packets, and that one that drops them does so in
// silence and in one direction only.
func TestSelfDrop(t *testing.T) {
	needNetwork(t)
	n := newNetwork(t, 3)
	var sockets []net.PacketConn
	for _, h := range n.hosts {
		s, err := h.listen()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		sockets = append(sockets, s)
	}
	expect := func(dropped ...link) {
		t.Helper()
		n.drop(dropped...)
		for from := range sockets {
			for to := range sockets {
				if from != to {
					wait, want := passWait, true
					if n.dropped[link{from, to}] {
						wait, want = dropWait, false
					}
					if got := reaches(t, sockets[from], sockets[to], wait); got != want {
						t.Errorf("with %v dropped %d reaches %d: %t", dropped, from, to, got)
					}
				}
			}
		}
	}
	expect()
	expect(link{0, 1})
	expect(link{0, 1}, link{1, 0}, link{2, 0})
	expect(link{2, 0})
	expect()
}

// listen opens a datagram socket on the host.
func (h host) listen() (net.PacketConn, error) {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", h.holder.Process.Pid))
	if err != nil {
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	s, err := net.ListenPacket("udp4", h.addr+":0")
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread must not be used for anything else: it ends with its goroutine.
		return nil, back
	}
	runtime.UnlockOSThread()
	return s, err
}

// reaches sends a datagram. Nobody may tell the sender that it is dropped.
func reaches(t *testing.T, from, to net.PacketConn, wait time.Duration) bool {
	t.Helper()
	sent := fmt.Sprint(from.LocalAddr(), time.Now().UnixNano())
	if _, err := from.WriteTo([]byte(sent), to.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	_ = to.SetReadDeadline(time.Now().Add(wait))
	got := make([]byte, 64)
	for {
		n, _, err := to.ReadFrom(got)
		if err != nil {
			return false
		}
		if string(got[:n]) == sent {
			return true
		}
	}
}
