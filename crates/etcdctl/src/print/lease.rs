//! Leases. Their JSON is that of structs of Go's client, in which the header is not apart; as a message they are
//! nothing but the header, for the same reason.

use base64::{Engine, engine::general_purpose::STANDARD};
use prost::Message;
use proto::etcdserverpb as pb;
use types::go_json::Object;

use super::{Fields, Format, Printer, line};
use crate::{fail::Done, output::say};

impl Printer {
    pub(crate) fn grant(&self, reply: &pb::LeaseGrantResponse) -> Done {
        let json = || {
            let json = with_header(reply.header.as_ref());
            signed(signed(json, "ID", reply.id), "TTL", reply.ttl).string("Error", &reply.error)
        };
        let simple = || format!("lease {:016x} granted with TTL({}s)\n", reply.id, reply.ttl);
        self.lease(reply.header.as_ref(), simple, json, |fields| {
            fields.lease("ID", reply.id);
            fields.plain("TTL", reply.ttl);
        })
    }

    pub(crate) fn revoke(&self, id: i64, reply: &pb::LeaseRevokeResponse) -> Done {
        let simple = || format!("lease {id:016x} revoked\n").into_bytes();
        self.message(reply, simple, Some(|f: &mut Fields| f.header(reply.header.as_ref())))
    }

    pub(crate) fn keep_alive(&self, reply: &pb::LeaseKeepAliveResponse) -> Done {
        let json = || signed(signed(with_header(reply.header.as_ref()), "ID", reply.id), "TTL", reply.ttl);
        let simple = || format!("lease {:016x} keepalived with TTL({})\n", reply.id, reply.ttl);
        self.lease(reply.header.as_ref(), simple, json, |fields| {
            fields.lease("ID", reply.id);
            fields.plain("TTL", reply.ttl);
        })
    }

    pub(crate) fn time_to_live(&self, reply: &pb::LeaseTimeToLiveResponse, keys: bool) -> Done {
        let json = || {
            let json = signed(signed(with_header(reply.header.as_ref()), "id", reply.id), "ttl", reply.ttl);
            let keys: Vec<_> = reply.keys.iter().map(|key| format!("\"{}\"", STANDARD.encode(key))).collect();
            let keys = if keys.is_empty() { "null".to_owned() } else { format!("[{}]", keys.join(",")) };
            signed(json, "granted-ttl", reply.granted_ttl).raw("keys", &keys)
        };
        let simple = || {
            if reply.granted_ttl == 0 && reply.ttl == -1 {
                return format!("lease {:016x} already expired\n", reply.id);
            }
            let mut text = format!(
                "lease {:016x} granted with TTL({}s), remaining({}s)",
                reply.id, reply.granted_ttl, reply.ttl
            );
            if keys {
                let keys: Vec<_> = reply.keys.iter().map(|key| String::from_utf8_lossy(key)).collect();
                text.push_str(&format!(", attached keys([{}])", keys.join(" ")));
            }
            text.push('\n');
            text
        };
        self.lease(reply.header.as_ref(), simple, json, |fields| {
            fields.lease("ID", reply.id);
            fields.plain("TTL", reply.ttl);
            fields.plain("GrantedTTL", reply.granted_ttl);
            reply.keys.iter().for_each(|key| fields.quoted("Key", key));
        })
    }

    pub(crate) fn leases(&self, reply: &pb::LeaseLeasesResponse) -> Done {
        let json = || {
            let leases: Vec<_> =
                reply.leases.iter().map(|lease| signed(Object::new(), "id", lease.id).finish()).collect();
            with_header(reply.header.as_ref()).raw("leases", &format!("[{}]", leases.join(",")))
        };
        let simple = || {
            let mut text = format!("found {} leases\n", reply.leases.len());
            reply.leases.iter().for_each(|lease| text.push_str(&format!("{:016x}\n", lease.id)));
            text
        };
        self.lease(reply.header.as_ref(), simple, json, |fields| {
            reply.leases.iter().for_each(|lease| fields.lease("ID", lease.id));
        })
    }

    fn lease(
        &self,
        header: Option<&pb::ResponseHeader>,
        simple: impl FnOnce() -> String,
        json: impl FnOnce() -> Object,
        fields: impl FnOnce(&mut Fields),
    ) -> Done {
        match self.format {
            Format::Simple => say(simple()),
            Format::Json => say(line(json().finish())),
            Format::Protobuf => say(header.copied().unwrap_or_default().encode_to_vec()),
            Format::Fields => say(self.fields(|into| {
                into.header(header);
                fields(into);
            })),
            Format::Table => Err(self.unsupported()),
        }
    }
}

/// A header's fields, zeros left out.
fn with_header(header: Option<&pb::ResponseHeader>) -> Object {
    let header = header.copied().unwrap_or_default();
    let revision = u64::try_from(header.revision).unwrap_or(0);
    [
        ("cluster_id", header.cluster_id),
        ("member_id", header.member_id),
        ("revision", revision),
        ("raft_term", header.raft_term),
    ]
    .into_iter()
    .filter(|(_, value)| *value != 0)
    .fold(Object::new(), |json, (name, value)| json.number(name, value))
}

fn signed(json: Object, name: &str, value: i64) -> Object {
    json.raw(name, &value.to_string())
}
