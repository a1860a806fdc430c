//! Entries that are written without being proposed: those of a new cluster, and those of `--force-new-cluster`.

use bytes::Bytes;
use prost::Message;
use types::{
    MemberId, Write, bucket,
    go_json::Object,
    raft::{ConfState, Entry, EntryKind},
};

use crate::{Change, Member};

/// Term of the entries that a new cluster starts with.
const BOOTSTRAP_TERM: u64 = 1;

/// The log that a new cluster starts with: one conf change for each member, by id, index 1..n, term 1. Every
/// initial member makes the same one (contract/semantics.md 15.10); the caller commits it at once.
pub fn bootstrap_entries(members: &[Member]) -> Vec<Entry> {
    let mut sorted: Vec<&Member> = members.iter().collect();
    sorted.sort_by_key(|member| member.id);
    let changes = sorted.into_iter().map(|member| Change::Add(member.clone()));
    entries(changes, BOOTSTRAP_TERM, 1)
}

/// The entries that leave `local` alone in the cluster: it is added first if `ids` (voters and learners) lack
/// it, since raft needs a voter at all times; then all others go. They follow index `last_index`.
pub fn forced_entries(ids: &[MemberId], local: MemberId, term: u64, last_index: u64) -> Vec<Entry> {
    let placeholder =
        Member { id: local, peer_urls: vec!["http://localhost:2380".to_owned()], ..Member::default() };
    let add = (!ids.contains(&local)).then_some(Change::Add(placeholder));
    let removes = ids.iter().filter(|&&id| id != local).map(|&id| Change::Remove(id));
    entries(add.into_iter().chain(removes), term, last_index + 1)
}

fn entries(changes: impl Iterator<Item = Change>, term: u64, first_index: u64) -> Vec<Entry> {
    let entry = |(index, change): (u64, Change)| Entry {
        term,
        index,
        kind: EntryKind::ConfChange,
        data: change.to_entry().encode_to_vec().into(),
    };
    (first_index..).zip(changes).map(entry).collect()
}

/// The `confState` row of `meta`, written in the transaction that applies a conf change
/// (contract/semantics.md 14.4).
pub fn conf_state_row(state: &ConfState) -> Write {
    let mut object = Object::new();
    for (name, ids) in [
        ("voters", &state.voters),
        ("learners", &state.learners),
        ("voters_outgoing", &state.voters_outgoing),
        ("learners_next", &state.learners_next),
    ] {
        if !ids.is_empty() {
            object = object.numbers(name, ids);
        }
    }
    let json = object.bool("auto_leave", state.auto_leave).finish();
    Write::put(bucket::META, Bytes::from_static(bucket::meta::CONF_STATE), json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InitialCluster;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Recorded from raft 3.7's Bootstrap, called as etcd 3.7.1 calls it.
    #[test]
    fn bootstrap_is_upstreams_byte_for_byte() {
        let text = "infra2=http://127.0.0.1:2,infra1=http://127.0.0.1:12380,infra1=https://a.b:1";
        let members = InitialCluster::parse(text).unwrap().members("etcd-cluster-1").unwrap();
        let entries = bootstrap_entries(&members);
        let contexts = [
            r#"{"id":8694785050466014207,"peerURLs":["http://127.0.0.1:12380","https://a.b:1"],"name":"infra1"}"#,
            r#"{"id":11661913981023247530,"peerURLs":["http://127.0.0.1:2"],"name":"infra2"}"#,
        ];
        let heads = ["100018ffa79ddbfb9d85d5782260", "100018aab9b580a79fdceba101224d"];
        assert_eq!(entries.len(), 2);
        for (i, entry) in entries.iter().enumerate() {
            assert_eq!((entry.term, entry.index, entry.kind), (1, i as u64 + 1, EntryKind::ConfChange));
            assert_eq!(hex(&entry.data), heads[i].to_owned() + &hex(contexts[i].as_bytes()));
        }
    }

    #[test]
    fn forcing_adds_the_local_member_first_and_removes_the_rest() {
        let ids = [MemberId(1), MemberId(2), MemberId(3)];
        let kept = forced_entries(&ids, MemberId(2), 5, 10);
        let shape: Vec<_> = kept.iter().map(|entry| (entry.term, entry.index, hex(&entry.data))).collect();
        assert_eq!(shape, [(5, 11, "10011801".to_owned()), (5, 12, "10011803".to_owned())]);

        let added = forced_entries(&ids[..1], MemberId(9), 5, 10);
        let context = hex(br#"{"id":9,"peerURLs":["http://localhost:2380"]}"#);
        assert_eq!(hex(&added[0].data), format!("10001809222d{context}"));
        assert_eq!((added[1].index, hex(&added[1].data)), (12, "10011801".to_owned()));
        assert_eq!(forced_entries(&[MemberId(2)], MemberId(2), 5, 10), []);
    }

    /// Recorded from etcd 3.7.1.
    #[test]
    fn conf_state_json_is_upstreams() {
        let state = ConfState { voters: vec![1, 1 << 63], ..ConfState::default() };
        let row = conf_state_row(&state);
        assert_eq!((row.bucket, &row.key[..]), ("meta", &b"confState"[..]));
        assert_eq!(row.value.unwrap(), r#"{"voters":[1,9223372036854775808],"auto_leave":false}"#);
        let joint = ConfState {
            voters: vec![1],
            learners: vec![2],
            voters_outgoing: vec![3],
            learners_next: vec![4],
            auto_leave: false,
        };
        assert_eq!(
            conf_state_row(&joint).value.unwrap(),
            r#"{"voters":[1],"learners":[2],"voters_outgoing":[3],"learners_next":[4],"auto_leave":false}"#
        );
    }
}
