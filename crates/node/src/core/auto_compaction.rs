//! Forgetting history by itself, on the leader (contract/semantics.md 4.7).

use std::{collections::VecDeque, time::Duration};

use proto::etcdserverpb::{CompactionRequest, InternalRaftRequest};
use telemetry::{line, log};
use types::Moment;

use super::Core;
use crate::config::AutoCompaction;

/// Time between two compactions by revision, and the longest one between two periodic ones.
const REVISION_INTERVAL: Duration = Duration::from_secs(5 * 60);
const PERIODIC_INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// Samples per interval.
const SAMPLES: u32 = 10;

/// Decides when, and up to which revision.
#[derive(Debug)]
pub(crate) struct AutoCompactor {
    mode: AutoCompaction,
    /// Revisions seen, oldest first, one per sampling interval; as many as span the period, and one more.
    samples: VecDeque<i64>,
    next: Moment,
    /// Last revision compacted to by this.
    last: i64,
    /// Periodic: no compaction before this.
    not_before: Moment,
    /// A compaction that was proposed and not applied yet, and since when.
    under_way: Option<(i64, Moment)>,
}

impl AutoCompactor {
    pub(crate) fn new(mode: AutoCompaction, now: Moment) -> AutoCompactor {
        let (next, not_before) = match mode {
            AutoCompaction::Off => (now, now),
            AutoCompaction::Periodic(period) => (now, now + period),
            AutoCompaction::Revision(_) => (now + REVISION_INTERVAL, now),
        };
        AutoCompactor { mode, samples: VecDeque::new(), next, last: 0, not_before, under_way: None }
    }

    /// The revision to compact to now, if any. `leads` is asked only when one is due.
    pub(crate) fn due(&mut self, now: Moment, revision: i64, leads: bool) -> Option<i64> {
        if self.mode == AutoCompaction::Off || now < self.next {
            return None;
        }
        let target = match self.mode {
            AutoCompaction::Off => return None,
            AutoCompaction::Revision(retention) => {
                self.next = now + REVISION_INTERVAL;
                revision - retention
            }
            AutoCompaction::Periodic(period) => {
                let interval = period.min(PERIODIC_INTERVAL_MAX);
                let sampling = interval / SAMPLES;
                self.next = now + sampling;
                let kept = period.as_nanos().div_ceil(sampling.as_nanos().max(1));
                self.samples.push_back(revision);
                while self.samples.len() as u128 > kept + 1 {
                    self.samples.pop_front();
                }
                if now < self.not_before {
                    return None;
                }
                let target = *self.samples.front()?;
                if leads && target > self.last {
                    self.not_before = now + interval;
                }
                target
            }
        };
        (leads && target > 0 && target > self.last).then(|| {
            self.last = target;
            target
        })
    }
}

/// Tells of a compaction by itself, in etcd's words.
macro_rules! tell {
    ($self:ident, $verb:literal, $revision:expr $(, $key:literal => $value:expr)*) => {
        match $self.mode {
            AutoCompaction::Off => {}
            AutoCompaction::Periodic(period) => line!(Info, concat!($verb, " auto periodic compaction"),
                "revision" => $revision, "compact-period" => log::duration(period) $(, $key => $value)*),
            AutoCompaction::Revision(count) => line!(Info, concat!($verb, " auto revision compaction"),
                "revision" => $revision, "revision-compaction-retention" => count $(, $key => $value)*),
        }
    };
}

impl AutoCompactor {
    fn tell_starting(&mut self, revision: i64, now: Moment) {
        self.under_way = Some((revision, now));
        tell!(self, "starting", revision);
    }

    /// A compaction to `revision` was applied.
    pub(crate) fn tell_completed(&mut self, revision: i64, now: Moment) {
        if let Some((_, since)) = self.under_way.take_if(|(wanted, _)| *wanted <= revision) {
            tell!(self, "completed", revision, "took" => log::duration(now.since(since)));
        }
    }
}

impl Core {
    pub(super) fn run_auto_compaction(&mut self) {
        let leads = self.is_leader();
        let revision = self.state.store().revision();
        let Some(target) = self.auto_compaction.due(self.now, revision, leads) else { return };
        if target <= self.state.store().compacted() {
            return;
        }
        self.auto_compaction.tell_starting(target, self.now);
        let compaction = CompactionRequest { revision: target, physical: false };
        self.propose_own(InternalRaftRequest {
            compaction: Some(compaction),
            ..InternalRaftRequest::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment(0) + Duration::from_secs(secs)
    }

    #[test]
    fn periodic_keeps_what_is_younger_than_the_period() {
        let mut auto = AutoCompactor::new(AutoCompaction::Periodic(Duration::from_secs(100)), at(0));
        let mut compacted = Vec::new();
        for secs in 0..400 {
            // The revision is the second.
            if let Some(target) = auto.due(at(secs), secs as i64, true) {
                compacted.push((secs, target));
            }
        }
        assert_eq!(compacted.first().map(|(secs, _)| *secs), Some(110), "{compacted:?}");
        for pair in compacted.windows(2) {
            assert_eq!(pair[1].0 - pair[0].0, 100);
        }
        for (secs, target) in compacted {
            assert_eq!(target as u64, secs - 100);
        }
    }

    #[test]
    fn by_revision_every_five_minutes_on_the_leader_only() {
        let mut auto = AutoCompactor::new(AutoCompaction::Revision(1000), at(0));
        assert_eq!(auto.due(at(299), 5000, true), None);
        assert_eq!(auto.due(at(300), 5000, false), None);
        assert_eq!(auto.due(at(301), 5000, true), None);
        assert_eq!(auto.due(at(600), 5000, true), Some(4000));
        assert_eq!(auto.due(at(900), 5000, true), None, "nothing new");
        assert_eq!(auto.due(at(1200), 900, true), None);
        assert_eq!(AutoCompactor::new(AutoCompaction::Off, at(0)).due(at(99), 7, true), None);
    }
}
