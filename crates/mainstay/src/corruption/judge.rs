//! What hashes say about who is corrupt (upstream: server/etcdserver/corrupt.go). No I/O but the log.

use std::collections::BTreeMap;

use node::KvHash;
use peer::{HashAnswer, HashRefusal};
use telemetry::line;
use types::MemberId;

/// Another member, and what it answered.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: MemberId,
    pub(super) urls: Vec<String>,
    pub(super) answer: Result<HashAnswer, HashRefusal>,
}

/// This member's hash over everything that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) hash: KvHash,
    /// Its newest revision.
    pub(super) newest: i64,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All that could be compared is equal; with how many members it was.
    Equal(usize),
    /// Not everybody could be compared with.
    Incomplete,
    /// These differ; 0 when nobody can tell who is wrong.
    Corrupt(Vec<MemberId>),
}

/// Compares before clients are served: different keys under the same compaction are corruption.
pub(super) fn initial(me: MemberId, own: &KvHash, asked: &[Asked]) -> Verdict {
    let mut compared = 0;
    let mut corrupt = Vec::new();
    for other in asked {
        let told = |what: &'static str, theirs: Option<&HashAnswer>, error: Option<&HashRefusal>| {
            line!(Warn, what,
                "local-member-id" => me.to_string(), "local-member-revision" => own.revision,
                "local-member-compact-revision" => own.compacted, "local-member-hash" => u64::from(own.hash),
                "remote-peer-id" => other.id.to_string(), "remote-peer-endpoints" => other.urls.clone(),
                "remote-peer-revision" => theirs.map_or(0, |theirs| theirs.revision),
                "remote-peer-compact-revision" => theirs.map_or(0, |theirs| theirs.compacted),
                "remote-peer-hash" => theirs.map_or(0, |theirs| u64::from(theirs.hash)),
                "error" => error.map(ToString::to_string).unwrap_or_default());
        };
        match &other.answer {
            Ok(theirs) if theirs.hash == own.hash => compared += 1,
            Ok(theirs) if theirs.compacted == own.compacted => {
                told("found different hash values from remote peer", Some(theirs), None);
                corrupt.push(other.id);
            }
            Ok(theirs) => {
                told("found different compact revision values from remote peer", Some(theirs), None);
            }
            Err(error) => {
                let what = match error {
                    HashRefusal::FutureRevision => "cannot fetch hash from slow remote peer",
                    HashRefusal::Compacted => "cannot fetch hash from remote peer; local member is behind",
                    HashRefusal::ClusterMismatch => "cluster ID mismatch",
                    HashRefusal::Other(_) => "cannot fetch hash from remote peer",
                };
                told(what, None, Some(error));
            }
        }
    }
    match (corrupt.is_empty(), compared) {
        (false, _) => Verdict::Corrupt(corrupt),
        (true, 0) if !asked.is_empty() => Verdict::Incomplete,
        (true, compared) => Verdict::Equal(compared),
    }
}

/// Compares the leader's keys, hashed before and after the others were asked, with theirs. At most one member is
/// found corrupt at a time.
pub(super) fn periodic(me: MemberId, before: &Own, after: &Own, asked: &[Asked]) -> Verdict {
    let mut corrupt = None;
    let (first, second) = (&before.hash, &after.hash);
    if second.hash != first.hash && second.revision == first.revision && second.compacted == first.compacted {
        line!(Warn, "found hash mismatch",
            "revision-1" => first.revision, "compact-revision-1" => first.compacted,
            "hash-1" => u64::from(first.hash), "revision-2" => second.revision,
            "compact-revision-2" => second.compacted, "hash-2" => u64::from(second.hash));
        corrupt = Some(me);
    }
    let answers = asked.iter().filter_map(|other| Some((other.id, other.answer.as_ref().ok()?)));
    let mut compared = 0;
    for (id, theirs) in answers {
        compared += 1;
        let follower = id.to_string();
        if theirs.revision > after.newest {
            line!(Warn, "revision from follower must be less than or equal to leader's",
                "leader-revision" => after.newest, "follower-revision" => theirs.revision,
                "follower-peer-id" => follower.as_str());
            corrupt.get_or_insert(id);
        }
        if theirs.compacted > second.compacted {
            line!(Warn, "compact revision from follower must be less than or equal to leader's",
                "leader-compact-revision" => second.compacted, "follower-compact-revision" => theirs.compacted,
                "follower-peer-id" => follower.as_str());
            corrupt.get_or_insert(id);
        }
        if theirs.compacted == first.compacted && theirs.hash != first.hash {
            line!(Warn, "same compact revision then hashes must match",
                "leader-compact-revision" => second.compacted, "leader-hash" => u64::from(first.hash),
                "follower-compact-revision" => theirs.compacted, "follower-hash" => u64::from(theirs.hash),
                "follower-peer-id" => follower.as_str());
            corrupt.get_or_insert(id);
        }
    }
    match corrupt {
        Some(id) => Verdict::Corrupt(vec![id]),
        None if compared == 0 && !asked.is_empty() => Verdict::Incomplete,
        None => Verdict::Equal(compared),
    }
}

