//! `doctor`: what is wrong, or will be, by what the API and the metrics pages say.

mod metrics;

use client::{Client, Endpoint};
use proto::etcdserverpb as pb;
use serde_json::json;

use self::metrics::Metrics;
use super::status::{Seen, look};
use crate::{
    context::Context,
    fail::{Done, Failed, UNHEALTHY},
    output::{self, Format, Row, size},
};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Nothing needs to be done.
    Note,
    /// It will hurt.
    Warn,
    /// It hurts.
    Fail,
}

/// What was found.
#[derive(Debug)]
struct Finding {
    weight: Weight,
    what: String,
    why: &'static str,
    /// What to do.
    next: String,
}

/// Behind by so many entries, a member serves old data and cannot take over quickly.
const BEHIND: u64 = 5000;

/// Looks at everything.
pub(crate) async fn run(context: Context) -> Done {
    let (seen, alarms) = look(&context).await?;
    let client = context.connect().await?;
    let mut found = Vec::new();
    members(&seen, &mut found);
    agreement(&seen, &mut found);
    space(&seen, &alarms, &mut found);
    hashes(&context, &seen, &mut found).await?;
    access(&context, &client, &seen, &mut found).await;
    for (place, page) in pages(&context, &seen).await? {
        match page {
            Ok(page) => from_metrics(&place, &page, &mut found),
            Err(reason) => found.push(Finding {
                weight: Weight::Note,
                what: format!("no metrics from {place}: {reason}"),
                why: "disks and networks were not judged there",
                next: "--metrics with the URLs of --listen-metrics-urls".into(),
            }),
        }
    }
    report(&context, found)
}

fn report(context: &Context, mut found: Vec<Finding>) -> Done {
    found.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    let worst = found.first().map(|finding| finding.weight);
    if context.format == Format::Plain {
        for Finding { weight, what, why, next } in &found {
            let mark = format!("{weight:?}").to_uppercase();
            output::say(format!("{mark}  {what}\n      why:  {why}\n      do:   {next}\n"))?;
        }
        let counted = |weight| found.iter().filter(|finding| finding.weight == weight).count();
        output::say(match worst {
            None => "nothing found\n".to_owned(),
            Some(_) => format!(
                "{} to be done, {} to be watched, {} noted\n",
                counted(Weight::Fail),
                counted(Weight::Warn),
                counted(Weight::Note)
            ),
        })?;
    } else {
        let row = |finding: &Finding| {
            let weight = format!("{:?}", finding.weight).to_lowercase();
            Row::new(
                [
                    ("weight", json!(weight)),
                    ("what", json!(finding.what)),
                    ("why", json!(finding.why)),
                    ("do", json!(finding.next)),
                ],
                vec![weight.clone(), finding.what.clone(), finding.next.clone()],
            )
        };
        output::rows(context.format, &["WEIGHT", "WHAT", "DO"], found.iter().map(row).collect())?;
    }
    if worst == Some(Weight::Fail) { Err(Failed::quietly(UNHEALTHY)) } else { Ok(()) }
}

fn members(seen: &[Seen], found: &mut Vec<Finding>) {
    let voters = seen.iter().filter(|one| !one.learner).count();
    match voters {
        1 => found.push(Finding {
            weight: Weight::Warn,
            what: "there is one voting member".into(),
            why: "when it fails, everything stops, and its disk is the only copy",
            next: "mainstay member add NAME PEER_URL, until there are three".into(),
        }),
        even if even % 2 == 0 => found.push(Finding {
            weight: Weight::Warn,
            what: format!("there are {even} voting members, an even number"),
            why: "it can lose no more members than with one less, and each is one more to fail",
            next: "add or remove one".into(),
        }),
        _ => {}
    }
    for one in seen {
        if let Err(reason) = &one.status {
            let next = if one.name.is_empty() {
                "start it, or remove it"
            } else {
                "look at its log; replace it when it is gone"
            };
            found.push(Finding {
                weight: Weight::Fail,
                what: format!(
                    "member {:x} ({}) does not answer at {}: {reason}",
                    one.id, one.name, one.endpoint
                ),
                why: "each member that is missing is one less that can fail",
                next: next.into(),
            });
        }
        let host = one.endpoint.split("://").last().unwrap_or_default();
        if seen.len() > 1
            && ["127.", "localhost", "[::1]", "0.0.0.0", "[::]"].iter().any(|local| host.starts_with(local))
        {
            found.push(Finding {
                weight: Weight::Warn,
                what: format!("member {} tells clients to come to {}", one.name, one.endpoint),
                why: "that is the client's own machine, or none",
                next: "--advertise-client-urls with an address that others reach".into(),
            });
        }
    }
}

fn states(seen: &[Seen]) -> impl Iterator<Item = (&Seen, &pb::StatusResponse)> {
    seen.iter().filter_map(|one| one.status.as_ref().ok().map(|status| (one, status)))
}

