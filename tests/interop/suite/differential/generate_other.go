package differential

import (
	"math"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
)

// longTTLs are so long, and so far apart, that no lease expires and the order of
// expiry follows from the order of requests.
var longTTLs = []int64{20000, 40000, 60000, 80000, 9000000000}

// leaseID picks from the ids that are ever granted.
func (g *generator) leaseID() int64 {
	switch n := g.rng.IntN(100); {
	case n < 80:
		return 1 + g.rng.Int64N(25)
	case n < 95:
		g.mark("lease/negative-id")
		return -1 - g.rng.Int64N(5)
	default:
		return oneOf(g, int64(math.MaxInt64), math.MinInt64)
	}
}

func (g *generator) grant() planned {
	r := &pb.LeaseGrantRequest{ID: g.leaseID(), TTL: oneOf(g, longTTLs...)}
	if g.marked(25, "lease/too-large-ttl") {
		r.TTL = 9000000001
	}
	p := g.call(mGrant, r, "LeaseGrant")
	p.observe = func(o outcome) {
		if o.ok() {
			g.leases = append(g.leases, r.ID)
		}
	}
	return p
}

func (g *generator) revoke() planned {
	id := g.leaseID()
	p := g.call(mRevoke, &pb.LeaseRevokeRequest{ID: id}, "LeaseRevoke")
	p.observe = func(o outcome) {
		if o.ok() {
			g.forget(id)
		}
	}
	return p
}

func (g *generator) forget(id int64) {
	for i, l := range g.leases {
		if l == id {
			g.leases = append(g.leases[:i], g.leases[i+1:]...)
			return
		}
	}
}

func (g *generator) timeToLive() planned {
	r := &pb.LeaseTimeToLiveRequest{ID: g.leaseID(), Keys: g.marked(60, "lease/ttl-with-keys")}
	return g.call(mTTL, r, "LeaseTimeToLive")
}

func (g *generator) listLeases() planned {
	return g.call(mLeases, &pb.LeaseLeasesRequest{}, "LeaseLeases")
}

// renew uses a standing stream without a token, so it waits until authentication
// is off again.
func (g *generator) renew() planned {
	if len(g.users) > 0 {
		return g.timeToLive()
	}
	return planned{step: keepAlive{id: g.leaseID()}, feature: "LeaseKeepAlive"}
}

// shortLease grants below the minimum TTL, or with an id of the server's choice,
// and revokes at once, before anything expires.
func (g *generator) shortLease() planned {
	grant := &pb.LeaseGrantRequest{ID: 900, TTL: oneOf(g, int64(0), 1, 2, -7, math.MinInt64)}
	if g.marked(65, "lease/id-chosen-by-server") {
		grant.ID = 0
	}
	granted := func(before []proto.Message) int64 { return before[0].(*pb.LeaseGrantResponse).ID }
	as := g.root()
	return planned{feature: "Lease/short", step: sequence{title: "short lease", calls: []link{
		{unary: unary{method: mGrant, req: grant, as: as, scrub: func(m proto.Message) {
			if grant.ID == 0 && m.(*pb.LeaseGrantResponse).ID > 0 {
				m.(*pb.LeaseGrantResponse).ID = 1
			}
		}}},
		{
			unary: unary{method: mTTL, req: &pb.LeaseTimeToLiveRequest{Keys: true}, as: as, scrub: func(m proto.Message) { m.(*pb.LeaseTimeToLiveResponse).ID = 0 }},
			fill:  func(m proto.Message, b []proto.Message) { m.(*pb.LeaseTimeToLiveRequest).ID = granted(b) },
		},
		{
			unary: unary{method: mRevoke, req: &pb.LeaseRevokeRequest{}, as: as},
			fill:  func(m proto.Message, b []proto.Message) { m.(*pb.LeaseRevokeRequest).ID = granted(b) },
		},
	}}}
}

// root is the user for steps that must succeed, empty while authentication is off.
func (g *generator) root() string {
	if len(g.users) == 0 {
		return ""
	}
	return "root"
}

func (g *generator) statusStep() planned {
	return g.call(mStatus, &pb.StatusRequest{}, "Status")
}

// alarmSteps is for how many steps a raised alarm stays.
const alarmSteps = 3

