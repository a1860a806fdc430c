//! `simple`, `enter-joint` and `leave-joint` applied to one group, one after the other.

use consensus::{Change, ChangeKind, ConfChangeError, tracker::Tracker};

use crate::datadriven::Case;

pub(crate) struct Group {
    tracker: Tracker,
    /// End of the log; grows with each command, so that members show when they were added.
    last_index: u64,
}

impl Default for Group {
    fn default() -> Group {
        Group { tracker: Tracker::new(10, u64::MAX), last_index: 0 }
    }
}

impl Group {
    pub(crate) fn handle(&mut self, case: &Case) -> String {
        let changes = match parse_changes(&case.input) {
            Ok(changes) => changes,
            Err(text) => return text,
        };
        let auto_leave = case.value("autoleave") == Some("true");
        let result = self.apply(&case.command, auto_leave, &changes);
        self.last_index += 1;
        match result {
            Ok(tracker) => {
                self.tracker = tracker;
                format!("{}\n{}", self.tracker.config, self.tracker)
            }
            Err(error) => format!("{error}\n"),
        }
    }

    fn apply(&self, command: &str, auto_leave: bool, changes: &[Change]) -> Result<Tracker, ConfChangeError> {
        match command {
            "simple" => self.tracker.simple(self.last_index, changes),
            "enter-joint" => self.tracker.enter_joint(self.last_index, auto_leave, changes),
            "leave-joint" => {
                assert!(changes.is_empty(), "this command takes no input");
                self.tracker.leave_joint()
            }
            other => panic!("unknown command {other}"),
        }
    }
}

/// `v1 l2 r3 u4`: make a voter, make a learner, remove, update.
pub(crate) fn parse_changes(text: &str) -> Result<Vec<Change>, String> {
    text.split_whitespace()
        .map(|word| {
            let kind = match word.chars().next() {
                Some('v') => ChangeKind::AddVoter,
                Some('l') => ChangeKind::AddLearner,
                Some('r') => ChangeKind::Remove,
                Some('u') => ChangeKind::Update,
                _ => return Err(format!("unknown input: {word}")),
            };
            let id = word[1..].parse().map_err(|_| format!("unknown token {word}"))?;
            Ok(Change { kind, id })
        })
        .collect()
}
