//! `kv export` and `kv import`: keys and values as JSON lines.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
};

use client::Client;
use proto::etcdserverpb::{self as pb, compare, request_op::Request as Operation};
use serde_json::{Map, Value, json};

use crate::{
    context::Context,
    fail::{Done, Failed},
    kv::{self, Span},
    output::{self, Row, shown},
    progress::Progress,
};

/// Puts in one transaction, and bytes of them: servers have limits.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 512 << 10;
/// The longest line: a value of 1.5 MiB in base64, with room.
const LINE_BYTES: u64 = 16 << 20;

pub(crate) async fn export(context: Context) -> Done {
    let key = context.arg(0).as_bytes().to_vec();
    let all = Span { key: vec![0], end: vec![0] };
    let span = if key.is_empty() { all } else { Span { end: client::prefix_end(&key), key } };
    let client = context.connect().await?;
    let request = pb::RangeRequest { revision: context.flags.int("rev"), ..span.request() };
    let (mut progress, mut count) = (None, 0);
    let revision = kv::pages(&client, request, 0, |pairs, left| {
        let mut text = String::new();
        for pair in &pairs {
            let row = kv::row(pair, false);
            text.push_str(&format!("{}\n", Value::Object(row.fields)));
        }
        count += pairs.len() as i64;
        // On the first page this is the number of all.
        progress
            .get_or_insert_with(|| Progress::beside_output(usize::try_from(left).unwrap_or(0)))
            .add(pairs.len());
        output::say(text)
    })
    .await?;
    drop(progress);
    output::tell(&format!("{} at revision {revision}\n", output::count(count, "key")));
    Ok(())
}

/// A pair to be written.
struct Wanted {
    key: Vec<u8>,
    value: Vec<u8>,
    /// The revision it was exported at, for `--cas`.
    revision: Option<i64>,
}

/// What is there now, compared with what is wanted.
#[derive(Default)]
struct Tally {
    new: usize,
    changed: usize,
    same: usize,
    refused: usize,
}

pub(crate) async fn import(context: Context) -> Done {
    let (dry, cas) = (context.flags.bool("dry-run"), context.flags.bool("cas"));
    let wanted = read(context.arg(0))?;
    let client = context.connect().await?;
    let mut tally = Tally::default();
    let mut batches = Vec::new();
    for batch in batches_of(wanted) {
        let there = lookup(&client, &batch).await?;
        let mut writes = Vec::new();
        for (pair, there) in batch.into_iter().zip(there) {
            match &there {
                None => tally.new += 1,
                Some(now) if now.value == pair.value => {
                    tally.same += 1;
                    continue;
                }
                Some(_) => tally.changed += 1,
            }
            if dry {
                let what = if there.is_none() { "new" } else { "changed" };
                output::say(format!("{what}  {}\n", shown(&pair.key)))?;
            }
            let now = there.map_or(0, |now| now.mod_revision);
            writes.push((pair, now));
        }
        if !writes.is_empty() {
            batches.push(writes);
        }
    }
    let plan = format!("{} new keys, {} changed ones, {} as they are", tally.new, tally.changed, tally.same);
    if dry {
        output::tell(&format!("dry run: {plan}\n"));
        return Ok(());
    }
    if tally.changed > 0 {
        output::confirm(context.flags.bool("yes"), &format!("this overwrites values: {plan}"))?;
    }
    for batch in batches {
        write(&client, batch, cas, &mut tally).await?;
    }
    let written = tally.new + tally.changed - tally.refused;
    let row = Row::new(
        [("written", json!(written)), ("same", json!(tally.same)), ("refused", json!(tally.refused))],
        vec![written.to_string()],
    );
    output::one(
        context.format,
        row,
        format!("{} written, {} as they were\n", output::count(written as i64, "key"), tally.same),
    )?;
    if tally.refused > 0 {
        let what = format!(
            "{} keys were not written: they have changed since the export or while this ran",
            tally.refused
        );
        return Err(Failed::new(what).next("the same again with --dry-run, to see which"));
    }
    Ok(())
}

fn read(path: &str) -> Done<Vec<Wanted>> {
    let input: Box<dyn Read> = match path {
        "-" | "" => Box::new(std::io::stdin()),
        path => Box::new(
            File::open(path).map_err(|error| Failed::new(format!("{path} cannot be read: {error}")))?,
        ),
    };
    let (mut input, mut all, mut number) = (BufReader::new(input), Vec::new(), 0);
    loop {
        number += 1;
        let wrong = |reason: String| {
            Failed::new(format!("line {number}: {reason}"))
                .next("lines as `mainstay kv export` writes them; nothing was imported")
        };
        let mut line = String::new();
        let mut limited = Read::take(&mut input, LINE_BYTES);
        if limited.read_line(&mut line).map_err(|error| wrong(error.to_string()))? == 0 {
            return Ok(all);
        }
        if line.len() as u64 == LINE_BYTES {
            return Err(wrong(format!("longer than {LINE_BYTES} bytes")));
        }
        if !line.trim().is_empty() {
            all.push(parse(&line).map_err(wrong)?);
        }
    }
}

