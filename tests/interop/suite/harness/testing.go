package harness

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"
)

// logLines is how much of a server's log is shown after a failure.
const logLines = 60

// Start launches a server for a test. It is killed at the end of the test, and
// the end of its log is shown if the test failed.
func Start(t testing.TB, bin Binary, opts Options) *Server {
	t.Helper()
	if opts.WorkDir == "" {
		opts.WorkDir = t.TempDir()
	}
	s, err := Launch(t.Context(), bin, opts)
	if err != nil {
		t.Fatal(err)
	}
	endWith(t, s)
	return s
}

// StartAgain restarts an ended server for the rest of the test.
func (s *Server) StartAgain(t testing.TB) *Server {
	t.Helper()
	again, err := s.Restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	endWith(t, again)
	return again
}

// endWith kills the server when the test ends.
func endWith(t testing.TB, s *Server) {
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("last lines of %s:\n%s", s.Bin.Label, s.LogTail(logLines))
		}
	})
}

// Client dials the server for the length of a test.
func (s *Server) Client(t testing.TB) *Client {
	t.Helper()
	c, err := s.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Context returns a context that ends with the test or after the limit.
func Context(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// fetchWait bounds [Fetch].
const fetchWait = 10 * time.Second

// Fetch gets a page and returns its status and body.
func Fetch(t testing.TB, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(Context(t, fetchWait), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// EachServer runs a test against upstream's 3.7, which shows that the test asks
// for what etcd does, and against the server under test.
func EachServer(t *testing.T, test func(t *testing.T, bin Binary)) {
	t.Helper()
	t.Run("etcd", func(t *testing.T) { test(t, MustEtcd(t, "3.7")) })
	t.Run("target", func(t *testing.T) { test(t, MustTarget(t)) })
}
