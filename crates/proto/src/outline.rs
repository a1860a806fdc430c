//! What a message is about, as JSON: chosen fields of it, for those who must not see the others.

use std::{collections::BTreeMap, fmt::Write};

use crate::{
    decode::{Key, value_start, varint},
    json::{Style, quote},
    schema::{Field, Kind, MESSAGES, Schema, schema, values},
};

/// Messages within messages deeper than this are left out.
const DEPTH_MAX: usize = 8;
/// Elements of a list beyond these are left out.
const ELEMENTS_MAX: usize = 64;

/// Fields by number, with their values.
type Chosen<'m> = BTreeMap<u32, (&'static Field, Vec<&'m [u8]>)>;

/// How to write an outline.
pub struct Outline<'a> {
    /// Names of fields to show, whatever message they are in. All others stay unseen, also those that later versions add.
    pub fields: &'a [&'a str],
    /// Appends what stands for a value of kind `bytes`, as JSON.
    pub bytes: &'a dyn Fn(&[u8], &mut Vec<u8>),
    /// Bytes from which on nothing is added.
    pub len_max: usize,
}

impl Outline<'_> {
    /// Appends an object with the chosen fields of a message, in the order of their numbers; as far as it can be read. Where
    /// something was left out for its size, the object says `"cut":true`. Whether the type is known.
    pub fn write(&self, name: &str, message: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(schema) = schema(name) else { return false };
        self.object(schema, message, DEPTH_MAX, out);
        true
    }

    fn object(&self, schema: &'static Schema, message: &[u8], depth: usize, out: &mut Vec<u8>) {
        let (found, mut cut) = self.chosen(schema, message);
        out.push(b'{');
        let mut first = true;
        for (field, elements) in found.values() {
            if out.len() >= self.len_max {
                cut = true;
                break;
            }
            separate(&mut first, out);
            quote(field.name, Style::Within, out);
            out.push(b':');
            if !field.repeated {
                let last = elements.last().expect("a field that was found has a value");
                self.value(field, last, depth, out);
                continue;
            }
            out.push(b'[');
            let mut first = true;
            for element in elements {
                separate(&mut first, out);
                self.value(field, element, depth, out);
            }
            out.push(b']');
        }
        if cut {
            separate(&mut first, out);
            out.extend_from_slice(b"\"cut\":true");
        }
        out.push(b'}');
    }

    /// The values of the chosen fields by number, and whether some were left out.
    fn chosen<'m>(&self, schema: &'static Schema, message: &'m [u8]) -> (Chosen<'m>, bool) {
        let (mut found, mut cut) = (Chosen::new(), false);
        let mut at = 0;
        while at < message.len() {
            let Ok(key) = Key::read(message, &mut at) else { break };
            let Ok(start) = value_start(message, &mut at, &key) else { break };
            let Some(field) = schema.field(key.number).filter(|field| key.wire == field.wire()) else {
                continue;
            };
            if !self.fields.contains(&field.name) {
                continue;
            }
            let (_, elements) = found.entry(key.number).or_insert((field, Vec::new()));
            if !field.repeated {
                elements.clear();
            }
            if elements.len() < ELEMENTS_MAX {
                elements.push(&message[start..at]);
            } else {
                cut = true;
            }
        }
        (found, cut)
    }

    fn value(&self, field: &Field, value: &[u8], depth: usize, out: &mut Vec<u8>) {
        if out.len() >= self.len_max {
            return out.extend_from_slice(b"null");
        }
        match field.kind {
            Kind::Message(inner) => match depth.checked_sub(1) {
                Some(left) => self.object(&MESSAGES[usize::from(inner)], value, left, out),
                None => out.extend_from_slice(b"{\"cut\":true}"),
            },
            Kind::Bytes => (self.bytes)(value, out),
            Kind::Text => quote(&String::from_utf8_lossy(value), Style::Within, out),
            Kind::Bool | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Enum(_) => {
                number(field.kind, varint(value, &mut 0).unwrap_or(0), out);
            }
        }
    }
}

fn number(kind: Kind, number: u64, out: &mut Vec<u8>) {
    let text = match kind {
        Kind::Bool => (number != 0).to_string(),
        Kind::Uint32 | Kind::Uint64 => number.to_string(),
        Kind::Enum(index) => match values(index).iter().find(|(_, known)| *known == number as i32) {
            Some((name, _)) => return quote(name, Style::Within, out),
            None => (number as i32).to_string(),
        },
        _ => number.cast_signed().to_string(),
    };
    out.extend_from_slice(text.as_bytes());
}

