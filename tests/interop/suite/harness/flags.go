package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// commandLine builds the executable and its arguments.
func commandLine(bin Binary, opts Options, at ports) (string, []string, error) {
	path, args := bin.Path, append([]string{}, bin.Prefix...)
	if opts.AsEtcd {
		link := filepath.Join(opts.WorkDir, "etcd")
		if err := os.Symlink(bin.Path, link); err != nil && !os.IsExist(err) {
			return "", nil, err
		}
		path, args = link, nil
	}
	scheme := opts.scheme()
	if opts.TLS != nil {
		args = append(args, opts.TLS.flags()...)
	}
	if opts.Metrics {
		args = append(args, "--listen-metrics-urls=http://"+at.metrics)
	}
	if opts.autoTLS {
		args = append(args, "--peer-auto-tls")
	}
	advertised := opts.peerScheme() + advertisedPeer
	member := membership{name: "m0", initial: "m0=" + advertised, state: "new"}
	if opts.member != nil {
		advertised, member = opts.peerScheme()+at.announced(), *opts.member
	}
	args = append(args,
		"--name="+member.name,
		"--data-dir="+opts.DataDir,
		"--listen-client-urls="+scheme+at.client,
		"--advertise-client-urls="+scheme+at.client,
		"--listen-peer-urls="+opts.peerScheme()+at.peer,
		"--initial-advertise-peer-urls="+advertised,
		"--initial-cluster-state="+member.state,
		"--initial-cluster-token=interop",
		"--socket-reuse-port",
		"--log-level=info",
	)
	if !opts.discovers {
		args = append(args, "--initial-cluster="+member.initial)
	}
	args = append(args, opts.Args...)
	if len(opts.command) > 0 {
		path, args = opts.command[0], append(append(append([]string{}, opts.command[1:]...), path), args...)
	}
	return path, args, nil
}

// cleanEnv is the environment without ETCD_ variables, which would be taken as
// flags.
func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ETCD_") && !strings.HasPrefix(kv, "ETCDCTL_") {
			env = append(env, kv)
		}
	}
	return env
}

// ports are the listeners of one server, each HOST:PORT.
type ports struct {
	client, peer, metrics string
	// front is announced to other members in place of peer, if not empty.
	front string
	// held keeps the ports ours as long as anybody knows them.
	held []*os.File
}

// announced is where other members find this one.
func (p ports) announced() string {
	if p.front != "" {
		return p.front
	}
	return p.peer
}

// freePorts asks the system for unused ports on the loopback interface.
func freePorts() (ports, error) {
	at, err := freePortsFor(1)
	if err != nil {
		return ports{}, err
	}
	return at[0], nil
}

// freePortsFor is [freePorts] for several servers: all ports differ.
func freePortsFor(servers int) ([]ports, error) {
	at := make([]ports, servers)
	for i := range at {
		for _, to := range []*string{&at[i].client, &at[i].peer, &at[i].metrics} {
			addr, held, err := holdPort()
			if err != nil {
				return nil, err
			}
			*to, at[i].held = addr, append(at[i].held, held)
		}
	}
	return at, nil
}

// soReusePort is SO_REUSEPORT, which package syscall does not name.
const soReusePort = 15

// holdPort binds a port and never listens on it: nobody else gets it, neither other
// tests nor outgoing connections, but servers that share ports, as all ours are told
// to (--socket-reuse-port). It is free again when the file is closed or forgotten.
func holdPort() (string, *os.File, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	held := os.NewFile(uintptr(fd), "port")
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, soReusePort, 1); err != nil {
		return "", nil, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", nil, err
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("127.0.0.1:%d", bound.(*syscall.SockaddrInet4).Port), held, nil
}
