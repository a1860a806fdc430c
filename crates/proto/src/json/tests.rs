use proptest::prelude::*;
use prost::{Message, Name};
use serde::de::IgnoredAny;

use super::{Refused, Style, Type, Values, Writer, method};
use crate::{
    etcdserverpb::{
        self as pb, Compare, PutRequest, RangeRequest, RangeResponse, TxnRequest, WatchCreateRequest,
        WatchResponse, compare::TargetUnion, request_op::Request,
    },
    mvccpb::KeyValue,
    schema::schema,
};

fn kind<M: Name>() -> Type {
    Type(schema(&M::full_name()).unwrap())
}

/// The message of a body, as a unary call of the gateway reads it.
fn read<M: Message + Name + Default>(body: &str) -> Result<M, String> {
    let mut values = Values::default();
    values.push(body.as_bytes());
    let value = values.last_value().map_err(|error| error.to_string())?.expect("a value");
    let encoded = kind::<M>().read(&value).map_err(|error| error.to_string())?;
    Ok(crate::decode(encoded.into()).unwrap())
}

fn write<M: Message + Name>(message: &M, style: Style, piece: usize) -> String {
    let mut out = Vec::new();
    let mut writer = Writer::new(kind::<M>(), style);
    for piece in message.encode_to_vec().chunks(piece) {
        writer.push(piece, &mut out).unwrap();
    }
    writer.finish(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn methods_have_types() {
    let (request, reply) = method("/etcdserverpb.KV/Range").unwrap();
    assert_eq!((request.name(), reply.name()), ("etcdserverpb.RangeRequest", "etcdserverpb.RangeResponse"));
    assert!(method("/etcdserverpb.KV/Nope").is_none());
}

#[test]
fn both_names_of_a_field_and_every_way_to_write_a_value() {
    let expected = RangeRequest {
        key: "k".into(),
        range_end: "z?".into(),
        limit: 12,
        sort_order: 2,
        ..Default::default()
    };
    for body in [
        r#"{"key":"aw==","range_end":"ej8=","limit":"12","sort_order":"DESCEND"}"#,
        r#" { "key" : "aw" , "rangeEnd" : "ej8" , "limit" : 12 , "sortOrder" : 2 } "#,
        r#"{"limit":1.2e1,"key":"a\u0077==","range_end":"ej8","sort_order":"\u0044ESCEND","unknown":[{"x":[null]}]}"#,
        r#"{"limit":"120e-1","key":"aw==","range_end":"ej\n\n\n\n8=","sort_order":2,"revision":null,"serializable":false}"#,
    ] {
        assert_eq!(read::<RangeRequest>(body), Ok(expected.clone()), "{body}");
    }
    // The alphabet of URLs; the second bytes of both are all ones.
    for key in ["-_8=", "-_8", "+/8=", "+/8"] {
        let read = read::<RangeRequest>(&format!(r#"{{"key":"{key}"}}"#)).unwrap();
        assert_eq!(read.key, &b"\xfb\xff"[..], "{key}");
    }
    // An order that nobody knows is none; a number is passed on.
    assert_eq!(read::<RangeRequest>(r#"{"sort_order":"SIDEWAYS"}"#).unwrap().sort_order, 0);
    assert_eq!(read::<RangeRequest>(r#"{"sort_order":77}"#).unwrap().sort_order, 77);
    assert_eq!(read::<pb::LeaseGrantRequest>(r#"{"TTL":"-5","ID":9}"#).unwrap().ttl, -5);
    assert_eq!(read::<WatchCreateRequest>(r#"{"filters":["NOPUT",1]}"#).unwrap().filters, [0, 1]);
}

#[test]
fn messages_within_messages() {
    let txn = read::<TxnRequest>(
        r#"{"compare":[{"key":"aw==","version":"0"}],"success":[{"requestPut":{"key":"aw=="}},{"request_range":{}},{}]}"#,
    )
    .unwrap();
    let compare =
        Compare { key: "k".into(), target_union: Some(TargetUnion::Version(0)), ..Default::default() };
    assert_eq!(txn.compare, [compare]);
    let put = PutRequest { key: "k".into(), ..Default::default() };
    assert_eq!(txn.success[0].request, Some(Request::RequestPut(put)));
    assert_eq!(txn.success[1].request, Some(Request::RequestRange(RangeRequest::default())));
    assert_eq!(txn.success[2].request, None);
}

/// Texts as etcd 3.7.1 gives them, but for a space that its library sometimes widens.
#[test]
fn refusals() {
    for (body, text) in [
        ("{", "unexpected EOF"),
        (r#"{"key":"aw=="#, "unexpected EOF"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{]", "invalid character ']' looking for beginning of object key string"),
        ("{1", "invalid character '1' looking for beginning of object key string"),
        (r#"{"a" 1"#, "invalid character '1' after object key"),
        (r#"{"a":1 "b""#, "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("{\"a\":\"\n", r"invalid character '\n' in string literal"),
        (r#"{"a":"\x"#, "invalid character 'x' in string escape code"),
        (r#"{"a":"\u00g"#, r"invalid character 'g' in \u hexadecimal character escape"),
        (r#"{"a":-x"#, "invalid character 'x' in numeric literal"),
        (r#"{"a":1.x"#, "invalid character 'x' after decimal point in numeric literal"),
        (r#"{"a":1ex"#, "invalid character 'x' in exponent of numeric literal"),
        (r#"{"a":trux"#, "invalid character 'x' in literal true (expecting 'e')"),
        (r#"{"a":01"#, "invalid character '1' after object key:value pair"),
        ("[]", "proto: syntax error (line 1:1): unexpected token ["),
        ("5", "proto: syntax error (line 1:1): unexpected token 5"),
        ("null", "proto: syntax error (line 1:1): unexpected token null"),
        (r#"{"key":1}"#, "proto: (line 1:8): invalid value for bytes field key: 1"),
        ("{\n \"é\":1, \"key\":\"%\"}", "proto: (line 2:15): invalid value for bytes field key: \"%\""),
        (r#"{"key":"a"}"#, r#"proto: (line 1:8): invalid value for bytes field key: "a""#),
        (r#"{"key":"aw="}"#, r#"proto: (line 1:8): invalid value for bytes field key: "aw=""#),
        (r#"{"key":"+_8="}"#, r#"proto: (line 1:8): invalid value for bytes field key: "+_8=""#),
        (r#"{"limit":1.5}"#, "proto: (line 1:10): invalid value for int64 field limit: 1.5"),
        (
            r#"{"limit":9223372036854775808}"#,
            "proto: (line 1:10): invalid value for int64 field limit: 9223372036854775808",
        ),
        (r#"{"limit":1e999999999}"#, "proto: (line 1:10): invalid value for int64 field limit: 1e999999999"),
        (r#"{"limit":" 1"}"#, r#"proto: (line 1:10): invalid value for int64 field limit: " 1""#),
        (r#"{"limit":{}}"#, "proto: (line 1:10): invalid value for int64 field limit: {"),
        (r#"{"range_end":1}"#, "proto: (line 1:14): invalid value for bytes field rangeEnd: 1"),
        (
            r#"{"serializable":"true"}"#,
            r#"proto: (line 1:17): invalid value for bool field serializable: "true""#,
        ),
        (r#"{"sort_order":true}"#, "proto: (line 1:15): invalid value for enum field sortOrder: true"),
        (r#"{"key":"","key":""}"#, r#"proto: (line 1:11): duplicate field "key""#),
        (r#"{"rangeEnd":"","range_end":""}"#, r#"proto: (line 1:16): duplicate field "range_end""#),
        (r#"{"x":"\ud800A"}"#, "proto: unexpected EOF"),
        (
            r#"{"x":"\ud800A","key":""}"#,
            r#"proto: syntax error (line 1:6): invalid escape code "A\",\"ke" in string"#,
        ),
        (
            r#"{"x":"\ud800\u0041"}"#,
            r#"proto: syntax error (line 1:6): invalid escape code "\\u0041" in string"#,
        ),
    ] {
        assert_eq!(read::<RangeRequest>(body), Err(text.into()), "{body}");
    }
    let body = r#"{"version":"1","value":""}"#;
    let text = r#"proto: (line 1:16): error parsing "value", oneof etcdserverpb.Compare.target_union is already set"#;
    assert_eq!(read::<Compare>(body), Err(text.into()));
    let body = r#"{"compare":[null]}"#;
    assert_eq!(
        read::<TxnRequest>(body),
        Err("proto: syntax error (line 1:13): unexpected token null".into())
    );
    let mut values = Values::default();
    values.push(b"{\"key\":\"\xff\"}");
    let value = values.next_value().unwrap().unwrap();
    let refused = kind::<RangeRequest>().read(&value);
    assert_eq!(refused, Err(Refused("proto: syntax error (line 1:8): invalid UTF-8 in string".into())));
}

#[test]
fn depth_is_bounded() {
    let nested =
        |levels: usize| r#"{"success":[{"request_txn":"#.repeat(levels) + "{}" + &"}]}".repeat(levels);
    std::thread::Builder::new()
        .stack_size(crate::STACK_BYTES)
        .spawn(move || {
            assert!(read::<TxnRequest>(&nested(3333)).is_ok());
            assert_eq!(
                read::<TxnRequest>(&nested(3334)),
                Err("invalid character '[' exceeded max depth".into())
            );
            let arrays = |levels: usize| format!(r#"{{"x":{}"#, "[".repeat(levels));
            assert_eq!(read::<TxnRequest>(&arrays(9_999)), Err("unexpected EOF".into()));
            assert_eq!(
                read::<TxnRequest>(&arrays(1 << 20)),
                Err("invalid character '[' exceeded max depth".into())
            );
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn values_of_a_body() {
    let mut values = Values::default();
    let mut seen = Vec::new();
    for byte in b" {\"ID\":\"1\"}{\"ID\":2}\n 5 null \"a}\" 7" {
        values.push(&[*byte]);
        while let Some(value) = values.next_value().unwrap() {
            seen.push(String::from_utf8(value.to_vec()).unwrap());
        }
    }
    assert_eq!(seen, [r#"{"ID":"1"}"#, r#"{"ID":2}"#, "5", "null", "\"a}\""]);
    assert_eq!(values.last_value().unwrap().unwrap(), "7");
    assert_eq!(values.last_value(), Ok(None));
    values.push(b"  \n");
    assert_eq!(values.last_value(), Ok(None));
    values.push(b"tru");
    assert_eq!(values.last_value(), Err(Refused("unexpected EOF".into())));
}

#[test]
fn replies() {
    let row = KeyValue {
        key: "a".into(),
        create_revision: 2,
        mod_revision: i64::MAX,
        version: 1,
        value: [0xff; 4].as_slice().to_vec().into(),
        lease: -1,
    };
    let header = pb::ResponseHeader { cluster_id: u64::MAX, ..Default::default() };
    let reply =
        RangeResponse { header: Some(header), kvs: vec![row, KeyValue::default()], more: true, count: 3 };
    let json = concat!(
        r#"{"header":{"cluster_id":"18446744073709551615"},"kvs":[{"key":"YQ==","create_revision":"2","#,
        r#""mod_revision":"9223372036854775807","version":"1","value":"/////w==","lease":"-1"},{}],"more":true,"count":"3"}"#,
    );
    for piece in [1, 2, 7, 1000] {
        assert_eq!(write(&reply, Style::Message, piece), json);
    }
    assert_eq!(write(&RangeResponse::default(), Style::Message, 1), "{}");
    let alarm = pb::AlarmResponse {
        header: Some(pb::ResponseHeader::default()),
        alarms: vec![pb::AlarmMember { member_id: 1, alarm: 1 }, pb::AlarmMember { member_id: 0, alarm: 9 }],
    };
    let json = r#"{"header":{},"alarms":[{"memberID":"1","alarm":"NOSPACE"},{"alarm":9}]}"#;
    assert_eq!(write(&alarm, Style::Message, 3), json);
    let hash = pb::HashResponse { header: None, hash: u32::MAX };
    assert_eq!(write(&hash, Style::Message, 3), r#"{"hash":4294967295}"#);
    let canceled =
        WatchResponse { watch_id: -1, cancel_reason: "<\u{2028}\u{1}\"é\n>".into(), ..Default::default() };
    assert_eq!(
        write(&canceled, Style::Message, 3),
        "{\"watch_id\":\"-1\",\"cancel_reason\":\"<\u{2028}\\u0001\\\"é\\n>\"}"
    );
    assert_eq!(
        write(&canceled, Style::Within, 3),
        r#"{"watch_id":"-1","cancel_reason":"\u003c\u2028\u0001\"é\n\u003e"}"#
    );
}

#[test]
fn a_reply_that_is_cut_off_is_none() {
    let mut out = Vec::new();
    let mut writer = Writer::new(kind::<PutRequest>(), Style::Message);
    writer.push(b"\x0a\x05k", &mut out).unwrap();
    assert_eq!(writer.held(), 3);
    assert!(writer.finish(&mut out).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut values = Values::default();
        values.push(&bytes);
        while let Ok(Some(value)) = values.next_value() {
            let _ = kind::<TxnRequest>().read(&value);
        }
        let _ = values.last_value();
        // Also what no scanner has seen.
        let _ = kind::<TxnRequest>().read(&bytes);
        let _ = Writer::new(kind::<TxnRequest>(), Style::Within).push(&bytes, &mut Vec::new());
    }

    #[test]
    fn likely_json_is_read_or_refused(words in proptest::collection::vec(
        prop_oneof!["[\\[\\]{}:,]", "\"(key|success|compare|x|\\\\u[d0][8c]00)\"", "-?[0-9]{1,25}(\\.[0-9])?(e[+-]?[0-9]{1,2})?", "null|true"], 0..30)) {
        let text = words.concat();
        let _ = kind::<TxnRequest>().read(text.as_bytes());
        let mut values = Values::default();
        values.push(text.as_bytes());
        while let Ok(Some(value)) = values.next_value() {
            // What Go's scanner lets through is JSON.
            prop_assert!(serde_json::from_slice::<IgnoredAny>(&value).is_ok() || text.contains("\\u"), "{}", text);
            let _ = kind::<TxnRequest>().read(&value);
        }
    }

    #[test]
    fn there_and_back(key in any::<Vec<u8>>(), limit in any::<i64>(), order in 0..3i32, only in any::<bool>(), piece in 1..20usize) {
        let request = RangeRequest { key: key.into(), limit, sort_order: order, keys_only: only, ..Default::default() };
        let json = write(&request, Style::Message, piece);
        prop_assert_eq!(read::<RangeRequest>(&json), Ok(request));
    }
}

/// Recorded from etcdctl 3.7.1.
#[test]
fn structs_have_bare_numbers() {
    let reply = pb::AlarmResponse {
        header: Some(pb::ResponseHeader {
            cluster_id: 15_875_391_935_852_295_136,
            revision: 3,
            ..Default::default()
        }),
        alarms: vec![pb::AlarmMember { member_id: 7, alarm: pb::AlarmType::Nospace.into() }],
    };
    let json = super::as_struct(&reply).unwrap();
    let expected =
        r#"{"header":{"cluster_id":15875391935852295136,"revision":3},"alarms":[{"memberID":7,"alarm":1}]}"#;
    assert_eq!(json, expected);
}
