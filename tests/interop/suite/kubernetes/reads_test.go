package kubernetes

import (
	"errors"
	"fmt"
	"io"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

func TestFreshStoreHasRevisionOne(t *testing.T) {
	each(t, func(a *apiserver) {
		if r := a.get("/registry/health", 0); r.Header.Revision != 1 || r.Count != 0 || r.More || r.Kvs != nil {
			a.Fatalf("%v", r)
		}
	})
}

func TestGetAndCurrentRevision(t *testing.T) {
	each(t, func(a *apiserver) {
		r1 := a.create("/registry/pods/a", "one")
		r2 := a.create("/registry/pods/b", "two")
		if r1 != 2 || r2 != 3 {
			a.Fatalf("revisions %d, %d", r1, r2)
		}
		if r := a.get("/registry/pods", 0); r.Header.Revision != 3 || r.Count != 0 {
			a.Fatalf("absent key: %v", r)
		}
		old := a.get("/registry/pods/a", r1)
		want := &mvccpb.KeyValue{Key: []byte("/registry/pods/a"), Value: []byte("one"), CreateRevision: 2, ModRevision: 2, Version: 1}
		if old.Count != 1 || old.More || !proto.Equal(old.Kvs[0], want) || old.Header.Revision != 3 {
			a.Fatalf("get at its revision: %v", old)
		}
		if r := a.get("/registry/pods/b", r1); r.Count != 0 {
			a.Fatalf("visible before it was created: %v", r)
		}
	})
}

// fill creates n pods and returns the revision of the last one.
func (a *apiserver) fill(n int) (rev int64) {
	a.Helper()
	for i := range n {
		rev = a.create(fmt.Sprintf("/registry/pods/%04d", i), fmt.Sprintf("spec %d", i))
	}
	return rev
}

func TestListInPages(t *testing.T) {
	each(t, func(a *apiserver) {
		const total, page = 57, 10
		rev := a.fill(total)
		// Later changes must not show at the revision of the list.
		a.optimisticDelete("/registry/pods/0003", a.get("/registry/pods/0003", 0).Kvs[0].ModRevision)
		a.create("/registry/pods/zzz", "late")
		from, seen := "/registry/pods/", 0
		for {
			r := a.list(from, "/registry/pods0", page, rev)
			if r.Count != int64(total-seen) || r.Header.Revision != rev+2 {
				a.Fatalf("page at %d: count %d, header %v", seen, r.Count, r.Header)
			}
			if r.More != (int64(len(r.Kvs)) < r.Count) {
				a.Fatalf("more is %t for %d of %d", r.More, len(r.Kvs), r.Count)
			}
			for _, kv := range r.Kvs {
				if want := fmt.Sprintf("/registry/pods/%04d", seen); string(kv.Key) != want {
					a.Fatalf("key %q, want %q", kv.Key, want)
				}
				seen++
			}
			if !r.More {
				break
			}
			from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
		}
		if seen != total {
			a.Fatalf("%d keys listed", seen)
		}
	})
}

func TestCountAndKeysOnly(t *testing.T) {
	each(t, func(a *apiserver) {
		a.fill(25)
		prefix := &pb.RangeRequest{Key: []byte("/registry/pods/"), RangeEnd: []byte("/registry/pods0")}
		count := proto.CloneOf(prefix)
		count.CountOnly = true
		r, err := a.KV.Range(a.ctx, count)
		a.must(err)
		if r.Count != 25 || len(r.Kvs) != 0 || r.More {
			a.Fatalf("count: %v", r)
		}
		keys := proto.CloneOf(prefix)
		keys.KeysOnly = true
		r, err = a.KV.Range(a.ctx, keys)
		a.must(err)
		if r.Count != 25 || len(r.Kvs) != 25 || r.Kvs[7].Value != nil || r.Kvs[7].ModRevision != 9 || r.Kvs[7].Version != 1 {
			a.Fatalf("keys: %v", r)
		}
	})
}

func TestRangeStream(t *testing.T) {
	each(t, func(a *apiserver) {
		rev := a.fill(300)
		a.create("/registry/pods/late", "x")
		for _, r := range []*pb.RangeRequest{
			{Key: []byte("/registry/pods/"), RangeEnd: []byte("/registry/pods0")},
			{Key: []byte("/registry/pods/"), RangeEnd: []byte("/registry/pods0"), Revision: rev},
			{Key: []byte("/registry/pods/"), RangeEnd: []byte("/registry/pods0"), Limit: 120},
			{Key: []byte("/registry/nothing/"), RangeEnd: []byte("/registry/nothing0")},
			{Key: []byte("/registry/pods/"), RangeEnd: []byte("/registry/pods0"), CountOnly: true},
		} {
			want, err := a.KV.Range(a.ctx, r)
			a.must(err)
			if got := a.stream(r); !proto.Equal(got, want) {
				a.Fatalf("%v\nstreamed: %d kvs, count %d, more %t, %v\nunary:    %d kvs, count %d, more %t, %v",
					r, len(got.Kvs), got.Count, got.More, got.Header, len(want.Kvs), want.Count, want.More, want.Header)
			}
		}
	})
}

// stream joins the chunks of a RangeStream; only the last has header, count, more.
func (a *apiserver) stream(r *pb.RangeRequest) *pb.RangeResponse {
	a.Helper()
	s, err := a.KV.RangeStream(a.ctx, r)
	a.must(err)
	joined := &pb.RangeResponse{}
	for {
		chunk, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return joined
		}
		a.must(err)
		part := chunk.RangeResponse
		if joined.Header != nil {
			a.Fatal("a chunk after the one with the header")
		}
		if part.Header == nil && (part.Count != 0 || part.More) {
			a.Fatalf("count or more before the end: %v", part)
		}
		joined.Kvs = append(joined.Kvs, part.Kvs...)
		joined.Header, joined.Count, joined.More = part.Header, part.Count, part.More
	}
}