/// Compares the hash that a compaction stored on all members: whoever is in the minority is corrupt.
pub(super) fn compaction(me: MemberId, own: &KvHash, asked: &[Asked]) -> Verdict {
    let mut by_hash = BTreeMap::from([(own.hash, vec![me])]);
    let mut compared = 0;
    for other in asked {
        let reason = match &other.answer {
            Ok(theirs) if theirs.compacted == own.compacted => {
                compared += 1;
                by_hash.entry(theirs.hash).or_default().push(other.id);
                continue;
            }
            Ok(theirs) => format!(
                "the peer's CompactRevision {} doesn't match leader's CompactRevision {}",
                theirs.compacted, own.compacted
            ),
            Err(_) => "no response".to_owned(),
        };
        line!(Warn, "Skipped peer's hash",
            "number-of-peers" => asked.len(), "leader-id" => me.to_string(),
            "peer-id" => other.id.to_string(), "reason" => reason);
    }
    if by_hash.len() == 1 {
        if compared < asked.len() {
            line!(Warn, "skipped revision in compaction hash check; was not able to check all peers",
                "number-of-peers-checked" => compared, "number-of-peers" => asked.len(),
                "revision" => own.revision, "compactRevision" => own.compacted);
            return Verdict::Incomplete;
        }
        line!(Info, "successfully checked hash on whole cluster",
            "number-of-peers-checked" => compared,
            "revision" => own.revision, "compactRevision" => own.compacted);
        return Verdict::Equal(compared);
    }
    let quorum = asked.len().div_ceil(2) + 1;
    let majority = by_hash.iter().find(|(_, ids)| ids.len() >= quorum).map(|(hash, _)| *hash);
    match majority {
        Some(hash) => drop(by_hash.remove(&hash)),
        None => {
            line!(Error, "Detected compaction hash mismatch but cannot identify the corrupted members, so intentionally set the memberID as 0",
            "leader-id" => me.to_string(), "leader-revision" => own.revision,
            "leader-compact-revision" => own.compacted, "leader-hash" => u64::from(own.hash));
        }
    }
    for (hash, ids) in &by_hash {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        line!(Error, "Detected compaction hash mismatch",
            "leader-id" => me.to_string(), "leader-revision" => own.revision,
            "leader-compact-revision" => own.compacted, "leader-hash" => u64::from(own.hash),
            "peer-hash" => u64::from(*hash), "peer-ids" => ids.join(","),
            "quorum-exist" => majority.is_some());
    }
    match majority {
        Some(_) => Verdict::Corrupt(by_hash.into_values().flatten().collect()),
        None => Verdict::Corrupt(vec![MemberId(0)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: MemberId = MemberId(1);

    fn own(hash: u32) -> KvHash {
        KvHash { hash, revision: 10, compacted: 5 }
    }

    fn says(id: u64, hash: u32, revision: i64, compacted: i64) -> Asked {
        let answer = Ok(HashAnswer { hash, revision, compacted });
        Asked { id: MemberId(id), urls: Vec::new(), answer }
    }

    fn silent(id: u64) -> Asked {
        let answer = Err(HashRefusal::Other("connection refused".into()));
        Asked { id: MemberId(id), urls: Vec::new(), answer }
    }

    fn corrupt(ids: &[u64]) -> Verdict {
        Verdict::Corrupt(ids.iter().copied().map(MemberId).collect())
    }

    #[test]
    fn a_start_is_refused_only_for_other_keys_under_the_same_compaction() {
        let cases = [
            (vec![], Verdict::Equal(0)),
            (vec![says(2, 7, 10, 5), silent(3)], Verdict::Equal(1)),
            (vec![silent(2), silent(3)], Verdict::Incomplete),
            (vec![says(2, 8, 10, 4)], Verdict::Incomplete),
            (vec![says(2, 7, 10, 5), says(3, 8, 10, 5)], corrupt(&[3])),
        ];
        for (asked, expected) in cases {
            assert_eq!(initial(ME, &own(7), &asked), expected, "{asked:?}");
        }
    }

    #[test]
    fn followers_must_not_be_ahead_or_differ() {
        let before = Own { hash: own(7), newest: 10 };
        let after = Own { hash: KvHash { hash: 9, revision: 12, compacted: 6 }, newest: 12 };
        let cases = [
            (vec![], Verdict::Equal(0)),
            (vec![says(2, 7, 12, 5), silent(3)], Verdict::Equal(1)),
            (vec![silent(2)], Verdict::Incomplete),
            (vec![says(2, 7, 13, 5)], corrupt(&[2])),
            (vec![says(2, 7, 12, 7)], corrupt(&[2])),
            (vec![says(2, 8, 12, 6)], Verdict::Equal(1)),
            (vec![says(2, 8, 12, 5), says(3, 8, 12, 5)], corrupt(&[2])),
        ];
        for (asked, expected) in cases {
            assert_eq!(periodic(ME, &before, &after, &asked), expected, "{asked:?}");
        }
        let changed = Own { hash: own(8), newest: 10 };
        assert_eq!(periodic(ME, &before, &changed, &[]), corrupt(&[1]));
    }

    #[test]
    fn the_minority_is_corrupt() {
        let cases = [
            (vec![says(2, 7, 10, 5), says(3, 7, 10, 5)], Verdict::Equal(2)),
            (vec![says(2, 7, 10, 5), silent(3)], Verdict::Incomplete),
            (vec![says(2, 7, 10, 5), says(3, 8, 10, 4)], Verdict::Incomplete),
            (vec![says(2, 7, 10, 5), says(3, 8, 10, 5)], corrupt(&[3])),
            (vec![says(2, 8, 10, 5), says(3, 8, 10, 5)], corrupt(&[1])),
            (vec![says(2, 8, 10, 5), silent(3)], corrupt(&[0])),
            (vec![says(2, 8, 10, 5)], corrupt(&[0])),
            (vec![says(2, 7, 10, 5), says(3, 8, 10, 5), says(4, 8, 10, 5)], corrupt(&[0])),
        ];
        for (asked, expected) in cases {
            assert_eq!(compaction(ME, &own(7), &asked), expected, "{asked:?}");
        }
    }
}
