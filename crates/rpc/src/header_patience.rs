//! Whoever begins to send headers must end, or they hold memory for as long as they like.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

/// The headers of a request must be whole within this time of their first byte.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);

/// Waits for the end of one block of headers.
#[derive(Debug)]
pub(crate) struct HeaderPatience {
    /// From its first byte to its last.
    time: Duration,
    /// The number of the block, and when there is no time left for it. Most come whole, and cost nothing here.
    waiting: Option<(u32, Pin<Box<Sleep>>)>,
}

impl Default for HeaderPatience {
    fn default() -> Self {
        HeaderPatience { time: HEADERS_TIMEOUT, waiting: None }
    }
}

impl HeaderPatience {
    /// Ready when `unfinished`, the number of a block that is not whole, has been that for too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, unfinished: Option<u32>) -> Poll<()> {
        let Some(block) = unfinished else {
            self.waiting = None;
            return Poll::Pending;
        };
        if self.waiting.as_ref().is_none_or(|(other, _)| *other != block) {
            self.waiting = Some((block, Box::pin(sleep(self.time))));
        }
        match &mut self.waiting {
            Some((_, alarm)) => alarm.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_block_that_does_not_end_is_noticed_and_others_are_not() {
        let mut endless = HeaderPatience { time: Duration::from_millis(1), waiting: None };
        poll_fn(|cx| endless.poll(cx, Some(1))).await;
        // The next one has time of its own.
        assert!(poll_fn(|cx| Poll::Ready(endless.poll(cx, Some(2)))).await.is_pending());
        assert!(poll_fn(|cx| Poll::Ready(endless.poll(cx, None))).await.is_pending());
        assert!(endless.waiting.is_none());
    }
}
