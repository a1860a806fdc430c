use proptest::prelude::*;

use super::*;
use crate::etcdserverpb::{LeaseGrantRequest, PutRequest, RangeRequest, TxnRequest, WatchCreateRequest};

fn of<M: Message + Name + Default>(bytes: &[u8]) -> Result<M, Malformed> {
    decode(Bytes::copy_from_slice(bytes))
}

/// A key that is nothing but `wire` in front of `value`, followed by the value "v".
fn mistyped_key(key: &[u8]) -> Vec<u8> {
    [key, b"\x12\x01v"].concat()
}

#[test]
fn mistyped_fields_are_unknown() {
    let expected = PutRequest { value: Bytes::from_static(b"v"), ..PutRequest::default() };
    for key in [
        &b"\x08\x07"[..],
        b"\x09\0\0\0\0\0\0\0\0",
        b"\x0d\0\0\0\0",
        // A group, with a group in it.
        b"\x0b\x13\x08\x01\x14\x0c",
        // The number of the field, written with more bytes than it needs.
        b"\x88\x80\x00\x07",
    ] {
        assert_eq!(of(&mistyped_key(key)), Ok(expected.clone()), "{key:x?}");
    }
    let number = of::<LeaseGrantRequest>(b"\x0a\x02hi\x10\x05").unwrap();
    assert_eq!(number, LeaseGrantRequest { ttl: 0, id: 5 });
}

#[test]
fn so_are_those_of_messages_within() {
    let inner = mistyped_key(b"\x08\x07");
    let op = [&[0x12, inner.len() as u8][..], &inner].concat();
    let bytes = [&[0x12, op.len() as u8][..], &op].concat();
    let txn = of::<TxnRequest>(&bytes).unwrap();
    let put = PutRequest { value: Bytes::from_static(b"v"), ..PutRequest::default() };
    let request = Some(crate::etcdserverpb::request_op::Request::RequestPut(put));
    assert_eq!(txn.success, [crate::etcdserverpb::RequestOp { request }]);
}

#[test]
fn values_may_be_packed() {
    // Behind a mistyped key: filters one by one, and packed.
    let created = of::<WatchCreateRequest>(b"\x08\x01\x28\x01\x2a\x02\x00\x01").unwrap();
    assert_eq!(created.filters, [1, 0, 1]);
    assert_eq!(of::<WatchCreateRequest>(b"\x08\x01\x2a\x01\xff"), Err(Malformed::Wire));
}

#[test]
fn faults() {
    for bytes in
        [&b"\x0f\x01"[..], b"\0\x01", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0a\x7fk", b"\x0c"]
    {
        assert_eq!(of::<PutRequest>(bytes), Err(Malformed::Wire), "{bytes:x?}");
    }
    assert_eq!(of::<PutRequest>(b"\x0b\x14"), Err(Malformed::Wire), "closed by another group's end");
    assert_eq!(of::<crate::etcdserverpb::AuthUserAddRequest>(b"\x0a\x01\xff"), Err(Malformed::Text));
    let groups = [[0x0b].repeat(1000), [0x0c].repeat(1000)].concat();
    assert_eq!(of::<PutRequest>(&groups), Err(Malformed::Depth));
    let deep = (0..200).fold(Vec::new(), |inner: Vec<u8>, level| {
        let mut outer = vec![if level % 2 == 0 { 0x22 } else { 0x12 }];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        [outer, inner].concat()
    });
    assert_eq!(of::<TxnRequest>(&deep), Err(Malformed::Depth));
}

#[test]
fn the_table_is_sorted_and_closed() {
    assert!(MESSAGES.is_sorted_by_key(|schema| schema.name));
    for schema in MESSAGES {
        assert!(schema.fields.is_sorted_by_key(|field| field.number), "{}", schema.name);
        assert!(schema.fields.iter().all(|field| field.number != u32::from(schema.spare)), "{}", schema.name);
        assert!((1..=15).contains(&schema.spare), "{}", schema.name);
    }
    assert!(schema(&RangeRequest::full_name()).is_some());
}

/// Bytes that are often a message: fields of any type with low numbers, nested.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![Just(Vec::new()), proptest::collection::vec(any::<u8>(), 0..6)];
    leaf.prop_recursive(6, 64, 5, |inner| {
        let field = (1u8..8, 0u8..6, inner, any::<u64>()).prop_map(|(number, wire, inner, value)| {
            let mut out = vec![number << 3 | wire];
            match wire {
                VARINT => prost::encoding::encode_varint(value, &mut out),
                FIXED64 => out.extend_from_slice(&value.to_le_bytes()),
                FIXED32 => out.extend_from_slice(&value.to_le_bytes()[..4]),
                DELIMITED => {
                    prost::encoding::encode_varint(inner.len() as u64, &mut out);
                    out.extend_from_slice(&inner);
                }
                _ => out.extend_from_slice(&inner),
            }
            out
        });
        proptest::collection::vec(field, 0..4).prop_map(|fields| fields.concat())
    })
}

proptest! {
    /// What prost takes is left alone; what is mended is taken.
    #[test]
    fn agrees_with_prost(bytes in fields()) {
        let schema = schema(&TxnRequest::full_name()).unwrap();
        let mut mended = bytes.clone();
        let result = mend(schema, &mut mended, DEPTH_MAX);
        if TxnRequest::decode(&bytes[..]).is_ok() {
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(mended, bytes);
        } else if result.is_ok() && mended != bytes {
            let again = mend(schema, &mut mended.clone(), DEPTH_MAX);
            prop_assert_eq!(again, Ok(()));
            prop_assert!(TxnRequest::decode(&mended[..]).is_ok(), "{:x?} of {:x?}", mended, bytes);
        }
    }
}