func (g *generator) alarm() planned {
	r := &pb.AlarmRequest{Action: pb.AlarmRequest_GET, Alarm: pb.AlarmType(g.rng.IntN(3))}
	switch {
	case g.marked(25, "alarm/activate-none"):
		r.Action, r.Alarm = pb.AlarmRequest_ACTIVATE, pb.AlarmType_NONE
	case g.marked(33, "alarm/deactivate-absent"):
		r.Action, r.MemberID = pb.AlarmRequest_DEACTIVATE, 123456
	case g.percent(90):
		return g.raise()
	}
	return g.call(mAlarm, r, "Alarm")
}

func (g *generator) raise() planned {
	kind := oneOf(g, pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT)
	r := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: uint64(g.rng.IntN(3)), Alarm: kind}
	g.mark("alarm/activate-" + kind.String())
	p := planned{step: unary{method: mAlarm, req: r, as: g.root()}, feature: "Alarm"}
	p.observe = func(o outcome) {
		if o.ok() {
			g.alarmed = append(g.alarmed, r)
		}
	}
	return p
}

// lower clears every raised alarm, as the next steps.
func (g *generator) lower() {
	for _, r := range g.alarmed {
		off := proto.CloneOf(r)
		off.Action = pb.AlarmRequest_DEACTIVATE
		g.queue = append(g.queue, planned{step: unary{method: mAlarm, req: off, as: g.root()}, feature: "Alarm"})
	}
	g.alarmed = nil
}

func (g *generator) downgrade() planned {
	r := &pb.DowngradeRequest{
		Action:  oneOf(g, pb.DowngradeRequest_VALIDATE, pb.DowngradeRequest_CANCEL, 9),
		Version: oneOf(g, "3.6.0", "3.6", "3.5.0", "3.7.0", "3.8.0", "", "x", "3", "3.6.1", "v3.6.0"),
	}
	g.mark("downgrade/" + r.Action.String())
	return g.call(mDowngrade, r, "Downgrade")
}

func (g *generator) unknownMethod() planned {
	methods := []string{
		"/etcdserverpb.KV/Nope", "/etcdserverpb.Nope/Range", "/x.Y/Z", "/etcdserverpb.KV/", "/etcdserverpb.kv/Range",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/etcdserverpb.Maintenance/Nope",
	}
	if !slices.Contains(g.leftOut, "lock") {
		methods = append(methods, "/v3lockpb.Lock/TryLock")
	}
	m := oneOf(g, methods...)
	return g.call(method(m), &pb.RangeRequest{Key: []byte("k")}, "unknown method")
}

func (g *generator) memberList() planned {
	return g.call(cluster("MemberList"), &pb.MemberListRequest{Linearizable: g.percent(50)}, "MemberList")
}

