//! A group of nodes, the messages between them, and the output of the current command.

use std::{collections::VecDeque, fmt::Display};

use consensus::{AppendWork, ApplyWork, ConfChangeV2, Config, Level, LogStore, MemLog, RawNode, describe};
use types::raft::{ConfState, Entry, Snapshot};

use crate::{
    describe::{InFlight, append_responses, append_work, apply_responses, apply_work, ready},
    storage::ScriptStore,
};

pub(crate) struct Node {
    pub(crate) raw: RawNode<ScriptStore>,
    pub(crate) config: Config,
    append_work: VecDeque<AppendWork>,
    apply_work: VecDeque<ApplyWork>,
}

#[derive(Default)]
pub(crate) struct Env {
    /// Node 1 first.
    pub(crate) nodes: Vec<Node>,
    pub(crate) in_flight: Vec<InFlight>,
    out: String,
    level: Level2,
}

/// The output's level; below `Off` all that commands print is shown, and log lines from the level on.
pub(crate) struct Level2(pub Level);

impl Default for Level2 {
    fn default() -> Level2 {
        Level2(Level::Debug)
    }
}

type Outcome = Result<(), String>;

impl Env {
    pub(crate) fn set_level(&mut self, name: &str) -> Result<Level, String> {
        let levels = [Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Off];
        let level = levels.into_iter().find(|level| level.to_string().eq_ignore_ascii_case(name));
        let level = level.ok_or_else(|| format!("unknown log level {name}"))?;
        Ok(std::mem::replace(&mut self.level.0, level))
    }

    pub(crate) fn restore_level(&mut self, level: Level) {
        self.level.0 = level;
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.level.0 == Level::Off
    }

    pub(crate) fn print(&mut self, text: impl Display) {
        if !self.is_quiet() {
            self.out.push_str(&text.to_string());
        }
    }

    pub(crate) fn print_line(&mut self, text: impl Display) {
        self.print(text);
        self.print("\n");
    }

