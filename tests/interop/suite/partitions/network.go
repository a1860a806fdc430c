package partitions

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"mainstay.dev/tests/interop/suite/harness"
)

// noNetwork is why there are no network namespaces, nil if there are.
var noNetwork error

// networks counts those that were made. Each has a subnet.
var networks atomic.Int32

// network connects some hosts through the router.
type network struct {
	t      testing.TB
	number int
	hosts  []host
	// dropped are the links that drop packets, by host.
	dropped map[link]bool
}

// host is a network namespace with one address. A process holds it, which ends with its
// standard input.
type host struct {
	addr   string
	holder *exec.Cmd
	stdin  io.Closer
}

// link is a direction between two hosts.
type link struct{ from, to int }

// openRouter readies the namespace of this process to pass packets on. It is not that of
// the machine, and has no way out.
func openRouter() error {
	if err := ip("link set lo up"); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}

// newNetwork makes hosts for the length of a test.
func newNetwork(t testing.TB, hosts int) *network {
	t.Helper()
	n := &network{t: t, number: int(networks.Add(1)), dropped: map[link]bool{}}
	for i := range hosts {
		h, err := n.newHost(i)
		if h.holder != nil {
			// The namespace and its ends of cables go with the last process in it.
			t.Cleanup(func() { _, _ = h.stdin.Close(), h.holder.Wait() })
		}
		if err != nil {
			t.Fatal(err)
		}
		n.hosts = append(n.hosts, h)
	}
	t.Cleanup(n.heal)
	return n
}

func (n *network) newHost(i int) (host, error) {
	h := host{addr: fmt.Sprintf("10.77.%d.%d", n.number, i+1), holder: exec.Command("cat")}
	h.holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	var err error
	if h.stdin, err = h.holder.StdinPipe(); err != nil {
		return host{}, err
	}
	if err := h.holder.Start(); err != nil {
		return host{}, err
	}
	router, cable := fmt.Sprintf("10.77.%d.254", n.number), fmt.Sprintf("n%dh%d", n.number, i)
	err = ip(
		fmt.Sprintf("link add %s type veth peer name eth0 netns %d", cable, h.holder.Process.Pid),
		fmt.Sprintf("address add %s/32 dev %s", router, cable),
		fmt.Sprintf("link set %s up", cable),
		fmt.Sprintf("route add %s/32 dev %s src %s", h.addr, cable, router),
	)
	if err != nil {
		return h, err
	}
	return h, run(h.enter("ip", "-batch", "-"),
		"link set lo up",
		fmt.Sprintf("address add %s/32 dev eth0", h.addr),
		"link set eth0 up",
		fmt.Sprintf("route add %s/32 dev eth0", router),
		fmt.Sprintf("route add default via %s", router),
	)
}

// enter precedes a command that is to run on the host.
func (h host) enter(command ...string) []string {
	return append([]string{"nsenter", "-t", fmt.Sprint(h.holder.Process.Pid), "-n", "--"}, command...)
}

// places are those of members on the hosts.
func (n *network) places() []harness.Place {
	var places []harness.Place
	for _, h := range n.hosts {
		places = append(places, harness.Place{Host: h.addr, Command: h.enter()})
	}
	return places
}

// loopback are places without a network between them. In a namespace that nobody else uses
// they have addresses for themselves, so that no port is taken while a member is down.
func loopback(members int) []harness.Place {
	places := make([]harness.Place, members)
	if noNetwork == nil {
		number := networks.Add(1)
		for i := range places {
			places[i].Host = fmt.Sprintf("127.77.%d.%d", number, i+1)
		}
	}
	return places
}

// drop makes links drop all packets from now on, and all others pass them.
func (n *network) drop(links ...link) {
	n.t.Helper()
	want := map[link]bool{}
	var lines []string
	for _, l := range links {
		if !want[l] && !n.dropped[l] {
			lines = append(lines, "rule add "+n.rule(l))
		}
		want[l] = true
	}
	for l := range n.dropped {
		if !want[l] {
			lines = append(lines, "rule del "+n.rule(l))
		}
	}
	n.dropped = want
	if err := ip(lines...); err != nil {
		n.t.Fatal(err)
	}
}

// heal makes all links pass packets.
func (n *network) heal() { n.drop() }

func (n *network) rule(l link) string {
	return fmt.Sprintf("from %s to %s blackhole", n.hosts[l.from].addr, n.hosts[l.to].addr)
}

// ip runs commands of iproute2 in the router.
func ip(lines ...string) error {
	if len(lines) == 0 {
		return nil
	}
	return run([]string{"ip", "-batch", "-"}, lines...)
}

// run gives lines to a command.
func run(command []string, lines ...string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s with %q: %w\n%s", strings.Join(command, " "), lines, err, out.String())
	}
	return nil
}
