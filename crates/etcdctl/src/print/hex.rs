//! Members as JSON with hexadecimal ids.

use proto::etcdserverpb as pb;
use types::go_json::Object;

/// Header and members, and the new one before them if there is one.
pub(super) fn hex_members(
    header: Option<&pb::ResponseHeader>,
    new: Option<&pb::Member>,
    members: &[pb::Member],
) -> String {
    let mut json = Object::new();
    json = match header {
        None => json.raw("header", "null"),
        Some(header) => {
            let mut inner = Object::new()
                .string("cluster_id", &format!("{:x}", header.cluster_id))
                .string("member_id", &format!("{:x}", header.member_id));
            if header.revision != 0 {
                inner = inner.raw("revision", &header.revision.to_string());
            }
            if header.raft_term != 0 {
                inner = inner.number("raft_term", header.raft_term);
            }
            json.raw("header", &inner.finish())
        }
    };
    if let Some(member) = new {
        json = json.raw("member", &hex_member(member));
    }
    let members: Vec<_> = members.iter().map(hex_member).collect();
    json.raw("members", &format!("[{}]", members.join(","))).finish()
}

fn hex_member(member: &pb::Member) -> String {
    let mut json = Object::new().string("ID", &format!("{:x}", member.id));
    if !member.name.is_empty() {
        json = json.string("name", &member.name);
    }
    if !member.peer_ur_ls.is_empty() {
        json = json.strings("peerURLs", &member.peer_ur_ls);
    }
    if !member.client_ur_ls.is_empty() {
        json = json.strings("clientURLs", &member.client_ur_ls);
    }
    if member.is_learner {
        json = json.bool("isLearner", true);
    }
    json.finish()
}
