package history

import (
	"context"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// agreePause is between two questions whether a member has caught up.
const agreePause = 20 * time.Millisecond

// Agree waits until all members applied the same, and compares their hashes.
func Agree(ctx context.Context, t testing.TB, c *harness.Cluster) {
	t.Helper()
	apis := make([]*harness.Client, len(c.Members))
	var head int64
	for i, s := range c.Members {
		apis[i] = s.Client(t)
		for {
			r, err := apis[i].KV.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
			if err == nil {
				head = max(head, r.Header.Revision)
				break
			}
			pause(ctx, t, "member %d serves no reads: %v", i, err)
		}
	}
	var first *pb.HashKVResponse
	for i, api := range apis {
		var r *pb.HashKVResponse
		for {
			// A revision that the member has not yet is refused.
			var err error
			if r, err = api.Maintenance.HashKV(ctx, &pb.HashKVRequest{Revision: head}); err == nil {
				break
			}
			pause(ctx, t, "member %d does not get to revision %d: %v", i, head, err)
		}
		if first == nil {
			first = r
		}
		if r.Hash != first.Hash || r.CompactRevision != first.CompactRevision {
			t.Errorf("at revision %d member 0 has %v, member %d has %v", head, first, i, r)
		}
	}
}

// pause waits a little, or ends the test if there is no time left.
func pause(ctx context.Context, t testing.TB, format string, args ...any) {
	t.Helper()
	select {
	case <-ctx.Done():
		t.Fatalf(format, args...)
	case <-time.After(agreePause):
	}
}