fn agreement(seen: &[Seen], found: &mut Vec<Finding>) {
    let mut leaders: Vec<u64> = states(seen).map(|(_, status)| status.leader).collect();
    leaders.sort_unstable();
    leaders.dedup();
    if leaders.len() > 1 || leaders == [0] {
        found.push(Finding {
            weight: Weight::Fail,
            what: "members do not agree on who leads".into(),
            why: "an election goes on, or some are cut off",
            next: "mainstay status again; then networks and clocks between them".into(),
        });
    }
    let newest = states(seen).map(|(_, status)| status.raft_index).max().unwrap_or(0);
    for (one, status) in states(seen) {
        let behind = newest.saturating_sub(status.raft_applied_index);
        if behind > BEHIND {
            found.push(Finding {
                weight: Weight::Warn,
                what: format!("member {} is {behind} entries behind", one.name),
                why: "it serves old data to stale reads, and cannot take over",
                next: "its disk and network: mainstay bench disk on its data directory".into(),
            });
        }
    }
    let mut versions: Vec<&str> = states(seen).map(|(_, status)| status.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() > 1 {
        found.push(Finding {
            weight: Weight::Warn,
            what: format!("members run {}", versions.join(" and ")),
            why: "mixed versions are for the time of an upgrade",
            next: "finish the upgrade, or go back".into(),
        });
    }
}

fn space(seen: &[Seen], alarms: &[pb::AlarmMember], found: &mut Vec<Finding>) {
    for alarm in alarms {
        let next = match alarm.alarm() {
            pb::AlarmType::Nospace => "mainstay etcdctl compaction REVISION, defrag, alarm disarm",
            _ => "stop the member whose data differs, and replace it: mainstay member remove, add",
        };
        found.push(Finding {
            weight: Weight::Fail,
            what: format!("alarm {} on member {:x}", alarm.alarm().as_str_name(), alarm.member_id),
            why: "writes are refused until it is gone",
            next: next.into(),
        });
    }
    for (one, status) in states(seen) {
        // Since 3.6 the quota is told.
        let quota = status.db_size_quota;
        if quota > 0 && status.db_size > quota / 10 * 8 {
            found.push(Finding {
                weight: Weight::Warn,
                what: format!(
                    "the database of {} is at {} of {}",
                    one.name,
                    size(status.db_size),
                    size(quota)
                ),
                why: "at the quota all writes stop",
                next: "compact, or a larger --quota-backend-bytes".into(),
            });
        }
        let unused = status.db_size - status.db_size_in_use;
        if unused > status.db_size / 2 && unused > 256 << 20 {
            found.push(Finding {
                weight: Weight::Note,
                what: format!("{} of the database of {} are free", size(unused), one.name),
                why: "they are used again, and given back only by defragmentation",
                next: "mainstay etcdctl defrag, a member at a time".into(),
            });
        }
    }
}

/// Whether members that are equally far hold the same.
async fn hashes(context: &Context, seen: &[Seen], found: &mut Vec<Finding>) -> Done {
    let revisions =
        states(seen).filter_map(|(_, status)| status.header.as_ref()).map(|header| header.revision);
    let Some(revision) = revisions.min().filter(|revision| *revision > 1) else { return Ok(()) };
    let settings = context.settings()?;
    let mut answers: Vec<(String, i64, u32)> = Vec::new();
    for (one, _) in states(seen) {
        let asked = async {
            Client::open(&settings.only(&one.endpoint)).await?.hash_kv(pb::HashKvRequest { revision }).await
        };
        // Compacted meanwhile, or not allowed: then it cannot be compared.
        if let Ok(reply) = asked.await {
            answers.push((one.name.clone(), reply.compact_revision, reply.hash));
        }
    }
    let differs = answers.iter().any(|(_, compacted, hash)| {
        answers.iter().any(|(_, other, other_hash)| other == compacted && other_hash != hash)
    });
    if differs {
        let all: Vec<_> = answers.iter().map(|(name, _, hash)| format!("{name} {hash:08x}")).collect();
        found.push(Finding {
            weight: Weight::Fail,
            what: format!("members hold different data at revision {revision}: {}", all.join(", ")),
            why: "reads depend on who is asked; one of them is damaged",
            next: "find the one that differs from most, stop it and replace it".into(),
        });
    }
    Ok(())
}

async fn access(context: &Context, client: &Client, seen: &[Seen], found: &mut Vec<Finding>) {
    let plain = seen.iter().any(|one| one.endpoint.starts_with("http://"));
    let local =
        seen.iter().all(|one| one.endpoint.contains("//127.") || one.endpoint.contains("//localhost"));
    if plain && !local {
        found.push(Finding {
            weight: Weight::Warn,
            what: "clients are served without TLS".into(),
            why: "everybody on the way reads and changes what is said",
            next: "--cert-file, --key-file and --trusted-ca-file with --client-cert-auth".into(),
        });
    }
    let asked = client.auth_status(pb::AuthStatusRequest {}).await;
    // Who shows a certificate is known without a password, too.
    if asked.is_ok_and(|status| !status.enabled) && context.flags.text("cert").is_empty() && !local {
        found.push(Finding {
            weight: Weight::Warn,
            what: "nobody has to log in".into(),
            why: "who reaches a member may read and write everything",
            next: "--client-cert-auth, or mainstay etcdctl user add root; auth enable".into(),
        });
    }
}

type Page = (String, Result<Metrics, String>);

async fn pages(context: &Context, seen: &[Seen]) -> Done<Vec<Page>> {
    let settings = context.settings()?;
    let asked = context.flags.text("metrics");
    let places: Vec<String> = match asked {
        "" => states(seen).map(|(one, _)| one.endpoint.clone()).collect(),
        list => list.split(',').map(|place| place.trim().to_owned()).collect(),
    };
    let mut pages = Vec::new();
    for place in places {
        let bare = place.trim_end_matches("/metrics");
        let page = match Endpoint::parse(bare, settings.secure) {
            Ok(endpoint) => client::fetch(&endpoint, &settings, "/metrics").await,
            Err(error) => Err(error),
        };
        pages.push((place, page.map(|text| Metrics::read(&text)).map_err(|error| error.to_string())));
    }
    Ok(pages)
}

fn from_metrics(place: &str, page: &Metrics, found: &mut Vec<Finding>) {
    for (name, what, warn, fail) in [
        ("etcd_disk_wal_fsync_duration_seconds", "syncs of the log", 0.010, 0.025),
        ("etcd_disk_backend_commit_duration_seconds", "commits of the database", 0.025, 0.25),
    ] {
        let Some(p99) = page.quantile(name, 0.99).filter(|p99| *p99 > warn) else { continue };
        found.push(Finding {
            weight: if p99 > fail { Weight::Fail } else { Weight::Warn },
            what: format!("{what} at {place} take {:.0} ms or more, one in a hundred", p99 * 1e3),
            why: "every write waits for them, and leaders are lost by them",
            next: "a local SSD that nothing else uses; mainstay bench disk in the data directory".into(),
        });
    }
    if let (Some(used), Some(most)) = (page.value("process_open_fds"), page.value("process_max_fds"))
        && used > most * 0.8
    {
        found.push(Finding {
            weight: Weight::Warn,
            what: format!("{used} of {most} files are open at {place}"),
            why: "without more no connection can be accepted",
            next: "a higher limit of open files (LimitNOFILE)".into(),
        });
    }
    if page.value("etcd_server_leader_changes_seen_total").is_some_and(|changes| changes > 10.0) {
        found.push(Finding {
            weight: Weight::Note,
            what: format!("{place} has seen more than ten changes of the leader since its start"),
            why: "each stops writes for about an election timeout",
            next: "slow disks and networks; longer --heartbeat-interval and --election-timeout".into(),
        });
    }
    let now = page.value("etcd_debugging_mvcc_current_revision");
    let compacted = page.value("etcd_debugging_mvcc_compact_revision");
    if let (Some(now), Some(compacted)) = (now, compacted)
        && now - compacted.max(0.0) > 1_000_000.0
    {
        found.push(Finding {
            weight: Weight::Warn,
            what: format!("{:.0} revisions are kept at {place}", now - compacted.max(0.0)),
            why: "history is kept until somebody compacts it, and fills the database",
            next: "--auto-compaction-retention, or mainstay etcdctl compaction".into(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(id: u64, status: pb::StatusResponse) -> Seen {
        Seen {
            id,
            name: format!("m{id}"),
            learner: false,
            endpoint: format!("http://10.0.0.{id}:2379"),
            status: Ok(status),
        }
    }

    #[test]
    fn what_is_wrong_is_found_and_what_is_well_is_not() {
        let well = |id| {
            seen(
                id,
                pb::StatusResponse {
                    leader: 1,
                    raft_index: 10,
                    raft_applied_index: 10,
                    ..Default::default()
                },
            )
        };
        let mut found = Vec::new();
        let all = [well(1), well(2), well(3)];
        members(&all, &mut found);
        agreement(&all, &mut found);
        space(&all, &[], &mut found);
        assert!(found.is_empty(), "{found:?}");

        let full = pb::StatusResponse {
            leader: 2,
            db_size: 90,
            db_size_quota: 100,
            raft_index: 9000,
            ..Default::default()
        };
        let ill = [well(1), seen(2, full)];
        members(&ill, &mut found);
        agreement(&ill, &mut found);
        space(&ill, &[pb::AlarmMember { member_id: 1, alarm: pb::AlarmType::Corrupt.into() }], &mut found);
        let whats: Vec<_> = found.iter().map(|finding| finding.what.as_str()).collect();
        for part in ["even number", "agree on who leads", "entries behind", "alarm CORRUPT", "90 B of 100 B"]
        {
            assert!(whats.iter().any(|what| what.contains(part)), "{part} is not in {whats:?}");
        }
    }
}