fn parse(line: &str) -> Result<Wanted, String> {
    let fields: Map<String, Value> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let key = kv::take_bytes(&fields, "key").ok_or("there is no \"key\"")??;
    let value = kv::take_bytes(&fields, "value").ok_or("there is no \"value\"")??;
    if key.is_empty() {
        return Err("the key is empty".into());
    }
    let revision = fields.get("mod_revision").and_then(Value::as_i64);
    Ok(Wanted { key, value, revision })
}

fn batches_of(all: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let (mut batches, mut bytes) = (vec![Vec::new()], 0);
    for pair in all {
        let size = pair.key.len() + pair.value.len();
        let last = batches.last_mut().expect("there is always one");
        // One transaction cannot write a key twice.
        let twice = last.iter().any(|other: &Wanted| other.key == pair.key);
        if last.len() == BATCH || (bytes + size > BATCH_BYTES && !last.is_empty()) || twice {
            batches.push(vec![pair]);
            bytes = size;
        } else {
            last.push(pair);
            bytes += size;
        }
    }
    batches
}

fn operation(request: Operation) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

/// What is there now of each key.
async fn lookup(client: &Client, batch: &[Wanted]) -> Done<Vec<Option<proto::mvccpb::KeyValue>>> {
    let get = |pair: &Wanted| pb::RangeRequest { key: pair.key.clone().into(), ..Default::default() };
    let success = batch.iter().map(|pair| operation(Operation::RequestRange(get(pair)))).collect();
    let reply = client.txn_repeatable(pb::TxnRequest { success, ..Default::default() }).await?;
    let answers = reply.responses.into_iter().map(|one| match one.response {
        Some(pb::response_op::Response::ResponseRange(range)) => range.kvs.into_iter().next(),
        _ => None,
    });
    Ok(answers.collect())
}

/// Writes a batch if nothing in it has changed since it was looked up; else pair by pair, as far as that is so.
/// With `cas` a pair must also be what it was when it was exported.
async fn write(client: &Client, batch: Vec<(Wanted, i64)>, cas: bool, tally: &mut Tally) -> Done {
    let (batch, stale): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .partition(|(pair, now)| !cas || *now == 0 || pair.revision.is_none_or(|exported| exported == *now));
    tally.refused += stale.len();
    if batch.is_empty() || put(client, &batch).await? {
        return Ok(());
    }
    for pair in batch {
        if !put(client, &[pair]).await? {
            tally.refused += 1;
        }
    }
    Ok(())
}

async fn put(client: &Client, batch: &[(Wanted, i64)]) -> Done<bool> {
    let compare = |(pair, now): &(Wanted, i64)| pb::Compare {
        result: compare::CompareResult::Equal.into(),
        target: compare::CompareTarget::Mod.into(),
        key: pair.key.clone().into(),
        target_union: Some(compare::TargetUnion::ModRevision(*now)),
        ..Default::default()
    };
    let write = |(pair, _): &(Wanted, i64)| {
        operation(Operation::RequestPut(pb::PutRequest {
            key: pair.key.clone().into(),
            value: pair.value.clone().into(),
            ..Default::default()
        }))
    };
    let request = pb::TxnRequest {
        compare: batch.iter().map(compare).collect(),
        success: batch.iter().map(write).collect(),
        failure: Vec::new(),
    };
    Ok(client.txn(request).await?.succeeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let pair = parse(r#"{"key":"a","value_base64":"/w==","mod_revision":7}"#).unwrap();
        assert_eq!((pair.key, pair.value, pair.revision), (b"a".to_vec(), vec![0xff], Some(7)));
        for (line, reason) in [
            ("{", "EOF"),
            (r#"{"value":"x"}"#, "no \"key\""),
            (r#"{"key":"x"}"#, "no \"value\""),
            (r#"{"key":"","value":"x"}"#, "empty"),
            (r#"{"key":1,"value":"x"}"#, "no text"),
        ] {
            let error = parse(line).err().unwrap();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn batches_are_small_and_have_no_key_twice() {
        let pair = |key: u32, size: usize| Wanted {
            key: key.to_be_bytes().to_vec(),
            value: vec![0; size],
            revision: None,
        };
        let sizes = |all: Vec<Wanted>| batches_of(all).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes((0..130).map(|n| pair(n, 1)).collect()), [64, 64, 2]);
        assert_eq!(sizes(vec![pair(1, 1), pair(1, 2), pair(2, 3)]), [1, 2]);
        assert_eq!(sizes(vec![pair(1, BATCH_BYTES + 1), pair(2, 3)]), [1, 1]);
    }
}
