//! Streams between two members of etcd, recorded on their way: 3.7.1, 3.6.14, 3.5.35. Puts and reads through the leader
//! and through the follower, then some seconds of silence. Members before 3.7 write zeros that 3.7 and we leave out.

use std::collections::BTreeSet;

use super::*;
use consensus::{Message, MessageKind};

struct Recording {
    /// Whether it is of a member that writes as we do.
    writes_alike: bool,
    follower: u64,
    leader: u64,
    msgapp: &'static [u8],
    of_leader: &'static [u8],
    of_follower: &'static [u8],
}

const RECORDINGS: [Recording; 3] = [
    Recording {
        writes_alike: true,
        follower: 0x789b1be9bf2d412d,
        leader: 0xe4217440b45e5cff,
        msgapp: include_bytes!("golden/3.7-msgapp-to-789b1be9bf2d412d-from-e4217440b45e5cff.bin"),
        of_leader: include_bytes!("golden/3.7-message-to-789b1be9bf2d412d-from-e4217440b45e5cff.bin"),
        of_follower: include_bytes!("golden/3.7-message-to-e4217440b45e5cff-from-789b1be9bf2d412d.bin"),
    },
    Recording {
        writes_alike: false,
        follower: 0x4847c01924ce19d7,
        leader: 0xdb21589b53a86cf5,
        msgapp: include_bytes!("golden/3.6-msgapp-to-4847c01924ce19d7-from-db21589b53a86cf5.bin"),
        of_leader: include_bytes!("golden/3.6-message-to-4847c01924ce19d7-from-db21589b53a86cf5.bin"),
        of_follower: include_bytes!("golden/3.6-message-to-db21589b53a86cf5-from-4847c01924ce19d7.bin"),
    },
    Recording {
        writes_alike: false,
        follower: 0xe040e9d72b83528e,
        leader: 0x310e14975fd74aed,
        msgapp: include_bytes!("golden/3.5-msgapp-to-e040e9d72b83528e-from-310e14975fd74aed.bin"),
        of_leader: include_bytes!("golden/3.5-message-to-e040e9d72b83528e-from-310e14975fd74aed.bin"),
        of_follower: include_bytes!("golden/3.5-message-to-310e14975fd74aed-from-e040e9d72b83528e.bin"),
    },
];

#[test]
fn etcds_appends_are_read_and_written_alike() {
    for Recording { writes_alike, follower, leader, msgapp, .. } in RECORDINGS {
        let mut decoder = MsgAppDecoder::new(follower, leader);
        let mut encoder = MsgAppEncoder::default();
        decoder.push(msgapp);
        let (mut start, mut last, mut types) = (0, 0, BTreeSet::new());
        let (mut read, mut again) = (Vec::new(), BytesMut::new());
        while let Some((decoded, _)) = decoder.next().unwrap() {
            let end = msgapp.len() - decoder.input.bytes.len();
            let theirs = &msgapp[start..end];
            start = end;
            types.insert(theirs[0]);
            read.push(decoded.clone());
            let mut ours = BytesMut::new();
            match decoded {
                Decoded::LinkHeartbeat => encoder.heartbeat(&mut ours),
                Decoded::Message(message) => {
                    assert_eq!((message.from, message.to), (leader, follower));
                    assert_eq!(message.kind, MessageKind::Append);
                    // What a frame leaves out is found again; some appends went elsewhere.
                    let indexes: Vec<u64> = message.entries.iter().map(|entry| entry.index).collect();
                    let expected: Vec<u64> = (message.index + 1..).take(indexes.len()).collect();
                    assert_eq!(indexes, expected);
                    assert!(message.entries.iter().all(|entry| entry.term <= message.term));
                    last = indexes.last().copied().unwrap_or(last).max(last);
                    encoder.encode(&message, &mut ours);
                }
                Decoded::Ignored { kind, .. } => panic!("kind {kind}"),
            }
            assert_eq!(ours[0], theirs[0]);
            // A whole message may have its fields in any order; all else has one form.
            if writes_alike && ours[0] != 2 {
                assert_eq!(ours, theirs);
            }
            again.extend_from_slice(&ours);
        }
        assert_eq!(start, msgapp.len());
        assert_eq!(types, BTreeSet::from([0, 1, 2]));
        assert!(last > 6, "{last}");
        // What we write in its place says the same.
        let mut decoder = MsgAppDecoder::new(follower, leader);
        decoder.push(&again);
        for expected in read {
            assert_eq!(decoder.next().unwrap().unwrap().0, expected);
        }
    }
}

fn messages(stream: &[u8]) -> Vec<Message> {
    let mut decoder = Framed::new(MESSAGE_BYTES_MAX);
    decoder.push(stream);
    let (mut all, mut beats) = (Vec::new(), 0);
    while let Some((decoded, _)) = decoder.next().unwrap() {
        match decoded {
            Decoded::Message(message) => all.push(message),
            Decoded::LinkHeartbeat => beats += 1,
            Decoded::Ignored { kind, .. } => panic!("kind {kind}"),
        }
    }
    assert!(decoder.input.bytes.is_empty() && beats > 0);
    all
}

#[test]
fn etcds_messages_are_read() {
    for Recording { follower, leader, of_leader, of_follower, .. } in RECORDINGS {
        let said = messages(of_leader);
        assert!(said.iter().all(|message| (message.from, message.to) == (leader, follower)));
        let kinds: BTreeSet<MessageKind> = said.iter().map(|message| message.kind).collect();
        assert!(
            kinds.contains(&MessageKind::Heartbeat) && kinds.contains(&MessageKind::ReadIndexResp),
            "{kinds:?}"
        );
        let said = messages(of_follower);
        assert!(said.iter().all(|message| (message.from, message.to) == (follower, leader)));
        let kinds: BTreeSet<MessageKind> = said.iter().map(|message| message.kind).collect();
        for kind in [
            MessageKind::HeartbeatResp,
            MessageKind::AppendResp,
            MessageKind::Propose,
            MessageKind::ReadIndex,
        ] {
            assert!(kinds.contains(&kind), "{kind} is not among {kinds:?}");
        }
        let proposed = said.iter().filter(|message| message.kind == MessageKind::Propose);
        assert!(proposed.flat_map(|message| &message.entries).all(|entry| !entry.data.is_empty()));
    }
}
