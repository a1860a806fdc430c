package gateway

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mainstay.dev/tests/interop/suite/harness"
)

// A body may name members by what they are; ids are put in for each server.
const (
	self    = "$SELF"
	learner = "$LEARNER"
)

// routes asks for what [script] does not, so that both together have every route
// with an answer, an error, and a stream where there is one.
func routes() []request {
	k, v, end := b64("key"), b64("value"), b64("z")
	put, rng := "/v3/kv/put", "/v3/kv/range"
	reqs := []request{
		post("/v3/lease/grant", `{"TTL":"1000","ID":"16"}`),
		post("/v3/lock/lock", kv(`{"name":%q,"lease":"16"}`, b64("l"))), post("/v3/lock/lock", kv(`{"name":%q,"lease":"17"}`, b64("l"))), post("/v3/lock/lock", kv(`{"name":%q,"lease":"16"}`, b64("l"))),
		post("/v3/lock/unlock", kv(`{"key":%q}`, b64("l/10"))), post("/v3/lock/unlock", `{"key":5}`),
		post("/v3/election/campaign", kv(`{"name":%q,"lease":"16","value":%q}`, b64("e"), v)), post("/v3/election/campaign", kv(`{"name":%q,"lease":"17"}`, b64("e"))),
		post("/v3/election/leader", kv(`{"name":%q}`, b64("e"))), post("/v3/election/observe", kv(`{"name":%q}`, b64("e"))).streamed(1), post("/v3/election/observe", `{"name":5}`),
		post("/v3/election/proclaim", kv(`{"leader":{"name":%q,"key":%q,"rev":"4","lease":"16"},"value":%q}`, b64("e"), b64("e/10"), v)),
		post("/v3/election/resign", kv(`{"leader":{"name":%q,"key":%q,"rev":"4","lease":"16"}}`, b64("e"), b64("e/10"))), post("/v3/election/resign", `{}`),
		post("/v3/lease/leases", `{}`), post("/v3/kv/lease/leases", `{}`), post("/v3/kv/lease/leases", `[]`), post("/v3/lease/leases", `5`), post("/v3/kv/lease/timetolive", `{"ID":"16"}`), post("/v3/lease/timetolive", `{"ID":""}`), post("/v3/kv/lease/revoke", `{"ID":"16"}`),
		post("/v3/cluster/member/list", `"x"`), post("/v3/cluster/member/add", `{"peerURLs":["http://127.0.0.1:1"],"isLearner":true}`), post("/v3/cluster/member/add", `{"peerURLs":["x"]}`), post("/v3/cluster/member/add", `{"peerURLs":"x"}`),
		post("/v3/cluster/member/promote", `{"ID":"`+learner+`"}`), post("/v3/cluster/member/promote", `{"ID":"5"}`),
		post("/v3/cluster/member/update", `{"ID":"`+learner+`","peerURLs":["http://127.0.0.1:2"]}`), post("/v3/cluster/member/update", `{"ID":"5","peerURLs":["http://127.0.0.1:3"]}`), post("/v3/cluster/member/list", `{}`),
		post("/v3/cluster/member/remove", `{"ID":"`+learner+`"}`),
		post("/v3/maintenance/status", `[]`), post("/v3/maintenance/defragment", `[]`), post("/v3/maintenance/hash", `{}`), post("/v3/maintenance/hash", `[]`), post("/v3/maintenance/hashkv", `{"revision":"1000"}`), post("/v3/maintenance/alarm", `{"action":true}`),
		post("/v3/maintenance/snapshot", `{}`).streamed(1), post("/v3/maintenance/snapshot", `[]`), post("/v3/maintenance/transfer-leadership", `{"targetID":"`+self+`"}`), post("/v3/maintenance/downgrade", `{"action":"ENABLE","version":"x"}`), post("/v3/maintenance/downgrade", `{"action":"CANCEL"}`),
		// The dialect.
		post(put, kv(`{"key":%q,"value":"-_-_"}`, k)), post(rng, kv(`{"key":%q}`, k)), post(put, kv(`{"key":%q,"value":"+_-_"}`, k)), post(put, kv(`{"key":%q,"value":"YQ"}`, k)), post(put, kv(`{"key":%q,"value":"YQ="}`, k)), post(put, kv(`{"key":%q,"value":"YQ=="}`, k)), post(put, kv(`{"key":%q,"value":"YR"}`, k)), post(put, kv(`{"key":%q,"value":"Y\u0051=="}`, k)), post(put, kv(`{"key":%q,"value":"Y\nQ\n\n\n=="}`, k)), post(put, kv(`{"key":%q,"value":"Y\nQ=="}`, k)),
		post(put, kv(`{"key":%q,"value":null,"lease":null}`, k)), post(put, kv(`{"key":%q,"lease":0.0,"prev_kv":false}`, k)), post(put, kv(`{"key":%q,"ignore_value":true}`, k)), post(put, kv(`{"key":%q,"ignore_value":true,"value":"YQ=="}`, k)),
		post(rng, kv(`{"key":%q,"limit":1e0}`, k)), post(rng, kv(`{"key":%q,"limit":"1.0"}`, k)), post(rng, kv(`{"key":%q,"limit":10e-1}`, k)), post(rng, kv(`{"key":%q,"limit":1.5}`, k)), post(rng, kv(`{"key":%q,"limit":9223372036854775808}`, k)), post(rng, kv(`{"key":%q,"limit":"-9223372036854775808"}`, k)), post(rng, kv(`{"key":%q,"limit":" 1"}`, k)), post(rng, kv(`{"key":%q,"limit":"1e400"}`, k)), post(rng, kv(`{"key":%q,"limit":1e99999999999}`, k)), post(rng, kv(`{"key":%q,"limit":true}`, k)), post(rng, kv(`{"key":%q,"limit":{}}`, k)), post(rng, kv(`{"key":%q,"limit":-0}`, k)),
		post(rng, kv(`{"key":%q,"keys_only":1}`, k)), post(rng, kv(`{"key":%q,"keys_only":"true"}`, k)), post(rng, kv(`{"key":%q,"sort_order":"descend"}`, k)), post(rng, kv(`{"key":%q,"sort_order":-1}`, k)), post(rng, kv(`{"key":%q,"sort_order":1.5}`, k)), post(rng, kv(`{"key":%q,"sort_order":null}`, k)), post(rng, kv(`{"key":%q,"key":%q}`, k, k)), post(rng, kv(`{"range_end":%q,"rangeEnd":%q}`, k, k)), post(rng, kv(`{"Key":%q}`, k)),
		post("/v3/kv/txn", kv(`{"compare":[{"key":%q,"version":"1","value":"YQ=="}]}`, k)), post("/v3/kv/txn", `{"compare":[null]}`), post("/v3/kv/txn", `{"compare":{}}`), post("/v3/kv/txn", `{"success":[{}]}`), post("/v3/kv/txn", kv(`{"success":[{"request_txn":{"success":[{"request_range":{"key":%q}}]}}]}`, k)), post("/v3/kv/txn", `{"success":[5]}`), post("/v3/kv/txn", kv(`{"compare":[{"key":%q,"range_end":%q,"target":"VALUE","value":""}],"failure":[{"request_put":null}]}`, k, end)),
		post("/v3/watch", `{"create_request":{"key":"YQ==","filters":["NOPUT","NODELETE"]}}{"cancel_request":{"watch_id":"0"}}`).streamed(2), post("/v3/watch", kv(`{"create_request":{"key":%q,"start_revision":"2","progress_notify":true}} x`, k)).streamed(2),
		post("/v3/lease/keepalive", ` {"ID":"1"} {"ID":2}{"ID":"x"}{"ID":"3"}`), post("/v3/lease/keepalive", ``), post("/v3/lease/keepalive", `x`), post("/v3/lease/keepalive", `{"ID":`),
		// Not requests, or not for here.
		post(rng, ``), post(rng, ` `), post(rng, `null`), post(rng, `true`), post(rng, `"x"`), post(rng, `5 x`), post(rng, kv(`{"key":%q} x`, k)), post(rng, kv(`{"key":%q}{}`, k)), post(rng, `x`), post(rng, `{,}`), post(rng, `{"a"}`), post(rng, `{"a":1,}`), post(rng, `{"a" 1}`), post(rng, `{"a":1 2}`), post(rng, `[1 2]`), post(rng, `[1,]`), post(rng, `{"a":tru}`), post(rng, `{"a":nulL}`), post(rng, `{"a":-}`), post(rng, `{"a":1.}`), post(rng, `{"a":1e}`), post(rng, `{"a":01}`), post(rng, `{"a":"\x"}`), post(rng, `{"a":"\u12x4"}`), post(rng, "{\"a\":\"\n\"}"), post(rng, "{\"a\":\"\x01\"}"), post(rng, "\x00"), post(rng, "\u00e9"), post(rng, `'`), post(rng, "{\"a\":\"\xff\"}"), post(rng, `{"a":"\ud800"}`), post(rng, `{"a":"\ud800\u0041"}`), post(rng, `{"a":"\ud83d\ude00"}`), post(rng, "{\n \"\u00e9\":1,\n \"key\": 1}"), post(rng, strings.Repeat("[", 10001)), post(rng, strings.Repeat(`{"a":`, 9999)), post(rng, `{"a":`+strings.Repeat("[", 9999)+strings.Repeat("]", 9999)+`}`),
		post("/v3/", ``), post("/v3/kv", ``), post("/v3/kv/range/", `{}`), post("/v3/kv/Range", `{}`), post("/v3beta/nothing", `{}`), post("/v3alpha/kv/range", `{}`), get("/v3/nothing"), {method: http.MethodHead, path: rng}, {method: http.MethodDelete, path: rng}, {method: "NONSENSE", path: rng},
		post(rng, kv(`{"key":%q}`, k)).with("Content-Type", "text/html"), post(rng, kv(`{"key":%q}`, k)).with("Accept", "text/html"), post(rng, kv(`{"key":%q}`, k)).with("Content-Type", "application/grpc"), post(rng, kv(`{"key":%q}`, k)).with("Authorization", "Bearer x"), post(rng, kv(`{"key":%q}`, k)).with("Grpc-Metadata-Token", "x"),
		post(rng, kv(`{"key":%q}`, k)).with("Grpc-Timeout", "soon"), post(rng, kv(`{"key":%q}`, k)).with("Grpc-Timeout", "5S"), post(rng, kv(`{"key":%q}`, k)).with("Grpc-Timeout", "0S"), post(rng, kv(`{"key":%q}`, k)).with("Grpc-Timeout", "-1S"), post(rng, kv(`{"key":%q}`, k)).with("Grpc-Metadata-Hasleader", "true"), post(rng, kv(`{"key":%q}`, k)).with("Host", "evil.example"), post(rng, kv(`{"key":%q}`, k)).with("Origin", "http://a"),
		post(put, kv(`{"key":%q,"value":%q}`, k, strings.Repeat("A", 2100000))), post(put, kv(`{"key":%q,"value":%q}`, k, strings.Repeat("A", 2800000))),
		// Users last: nobody can show who he is afterwards.
		post("/v3/auth/disable", `{}`), post("/v3/auth/disable", `[]`), post("/v3/auth/enable", `[]`), post("/v3/auth/status", `[]`), post("/v3/auth/authenticate", `[]`),
		post("/v3/auth/user/add", `{"name":""}`), post("/v3/auth/user/add", `{"name":"root","options":{"no_password":true}}`), post("/v3/auth/user/add", `{"name":"u","password":"<\u2028\"\u00e9>"}`), post("/v3/auth/user/list", `[]`), post("/v3/auth/user/changepw", `{"name":"u","password":"q"}`), post("/v3/auth/user/changepw", `{"name":"x","password":"q"}`),
		post("/v3/auth/role/add", `{"name":"root"}`), post("/v3/auth/role/add", `{"name":"<\u2028\"\u00e9>"}`), post("/v3/auth/role/add", `{"name":""}`), post("/v3/auth/role/list", `{}`), post("/v3/auth/role/list", `[]`), post("/v3/auth/role/get", `{"role":"x"}`), post("/v3/auth/role/grant", `{"name":"x"}`),
		post("/v3/auth/role/grant", kv(`{"name":"root","perm":{"key":%q}}`, k)), post("/v3/auth/role/revoke", kv(`{"role":"root","key":%q}`, k)), post("/v3/auth/role/revoke", kv(`{"role":"root","key":%q}`, k)), post("/v3/auth/role/delete", `{"role":"<\u2028\"\u00e9>"}`), post("/v3/auth/role/delete", `{"role":"x"}`),
		post("/v3/auth/user/grant", `{"user":"root","role":"root"}`), post("/v3/auth/user/grant", `{"user":"u","role":"x"}`), post("/v3/auth/user/revoke", `{"name":"u","role":"root"}`), post("/v3/auth/user/grant", `{"user":"u","role":"root"}`), post("/v3/auth/user/revoke", `{"name":"u","role":"root"}`), post("/v3/auth/user/get", `{"name":"root"}`), post("/v3/auth/user/delete", `{"name":"u"}`), post("/v3/auth/user/delete", `{"name":"u"}`),
		post("/v3/auth/enable", `{}`), post("/v3/auth/status", `{}`), post(rng, kv(`{"key":%q}`, k)), post(rng, kv(`{"key":%q}`, k)).with("Authorization", "x.1"), post("/v3/maintenance/snapshot", `{}`), post("/v3/lock/lock", kv(`{"name":%q}`, b64("l"))), post("/v3/election/observe", kv(`{"name":%q}`, b64("e"))), post("/v3/watch", kv(`{"create_request":{"key":%q}}`, k)).streamed(1), post("/v3/watch", kv(`{"create_request":{"key":%q}}`, k)).with("Authorization", "x.1").streamed(1),
	}
	return reqs
}

