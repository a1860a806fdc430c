//! `get`, `put`, `del`.

use std::io::Read;

use proto::etcdserverpb::{
    self as pb, compare, request_op::Request as Operation, response_op::Response as Answer,
};
use serde_json::json;

use crate::{
    context::Context,
    fail::{Done, FAILED, Failed},
    kv::{self, Span},
    output::{self, Format, Row, shown},
};

pub(crate) async fn get(context: Context) -> Done {
    let span = Span::of(&context)?;
    let client = context.connect().await?;
    let (keys_only, limit) = (context.flags.bool("keys-only"), context.flags.int("limit"));
    let request = pb::RangeRequest {
        revision: context.flags.int("rev"),
        serializable: context.flags.bool("stale"),
        keys_only,
        ..span.request()
    };
    if context.flags.bool("count") {
        let reply = client.range(pb::RangeRequest { count_only: true, ..request }).await?;
        let row = Row::new([("count", json!(reply.count))], vec![reply.count.to_string()]);
        return output::one(context.format, row, format!("{}\n", reply.count));
    }
    // A single value goes out as it is: so it can be piped.
    let bare = span.is_one() && !keys_only;
    let (mut rows, mut found) = (Vec::new(), false);
    kv::pages(&client, request, limit, |pairs, _| {
        found |= !pairs.is_empty();
        for pair in pairs {
            match context.format {
                Format::Plain if bare => output::say([&pair.value[..], b"\n"].concat())?,
                Format::Plain if keys_only => output::say(format!("{}\n", shown(&pair.key)))?,
                // Lists may be longer than memory.
                Format::Jsonl | Format::Name => output::one(context.format, kv::row(&pair, keys_only), "")?,
                _ => rows.push(kv::row(&pair, keys_only)),
            }
        }
        Ok(())
    })
    .await?;
    if !found && bare {
        let what = format!("there is no key {:?}", shown(&span.key));
        return Err(Failed::new(what).next(format!("mainstay get --prefix {}", shown(&span.key))));
    }
    let written = matches!(context.format, Format::Jsonl | Format::Name)
        || context.format == Format::Plain && (bare || keys_only);
    if written { Ok(()) } else { output::rows(context.format, kv::HEADS, rows) }
}

pub(crate) async fn put(context: Context) -> Done {
    let key = context.arg(0).as_bytes().to_vec();
    let value = match context.args.get(1).map(String::as_str) {
        Some("-") | None => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| {
                Failed::new(format!("the value cannot be read from standard input: {error}"))
            })?;
            bytes
        }
        Some(text) => text.as_bytes().to_vec(),
    };
    let lease = match context.flags.text("lease") {
        "" => 0,
        text => kv::lease_id(text)?,
    };
    let wanted = match (context.flags.bool("if-absent"), context.flags.changed("if-revision")) {
        (true, true) => return Err(Failed::misused("--if-absent and --if-revision contradict each other")),
        (true, false) => Some(0),
        (false, true) => Some(context.flags.int("if-revision")),
        (false, false) => None,
    };
    let client = context.connect().await?;
    let put = pb::PutRequest { key: key.clone().into(), value: value.into(), lease, ..Default::default() };
    let revision = match wanted {
        None => client.put(put).await?.header.map_or(0, |header| header.revision),
        Some(wanted) => put_if(&client, &key, put, wanted).await?,
    };
    let row = Row::new([("revision", json!(revision))], vec![revision.to_string()]);
    output::one(context.format, row, format!("put {} at revision {revision}\n", shown(&key)))
}

/// Puts when the key was changed last at a revision; 0 for a key that is not there.
async fn put_if(client: &client::Client, key: &[u8], put: pb::PutRequest, wanted: i64) -> Done<i64> {
    let compare = pb::Compare {
        result: compare::CompareResult::Equal.into(),
        target: compare::CompareTarget::Mod.into(),
        key: key.to_vec().into(),
        target_union: Some(compare::TargetUnion::ModRevision(wanted)),
        ..Default::default()
    };
    let get = pb::RangeRequest { key: key.to_vec().into(), keys_only: true, ..Default::default() };
    let operation = |request| pb::RequestOp { request: Some(request) };
    let request = pb::TxnRequest {
        compare: vec![compare],
        success: vec![operation(Operation::RequestPut(put))],
        failure: vec![operation(Operation::RequestRange(get))],
    };
    let reply = client.txn(request).await?;
    if reply.succeeded {
        return Ok(reply.header.map_or(0, |header| header.revision));
    }
    let there = match reply.responses.first().and_then(|one| one.response.as_ref()) {
        Some(Answer::ResponseRange(range)) => range.kvs.first().map(|pair| pair.mod_revision),
        _ => None,
    };
    let key = shown(key);
    Err(match there {
        Some(revision) => Failed::new(format!("not put: {key:?} is at revision {revision}"))
            .next(format!("look at it, then put with --if-revision {revision}")),
        None => Failed::new(format!("not put: there is no key {key:?}")).next("--if-absent to make it"),
    })
}

pub(crate) async fn del(context: Context) -> Done {
    let span = Span::of(&context)?;
    let client = context.connect().await?;
    let count = client.range(pb::RangeRequest { count_only: true, ..span.request() }).await?.count;
    let what = match (span.is_one(), context.flags.bool("prefix")) {
        (true, _) => format!("the key {:?}", shown(&span.key)),
        (false, true) => format!("{} that begin with {:?}", output::count(count, "key"), context.arg(0)),
        (false, false) => {
            format!("{} from {:?} to {:?}", output::count(count, "key"), shown(&span.key), shown(&span.end))
        }
    };
    if count == 0 {
        output::tell(&format!("nothing to delete: {what}\n"));
        return Err(Failed::quietly(FAILED));
    }
    output::confirm(context.flags.bool("yes"), &format!("this deletes {what}"))?;
    let request = pb::DeleteRangeRequest {
        key: span.key.clone().into(),
        range_end: span.end.clone().into(),
        prev_kv: false,
    };
    let reply = client.delete(request).await?;
    let revision = reply.header.map_or(0, |header| header.revision);
    let row = Row::new(
        [("deleted", json!(reply.deleted)), ("revision", json!(revision))],
        vec![reply.deleted.to_string(), revision.to_string()],
    );
    output::one(
        context.format,
        row,
        format!("deleted {} at revision {revision}\n", output::count(reply.deleted, "key")),
    )
}
