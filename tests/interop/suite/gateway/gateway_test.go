// Package gateway compares the JSON gateway and the plain HTTP endpoints of
// upstream's server and the server under test.
package gateway

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay.dev/tests/interop/suite/harness"
)

// replyLimit bounds one exchange.
const replyLimit = 15 * time.Second

// request is one HTTP exchange with the client port, or with the peer port.
type request struct {
	method, path, body string
	headers            map[string]string
	peer               bool
	// lines is how many lines of a streamed body are read; 0 reads all.
	lines int
	// unordered is for text whose lines come in any order.
	unordered bool
}

func post(path, body string) request { return request{method: http.MethodPost, path: path, body: body} }
func get(path string) request        { return request{method: http.MethodGet, path: path} }

func (r request) streamed(lines int) request  { r.lines = lines; return r }
func (r request) onPeer() request             { r.peer = true; return r }
func (r request) anyOrder() request           { r.unordered = true; return r }
func (r request) with(name, v string) request { r.headers = map[string]string{name: v}; return r }
func (r request) String() string {
	return fmt.Sprintf("%s %s %.200s %v", r.method, r.path, r.body, r.headers)
}
func b64(s string) string                  { return base64.StdEncoding.EncodeToString([]byte(s)) }
func kv(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// reply is what is compared.
type reply struct {
	status      int
	contentType string
	allow       string
	// metadata, challenge and origin are headers of the gateway.
	metadata, challenge, origin string
	body                        string
}

// script is sent in order; later requests see what earlier ones wrote.
func script() []request {
	k, v := b64("key"), b64("value")
	reqs := []request{
		post("/v3/kv/put", kv(`{"key":%q,"value":%q}`, k, v)),
		post("/v3/kv/put", kv(`{"key":%q,"value":%q,"prev_kv":true}`, k, v)),
		post("/v3/kv/put", kv(`{"key":%q,"value":%q,"prevKv":true,"unknown":1}`, k, v)),
		post("/v3/kv/put", kv(`{"key":%q,"lease":"99"}`, k)),
		post("/v3/kv/put", `{}`), post("/v3/kv/put", `{`), post("/v3/kv/put", ``), post("/v3/kv/put", `{"key":1}`), post("/v3/kv/put", `{"key":"%%%"}`), post("/v3/kv/put", `[]`),
		post("/v3beta/kv/put", kv(`{"key":%q,"value":%q}`, b64("beta"), v)),
		post("/v3/kv/range", kv(`{"key":%q}`, k)),
		post("/v3/kv/range", kv(`{"key":%q}`, b64("absent"))),
		post("/v3/kv/range", kv(`{"key":%q,"range_end":%q,"limit":"1"}`, b64("a"), b64("z"))),
		post("/v3/kv/range", kv(`{"key":%q,"rangeEnd":%q,"limit":1,"sortOrder":"DESCEND","sort_target":"MOD"}`, b64("a"), b64("z"))),
		post("/v3/kv/range", kv(`{"key":%q,"range_end":%q,"count_only":true}`, b64("a"), b64("z"))),
		post("/v3/kv/range", kv(`{"key":%q,"sort_order":"SIDEWAYS"}`, k)), post("/v3/kv/range", kv(`{"key":%q,"sort_order":2}`, k)), post("/v3/kv/range", kv(`{"key":%q,"sort_order":77}`, k)),
		post("/v3/kv/range", kv(`{"key":%q,"revision":"1000"}`, k)), post("/v3/kv/range", kv(`{"key":%q,"revision":"x"}`, k)),
		post("/v3/kv/txn", kv(`{"compare":[{"key":%q,"result":"EQUAL","target":"VERSION","version":"3"}],"success":[{"requestPut":{"key":%q,"value":%q}}],"failure":[{"request_range":{"key":%q}}]}`, k, k, v, k)),
		post("/v3/kv/txn", kv(`{"compare":[{"key":%q,"result":"GREATER","target":"MOD","mod_revision":"100"}],"failure":[{"request_range":{"key":%q}},{"request_delete_range":{"key":%q,"prev_kv":true}}]}`, k, k, k)),
		post("/v3/kv/txn", `{}`),
		post("/v3/kv/deleterange", kv(`{"key":%q,"range_end":%q,"prev_kv":true}`, b64("a"), b64("z"))),
		post("/v3/kv/deleterange", kv(`{"key":%q}`, k)),
		post("/v3/kv/compaction", `{"revision":"3","physical":true}`), post("/v3/kv/compaction", `{"revision":"3"}`), post("/v3/kv/compaction", `{"revision":"300"}`),
		post("/v3/lease/grant", `{"TTL":"1000","ID":"5"}`), post("/v3/lease/grant", `{"TTL":"1000","ID":"5"}`), post("/v3/lease/grant", `{"TTL":1000,"ID":6}`),
		post("/v3/kv/put", kv(`{"key":%q,"value":%q,"lease":"5"}`, k, v)),
		post("/v3/lease/timetolive", `{"ID":"5","keys":true}`), post("/v3/kv/lease/timetolive", `{"ID":"55"}`), post("/v3/lease/leases", `{}`),
		post("/v3/lease/keepalive", `{"ID":"5"}`).streamed(1), post("/v3/lease/keepalive", `{"ID":"55"}`).streamed(1),
		post("/v3/lease/revoke", `{"ID":"5"}`), post("/v3/lease/revoke", `{"ID":"5"}`), post("/v3/kv/lease/revoke", `{"ID":"55"}`),
		post("/v3/watch", kv(`{"create_request":{"key":%q,"start_revision":"4","prev_kv":true}}`, k)).streamed(2),
		post("/v3/watch", kv(`{"createRequest":{"key":%q,"startRevision":"1"}}`, k)).streamed(2),
		post("/v3/watch", kv(`{"create_request":{"key":%q,"start_revision":"-1","watch_id":"7"}}`, k)).streamed(1),
		post("/v3/cluster/member/list", `{}`), post("/v3/cluster/member/list", `{"linearizable":true}`), post("/v3/cluster/member/remove", `{"ID":"5"}`),
		post("/v3/maintenance/status", `{}`), post("/v3/maintenance/hashkv", `{"revision":"4"}`), post("/v3/maintenance/alarm", `{"action":"GET"}`),
		post("/v3/maintenance/alarm", `{"action":"ACTIVATE","memberID":"5","alarm":"NOSPACE"}`),
		post("/v3/kv/put", kv(`{"key":%q,"value":%q}`, k, v)), get("/health"), get("/health?exclude=NOSPACE"), get("/readyz"), get("/livez"),
		post("/v3/maintenance/alarm", `{"action":"DEACTIVATE","memberID":"5","alarm":"NOSPACE"}`),
		post("/v3/maintenance/defragment", `{}`), post("/v3/maintenance/downgrade", `{"action":"VALIDATE","version":"3.6.0"}`), post("/v3/maintenance/transfer-leadership", `{"targetID":"9"}`),
		post("/v3/auth/status", `{}`), post("/v3/auth/user/add", `{"name":"u","password":"p"}`), post("/v3/auth/user/get", `{"name":"u"}`), post("/v3/auth/user/get", `{"name":"x"}`), post("/v3/auth/user/list", `{}`),
		post("/v3/auth/role/add", `{"name":"r"}`), post("/v3/auth/role/grant", kv(`{"name":"r","perm":{"permType":"READWRITE","key":%q,"range_end":%q}}`, b64("a"), b64("b"))),
		post("/v3/auth/role/get", `{"role":"r"}`), post("/v3/auth/enable", `{}`), post("/v3/auth/authenticate", `{"name":"u","password":"p"}`),
		post("/v3/election/leader", kv(`{"name":%q}`, b64("nobody"))), post("/v3/election/proclaim", `{}`), post("/v3/lock/unlock", kv(`{"key":%q}`, b64("nolock"))),
		get("/v3/kv/range"), post("/v3/nothing", `{}`), post("/v3/kv/rangestream", `{}`), {method: http.MethodPut, path: "/v3/kv/put", body: "{}"},
		{method: http.MethodOptions, path: "/v3/kv/put"}, {method: http.MethodOptions, path: "/nothing"},
		get("/"), get("/nothing"), get("/v2/keys"), get("/version"), {method: http.MethodPost, path: "/version"},
		get("/health"), get("/health?serializable=true"), {method: http.MethodPost, path: "/health"}, {method: http.MethodHead, path: "/health"},
		get("/livez"), get("/livez?verbose"), get("/livez/serializable_read"), get("/livez/nothing"), get("/livez?exclude=serializable_read&verbose"), {method: http.MethodPost, path: "/livez"},
		get("/readyz"), get("/readyz?verbose").anyOrder(), get("/readyz/data_corruption?verbose"), get("/readyz/linearizable_read"), get("/readyz/non_learner"), get("/readyz?exclude=nothing"),
		get("/health").with("Host", "evil.example"), get("/debug/pprof/"), get("/debug/requests"),
		get("/members").onPeer(), get("/version").onPeer(), get("/raft/probing").onPeer(), get("/downgrade/enabled").onPeer(), get("/").onPeer(), get("/health").onPeer(), get("/raft").onPeer(),
		{method: http.MethodPost, path: "/members", peer: true}, {method: http.MethodPost, path: "/members/promote/5", peer: true}, {method: http.MethodPost, path: "/members/promote/x", peer: true},
		{method: http.MethodPost, path: "/raft", body: "garbage", peer: true}, get("/raft/stream/message/5").onPeer(), get("/raft/stream/nothing/5").onPeer(),
		{method: http.MethodPost, path: "/leases", body: "\xff", peer: true}, {method: http.MethodPost, path: "/raft/snapshot", body: "short", peer: true},
	}
	return reqs
}

// free replaces what may differ from run to run.
var free = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`"(raft_term|raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)":"?\d+"?`), `"$1":"N"`},
	{regexp.MustCompile(`"clientURLs":\["[^"]*"\]`), `"clientURLs":["URL"]`},
	{regexp.MustCompile(`"Now":"[^"]*"`), `"Now":"TIME"`},
	// Members are added with the time in their id, and files differ.
	{regexp.MustCompile(`("isLearner":true,"peerURLs":|"ID":")(\d+)"`), `$1"`},
	{regexp.MustCompile(`"blob":"[^"]*"`), `"blob":"FILE"`},
	// A file of exactly one message has nothing left to say.
	{regexp.MustCompile(`"remaining_bytes":"[^"]*",`), ``},
	{regexp.MustCompile(`\{"hash":\d+`), `{"hash":N`},
	{regexp.MustCompile(`"TTL":"(999|1000)"`), `"TTL":"N"`},
	// The decoder's spacing is random on purpose.
	{regexp.MustCompile("proto:[ \u00a0]+"), "proto: "},
}

