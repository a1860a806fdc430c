//! One test per rule of contract/semantics.md 5.

use bytes::Bytes;
use proto::etcdserverpb::{ResponseHeader, WatchResponse};

use super::world::{FACTS, INTERVAL, Read, World, delete, events, on, over, put};
use crate::{Create, Frame, HistoryChunk, HistoryQuery, JobId, Limits, Request, StreamId};

fn world() -> (World, StreamId) {
    let mut world = World::new(Limits::default());
    let stream = world.open(1);
    (world, stream)
}

/// A world in which nothing stays in memory, so that catching up reads history.
fn forgetful() -> (World, StreamId) {
    let mut world = World::new(Limits { recent_bytes_max: 0, prev_rows_inline_max: 0, ..Limits::default() });
    let stream = world.open(1);
    (world, stream)
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        cluster_id: FACTS.cluster_id.0,
        member_id: FACTS.member_id.0,
        revision,
        raft_term: FACTS.raft_term,
    })
}

fn created(watch_id: i64, revision: i64) -> WatchResponse {
    WatchResponse { header: header(revision), watch_id, created: true, ..WatchResponse::default() }
}

fn refused(revision: i64, reason: &str) -> WatchResponse {
    WatchResponse { canceled: true, cancel_reason: reason.to_owned(), ..created(-1, revision) }
}

fn canceled(watch_id: i64, revision: i64) -> WatchResponse {
    WatchResponse { header: header(revision), watch_id, canceled: true, ..WatchResponse::default() }
}

fn compacted(watch_id: i64, compact_revision: i64) -> WatchResponse {
    WatchResponse { compact_revision, ..canceled(watch_id, 0) }
}

fn progress(watch_id: i64, revision: i64) -> WatchResponse {
    WatchResponse { header: header(revision), watch_id, ..WatchResponse::default() }
}

/// (watch id, header revision, events) of replies with events only.
fn summary(replies: &[WatchResponse]) -> Vec<(i64, i64, String)> {
    let summary = |reply: &WatchResponse| {
        let plain = WatchResponse { events: reply.events.clone(), ..progress(reply.watch_id, 0) };
        let revision = reply.header.as_ref().unwrap().revision;
        assert_eq!(WatchResponse { header: header(0), ..reply.clone() }, plain, "nothing else is set");
        (reply.watch_id, revision, events(reply))
    };
    replies.iter().map(summary).collect()
}

fn row(id: i64, revision: i64, events: &str) -> (i64, i64, String) {
    (id, revision, events.to_owned())
}

#[test]
fn r5_1_created_comes_before_events() {
    let (mut world, stream) = world();
    world.write(&[put("a", "1")]);
    world.create(stream, Create { start_revision: 2, ..on("a") });
    world.write(&[put("a", "2")]);
    let replies = world.drain(stream);
    assert_eq!(replies[0], created(0, 2));
    assert_eq!(summary(&replies[1..]), [row(0, 3, "a@2 a@3")]);
}

#[test]
fn r5_2_ids_are_picked_from_0_and_skip_those_in_use() {
    let (mut world, stream) = world();
    for watch_id in [1, 0, 0, 3, 0, -4] {
        world.create(stream, Create { watch_id, ..on("a") });
    }
    let ids: Vec<i64> = world.drain(stream).iter().map(|reply| reply.watch_id).collect();
    assert_eq!(ids, [1, 0, 2, 3, 4, -4]);
    world.create(stream, Create { watch_id: 3, ..on("b") });
    assert_eq!(world.drain(stream), [refused(1, "mvcc: duplicate watch ID provided on the WatchStream")]);
    world.cancel(stream, 2);
    world.create(stream, on("a"));
    let replies = world.drain(stream);
    assert_eq!(replies, [canceled(2, 1), created(5, 1)], "the counter does not go back");
    let other = world.open(2);
    world.create(other, on("a"));
    assert_eq!(world.drain(other), [created(0, 1)], "each stream counts for itself");
}

