//! Answers of the two stores, side by side.

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::{LeaseTimeToLiveResponse, StatusResponse};

use super::super::client::Reply;
use crate::method::Method;

/// An answer as it is compared: whatever a client can see of it, except what clocks and the layout of the file decide.
pub(super) fn of_grpc(method: Method, reply: &Reply) -> String {
    let messages: Vec<Bytes> = reply.messages.iter().map(|message| without_clocks(method, message)).collect();
    format!("{} {:?} {:?} {:?}", reply.http, reply.headers, reply.outcome, messages)
}

fn without_clocks(method: Method, message: &Bytes) -> Bytes {
    match method {
        Method::LeaseTimeToLive => {
            let mut reply = LeaseTimeToLiveResponse::decode(message.clone()).expect("a reply");
            // What is left of it; a lease that is not there has -1.
            reply.ttl = reply.ttl.min(0);
            reply.encode_to_vec().into()
        }
        Method::Status => {
            let mut reply = StatusResponse::decode(message.clone()).expect("a reply");
            (reply.db_size, reply.db_size_in_use) = (0, 0);
            reply.encode_to_vec().into()
        }
        _ => message.clone(),
    }
}

/// The same for an answer of the gateway.
pub(super) fn of_json(method: Method, answer: &Bytes) -> String {
    let mut text = String::from_utf8_lossy(answer).into_owned();
    let fields: &[&str] = match method {
        Method::LeaseTimeToLive => &["\"TTL\":\""],
        Method::Status => &["\"dbSize\":\"", "\"dbSizeInUse\":\""],
        _ => &[],
    };
    for field in fields {
        if let Some(at) = text.find(field) {
            let digits = at + field.len();
            let len = text[digits..].find('"').expect("the end of a number");
            if !text[digits..].starts_with('-') {
                text.replace_range(digits..digits + len, "0");
            }
        }
        // It counts the digits.
        if let Some(at) = text.find("content-length: ") {
            let len = text[at..].find('\n').expect("the end of a field");
            text.replace_range(at..at + len, "");
        }
    }
    text
}
