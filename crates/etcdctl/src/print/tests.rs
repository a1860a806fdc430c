//! Golden texts, recorded from etcdctl 3.7.1.

use proto::{
    etcdserverpb as pb,
    mvccpb::{Event, KeyValue},
};

use super::{Fields, NO_FIELDS, Printer, table};
use crate::fail::Failed;

fn printer(format: &str, hex: bool) -> Printer {
    Printer::new(format, hex).unwrap()
}

fn header() -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader {
        cluster_id: 15_875_391_935_852_295_136,
        member_id: 7_383_792_418_829_112_008,
        revision: 3,
        raft_term: 2,
    })
}

fn kv() -> KeyValue {
    KeyValue {
        key: "a\u{e9}".into(),
        create_revision: 2,
        mod_revision: 3,
        version: 2,
        value: vec![b'c', 0xff].into(),
        lease: 0x1234,
    }
}

fn fields(hex: bool) -> String {
    let printer = printer("fields", hex);
    let write = |fields: &mut Fields| {
        fields.header(header().as_ref());
        fields.kv("Prev", &kv());
    };
    let bytes = printer.render(&pb::PutResponse::default(), Vec::new, Some(write)).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn fields_have_names_and_values() {
    let expected = "\"ClusterID\" : 15875391935852295136\n\"MemberID\" : 7383792418829112008\n\"Revision\" : 3\n\"RaftTerm\" : 2\n\"PrevKey\" : \"aé\"\n\"PrevCreateRevision\" : 2\n\"PrevModRevision\" : 3\n\"PrevVersion\" : 2\n\"PrevValue\" : \"c\\xff\"\n\"PrevLease\" : 4660\n";
    assert_eq!(fields(false), expected);
    let hex = fields(true);
    assert!(hex.starts_with("\"ClusterID\" : dc50b8daae93b3e0\n\"MemberID\" : 667880157b8812c8\n"), "{hex}");
    assert!(hex.ends_with("\"PrevLease\" : 0000000000001234\n"), "{hex}");
}

#[test]
fn json_is_that_of_the_struct() {
    let reply = pb::RangeResponse { header: header(), kvs: vec![kv()], more: false, count: 1 };
    let bytes = printer("json", false).render(&reply, Vec::new, NO_FIELDS).unwrap();
    let expected = "{\"header\":{\"cluster_id\":15875391935852295136,\"member_id\":7383792418829112008,\"revision\":3,\"raft_term\":2},\"kvs\":[{\"key\":\"YcOp\",\"create_revision\":2,\"mod_revision\":3,\"version\":2,\"value\":\"Y/8=\",\"lease\":4660}],\"count\":1}\n";
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    // An event that puts has no type there, and one that deletes has 1.
    let event = Event { r#type: 1, kv: Some(KeyValue::default()), prev_kv: None };
    assert_eq!(super::as_json(&event).unwrap(), "{\"type\":1,\"kv\":{}}");
}

#[test]
fn what_a_reply_has_no_form_for_is_refused() {
    for format in ["table", "fields"] {
        let refused = printer(format, false).render(&pb::MoveLeaderResponse::default(), Vec::new, NO_FIELDS);
        assert_eq!(refused, Err(Failed::new(4, format!("{format} not supported as output format"))));
    }
    assert!(Printer::new("yaml", false).is_none());
}

#[test]
fn tables_have_frames() {
    let rows = [vec!["127.0.0.1:42379".to_owned(), "1084519789".to_owned(), "1".to_owned()]];
    let expected = "\
┌─────────────────┬────────────┬───────────────┐
│    ENDPOINT     │    HASH    │ HASH REVISION │
├─────────────────┼────────────┼───────────────┤
│ 127.0.0.1:42379 │ 1084519789 │             1 │
└─────────────────┴────────────┴───────────────┘
";
    assert_eq!(table::render(&["endpoint", "hash", "hash_revision"], &rows), expected);
}
