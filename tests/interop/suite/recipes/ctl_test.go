package recipes

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

var errEnded = errors.New("etcdctl ended before it had anything")

// process is a running etcdctl.
type process struct {
	cmd *exec.Cmd
	// lines are what it prints; closed at the end of the output.
	lines chan string
	// end waits for the process, once.
	end func() error
}

// start runs etcdctl. The process does not outlive the test.
func (w *world) start(args ...string) *process {
	w.t.Helper()
	cmd := exec.CommandContext(w.ctx, w.ctl, append([]string{"--endpoints=" + w.addr}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	w.check(err)
	w.check(cmd.Start())
	// More lines than any scenario prints: nobody waits for a reader.
	p := &process{cmd: cmd, lines: make(chan string, 100)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	p.end = sync.OnceValue(func() error {
		<-read
		return cmd.Wait()
	})
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = p.end()
	})
	return p
}

// interrupt asks the process to end, and waits until it has.
func (p *process) interrupt() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	// It says with its exit code that it was interrupted.
	_ = p.end()
	return nil
}

// kill ends the process, so that it cannot clean up.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = p.end()
	return nil
}