#[test]
fn r5_4_start_revisions() {
    let (mut world, stream) = world();
    for value in ["1", "2", "3"] {
        world.write(&[put("a", value)]);
    }
    for start_revision in [0, 1, 3, 4, 5, 6, -1] {
        world.create(stream, Create { start_revision, watch_id: 10 + start_revision, ..on("a") });
    }
    let replies = world.drain(stream);
    let text = "etcdserver: mvcc: required revision has been compacted";
    assert_eq!(replies[..6], [10, 11, 13, 14, 15, 16].map(|id| created(id, 4)));
    assert_eq!(replies[6], refused(4, text));
    let mut rows = summary(&replies[7..]);
    rows.sort();
    assert_eq!(rows, [row(11, 4, "a@2 a@3 a@4"), row(13, 4, "a@3 a@4"), row(14, 4, "a@4")]);
    world.write(&[put("a", "4")]);
    world.write(&[put("a", "5")]);
    let mut rows = summary(&world.drain(stream));
    rows.sort();
    let mut expected: Vec<_> = [10, 11, 13, 14, 15].map(|id| row(id, 5, "a@5")).into();
    expected.extend([10, 11, 13, 14, 15, 16].map(|id| row(id, 6, "a@6")));
    expected.sort();
    assert_eq!(rows, expected);
}

#[test]
fn r5_5_compacted_starts_keep_their_id_until_cancelled() {
    let (mut world, stream) = world();
    for value in ["1", "2", "3"] {
        world.write(&[put("a", value)]);
    }
    world.compact(3);
    let create = |start_revision| Create { start_revision, watch_id: 8, ..on("a") };
    world.create(stream, create(2));
    assert_eq!(world.drain(stream), [created(8, 4), compacted(8, 3)]);
    world.create(stream, create(0));
    assert_eq!(world.drain(stream), [refused(4, "mvcc: duplicate watch ID provided on the WatchStream")]);
    world.write(&[put("a", "4")]);
    world.ask(stream, Request::Progress);
    assert_eq!(world.drain(stream), [], "it gets nothing, and blocks progress replies");
    world.cancel(stream, 8);
    world.create(stream, create(3));
    let replies = world.drain(stream);
    assert_eq!(replies[..2], [canceled(8, 5), created(8, 5)]);
    assert_eq!(summary(&replies[2..]), [row(8, 5, "a@3 a@4 a@5")], "from the compacted revision itself");
}

#[test]
fn r5_5_a_slow_watcher_overtaken_by_compaction_is_told() {
    for (compact, lost) in [(2, false), (3, true)] {
        let mut world = World::new(Limits { stream_bytes_max: 1, ..Limits::default() });
        let stream = world.open(1);
        world.create(stream, on("a"));
        for value in ["1", "2", "3"] {
            world.write(&[put("a", value)]);
        }
        world.compact(compact);
        let replies = world.drain(stream);
        assert_eq!(replies[0], created(0, 1), "which fills the stream already");
        if lost {
            assert_eq!(replies[1..], [compacted(0, compact)]);
        } else {
            assert_eq!(summary(&replies[1..]), [row(0, 4, "a@2 a@3 a@4")]);
        }
    }
}

#[test]
fn r5_6_ranges() {
    let (mut world, stream) = world();
    world.create(stream, on(""));
    world.create(stream, over("", "b"));
    world.create(stream, over("b", "\0"));
    world.create(stream, over("\0", "\0"));
    world.create(stream, over("a", "b"));
    world.create(stream, over("b", "a"));
    world.create(stream, over("b", "b"));
    let replies = world.drain(stream);
    assert_eq!(replies[..5], [0, 1, 2, 3, 4].map(|id| created(id, 1)));
    assert_eq!(replies[5..], [(); 2].map(|()| refused(1, "mvcc: watcher range is empty")));
    world.write(&[put("a", "1"), put("b", "1"), put("z", "1")]);
    let mut rows = summary(&world.drain(stream));
    rows.sort();
    let expected = [row(1, 2, "a@2"), row(2, 2, "b@2 z@2"), row(3, 2, "a@2 b@2 z@2"), row(4, 2, "a@2")];
    assert_eq!(rows, expected, "an empty key is the key of one zero byte");
}

#[test]
fn r5_7_synced_watchers_get_one_revision_per_reply() {
    let (mut world, stream) = world();
    world.create(stream, over("a", "c"));
    world.write(&[put("a", "1"), put("x", "1"), put("b", "1")]);
    world.write(&[put("x", "2")]);
    world.write(&[delete("b"), put("b", "2"), delete("a")]);
    let expected = [row(0, 2, "a@2 b@2"), row(0, 4, "-b@4 b@4 -a@4")];
    assert_eq!(summary(&world.drain(stream)[1..]), expected);
}

