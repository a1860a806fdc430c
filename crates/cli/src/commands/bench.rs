//! `bench`: load on any etcd, and what it takes.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use client::{Client, Watches, prefix_end};
use proto::etcdserverpb::{self as pb, compare, request_op::Request as Operation};
use serde_json::json;
use tokio::task::LocalSet;

use crate::{
    context::Context,
    fail::{Done, Failed},
    output::{self, Row},
    progress::Progress,
};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Put,
    Get,
    List,
    Txn,
    Watch,
    Lease,
}

/// A number above zero.
pub(super) fn positive(context: &Context, flag: &str) -> Done<usize> {
    usize::try_from(context.flags.int(flag))
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| Failed::misused(format!("--{flag} must be above 0")))
}

/// How long calls took.
#[derive(Debug, Default)]
pub(super) struct Times {
    micros: Vec<u32>,
    sorted: bool,
}

impl Times {
    pub(super) fn add(&mut self, time: Duration) {
        self.sorted = false;
        self.micros.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// What a share of them, from 0 to 1, took at most; zero without any.
    pub(super) fn at(&mut self, share: f64) -> Duration {
        if !self.sorted {
            self.micros.sort_unstable();
            self.sorted = true;
        }
        let place = ((self.micros.len() as f64 * share) as usize).min(self.micros.len().saturating_sub(1));
        Duration::from_micros(self.micros.get(place).copied().unwrap_or(0).into())
    }

    /// Milliseconds with two digits behind the point.
    pub(super) fn ms(time: Duration) -> f64 {
        (time.as_secs_f64() * 1e5).round() / 100.0
    }
}

/// What all who ask share.
struct Load {
    kind: Kind,
    prefix: String,
    keys: usize,
    value: Vec<u8>,
    left: Cell<usize>,
    random: Cell<u64>,
    times: RefCell<Times>,
    progress: RefCell<Progress>,
    leases: RefCell<Vec<i64>>,
}

impl Load {
    fn key(&self, number: usize) -> Vec<u8> {
        format!("{}{number:08}", self.prefix).into_bytes()
    }

    fn draw(&self) -> Vec<u8> {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        self.key((x % self.keys as u64) as usize)
    }

    fn put(&self, key: Vec<u8>) -> pb::PutRequest {
        pb::PutRequest { key: key.into(), value: self.value.clone().into(), ..Default::default() }
    }

    fn take(&self) -> bool {
        self.left.get().checked_sub(1).inspect(|left| self.left.set(*left)).is_some()
    }

