//! Members, endpoints, alarms.

use proto::etcdserverpb::{self as pb, AlarmType};
use telemetry::log::size;
use types::go_json::Object;

use super::{Fields, Format, NO_FIELDS, Printer, as_json, hex::hex_members, line, table};
use crate::{
    fail::{Done, Failed},
    output::{say, tell},
};

/// How an endpoint is.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) endpoint: String,
    pub(crate) health: bool,
    /// How long it took to find out; empty when it could not be asked.
    pub(crate) took: String,
    /// What is wrong; empty when nothing is.
    pub(crate) error: String,
}

/// What an endpoint says.
#[derive(Debug)]
pub(crate) struct Told<R> {
    pub(crate) endpoint: String,
    pub(crate) reply: R,
}

const MEMBER_HEAD: [&str; 6] = ["ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"];
const HEALTH_HEAD: [&str; 4] = ["endpoint", "health", "took", "error"];
const HASH_HEAD: [&str; 3] = ["endpoint", "hash", "hash_revision"];
const STATUS_HEAD: [&str; 16] = [
    "endpoint",
    "ID",
    "version",
    "storage version",
    "db size",
    "in use",
    "percentage not in use",
    "quota",
    "is leader",
    "is learner",
    "raft term",
    "raft index",
    "raft applied index",
    "errors",
    "downgrade target version",
    "downgrade enabled",
];

impl Printer {
    pub(crate) fn member_add(&self, reply: &pb::MemberAddResponse) -> Done {
        let member = reply.member.clone().unwrap_or_default();
        if self.is(Format::Json) && self.hex {
            return say(line(hex_members(reply.header.as_ref(), reply.member.as_ref(), &reply.members)));
        }
        let role = if member.is_learner { " as learner " } else { " " };
        let cluster = cluster_id(reply.header.as_ref());
        let simple =
            || format!("Member {:16x} added{role}to cluster {cluster:16x}\n", member.id).into_bytes();
        self.message(reply, simple, NO_FIELDS)
    }

    pub(crate) fn member_remove(&self, id: u64, reply: &pb::MemberRemoveResponse) -> Done {
        self.members(reply, reply.header.as_ref(), &reply.members, id, "removed from")
    }

    pub(crate) fn member_update(&self, id: u64, reply: &pb::MemberUpdateResponse) -> Done {
        self.members(reply, reply.header.as_ref(), &reply.members, id, "updated in")
    }

    pub(crate) fn member_promote(&self, id: u64, reply: &pb::MemberPromoteResponse) -> Done {
        self.members(reply, reply.header.as_ref(), &reply.members, id, "promoted in")
    }

    fn members<M: prost::Message + prost::Name>(
        &self,
        reply: &M,
        header: Option<&pb::ResponseHeader>,
        members: &[pb::Member],
        id: u64,
        what: &str,
    ) -> Done {
        if self.is(Format::Json) && self.hex {
            return say(line(hex_members(header, None, members)));
        }
        let cluster = cluster_id(header);
        self.message(
            reply,
            || format!("Member {id:16x} {what} cluster {cluster:16x}\n").into_bytes(),
            NO_FIELDS,
        )
    }

    pub(crate) fn member_list(&self, reply: &pb::MemberListResponse) -> Done {
        if self.is(Format::Json) && self.hex {
            return say(line(hex_members(reply.header.as_ref(), None, &reply.members)));
        }
        if self.is(Format::Table) {
            return say(table::render(&MEMBER_HEAD, &member_rows(reply)));
        }
        let fields = |fields: &mut Fields| {
            fields.header(reply.header.as_ref());
            for member in &reply.members {
                fields.id("ID", member.id);
                fields.quoted("Name", &member.name);
                member.peer_ur_ls.iter().for_each(|url| fields.quoted("PeerURL", url));
                member.client_ur_ls.iter().for_each(|url| fields.quoted("ClientURL", url));
                fields.plain("IsLearner", member.is_learner);
                fields.gap();
            }
        };
        self.message(reply, || joined(&member_rows(reply)), Some(fields))
    }

