//! Messages on their way out of one connection: bounded in number and in bytes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use consensus::Message;

/// What a message takes beside its entries and context.
const MESSAGE_COST: usize = 128;
const ENTRY_COST: usize = 64;

/// A queue that takes messages only while somebody holds its other end.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    count_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Counts those who took the other end; only the last has it.
    holders: u64,
    open: bool,
    wakers: Vec<Waker>,
}

/// What became of a message.
#[derive(Debug, PartialEq)]
pub(crate) enum Pushed {
    /// It is queued.
    Taken,
    /// Nobody is at the other end; here it is again.
    Closed(Message),
    /// No room; the message is gone.
    Full,
}

pub(crate) fn cost(message: &Message) -> usize {
    let entries: usize = message.entries.iter().map(|entry| ENTRY_COST + entry.data.len()).sum();
    MESSAGE_COST + message.context.len() + entries
}

impl Queue {
    pub(crate) fn new(count_max: usize, bytes_max: usize) -> Queue {
        Queue { state: Mutex::default(), count_max, bytes_max }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message. One that is alone is taken however large it is.
    pub(crate) fn push(&self, message: Message) -> Pushed {
        let mut state = self.state();
        if !state.open {
            return Pushed::Closed(message);
        }
        let cost = cost(&message);
        let has_room = state.messages.len() < self.count_max && state.bytes + cost <= self.bytes_max;
        if !has_room && !state.messages.is_empty() {
            return Pushed::Full;
        }
        state.bytes += cost;
        state.messages.push_back(message);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Pushed::Taken
    }

    /// Takes the other end, from whoever had it; what was meant for him is gone. Gives the holder's number, and how
    /// many messages went if there was somebody.
    pub(crate) fn attach(&self) -> (u64, Option<usize>) {
        let mut state = self.state();
        let was_open = state.open;
        state.holders += 1;
        let lost = state.clear(true);
        (state.holders, was_open.then_some(lost))
    }

    /// Closes the queue if `holder` still has it; how many messages went, `None` if he has not.
    pub(crate) fn detach(&self, holder: u64) -> Option<usize> {
        let mut state = self.state();
        (state.open && state.holders == holder).then(|| state.clear(false))
    }

    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.state().open
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// Closes the queue, whoever has it.
    pub(crate) fn close(&self) {
        self.state().clear(false);
    }

    /// The next message for that holder; `None` when the queue is not his any more.
    pub(crate) fn poll_next(&self, holder: u64, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut state = self.state();
        if !state.open || state.holders != holder {
            return Poll::Ready(None);
        }
        if let Some(message) = state.messages.pop_front() {
            state.bytes -= cost(&message);
            return Poll::Ready(Some(message));
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl State {
    fn clear(&mut self, open: bool) -> usize {
        let lost = self.messages.len();
        self.messages = VecDeque::new();
        self.bytes = 0;
        self.open = open;
        std::mem::take(&mut self.wakers).into_iter().for_each(Waker::wake);
        lost
    }
}

#[cfg(test)]
mod tests {
    use types::raft::Entry;

    use super::*;

    fn message(bytes: usize) -> Message {
        let entry = Entry { data: vec![0; bytes].into(), ..Entry::default() };
        Message { entries: vec![entry], ..Message::default() }
    }

    fn next(queue: &Queue, holder: u64) -> Poll<Option<Message>> {
        queue.poll_next(holder, &mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn room_is_bounded_in_number_and_bytes() {
        let queue = Queue::new(3, 1000);
        assert!(matches!(queue.push(message(1)), Pushed::Closed(_)));
        let (holder, _) = queue.attach();
        assert_eq!(queue.push(message(5000)), Pushed::Taken);
        assert_eq!(queue.push(message(0)), Pushed::Full);
        assert!(matches!(next(&queue, holder), Poll::Ready(Some(_))));
        for _ in 0..3 {
            assert_eq!(queue.push(message(0)), Pushed::Taken);
        }
        assert_eq!(queue.push(message(0)), Pushed::Full);
        for _ in 0..3 {
            assert!(matches!(next(&queue, holder), Poll::Ready(Some(_))));
        }
        assert!(next(&queue, holder).is_pending());
        assert_eq!(queue.state().bytes, 0);
    }

    #[test]
    fn the_last_holder_has_it() {
        let queue = Queue::new(3, 1000);
        let (first, _) = queue.attach();
        assert_eq!(queue.push(message(1)), Pushed::Taken);
        let (second, lost) = queue.attach();
        assert_eq!((lost, next(&queue, first)), (Some(1), Poll::Ready(None)));
        assert_eq!(queue.detach(first), None);
        assert_eq!(queue.push(message(1)), Pushed::Taken);
        assert_eq!(queue.detach(second), Some(1));
        assert!(matches!(queue.push(message(1)), Pushed::Closed(_)));
        assert_eq!(next(&queue, second), Poll::Ready(None));
    }
}