func TestStatus(t *testing.T) {
	each(t, func(a *apiserver) {
		a.fill(3)
		st, err := a.Maintenance.Status(a.ctx, &pb.StatusRequest{})
		a.must(err)
		if st.Version != "3.7.1" || st.DbSize <= 0 || st.Leader != st.Header.MemberId || st.DbSizeQuota != 2147483648 || st.DowngradeInfo == nil {
			a.Fatalf("%v", st)
		}
	})
}

// TestExactRevisions does what the consistency checker does: it lists everything
// again at an old revision and compares.
func TestExactRevisions(t *testing.T) {
	each(t, func(a *apiserver) {
		model := map[string]int64{}
		var old []map[string]int64
		first := a.fill(40)
		for i := range 40 {
			model[fmt.Sprintf("/registry/pods/%04d", i)] = int64(i + 2)
		}
		for i := range 200 {
			key := fmt.Sprintf("/registry/pods/%04d", (i*7)%40)
			if mod := model[key]; mod != 0 && i%3 == 0 {
				a.optimisticDelete(key, mod)
				delete(model, key)
			} else {
				model[key] = a.optimisticPut(key, fmt.Sprint(i), mod, 0, true).Header.Revision
			}
			old = append(old, clone(model))
		}
		_, err := a.KV.Compact(a.ctx, &pb.CompactionRequest{Revision: first + 50, Physical: true})
		a.must(err)
		for i := 49; i < len(old); i += 10 {
			got := map[string]int64{}
			for _, kv := range a.list("/registry/pods/", "/registry/pods0", 10000, first+int64(i)+1).Kvs {
				got[string(kv.Key)] = kv.ModRevision
			}
			if fmt.Sprint(got) != fmt.Sprint(old[i]) {
				a.Fatalf("at revision %d: %v, want %v", first+int64(i)+1, got, old[i])
			}
		}
	})
}

func clone(m map[string]int64) map[string]int64 {
	out := make(map[string]int64, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