    pub(crate) fn alarms(&self, reply: &pb::AlarmResponse) -> Done {
        let simple = || {
            let shown = reply.alarms.iter().map(|alarm| {
                let member = (alarm.member_id != 0).then(|| format!("memberID:{}", alarm.member_id));
                let name = (alarm.alarm != 0).then(|| format!("alarm:{}", alarm_name(alarm)));
                member.into_iter().chain(name).collect::<Vec<_>>().join(" ") + "\n"
            });
            shown.collect::<String>().into_bytes()
        };
        let fields = |fields: &mut Fields| {
            fields.header(reply.header.as_ref());
            for alarm in &reply.alarms {
                fields.id("MemberID", alarm.member_id);
                fields.plain("AlarmType", alarm_name(alarm));
                fields.gap();
            }
        };
        self.message(reply, simple, Some(fields))
    }

    pub(crate) fn endpoint_health(&self, list: &[Health]) -> Done {
        match self.format {
            Format::Simple => {
                for one in list {
                    if one.error.is_empty() {
                        say(format!(
                            "{} is healthy: successfully committed proposal: took = {}\n",
                            one.endpoint, one.took
                        ))?;
                    } else {
                        tell(&format!(
                            "{} is unhealthy: failed to commit proposal: {}\n",
                            one.endpoint, one.error
                        ));
                    }
                }
                Ok(())
            }
            Format::Json => say(line(array(list.iter().map(|one| {
                let json = Object::new()
                    .string("endpoint", &one.endpoint)
                    .bool("health", one.health)
                    .string("took", &one.took);
                Ok(if one.error.is_empty() { json } else { json.string("error", &one.error) }.finish())
            }))?)),
            Format::Table => {
                let row = |one: &Health| {
                    vec![one.endpoint.clone(), one.health.to_string(), one.took.clone(), one.error.clone()]
                };
                say(table::render(&HEALTH_HEAD, &list.iter().map(row).collect::<Vec<_>>()))
            }
            Format::Fields => say(self.fields(|fields| {
                for one in list {
                    fields.quoted("Endpoint", &one.endpoint);
                    fields.plain("Health", one.health);
                    fields.plain("Took", &one.took);
                    fields.plain("Error", &one.error);
                    fields.gap();
                }
            })),
            Format::Protobuf => Err(self.unsupported()),
        }
    }

    pub(crate) fn endpoint_status(&self, list: &[Told<pb::StatusResponse>]) -> Done {
        let rows = || list.iter().map(status_row).collect::<Vec<_>>();
        match self.format {
            Format::Simple => say(joined(&rows())),
            Format::Table => say(table::render(&STATUS_HEAD, &rows())),
            Format::Json => say(line(array(list.iter().map(|one| {
                let status = as_json(&one.reply)?;
                Ok(Object::new().string("Endpoint", &one.endpoint).raw("Status", &status).finish())
            }))?)),
            Format::Fields => {
                say(self.fields(|fields| list.iter().for_each(|one| status_fields(fields, one))))
            }
            Format::Protobuf => Err(self.unsupported()),
        }
    }

    pub(crate) fn endpoint_hash(&self, list: &[Told<pb::HashKvResponse>]) -> Done {
        let row = |one: &Told<pb::HashKvResponse>| {
            vec![one.endpoint.clone(), one.reply.hash.to_string(), one.reply.hash_revision.to_string()]
        };
        let rows = || list.iter().map(row).collect::<Vec<_>>();
        match self.format {
            Format::Simple => say(joined(&rows())),
            Format::Table => say(table::render(&HASH_HEAD, &rows())),
            Format::Json => say(line(array(list.iter().map(|one| {
                let hash = as_json(&one.reply)?;
                Ok(Object::new().string("Endpoint", &one.endpoint).raw("HashKV", &hash).finish())
            }))?)),
            Format::Fields => say(self.fields(|fields| {
                for one in list {
                    fields.header(one.reply.header.as_ref());
                    fields.quoted("Endpoint", &one.endpoint);
                    fields.plain("Hash", one.reply.hash);
                    fields.plain("HashRevision", one.reply.hash_revision);
                    fields.gap();
                }
            })),
            Format::Protobuf => Err(self.unsupported()),
        }
    }

