//! `status` and `health`: how a cluster is, in a line and a table.

use client::{Client, Settings};
use proto::etcdserverpb as pb;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    context::Context,
    fail::{Done, Failed, UNHEALTHY},
    output::{self, Format, Row, size},
};

/// What one member says, or why it says nothing.
pub(super) struct Seen {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) learner: bool,
    pub(super) endpoint: String,
    pub(super) status: Result<pb::StatusResponse, String>,
}

/// The members, each asked at the first of its client URLs; those that were never started cannot be.
pub(super) async fn look(context: &Context) -> Done<(Vec<Seen>, Vec<pb::AlarmMember>)> {
    let settings = context.settings()?;
    let client = Client::open(&settings).await?;
    // Of one that has no leader, too: that is when people ask.
    let members = client.member_list(pb::MemberListRequest { linearizable: false }).await?.members;
    let alarms =
        client.alarm(pb::AlarmRequest::default()).await.map(|reply| reply.alarms).unwrap_or_default();
    let mut asked = JoinSet::new();
    for (place, member) in members.into_iter().enumerate() {
        let settings = settings.clone();
        asked.spawn(async move { (place, ask(member, settings).await) });
    }
    let mut seen = asked.join_all().await;
    seen.sort_by_key(|(place, _)| *place);
    Ok((seen.into_iter().map(|(_, seen)| seen).collect(), alarms))
}

async fn ask(member: pb::Member, settings: Settings) -> Seen {
    let endpoint = member.client_ur_ls.first().cloned().unwrap_or_default();
    let status = match endpoint.is_empty() {
        true => Err("it has never been started".to_owned()),
        false => {
            let asked =
                async { Client::open(&settings.only(&endpoint)).await?.status(pb::StatusRequest {}).await };
            asked.await.map_err(|error| {
                Failed::from(error).text().lines().next().unwrap_or_default().replace("Error: ", "")
            })
        }
    };
    Seen { id: member.id, name: member.name, learner: member.is_learner, endpoint, status }
}

/// What is wrong, worst first; and the sentence that says how things are.
struct Verdict {
    healthy: bool,
    line: String,
}

fn judge(seen: &[Seen], alarms: &[pb::AlarmMember]) -> Verdict {
    let voters: Vec<_> = seen.iter().filter(|one| !one.learner).collect();
    let up = voters
        .iter()
        .filter(|one| one.status.as_ref().is_ok_and(|status| status.errors.is_empty() || status.leader != 0))
        .count();
    let quorum = voters.len() / 2 + 1;
    let states = || seen.iter().filter_map(|one| one.status.as_ref().ok());
    let leader = states().map(|status| status.leader).find(|leader| *leader != 0);
    let agreed = states().all(|status| status.leader == 0 || Some(status.leader) == leader);
    let word = match (up >= quorum && leader.is_some(), up == voters.len() && agreed && alarms.is_empty()) {
        (false, _) => "unavailable",
        (true, true) => "healthy",
        (true, false) => "degraded",
    };
    let name =
        leader.and_then(|id| seen.iter().find(|one| one.id == id)).map_or("nobody", |one| one.name.as_str());
    let db = states().map(|status| status.db_size).max().unwrap_or(0);
    let revision =
        states().filter_map(|status| status.header.as_ref()).map(|header| header.revision).max().unwrap_or(0);
    let mut parts = vec![
        word.to_owned(),
        format!("{up}/{} members", voters.len()),
        match up.checked_sub(quorum) {
            Some(spare) => format!("can lose {spare}"),
            None => format!("{} more needed", quorum - up),
        },
        format!("{name} leads"),
        format!("db {}", size(db)),
        format!("revision {revision}"),
    ];
    let learners = seen.len() - voters.len();
    if learners > 0 {
        parts.push(format!("{learners} learners"));
    }
    for alarm in alarms {
        parts.push(format!("alarm {} on {:x}", alarm.alarm().as_str_name(), alarm.member_id));
    }
    Verdict { healthy: word != "unavailable" && alarms.is_empty(), line: parts.join(" · ") }
}

pub(crate) async fn status(context: Context) -> Done {
    let (seen, alarms) = look(&context).await?;
    let verdict = judge(&seen, &alarms);
    if context.format == Format::Plain {
        output::say(format!("{}\n\n", verdict.line))?;
    }
    let rows = seen.iter().map(|one| row(one, &seen)).collect();
    output::rows(
        context.format,
        &["NAME", "ID", "STATE", "VERSION", "DB", "IN USE", "RAFT", "BEHIND", "ENDPOINT"],
        rows,
    )?;
    if verdict.healthy { Ok(()) } else { Err(Failed::quietly(UNHEALTHY)) }
}

