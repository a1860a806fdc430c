//! What a seed stands for: size of the cluster, its settings, the load, the faults. Each seed leaves features out at
//! random (swarm testing): what is rare beside everything else is common where it is alone.

use std::time::Duration;

use crate::{fault_kind::FaultKind, load::OpKind, random::Random};

pub(crate) const MILLIS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MILLIS;

/// Everything that a seed decides before the first event.
#[derive(Clone, Debug)]
pub struct Options {
    /// Members of the cluster.
    pub members: usize,
    /// Length of a raft tick.
    pub tick: Duration,
    /// Ticks without a leader before a campaign.
    pub election_ticks: u32,
    /// Ask before a campaign whether it could be won.
    pub pre_vote: bool,
    /// Applied entries between raft snapshots.
    pub snapshot_count: u64,
    /// Entries kept in memory behind a raft snapshot.
    pub catchup_entries: u64,
    /// Bytes that end a segment of the log.
    pub segment_bytes: u64,
    /// Segments that are kept beyond need.
    pub wals_max: usize,
    /// Clients that call one thing after the other.
    pub clients: usize,
    /// A client's mean pause between two calls, in nanoseconds.
    pub think: u64,
    /// The same outside of the bursts of lively clients, in nanoseconds; 0 where the pause is always the same.
    pub lull: u64,
    /// Different keys.
    pub keys: u64,
    /// Largest value, in bytes.
    pub value_bytes_max: u64,
    /// Watch streams.
    pub watchers: usize,
    /// Clients that take locks.
    pub lockers: usize,
    /// An operator adds, promotes and removes members.
    pub membership: bool,
    /// How often each kind of call is made, relative to the others.
    pub ops: Vec<(OpKind, u64)>,
    /// Longest usual way of a message, in nanoseconds.
    pub delay: u64,
    /// Messages lost, of a million, while nothing else is wrong.
    pub loss: u64,
    /// Messages that arrive twice, of a million.
    pub duplication: u64,
    /// Messages that are held up for much longer, of a million, and so overtaken.
    pub reordering: u64,
    /// Messages that are not held up arrive in the order in which they were sent, as those of one connection do.
    pub ordered: bool,
    /// Longest usual time of a job on the disk, in nanoseconds.
    pub disk_delay: u64,
    /// How much a member's clock may go too fast or too slow, in parts per million.
    pub drift: u64,
    /// Mean time between two faults, in nanoseconds.
    pub fault_gap: u64,
    /// Kinds of faults.
    pub faults: Vec<FaultKind>,
    /// Compactions come right behind deletions, and faults, and watches of what is compacted, right behind compactions.
    pub close: bool,
    /// What members keep for a full disk, in bytes; 0 where no disk gets full.
    pub reserve_bytes: u64,
    /// Largest append message between members, in bytes.
    pub append_bytes_max: u64,
}

impl Options {
    /// What `seed` stands for.
    pub fn of(seed: u64) -> Options {
        let mut random = Random::stream(seed, "options");
        let r = &mut random;
        let members = *r.pick(&[1, 3, 3, 3, 3, 5, 5, 7]);
        let slow = r.one_in(8);
        let lively = r.one_in(3);
        let kept = |r: &mut Random, keep: u64| r.below(100) < keep;
        let users = r.one_in(3);
        let alarms = r.one_in(4);
        let drawn = |kind: &OpKind| match kind {
            OpKind::Users => users,
            OpKind::Alarm => alarms,
            _ => true,
        };
        let kinds = OpKind::ALL.into_iter().filter(drawn);
        let ops = kinds.filter(|_| kept(r, 80)).collect::<Vec<_>>();
        let ops: Vec<_> = ops.into_iter().map(|kind| (kind, r.between(1, 4) * kind.usual_weight())).collect();
        let ops = if ops.is_empty() { vec![(OpKind::Put, 1)] } else { ops };
        let faults = if r.one_in(10) {
            Vec::new()
        } else {
            FaultKind::ALL.into_iter().filter(|kind| kind.fits(members) && kept(r, 60)).collect()
        };
        let lossy = r.one_in(2);
        let fills = faults.contains(&FaultKind::FullDisk);
        let append_bytes_max = *r.pick(&[1 << 20, 1 << 20, 1_000, 0]);
        Options {
            members,
            tick: Duration::from_millis(*r.pick(&[100, 100, 50, 250, 500])),
            election_ticks: 10,
            pre_vote: !r.one_in(4),
            snapshot_count: *r.pick(&[20, 100, 1_000, 10_000]),
            catchup_entries: *r.pick(&[5, 50, 5_000]),
            clients: r.between(1, 12) as usize,
            think: if lively { r.between(20, 200) } else { r.between(500, 4_000) } * MILLIS,
            lull: if lively { 2 * SECOND } else { 0 },
            keys: if r.one_in(200) { *r.pick(&[10_000, 100_000]) } else { *r.pick(&[1, 5, 20, 100, 1_000]) },
            value_bytes_max: if r.one_in(30) { 1 << 20 } else { *r.pick(&[16, 16, 200, 5_000]) },
            watchers: r.below(6) as usize,
            lockers: if r.one_in(3) { r.between(2, 6) as usize } else { 0 },
            membership: r.one_in(3),
            ops,
            delay: if slow { r.between(10, 80) * MILLIS } else { r.between(1, 20) * MILLIS / 10 },
            loss: if lossy { *r.pick(&[100, 1_000, 20_000]) } else { 0 },
            duplication: if r.one_in(2) { *r.pick(&[100, 10_000]) } else { 0 },
            reordering: if r.one_in(2) { *r.pick(&[100, 10_000, 50_000]) } else { 0 },
            disk_delay: *r.pick(&[200_000, MILLIS, 5 * MILLIS, 30 * MILLIS]),
            drift: *r.pick(&[0, 200, 10_000, 50_000]),
            fault_gap: *r.pick(&[5, 15, 30, 60]) * SECOND,
            faults,
            close: r.one_in(2),
            reserve_bytes: if fills { *r.pick(&[256 << 10, 2 << 20]) } else { 0 },
            // A log that goes in small pieces, each of which may overtake the others, goes for ever.
            ordered: append_bytes_max < 1 << 20 || r.one_in(2),
            append_bytes_max,
            segment_bytes: *r.pick(&[8 << 10, 100 << 10, 1 << 20, 64_000_000]),
            wals_max: *r.pick(&[1, 2, 5]),
        }
    }

