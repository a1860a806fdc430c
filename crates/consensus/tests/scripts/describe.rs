//! The text of a `Ready` and of storage work, as upstream prints its storage messages.

use std::fmt::Write;

use consensus::{
    AppendAck, AppendWork, ApplyWork, Message, Ready,
    describe::{entries_field, entry, hard_state, message, snapshot},
};
use types::raft::{Entry, Snapshot};

/// Something under way to a node.
#[derive(Clone, Debug)]
pub(crate) enum InFlight {
    /// From a node, perhaps to itself.
    Message(Message),
    /// From a node's append thread.
    Appended { to: u64, ack: AppendAck, snapshot: Option<Snapshot> },
    /// From a node's apply thread.
    Applied { to: u64, ack: consensus::ApplyAck, entries: Vec<Entry> },
}

impl InFlight {
    pub(crate) fn to(&self) -> u64 {
        match self {
            InFlight::Message(message) => message.to,
            InFlight::Appended { to, .. } | InFlight::Applied { to, .. } => *to,
        }
    }

    pub(crate) fn kind(&self) -> String {
        match self {
            InFlight::Message(message) => message.kind.to_string(),
            InFlight::Appended { .. } => "MsgStorageAppendResp".to_string(),
            InFlight::Applied { .. } => "MsgStorageApplyResp".to_string(),
        }
    }

    /// Whether it never leaves the node, and so cannot be lost.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            InFlight::Message(message) => message.from == message.to,
            InFlight::Appended { .. } | InFlight::Applied { .. } => true,
        }
    }

    pub(crate) fn describe(&self, indent: &str) -> String {
        match self {
            InFlight::Message(inner) => message(inner, indent),
            InFlight::Appended { to, ack, snapshot } => {
                let last = ack.last().unwrap_or_default();
                format!(
                    "{indent}AppendThread->{to:x} MsgStorageAppendResp Term:{} Log:{}/{}{}",
                    ack.term(),
                    last.term,
                    last.index,
                    snapshot_field(snapshot.as_ref(), indent)
                )
            }
            InFlight::Applied { to, entries, .. } => {
                let entries = entries_field(entries, indent);
                format!("{indent}ApplyThread->{to:x} MsgStorageApplyResp Term:0 Log:0/0{entries}")
            }
        }
    }
}

fn snapshot_field(inner: Option<&Snapshot>, indent: &str) -> String {
    inner.map(|inner| format!("\n{indent}  Snapshot: {}", snapshot(inner))).unwrap_or_default()
}

/// The reports that an append thread gives when it has done the work.
pub(crate) fn append_responses(id: u64, work: &AppendWork) -> Vec<InFlight> {
    let mut responses: Vec<InFlight> = work.responses.iter().cloned().map(InFlight::Message).collect();
    if let Some(ack) = work.ack {
        responses.push(InFlight::Appended { to: id, ack, snapshot: work.snapshot.clone() });
    }
    responses
}

/// The reports that an apply thread gives when it has done the work.
pub(crate) fn apply_responses(id: u64, work: &ApplyWork) -> Vec<InFlight> {
    let applied = work.ack.map(|ack| InFlight::Applied { to: id, ack, entries: work.entries.clone() });
    applied.into_iter().collect()
}

fn responses_field(responses: &[InFlight]) -> String {
    if responses.is_empty() {
        return String::new();
    }
    let lines: String = responses.iter().map(|response| format!("\n{}", response.describe("  "))).collect();
    format!(" Responses:[{lines}\n]")
}

pub(crate) fn append_work(id: u64, work: &AppendWork, responses: &[InFlight]) -> String {
    let state = work.hard_state.unwrap_or_default();
    let mut out = format!("{id:x}->AppendThread MsgStorageAppend Term:{} Log:0/0", state.term);
    for (name, value) in [("Commit", state.commit), ("Vote", state.vote)] {
        if value != 0 {
            write!(out, " {name}:{value}").expect("writing to a string");
        }
    }
    out + &entries_field(&work.entries, "")
        + &snapshot_field(work.snapshot.as_ref(), "")
        + &responses_field(responses)
}

pub(crate) fn apply_work(id: u64, work: &ApplyWork, responses: &[InFlight]) -> String {
    let entries = entries_field(&work.entries, "");
    format!("{id:x}->ApplyThread MsgStorageApply Term:0 Log:0/0{entries}{}", responses_field(responses))
}

pub(crate) fn ready(id: u64, ready: &Ready, asynchronous: bool) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    if let Some(state) = ready.soft_state {
        line(format!("Lead:{} State:{}", state.leader, state.role));
    }
    if let Some(state) = ready.hard_state() {
        line(format!("HardState {}", hard_state(&state)));
    }
    if !ready.entries().is_empty() {
        line("Entries:".to_string());
        ready.entries().iter().for_each(|one| line(entry(one)));
    }
    if let Some(inner) = ready.snapshot() {
        line(format!("Snapshot {}", snapshot(inner)));
    }
    if !ready.committed().is_empty() {
        line("CommittedEntries:".to_string());
        ready.committed().iter().for_each(|one| line(entry(one)));
    }
    let mut messages: Vec<String> = ready.messages.iter().map(|inner| message(inner, "")).collect();
    if asynchronous {
        let append = ready.append.iter();
        messages.extend(append.map(|work| append_work(id, work, &append_responses(id, work))));
        let apply = ready.apply.iter();
        messages.extend(apply.map(|work| apply_work(id, work, &apply_responses(id, work))));
    }
    if !messages.is_empty() {
        line("Messages:".to_string());
        messages.into_iter().for_each(line);
    }
    match out.is_empty() {
        true => "<empty Ready>".to_string(),
        false => format!("Ready MustSync={}:\n{out}", ready.must_sync),
    }
}
