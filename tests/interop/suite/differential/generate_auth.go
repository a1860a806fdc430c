package differential

import (
	"maps"
	"slices"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

const (
	// authPhase is how many auth steps in a hundred begin a phase with
	// authentication on, if it is off.
	authPhase = 50
	// authSteps is how many steps such a phase lasts.
	authSteps = 40
	password  = "secret"
)

// logins are the users of a phase with authentication on.
var logins = []string{"root", "alice", "bob"}

// authStep logs in; now and then it begins a phase with authentication on.
func (g *generator) authStep() planned {
	off := len(g.users) == 0
	switch {
	case off && len(g.alarmed) == 0 && g.percent(authPhase):
		g.planAuthPhase()
		first := g.queue[0]
		g.queue = g.queue[1:]
		return first
	case !off && g.percent(50):
		return g.auth("AuthEnable", &pb.AuthEnableRequest{})
	}
	return g.auth("Authenticate", &pb.AuthenticateRequest{Name: oneOf(g, "carol", "dave", "nobody", ""), Password: oneOf(g, password, "wrong", "")})
}

// usersStep changes or reads users and roles.
func (g *generator) usersStep() planned {
	user := oneOf(g, "root", "alice", "bob", "carol", "dave", "")
	role := oneOf(g, "root", "r1", "r2", "r3", "")
	switch g.rng.IntN(17) {
	case 0:
		return g.auth("UserAdd", &pb.AuthUserAddRequest{Name: user, Password: password})
	case 1:
		return g.auth("UserAdd", &pb.AuthUserAddRequest{Name: "carol", Options: &authpb.UserAddOptions{NoPassword: true}})
	case 2:
		return g.auth("UserGet", &pb.AuthUserGetRequest{Name: user})
	case 3:
		return g.auth("UserList", &pb.AuthUserListRequest{})
	case 4:
		return g.auth("UserDelete", &pb.AuthUserDeleteRequest{Name: user})
	case 5:
		return g.auth("UserGrantRole", &pb.AuthUserGrantRoleRequest{User: user, Role: role})
	case 6:
		return g.auth("UserRevokeRole", &pb.AuthUserRevokeRoleRequest{Name: user, Role: role})
	case 7:
		return g.auth("RoleAdd", &pb.AuthRoleAddRequest{Name: role})
	case 8:
		return g.auth("RoleGet", &pb.AuthRoleGetRequest{Role: role})
	case 9:
		return g.auth("RoleList", &pb.AuthRoleListRequest{})
	case 10:
		return g.auth("RoleDelete", &pb.AuthRoleDeleteRequest{Role: role})
	case 11, 15, 16:
		return g.auth("RoleGrantPermission", &pb.AuthRoleGrantPermissionRequest{Name: role, Perm: g.permission()})
	case 12:
		key := g.key()
		return g.auth("RoleRevokePermission", &pb.AuthRoleRevokePermissionRequest{Role: role, Key: key, RangeEnd: g.rangeEnd(key)})
	case 13:
		if len(g.users) == 0 {
			return g.auth("AuthDisable", &pb.AuthDisableRequest{})
		}
		fallthrough
	default:
		return g.auth("AuthStatus", &pb.AuthStatusRequest{})
	}
}

func (g *generator) auth(name string, req proto.Message) planned {
	return g.call(auth(name), req, "Auth/"+name)
}

func (g *generator) permission() *authpb.Permission {
	if g.marked(40, "auth/no-permission") {
		return nil
	}
	p := &authpb.Permission{PermType: authpb.Permission_Type(g.rng.IntN(3)), Key: g.key()}
	p.RangeEnd = g.permissionEnd(p.Key)
	return p
}

// permissionEnd picks an end for a permission. In a run about users each key has one
// end only: upstream leaves the order of many permissions with one key undefined.
func (g *generator) permissionEnd(key []byte) []byte {
	if !g.usersOnly {
		return g.rangeEnd(key)
	}
	sum := 0
	for _, b := range key {
		sum += int(b)
	}
	return [][]byte{nil, nil, prefixEnd(key), {0}, []byte("k/3"), append(slices.Clone(key), '5')}[sum%6]
}

// planAuthPhase queues everything up to the log-ins.
func (g *generator) planAuthPhase() {
	plan := func(name string, req proto.Message) {
		g.queue = append(g.queue, planned{step: unary{method: auth(name), req: req}, feature: "Auth/" + name})
	}
	for _, user := range logins {
		plan("UserAdd", &pb.AuthUserAddRequest{Name: user, Password: password})
		plan("UserChangePassword", &pb.AuthUserChangePasswordRequest{Name: user, Password: password})
	}
	plan("RoleAdd", &pb.AuthRoleAddRequest{Name: "root"})
	// Without what it has: upstream sorts many permissions of one key as it happens.
	plan("RoleDelete", &pb.AuthRoleDeleteRequest{Role: "r1"})
	plan("RoleAdd", &pb.AuthRoleAddRequest{Name: "r1"})
	plan("UserGrantRole", &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
	plan("UserGrantRole", &pb.AuthUserGrantRoleRequest{User: "alice", Role: "r1"})
	for range 3 {
		plan("RoleGrantPermission", &pb.AuthRoleGrantPermissionRequest{Name: "r1", Perm: g.permission()})
	}
	wide := &authpb.Permission{PermType: authpb.Permission_READWRITE, Key: []byte("k/1"), RangeEnd: []byte("k/4")}
	plan("RoleGrantPermission", &pb.AuthRoleGrantPermissionRequest{Name: "r1", Perm: wide})
	g.queue = append(g.queue, planned{
		step: unary{method: auth("AuthEnable"), req: &pb.AuthEnableRequest{}}, feature: "Auth/AuthEnable",
		observe: func(o outcome) {
			if o.ok() {
				g.logIn()
			}
		},
	})
}

// logIn queues the log-ins and, for later, the end of the phase.
func (g *generator) logIn() {
	g.mark("auth/phase")
	for _, user := range logins {
		g.queue = append(g.queue, planned{
			step:    unary{method: auth("Authenticate"), req: &pb.AuthenticateRequest{Name: user, Password: password}},
			feature: "Auth/Authenticate",
			observe: func(o outcome) {
				if o.ok() {
					g.users = append(g.users, user, user)
				}
			},
		})
	}
	g.queue = append(g.queue, planned{
		step:    firstWatchReply{req: &pb.WatchCreateRequest{Key: []byte("k")}},
		feature: "Watch/create-without-user",
		observe: func(outcome) {
			g.users = append(g.users, "")
			g.authLeft = authSteps
			if g.usersOnly {
				g.authLeft = usersSteps
				g.users = append(g.users, slices.Sorted(maps.Keys(strangers))...)
			}
		},
	})
}

// logOut queues the end of authentication.
func (g *generator) logOut() {
	g.queue = append(g.queue, planned{
		step: unary{method: auth("AuthDisable"), req: &pb.AuthDisableRequest{}, as: "root"}, feature: "Auth/AuthDisable",
		observe: func(o outcome) { g.users = nil },
	})
}
