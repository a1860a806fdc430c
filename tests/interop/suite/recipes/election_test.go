package recipes

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/grpc/status"
)

// leads checks who leads, as the service says it.
func (w *world) leads(name, value string) {
	w.t.Helper()
	r, err := w.stub.Election.Leader(w.ctx, &v3electionpb.LeaderRequest{Name: []byte(name)})
	w.check(err)
	if string(r.Kv.Value) != value {
		w.t.Fatalf("%q leads, not %q", r.Kv.Value, value)
	}
}

// proclaim lets the holder of a post say something new.
func (w *world) proclaim(leader *v3electionpb.LeaderKey, value string) error {
	_, err := w.stub.Election.Proclaim(w.ctx, &v3electionpb.ProclaimRequest{Leader: leader, Value: []byte(value)})
	return err
}

// TestSuccession: each kind waits for each other, and leads next.
func TestSuccession(t *testing.T) {
	compare(t, func(w *world) {
		for _, a := range kinds {
			for _, b := range kinds {
				name := fmt.Sprintf("post/%s-%s", a, b)
				first := w.campaign(a, name, "first", longTTL)
				w.wins(first)
				second := w.campaign(b, name, "second", longTTL)
				w.inLine(name, 2)
				still(w, second.won, "two lead")
				w.leads(name, "first")
				w.check(first.resign())
				w.wins(second)
				w.leads(name, "second")
				w.check(second.resign())
				w.inLine(name, 0)
				w.tell("%s, then %s", a, b)
			}
		}
	})
}

// TestObservers: all kinds of observers see the same leaders and values, each once.
func TestObservers(t *testing.T) {
	compare(t, func(w *world) {
		const name = "observed"
		seen := map[kind]<-chan string{}
		for _, k := range kinds {
			seen[k] = w.observe(k, name)
		}
		see := func(value string) {
			t.Helper()
			for _, k := range kinds {
				got := await(w, seen[k], "leader for the observer by "+string(k))
				w.tell("%s sees %s", k, got)
				if got != value {
					t.Fatalf("%s sees %q, not %q", k, got, value)
				}
			}
		}
		first := w.campaign(service, name, "one", longTTL)
		w.wins(first)
		see("one")
		second := w.campaign(library, name, "two", longTTL)
		w.inLine(name, 2)
		third := w.campaign(etcdctl, name, "three", longTTL)
		w.inLine(name, 3)
		w.check(w.proclaim(first.leader(), "one again"))
		see("one again")
		w.check(first.resign())
		w.wins(second)
		see("two")
		// A post of the library is a post of the service.
		w.check(w.proclaim(second.leader(), "two again"))
		see("two again")
		_, err := w.stub.Election.Resign(w.ctx, &v3electionpb.ResignRequest{Leader: second.leader()})
		w.check(err)
		w.wins(third)
		see("three")
		w.check(third.resign())
		w.inLine(name, 0)
		last := w.campaign(library, name, "last", longTTL)
		w.wins(last)
		see("last")
		for _, k := range kinds {
			still(w, seen[k], "a leader too many")
		}
	})
}

// TestLostPosts: when a leader is no longer heard of, the next one leads.
func TestLostPosts(t *testing.T) {
	compare(t, func(w *world) {
		var lost, next []*candidate
		for _, a := range []kind{service, library} {
			for _, b := range kinds {
				name := fmt.Sprintf("lost-post/%s-%s", a, b)
				first := w.campaign(a, name, "first", shortTTL)
				w.wins(first)
				lost = append(lost, first)
				next = append(next, w.campaign(b, name, "second", longTTL))
				w.check(first.abandon())
			}
		}
		for i, c := range next {
			w.wins(c)
			w.tell("%s, then %s: %v", lost[i].kind, c.kind, w.proclaim(lost[i].leader(), "still here"))
			w.check(c.resign())
		}
	})
}

// TestWithdrawal: a candidate who gives up leaves nothing.
func TestWithdrawal(t *testing.T) {
	compare(t, func(w *world) {
		for _, k := range kinds {
			name := "withdrawal/" + string(k)
			w.watchers(0)
			first := w.campaign(service, name, "first", longTTL)
			w.wins(first)
			second := w.campaign(k, name, "second", longTTL)
			w.inLine(name, 2)
			w.watchers(1)
			w.check(second.cancel())
			w.tell("%s: %s", k, status.Code(await(w, second.won, "end of the campaign")))
			w.inLine(name, 1)
			w.leads(name, "first")
			w.check(first.resign())
		}
	})
}

// TestElectionReplies compares revisions, handles and errors of the service.
func TestElectionReplies(t *testing.T) {
	compare(t, func(w *world) {
		name, lease := []byte("replies"), w.lease(longTTL)
		run := func(lease int64, value string) *v3electionpb.LeaderKey {
			r, err := w.stub.Election.Campaign(w.ctx, &v3electionpb.CampaignRequest{Name: name, Lease: lease, Value: []byte(value)})
			w.tell("campaign %d %s: %v at %d, %v", lease, value, r.GetLeader(), r.GetHeader().GetRevision(), err)
			return r.GetLeader()
		}
		ask := func(name string) {
			r, err := w.stub.Election.Leader(w.ctx, &v3electionpb.LeaderRequest{Name: []byte(name)})
			w.tell("leader of %s: %v at %d, %v", name, r.GetKv(), r.GetHeader().GetRevision(), err)
		}
		say := func(what string, leader *v3electionpb.LeaderKey) {
			w.tell("proclaim %s: %v", what, w.proclaim(leader, what))
		}
		leave := func(what string, leader *v3electionpb.LeaderKey) {
			r, err := w.stub.Election.Resign(w.ctx, &v3electionpb.ResignRequest{Leader: leader})
			w.tell("resign %s: %d, %v", what, r.GetHeader().GetRevision(), err)
		}
		ask("nobody")
		run(999, "unknown lease")
		run(-1, "negative lease")
		leader := run(lease, "one")
		run(lease, "one")
		run(lease, "two")
		ask("replies")
		say("without a leader", nil)
		leave("without a leader", nil)
		say("empty", &v3electionpb.LeaderKey{Lease: lease})
		leave("empty", &v3electionpb.LeaderKey{Lease: lease})
		older := &v3electionpb.LeaderKey{Name: leader.Name, Key: leader.Key, Rev: leader.Rev - 1, Lease: lease}
		say("as somebody before", older)
		leave("as somebody before", older)
		say("with an unknown lease", &v3electionpb.LeaderKey{Name: leader.Name, Key: leader.Key, Rev: leader.Rev, Lease: 999})
		say("well", leader)
		ask("replies")
		leave("well", leader)
		leave("again", leader)
		say("afterwards", leader)
		ask("replies")
		_, err := w.stub.KV.Put(w.ctx, &pb.PutRequest{Key: []byte("replies/by hand"), Value: []byte("counts")})
		w.check(err)
		ask("replies")
	})
}
