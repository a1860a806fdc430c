package partitions

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

const (
	// chunk is the most that is passed on at once.
	chunk = 16 << 10
	// underWay bounds the chunks of one direction that are delayed; more wait in the
	// sender's socket.
	underWay = 256
)

// weather is what happens to what a forwarder passes on.
type weather struct {
	// delay is added to every chunk, and up to as much again at random.
	delay time.Duration
	// loss is the probability that a chunk comes late by pause, and all behind it in the
	// connection, as if a packet were lost and sent again.
	loss  float64
	pause time.Duration
	// reset is the probability that a chunk ends its connection with a reset.
	reset float64
	// closed resets all connections, also new ones.
	closed bool
}

// forwarder passes connections on to one address.
type forwarder struct {
	listener net.Listener
	to       string
	wait     sync.WaitGroup

	mu      sync.Mutex
	rng     *rand.Rand
	weather weather
	// pairs are the connections, each with that to the address.
	pairs map[*pair]bool
	ended bool
	// passed and spoiled count chunks.
	passed, spoiled int
}

// pair is a connection that is passed on.
type pair struct {
	ends [2]*net.TCPConn
	// broken is closed when it ends.
	broken chan struct{}
	once   sync.Once
}

// forward passes connections on to an address until the test ends.
func forward(t testing.TB, to string, seed uint64) *forwarder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{listener: l, to: to, rng: rand.New(rand.NewPCG(seed, 0)), pairs: map[*pair]bool{}}
	f.wait.Go(f.accept)
	t.Cleanup(f.end)
	return f
}

// addr is where it listens.
func (f *forwarder) addr() string { return f.listener.Addr().String() }

// change sets the weather.
func (f *forwarder) change(w weather) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.weather = w
	if w.closed {
		f.breakAll()
	}
}

// counts tells how many chunks were passed on, and how many of them late or never.
func (f *forwarder) counts() (passed, spoiled int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.passed, f.spoiled
}

func (f *forwarder) end() {
	_ = f.listener.Close()
	f.mu.Lock()
	f.ended = true
	f.breakAll()
	f.mu.Unlock()
	f.wait.Wait()
}

func (f *forwarder) breakAll() {
	for p := range f.pairs {
		p.reset()
	}
}

func (f *forwarder) accept() {
	for {
		near, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.wait.Go(func() { f.serve(near.(*net.TCPConn)) })
	}
}

func (f *forwarder) serve(near *net.TCPConn) {
	far, err := net.DialTimeout("tcp", f.to, time.Second)
	if err != nil {
		_ = near.SetLinger(0)
		_ = near.Close()
		return
	}
	p := &pair{ends: [2]*net.TCPConn{near, far.(*net.TCPConn)}, broken: make(chan struct{})}
	f.mu.Lock()
	f.pairs[p] = true
	if f.weather.closed || f.ended {
		p.reset()
	}
	f.mu.Unlock()
	var both sync.WaitGroup
	for i := range 2 {
		both.Go(func() { f.pass(p, p.ends[i], p.ends[1-i]) })
	}
	both.Wait()
	p.end()
	f.mu.Lock()
	delete(f.pairs, p)
	f.mu.Unlock()
}

// late is a chunk with the time at which it is due.
type late struct {
	data []byte
	due  time.Time
}

// pass is one direction. An end of it is passed on as well.
func (f *forwarder) pass(p *pair, from, to *net.TCPConn) {
	queue := make(chan late, underWay)
	var writer sync.WaitGroup
	defer writer.Wait()
	defer close(queue)
	writer.Go(func() {
		for next := range queue {
			select {
			case <-p.broken:
			case <-time.After(time.Until(next.due)):
			}
			if _, err := to.Write(next.data); err != nil {
				p.end()
			}
		}
		_ = to.CloseWrite()
	})
	var last time.Time
	for {
		data := make([]byte, chunk)
		n, err := from.Read(data)
		if err != nil {
			return
		}
		hold, reset := f.fate()
		if reset {
			p.reset()
			return
		}
		if due := time.Now().Add(hold); due.After(last) {
			last = due
		}
		select {
		case queue <- late{data[:n], last}:
		case <-p.broken:
			return
		}
	}
}

// fate decides what happens to a chunk.
func (f *forwarder) fate() (hold time.Duration, reset bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.weather
	f.passed++
	if w.delay > 0 {
		hold = w.delay + time.Duration(f.rng.Int64N(int64(w.delay)))
	}
	lost := f.rng.Float64() < w.loss
	if lost {
		hold += w.pause
	}
	reset = f.rng.Float64() < w.reset
	if lost || reset {
		f.spoiled++
	}
	return hold, reset
}

// reset ends both connections with resets; what is under way is lost.
func (p *pair) reset() {
	for _, c := range p.ends {
		_ = c.SetLinger(0)
	}
	p.end()
}

// end closes both connections.
func (p *pair) end() {
	p.once.Do(func() {
		close(p.broken)
		for _, c := range p.ends {
			_ = c.Close()
		}
	})
}
