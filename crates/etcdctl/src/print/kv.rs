//! Keys, values and events.

use proto::{
    etcdserverpb::{self as pb, response_op::Response},
    mvccpb::{Event, KeyValue, event::EventType},
};
use types::go_json::Object;

use super::{Fields, Format, Printer, as_json, line};
use crate::{
    fail::{Done, Failed},
    output::say,
    text,
};

impl Printer {
    /// Keys and values.
    pub(crate) fn range(&self, reply: &pb::RangeResponse) -> Done {
        self.message(reply, || self.range_text(reply), Some(|f: &mut Fields| range_fields(f, reply)))
    }

    pub(crate) fn put(&self, reply: &pb::PutResponse) -> Done {
        self.message(reply, || self.put_text(reply), Some(|f: &mut Fields| put_fields(f, reply)))
    }

    pub(crate) fn delete(&self, reply: &pb::DeleteRangeResponse) -> Done {
        self.message(reply, || self.delete_text(reply), Some(|f: &mut Fields| delete_fields(f, reply)))
    }

    /// A transaction and what its operations gave.
    pub(crate) fn txn(&self, reply: &pb::TxnResponse) -> Done {
        if self.is(Format::Json) {
            return say(line(txn_json(reply)?));
        }
        self.message(reply, || self.txn_text(reply), Some(|f: &mut Fields| txn_fields(f, reply)))
    }

    /// Events.
    pub(crate) fn watch(&self, reply: &pb::WatchResponse) -> Done {
        match self.format {
            Format::Simple => {
                let mut out = Vec::new();
                for event in &reply.events {
                    out.extend(line(event_name(event)));
                    event.prev_kv.iter().for_each(|kv| self.kv(&mut out, kv));
                    self.kv(&mut out, &event.kv.clone().unwrap_or_default());
                }
                say(out)
            }
            Format::Json => say(line(watch_json(reply)?)),
            Format::Protobuf => {
                let shown = pb::WatchResponse {
                    watch_id: 0,
                    cancel_reason: String::new(),
                    fragment: false,
                    ..reply.clone()
                };
                say(prost::Message::encode_to_vec(&shown))
            }
            Format::Fields => say(self.fields(|fields| {
                fields.header(reply.header.as_ref());
                for event in &reply.events {
                    fields.plain("Type", event_name(event));
                    event.prev_kv.iter().for_each(|kv| fields.kv("Prev", kv));
                    fields.kv("", &event.kv.clone().unwrap_or_default());
                }
            })),
            Format::Table => Err(self.unsupported()),
        }
    }

    fn kv(&self, out: &mut Vec<u8>, kv: &KeyValue) {
        let mut shown = |bytes: &[u8]| {
            if self.hex {
                out.extend(line(text::hex(bytes)));
            } else {
                out.extend(line(bytes));
            }
        };
        if !self.value_only {
            shown(&kv.key);
        }
        shown(&kv.value);
    }

    fn range_text(&self, reply: &pb::RangeResponse) -> Vec<u8> {
        let mut out = Vec::new();
        reply.kvs.iter().for_each(|kv| self.kv(&mut out, kv));
        out
    }

    fn put_text(&self, reply: &pb::PutResponse) -> Vec<u8> {
        let mut out = line("OK");
        reply.prev_kv.iter().for_each(|kv| self.kv(&mut out, kv));
        out
    }

    fn delete_text(&self, reply: &pb::DeleteRangeResponse) -> Vec<u8> {
        let mut out = line(reply.deleted.to_string());
        reply.prev_kvs.iter().for_each(|kv| self.kv(&mut out, kv));
        out
    }

