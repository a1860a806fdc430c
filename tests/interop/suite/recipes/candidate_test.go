package recipes

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
)

// candidate is somebody who wants to lead.
type candidate struct {
	kind kind
	// won receives when it leads, or why it never will.
	won chan error
	// leader is the handle of its post; nil for etcdctl, which does not tell.
	leader func() *v3electionpb.LeaderKey
	// resign gives the post back, cancel gives up waiting.
	resign, cancel func() error
	// abandon stops the renewal of the lease.
	abandon func() error
}

// campaign starts a campaign.
func (w *world) campaign(k kind, name, value string, ttl int64) *candidate {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	w.t.Cleanup(cancel)
	c := &candidate{kind: k, won: make(chan error, 1), cancel: func() error { cancel(); return nil }}
	switch k {
	case service:
		var leader *v3electionpb.LeaderKey
		lease := w.lease(ttl)
		go func() {
			r, err := w.stub.Election.Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte(name), Lease: lease, Value: []byte(value)})
			leader = r.GetLeader()
			c.won <- err
		}()
		c.leader = func() *v3electionpb.LeaderKey { return leader }
		c.resign = func() error {
			_, err := w.stub.Election.Resign(w.ctx, &v3electionpb.ResignRequest{Leader: leader})
			return err
		}
		c.abandon = func() error { return nil }
	case library:
		session, err := concurrency.NewSession(w.lib, concurrency.WithLease(clientv3.LeaseID(w.lease(ttl))))
		w.check(err)
		election := concurrency.NewElection(session, name)
		go func() { c.won <- election.Campaign(ctx, value) }()
		c.leader = func() *v3electionpb.LeaderKey {
			return &v3electionpb.LeaderKey{
				Name: []byte(name), Key: []byte(election.Key()), Rev: election.Rev(), Lease: int64(session.Lease()),
			}
		}
		c.resign = func() error { return election.Resign(w.ctx) }
		c.abandon = func() error { session.Orphan(); return nil }
	case etcdctl:
		// Its TTL cannot be chosen; it is 60 s.
		p := w.start("elect", name, value)
		go func() {
			<-p.lines
			if got := <-p.lines; got != value {
				c.won <- fmt.Errorf("%w: %q", errEnded, got)
				return
			}
			c.won <- nil
		}()
		c.leader = func() *v3electionpb.LeaderKey { return nil }
		c.resign, c.cancel, c.abandon = p.interrupt, p.interrupt, p.kill
	}
	return c
}

// wins waits until the candidate leads.
func (w *world) wins(c *candidate) {
	w.t.Helper()
	if err := await(w, c.won, "victory of "+string(c.kind)); err != nil {
		w.t.Fatalf("%s: %v", c.kind, err)
	}
}

// observe sends the value of every leader.
func (w *world) observe(k kind, name string) <-chan string {
	w.t.Helper()
	// More than any scenario has.
	values := make(chan string, 100)
	switch k {
	case service:
		stream, err := w.stub.Election.Observe(w.ctx, &v3electionpb.LeaderRequest{Name: []byte(name)})
		w.check(err)
		go func() {
			for {
				r, err := stream.Recv()
				if err != nil {
					return
				}
				values <- string(r.Kv.Value)
			}
		}()
	case library:
		session, err := concurrency.NewSession(w.lib, concurrency.WithLease(clientv3.LeaseID(w.lease(longTTL))))
		w.check(err)
		leaders := concurrency.NewElection(session, name).Observe(w.ctx)
		go func() {
			for r := range leaders {
				values <- string(r.Kvs[0].Value)
			}
		}()
	case etcdctl:
		lines := w.start("elect", name, "--listen").lines
		go func() {
			for range lines {
				// After each key comes its value.
				values <- <-lines
			}
		}()
	}
	return values
}
