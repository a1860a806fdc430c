//! Short texts for messages, entries and states, in etcd's wording.

use std::fmt::{self, Write};

use types::raft::{ConfState, Entry, EntryKind, HardState, Snapshot};

use crate::{Message, conf_change::ConfChangeV2, message::NO_NODE};

/// `Term:1 Vote:2 Commit:3`; the vote only when there is one.
pub fn hard_state(state: &HardState) -> String {
    match state.vote {
        NO_NODE => format!("Term:{} Commit:{}", state.term, state.commit),
        vote => format!("Term:{} Vote:{vote} Commit:{}", state.term, state.commit),
    }
}

/// All lists of a conf state.
pub fn conf_state(state: &ConfState) -> String {
    format!(
        "Voters:{} VotersOutgoing:{} Learners:{} LearnersNext:{} AutoLeave:{}",
        list(&state.voters),
        list(&state.voters_outgoing),
        list(&state.learners),
        list(&state.learners_next),
        state.auto_leave
    )
}

fn list(ids: &[u64]) -> String {
    let words: Vec<String> = ids.iter().map(u64::to_string).collect();
    format!("[{}]", words.join(" "))
}

/// Place and configuration of a snapshot.
pub fn snapshot(snapshot: &Snapshot) -> String {
    let meta = &snapshot.meta;
    format!("Index:{} Term:{} ConfState:{}", meta.index, meta.term, conf_state(&meta.conf_state))
}

/// `term/index type payload`; the payload of a normal entry in quotes, of a conf change as its steps.
pub fn entry(entry: &Entry) -> String {
    let (name, payload) = match entry.kind {
        EntryKind::Normal => ("EntryNormal", quoted(&entry.data)),
        EntryKind::ConfChange => ("EntryConfChange", steps(entry)),
        EntryKind::ConfChangeV2 => ("EntryConfChangeV2", steps(entry)),
    };
    let gap = if payload.is_empty() { "" } else { " " };
    format!("{}/{} {name}{gap}{payload}", entry.term, entry.index)
}

fn steps(entry: &Entry) -> String {
    match ConfChangeV2::from_entry(entry) {
        Ok(change) => {
            let steps = change.into_iter().flat_map(|change| change.changes);
            steps.map(|step| step.to_string()).collect::<Vec<_>>().join(" ")
        }
        Err(error) => error.to_string(),
    }
}

/// One line, or several when there is more than one entry, or a snapshot; each further line begins with
/// `indent`.
pub fn message(message: &Message, indent: &str) -> String {
    let mut out = String::new();
    write_message(&mut out, message, indent).expect("writing to a string cannot fail");
    out
}

fn write_message(out: &mut String, message: &Message, indent: &str) -> fmt::Result {
    let Message { kind, term, log_term, index, .. } = message;
    let (from, to) = (member(message.from), member(message.to));
    write!(out, "{indent}{from}->{to} {kind} Term:{term} Log:{log_term}/{index}")?;
    if message.reject {
        write!(out, " Rejected (Hint: {})", message.reject_hint)?;
    }
    if message.commit != 0 {
        write!(out, " Commit:{}", message.commit)?;
    }
    out.push_str(&entries_field(&message.entries, indent));
    if let Some(inner) = &message.snapshot
        && inner.meta.index != 0
    {
        write!(out, "\n{indent}  Snapshot: {}", snapshot(inner))?;
    }
    Ok(())
}

/// ` Entries:[...]` as part of a message's description; empty when there are none.
pub fn entries_field(entries: &[Entry], indent: &str) -> String {
    match entries {
        [] => String::new(),
        [one] => format!(" Entries:[{}]", entry(one)),
        many => {
            let lines: String = many.iter().map(|one| format!("\n{indent}  {}", entry(one))).collect();
            format!(" Entries:[{lines}\n{indent}]")
        }
    }
}

fn member(id: u64) -> String {
    match id {
        NO_NODE => "None".to_string(),
        id => format!("{id:x}"),
    }
}

/// Bytes in double quotes: readable text as it is, everything else escaped.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn quotes_escape_what_is_not_text() {
        assert_eq!(quoted(b"a\"b\\c\n\x00\xff\xc3\xa9"), "\"a\\\"b\\\\c\\n\\x00\\xff\u{e9}\"");
    }

    #[test]
    fn an_undecodable_conf_change_is_described_by_its_error() {
        let broken =
            Entry { kind: EntryKind::ConfChange, data: Bytes::from_static(b"\x10"), ..Entry::default() };
        assert_eq!(entry(&broken), "0/0 EntryConfChange undecodable conf change: unexpected end");
    }
}
