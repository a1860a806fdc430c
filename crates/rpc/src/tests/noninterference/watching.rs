//! The user's watch stream.

use bytes::Bytes;
use h2::SendStream;
use prost::Message;
use proto::etcdserverpb::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
    watch_request::RequestUnion,
};

use super::{
    super::client::{Inbox, framed},
    requests::Asker,
    rng::Rng,
    side::Side,
};
use crate::method::Method;

/// Watchers from this number on only show how far the stream is.
const MARKERS: i64 = 1 << 40;

/// Watchers that the cases cancel have numbers below this.
const CHOSEN_MAX: i64 = 30;

/// How often a stream is asked whether it has caught up.
const ROUNDS_MAX: usize = 100_000;

pub(super) struct Watching {
    send: SendStream<Bytes>,
    inbox: Inbox,
    markers: i64,
    /// What markers watch.
    readable: Bytes,
}

impl Watching {
    pub(super) async fn open(side: &Side, token: &str, readable: &[u8]) -> Watching {
        let path = format!("/{}/{}", Method::Watch.service(), Method::Watch.name());
        let (mut send, response) = side.grpc.open(&path, &[("token", token)]).await;
        let readable = Bytes::copy_from_slice(readable);
        // Headers come with the first response.
        let first = WatchCreateRequest { key: readable.clone(), ..WatchCreateRequest::default() };
        transmit(&mut send, RequestUnion::CreateRequest(first));
        Watching { send, inbox: Inbox::open(response).await, markers: MARKERS, readable }
    }

    pub(super) fn send(&mut self, union: RequestUnion) {
        transmit(&mut self.send, union);
    }

    /// Everything that was sent until all watchers have come to the newest revision, by watcher: events one by one, and
    /// whatever is no event. How many events share a response, and when a watcher that catches up is served between the
    /// others, is a matter of threads.
    pub(super) async fn collect(&mut self) -> Vec<String> {
        let mut told: Vec<(i64, String)> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            self.markers += 1;
            let watch_id = self.markers;
            let marker = WatchCreateRequest { key: self.readable.clone(), watch_id, ..Default::default() };
            // Progress is only told to streams that have a watcher.
            self.send(RequestUnion::CreateRequest(marker));
            self.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
            self.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
            let mut up_to_date = false;
            loop {
                let frame = self.inbox.next_bytes().await.expect("the stream goes on");
                let response = WatchResponse::decode(frame.clone()).expect("a response");
                assert_eq!(response.encode_to_vec(), frame, "there is one way to encode a response");
                let is_progress = response.watch_id == -1 && !response.created && response.events.is_empty();
                up_to_date |= is_progress;
                if response.watch_id == watch_id && response.canceled {
                    break;
                }
                if response.compact_revision != 0 {
                    // As long as it is not canceled it counts as one that has not caught up.
                    let watch_id = response.watch_id;
                    self.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
                }
                if response.watch_id != watch_id && !is_progress {
                    let id = response.watch_id;
                    if response.events.is_empty() {
                        told.push((id, format!("{response:?}")));
                    }
                    told.extend(response.events.iter().map(|event| (id, format!("{id} {event:?}"))));
                }
            }
            if up_to_date {
                told.sort_by_key(|(watch_id, _)| *watch_id);
                return told.into_iter().map(|(_, told)| told).collect();
            }
        }
        panic!("watchers have not caught up");
    }
}

fn transmit(send: &mut SendStream<Bytes>, union: RequestUnion) {
    let request = WatchRequest { request_union: Some(union) };
    send.send_data(framed(&request.encode_to_vec()), false).expect("the stream is open");
}

/// Revisions that watchers from the future are ahead, at most.
pub(super) const AHEAD_MAX: i64 = 4;

/// A watcher that waits for a revision to come.
pub(super) fn from_the_future(asker: &Asker<'_>, rng: &mut Rng) -> RequestUnion {
    let (key, range_end) = asker.in_some_mood(rng).span(rng);
    let start_revision = asker.head + rng.within(1, AHEAD_MAX);
    let (prev_kv, fragment) = (rng.chance(40), rng.chance(30));
    let create =
        WatchCreateRequest { key, range_end, start_revision, prev_kv, fragment, ..Default::default() };
    RequestUnion::CreateRequest(create)
}

/// What a client may send on a watch stream.
pub(super) fn request(asker: &Asker<'_>, rng: &mut Rng) -> RequestUnion {
    if rng.chance(15) {
        return RequestUnion::CancelRequest(WatchCancelRequest { watch_id: rng.within(0, CHOSEN_MAX) });
    }
    let (key, range_end) = asker.in_some_mood(rng).span(rng);
    let filters = (0..rng.below(3)).map(|_| rng.within(0, 1) as i32).collect();
    let start_revision = match rng.below(10) {
        0..4 => 0,
        _ => rng.within(asker.compacted - 1, asker.head),
    };
    RequestUnion::CreateRequest(WatchCreateRequest {
        key: if rng.chance(3) { Bytes::new() } else { key },
        range_end,
        start_revision,
        progress_notify: rng.chance(20),
        filters,
        prev_kv: rng.chance(40),
        watch_id: if rng.chance(30) { rng.within(1, CHOSEN_MAX) } else { 0 },
        fragment: rng.chance(30),
    })
}