// TestRoutes compares every exchange of routes, after making sure that no route is
// left out.
func TestRoutes(t *testing.T) {
	asked := map[string]int{}
	for _, r := range append(script(), routes()...) {
		asked[r.path]++
	}
	for _, path := range contractRoutes(t) {
		if asked[path] < 2 {
			t.Errorf("%s is asked %d times: neither success nor error are compared", path, asked[path])
		}
	}
	compareRoutes(t, harness.MustTarget(t))
}

// TestRoutesSelf compares upstream with itself.
func TestRoutesSelf(t *testing.T) { compareRoutes(t, harness.MustEtcd(t, "3.7")) }

func compareRoutes(t *testing.T, bin harness.Binary) { compareAll(t, bin, routes()) }

// contractRoutes are the paths of contract/grpc.tsv.
func contractRoutes(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "contract", "grpc.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n")[1:] {
		for _, route := range strings.Split(strings.Split(line, "\t")[5], "; ") {
			if path, isPost := strings.CutPrefix(route, "POST "); isPost {
				paths = append(paths, path)
			}
		}
	}
	if len(paths) < 40 {
		t.Fatalf("the contract has only %d routes", len(paths))
	}
	return paths
}

// withMembers puts the ids of a server's members into a body.
func withMembers(t *testing.T, s *harness.Server, body string) string {
	t.Helper()
	if !strings.Contains(body, "$") {
		return body
	}
	resp, err := http.Post("http://"+s.Addr+"/v3/cluster/member/list", "", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct {
		Members []struct {
			ID        string
			IsLearner bool
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, m := range list.Members {
		name := self
		if m.IsLearner {
			name = learner
		}
		body = strings.ReplaceAll(body, name, m.ID)
	}
	return body
}