#[test]
fn r5_7_catching_up_gets_up_to_1000_revisions_per_reply() {
    for (mut world, stream) in [world(), forgetful()] {
        for _ in 0..2500 {
            world.write(&[put("a", "1")]);
        }
        world.create(stream, Create { start_revision: 1, ..on("a") });
        let replies = world.drain(stream);
        let counts: Vec<usize> = replies[1..].iter().map(|reply| reply.events.len()).collect();
        assert_eq!(counts, [1000, 1000, 500]);
        assert!(replies[1..].iter().all(|reply| reply.header == header(2501)), "the store's revision");
        world.write(&[put("a", "2")]);
        assert_eq!(summary(&world.drain(stream)), [row(0, 2502, "a@2502")]);
    }
}

#[test]
fn r5_9_filters_drop_events_and_empty_replies() {
    for catch_up in [false, true] {
        let (mut world, stream) = world();
        let start_revision = if catch_up { 2 } else { 0 };
        let create = |watch_id, no_put, no_delete| Create {
            watch_id,
            no_put,
            no_delete,
            start_revision,
            ..over("a", "z")
        };
        let creates = [create(1, true, false), create(2, false, true), create(3, true, true)];
        if !catch_up {
            creates.iter().for_each(|create| world.create(stream, create.clone()));
        }
        world.write(&[put("a", "1"), put("b", "1"), put("c", "1")]);
        world.write(&[put("a", "2"), delete("b"), put("c", "2")]);
        world.write(&[delete("a")]);
        if catch_up {
            creates.iter().for_each(|create| world.create(stream, create.clone()));
        }
        let mut rows = summary(&world.drain(stream)[3..]);
        rows.sort();
        let expected = if catch_up {
            vec![row(1, 4, "-b@3 -a@4"), row(2, 4, "a@2 b@2 c@2 a@3 c@3")]
        } else {
            vec![row(1, 3, "-b@3"), row(1, 4, "-a@4"), row(2, 2, "a@2 b@2 c@2"), row(2, 3, "a@3 c@3")]
        };
        assert_eq!(rows, expected);
        world.ask(stream, Request::Progress);
        assert_eq!(world.drain(stream), [progress(-1, 4)], "filtered events count as delivered");
    }
}

#[test]
fn r5_10_previous_pairs_come_from_before_the_revision() {
    let create = Create { prev_kv: true, start_revision: 2, ..over("a", "z") };
    for (mut world, stream) in [world(), forgetful()] {
        for synced in [true, false] {
            if synced {
                world.create(stream, create.clone());
            }
        }
        world.write(&[put("a", "1")]);
        world.write(&[put("a", "2"), put("b", "1"), delete("b")]);
        world.write(&[delete("a"), put("a", "3")]);
        world.write(&[delete("a")]);
        world.settle();
        let synced = world.drain(stream);
        world.create(stream, create.clone());
        let caught_up = world.drain(stream);
        for replies in [&synced[1..], &caught_up[1..]] {
            let got: Vec<(String, String)> = replies
                .iter()
                .flat_map(|reply| &reply.events)
                .map(|event| {
                    let value = |kv: &proto::mvccpb::KeyValue| String::from_utf8(kv.value.to_vec()).unwrap();
                    let kv = event.kv.as_ref().unwrap();
                    if event.r#type == 1 {
                        assert_eq!((kv.create_revision, kv.version, kv.value.len()), (0, 0, 0));
                    }
                    (value(kv), event.prev_kv.as_ref().map_or("-".to_owned(), value))
                })
                .collect();
            let expected = [("1", "-"), ("2", "1"), ("1", "-"), ("", "-"), ("", "2"), ("3", "-"), ("", "3")];
            assert_eq!(got, expected.map(|(value, prev)| (value.to_owned(), prev.to_owned())));
        }
    }
}

#[test]
fn r5_10_compacted_previous_pairs_are_absent() {
    let (mut world, stream) = forgetful();
    for value in ["1", "2", "3"] {
        world.write(&[put("a", value)]);
    }
    world.compact(3);
    world.create(stream, Create { prev_kv: true, start_revision: 3, ..on("a") });
    let replies = world.drain(stream);
    let prevs: Vec<bool> =
        replies[1..].iter().flat_map(|reply| &reply.events).map(|event| event.prev_kv.is_some()).collect();
    assert_eq!(prevs, [false, true], "revision 2 cannot be read any more, 3 can");
}

