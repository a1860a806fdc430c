//! Pairs, ranges and revisions as rows.

use base64::{Engine, engine::general_purpose::STANDARD};
use client::{Client, prefix_end};
use proto::{etcdserverpb as pb, mvccpb::KeyValue};
use serde_json::{Map, Value, json};

use crate::{
    context::Context,
    fail::{Done, Failed},
    output::{Row, shown},
};

pub(crate) const HEADS: &[&str] = &["KEY", "VALUE", "REVISION", "VERSION", "LEASE"];
/// Keys in one reply: long lists are read page by page.
const PAGE: i64 = 1000;

/// Adds bytes under a name: as text, or as base64 under `NAME_base64` when they are none.
pub(crate) fn put_bytes(fields: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => fields.insert(name.to_owned(), json!(text)),
        Err(_) => fields.insert(format!("{name}_base64"), json!(STANDARD.encode(bytes))),
    };
}

/// Reads what [`put_bytes`] wrote; `None` when neither is there.
pub(crate) fn take_bytes(fields: &Map<String, Value>, name: &str) -> Option<Result<Vec<u8>, String>> {
    if let Some(value) = fields.get(name) {
        return Some(
            value.as_str().map(|text| text.as_bytes().to_vec()).ok_or_else(|| format!("{name:?} is no text")),
        );
    }
    let encoded = fields.get(&format!("{name}_base64"))?;
    let text = encoded.as_str().ok_or_else(|| format!("\"{name}_base64\" is no text"));
    Some(text.and_then(|text| STANDARD.decode(text).map_err(|error| format!("\"{name}_base64\": {error}"))))
}

pub(crate) fn lease_text(lease: i64) -> String {
    if lease == 0 { String::new() } else { format!("{lease:x}") }
}

/// A lease as it is typed: hexadecimal digits.
pub(crate) fn lease_id(text: &str) -> Done<i64> {
    i64::from_str_radix(text, 16)
        .map_err(|_| Failed::misused(format!("{text:?} is no lease: hexadecimal digits are wanted")))
}

/// A pair as a row; without its value when only keys were asked for.
pub(crate) fn row(kv: &KeyValue, keys_only: bool) -> Row {
    let mut fields = Map::new();
    put_bytes(&mut fields, "key", &kv.key);
    if !keys_only {
        put_bytes(&mut fields, "value", &kv.value);
    }
    fields.insert("create_revision".into(), json!(kv.create_revision));
    fields.insert("mod_revision".into(), json!(kv.mod_revision));
    fields.insert("version".into(), json!(kv.version));
    if kv.lease != 0 {
        fields.insert("lease".into(), json!(lease_text(kv.lease)));
    }
    let value = if keys_only { String::new() } else { shown(&kv.value) };
    let cells = vec![
        shown(&kv.key),
        value,
        kv.mod_revision.to_string(),
        kv.version.to_string(),
        lease_text(kv.lease),
    ];
    Row { fields, cells }
}

/// The keys that a command line means.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) key: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

impl Span {
    /// `KEY`, `KEY END`, `--prefix KEY`; with `--prefix` an empty key means all.
    pub(crate) fn of(context: &Context) -> Done<Span> {
        let key = context.arg(0).as_bytes().to_vec();
        match (context.flags.bool("prefix"), context.args.len()) {
            (true, 2) => Err(Failed::misused("an end and --prefix contradict each other")),
            (true, _) if key.is_empty() => Ok(Span { key: vec![0], end: vec![0] }),
            (true, _) => Ok(Span { end: prefix_end(&key), key }),
            (false, 2) => Ok(Span { key, end: context.arg(1).as_bytes().to_vec() }),
            (false, _) => Ok(Span { key, end: Vec::new() }),
        }
    }

    pub(crate) fn is_one(&self) -> bool {
        self.end.is_empty()
    }

    pub(crate) fn request(&self) -> pb::RangeRequest {
        pb::RangeRequest {
            key: self.key.clone().into(),
            range_end: self.end.clone().into(),
            ..Default::default()
        }
    }
}

/// Reads a range page by page at one revision, and hands each page over, with the number of keys from its first one on;
/// `limit` 0 for all. Gives the revision.
pub(crate) async fn pages(
    client: &Client,
    mut request: pb::RangeRequest,
    limit: i64,
    mut page: impl FnMut(Vec<KeyValue>, i64) -> Done,
) -> Done<i64> {
    let mut left = if limit > 0 { limit } else { i64::MAX };
    loop {
        request.limit = left.min(PAGE);
        let reply = client.range(request.clone()).await?;
        if request.revision == 0 {
            request.revision = reply.header.as_ref().map_or(0, |header| header.revision);
        }
        left -= reply.kvs.len() as i64;
        let last = reply.kvs.last().map(|kv| kv.key.to_vec());
        page(reply.kvs, reply.count)?;
        match last {
            Some(mut next) if reply.more && left > 0 => {
                next.push(0);
                request.key = next.into();
            }
            _ => return Ok(request.revision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_were() {
        for bytes in [&b"text"[..], b"\xff\x00", b""] {
            let mut fields = Map::new();
            put_bytes(&mut fields, "value", bytes);
            assert_eq!(take_bytes(&fields, "value"), Some(Ok(bytes.to_vec())));
        }
        let mut fields = Map::new();
        assert_eq!(take_bytes(&fields, "value"), None);
        fields.insert("value_base64".into(), json!("*"));
        assert!(take_bytes(&fields, "value").unwrap().is_err());
    }
}
