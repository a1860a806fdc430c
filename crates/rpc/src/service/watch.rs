//! Watch.Watch: requests go in as they come, events go out as fast as the client takes them, neither waiting for
//! the other.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Instant,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use proto::etcdserverpb::WatchRequest;
use tokio::sync::Notify;

use crate::{
    audit::Trail,
    call::{Call, decode_next},
    exchange::{End, Exchange},
    member::{Member, WatchFrame, WatchInput, WatchOutput},
    message::{self, Messages, PREFIX_LEN},
    method::Method,
    metrics::{Shard, WatchBatch},
    status::Reason,
    thread::Thread,
};

/// Small messages are collected up to this many bytes.
const BATCH: usize = 16 << 10;
/// Shared events up to this many bytes are copied behind their head, to leave as one frame.
const COPIED: usize = 4 << 10;
/// So many answers to requests may wait for a client that does not read; then its requests wait, too.
pub(crate) const ANSWERS_WAITING_MAX: u32 = 256;

pub(super) async fn watch<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    call.begin_stream()?;
    call.receiving = true;
    let caller = std::mem::take(&mut call.caller);
    let Call { thread, messages, exchange, trail, .. } = call;
    let trail = trail.as_deref();
    let (input, output) = thread.member.open_watch(caller);
    let answers = Answers::default();
    tokio::select! {
        biased;
        end = take_requests(thread, trail, messages, input, &answers) => Err(end),
        end = give_events(thread, trail, exchange, output, &answers) => end,
    }
}

/// How many requests may still have an answer that waits for the transport. An upper bound: some requests get no
/// answer, which shows when nothing waits at all.
#[derive(Default)]
struct Answers {
    waiting: Cell<u32>,
    fewer: Notify,
}

impl Answers {
    /// Counts a request, once there are few enough.
    async fn admit(&self) {
        while self.waiting.get() >= ANSWERS_WAITING_MAX {
            self.fewer.notified().await;
        }
        self.waiting.set(self.waiting.get() + 1);
    }

    fn set(&self, waiting: u32) {
        if self.waiting.replace(waiting) >= ANSWERS_WAITING_MAX && waiting < ANSWERS_WAITING_MAX {
            self.fewer.notify_one();
        }
    }

    /// The next frame of `output`, counted.
    async fn take<O: WatchOutput>(&self, output: &mut O) -> Option<Result<O::Frame, Reason>> {
        let mut next = pin!(output.next());
        poll_fn(|cx| {
            let polled = next.as_mut().poll(cx);
            match &polled {
                Poll::Pending => self.set(0),
                Poll::Ready(Some(Ok(frame))) if frame.events() == 0 => {
                    self.set(self.waiting.get().saturating_sub(1));
                }
                Poll::Ready(_) => {}
            }
            polled
        })
        .await
    }
}

/// Hands requests over; half-closing is not the end, so this returns only when something went wrong.
async fn take_requests<M>(
    thread: &Thread<M>,
    trail: Option<&Trail>,
    messages: &mut Messages,
    input: impl WatchInput,
    answers: &Answers,
) -> End {
    loop {
        let next = messages.next().await;
        match decode_next::<M, WatchRequest>(thread, trail, Method::Watch, next) {
            Ok(Some(request)) => {
                answers.admit().await;
                input.send(request);
            }
            Ok(None) => break,
            Err(end) => return end,
        }
    }
    drop(input);
    std::future::pending().await
}

async fn give_events<M: Member>(
    thread: &Thread<M>,
    trail: Option<&Trail>,
    exchange: &mut Exchange,
    mut output: impl WatchOutput,
    answers: &Answers,
) -> Result<(), End> {
    let shard = &*thread.shard;
    loop {
        let mut next = exchange.wait(pin!(answers.take(&mut output))).await?;
        let began = Instant::now();
        let mut left = WatchBatch::default();
        // What is there already leaves in one frame: a stream often carries many watchers.
        let mut batch = BytesMut::new();
        loop {
            let frame = match next {
                Some(Ok(frame)) => frame,
                Some(Err(reason)) => return finish(exchange, batch, reason).await,
                None => return finish(exchange, batch, Reason::WatchCanceled).await,
            };
            left.count(frame.events());
            if let Some(trail) = trail
                && frame.events() == 0
            {
                trail.watch_answered(&thread.member, &[frame.head(), frame.body()].concat());
            }
            let rest = append(&mut batch, &frame, shard)?;
            if !rest.is_empty() {
                exchange.send_part(batch.split().freeze(), false).await?;
                exchange.send_part(rest, true).await?;
            }
            if batch.len() >= BATCH {
                break;
            }
            match answers.take(&mut output).now_or_never() {
                Some(ready) => next = ready,
                None => break,
            }
        }
        if !batch.is_empty() {
            exchange.send_part(batch.freeze(), true).await?;
        }
        shard.watch_sends.observe(left, began.elapsed());
    }
}

/// Sends what was collected before the stream ended.
async fn finish(exchange: &mut Exchange, batch: BytesMut, reason: Reason) -> Result<(), End> {
    if !batch.is_empty() {
        exchange.send_part(batch.freeze(), true).await?;
    }
    Err(reason.into())
}

/// Appends a message; gives back its body when that is too long to copy.
fn append(batch: &mut BytesMut, frame: &impl WatchFrame, shard: &Shard) -> Result<Bytes, End> {
    let (head, body) = (frame.head(), frame.body());
    let len = head.len() + body.len();
    shard.method(Method::Watch).sent.add(1);
    shard.sent_bytes.add(len as u64);
    let copied = if body.len() <= COPIED { body.len() } else { 0 };
    batch.reserve(PREFIX_LEN + head.len() + copied);
    batch.put_slice(&message::prefix(len)?);
    batch.put_slice(head);
    batch.put_slice(&body[..copied]);
    Ok(body.slice(copied..))
}
