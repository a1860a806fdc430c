use proptest::prelude::*;

use super::*;
use crate::etcdserverpb::{
    InternalRaftRequest, LeaseGrantRequest, PutRequest, RangeRequest, TxnRequest, WatchCreateRequest,
};

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
}

/// A field of number and bytes.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | DELIMITED];
    prost::encoding::encode_varint(value.len() as u64, &mut out);
    out.extend_from_slice(value);
    out
}

/// A transaction with so many in it, in one branch and the other.
fn nested(levels: usize) -> Vec<u8> {
    (0..levels).fold(Vec::new(), |inner, level| field(2 + (level % 2) as u8, &field(4, &inner)))
}

fn groups(depth: usize) -> Vec<u8> {
    [[0x0b].repeat(depth), [0x0c].repeat(depth)].concat()
}

/// Runs on the stack that the threads of a server have.
fn on_a_servers_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test).unwrap().join().unwrap();
}

#[test]
fn transactions_nest_as_deep_as_in_go() {
    on_a_servers_stack(|| {
        let deepest = nested((DEPTH_MAX - 1) / 2);
        let mut txn = of::<TxnRequest>(&deepest).unwrap();
        assert_eq!(txn.encode_to_vec(), deepest);
        let entry = InternalRaftRequest { txn: Some(txn.clone()), ..InternalRaftRequest::default() };
        assert_eq!(of::<InternalRaftRequest>(&entry.encode_to_vec()).as_ref(), Ok(&entry));
        assert!(format!("{entry:?}").contains("RequestTxn"));
        // A mistyped field at the bottom.
        let bytes = [nested(0), b"\x08\x01".to_vec()].concat();
        let mended = (0..(DEPTH_MAX - 1) / 2).fold(bytes, |inner, _| field(2, &field(4, &inner)));
        assert!(of::<TxnRequest>(&mended).is_ok());
        // One more is too many, well-formed or not.
        for bottom in [&b""[..], b"\x08\x01"] {
            let deeper =
                (0..DEPTH_MAX.div_ceil(2)).fold(bottom.to_vec(), |inner, _| field(2, &field(4, &inner)));
            assert_eq!(of::<TxnRequest>(&deeper), Err(Malformed::Depth));
        }
        assert_eq!(of::<TxnRequest>(&nested(100_000)), Err(Malformed::Depth));
        txn.clear();
        assert_eq!(txn, TxnRequest::default());
    });
}

#[test]
fn so_do_groups_and_nobody_needs_stack_for_them() {
    let expected = PutRequest { value: Bytes::from_static(b"v"), ..PutRequest::default() };
    for depth in [1, 2, 3, 100, 101, GROUPS_MAX] {
        assert_eq!(of(&mistyped_key(&groups(depth))), Ok(expected.clone()), "{depth}");
    }
    assert_eq!(of::<PutRequest>(&groups(GROUPS_MAX + 1)), Err(Malformed::Wire));
    assert_eq!(of::<PutRequest>(&groups(1 << 20)), Err(Malformed::Wire));
    let unfinished = [0x0b].repeat(5000);
    assert_eq!(of::<PutRequest>(&unfinished), Err(Malformed::Wire));
    // At the bottom of transactions, where prost begins to count again.
    on_a_servers_stack(|| {
        for depth in [100, GROUPS_MAX] {
            let levels = (DEPTH_MAX - 1) / 2;
            let bytes = (0..levels).fold(groups(depth), |inner, _| field(2, &field(4, &inner)));
            assert!(of::<TxnRequest>(&bytes).is_ok(), "{depth}");
        }
    });
}

#[test]
fn a_transaction_is_written_like_its_description_says() {
    use crate::etcdserverpb::{RequestOp, request_op::Request};
    let put = PutRequest { key: Bytes::from_static(b"k"), ..PutRequest::default() };
    let op = RequestOp { request: Some(Request::RequestPut(put)) };
    let txn = TxnRequest {
        compare: vec![Default::default()],
        success: vec![op.clone(), RequestOp::default()],
        failure: vec![op],
    };
    let bytes = b"\x0a\x00\x12\x05\x12\x03\x0a\x01k\x12\x00\x1a\x05\x12\x03\x0a\x01k";
    assert_eq!(txn.encode_to_vec(), bytes);
    assert_eq!(txn.encoded_len(), bytes.len());
    assert_eq!(of(bytes), Ok(txn));
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
    /// What prost takes means the same when it is mended; what is mended is taken.
    #[test]
    fn agrees_with_prost(bytes in fields()) {
        let schema = schema(&TxnRequest::full_name()).unwrap();
        let mut mended = bytes.clone();
        let result = mend(schema, &mut mended, DEPTH_MAX);
        if let Ok(taken) = TxnRequest::decode(&bytes[..]) {
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(TxnRequest::decode(&mended[..]), Ok(taken));
        } else if result.is_ok() && mended != bytes {
            let again = mend(schema, &mut mended.clone(), DEPTH_MAX);
            prop_assert_eq!(again, Ok(()));
            prop_assert!(TxnRequest::decode(&mended[..]).is_ok(), "{:x?} of {:x?}", mended, bytes);
        }
    }

    /// How deep a message is found to be does not depend on where the measuring may be given up.
    #[test]
    fn measures_what_it_is(bytes in fields()) {
        let schema = schema(&TxnRequest::full_name()).unwrap();
        let depth = (1..).find(|&depth| measure(schema, &bytes, depth) != Err(Malformed::Depth)).unwrap();
        if TxnRequest::decode(&bytes[..]).is_ok() {
            prop_assert_eq!(depth, measured_by_hand(schema, &bytes));
        }
    }
}

/// Messages within each other, of a message that is well-formed.
fn measured_by_hand(schema: &Schema, bytes: &[u8]) -> usize {
    let (mut at, mut deepest) = (0, 0);
    while at < bytes.len() {
        let key = Key::read(bytes, &mut at).unwrap();
        let start = value_start(bytes, &mut at, &key).unwrap();
        if let Some(Kind::Message(inner)) = schema.field(key.number).map(|field| field.kind) {
            deepest = deepest.max(measured_by_hand(&MESSAGES[usize::from(inner)], &bytes[start..at]));
        }
    }
    deepest + 1
}