    pub(crate) fn move_leader(&self, leader: u64, target: u64, reply: &pb::MoveLeaderResponse) -> Done {
        let simple = || format!("Leadership transferred from {leader:x} to {target:x}\n").into_bytes();
        self.message(reply, simple, NO_FIELDS)
    }

    pub(crate) fn downgrade(&self, what: &str, reply: &pb::DowngradeResponse) -> Done {
        let simple = || format!("Downgrade {what} success, cluster version {}\n", reply.version).into_bytes();
        self.message(reply, simple, NO_FIELDS)
    }
}

fn cluster_id(header: Option<&pb::ResponseHeader>) -> u64 {
    header.map_or(0, |header| header.cluster_id)
}

fn alarm_name(alarm: &pb::AlarmMember) -> String {
    AlarmType::try_from(alarm.alarm)
        .map_or_else(|_| alarm.alarm.to_string(), |alarm| alarm.as_str_name().to_owned())
}

/// Rows as lines with commas.
fn joined(rows: &[Vec<String>]) -> Vec<u8> {
    rows.iter().map(|row| row.join(", ") + "\n").collect::<String>().into_bytes()
}

/// A list as JSON; one without elements is nothing in Go.
fn array(items: impl ExactSizeIterator<Item = Result<String, Failed>>) -> Result<String, Failed> {
    if items.len() == 0 {
        return Ok("null".to_owned());
    }
    Ok(format!("[{}]", items.collect::<Result<Vec<_>, _>>()?.join(",")))
}

fn member_rows(reply: &pb::MemberListResponse) -> Vec<Vec<String>> {
    let row = |member: &pb::Member| {
        vec![
            format!("{:x}", member.id),
            if member.name.is_empty() { "unstarted" } else { "started" }.to_owned(),
            member.name.clone(),
            member.peer_ur_ls.join(","),
            member.client_ur_ls.join(","),
            member.is_learner.to_string(),
        ]
    };
    reply.members.iter().map(row).collect()
}

fn status_row(one: &Told<pb::StatusResponse>) -> Vec<String> {
    let status = &one.reply;
    let member = status.header.as_ref().map_or(0, |header| header.member_id);
    let downgrade = status.downgrade_info.clone().unwrap_or_default();
    let unused = match status.db_size {
        0 => 100,
        all => 100 - status.db_size_in_use.saturating_mul(100) / all,
    };
    let bytes = |bytes: i64| size(u64::try_from(bytes).unwrap_or(0));
    vec![
        one.endpoint.clone(),
        format!("{member:x}"),
        status.version.clone(),
        status.storage_version.clone(),
        bytes(status.db_size),
        bytes(status.db_size_in_use),
        format!("{unused}%"),
        bytes(status.db_size_quota),
        (status.leader == member).to_string(),
        status.is_learner.to_string(),
        status.raft_term.to_string(),
        status.raft_index.to_string(),
        status.raft_applied_index.to_string(),
        status.errors.join(", "),
        downgrade.target_version,
        downgrade.enabled.to_string(),
    ]
}

fn status_fields(fields: &mut Fields, one: &Told<pb::StatusResponse>) {
    let status = &one.reply;
    let downgrade = status.downgrade_info.clone().unwrap_or_default();
    fields.header(status.header.as_ref());
    fields.quoted("Version", &status.version);
    fields.quoted("StorageVersion", &status.storage_version);
    fields.plain("DBSize", status.db_size);
    fields.plain("DBSizeInUse", status.db_size_in_use);
    fields.plain("DBSizeQuota", status.db_size_quota);
    fields.plain("Leader", status.leader);
    fields.plain("IsLearner", status.is_learner);
    fields.plain("RaftIndex", status.raft_index);
    fields.plain("RaftTerm", status.raft_term);
    fields.plain("RaftAppliedIndex", status.raft_applied_index);
    fields.plain("Errors", format_args!("[{}]", status.errors.join(" ")));
    fields.quoted("Endpoint", &one.endpoint);
    fields.quoted("DowngradeTargetVersion", &downgrade.target_version);
    fields.plain("DowngradeEnabled", downgrade.enabled);
    fields.gap();
}