    /// A calm cluster of three with etcd's settings and a steady load: for measuring.
    pub fn steady() -> Options {
        Options {
            members: 3,
            tick: Duration::from_millis(100),
            pre_vote: true,
            snapshot_count: 10_000,
            catchup_entries: 5_000,
            clients: 5,
            think: SECOND,
            lull: 0,
            keys: 100,
            value_bytes_max: 200,
            watchers: 3,
            lockers: 0,
            membership: false,
            // Who is refused costs little: users are left out.
            ops: OpKind::ALL
                .into_iter()
                .filter(|kind| !matches!(kind, OpKind::Users | OpKind::Alarm))
                .map(|kind| (kind, kind.usual_weight()))
                .collect(),
            delay: MILLIS,
            loss: 0,
            duplication: 0,
            reordering: 0,
            disk_delay: MILLIS,
            drift: 200,
            fault_gap: 30 * SECOND,
            faults: FaultKind::ALL.to_vec(),
            close: false,
            reserve_bytes: 1 << 20,
            append_bytes_max: 1 << 20,
            segment_bytes: 64_000_000,
            wals_max: 5,
            ordered: true,
            ..Options::of(0)
        }
    }

    /// Users, roles and permissions change, and clients take locks, whatever the seed drew.
    pub fn add_users_and_locks(&mut self) {
        self.lockers = self.lockers.max(3 + self.clients % 4);
        if !self.ops.iter().any(|(kind, _)| *kind == OpKind::Users) {
            self.ops.push((OpKind::Users, OpKind::Users.usual_weight()));
        }
    }

    /// What can be left out of these: kinds of faults and of calls, and some more, by name.
    pub fn parts(&self) -> Vec<String> {
        let faults = self.faults.iter().map(|kind| format!("{kind:?}"));
        let ops = self.ops.iter().map(|(kind, _)| format!("{kind:?}"));
        let others = [
            ("membership", self.membership),
            ("watchers", self.watchers > 0),
            ("lockers", self.lockers > 0),
            ("loss", self.loss > 0),
            ("duplication", self.duplication > 0),
            ("reordering", self.reordering > 0),
            ("drift", self.drift > 0),
            ("close", self.close),
        ];
        let others = others.into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_string());
        others.chain(faults).chain(ops).collect()
    }

    /// Leaves that out. What the seed draws for the rest stays as it is.
    pub fn leave_out(&mut self, part: &str) {
        match part {
            "membership" => self.membership = false,
            "watchers" => self.watchers = 0,
            "lockers" => self.lockers = 0,
            "loss" => self.loss = 0,
            "duplication" => self.duplication = 0,
            "reordering" => self.reordering = 0,
            "drift" => self.drift = 0,
            "close" => self.close = false,
            _ => {
                self.faults.retain(|kind| format!("{kind:?}") != part);
                self.ops.retain(|(kind, _)| format!("{kind:?}") != part);
            }
        }
    }

    /// The time that raft lets pass without a leader before a campaign, at most twice that, in nanoseconds.
    pub(crate) fn election_timeout(&self) -> u64 {
        self.tick.as_nanos() as u64 * u64::from(self.election_ticks)
    }
}
