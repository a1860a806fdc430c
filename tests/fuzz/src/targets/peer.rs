//! What other members send.

use bytes::{BufMut, BytesMut};
use peer::fuzzing;
use prost::Message;
use proto::raftpb;

use crate::{Target, input::Input, twice};

/// An entry takes 64 bytes beside its data and may have four on the wire, and so may its place in a growing list; the
/// decoder charges [`MESSAGE_BYTES_MAX`](../../../crates/peer/src/wire.rs) with what entries take. What arrived and
/// what was made of it are there at once.
fn entries_memory(input: &[u8]) -> usize {
    100 * input.len() + (64 << 10)
}

pub(crate) const APPENDS: Target = Target {
    name: "peer-appends",
    what: "the stream of appends (msgappv2)",
    run: |input| in_steps(input, fuzzing::appends),
    seeds: append_seeds,
    memory: entries_memory,
    len_max: 16 << 10,
};

pub(crate) const MESSAGES: Target = Target {
    name: "peer-messages",
    what: "the stream of messages",
    run: |input| in_steps(input, fuzzing::messages),
    seeds: || messages().iter().map(|message| [&[255][..], &framed(message)].concat()).collect(),
    memory: entries_memory,
    len_max: 16 << 10,
};

pub(crate) const MESSAGE: Target = Target {
    name: "peer-message",
    what: "a posted message",
    run: |input| drop(fuzzing::message(input)),
    seeds: messages,
    memory: entries_memory,
    len_max: 16 << 10,
};

pub(crate) const ENVELOPE: Target = Target {
    name: "peer-snapshot",
    what: "the message in front of a snapshot's file",
    run: |input| {
        let _ = fuzzing::envelope(input);
    },
    seeds: || messages().iter().map(|message| [&framed(message)[..], b"file"].concat()).collect(),
    memory: entries_memory,
    len_max: 16 << 10,
};

pub(crate) const ANSWER: Target = Target {
    name: "peer-answer",
    what: "answers to questions (hashes, promotions, leases), and a member's headers",
    run: answer,
    seeds: answer_seeds,
    memory: answer_memory,
    len_max: 4 << 10,
};

pub(crate) const REPAIR_QUESTION: Target = Target {
    name: "peer-repair-question",
    what: "which entries a member asks for that has lost them",
    run: fuzzing::repair_question,
    seeds: || {
        let two = br#"{"entries":[{"index":7,"term":2},{"term":18446744073709551615,"index":8}]}"#;
        vec![two.to_vec(), br#"{"entries":[]}"#.to_vec()]
    },
    memory: twice,
    len_max: 16 << 10,
};

pub(crate) const REPAIR_ANSWER: Target = Target {
    name: "peer-repair-answer",
    what: "the entries that it is given",
    run: fuzzing::repair_answer,
    seeds: || vec![repair_answer_seed(), vec![0; 4000]],
    memory: entries_memory,
    len_max: 16 << 10,
};

/// JSON of two bytes is a value of 32 in `serde_json`; answers of members are bounded (1 MiB) before.
fn answer_memory(input: &[u8]) -> usize {
    100 * input.len() + twice(input)
}

fn in_steps(input: &[u8], run: fn(&[u8], usize)) {
    let mut input = Input(input);
    let step = usize::from(input.byte());
    run(input.0, step);
}

fn answer(input: &[u8]) {
    let mut input = Input(input);
    let status = [200, 400, 404, 412, 500][input.choice(5)];
    fuzzing::answer(status, input.0);
    let _ = proto::decode::<proto::etcdserverpb::LeaseKeepAliveResponse>(input.0.to_vec().into());
    let _ = proto::decode::<proto::leasepb::LeaseInternalResponse>(input.0.to_vec().into());
}

/// One message of each kind that travels.
pub(super) fn messages() -> Vec<Vec<u8>> {
    let entry = |index: u64, len: usize| raftpb::Entry {
        term: Some(2),
        index: Some(index),
        r#type: None,
        data: Some(vec![7; len].into()),
    };
    let conf = raftpb::ConfState { voters: vec![1, 2, 3], learners: vec![4], ..Default::default() };
    let metadata = raftpb::SnapshotMetadata { conf_state: Some(conf), index: Some(9), term: Some(2) };
    let snapshot = raftpb::Snapshot { data: Some("data".into()), metadata: Some(metadata) };
    (0..24)
        .map(|kind| raftpb::Message {
            r#type: Some(kind),
            to: Some(1),
            from: Some(2),
            term: Some(2),
            log_term: Some(2),
            index: Some(3),
            entries: if kind == 3 { vec![entry(4, 0), entry(5, 30)] } else { Vec::new() },
            commit: Some(3),
            snapshot: (kind == 7).then(|| snapshot.clone()),
            reject: Some(kind % 2 == 0),
            reject_hint: Some(1),
            context: (kind > 14).then(|| "ctx".into()),
            ..Default::default()
        })
        .map(|message| message.encode_to_vec())
        .collect()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u64).to_be_bytes()[..], message].concat()
}

fn append_seeds() -> Vec<Vec<u8>> {
    let whole = messages().swap_remove(3);
    let mut stream = BytesMut::new();
    stream.put_u8(255);
    stream.put_u8(0);
    stream.put_u8(2);
    stream.put_slice(&framed(&whole));
    stream.put_u8(1);
    stream.put_u64(2);
    for _ in 0..2 {
        stream.put_slice(&framed(&[0x10, 2, 0x18, 6, 0x22, 1, 9]));
    }
    stream.put_u64(5);
    // Ever so many entries of no bytes.
    let none = [&[255, 1][..], &u64::MAX.to_be_bytes(), &[0; 4000]].concat();
    vec![stream.to_vec(), none]
}

fn repair_answer_seed() -> Vec<u8> {
    let entry =
        |index| raftpb::Entry { term: Some(2), index: Some(index), r#type: None, data: Some("data".into()) };
    let mut frames = BytesMut::new();
    for entry in [entry(7), entry(8)] {
        let bytes = entry.encode_to_vec();
        frames.put_u32(bytes.len() as u32);
        frames.put_slice(&bytes);
    }
    frames.to_vec()
}

fn answer_seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 6] = [
        br#"[{"id":18446744073709551615,"peerURLs":["http://a:1"],"isLearner":true,"name":"m"}]"#,
        br#"{"header":{"revision":3},"hash":12,"compact_revision":1,"hash_revision":3}"#,
        b"mvcc: required revision has been compacted\n",
        b"x-server-version:3.7.1\nx-min-cluster-version:3.0.0\nx-etcd-cluster-id:cdf8",
        b"http://[::1]:2380",
        &[0x0a, 2, 8, 1, 0x10, 7, 0x18, 9],
    ];
    let mut seeds = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        seeds.push([&[0][..], text].concat());
        seeds.push([&[number as u8][..], text].concat());
    }
    seeds
}
