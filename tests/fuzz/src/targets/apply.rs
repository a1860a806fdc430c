//! Entries of the log, whatever is in them.

use prost::Message;
use proto::etcdserverpb::{self as pb, InternalRaftRequest};
use rpc::Method;
use state::State;

use super::grpc::{SAMPLES, encoded};
use crate::{
    Target,
    input::{Input, long},
    meter,
    worlds::{self, Machine},
};

pub(crate) const ENTRIES: Target = Target {
    name: "apply",
    what: "entries (InternalRaftRequest), applied one after the other, committed, and opened again",
    run,
    seeds,
    memory,
    len_max: 8 << 10,
};

/// What an entry changes is there decoded, in the key index, in the backend's writes and in its pages; a range in a
/// transaction answers with what is stored. The proposer bounds entries, and whoever has a quorum of the log may store.
fn memory(input: &[u8]) -> usize {
    512 * input.len() + (1 << 20)
}

fn run(input: &[u8]) {
    let mut input = Input(input);
    let with_users = input.flag();
    let mut machine = meter::aside(|| if with_users { Machine::with_users() } else { Machine::new() });
    while !input.is_empty() {
        // An entry that is none stops the member: nothing may be applied behind it.
        if machine.apply(input.long()).is_err() {
            return meter::aside(|| drop(machine));
        }
    }
    machine.commit();
    let again = State::open(machine.db.snapshot(), worlds::settings()).expect("what was written can be read");
    let facts = |state: &State| {
        let leases: Vec<_> = state.leases().iter().map(|lease| lease.id).collect();
        let keys: Vec<Vec<_>> =
            leases.iter().map(|id| state.leases().keys(*id).map(|key| key.to_vec()).collect()).collect();
        let users: Vec<_> = state.auth().users().map(str::to_owned).collect();
        let roles: Vec<_> = state.auth().roles().map(str::to_owned).collect();
        let alarms: Vec<_> = state.alarms(pb::AlarmType::None).collect();
        let store = (state.applied(), state.store().revision(), state.store().compacted());
        (store, leases, keys, users, roles, alarms, state.auth().revision(), state.auth().is_enabled())
    };
    assert_eq!(facts(&again), facts(&machine.state), "a restart changes the state");
    meter::aside(|| drop((machine, again)));
}

fn entry(method: Method, message: &[u8], user: &str) -> Option<Vec<u8>> {
    macro_rules! with {
        ($field:ident) => {
            InternalRaftRequest {
                $field: Some(Message::decode(message).ok()?),
                ..InternalRaftRequest::default()
            }
        };
    }
    let mut entry = match method {
        Method::Range => with!(range),
        Method::Put => with!(put),
        Method::DeleteRange => with!(delete_range),
        Method::Txn => {
            let txn = proto::decode(message.to_vec().into()).ok()?;
            InternalRaftRequest { txn: Some(txn), ..InternalRaftRequest::default() }
        }
        Method::Compact => with!(compaction),
        Method::LeaseGrant => with!(lease_grant),
        Method::LeaseRevoke => with!(lease_revoke),
        Method::Alarm => with!(alarm),
        Method::AuthEnable => with!(auth_enable),
        Method::AuthDisable => with!(auth_disable),
        Method::AuthStatus => with!(auth_status),
        Method::UserAdd => with!(auth_user_add),
        Method::UserGet => with!(auth_user_get),
        Method::UserList => with!(auth_user_list),
        Method::UserDelete => with!(auth_user_delete),
        Method::UserChangePassword => with!(auth_user_change_password),
        Method::UserGrantRole => with!(auth_user_grant_role),
        Method::UserRevokeRole => with!(auth_user_revoke_role),
        Method::RoleAdd => with!(auth_role_add),
        Method::RoleGet => with!(auth_role_get),
        Method::RoleList => with!(auth_role_list),
        Method::RoleDelete => with!(auth_role_delete),
        Method::RoleGrantPermission => with!(auth_role_grant_permission),
        Method::RoleRevokePermission => with!(auth_role_revoke_permission),
        _ => return None,
    };
    entry.header = Some(pb::RequestHeader {
        id: 5,
        username: user.into(),
        auth_revision: if user.is_empty() { 0 } else { 8 },
    });
    Some(entry.encode_to_vec())
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut all = vec![0];
    for (method, json) in SAMPLES {
        let message = encoded(*method, json);
        for user in ["", "root"] {
            if let Some(entry) = entry(*method, &message, user) {
                let entry = long(&entry);
                all.extend_from_slice(&entry);
                seeds.push([&[u8::from(!user.is_empty())][..], &entry].concat());
            }
        }
    }
    let others = [
        InternalRaftRequest {
            lease_checkpoint: Some(pb::LeaseCheckpointRequest {
                checkpoints: vec![pb::LeaseCheckpoint { id: 7, remaining_ttl: 3 }],
            }),
            ..Default::default()
        },
        InternalRaftRequest {
            authenticate: Some(pb::InternalAuthenticateRequest {
                name: "user".into(),
                password: String::new(),
                simple_token: "abc.1".into(),
            }),
            ..Default::default()
        },
        InternalRaftRequest {
            cluster_version_set: Some(proto::membershippb::ClusterVersionSetRequest { ver: "3.7.0".into() }),
            ..Default::default()
        },
        InternalRaftRequest {
            cluster_member_attr_set: Some(proto::membershippb::ClusterMemberAttrSetRequest {
                member_id: 1,
                member_attributes: Some(proto::membershippb::Attributes {
                    name: "m".into(),
                    client_urls: vec!["http://a:1".into()],
                }),
            }),
            ..Default::default()
        },
        InternalRaftRequest {
            downgrade_info_set: Some(proto::membershippb::DowngradeInfoSetRequest {
                enabled: true,
                ver: "3.6.0".into(),
            }),
            ..Default::default()
        },
    ];
    for other in others {
        let entry = long(&other.encode_to_vec());
        all.extend_from_slice(&entry);
        seeds.push([&[0][..], &entry].concat());
    }
    seeds.push(all);
    // A downgrade to what is no version: the row could be written and not be read.
    seeds.push([&[0][..], &long(b"\xb2\x51\x09\x08\x01\x12\x053.6.t")].concat());
    seeds
}
