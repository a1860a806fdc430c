//! Requests in short.

use bytes::Bytes;
use e2e::client::{Client, Status};
use proto::etcdserverpb::{
    self as pb, PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, WatchRequest, WatchResponse,
    request_op::Request, watch_request::RequestUnion,
};

/// gRPC's codes by name.
pub(crate) mod code {
    pub(crate) const UNKNOWN: u32 = 2;
    pub(crate) const INVALID_ARGUMENT: u32 = 3;
    pub(crate) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(crate) const UNIMPLEMENTED: u32 = 12;
    pub(crate) const INTERNAL: u32 = 13;
}

/// Names in contract/errors.tsv, in the order of gRPC's codes.
const CODE_NAMES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// The status that a row of contract/errors.tsv promises.
pub(crate) fn promised(symbol: &str) -> Status {
    let row = e2e::table::row("errors", symbol);
    // Texts that are no status, such as the reason of a canceled watch, have no code.
    let code = CODE_NAMES.iter().position(|name| *name == row.cell("wire_code")).unwrap_or_default();
    Status::new(code as u32, row.cell("message"))
}

pub(crate) fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: text(key), value: text(value), ..PutRequest::default() }
}

pub(crate) fn range(key: &str) -> RangeRequest {
    RangeRequest { key: text(key), ..RangeRequest::default() }
}

/// All keys that begin with `prefix`.
pub(crate) fn prefix(prefix: &str) -> RangeRequest {
    RangeRequest { range_end: after(prefix), ..range(prefix) }
}

/// The end of the range of a prefix.
pub(crate) fn after(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().expect("a prefix has a byte") += 1;
    end.into()
}

pub(crate) fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn put_ok(client: &Client, key: &str, value: &str) -> PutResponse {
    client.ok(put(key, value))
}

/// `key=value` of all pairs.
pub(crate) fn pairs(reply: &RangeResponse) -> Vec<String> {
    let show = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    reply.kvs.iter().map(|kv| format!("{}={}", show(&kv.key), show(&kv.value))).collect()
}

pub(crate) fn get(client: &Client, key: &str) -> Option<String> {
    let reply = client.ok(range(key));
    reply.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
}

pub(crate) fn put_op(key: &str, value: &str) -> RequestOp {
    RequestOp { request: Some(Request::RequestPut(put(key, value))) }
}

pub(crate) fn range_op(key: &str) -> RequestOp {
    RequestOp { request: Some(Request::RequestRange(range(key))) }
}

pub(crate) fn delete(key: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { key: text(key), ..Default::default() }
}

pub(crate) fn delete_op(key: &str) -> RequestOp {
    RequestOp { request: Some(Request::RequestDeleteRange(delete(key))) }
}

pub(crate) fn txn_op(txn: pb::TxnRequest) -> RequestOp {
    RequestOp { request: Some(Request::RequestTxn(txn)) }
}

/// A transaction without compares.
pub(crate) fn txn(success: Vec<RequestOp>) -> pb::TxnRequest {
    pb::TxnRequest { success, ..Default::default() }
}

/// The revision in a header.
pub(crate) fn revision(header: &Option<pb::ResponseHeader>) -> i64 {
    header.as_ref().expect("a header").revision
}

pub(crate) type WatchStream = e2e::client::Stream<WatchRequest, WatchResponse>;

pub(crate) fn watch(client: &Client) -> WatchStream {
    client.open("etcdserverpb.Watch/Watch")
}

pub(crate) fn create(key: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { key: text(key), ..Default::default() }
}

pub(crate) fn create_request(create: pb::WatchCreateRequest) -> WatchRequest {
    WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
}

pub(crate) fn cancel_request(watch_id: i64) -> WatchRequest {
    WatchRequest { request_union: Some(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id })) }
}

pub(crate) fn progress_request() -> WatchRequest {
    WatchRequest { request_union: Some(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})) }
}

/// Sends a create request and gives its reply.
pub(crate) fn create_ok(stream: &mut WatchStream, create: pb::WatchCreateRequest) -> WatchResponse {
    stream.send(&create_request(create));
    let reply = stream.message();
    assert!(reply.created && !reply.canceled, "{reply:?}");
    reply
}

/// Events as `PUT key=value@mod_revision` and `DELETE key@mod_revision`.
pub(crate) fn events(reply: &WatchResponse) -> Vec<String> {
    let show = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let line = |event: &proto::mvccpb::Event| {
        let kv = event.kv.as_ref().expect("an event has a pair");
        match event.r#type {
            0 => format!("PUT {}={}@{}", show(&kv.key), show(&kv.value), kv.mod_revision),
            _ => format!("DELETE {}@{}", show(&kv.key), kv.mod_revision),
        }
    };
    reply.events.iter().map(line).collect()
}

pub(crate) fn grant(client: &Client, ttl: i64) -> i64 {
    client.ok(pb::LeaseGrantRequest { ttl, id: 0 }).id
}

pub(crate) fn compact(revision: i64) -> pb::CompactionRequest {
    pb::CompactionRequest { revision, physical: false }
}

/// With single blanks: upstream's text format of messages is unstable in them.
pub(crate) fn spaced(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}
