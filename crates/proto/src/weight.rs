//! What a message takes in memory beyond its bytes, known before it is decoded.
//!
//! An element of a list may have two bytes on the wire, and in memory it has its full size. So whoever decodes what
//! strangers send weighs it first, and takes the weight out of his budget.

use crate::{
    decode::{DEPTH_MAX, Key, value_start},
    etcdserverpb as pb, mvccpb,
    schema::{DELIMITED, Kind, MESSAGES, Schema, schema},
};

/// The most that an element of a list takes.
const ELEMENT_BYTES: usize = {
    let sizes = [
        size_of::<pb::RequestOp>(),
        size_of::<pb::Compare>(),
        size_of::<pb::Member>(),
        size_of::<pb::ResponseOp>(),
        size_of::<mvccpb::KeyValue>(),
        size_of::<mvccpb::Event>(),
    ];
    let (mut most, mut index) = (0, 0);
    while index < sizes.len() {
        if sizes[index] > most {
            most = sizes[index];
        }
        index += 1;
    }
    most
};
/// A vector begins with four places, and while it grows it is there one and a half times at twice its length.
const GROWTH: usize = 4;
const TEXT_BYTES: usize = size_of::<bytes::Bytes>();
const NUMBER_BYTES: usize = size_of::<i64>();

/// Bytes that the message of that full name takes at most when it is decoded from `bytes`, not counting those; 0 for an
/// unknown one. What cannot be read counts up to there.
pub fn weight(name: &str, bytes: &[u8]) -> usize {
    schema(name).map_or(0, |schema| weigh(schema, bytes, DEPTH_MAX))
}

fn weigh(schema: &Schema, bytes: &[u8], depth: usize) -> usize {
    let (mut at, mut weight) = (0, 0);
    while at < bytes.len() && depth > 0 {
        let Ok(key) = Key::read(bytes, &mut at) else { break };
        let Ok(start) = value_start(bytes, &mut at, &key) else { break };
        let Some(field) = schema.field(key.number) else { continue };
        weight += match field.kind {
            Kind::Message(inner) if key.wire == DELIMITED => {
                let within = weigh(&MESSAGES[usize::from(inner)], &bytes[start..at], depth - 1);
                GROWTH * ELEMENT_BYTES + within
            }
            Kind::Text | Kind::Bytes if field.repeated => GROWTH * TEXT_BYTES,
            Kind::Message(_) | Kind::Text | Kind::Bytes => 0,
            // One, or as many as there are bytes.
            _ if field.repeated => GROWTH * NUMBER_BYTES * (at - start).max(1),
            _ => 0,
        };
    }
    weight
}

#[cfg(test)]
mod tests {
    use prost::{Message, Name};

    use super::*;

    fn of<M: Message + Name>(message: &M) -> usize {
        weight(&M::full_name(), &message.encode_to_vec())
    }

    #[test]
    fn lists_weigh_what_they_take_and_bytes_nothing() {
        let put =
            pb::PutRequest { key: vec![1; 1000].into(), value: vec![2; 1000].into(), ..Default::default() };
        assert_eq!(of(&put), 0);
        let ops = vec![pb::RequestOp::default(); 1000];
        let txn = pb::TxnRequest { success: ops, ..Default::default() };
        assert_eq!(txn.encoded_len(), 2000);
        assert!(of(&txn) >= 1000 * size_of::<pb::RequestOp>());
        let nested = pb::RequestOp { request: Some(pb::request_op::Request::RequestTxn(txn.clone())) };
        let nested = pb::TxnRequest { failure: vec![nested], ..Default::default() };
        assert!(of(&nested) > of(&txn));
        let urls = pb::MemberAddRequest { peer_ur_ls: vec![String::new(); 1000], is_learner: false };
        assert!(of(&urls) >= 1000 * size_of::<String>());
        let create = pb::WatchCreateRequest { filters: vec![0; 1000], ..Default::default() };
        assert!(of(&create) >= 1000 * size_of::<i32>());
    }

    #[test]
    fn what_is_no_message_weighs_as_far_as_it_can_be_read() {
        assert_eq!(weight("etcdserverpb.Nope", &[0x12, 0]), 0);
        let two = [0x12, 0, 0x12, 0];
        let whole = weight("etcdserverpb.TxnRequest", &two);
        assert_eq!(weight("etcdserverpb.TxnRequest", &[&two[..], &[0x12, 0xff]].concat()), whole);
        assert_eq!(weight("etcdserverpb.TxnRequest", &[0xff; 40]), 0);
    }
}