    pub(crate) fn take_output(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// Prints what the nodes logged since the last call.
    pub(crate) fn print_logs(&mut self) {
        for position in 0..self.nodes.len() {
            let lines = self.nodes[position].raw.take_log_lines();
            self.print_log_lines(lines);
        }
    }

    fn print_log_lines(&mut self, lines: Vec<consensus::LogLine>) {
        for line in lines {
            if self.level.0 <= line.level {
                self.print_line(format!("{} {}", line.level, line.text));
            }
        }
    }

    /// Runs something whose output is shown two columns to the right.
    fn indented(&mut self, inner: impl FnOnce(&mut Env) -> Outcome) -> Outcome {
        let before = self.take_output();
        let outcome = inner(self);
        let inside = self.take_output();
        self.out = before + &inside.lines().map(|line| format!("  {line}\n")).collect::<String>();
        outcome
    }

    pub(crate) fn add_nodes(&mut self, count: u64, template: &Config, snapshot: &Snapshot) -> Outcome {
        for _ in 0..count {
            let id = self.nodes.len() as u64 + 1;
            let mut newest = snapshot.clone();
            let mut log = MemLog::new();
            if *snapshot != Snapshot::default() {
                if snapshot.meta.index <= 1 {
                    return Err("index must be specified as > 1 due to bootstrap".to_string());
                }
                newest.meta.term = 1;
                log.apply_snapshot(newest.clone()).map_err(|error| error.to_string())?;
            }
            let config = Config { id, ..template.clone() };
            let raw = RawNode::new(config.clone(), ScriptStore { log, newest });
            let raw = raw.map_err(|error| error.to_string())?;
            self.nodes.push(Node { raw, config, append_work: VecDeque::new(), apply_work: VecDeque::new() });
            self.print_logs();
        }
        Ok(())
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }

    pub(crate) fn process_ready(&mut self, id: u64) -> Outcome {
        let node = self.node(id);
        let asynchronous = node.config.async_storage_writes;
        let rd = node.raw.ready();
        self.print(ready(id, &rd, asynchronous));
        self.print_logs();
        let node = self.node(id);
        if asynchronous {
            node.append_work.extend(rd.append);
            node.apply_work.extend(rd.apply);
        } else {
            if let Some(work) = &rd.append {
                append(node, work)?;
            }
            if let Some(work) = &rd.apply {
                let applied = apply(node, &work.entries);
                self.print_logs();
                applied?;
            }
        }
        self.in_flight.extend(rd.messages.into_iter().map(InFlight::Message));
        if !asynchronous {
            self.node(id).raw.advance();
            self.print_logs();
        }
        Ok(())
    }

    pub(crate) fn process_append_thread(&mut self, id: u64) -> Outcome {
        let Some(work) = self.node(id).append_work.pop_front() else {
            self.print("no append work to perform");
            return Ok(());
        };
        self.print_line("Processing:");
        self.print_line(append_work(id, &work, &[]));
        append(self.node(id), &work)?;
        self.send_responses(append_responses(id, &work));
        Ok(())
    }

    pub(crate) fn process_apply_thread(&mut self, id: u64) -> Outcome {
        let Some(work) = self.node(id).apply_work.pop_front() else {
            self.print("no apply work to perform");
            return Ok(());
        };
        self.print_line("Processing:");
        self.print_line(apply_work(id, &work, &[]));
        let applied = apply(self.node(id), &work.entries);
        self.print_logs();
        applied?;
        self.send_responses(apply_responses(id, &work));
        Ok(())
    }

    fn send_responses(&mut self, responses: Vec<InFlight>) {
        self.print_line("Responses:");
        for response in &responses {
            self.print_line(response.describe(""));
        }
        self.in_flight.extend(responses);
    }

    /// Runs one kind of work on several nodes; the output of each is under a headline unless there is one.
    pub(crate) fn on_each(
        &mut self,
        ids: &[u64],
        doing: &str,
        work: fn(&mut Env, u64) -> Outcome,
    ) -> Outcome {
        if let [id] = ids {
            return work(self, *id);
        }
        for &id in ids {
            self.print_line(format!("> {id} {doing}"));
            self.indented(|env| work(env, id))?;
        }
        Ok(())
    }

    /// Delivers (or drops) the messages to each receiver, of one kind or all; how many it took.
    pub(crate) fn deliver(&mut self, receivers: &[(u64, bool)], kind: Option<&str>) -> usize {
        let mut count = 0;
        for &(id, drop) in receivers {
            let all = std::mem::take(&mut self.in_flight);
            let (taken, rest) = all.into_iter().partition(|one| {
                one.to() == id && !(drop && one.is_local()) && kind.is_none_or(|kind| one.kind() == kind)
            });
            self.in_flight = rest;
            let taken: Vec<InFlight> = taken;
            count += taken.len();
            for one in taken {
                if drop {
                    self.print("dropped: ");
                }
                self.print_line(one.describe(""));
                if !drop {
                    self.deliver_one(id, one);
                }
            }
        }
        count
    }

    fn deliver_one(&mut self, id: u64, one: InFlight) {
        let raw = &mut self.node(id).raw;
        let result = match one {
            InFlight::Message(message) if message.from == message.to => raw.step_own(message),
            InFlight::Message(message) => raw.step(message),
            InFlight::Appended { ack, .. } => {
                raw.appended(&ack);
                Ok(())
            }
            InFlight::Applied { ack, .. } => {
                raw.applied(&ack);
                Ok(())
            }
        };
        self.print_logs();
        if let Err(error) = result {
            self.print_line(error);
        }
    }

    /// Lets nodes work and talk until nothing is left to do.
    pub(crate) fn stabilize(&mut self, ids: &[u64]) -> Outcome {
        let mut busy = true;
        while busy {
            busy = false;
            for &id in ids {
                if self.node(id).raw.has_ready() {
                    self.print_line(format!("> {id} handling Ready"));
                    self.indented(|env| env.process_ready(id))?;
                    busy = true;
                }
            }
            for &id in ids {
                if self.in_flight.iter().any(|one| one.to() == id) {
                    self.print_line(format!("> {id} receiving messages"));
                    self.indented(|env| {
                        env.deliver(&[(id, false)], None);
                        Ok(())
                    })?;
                    busy = true;
                }
            }
            for &id in ids {
                if !self.node(id).append_work.is_empty() {
                    self.print_line(format!("> {id} processing append thread"));
                    busy = true;
                }
                while !self.node(id).append_work.is_empty() {
                    self.indented(|env| env.process_append_thread(id))?;
                }
            }
            for &id in ids {
                if !self.node(id).apply_work.is_empty() {
                    self.print_line(format!("> {id} processing apply thread"));
                    busy = true;
                }
                while !self.node(id).apply_work.is_empty() {
                    self.indented(|env| env.process_apply_thread(id))?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn raft_log(&mut self, id: u64) -> Outcome {
        let log = &self.node(id).raw.store().log;
        let (first, last) = (log.first_index(), log.last_index());
        if last < first {
            self.print(format!("log is empty: first index={first}, last index={last}"));
            return Ok(());
        }
        let lines: String = log.iter().map(|one| describe::entry(one) + "\n").collect();
        self.print(lines);
        Ok(())
    }
}

fn append(node: &mut Node, work: &AppendWork) -> Outcome {
    let log = &mut node.raw.store_mut().log;
    if let Some(state) = work.hard_state {
        log.set_hard_state(state);
    }
    let result = match &work.snapshot {
        Some(_) if !work.entries.is_empty() => {
            return Err("can't apply snapshot and entries at the same time".to_string());
        }
        Some(snapshot) => log.apply_snapshot(snapshot.clone()),
        None => log.append(work.entries.clone()),
    };
    result.map_err(|error| error.to_string())
}

/// Applies entries to a state machine that appends their payloads, with a snapshot after each.
fn apply(node: &mut Node, entries: &[Entry]) -> Outcome {
    for entry in entries {
        let change = ConfChangeV2::from_entry(entry).map_err(|error| error.to_string())?;
        let (update, conf_state): (_, Option<ConfState>) = match change {
            None => (entry.data.clone(), None),
            Some(change) => {
                let update = change.context.clone();
                let conf_state = node.raw.apply_conf_change(change).map_err(|error| error.to_string())?;
                (update, Some(conf_state))
            }
        };
        let newest = &mut node.raw.store_mut().newest;
        newest.data = [&newest.data[..], &update[..]].concat().into();
        newest.meta.index = entry.index;
        newest.meta.term = entry.term;
        if let Some(conf_state) = conf_state {
            newest.meta.conf_state = conf_state;
        }
    }
    Ok(())
}
