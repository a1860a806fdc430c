//! Quorums: when a majority, or two majorities at once, have an index or have voted.

use std::{collections::BTreeSet, fmt, fmt::Write};

/// A set of voters that decides by majority. Empty, it agrees to everything, so that a joint configuration
/// with one empty half behaves like the other half.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Majority(pub BTreeSet<u64>);

/// Two majorities that must both agree: the incoming and the outgoing voters. Outside a change of
/// configuration the outgoing half is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joint {
    /// The voters that stay.
    pub incoming: Majority,
    /// The voters before the change that is under way.
    pub outgoing: Majority,
}

/// What a vote has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteResult {
    /// Votes that are missing decide.
    Pending,
    /// No quorum can be reached any more.
    Lost,
    /// A quorum said yes.
    Won,
}

/// Voters up to which a quorum is computed without allocating.
const SMALL: usize = 9;

impl Majority {
    /// The highest index that a majority has; `u64::MAX` when there are no voters. `acked` is what a voter
    /// has, `None` when it has not been heard.
    pub fn committed_index(&self, acked: impl Fn(u64) -> Option<u64>) -> u64 {
        let count = self.0.len();
        if count == 0 {
            return u64::MAX;
        }
        let mut small = [0; SMALL];
        let mut large = Vec::new();
        let indexes = if count <= SMALL {
            &mut small[..count]
        } else {
            large.resize(count, 0);
            &mut large[..]
        };
        for (slot, &voter) in indexes.iter_mut().zip(&self.0) {
            *slot = acked(voter).unwrap_or(0);
        }
        indexes.sort_unstable();
        // A majority of count/2 + 1 voters is at or right of this position.
        indexes[(count - 1) / 2]
    }

    /// The result of the votes cast so far; `vote` is `None` for a voter not heard yet.
    pub fn vote_result(&self, vote: impl Fn(u64) -> Option<bool>) -> VoteResult {
        if self.0.is_empty() {
            return VoteResult::Won;
        }
        let (mut yes, mut missing) = (0, 0);
        for &voter in &self.0 {
            match vote(voter) {
                Some(true) => yes += 1,
                Some(false) => {}
                None => missing += 1,
            }
        }
        let quorum = self.0.len() / 2 + 1;
        if yes >= quorum {
            VoteResult::Won
        } else if yes + missing >= quorum {
            VoteResult::Pending
        } else {
            VoteResult::Lost
        }
    }

    /// A table of the voters' indexes with bars that show their order, one line per voter.
    pub fn describe(&self, acked: impl Fn(u64) -> Option<u64>) -> String {
        if self.0.is_empty() {
            return "<empty majority quorum>".to_string();
        }
        let count = self.0.len();
        let mut out = format!("{:count$}    idx\n", "");
        for &voter in &self.0 {
            let index = acked(voter);
            let position = index.unwrap_or(0);
            let behind = self.0.iter().filter(|&&other| acked(other).unwrap_or(0) < position).count();
            match index {
                None => write!(out, "?{:count$}", ""),
                Some(_) => write!(out, "{:x<behind$}>{:rest$}", "", "", rest = count - behind),
            }
            .and_then(|()| writeln!(out, " {position:5}    (id={voter:x})"))
            .expect("writing to a string cannot fail");
        }
        out
    }
}

impl fmt::Display for Majority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('(')?;
        for (position, voter) in self.0.iter().enumerate() {
            let gap = if position > 0 { " " } else { "" };
            write!(f, "{gap}{voter:x}")?;
        }
        f.write_char(')')
    }
}

impl Joint {
    /// Everybody who votes in either half.
    pub fn ids(&self) -> BTreeSet<u64> {
        self.incoming.0.union(&self.outgoing.0).copied().collect()
    }

    /// Whether that member votes in either half.
    pub fn contains(&self, id: u64) -> bool {
        self.incoming.0.contains(&id) || self.outgoing.0.contains(&id)
    }

    /// Whether two configurations hold.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.0.is_empty()
    }

    /// The highest index that both majorities have; see [`Majority::committed_index`].
    pub fn committed_index(&self, acked: impl Fn(u64) -> Option<u64>) -> u64 {
        self.incoming.committed_index(&acked).min(self.outgoing.committed_index(&acked))
    }

    /// Won when both halves won, lost when either lost.
    pub fn vote_result(&self, vote: impl Fn(u64) -> Option<bool>) -> VoteResult {
        match (self.incoming.vote_result(&vote), self.outgoing.vote_result(&vote)) {
            (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
            (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
            (VoteResult::Pending, _) | (_, VoteResult::Pending) => VoteResult::Pending,
        }
    }

    /// See [`Majority::describe`].
    pub fn describe(&self, acked: impl Fn(u64) -> Option<u64>) -> String {
        Majority(self.ids()).describe(acked)
    }
}

impl fmt::Display for Joint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.incoming)?;
        if self.is_joint() {
            write!(f, "&&{}", self.outgoing)?;
        }
        Ok(())
    }
}

impl fmt::Display for VoteResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VoteResult::Pending => "VotePending",
            VoteResult::Lost => "VoteLost",
            VoteResult::Won => "VoteWon",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: the highest index which at least a majority has reached.
    fn committed_by_definition(voters: &BTreeSet<u64>, acked: impl Fn(u64) -> Option<u64>) -> u64 {
        let quorum = voters.len() / 2 + 1;
        let indexes = voters.iter().filter_map(|&v| acked(v));
        let reached = |index: u64| voters.iter().filter(|&&v| acked(v).unwrap_or(0) >= index).count();
        indexes.filter(|&i| reached(i) >= quorum).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn committed_index_is_what_the_definition_says(
            acked in proptest::collection::btree_map(1u64..20, proptest::option::of(1u64..50), 1..14),
        ) {
            let voters: BTreeSet<u64> = acked.keys().copied().collect();
            let lookup = |id| acked.get(&id).copied().flatten();
            let expected = committed_by_definition(&voters, lookup);
            prop_assert_eq!(Majority(voters.clone()).committed_index(lookup), expected);
            let joint = Joint { incoming: Majority(voters.clone()), outgoing: Majority(voters) };
            prop_assert_eq!(joint.committed_index(lookup), expected);
        }
    }

    #[test]
    fn both_halves_decide() {
        let joint = Joint { incoming: Majority([1, 2].into()), outgoing: Majority([3].into()) };
        let acked = |id| Some([0, 7, 9, 8][id as usize]);
        assert_eq!(joint.committed_index(acked), 7);
        assert_eq!(joint.committed_index(|id| (id != 3).then_some(9)), 0);
        assert_eq!(Joint { outgoing: Majority::default(), ..joint.clone() }.committed_index(acked), 7);
        for (votes, expected) in [
            ([Some(true), Some(true), Some(true)], VoteResult::Won),
            ([Some(true), Some(true), None], VoteResult::Pending),
            ([Some(true), Some(true), Some(false)], VoteResult::Lost),
            ([Some(true), Some(false), None], VoteResult::Lost),
            ([Some(true), None, Some(true)], VoteResult::Pending),
        ] {
            assert_eq!(joint.vote_result(|id| votes[id as usize - 1]), expected, "{votes:?}");
        }
    }
}
