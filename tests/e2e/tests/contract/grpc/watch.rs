//! Watch.

use e2e::server::Server;
use proto::etcdserverpb::{self as pb, WatchCreateRequest, watch_create_request::FilterType};

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    events_in_order => "grpc" ["etcdserverpb.Watch/Watch"];
    history_is_replayed => "grpc" ["etcdserverpb.Watch/Watch"];
    a_future_start_waits => "grpc" ["etcdserverpb.Watch/Watch"];
    ids_and_cancels => "grpc" ["etcdserverpb.Watch/Watch"];
    compacted_starts_are_canceled => "grpc" ["etcdserverpb.Watch/Watch"];
    filters_and_previous_pairs => "grpc" ["etcdserverpb.Watch/Watch"];
    progress_on_request => "grpc" ["etcdserverpb.Watch/Watch"];
    progress_by_interval => "grpc" ["etcdserverpb.Watch/Watch"];
    fragments => "grpc" ["etcdserverpb.Watch/Watch"];
    fragments_by_flag => "grpc" [];
    half_close_keeps_events_flowing => "grpc" ["etcdserverpb.Watch/Watch"];
}

/// 5.1, 5.2, 5.3, 5.7.
fn events_in_order() {
    let server = Server::start(&[]);
    let client = server.client();
    let mut stream = watch(&client);
    let created = create_ok(&mut stream, WatchCreateRequest { range_end: after("k"), ..create("k") });
    assert_eq!((created.watch_id, revision(&created.header), created.events.len()), (0, 1, 0));
    put_ok(&client, "k1", "1");
    client.ok(txn(vec![put_op("k2", "2"), put_op("k3", "3"), put_op("other", "")]));
    client.ok(delete("k1"));
    let first = stream.message();
    assert_eq!((events(&first), revision(&first.header)), (vec!["PUT k1=1@2".to_owned()], 2));
    let second = stream.message();
    assert_eq!(
        (events(&second), revision(&second.header)),
        (vec!["PUT k2=2@3".into(), "PUT k3=3@3".to_owned()], 3)
    );
    let third = stream.message();
    assert_eq!((events(&third), revision(&third.header)), (vec!["DELETE k1@4".to_owned()], 4));
    let tombstone = third.events[0].kv.as_ref().unwrap();
    assert_eq!((tombstone.version, tombstone.create_revision, tombstone.value.len()), (0, 0, 0));
    assert!(third.events[0].prev_kv.is_none());
}

/// 5.4, 5.7.
fn history_is_replayed() {
    let server = Server::start(&[]);
    let client = server.client();
    for n in 2..=6 {
        put_ok(&client, "k", &n.to_string());
    }
    let mut stream = watch(&client);
    let created = create_ok(&mut stream, WatchCreateRequest { start_revision: 4, ..create("k") });
    assert_eq!(revision(&created.header), 6);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let reply = stream.message();
        assert_eq!(reply.watch_id, 0);
        seen.extend(events(&reply));
    }
    assert_eq!(seen, ["PUT k=4@4", "PUT k=5@5", "PUT k=6@6"]);
    put_ok(&client, "k", "7");
    assert_eq!(events(&stream.message()), ["PUT k=7@7"], "and goes on with what comes");
}

/// 5.4.
fn a_future_start_waits() {
    let server = Server::start(&[]);
    let client = server.client();
    let mut stream = watch(&client);
    create_ok(&mut stream, WatchCreateRequest { start_revision: 4, ..create("k") });
    for value in ["2", "3", "4"] {
        put_ok(&client, "k", value);
    }
    assert_eq!(events(&stream.message()), ["PUT k=4@4"]);
}