fn row(one: &Seen, all: &[Seen]) -> Row {
    let id = format!("{:x}", one.id);
    let status = match &one.status {
        Err(reason) => {
            return Row::new(
                [
                    ("name", json!(one.name)),
                    ("id", json!(id)),
                    ("endpoint", json!(one.endpoint)),
                    ("error", json!(reason)),
                ],
                vec![
                    one.name.clone(),
                    id.clone(),
                    format!("down: {reason}"),
                    String::new(),
                    String::new(),
                    String::new(),
                    String::new(),
                    String::new(),
                    one.endpoint.clone(),
                ],
            );
        }
        Ok(status) => status,
    };
    let newest =
        all.iter().filter_map(|other| other.status.as_ref().ok()).map(|other| other.raft_index).max();
    let behind = newest.unwrap_or(0).saturating_sub(status.raft_applied_index);
    let state = match (status.leader == one.id, one.learner, status.leader == 0) {
        (true, ..) => "leader",
        (_, true, _) => "learner",
        (_, _, true) => "without a leader",
        _ => "follower",
    };
    let state = if status.errors.is_empty() {
        state.to_owned()
    } else {
        format!("{state}: {}", status.errors.join(", "))
    };
    Row::new(
        [
            ("name", json!(one.name)),
            ("id", json!(id)),
            ("endpoint", json!(one.endpoint)),
            ("leader", json!(status.leader == one.id)),
            ("learner", json!(one.learner)),
            ("version", json!(status.version)),
            ("storage_version", json!(status.storage_version)),
            ("db_bytes", json!(status.db_size)),
            ("db_bytes_in_use", json!(status.db_size_in_use)),
            ("raft_term", json!(status.raft_term)),
            ("raft_index", json!(status.raft_index)),
            ("raft_applied_index", json!(status.raft_applied_index)),
            ("revision", json!(status.header.as_ref().map_or(0, |header| header.revision))),
            ("errors", json!(status.errors)),
        ],
        vec![
            one.name.clone(),
            id.clone(),
            state,
            status.version.clone(),
            size(status.db_size),
            size(status.db_size_in_use),
            format!("{}/{}", status.raft_term, status.raft_index),
            behind.to_string(),
            one.endpoint.clone(),
        ],
    )
}

/// Whether each endpoint can read what a majority agrees on.
pub(crate) async fn health(context: Context) -> Done {
    let settings = context.settings()?;
    let mut asked = JoinSet::new();
    for (place, only) in settings.each().enumerate() {
        asked.spawn(async move {
            let begun = std::time::Instant::now();
            let read = async {
                // A key that need not be there; who may not read it has been answered, too.
                let request = pb::RangeRequest { key: "health".into(), ..Default::default() };
                Client::open(&only).await?.range(request).await
            };
            let result = match read.await {
                Err(error) if !error.is("etcdserver: permission denied") => Err(Failed::from(error)),
                _ => Ok(()),
            };
            (place, only.endpoints.concat(), result, begun.elapsed())
        });
    }
    let mut all = asked.join_all().await;
    all.sort_by_key(|(place, ..)| *place);
    let healthy = all.iter().all(|(_, _, result, _)| result.is_ok());
    let rows = all.into_iter().map(|(_, endpoint, result, took)| {
        let ms = took.as_secs_f64() * 1e3;
        let error = result
            .err()
            .map(|failed| failed.text().lines().next().unwrap_or_default().replace("Error: ", ""));
        Row::new(
            [
                ("endpoint", json!(endpoint)),
                ("healthy", json!(error.is_none())),
                ("milliseconds", json!((ms * 10.0).round() / 10.0)),
                ("error", json!(error)),
            ],
            vec![
                endpoint,
                if error.is_none() { "healthy" } else { "unhealthy" }.to_owned(),
                format!("{ms:.1} ms"),
                error.unwrap_or_default(),
            ],
        )
    });
    output::rows(context.format, &["ENDPOINT", "STATE", "TOOK", "WHY"], rows.collect())?;
    if healthy { Ok(()) } else { Err(Failed::quietly(UNHEALTHY)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, leader: Option<u64>) -> Seen {
        let status =
            leader.map(|leader| pb::StatusResponse { leader, db_size: 412_000_000, ..Default::default() });
        Seen {
            id,
            name: format!("m{id}"),
            learner: false,
            endpoint: String::new(),
            status: status.ok_or_else(|| "gone".into()),
        }
    }

    #[test]
    fn verdicts() {
        let line = |seen: &[Seen]| judge(seen, &[]).line;
        let all = [member(1, Some(1)), member(2, Some(1)), member(3, Some(1))];
        assert_eq!(line(&all), "healthy · 3/3 members · can lose 1 · m1 leads · db 412 MB · revision 0");
        let two = [member(1, Some(1)), member(2, Some(1)), member(3, None)];
        assert!(line(&two).starts_with("degraded · 2/3 members · can lose 0 · m1 leads"));
        let one = [member(1, Some(0)), member(2, None), member(3, None)];
        assert!(line(&one).starts_with("unavailable · 1/3 members · 1 more needed · nobody leads"));
        assert!(!judge(&one, &[]).healthy);
    }
}
