package differential

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// method is the path of an RPC, for example "/etcdserverpb.KV/Range".
type method string

// replyTypes maps each RPC of the API to the type of its replies.
var replyTypes = indexReplies(
	pb.File_rpc_proto,
	v3lockpb.File_v3lock_proto,
	v3electionpb.File_v3election_proto,
	healthpb.File_grpc_health_v1_health_proto,
)

func indexReplies(files ...protoreflect.FileDescriptor) map[method]protoreflect.MessageType {
	types := map[method]protoreflect.MessageType{}
	for _, f := range files {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				reply, err := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
				if err != nil {
					panic(err)
				}
				types[method(fmt.Sprintf("/%s/%s", service.FullName(), m.Name()))] = reply
			}
		}
	}
	return types
}

// newReply returns an empty reply of the method. Unknown methods, which are sent
// on purpose, get some message type: their reply is never decoded.
func (m method) newReply() proto.Message {
	if t, ok := replyTypes[m]; ok {
		return t.New().Interface()
	}
	return &pb.RangeResponse{}
}

// The methods that have special treatment somewhere.
const (
	mRange       method = "/etcdserverpb.KV/Range"
	mRangeStream method = "/etcdserverpb.KV/RangeStream"
	mPut         method = "/etcdserverpb.KV/Put"
	mDelete      method = "/etcdserverpb.KV/DeleteRange"
	mTxn         method = "/etcdserverpb.KV/Txn"
	mCompact     method = "/etcdserverpb.KV/Compact"
	mGrant       method = "/etcdserverpb.Lease/LeaseGrant"
	mRevoke      method = "/etcdserverpb.Lease/LeaseRevoke"
	mTTL         method = "/etcdserverpb.Lease/LeaseTimeToLive"
	mLeases      method = "/etcdserverpb.Lease/LeaseLeases"
	mHashKV      method = "/etcdserverpb.Maintenance/HashKV"
	mStatus      method = "/etcdserverpb.Maintenance/Status"
	mAlarm       method = "/etcdserverpb.Maintenance/Alarm"
	mDowngrade   method = "/etcdserverpb.Maintenance/Downgrade"
	mDefragment  method = "/etcdserverpb.Maintenance/Defragment"
	mMoveLeader  method = "/etcdserverpb.Maintenance/MoveLeader"
	mHealth      method = "/grpc.health.v1.Health/Check"
)

// auth and cluster return the paths of two services with many plain methods.
func auth(name string) method    { return method("/etcdserverpb.Auth/" + name) }
func cluster(name string) method { return method("/etcdserverpb.Cluster/" + name) }