/// 5.2, 5.8, 5.14, 5.17.
fn ids_and_cancels() {
    let server = Server::shared();
    let client = server.client();
    let mut stream = watch(&client);
    assert_eq!(create_ok(&mut stream, WatchCreateRequest { watch_id: 1, ..create("ids/a") }).watch_id, 1);
    assert_eq!(create_ok(&mut stream, create("ids/a")).watch_id, 0);
    assert_eq!(create_ok(&mut stream, create("ids/a")).watch_id, 2, "1 is in use");
    assert_eq!(create_ok(&mut stream, WatchCreateRequest { watch_id: -5, ..create("ids/a") }).watch_id, -5);
    put_ok(&client, "ids/a", "v");
    let mut ids: Vec<i64> = (0..4).map(|_| stream.message().watch_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [-5, 0, 1, 2], "each watcher gets the event");
    stream.send(&cancel_request(1));
    let canceled = stream.message();
    assert_eq!((canceled.watch_id, canceled.canceled, canceled.created), (1, true, false));
    assert_eq!((canceled.cancel_reason.as_str(), canceled.compact_revision), ("", 0));
    // An unknown id and a request without content get no reply: the next one belongs to the create.
    stream.send(&cancel_request(77));
    stream.send(&pb::WatchRequest::default());
    assert_eq!(create_ok(&mut stream, WatchCreateRequest { watch_id: 1, ..create("ids/b") }).watch_id, 1);
}

/// 5.5.
fn compacted_starts_are_canceled() {
    let server = Server::start(&[]);
    let client = server.client();
    for value in ["2", "3", "4"] {
        put_ok(&client, "k", value);
    }
    client.ok(compact(3));
    let mut stream = watch(&client);
    create_ok(&mut stream, WatchCreateRequest { start_revision: 2, ..create("k") });
    let canceled = stream.message();
    assert_eq!((canceled.canceled, canceled.compact_revision, canceled.watch_id), (true, 3, 0));
    assert_eq!((canceled.cancel_reason.as_str(), canceled.events.len()), ("", 0));
    assert_eq!(revision(&canceled.header), 0);
    // The id is taken until the client cancels it.
    stream.send(&create_request(WatchCreateRequest { watch_id: 0, start_revision: 3, ..create("k") }));
    let next = stream.message();
    assert_eq!((next.created, next.canceled, next.watch_id), (true, false, 1), "0 is not free: {next:?}");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(events(&stream.message()));
    }
    assert_eq!(seen, ["PUT k=3@3", "PUT k=4@4"], "the compacted revision itself is there");
    stream.send(&cancel_request(0));
    let canceled = stream.message();
    assert_eq!((canceled.watch_id, canceled.canceled, canceled.compact_revision), (0, true, 0));
}

/// 5.9, 5.10.
fn filters_and_previous_pairs() {
    let server = Server::start(&[]);
    let client = server.client();
    let mut stream = watch(&client);
    let filters = |filter: FilterType| WatchCreateRequest { filters: vec![filter as i32], ..create("k") };
    create_ok(&mut stream, WatchCreateRequest { watch_id: 10, ..filters(FilterType::Noput) });
    create_ok(
        &mut stream,
        WatchCreateRequest { watch_id: 11, prev_kv: true, ..filters(FilterType::Nodelete) },
    );
    put_ok(&client, "k", "1");
    put_ok(&client, "k", "2");
    client.ok(delete("k"));
    put_ok(&client, "k", "3");
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let reply = stream.message();
        let previous =
            reply.events[0].prev_kv.as_ref().map(|kv| String::from_utf8_lossy(&kv.value).into_owned());
        seen.push((reply.watch_id, events(&reply).join(" "), previous));
    }
    let of = |id| {
        seen.iter().filter(|(i, ..)| *i == id).map(|(_, e, p)| (e.as_str(), p.as_deref())).collect::<Vec<_>>()
    };
    assert_eq!(of(10), [("DELETE k@4", None)]);
    assert_eq!(of(11), [("PUT k=1@2", None), ("PUT k=2@3", Some("1")), ("PUT k=3@5", None)]);
}

