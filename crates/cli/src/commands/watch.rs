//! `watch`.

use client::Watches;
use proto::{etcdserverpb as pb, mvccpb::event::EventType};
use serde_json::json;

use crate::{
    context::Context,
    fail::{Done, Failed},
    kv::{self, Span},
    output::{self, shown},
};

pub(crate) async fn run(context: Context) -> Done {
    let span = Span::of(&context)?;
    let client = context.connect_patiently().await?;
    let mut watches = Watches::new(&client, true);
    let create = pb::WatchCreateRequest {
        key: span.key.into(),
        range_end: span.end.into(),
        start_revision: context.flags.int("rev"),
        ..Default::default()
    };
    let (keys_only, count) = (context.flags.bool("keys-only"), context.flags.int("count"));
    watches.add(create).await;
    let mut seen = 0;
    loop {
        let reply = watches.next().await?.reply;
        for event in &reply.events {
            let Some(pair) = &event.kv else { continue };
            let deleted = event.r#type() == EventType::Delete;
            let what = match (deleted, pair.version) {
                (true, _) => "deleted",
                (false, 1) => "created",
                (false, _) => "changed",
            };
            let mut row = kv::row(pair, keys_only || deleted);
            row.fields.insert("event".into(), json!(what));
            let value =
                if keys_only || deleted { String::new() } else { format!(" = {}", shown(&pair.value)) };
            let plain = format!("{what}  {}{value}  at revision {}\n", shown(&pair.key), pair.mod_revision);
            output::one(context.format, row, plain)?;
            seen += 1;
            if seen == count {
                return Ok(());
            }
        }
        if reply.canceled {
            let what = match reply.compact_revision {
                0 => format!("the server has ended the watch: {}", reply.cancel_reason),
                revision => format!("history before revision {revision} is gone"),
            };
            return Err(
                Failed::new(what).next("mainstay watch --rev with a newer revision, after a mainstay get")
            );
        }
    }
}
