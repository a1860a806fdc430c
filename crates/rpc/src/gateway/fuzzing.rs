//! Doors of the gateway for `tests/fuzz`.

use std::rc::Rc;

use futures_util::FutureExt;
use http::request::Parts;

use super::{
    metadata, routes,
    websocket::{Opening, is_asked_for, read_frames},
};
use crate::budget::{Budget, Share};

/// The head of a request.
pub(crate) fn request(head: &Parts) {
    let _ = metadata::parse(&head.headers);
    if routes::is_ours(head.uri.path()) {
        let _ = routes::method_of(&head.method, head.uri.path());
    }
    let _ = is_asked_for(head);
    if let Ok(opening) = Opening::of(head.clone()) {
        let _ = opening.response();
    }
}

/// Whatever a client sends over a WebSocket.
pub fn websocket(bytes: &[u8]) {
    let share: Rc<Share> = Share::new(Budget::new(64 << 20));
    // All bytes are there: nothing is waited for.
    let messages = read_frames(bytes, 2 << 20, share).now_or_never();
    assert!(messages.is_some(), "bytes that are there are not read");
}
