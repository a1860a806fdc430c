//! `check`: how fast a cluster writes, and how much memory keys take.

mod load;
mod memory;

use std::{collections::BTreeMap, time::Duration};

use client::{Client, Settings, prefix_end};
use cmdline::golang::quote;
use proto::etcdserverpb as pb;

use self::load::{Load, Pace};
use crate::{
    connect::{Reach, open},
    context::Context,
    fail::{BAD_FEATURE, Done, ERROR, Failed, INVALID_INPUT, text},
    output::say,
};

/// A throughput of less than this part of what was offered has failed.
const THROUGHPUT_MIN: f64 = 0.9;
const SLOWEST_MAX: f64 = 0.5;
const DEVIATION_MAX: f64 = 0.1;
const PERF_TIME: Duration = Duration::from_secs(60);
/// For cleaning up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a workload is: its names, writes a second and clients of `perf`, keys and clients of `datascale`.
struct Workload {
    names: &'static [&'static str],
    writes: u32,
    clients: usize,
    keys: u64,
}

const WORKLOADS: [Workload; 4] = [
    Workload { names: &["s", "small"], writes: 150, clients: 50, keys: 10_000 },
    Workload { names: &["m", "medium"], writes: 1000, clients: 200, keys: 100_000 },
    Workload { names: &["l", "large"], writes: 8000, clients: 500, keys: 1_000_000 },
    Workload { names: &["xl", "xLarge"], writes: 15_000, clients: 1000, keys: 3_000_000 },
];

fn workload(context: &Context) -> Result<&'static Workload, Failed> {
    let name = context.flags.text("load");
    let found = WORKLOADS.iter().find(|load| load.names.contains(&name));
    found.ok_or_else(|| Failed::new(BAD_FEATURE, format!("unknown load option {name}")))
}

pub(crate) async fn perf(mut context: Context) -> Done {
    let workload = workload(&context)?;
    let (reach, clients) = prepare(&mut context, workload).await?;
    let prefix = context.flags.text("prefix").to_owned();
    check_empty(&clients[0], &prefix, '\'').await?;
    let load = Load { prefix: prefix.clone(), key_bytes: 256, value_bytes: 1024 };
    let told = load.run(&clients, Pace::PerSecond(workload.writes, PERF_TIME)).await;
    let cleaned = delete_all(&clients[0], &prefix).await;
    match cleaned {
        Err(error) => say(format!("FAIL: Cleanup failed during key deletion: ERROR({})\n", text(&error)))?,
        Ok(revision) if context.flags.bool("auto-compact") => compact(&clients[0], revision).await?,
        Ok(_) => {}
    }
    defragment(&context, &reach).await?;
    let mut passed = true;
    let mut judge = |good: bool, pass: String, fail: String| {
        passed &= good;
        say(if good { pass } else { fail })
    };
    if !told.errors.is_empty() {
        judge(false, String::new(), errors_text(&told.errors))?;
    }
    let rate = told.per_second();
    let writes = rate as u64 + 1;
    judge(
        rate / f64::from(workload.writes) > THROUGHPUT_MIN,
        format!("PASS: Throughput is {writes} writes/s\n"),
        format!("FAIL: Throughput too low: {writes} writes/s\n"),
    )?;
    let slowest = told.slowest();
    judge(
        slowest <= SLOWEST_MAX,
        format!("PASS: Slowest request took {slowest:.6}s\n"),
        format!("Slowest request took too long: {slowest:.6}s\n"),
    )?;
    let deviation = told.deviation();
    judge(
        deviation <= DEVIATION_MAX,
        format!("PASS: Stddev is {deviation:.6}s\n"),
        format!("Stddev too high: {deviation:.6}s\n"),
    )?;
    say(if passed { "PASS\n" } else { "FAIL\n" })?;
    if passed { Ok(()) } else { Err(Failed::quietly(ERROR)) }
}