    fn txn_text(&self, reply: &pb::TxnResponse) -> Vec<u8> {
        let mut out = line(if reply.succeeded { "SUCCESS" } else { "FAILURE" });
        for operation in &reply.responses {
            out.push(b'\n');
            out.extend(match &operation.response {
                Some(Response::ResponseRange(range)) => self.range_text(range),
                Some(Response::ResponsePut(put)) => self.put_text(put),
                Some(Response::ResponseDeleteRange(delete)) => self.delete_text(delete),
                Some(Response::ResponseTxn(_)) | None => line("unexpected response"),
            });
        }
        out
    }
}

/// `PUT` or `DELETE`.
pub(crate) fn event_name(event: &Event) -> &'static str {
    match event.r#type() {
        EventType::Put => "PUT",
        EventType::Delete => "DELETE",
    }
}

fn range_fields(fields: &mut Fields, reply: &pb::RangeResponse) {
    fields.header(reply.header.as_ref());
    reply.kvs.iter().for_each(|kv| fields.kv("", kv));
    fields.plain("More", reply.more);
    fields.plain("Count", reply.count);
}

fn put_fields(fields: &mut Fields, reply: &pb::PutResponse) {
    fields.header(reply.header.as_ref());
    reply.prev_kv.iter().for_each(|kv| fields.kv("Prev", kv));
}

fn delete_fields(fields: &mut Fields, reply: &pb::DeleteRangeResponse) {
    fields.header(reply.header.as_ref());
    fields.plain("Deleted", reply.deleted);
    reply.prev_kvs.iter().for_each(|kv| fields.kv("Prev", kv));
}

fn txn_fields(fields: &mut Fields, reply: &pb::TxnResponse) {
    fields.header(reply.header.as_ref());
    fields.plain("Succeeded", reply.succeeded);
    for operation in &reply.responses {
        match &operation.response {
            Some(Response::ResponseRange(range)) => range_fields(fields, range),
            Some(Response::ResponsePut(put)) => put_fields(fields, put),
            Some(Response::ResponseDeleteRange(delete)) => delete_fields(fields, delete),
            Some(Response::ResponseTxn(_)) | None => fields.quoted("Unknown", ""),
        }
    }
}

fn txn_json(reply: &pb::TxnResponse) -> Result<String, Failed> {
    let mut json = Object::new();
    if let Some(header) = &reply.header {
        json = json.raw("header", &as_json(header)?);
    }
    if reply.succeeded {
        json = json.bool("succeeded", true);
    }
    if !reply.responses.is_empty() {
        let mut operations = Vec::new();
        for operation in &reply.responses {
            let inner = match &operation.response {
                Some(Response::ResponseRange(range)) => Object::new().raw("response_range", &as_json(range)?),
                Some(Response::ResponsePut(put)) => Object::new().raw("response_put", &as_json(put)?),
                Some(Response::ResponseDeleteRange(delete)) => {
                    Object::new().raw("response_delete_range", &as_json(delete)?)
                }
                Some(Response::ResponseTxn(txn)) => Object::new().raw("response_txn", &txn_json(txn)?),
                None => Object::new(),
            };
            operations.push(Object::new().raw("Response", &inner.finish()).finish());
        }
        json = json.raw("responses", &format!("[{}]", operations.join(",")));
    }
    Ok(json.finish())
}

/// The struct of Go's client, which is not the message: its fields begin with capital letters and are all there.
fn watch_json(reply: &pb::WatchResponse) -> Result<String, Failed> {
    let events = match reply.events.is_empty() {
        true => "null".to_owned(),
        false => {
            let events: Result<Vec<_>, _> = reply.events.iter().map(as_json).collect();
            format!("[{}]", events?.join(","))
        }
    };
    let header = as_json(&reply.header.unwrap_or_default())?;
    let compact_revision = reply.compact_revision.to_string();
    Ok(Object::new()
        .raw("Header", &header)
        .raw("Events", &events)
        .raw("CompactRevision", &compact_revision)
        .bool("Canceled", reply.canceled)
        .bool("Created", reply.created)
        .string("CancelReason", &reply.cancel_reason)
        .finish())
}
