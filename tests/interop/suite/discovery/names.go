package discovery

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a name server. It knows hosts with one address each, and services at hosts.
type names struct {
	conn     net.PacketConn
	hosts    map[string][4]byte
	services map[string][]service

	mu sync.Mutex
	// asked are the names that were asked for.
	asked map[string]int
}

// service is where somebody listens.
type service struct {
	host string
	port uint16
}

// serveNames starts a name server where resolvers ask without further notice, and makes
// it the one of all processes that see the mounts of this one.
func serveNames(t *testing.T, n *names) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	n.conn, n.asked = conn, map[string]int{}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		n.serve(t)
	}()
	config := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(config, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// The mount goes over what the name points to, which may be a link.
	place, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(config, place, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(place, syscall.MNT_DETACH) })
}

// times says how often a name was asked for.
func (n *names) times(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[name]
}

func (n *names) serve(t *testing.T) {
	packet := make([]byte, 4096)
	for {
		size, from, err := n.conn.ReadFrom(packet)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			return
		}
		answer, err := n.answer(packet[:size])
		if err == nil {
			_, err = n.conn.WriteTo(answer, from)
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// answer is what comes back for one query.
func (n *names) answer(packet []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(packet)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(question.Name.String())
	n.mu.Lock()
	n.asked[name]++
	n.mu.Unlock()
	address, isHost := n.hosts[name]
	services := n.services[name]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	of := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 60}
	switch {
	case !isHost && services == nil:
		reply.RCode = dnsmessage.RCodeNameError
	case isHost && question.Type == dnsmessage.TypeA:
		reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: of, Body: &dnsmessage.AResource{A: address}})
	case services != nil && question.Type == dnsmessage.TypeSRV:
		for _, s := range services {
			target, err := dnsmessage.NewName(s.host)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.host, err)
			}
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: of, Body: &dnsmessage.SRVResource{Port: s.port, Target: target}})
		}
	}
	return reply.Pack()
}
