//! `endpoint`

use std::time::Instant;

use client::Settings;
use proto::etcdserverpb::{self as pb, AlarmType, alarm_request::AlarmAction};
use tokio::task::JoinSet;

use crate::{
    connect::{Reach, open},
    context::Context,
    fail::{Done, ERROR, Failed, text},
    output::tell,
    print::{Health, Told},
    text::took,
};

pub(crate) async fn health(mut context: Context) -> Done {
    let reach = context.reach().await?;
    let mut asked = JoinSet::new();
    for endpoint in endpoints(&context, &reach).await? {
        let settings = for_one(&context, &reach, &endpoint);
        asked.spawn(health_of(endpoint, settings));
    }
    let mut list = Vec::new();
    while let Some(health) = asked.join_next().await {
        list.push(health.map_err(Failed::error)??);
    }
    reach.printer.endpoint_health(&list)?;
    match list.iter().all(|one| one.error.is_empty()) {
        true => Ok(()),
        false => Err(Failed::error("unhealthy cluster")),
    }
}

async fn health_of(endpoint: String, settings: Settings) -> Result<Health, Failed> {
    let unhealthy =
        |error: String| Health { endpoint: endpoint.clone(), health: false, took: String::new(), error };
    let client = match open(&settings).await {
        Ok(client) => client,
        // What is wrong with flags ends the command.
        Err(failed) if failed.code == crate::fail::BAD_ARGS => return Err(failed),
        Err(failed) => return Ok(unhealthy(failed.text.unwrap_or_default())),
    };
    let start = Instant::now();
    let asked = client.range(pb::RangeRequest { key: "health".into(), ..Default::default() }).await;
    let took = took(start);
    let error = match asked {
        // Who may not read has been told so by the whole cluster.
        Err(error) if !error.is("etcdserver: permission denied") => text(&error),
        _ => {
            let request = pb::AlarmRequest { action: AlarmAction::Get.into(), ..Default::default() };
            match client.alarm(request).await {
                Ok(reply) => active(&reply.alarms),
                Err(_) => "Unable to fetch the alarm list".to_owned(),
            }
        }
    };
    Ok(Health { took, health: error.is_empty(), ..unhealthy(error) })
}

fn active(alarms: &[pb::AlarmMember]) -> String {
    if alarms.is_empty() {
        return String::new();
    }
    let name = |alarm: &pb::AlarmMember| match AlarmType::try_from(alarm.alarm) {
        Ok(AlarmType::Nospace) => "NOSPACE ",
        Ok(AlarmType::Corrupt) => "CORRUPT ",
        Ok(AlarmType::None) | Err(_) => "UNKNOWN ",
    };
    format!("Active Alarm(s): {}", alarms.iter().map(name).collect::<String>())
}

pub(crate) async fn status(mut context: Context) -> Done {
    let reach = context.reach().await?;
    let (mut list, mut failed) = (Vec::new(), false);
    for endpoint in endpoints(&context, &reach).await? {
        let client = open(&for_one(&context, &reach, &endpoint)).await?;
        match client.status(pb::StatusRequest {}).await {
            Ok(reply) => list.push(Told { endpoint, reply }),
            Err(error) => {
                failed = true;
                tell(&format!("Failed to get the status of endpoint {endpoint} ({})\n", text(&error)));
            }
        }
    }
    reach.printer.endpoint_status(&list)?;
    if failed { Err(Failed::quietly(ERROR)) } else { Ok(()) }
}

pub(crate) async fn hash_kv(mut context: Context) -> Done {
    let revision = context.flags.int("rev");
    let reach = context.reach().await?;
    let (mut list, mut failed) = (Vec::new(), None);
    for endpoint in endpoints(&context, &reach).await? {
        let client = open(&for_one(&context, &reach, &endpoint)).await?;
        match client.hash_kv(pb::HashKvRequest { revision }).await {
            Ok(reply) => list.push(Told { endpoint, reply }),
            Err(error) => {
                tell(&format!("Failed to get the hash of endpoint {endpoint} ({})\n", text(&error)));
                failed = Some(Failed::from(error));
            }
        }
    }
    reach.printer.endpoint_hash(&list)?;
    failed.map_or(Ok(()), Err)
}

/// How to reach one endpoint, with the command's time for each request.
pub(crate) fn for_one(context: &Context, reach: &Reach, endpoint: &str) -> Settings {
    Settings { request_timeout: Some(context.command_timeout()), ..reach.settings.only(endpoint) }
}

/// The endpoints that were given, or those of all members.
///
/// # Errors
/// When nobody says which these are.
pub(crate) async fn endpoints(context: &Context, reach: &Reach) -> Result<Vec<String>, Failed> {
    if !context.flags.bool("cluster") {
        return Ok(context.flags.list("endpoints").to_vec());
    }
    let settings = Settings { request_timeout: Some(context.command_timeout()), ..reach.settings.clone() };
    let client = open(&settings).await.map_err(|failed| failed.with_code(ERROR))?;
    let listed = client.member_list(pb::MemberListRequest { linearizable: true }).await;
    let failed =
        |e| Failed::error(format!("failed to fetch endpoints from etcd cluster member list: {}", text(&e)));
    Ok(listed.map_err(failed)?.members.into_iter().flat_map(|member| member.client_ur_ls).collect())
}