pub(crate) async fn data_scale(mut context: Context) -> Done {
    let workload = workload(&context)?;
    let (reach, clients) = prepare(&mut context, workload).await?;
    let prefix = context.flags.text("prefix").to_owned();
    check_empty(&clients[0], &prefix, ' ').await?;
    let endpoint = &reach.settings.endpoints[0];
    let before = memory::resident(endpoint, &reach.settings).await;
    let Some(before) = said(before, "before")? else { return Err(Failed::quietly(ERROR)) };
    let (keys, count) = (workload.keys, workload.clients);
    say(format!(
        "Start data scale check for work load [{keys} key-value pairs, 1024 bytes per key-value, {count} concurrent clients].\n"
    ))?;
    let load = Load { prefix: prefix.clone(), key_bytes: 512, value_bytes: 512 };
    let told = load.run(&clients, Pace::Count(keys)).await;
    let after = memory::resident(endpoint, &reach.settings).await;
    let Some(after) = said(after, "after")? else { return Err(Failed::quietly(ERROR)) };
    let revision = delete_all(&clients[0], &prefix).await?;
    if context.flags.bool("auto-compact") {
        compact(&clients[0], revision).await?;
    }
    defragment(&context, &reach).await?;
    if !told.errors.is_empty() {
        say(errors_text(&told.errors))?;
        return Err(Failed::quietly(ERROR));
    }
    let megabytes = (after - before) / 1024.0 / 1024.0;
    say(format!("PASS: Approximate system memory used : {megabytes:.2} MB.\n"))
}

/// A size, or nothing when what hindered was said.
fn said(bytes: Result<f64, String>, when: &str) -> Result<Option<f64>, Failed> {
    match bytes {
        Ok(bytes) => Ok(Some(bytes)),
        Err(reason) => {
            say(format!(
                "{reason}\nFAIL: Could not read process_resident_memory_bytes {when} the put operations.\n"
            ))?;
            Ok(None)
        }
    }
}

fn errors_text(errors: &BTreeMap<String, u64>) -> String {
    let lines = errors.iter().map(|(error, count)| format!("FAIL: ERROR({error}) -> {count}\n"));
    format!("FAIL: too many errors\n{}", lines.collect::<String>())
}

/// As many clients as the workload has, each with a connection of its own.
async fn prepare(context: &mut Context, workload: &Workload) -> Result<(Reach, Vec<Client>), Failed> {
    let reach = context.reach().await?;
    let mut clients = Vec::with_capacity(workload.clients);
    for _ in 0..workload.clients {
        clients.push(reach.client().await?);
    }
    Ok((reach, clients))
}

/// # Errors
/// When there are keys, which would be deleted.
async fn check_empty(client: &Client, prefix: &str, mark: char) -> Done {
    let request = pb::RangeRequest {
        key: prefix.as_bytes().to_vec().into(),
        range_end: prefix_end(prefix.as_bytes()).into(),
        limit: 1,
        ..Default::default()
    };
    if client.range(request).await?.kvs.is_empty() {
        return Ok(());
    }
    let command = format!("etcdctl del --prefix {prefix}");
    let command = if mark == '\'' { format!("'{command}'") } else { command };
    let text = format!("prefix {} has keys. Delete with {command} first", quote(prefix));
    Err(Failed::new(INVALID_INPUT, text))
}

/// Deletes what was written; the revision of that.
async fn delete_all(client: &Client, prefix: &str) -> Result<i64, client::Error> {
    let request = pb::DeleteRangeRequest {
        key: prefix.as_bytes().to_vec().into(),
        range_end: prefix_end(prefix.as_bytes()).into(),
        prev_kv: false,
    };
    Ok(client.delete(request).await?.header.map_or(0, |header| header.revision))
}

async fn compact(client: &Client, revision: i64) -> Done {
    say(format!("Compacting with revision {revision}\n"))?;
    client.compact(pb::CompactionRequest { revision, physical: true }).await?;
    say(format!("Compacted with revision {revision}\n"))
}

async fn defragment(context: &Context, reach: &Reach) -> Done {
    if !context.flags.bool("auto-defrag") {
        return Ok(());
    }
    for endpoint in &reach.settings.endpoints {
        say(format!("Defragmenting {}\n", quote(endpoint)))?;
        let settings = Settings { request_timeout: Some(PATIENCE), ..reach.settings.only(endpoint) };
        open(&settings).await?.defragment(pb::DefragmentRequest {}).await?;
        say(format!("Defragmented {}\n", quote(endpoint)))?;
    }
    Ok(())
}
