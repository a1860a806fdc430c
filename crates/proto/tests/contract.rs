//! Holds every message, field, enum value and RPC against the tables in `contract/`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// One row: what the table says of a field or an enum value.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    number: i32,
    kind: String,
    label: String,
}

type Messages = BTreeMap<String, BTreeMap<String, Field>>;

fn table(name: &str) -> Vec<BTreeMap<String, String>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../contract").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split('\t').collect();
    lines
        .map(|line| head.iter().map(|h| h.to_string()).zip(line.split('\t').map(str::to_string)).collect())
        .collect()
}

fn from_tables() -> Messages {
    let mut messages = Messages::new();
    for row in ["messages.tsv", "internal_messages.tsv"].into_iter().flat_map(table) {
        let fields = messages.entry(row["message"].clone()).or_default();
        if row["field"] == "(empty message)" {
            continue;
        }
        let field = Field {
            number: row["number"].parse().unwrap(),
            kind: row["type"].clone(),
            label: row["label"].clone(),
        };
        assert!(fields.insert(row["field"].clone(), field).is_none(), "{row:?} is listed twice");
    }
    messages
}

fn from_descriptors(set: &FileDescriptorSet) -> Messages {
    let mut messages = Messages::new();
    for file in &set.file {
        let proto2 = file.syntax() != "proto3";
        for message in &file.message_type {
            add_message(&mut messages, file.package(), message, proto2);
        }
        for e in &file.enum_type {
            add_enum(&mut messages, file.package(), e);
        }
    }
    messages
}

fn add_message(messages: &mut Messages, scope: &str, message: &DescriptorProto, proto2: bool) {
    let name = format!("{scope}.{}", message.name());
    let fields = messages.entry(name.clone()).or_default();
    for field in &message.field {
        let kind = match field.r#type() {
            Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_string(),
            Type::Int64 => "int64".into(),
            Type::Uint64 => "uint64".into(),
            Type::Uint32 => "uint32".into(),
            Type::Bytes => "bytes".into(),
            Type::String => "string".into(),
            Type::Bool => "bool".into(),
            other => panic!("{name}.{}: {other:?} is in no table", field.name()),
        };
        let label = match (field.label(), field.oneof_index) {
            (Label::Repeated, _) => "repeated".to_string(),
            (_, Some(i)) => format!("oneof:{}", message.oneof_decl[i as usize].name()),
            _ if proto2 => "optional".to_string(),
            _ => "singular".to_string(),
        };
        fields.insert(field.name().to_string(), Field { number: field.number(), kind, label });
    }
    for nested in &message.nested_type {
        add_message(messages, &name, nested, proto2);
    }
    for e in &message.enum_type {
        add_enum(messages, &name, e);
    }
}

fn add_enum(messages: &mut Messages, scope: &str, e: &EnumDescriptorProto) {
    let values = messages.entry(format!("{scope}.{}", e.name())).or_default();
    for value in &e.value {
        let field = Field { number: value.number(), kind: "enum-value".into(), label: "enum".into() };
        values.insert(value.name().to_string(), field);
    }
}

#[test]
fn every_field_number_type_and_enum_value_is_the_tables() {
    let set = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
    let mut ours = from_descriptors(&set);
    // The health service is a standard of gRPC's and has no rows.
    ours.retain(|name, _| !name.starts_with("grpc.health.v1."));
    let theirs = from_tables();
    assert!(theirs.len() > 150, "only {} messages in the tables", theirs.len());
    for (name, fields) in &theirs {
        assert_eq!(ours.get(name), Some(fields), "{name}");
    }
    for name in ours.keys() {
        assert!(theirs.contains_key(name), "{name} is in no table");
    }
}

#[test]
fn every_rpc_is_the_tables() {
    let set = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
    let mut ours = BTreeMap::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let streaming = match (method.client_streaming(), method.server_streaming()) {
                    (false, false) => "unary",
                    (false, true) => "server-stream",
                    (true, true) => "bidi-stream",
                    (true, false) => "client-stream",
                };
                let types = (method.input_type().to_string(), method.output_type().to_string());
                ours.insert(
                    format!("{}.{}/{}", file.package(), service.name(), method.name()),
                    (types, streaming.to_string()),
                );
            }
        }
    }
    let rows = table("grpc.tsv");
    assert_eq!(ours.len(), rows.len());
    for row in rows {
        let name = format!("{}/{}", row["service"], row["method"]);
        let types = (format!(".{}", row["request_type"]), format!(".{}", row["response_type"]));
        assert_eq!(ours.get(&name), Some(&(types, row["streaming"].clone())), "{name}");
    }
}
