//! What an entry costs a node, with three nodes in one process and no disk.
//!
//! Ignored, because it only measures: `cargo test -p consensus --test throughput -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use consensus::{Config, Level, LogStore, MemLog, Message, RawNode};
use types::raft::{ConfState, HardState, Snapshot, SnapshotMeta};

const MEMBERS: u64 = 3;
const BATCH: usize = 256;
const ROUNDS: usize = 2000;

fn node(id: u64) -> RawNode<MemLog> {
    let conf_state = ConfState { voters: (1..=MEMBERS).collect(), ..ConfState::default() };
    let meta = SnapshotMeta { index: 1, term: 1, conf_state };
    let log = MemLog::restore(HardState::default(), Snapshot { meta, data: Bytes::new() }, vec![]).unwrap();
    RawNode::new(Config { applied: 1, log_level: Level::Off, ..Config::new(id) }, log).unwrap()
}

/// Lets all nodes work until nothing is left; how many entries the first one applied.
fn settle(nodes: &mut [RawNode<MemLog>]) -> usize {
    let mut applied = 0;
    let mut network: Vec<Message> = Vec::new();
    loop {
        for node in nodes.iter_mut() {
            while node.has_ready() {
                let ready = node.ready();
                network.extend(ready.messages);
                if let Some(work) = ready.append {
                    node.store_mut().append(work.entries).unwrap();
                    network.extend(node.persisted(work.responses, work.ack));
                }
                if let Some(work) = ready.apply {
                    applied += if node.id() == 1 { work.entries.len() } else { 0 };
                    work.ack.iter().for_each(|ack| node.applied(ack));
                }
            }
        }
        if network.is_empty() {
            return applied;
        }
        for message in network.drain(..) {
            nodes[message.to as usize - 1].step(message).unwrap();
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn entries_per_second() {
    let mut nodes: Vec<_> = (1..=MEMBERS).map(node).collect();
    nodes[0].campaign().unwrap();
    settle(&mut nodes);
    let mut buffer = BytesMut::new();
    let (mut applied, mut spent) = (0, std::time::Duration::ZERO);
    for round in 0..ROUNDS {
        buffer.extend_from_slice(&vec![7; 256 * BATCH]);
        let batch: Vec<Bytes> = (0..BATCH).map(|_| buffer.split_to(256).freeze()).collect();
        let begin = Instant::now();
        nodes[0].propose_batch(batch).unwrap();
        applied += settle(&mut nodes);
        if round % 16 == 15 {
            for node in &mut nodes {
                let last = node.store().last_index();
                node.store_mut().compact(last).unwrap();
            }
        }
        spent += begin.elapsed();
    }
    assert_eq!(applied, ROUNDS * BATCH);
    let nanos = spent.as_nanos() as f64 / applied as f64;
    println!("{applied} entries, {nanos:.0} ns each, {:.0} ns per node", nanos / MEMBERS as f64);
}