#[test]
fn r5_11_large_replies_are_cut_only_when_asked() {
    let mut world = World::new(Limits { fragment_bytes: 120, ..Limits::default() });
    let stream = world.open(1);
    world.create(stream, Create { fragment: true, ..over("a", "z") });
    world.create(stream, over("a", "z"));
    let value = "v".repeat(40);
    world.write(&[put("a", &value), put("b", &value), put("c", &value)]);
    world.write(&[put("d", &value.repeat(9))]);
    let replies = world.drain(stream);
    let rows: Vec<_> =
        replies[2..].iter().map(|reply| (reply.watch_id, reply.fragment, events(reply))).collect();
    let part = |fragment, events: &str| (0, fragment, events.to_owned());
    assert_eq!(rows[..3], [part(true, "a@2"), part(true, "b@2"), part(false, "c@2")]);
    assert_eq!(rows[3], (1, false, "a@2 b@2 c@2".to_owned()));
    assert_eq!(rows[4], part(false, "d@3"), "a single event is never cut");
    assert!(replies[2..6].iter().all(|reply| reply.header == header(2)));
}

#[test]
fn r5_12_quiet_watchers_hear_of_progress() {
    let (mut world, stream) = world();
    let create = |watch_id, progress_notify| Create { watch_id, progress_notify, ..on("a") };
    world.create(stream, create(1, true));
    world.create(stream, create(2, false));
    world.create(stream, Create { start_revision: 4, ..create(3, true) });
    world.drain(stream);
    world.advance(INTERVAL);
    assert_eq!(world.drain(stream), [progress(1, 1)], "who waits for the future hears nothing");
    world.write(&[put("a", "1")]);
    world.write(&[put("b", "1")]);
    world.drain(stream);
    world.advance(INTERVAL);
    assert_eq!(world.drain(stream), [], "an event since the last tick takes its place");
    world.write(&[put("b", "2")]);
    world.advance(INTERVAL * 3);
    assert_eq!(
        world.drain(stream),
        [progress(1, 4), progress(3, 4)],
        "ticks that were missed are not made up for"
    );
    assert_eq!(world.hub.next_tick(), Some(world.now + INTERVAL));
}

#[test]
fn r5_13_progress_is_answered_only_when_all_are_synced() {
    let (mut world, stream) = forgetful();
    world.ask(stream, Request::Progress);
    assert_eq!(world.drain(stream), [], "nothing without watchers");
    world.write(&[put("a", "1")]);
    world.create(stream, on("b"));
    world.ask(stream, Request::Progress);
    assert_eq!(world.drain(stream), [created(0, 2), progress(-1, 2)]);
    world.create(stream, Create { start_revision: 2, ..on("a") });
    world.ask(stream, Request::Progress);
    let replies = world.drain(stream);
    assert_eq!(replies[0], created(1, 2));
    assert_eq!(summary(&replies[1..]), [row(1, 2, "a@2")], "dropped while one catches up");
    world.ask(stream, Request::Progress);
    assert_eq!(world.drain(stream), [progress(-1, 2)]);
    world.create(stream, Create { start_revision: 3, watch_id: 9, ..on("a") });
    world.ask(stream, Request::Progress);
    assert_eq!(world.drain(stream), [created(9, 2)], "a start in the future blocks it");
    world.write(&[put("b", "1")]);
    world.drain(stream);
    world.ask(stream, Request::Progress);
    assert_eq!(world.drain(stream), [progress(-1, 3)]);
}

#[test]
fn r5_13_progress_stays_behind_the_events_it_vouches_for() {
    let (mut world, stream) = world();
    world.create(stream, on("a"));
    world.write(&[put("a", "1")]);
    world.ask(stream, Request::Progress);
    world.write(&[put("a", "2")]);
    let order: Vec<_> = world.drain(stream)[1..].iter().map(|r| (r.watch_id, events(r))).collect();
    assert_eq!(order, [(0, "a@2".to_owned()), (-1, String::new()), (0, "a@3".to_owned())]);
}

