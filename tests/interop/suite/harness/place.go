package harness

import "net"

// Place is where a member of a [Cluster] runs, and where others find it. The zero value is
// at home: free ports of the loopback interface, announced as they are.
type Place struct {
	// Host is an address that the member has for itself, so that all ports are free.
	Host string
	// Command precedes the member's command line, and must become that process: signals go
	// to it.
	Command []string
	// Front gets the HOST:PORT where the member listens for others, and returns the one
	// that is announced in its place.
	Front func(peer string) string
}

// move changes ports to those of the place.
func (p Place) move(at *ports) {
	if p.Host != "" {
		for to, port := range map[*string]string{&at.client: "2379", &at.peer: "2380", &at.metrics: "2381"} {
			*to = net.JoinHostPort(p.Host, port)
		}
	}
	if p.Front != nil {
		at.front = p.Front(at.peer)
	}
}