fn separate(first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(first) {
        out.push(b',');
    }
}

/// Appends bytes as text when they are some, else as `{"base64":...}`.
pub fn show(bytes: &[u8], out: &mut Vec<u8>) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    match std::str::from_utf8(bytes) {
        Ok(text) => quote(text, Style::Within, out),
        Err(_) => {
            let mut text = String::new();
            // Writing to memory does not fail.
            let _ = write!(text, "{{\"base64\":\"{}\"}}", STANDARD.encode(bytes));
            out.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::{Message, Name};

    use super::*;
    use crate::etcdserverpb as pb;

    const FIELDS: [&str; 9] =
        ["key", "range_end", "name", "success", "request_put", "request_txn", "ID", "result", "filters"];

    fn outline<M: Message + Name>(message: &M, len_max: usize) -> String {
        let mut out = Vec::new();
        let outline = Outline { fields: &FIELDS, bytes: &show, len_max };
        assert!(outline.write(&M::full_name(), &message.encode_to_vec(), &mut out));
        assert!(serde_json_like(&out), "{}", String::from_utf8_lossy(&out));
        String::from_utf8(out).unwrap()
    }

    /// Brackets and quotes are closed.
    fn serde_json_like(json: &[u8]) -> bool {
        let mut values = crate::json::Values::default();
        values.push(json);
        matches!(values.next_value(), Ok(Some(value)) if value.len() == json.len())
    }

    #[test]
    fn only_chosen_fields_are_shown() {
        let put =
            pb::PutRequest { key: "k\"".into(), value: "secret".into(), lease: 7, ..Default::default() };
        assert_eq!(outline(&put, 1000), r#"{"key":"k\""}"#);
        let user = pb::AuthUserAddRequest {
            name: "u".into(),
            password: "secret".into(),
            hashed_password: "secret".into(),
            ..Default::default()
        };
        assert_eq!(outline(&user, 1000), r#"{"name":"u"}"#);
        let range =
            pb::RangeRequest { key: vec![0xff].into(), range_end: vec![0].into(), ..Default::default() };
        assert_eq!(outline(&range, 1000), r#"{"key":{"base64":"/w=="},"range_end":"\u0000"}"#);
        let revoke = pb::LeaseRevokeRequest { id: -1 };
        assert_eq!(outline(&revoke, 1000), r#"{"ID":-1}"#);
        let op = pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) };
        let compare = pb::Compare { key: "c".into(), ..Default::default() };
        let txn =
            pb::TxnRequest { compare: vec![compare], success: vec![op.clone(), op], ..Default::default() };
        assert_eq!(
            outline(&txn, 1000),
            r#"{"success":[{"request_put":{"key":"k\""}},{"request_put":{"key":"k\""}}]}"#
        );
    }

    #[test]
    fn what_is_large_is_cut() {
        let op = |key: &'static str| pb::RequestOp {
            request: Some(pb::request_op::Request::RequestPut(pb::PutRequest {
                key: key.into(),
                ..Default::default()
            })),
        };
        let txn = pb::TxnRequest { success: vec![op("key"); 1000], ..Default::default() };
        let whole = outline(&txn, usize::MAX);
        assert!(whole.ends_with("],\"cut\":true}") && whole.len() < 3000, "{whole}");
        assert!(outline(&txn, 100).len() < 600);
        let mut nested = pb::TxnRequest { success: vec![op("deep")], ..Default::default() };
        for _ in 0..20 {
            let inner = pb::RequestOp { request: Some(pb::request_op::Request::RequestTxn(nested)) };
            nested = pb::TxnRequest { success: vec![inner], ..Default::default() };
        }
        let text = outline(&nested, 10_000);
        assert!(!text.contains("deep") && text.contains("cut"), "{text}");
    }

    #[test]
    fn what_is_no_message_is_shown_as_far_as_it_goes() {
        let mut out = Vec::new();
        let outline = Outline { fields: &FIELDS, bytes: &show, len_max: 100 };
        assert!(outline.write("etcdserverpb.PutRequest", &[0x0a, 1, b'a', 0x12, 9], &mut out));
        assert_eq!(out, br#"{"key":"a"}"#);
        assert!(!outline.write("etcdserverpb.Nope", &[], &mut out));
    }
}
