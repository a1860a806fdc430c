//! Large ranges under way: their rows are listed a slice at a time, at the revision that they began with.

use std::{collections::HashMap, rc::Rc, time::Duration};

use proto::etcdserverpb::RangeRequest;
use state::{RangeRest, Rejection, State, Subject};
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
    reader: Reader,
    /// The state that it began with, when that was replaced meanwhile.
    state: Option<Rc<State>>,
    used_at: Moment,
}

/// Who reads a range, and what.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) subject: Subject,
    pub(crate) request: RangeRequest,
    /// When it was judged last; users and permissions have not changed since as long as this is their revision.
    pub(crate) auth_revision: u64,
}

impl Ranges {
    /// Keeps what a range has yet to give.
    pub(crate) fn keep(&mut self, rest: RangeRest, reader: Reader, now: Moment) -> RangeId {
        self.last_id += 1;
        let id = RangeId(self.last_id);
        self.under_way.insert(id, UnderWay { rest, reader, state: None, used_at: now });
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
    /// The next rows of a range. One that was given up answers as if compaction had overtaken it. When users or
    /// permissions have changed its reader is judged again: a permission that is taken away ends what is being read
    /// (upstream gives up a range when anything of the kind changes while it lists the rows; what it has listed goes out).
    pub(super) fn next_range_rows(&mut self, id: RangeId) -> Result<Reply, Error> {
        let gone = || Error::from(Rejection::Compacted);
        let auth = self.state.auth();
        let (enabled, revision) = (auth.is_enabled(), auth.revision());
        let range = self.ranges.under_way.get_mut(&id).ok_or_else(gone)?;
        if enabled && range.reader.auth_revision != revision {
            let Reader { subject, request, .. } = range.reader.clone();
            // That he has to log in again before he asks for anything else does not end what he reads.
            let subject = Subject { revision, ..subject };
            if let Err(error) = self.judge(&subject, &request) {
                self.ranges.forget(id);
                return Err(error);
            }
        }
        let range = self.ranges.under_way.get_mut(&id).ok_or_else(gone)?;
        range.reader.auth_revision = revision;
        range.used_at = self.now;
        let state = range.state.as_deref().unwrap_or(&self.state);
        Ok(Reply::RangeRows(state.next_rows(&mut range.rest)?))
    }
}
