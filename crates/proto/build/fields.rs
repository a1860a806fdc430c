//! Writes the table of all messages' fields that `src/decode.rs` looks wire types up in.

use std::fmt::Write;

use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Field numbers whose key takes one byte.
const SHORT: std::ops::RangeInclusive<i32> = 1..=15;

/// Rust source of `MESSAGES`, sorted by name.
pub(crate) fn table(files: &FileDescriptorSet) -> String {
    let mut messages = Vec::new();
    for file in &files.file {
        collect(file.package(), &file.message_type, &mut messages);
    }
    messages.sort_by(|a, b| a.0.cmp(&b.0));
    let names: Vec<&str> = messages.iter().map(|(name, _)| name.as_str()).collect();
    let mut out = String::from("static MESSAGES: &[Schema] = &[\n");
    for (name, message) in &messages {
        let used = |number: &i32| message.field.iter().any(|field| field.number() == *number);
        let spare = SHORT.rev().find(|number| !used(number)).expect("a message leaves a short number unused");
        writeln!(out, "Schema {{ name: {name:?}, spare: {spare}, fields: &[").expect("writing to memory");
        let mut fields: Vec<&FieldDescriptorProto> = message.field.iter().collect();
        fields.sort_by_key(|field| field.number());
        for field in fields {
            let (kind, packable) = kind(field, &names);
            writeln!(out, "Field {{ number: {}, kind: {kind}, packable: {packable} }},", field.number())
                .expect("writing to memory");
        }
        out.push_str("] },\n");
    }
    out.push_str("];\n");
    out
}

/// Messages with those inside them, by full name.
fn collect<'a>(scope: &str, found: &'a [DescriptorProto], out: &mut Vec<(String, &'a DescriptorProto)>) {
    for message in found {
        let name = format!("{scope}.{}", message.name());
        collect(&name, &message.nested_type, out);
        out.push((name, message));
    }
}

/// A `Kind`, and whether many values may come packed into one.
fn kind(field: &FieldDescriptorProto, names: &[&str]) -> (String, bool) {
    let repeated = field.label().as_str_name() == "LABEL_REPEATED";
    match field.r#type().as_str_name() {
        "TYPE_MESSAGE" => {
            let name = field.type_name().trim_start_matches('.');
            let index = names.binary_search(&name).expect("a message's type is in some file");
            (format!("Kind::Message({index})"), false)
        }
        "TYPE_STRING" => ("Kind::Text".into(), false),
        "TYPE_BYTES" => ("Kind::Bytes".into(), false),
        "TYPE_BOOL" | "TYPE_ENUM" | "TYPE_INT32" | "TYPE_INT64" | "TYPE_UINT32" | "TYPE_UINT64" => {
            ("Kind::Varint".into(), repeated)
        }
        other => panic!("src/decode.rs does not know {other} of field {}", field.name()),
    }
}