// memberStep asks for changes of membership that are refused.
func (g *generator) memberStep() planned {
	switch g.rng.IntN(5) {
	case 0:
		urls := oneOf(g, []string{"not a url"}, []string{"http://a/path"}, []string{"ftp://127.0.0.1:1"}, []string{"http://127.0.0.1"}, nil)
		return g.call(cluster("MemberAdd"), &pb.MemberAddRequest{PeerURLs: urls, IsLearner: true}, "MemberAdd/refused")
	case 1:
		return g.call(cluster("MemberAdd"), &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:2380"}, IsLearner: true}, "MemberAdd/refused")
	case 2:
		return g.call(cluster("MemberRemove"), &pb.MemberRemoveRequest{ID: 4711}, "MemberRemove/unknown")
	case 3:
		return g.call(cluster("MemberUpdate"), &pb.MemberUpdateRequest{ID: 4711, PeerURLs: []string{"http://127.0.0.1:3"}}, "MemberUpdate/unknown")
	default:
		return g.call(cluster("MemberPromote"), &pb.MemberPromoteRequest{ID: 4711}, "MemberPromote/unknown")
	}
}

// restart ends and starts both servers. Tokens would not survive it, so it waits
// until authentication is off. Then all leases are renewed, one after the other,
// because their order of expiry is only defined by requests.
func (g *generator) restart() planned {
	if len(g.users) > 0 {
		return g.statusStep()
	}
	kill := g.marked(50, "restart/kill")
	if !kill {
		g.mark("restart/graceful")
	}
	return planned{
		step: restart{kill: kill, lifetime: g.lifetime}, feature: "restart", settle: true,
		observe: func(outcome) {
			for i := range g.slots {
				g.slots[i] = newSlot()
			}
			// An interrupted compaction goes on in the background.
			g.hashUnstable[g.compacted] = true
			for _, id := range slices.Sorted(slices.Values(g.leases)) {
				g.queue = append(g.queue, planned{step: keepAlive{id: id}, feature: "LeaseKeepAlive"})
			}
		},
	}
}

func (g *generator) healthStep() planned {
	return g.call(mHealth, &healthpb.HealthCheckRequest{Service: oneOf(g, "", "", "etcdserverpb.KV")}, "Health/Check")
}

func (g *generator) maintenanceStep() planned {
	if g.percent(50) {
		return g.call(mMoveLeader, &pb.MoveLeaderRequest{TargetID: 4711}, "MoveLeader/unknown")
	}
	return g.call(mDefragment, &pb.DefragmentRequest{}, "Defragment")
}

// lockLease is used only by locks and elections: their sessions renew it at times
// of their own.
const lockLease = 7770

// withLease surrounds calls by the grant and the revoke of a lease.
func (g *generator) withLease(title string, calls ...link) planned {
	all := []link{{unary: unary{method: mGrant, req: &pb.LeaseGrantRequest{ID: lockLease, TTL: 5000}}}}
	all = append(all, calls...)
	all = append(all, link{unary: unary{method: mRevoke, req: &pb.LeaseRevokeRequest{ID: lockLease}}})
	return planned{step: sequence{title: title, calls: all}, feature: title}
}

func (g *generator) lockStep() planned {
	if len(g.users) > 0 || len(g.alarmed) > 0 {
		return g.healthStep()
	}
	return g.withLease("Lock",
		link{unary: unary{method: "/v3lockpb.Lock/Lock", req: &v3lockpb.LockRequest{Name: []byte("lock"), Lease: lockLease}}},
		link{
			unary: unary{method: "/v3lockpb.Lock/Unlock", req: &v3lockpb.UnlockRequest{}},
			fill: func(m proto.Message, b []proto.Message) {
				m.(*v3lockpb.UnlockRequest).Key = b[1].(*v3lockpb.LockResponse).Key
			},
		},
		link{unary: unary{method: "/v3lockpb.Lock/Unlock", req: &v3lockpb.UnlockRequest{Key: []byte("lock/absent")}}},
	)
}

func (g *generator) electionStep() planned {
	const path = "/v3electionpb.Election/"
	name := []byte("election")
	if len(g.users) > 0 || len(g.alarmed) > 0 {
		return g.healthStep()
	}
	if g.marked(50, "election/without-leader") {
		m, req := oneOf(g, "Proclaim", "Resign", "Leader"), proto.Message(&v3electionpb.LeaderRequest{Name: []byte("nobody")})
		switch m {
		case "Proclaim":
			req = &v3electionpb.ProclaimRequest{}
		case "Resign":
			req = &v3electionpb.ResignRequest{}
		}
		return g.call(path+method(m), req, "Election/refused")
	}
	leader := func(b []proto.Message) *v3electionpb.LeaderKey { return b[1].(*v3electionpb.CampaignResponse).Leader }
	return g.withLease("Election",
		link{unary: unary{method: path + "Campaign", req: &v3electionpb.CampaignRequest{Name: name, Lease: lockLease, Value: g.bytes(3)}}},
		link{unary: unary{method: path + "Leader", req: &v3electionpb.LeaderRequest{Name: name}}},
		link{
			unary: unary{method: path + "Proclaim", req: &v3electionpb.ProclaimRequest{Value: g.bytes(3)}},
			fill:  func(m proto.Message, b []proto.Message) { m.(*v3electionpb.ProclaimRequest).Leader = leader(b) },
		},
		link{
			unary: unary{method: path + "Resign", req: &v3electionpb.ResignRequest{}},
			fill:  func(m proto.Message, b []proto.Message) { m.(*v3electionpb.ResignRequest).Leader = leader(b) },
		},
	)
}
