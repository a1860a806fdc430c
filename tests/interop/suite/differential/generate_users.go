package differential

import (
	"context"
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"
)

// usersSteps is how many steps a phase with authentication on lasts when a run is
// about users.
const usersSteps = 400

// strangers are users whose tokens are none.
var strangers = map[string]string{"stranger": "abcdefghijklmnop.1", "nonsense": "nonsense", "empty": "", "bearer": "Bearer abc.1"}

// aboutUsers makes a run one about users: authentication is nearly always on, and
// every request is some user's.
func (g *generator) aboutUsers() {
	g.usersOnly = true
	g.leftOut = append(g.leftOut, "watch", "restart", "health", "unknown")
}

// usersMenu adds what only matters with users.
func (g *generator) usersMenu() []choice {
	return append(g.menu(), []choice{
		{"watch-as", 150, g.watchAs}, {"renew-as", 60, g.renewAs}, {"login", 150, g.logInAgain}, {"users", 100, g.grantMore},
	}...)
}

// watchAs asks for a watcher as some user.
func (g *generator) watchAs() planned {
	key := g.key()
	r := &pb.WatchCreateRequest{Key: key, RangeEnd: g.rangeEnd(key)}
	if g.marked(5, "watch-as/negative-start") {
		r.StartRevision = -1
	}
	return planned{step: firstWatchReply{req: r, as: g.user()}, feature: "Watch/create-as"}
}

// renewAs renews a lease as some user.
func (g *generator) renewAs() planned {
	return planned{step: renewOnce{id: g.leaseID(), as: g.user()}, feature: "LeaseKeepAlive/as"}
}

// logInAgain renews somebody's token, which later requests use.
func (g *generator) logInAgain() planned {
	user := oneOf(g, "root", "root", "alice", "alice", "bob", "bob", "carol", "dave", "")
	word := password
	if g.marked(15, "login/wrong-password") {
		word = oneOf(g, "wrong", "", password+" ")
	}
	p := planned{
		step:    unary{method: auth("Authenticate"), req: &pb.AuthenticateRequest{Name: user, Password: word}},
		feature: "Auth/Authenticate",
	}
	p.observe = func(o outcome) {
		if o.ok() && len(g.users) > 0 && !slices.Contains(g.users, user) {
			g.users = append(g.users, user)
		}
	}
	return p
}

// grantMore lets root give rights, so that there are some to be judged by.
func (g *generator) grantMore() planned {
	key := g.key()
	role := oneOf(g, "r1", "r2", "r3")
	perm := g.permission()
	if perm == nil || len(key) == 0 {
		return g.usersStep()
	}
	perm.Key = key
	perm.RangeEnd = g.permissionEnd(key)
	p := g.auth("RoleGrantPermission", &pb.AuthRoleGrantPermissionRequest{Name: role, Perm: perm})
	if u := p.step.(unary); len(g.users) > 0 {
		u.as = "root"
		p.step = u
	}
	return p
}

// renewOnce renews a lease over a stream of its own.
type renewOnce struct {
	id int64
	as string
}

func (r renewOnce) run(ctx context.Context, s *side) outcome {
	ctx, cancel := context.WithTimeout(unary{as: r.as}.attach(ctx, s), callLimit)
	defer cancel()
	stream, err := s.client.Lease.LeaseKeepAlive(ctx)
	if err != nil {
		return failed(err)
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: r.id}); err != nil {
		return failed(err)
	}
	reply, err := stream.Recv()
	return outcomeOf(reply, err)
}

func (r renewOnce) String() string { return fmt.Sprintf("LeaseKeepAlive{ID:%d} as %s", r.id, r.as) }

// withToken adds a token to a call, in one of the ways in which it may come.
func withToken(ctx context.Context, user, token string) context.Context {
	if user == "bearer" || len(user)%2 == 0 {
		return metadata.AppendToOutgoingContext(ctx, "authorization", token)
	}
	return metadata.AppendToOutgoingContext(ctx, "token", token)
}