// TestHTTP compares every exchange.
func TestHTTP(t *testing.T) { compare(t, harness.MustTarget(t)) }

// TestSelf compares upstream with itself.
func TestSelf(t *testing.T) { compare(t, harness.MustEtcd(t, "3.7")) }

func compare(t *testing.T, bin harness.Binary) { compareAll(t, bin, script()) }

func compareAll(t *testing.T, bin harness.Binary, requests []request) {
	args := []string{"--bcrypt-cost=4", "--host-whitelist=127.0.0.1"}
	a := harness.Start(t, harness.MustEtcd(t, "3.7"), harness.Options{Args: args})
	b := harness.Start(t, bin, harness.Options{Args: args})
	awaitStorageVersion(t, a)
	awaitStorageVersion(t, b)
	for _, r := range requests {
		want, got := exchange(t, a, r), exchange(t, b, r)
		if testing.Verbose() {
			t.Logf("%s: %d %q %.300q", r, want.status, want.contentType, want.body)
		}
		if want != got {
			t.Errorf("%s\nreference: %+v\ntarget:    %+v", r, want, got)
		}
	}
}

func awaitStorageVersion(t *testing.T, s *harness.Server) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if strings.Contains(exchange(t, s, get("/version")).body, `"storage":"3.7.0"`) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s does not raise its storage version", s.Bin.Label)
}

