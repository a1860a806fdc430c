//! Large ranges under way: their rows are listed a slice at a time, at the revision that they began with.

use std::{collections::HashMap, rc::Rc, time::Duration};

use state::{RangeRest, Rejection, State};
use types::Moment;

use super::Core;
use crate::api::{Error, call::Reply, range_reply::RangeId};

/// A range whose client takes nothing for this long is given up: it keeps its revision from being compacted.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Default)]
pub(crate) struct Ranges {
    last_id: u64,
    under_way: HashMap<RangeId, UnderWay>,
}

struct UnderWay {
    rest: RangeRest,
    /// The state that it began with, when that was replaced meanwhile.
    state: Option<Rc<State>>,
    used_at: Moment,
}

impl Ranges {
    /// Keeps what a range has yet to give.
    pub(crate) fn keep(&mut self, rest: RangeRest, now: Moment) -> RangeId {
        self.last_id += 1;
        let id = RangeId(self.last_id);
        self.under_way.insert(id, UnderWay { rest, state: None, used_at: now });
        id
    }

    /// The range has ended, or its client has.
    pub(crate) fn forget(&mut self, id: RangeId) {
        self.under_way.remove(&id);
    }

    /// The state is about to be replaced: ranges go on with `old`, which goes with the last of them.
    pub(crate) fn keep_state(&mut self, old: &Rc<State>) {
        for range in self.under_way.values_mut() {
            range.state.get_or_insert_with(|| Rc::clone(old));
        }
    }

    /// Gives up those whose clients take nothing.
    pub(crate) fn forget_idle(&mut self, now: Moment) {
        self.under_way.retain(|_, range| now.since(range.used_at) < IDLE_MAX);
    }
}

impl Core {
    /// The next rows of a range. One that was given up answers as if compaction had overtaken it.
    pub(super) fn next_range_rows(&mut self, id: RangeId) -> Result<Reply, Error> {
        let Some(range) = self.ranges.under_way.get_mut(&id) else { return Err(Rejection::Compacted.into()) };
        range.used_at = self.now;
        let state = range.state.as_deref().unwrap_or(&self.state);
        Ok(Reply::RangeRows(state.next_rows(&mut range.rest)?))
    }
}
