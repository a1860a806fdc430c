//! `make-mirror`: all keys, then all that happens to them, written to another cluster.

use std::{cell::Cell, time::Duration};

use client::{Client, Settings, Tls, Watches, prefix_end};
use proto::{
    etcdserverpb::{self as pb, request_op::Request},
    mvccpb::{Event, event::EventType},
};

use crate::{
    connect::{login, open},
    context::Context,
    fail::{Done, Failed},
    output::say,
};

/// Keys in one piece of the first copy.
const PAGE: i64 = 1000;
/// Between two lines that say how much was copied.
const REPORT: Duration = Duration::from_secs(30);

pub(crate) async fn run(mut context: Context) -> Done {
    let destination = context.one("make-mirror takes one destination argument")?.to_owned();
    let flags = &context.flags;
    let login = login(flags.text("dest-user"), flags.text("dest-password"), "Destination Password: ")?;
    let file = |name: &str| Some(flags.text(name)).filter(|path| !path.is_empty()).map(Into::into);
    let tls =
        Tls { ca: file("dest-cacert"), cert: file("dest-cert"), key: file("dest-key"), ..Tls::default() };
    let secure = tls.ca.is_some() || tls.cert.is_some() || !flags.bool("dest-insecure-transport");
    let mirror = Mirror {
        prefix: flags.text("prefix").to_owned(),
        to: match flags.text("dest-prefix") {
            "" if !flags.bool("no-dest-prefix") => flags.text("prefix").to_owned(),
            to => to.to_owned(),
        },
        operations_max: usize::try_from(flags.uint("max-txn-ops")).unwrap_or(usize::MAX),
        copied: Cell::new(0),
    };
    let contradict = flags.bool("no-dest-prefix") && !flags.text("dest-prefix").is_empty();
    let from = flags.int("rev").max(1) - 1;
    let reach = context.reach().await?;
    let settings =
        Settings { endpoints: vec![destination], tls, secure, login, token: None, ..reach.settings.clone() };
    let to = open(&settings).await?;
    let source = reach.client().await?;
    if contradict {
        return Err(Failed::args(
            "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one",
        ));
    }
    tokio::select! {
        ended = mirror.run(&source, &to, from) => ended,
        ended = mirror.report() => ended,
    }
}

struct Mirror {
    prefix: String,
    /// What stands in the place of the prefix there.
    to: String,
    operations_max: usize,
    copied: Cell<u64>,
}

impl Mirror {
    /// Says how much was copied, now and then.
    async fn report(&self) -> Done {
        loop {
            tokio::time::sleep(REPORT).await;
            say(format!("{}\n", self.copied.get()))?;
        }
    }

    async fn run(&self, source: &Client, to: &Client, from: i64) -> Done {
        let from = if from == 0 { self.copy(source, to).await? } else { from };
        let mut watches = Watches::new(source, false);
        let (key, range_end) = self.range();
        let create = pb::WatchCreateRequest {
            key: key.into(),
            range_end: range_end.into(),
            start_revision: from + 1,
            ..Default::default()
        };
        watches.add(create).await;
        while !watches.is_over() {
            let told = watches.next().await?;
            if told.reply.compact_revision != 0 {
                return Err(Failed::error("etcdserver: mvcc: required revision has been compacted"));
            }
            self.follow(to, &told.reply.events).await?;
        }
        Err(Failed::error("<nil>"))
    }

    fn range(&self) -> (Vec<u8>, Vec<u8>) {
        let prefix = self.prefix.as_bytes();
        (if prefix.is_empty() { vec![0] } else { prefix.to_vec() }, prefix_end(prefix))
    }

    /// Copies what is there now; the revision of "now".
    async fn copy(&self, source: &Client, to: &Client) -> Result<i64, Failed> {
        let (mut key, range_end) = self.range();
        let mut revision = 0;
        loop {
            let request = pb::RangeRequest {
                key: key.clone().into(),
                range_end: range_end.clone().into(),
                limit: PAGE,
                revision,
                ..Default::default()
            };
            let reply = source.range(request).await?;
            if revision == 0 {
                revision = reply.header.as_ref().map_or(0, |header| header.revision);
            }
            for kv in &reply.kvs {
                let request = pb::PutRequest {
                    key: self.rename(&kv.key).into(),
                    value: kv.value.clone(),
                    ..Default::default()
                };
                to.put(request).await?;
                self.copied.set(self.copied.get() + 1);
            }
            let Some(last) = reply.kvs.last().filter(|_| reply.more) else { return Ok(revision) };
            key = [&last.key[..], b"\0"].concat();
        }
    }

    /// Writes the events of one revision in one transaction, or in several when they are too many.
    async fn follow(&self, to: &Client, events: &[Event]) -> Done {
        let mut operations = Vec::new();
        let mut last = 0;
        for event in events {
            let Some(kv) = &event.kv else { continue };
            let full = operations.len() >= self.operations_max;
            if !operations.is_empty() && (full || kv.mod_revision > last) {
                write(to, std::mem::take(&mut operations)).await?;
            }
            last = kv.mod_revision;
            let key = self.rename(&kv.key).into();
            operations.push(match event.r#type() {
                EventType::Put => {
                    Request::RequestPut(pb::PutRequest { key, value: kv.value.clone(), ..Default::default() })
                }
                EventType::Delete => {
                    Request::RequestDeleteRange(pb::DeleteRangeRequest { key, ..Default::default() })
                }
            });
            self.copied.set(self.copied.get() + 1);
        }
        if operations.is_empty() { Ok(()) } else { write(to, operations).await }
    }

    fn rename(&self, key: &[u8]) -> Vec<u8> {
        let rest = key.strip_prefix(self.prefix.as_bytes()).unwrap_or(key);
        [self.to.as_bytes(), rest].concat()
    }
}

async fn write(to: &Client, operations: Vec<Request>) -> Done {
    let operations = operations.into_iter().map(|request| pb::RequestOp { request: Some(request) });
    to.txn(pb::TxnRequest { success: operations.collect(), ..Default::default() }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_exchanged() {
        let mirror = Mirror { prefix: "a/".into(), to: "b/".into(), operations_max: 1, copied: Cell::new(0) };
        assert_eq!(mirror.rename(b"a/a/x"), b"b/a/x");
        assert_eq!(mirror.range(), (b"a/".to_vec(), b"a0".to_vec()));
        let all =
            Mirror { prefix: String::new(), to: String::new(), operations_max: 1, copied: Cell::new(0) };
        assert_eq!(all.range(), (vec![0], vec![0]));
        assert_eq!(all.rename(b"x"), b"x");
    }
}