func exchange(t *testing.T, s *harness.Server, r request) reply {
	t.Helper()
	addr := s.Addr
	if r.peer {
		addr = s.PeerAddr
	}
	ctx := harness.Context(t, replyLimit)
	req, err := http.NewRequestWithContext(ctx, r.method, "http://"+addr+r.path, strings.NewReader(withMembers(t, s, r.body)))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.headers {
		req.Header.Set(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s: %s: %v", s.Bin.Label, r, err)
	}
	defer resp.Body.Close()
	header := resp.Header.Get
	out := reply{
		status: resp.StatusCode, contentType: header("Content-Type"), allow: header("Allow"),
		metadata: header("Grpc-Metadata-Content-Type"), challenge: header("WWW-Authenticate"), origin: header("Access-Control-Allow-Origin"),
	}
	var body string
	if r.lines > 0 {
		lines := bufio.NewScanner(resp.Body)
		for range r.lines {
			if !lines.Scan() {
				break
			}
			body += canonical(lines.Text()) + "\n"
		}
	} else {
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("%s: %s: %v", s.Bin.Label, r, err)
		}
		body = canonical(string(data))
	}
	if r.unordered {
		lines := strings.Split(body, "\n")
		slices.Sort(lines)
		body = strings.Join(lines, "\n")
	}
	for _, f := range free {
		body = f.pattern.ReplaceAllString(body, f.with)
	}
	// The advice in this page is prose.
	if resp.StatusCode != http.StatusMisdirectedRequest {
		out.body = body
	}
	return out
}

// canonical renders JSON without regard to spacing and order; other text stays.
func canonical(s string) string {
	decoder := json.NewDecoder(strings.NewReader(s))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return s
	}
	if _, isNumber := v.(json.Number); isNumber {
		return s
	}
	data, err := json.Marshal(v)
	if err != nil {
		return s
	}
	return string(data)
}
