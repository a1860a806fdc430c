//! A task's way to stand back until the thread has looked at all sockets once.
//!
//! A task that only wakes itself does not get that: up to 61 such tasks run before sockets are looked at again. And
//! `yield_now` alone ends at any other wake-up, as of a call that a client has reset.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Over when the thread has looked.
#[derive(Debug)]
pub(crate) struct Rest(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    rang: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Relaxed);
        self.task.wake_by_ref();
    }
}

impl Rest {
    /// Begins one for the task of `cx`, which is woken at its end.
    pub(crate) fn begin(cx: &Context<'_>) -> Rest {
        let bell = Arc::new(Bell { rang: AtomicBool::new(false), task: cx.waker().clone() });
        let waker = Waker::from(Arc::clone(&bell));
        // Its first poll leaves the waker with the runtime, which is all that is wanted of it.
        let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
        Rest(bell)
    }

    /// Takes one.
    pub(crate) async fn take() {
        let mut rest = None;
        poll_fn(|cx| rest.get_or_insert_with(|| Rest::begin(cx)).poll()).await;
    }

    /// Ready at its end, not before, however often it is asked.
    pub(crate) fn poll(&self) -> Poll<()> {
        if self.0.rang.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc, time::Duration};

    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn others_sockets_come_first() {
        let polls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&polls);
        let work = async move {
            let (mut rest, mut rests) = (None::<Rest>, 0);
            poll_fn(|cx| {
                counted.set(counted.get() + 1);
                // As calls do that are reset.
                if counted.get() % 3 != 0 {
                    cx.waker().wake_by_ref();
                }
                if rest.as_ref().is_some_and(|rest| rest.poll().is_pending()) {
                    return Poll::Pending;
                }
                rests += 1;
                rest = Some(Rest::begin(cx));
                if rests == 100 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        };
        let local = LocalSet::new();
        local.spawn_local(work);
        tokio::time::timeout(Duration::from_secs(10), local).await.expect("each rest ends");
        assert!(polls.get() >= 100);
    }
}
