//! `lease`.

use proto::etcdserverpb as pb;
use serde_json::json;

use crate::{
    context::Context,
    fail::{Done, Failed},
    kv::{lease_id, lease_text},
    output::{self, Format, Row, shown},
};

/// Seconds, rounded up: `90s`, `2m`, `90`.
fn seconds(text: &str) -> Done<i64> {
    let flag = cmdline::Flag::new("ttl", cmdline::Kind::Duration, "0s", "");
    let wrong =
        || Failed::misused(format!("{text:?} is no time")).next("seconds, or a time such as 90s or 2m");
    match (text.parse::<i64>(), flag.read(text)) {
        (Ok(seconds), _) => Ok(seconds),
        (_, Ok(cmdline::Value::Duration(nanos))) => Ok((nanos + 999_999_999) / 1_000_000_000),
        _ => Err(wrong()),
    }
}

pub(crate) async fn grant(context: Context) -> Done {
    let ttl = seconds(context.arg(0))?;
    let reply = context.connect().await?.lease_grant(pb::LeaseGrantRequest { ttl, id: 0 }).await?;
    let id = lease_text(reply.id);
    let row =
        Row::new([("lease", json!(id)), ("ttl", json!(reply.ttl))], vec![id.clone(), reply.ttl.to_string()]);
    output::one(context.format, row, format!("{id}\n"))
}

pub(crate) async fn list(context: Context) -> Done {
    let client = context.connect().await?;
    let mut rows = Vec::new();
    for lease in client.lease_leases(pb::LeaseLeasesRequest {}).await?.leases {
        let asked =
            client.lease_time_to_live(pb::LeaseTimeToLiveRequest { id: lease.id, keys: true }).await?;
        // It may have ended since.
        if asked.ttl >= 0 {
            rows.push(row(&asked));
        }
    }
    output::rows(context.format, HEADS, rows)
}

const HEADS: &[&str] = &["LEASE", "LEFT", "OF", "KEYS"];

fn row(reply: &pb::LeaseTimeToLiveResponse) -> Row {
    let id = lease_text(reply.id);
    let keys: Vec<String> = reply.keys.iter().map(|key| shown(key)).collect();
    Row::new(
        [
            ("lease", json!(id)),
            ("left", json!(reply.ttl)),
            ("ttl", json!(reply.granted_ttl)),
            ("keys", json!(keys)),
        ],
        vec![id.clone(), format!("{} s", reply.ttl), format!("{} s", reply.granted_ttl), keys.join(" ")],
    )
}

pub(crate) async fn get(context: Context) -> Done {
    let id = lease_id(context.arg(0))?;
    let asked = pb::LeaseTimeToLiveRequest { id, keys: true };
    let reply = context.connect().await?.lease_time_to_live(asked).await?;
    if reply.ttl < 0 {
        return Err(Failed::new(format!("there is no lease {}", lease_text(id))).next("mainstay lease list"));
    }
    output::rows(context.format, HEADS, vec![row(&reply)])
}

pub(crate) async fn revoke(context: Context) -> Done {
    let id = lease_id(context.arg(0))?;
    let client = context.connect().await?;
    let keys = client.lease_time_to_live(pb::LeaseTimeToLiveRequest { id, keys: true }).await?.keys;
    let plan =
        format!("this ends lease {} and deletes {}", lease_text(id), output::count(keys.len() as i64, "key"));
    output::confirm(context.flags.bool("yes"), &plan)?;
    client.lease_revoke(pb::LeaseRevokeRequest { id }).await?;
    let row =
        Row::new([("lease", json!(lease_text(id))), ("deleted", json!(keys.len()))], vec![lease_text(id)]);
    output::one(
        context.format,
        row,
        format!("ended lease {}, deleted {}\n", lease_text(id), output::count(keys.len() as i64, "key")),
    )
}

pub(crate) async fn keep_alive(context: Context) -> Done {
    let id = lease_id(context.arg(0))?;
    let client = context.connect_patiently().await?;
    let once = context.flags.bool("once");
    let mut alive = client.keep_alive(id);
    loop {
        let reply = match once {
            true => Some(client.keep_alive_once(id).await?),
            false => alive.next().await,
        };
        let Some(reply) = reply else {
            return Err(
                Failed::new(format!("lease {} has ended", lease_text(id))).next("mainstay lease grant TTL")
            );
        };
        let row =
            Row::new([("lease", json!(lease_text(id))), ("ttl", json!(reply.ttl))], vec![lease_text(id)]);
        let plain = format!("lease {} has {} s again\n", lease_text(id), reply.ttl);
        if once || context.format != Format::Name {
            output::one(context.format, row, plain)?;
        }
        if once {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(seconds("90").unwrap(), 90);
        assert_eq!(seconds("1500ms").unwrap(), 2);
        assert_eq!(seconds("2m").unwrap(), 120);
        assert!(seconds("soon").is_err());
    }
}