#[test]
fn r5_14_cancel_is_confirmed_once() {
    let (mut world, stream) = world();
    world.create(stream, on("a"));
    world.write(&[put("a", "1")]);
    world.cancel(stream, 0);
    world.cancel(stream, 0);
    world.cancel(stream, 7);
    world.write(&[put("a", "2")]);
    let replies = world.drain(stream);
    assert_eq!((replies.len(), &replies[2]), (3, &canceled(0, 2)));
}

#[test]
fn r5_15_refusals_show_the_callers_text() {
    let (mut world, stream) = world();
    let text = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    world.hub.request(stream, Request::Create(on("a")), Err(text));
    world.hub.request(stream, Request::Create(over("b", "a")), Err(text));
    let negative = Create { start_revision: -1, ..on("a") };
    world.hub.request(stream, Request::Create(negative), Err(text));
    world.write(&[put("a", "1")]);
    let negative = refused(1, "etcdserver: mvcc: required revision has been compacted");
    assert_eq!(world.drain(stream), [refused(1, text), refused(1, text), negative]);
}

#[test]
fn r5_18_a_full_stream_loses_nothing_and_holds_up_nobody() {
    let mut world = World::new(Limits { stream_bytes_max: 1000, recent_bytes_max: 0, ..Limits::default() });
    let (slow, fast) = (world.open(1), world.open(2));
    world.create(slow, on("a"));
    world.create(fast, on("a"));
    world.drain(fast);
    let value = "v".repeat(100);
    for revision in 2..100 {
        world.write(&[put("a", &value)]);
        world.settle();
        assert_eq!(summary(&world.drain(fast)), [row(0, revision, &format!("a@{revision}"))]);
        let stats = world.hub.stats();
        assert!(stats.bytes_queued < 1000 + 300, "{stats:?}");
    }
    assert_eq!(world.hub.stats().lagging, 1);
    let replies = world.drain(slow);
    let seen: Vec<i64> = replies
        .iter()
        .flat_map(|reply| &reply.events)
        .map(|event| event.kv.as_ref().unwrap().mod_revision)
        .collect();
    assert_eq!(seen, (2..100).collect::<Vec<_>>());
    assert_eq!((world.hub.stats().lagging, world.hub.stats().bytes_queued), (0, 0));
}

#[test]
fn r5_19_a_snapshot_install_resumes_every_watcher() {
    let (mut world, stream) = world();
    world.create(stream, on("a"));
    world.create(stream, Create { start_revision: 5, ..on("a") });
    world.create(stream, Create { start_revision: 9, ..on("a") });
    world.write(&[put("a", "1")]);
    world.drain(stream);
    for value in ["2", "3", "4"] {
        world.store.write(&[put("a", value)]);
    }
    world.hub.reset(world.store.head, -1);
    let replies = world.drain(stream);
    assert_eq!(summary(&replies), [row(0, 5, "a@3 a@4 a@5"), row(1, 5, "a@5")]);
    world.write(&[put("a", "5")]);
    let mut rows = summary(&world.drain(stream));
    rows.sort();
    assert_eq!(rows, [row(0, 6, "a@6"), row(1, 6, "a@6")], "the third still waits");
}

#[test]
fn r5_19_a_snapshot_beyond_what_a_watcher_lacks_ends_it() {
    for (compact, ends) in [(3, false), (4, true)] {
        let (mut world, stream) = world();
        world.create(stream, on("a"));
        world.write(&[put("a", "1")]);
        world.drain(stream);
        for value in ["2", "3", "4"] {
            world.store.write(&[put("a", value)]);
        }
        world.store.compacted = compact;
        world.hub.reset(world.store.head, compact);
        let replies = world.drain(stream);
        if ends {
            assert_eq!(replies, [compacted(0, compact)]);
        } else {
            assert_eq!(summary(&replies), [row(0, 5, "a@3 a@4 a@5")]);
        }
    }
}

#[test]
fn the_server_can_end_a_watcher_with_a_reason() {
    let (mut world, stream) = world();
    world.create(stream, on("a"));
    assert_eq!(world.hub.watchers().count(), 1);
    world.hub.end_watcher(stream, 0, "permission was revoked");
    world.hub.end_watcher(stream, 0, "permission was revoked");
    let replies = world.drain(stream);
    assert_eq!(replies.len(), 2);
    assert_eq!(
        replies[1],
        WatchResponse { cancel_reason: "permission was revoked".into(), ..canceled(0, 1) }
    );
    assert_eq!(world.hub.watchers().count(), 0);
}