    fn all(&self) -> pb::RangeRequest {
        let prefix = self.prefix.as_bytes();
        pb::RangeRequest {
            key: prefix.to_vec().into(),
            range_end: prefix_end(prefix).into(),
            ..Default::default()
        }
    }
}

pub(crate) async fn run(context: Context, kind: Kind) -> Done {
    let (requests, clients) = (positive(&context, "requests")?, positive(&context, "clients")?);
    let in_flight = positive(&context, "in-flight")?;
    let prefix = context.flags.text("prefix").to_owned();
    if prefix.is_empty() {
        return Err(Failed::misused("everything below --prefix is deleted in the end: it cannot be empty"));
    }
    let first = context.connect().await?;
    let load = Rc::new(Load {
        kind,
        prefix,
        keys: positive(&context, "keys")?,
        value: vec![b'v'; positive(&context, "value-size")?],
        left: Cell::new(requests),
        random: Cell::new(0x9e37_79b9_7f4a_7c15),
        times: RefCell::default(),
        progress: RefCell::new(Progress::new(requests)),
        leases: RefCell::default(),
    });
    let there = first.range(pb::RangeRequest { count_only: true, ..load.all() }).await?.count;
    if there > 0 {
        let what = format!("there are {} below {:?}", output::count(there, "key"), load.prefix);
        return Err(Failed::new(what).next("another --prefix: the keys of a run are deleted in the end"));
    }
    // Each its own connection: clones of a client share one.
    let mut all = Vec::new();
    for _ in 0..clients {
        all.push(context.connect().await?);
    }
    let local = LocalSet::new();
    let ran = local.run_until(drive(Rc::clone(&load), first.clone(), all, in_flight)).await;
    load.progress.borrow_mut().wipe();
    let (elapsed, failed) = match ran {
        Ok(elapsed) => (elapsed, None),
        Err(failed) => (Duration::ZERO, Some(failed)),
    };
    clean(&first, &load).await?;
    if let Some(failed) = failed {
        return Err(failed);
    }
    report(&context, &load, requests, elapsed)
}

async fn drive(load: Rc<Load>, first: Client, all: Vec<Client>, in_flight: usize) -> Done<Duration> {
    if matches!(load.kind, Kind::Get | Kind::List | Kind::Txn) {
        for number in 0..load.keys {
            first.put(load.put(load.key(number))).await?;
        }
    }
    let begun = Instant::now();
    let mut workers = Vec::new();
    for client in all {
        // Who watches waits for each event before the next put.
        let streams = if load.kind == Kind::Watch { 1 } else { in_flight };
        for _ in 0..streams {
            let (load, client) = (Rc::clone(&load), client.clone());
            workers.push(tokio::task::spawn_local(work(load, client, workers.len())));
        }
    }
    for worker in workers {
        worker.await.map_err(|error| Failed::new(error.to_string()))??;
    }
    Ok(begun.elapsed())
}

async fn work(load: Rc<Load>, client: Client, own: usize) -> Done {
    let mut watches = Watches::new(&client, true);
    let watched = load.key(load.keys + own);
    if load.kind == Kind::Watch {
        // From the revision behind the newest, so that no event can be missed.
        let now =
            client.range(pb::RangeRequest { key: watched.clone().into(), ..Default::default() }).await?;
        let start_revision = now.header.map_or(0, |header| header.revision) + 1;
        let key = watched.clone().into();
        watches.add(pb::WatchCreateRequest { key, start_revision, ..Default::default() }).await;
    }
    while load.take() {
        let begun = Instant::now();
        match load.kind {
            Kind::Put => drop(client.put(load.put(load.draw())).await?),
            Kind::Get => {
                drop(client.range(pb::RangeRequest { key: load.draw().into(), ..Default::default() }).await?);
            }
            Kind::List => drop(client.range(load.all()).await?),
            Kind::Txn => update(&client, &load).await?,
            Kind::Watch => {
                client.put(load.put(watched.clone())).await?;
                while watches.next().await?.reply.events.is_empty() {}
            }
            Kind::Lease => {
                let granted = client.lease_grant(pb::LeaseGrantRequest { ttl: 600, id: 0 }).await?;
                load.leases.borrow_mut().push(granted.id);
            }
        }
        load.times.borrow_mut().add(begun.elapsed());
        load.progress.borrow_mut().add(1);
    }
    Ok(())
}

/// A read and a write that depends on it.
async fn update(client: &Client, load: &Load) -> Done {
    let key = load.draw();
    let get = pb::RangeRequest { key: key.clone().into(), ..Default::default() };
    let now = client.range(get.clone()).await?.kvs.first().map_or(0, |pair| pair.mod_revision);
    let operation = |request| pb::RequestOp { request: Some(request) };
    let compare = pb::Compare {
        result: compare::CompareResult::Equal.into(),
        target: compare::CompareTarget::Mod.into(),
        key: key.clone().into(),
        target_union: Some(compare::TargetUnion::ModRevision(now)),
        ..Default::default()
    };
    let request = pb::TxnRequest {
        compare: vec![compare],
        success: vec![operation(Operation::RequestPut(load.put(key)))],
        failure: vec![operation(Operation::RequestRange(get))],
    };
    client.txn(request).await?;
    Ok(())
}

async fn clean(client: &Client, load: &Load) -> Done {
    let all = load.all();
    client.delete(pb::DeleteRangeRequest { key: all.key, range_end: all.range_end, prev_kv: false }).await?;
    let leases = load.leases.take();
    for id in leases {
        client.lease_revoke(pb::LeaseRevokeRequest { id }).await?;
    }
    Ok(())
}

fn report(context: &Context, load: &Load, requests: usize, elapsed: Duration) -> Done {
    let rate = requests as f64 / elapsed.as_secs_f64();
    let mut times = load.times.borrow_mut();
    let [p50, p90, p99, longest] = [0.5, 0.9, 0.99, 1.0].map(|share| Times::ms(times.at(share)));
    let name = format!("{:?}", load.kind).to_lowercase();
    let row = Row::new(
        [
            ("kind", json!(name)),
            ("requests", json!(requests)),
            ("seconds", json!((elapsed.as_secs_f64() * 1e3).round() / 1e3)),
            ("per_second", json!(rate.round())),
            ("p50_ms", json!(p50)),
            ("p90_ms", json!(p90)),
            ("p99_ms", json!(p99)),
            ("max_ms", json!(longest)),
        ],
        vec![
            name.clone(),
            requests.to_string(),
            format!("{rate:.0}"),
            p50.to_string(),
            p90.to_string(),
            p99.to_string(),
            longest.to_string(),
        ],
    );
    output::rows(
        context.format,
        &["KIND", "REQUESTS", "PER SECOND", "P50 ms", "P90 ms", "P99 ms", "MAX ms"],
        vec![row],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_times() {
        let mut times = Times::default();
        assert_eq!(times.at(0.5), Duration::ZERO);
        for ms in (1..=100).rev() {
            times.add(Duration::from_millis(ms));
        }
        assert_eq!(Times::ms(times.at(0.5)), 51.0);
        assert_eq!(Times::ms(times.at(0.99)), 100.0);
        assert_eq!(Times::ms(times.at(1.0)), 100.0);
    }
}
