//! Writes the tables of all messages, enums and methods that `src/schema.rs` holds.

use std::fmt::Write;

use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Field numbers whose key takes one byte.
const SHORT: std::ops::RangeInclusive<i32> = 1..=15;

/// Rust source of `MESSAGES`, sorted by name, of `ENUMS`, and of `METHODS`, sorted by path.
pub(crate) fn tables(files: &FileDescriptorSet) -> String {
    let mut found = Found::default();
    for file in &files.file {
        found.collect(file.package(), &file.message_type, &file.enum_type);
    }
    found.messages.sort_by(|a, b| a.0.cmp(&b.0));
    found.enums.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = String::from("pub(crate) static MESSAGES: &[Schema] = &[\n");
    for (name, message) in &found.messages {
        let used = |number: &i32| message.field.iter().any(|field| field.number() == *number);
        let spare = SHORT.rev().find(|number| !used(number)).expect("a message leaves a short number unused");
        line(&mut out, format_args!("Schema {{ name: {name:?}, spare: {spare}, fields: &["));
        let mut fields: Vec<&FieldDescriptorProto> = message.field.iter().collect();
        fields.sort_by_key(|field| field.number());
        for field in fields {
            let oneof = field.oneof_index.map(|index| message.oneof_decl[index as usize].name());
            let oneof = oneof.map(|oneof| format!("{name}.{oneof}"));
            line(
                &mut out,
                format_args!(
                    "Field {{ number: {}, name: {:?}, json_name: {:?}, kind: {}, repeated: {}, oneof: {oneof:?} }},",
                    field.number(),
                    field.name(),
                    field.json_name(),
                    found.kind(field),
                    field.label().as_str_name() == "LABEL_REPEATED",
                ),
            );
        }
        out.push_str("] },\n");
    }
    out.push_str("];\nstatic ENUMS: &[&[(&str, i32)]] = &[\n");
    for (_, values) in &found.enums {
        let values: Vec<_> = values.value.iter().map(|value| (value.name(), value.number())).collect();
        line(&mut out, format_args!("&{values:?},"));
    }
    out.push_str("];\nstatic METHODS: &[(&str, u16, u16)] = &[\n");
    for (path, request, reply) in found.methods(files) {
        line(&mut out, format_args!("({path:?}, {request}, {reply}),"));
    }
    out.push_str("];\n");
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to memory");
}

/// What the files declare, by full name.
#[derive(Default)]
struct Found<'a> {
    messages: Vec<(String, &'a DescriptorProto)>,
    enums: Vec<(String, &'a EnumDescriptorProto)>,
}

impl<'a> Found<'a> {
    /// Messages and enums with those inside them.
    fn collect(&mut self, scope: &str, messages: &'a [DescriptorProto], enums: &'a [EnumDescriptorProto]) {
        for found in enums {
            self.enums.push((format!("{scope}.{}", found.name()), found));
        }
        for message in messages {
            let name = format!("{scope}.{}", message.name());
            self.collect(&name, &message.nested_type, &message.enum_type);
            self.messages.push((name, message));
        }
    }

    fn message(&self, name: &str) -> usize {
        let name = name.trim_start_matches('.');
        self.messages
            .binary_search_by(|(known, _)| known.as_str().cmp(name))
            .expect("a message's type is in some file")
    }

    fn kind(&self, field: &FieldDescriptorProto) -> String {
        match field.r#type().as_str_name() {
            "TYPE_MESSAGE" => format!("Kind::Message({})", self.message(field.type_name())),
            "TYPE_ENUM" => {
                let name = field.type_name().trim_start_matches('.');
                let index = self.enums.binary_search_by(|(known, _)| known.as_str().cmp(name));
                format!("Kind::Enum({})", index.expect("an enum is in some file"))
            }
            "TYPE_STRING" => "Kind::Text".into(),
            "TYPE_BYTES" => "Kind::Bytes".into(),
            "TYPE_BOOL" => "Kind::Bool".into(),
            "TYPE_INT64" => "Kind::Int64".into(),
            "TYPE_UINT32" => "Kind::Uint32".into(),
            "TYPE_UINT64" => "Kind::Uint64".into(),
            other => panic!("src/schema.rs does not know {other} of field {}", field.name()),
        }
    }

    /// Paths with the types of request and reply.
    fn methods(&self, files: &FileDescriptorSet) -> Vec<(String, usize, usize)> {
        let mut methods = Vec::new();
        for file in &files.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let (request, reply) = (method.input_type(), method.output_type());
                    methods.push((path, self.message(request), self.message(reply)));
                }
            }
        }
        methods.sort();
        methods
    }
}