/// 5.13.
fn progress_on_request() {
    let server = Server::start(&[]);
    let client = server.client();
    let mut stream = watch(&client);
    // Without watchers there is no answer: the first reply is that of the create.
    stream.send(&progress_request());
    create_ok(&mut stream, create("k"));
    put_ok(&client, "other", "");
    stream.send(&progress_request());
    let progress = stream.message();
    assert_eq!((progress.watch_id, revision(&progress.header), progress.events.len()), (-1, 2, 0));
    assert!(!progress.created && !progress.canceled);
    // A watcher of the future holds it back.
    create_ok(&mut stream, WatchCreateRequest { start_revision: 100, ..create("k") });
    stream.send(&progress_request());
    stream.send(&cancel_request(1));
    assert_eq!((stream.message().watch_id, stream.message_after(&client)), (1, "PUT k=end@3".to_owned()));
}

trait MessageAfter {
    fn message_after(&mut self, client: &e2e::client::Client) -> String;
}

impl MessageAfter for WatchStream {
    /// What comes next once something is put: nothing else was on its way.
    fn message_after(&mut self, client: &e2e::client::Client) -> String {
        put_ok(client, "k", "end");
        events(&self.message()).join(" ")
    }
}

/// 5.12.
fn progress_by_interval() {
    let server = Server::start(&["--watch-progress-notify-interval=100ms"]);
    let client = server.client();
    let mut stream = watch(&client);
    create_ok(&mut stream, WatchCreateRequest { progress_notify: true, watch_id: 7, ..create("k") });
    create_ok(&mut stream, create("k"));
    put_ok(&client, "other", "");
    let mut progress = stream.message();
    if revision(&progress.header) == 1 {
        progress = stream.message();
    }
    assert_eq!((progress.watch_id, revision(&progress.header), progress.events.len()), (7, 2, 0));
}

/// 5.11: a reply of max-request-bytes + 512 KiB or more is cut when asked for. One revision gets that large when many
/// values are deleted at once, and come as previous pairs.
fn fragments() {
    assert_cut(&[], 1_572_864, 45);
}

/// The bound follows the flag.
fn fragments_by_flag() {
    assert_cut(&["--max-request-bytes=65536"], 65536, 20);
}

fn assert_cut(flags: &[&str], request_bytes_max: usize, keys: usize) {
    let server = Server::start(flags);
    let client = server.client();
    let value = "x".repeat(50_000);
    for n in 0..keys {
        put_ok(&client, &format!("f/{n:02}"), &value);
    }
    let watchers = [(1, false), (2, true)].map(|(watch_id, fragment)| {
        let mut stream = watch(&client);
        let range = WatchCreateRequest { range_end: after("f/"), prev_kv: true, ..create("f/") };
        create_ok(&mut stream, WatchCreateRequest { watch_id, fragment, ..range });
        stream
    });
    client.ok(pb::DeleteRangeRequest { range_end: after("f/"), ..delete("f/") });
    let [whole, parts] = watchers.map(|mut stream| {
        let mut replies = vec![stream.message()];
        while replies.last().is_some_and(|reply| reply.fragment) {
            replies.push(stream.message());
        }
        replies
    });
    assert_eq!((whole.len(), whole[0].events.len()), (1, keys), "whole unless asked for");
    assert!(parts.len() > 1, "{} bytes in one part", prost::Message::encoded_len(&parts[0]));
    for part in &parts {
        let size = prost::Message::encoded_len(part);
        assert!(size < request_bytes_max + (512 << 10), "{size} bytes in a fragment");
        assert_eq!((part.watch_id, &part.header), (2, &whole[0].header));
    }
    let joined: Vec<_> = parts.iter().flat_map(|part| part.events.clone()).collect();
    assert_eq!(joined, whole[0].events);
}

/// 5.17.
fn half_close_keeps_events_flowing() {
    let server = Server::shared();
    let client = server.client();
    let mut stream = watch(&client);
    create_ok(&mut stream, create("half/k"));
    stream.finish();
    let revision = revision(&put_ok(&client, "half/k", "v").header);
    assert_eq!(events(&stream.message()), [format!("PUT half/k=v@{revision}")]);
}