#[test]
fn one_scan_serves_watchers_at_similar_places() {
    let (mut world, stream) = forgetful();
    for _ in 0..500 {
        world.write(&[put("a", "1")]);
    }
    for start_revision in 100..200 {
        world.create(stream, Create { start_revision, ..on("a") });
    }
    world.catch_up();
    world.finish_read();
    world.catch_up();
    assert!(world.read.is_none(), "nobody needs a second read");
    assert_eq!(world.hub.stats().lagging, 0);
}

#[test]
fn equal_watchers_share_the_bytes_of_events() {
    let (mut world, stream) = world();
    for watch_id in 1..=3 {
        world.create(stream, Create { watch_id, ..on("a") });
    }
    world.create(stream, Create { watch_id: 4, ..over("a", "b") });
    world.drain(stream);
    world.write(&[put("a", "1")]);
    let bodies: Vec<Bytes> = world.wires[&stream].iter().map(|frame: &Frame| frame.body().clone()).collect();
    assert_eq!(bodies.len(), 4);
    assert!(bodies.iter().all(|body| body.as_ptr() == bodies[0].as_ptr()), "also across ranges");
}

#[test]
fn memory_that_all_streams_share_is_bounded() {
    let limits = Limits {
        stream_bytes_max: 10_000,
        stream_bytes_floor: 400,
        queued_bytes_max: 20_000,
        recent_bytes_max: 0,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    let streams: Vec<StreamId> = (0..50).map(|number| world.open(number)).collect();
    for stream in &streams {
        world.create(*stream, on("a"));
    }
    let value = "v".repeat(100);
    for _ in 0..200 {
        world.write(&[put("a", &value)]);
        world.settle();
    }
    let stats = world.hub.stats();
    assert!(stats.bytes_queued <= 20_000 + 50 * (400 + 300), "{stats:?}");
    for stream in streams {
        let count: usize = world.drain(stream).iter().map(|reply| reply.events.len()).sum();
        assert_eq!(count, 200);
    }
}

#[test]
fn answers_to_forgotten_reads_are_ignored() {
    let (mut world, stream) = forgetful();
    world.write(&[put("a", "1")]);
    world.create(stream, Create { start_revision: 2, ..on("a") });
    world.catch_up();
    let Some(Read::History(query, _)) = world.read.take() else { panic!("a read of history") };
    world.hub.read_refused(query.job);
    world.hub.history_read(query.job, world.store.read(&query).unwrap(), &world.store);
    assert_eq!(world.hub.stats().lagging, 1, "the answer came too late");
    assert_eq!(summary(&world.drain(stream)[1..]), [row(0, 2, "a@2")], "it is read again");
}

#[test]
fn history_that_cannot_be_right_is_refused() {
    let (mut world, _) = forgetful();
    for value in ["1", "2", "3"] {
        world.write(&[put("a", value)]);
    }
    let query = HistoryQuery { job: JobId(1), from: 2, to: 3, bytes_max: 1 << 20, rows_max: 100 };
    let (rows, covered_to) = world.store.read_rows(&query);
    let refused = |change: &dyn Fn(&mut Vec<mvcc::HistoryRow>), covered_to| {
        let mut rows = rows.clone();
        change(&mut rows);
        HistoryChunk::new(&query, &rows, covered_to).is_err()
    };
    assert!(!refused(&|_| {}, covered_to));
    assert!(refused(&|rows| rows[0].row = Bytes::from_static(b"\xff"), covered_to), "no key-value pair");
    assert!(refused(&|rows| rows.swap(0, 1), covered_to), "out of order");
    assert!(refused(&|rows| rows[1].revision = rows[0].revision, covered_to), "twice");
    assert!(refused(&|_| {}, 2), "rows beyond what is covered");
    assert!(refused(&|_| {}, 4) && refused(&|_| {}, 1), "another slice than asked for");
}

#[test]
fn the_hub_can_move_to_the_core_thread() {
    fn sendable<T: Send>() {}
    sendable::<crate::Hub>();
    sendable::<crate::Effect>();
    sendable::<HistoryChunk>();
}
