//! Watch streams as a network thread sees them.

use std::{
    collections::{HashMap, VecDeque},
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
};

use proto::etcdserverpb::WatchRequest;

use super::{Caller, Error, port::Shared};
use crate::input::Input;

/// A watch stream; numbers are used once in the life of the member.
pub(crate) use watch::StreamId;

/// One `WatchResponse`: its encoding is [`watch::Frame::head`] followed by [`watch::Frame::body`].
pub use watch::Frame as WatchFrame;

#[derive(Debug, Default)]
struct Stream {
    frames: VecDeque<WatchFrame>,
    end: Option<Error>,
    waker: Option<Waker>,
    /// Frames taken by the network and not yet reported to the core.
    unreported: usize,
    /// Their bytes.
    unreported_bytes: usize,
}

/// The open watch streams of a port.
#[derive(Debug, Default)]
pub(super) struct WatchStreams {
    open: HashMap<StreamId, Stream>,
}

impl WatchStreams {
    pub(super) fn receive(&mut self, id: StreamId, frame: WatchFrame) -> Option<Waker> {
        // Absent: the network side has dropped the stream and the core has not heard of it yet.
        let stream = self.open.get_mut(&id)?;
        stream.frames.push_back(frame);
        stream.waker.take()
    }

    pub(super) fn stop(&mut self) -> Vec<Waker> {
        self.open
            .values_mut()
            .filter_map(|stream| {
                stream.end.get_or_insert(Error::Stopped);
                stream.waker.take()
            })
            .collect()
    }
}

/// The client's half of a watch stream. Dropping it is a half-close: events go on.
pub struct WatchInput {
    shared: Rc<Shared>,
    id: StreamId,
}

impl WatchInput {
    /// Hands a request to the core; order is kept.
    pub fn send(&self, request: WatchRequest) {
        self.shared.post(Input::Watch { stream: self.id, request });
    }
}

/// The server's half of a watch stream. Dropping it ends all its watchers.
pub struct WatchOutput {
    shared: Rc<Shared>,
    id: StreamId,
}

/// How many bytes of taken frames are reported to the core together.
const REPORT_BYTES: usize = 64 << 10;

impl WatchOutput {
    /// The next response; `None` is never returned while the member runs. Call it only when the transport can
    /// take more: frames that nobody takes are what slows a stream down to a cursor over history.
    pub async fn next(&mut self) -> Option<Result<WatchFrame, Error>> {
        poll_fn(|context| {
            let mut streams = self.shared.streams.borrow_mut();
            let Some(stream) = streams.open.get_mut(&self.id) else {
                return Poll::Ready(None);
            };
            if let Some(frame) = stream.frames.pop_front() {
                stream.unreported += 1;
                stream.unreported_bytes += frame.encoded_len();
                if stream.unreported_bytes >= REPORT_BYTES || stream.frames.is_empty() {
                    let frames = std::mem::take(&mut stream.unreported);
                    stream.unreported_bytes = 0;
                    self.shared.post(Input::WatchTaken { stream: self.id, frames });
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            if let Some(error) = stream.end.take() {
                streams.open.remove(&self.id);
                return Poll::Ready(Some(Err(error)));
            }
            stream.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for WatchOutput {
    fn drop(&mut self) {
        self.shared.streams.borrow_mut().open.remove(&self.id);
        self.shared.post(Input::WatchClosed { stream: self.id });
    }
}

pub(super) fn open(shared: &Rc<Shared>, caller: Caller) -> (WatchInput, WatchOutput) {
    let id = shared.next_stream();
    let end = shared.is_stopped().then_some(Error::Stopped);
    shared.streams.borrow_mut().open.insert(id, Stream { end, ..Stream::default() });
    let mailbox = Arc::clone(shared.mailbox());
    shared.post(Input::WatchOpened { mailbox, stream: id, caller });
    (WatchInput { shared: Rc::clone(shared), id }, WatchOutput { shared: Rc::clone(shared), id })
}
