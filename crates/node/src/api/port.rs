//! One network thread's door to the core.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{
    Caller, Error,
    call::{Reply, Request},
    mailbox::Mailbox,
    watch::{StreamId, WatchFrame, WatchInput, WatchOutput, WatchStreams},
};
use crate::{inbox::Inbox, input::Input};

/// What the core puts into a mailbox.
#[derive(Debug)]
pub(crate) enum Letter {
    /// The answer to a call.
    Reply(SlotId, Result<Reply, Error>),
    /// The next response on a watch stream.
    Watch(StreamId, WatchFrame),
}

/// A call of this port that waits for its answer. The generation tells a reused slot from an abandoned call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId {
    index: u32,
    generation: u32,
}

/// A slot is used again and again: its size is paid once, a box would be paid on every call.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
enum SlotState {
    Free,
    Waiting(Option<Waker>),
    Done(Result<Reply, Error>),
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    state: SlotState,
}

#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    fn occupy(&mut self) -> SlotId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, state: SlotState::Free });
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 calls in flight")
        });
        let slot = &mut self.slots[index as usize];
        slot.state = SlotState::Waiting(None);
        SlotId { index, generation: slot.generation }
    }

    /// Stores the answer; drops it when the caller has gone.
    fn fill(&mut self, id: SlotId, answer: Result<Reply, Error>) -> Option<Waker> {
        let slot = &mut self.slots[id.index as usize];
        if slot.generation != id.generation {
            return None;
        }
        match std::mem::replace(&mut slot.state, SlotState::Done(answer)) {
            SlotState::Waiting(waker) => waker,
            SlotState::Free | SlotState::Done(_) => unreachable!("a call is answered once"),
        }
    }

    fn release(&mut self, id: SlotId) {
        let slot = &mut self.slots[id.index as usize];
        if slot.generation == id.generation {
            slot.generation = slot.generation.wrapping_add(1);
            slot.state = SlotState::Free;
            self.free.push(id.index);
        }
    }
}

pub(super) struct Shared {
    inbox: Arc<Inbox<Input>>,
    mailbox: Arc<Mailbox<Letter>>,
    slots: RefCell<Slots>,
    pub(super) streams: RefCell<WatchStreams>,
    /// Inputs of this turn of the runtime; `drive` sends them together.
    outgoing: RefCell<Vec<Input>>,
    driver: RefCell<Option<Waker>>,
    stopped: std::cell::Cell<bool>,
}

impl Shared {
    /// Queues an input for the core; it leaves when the tasks that are ready now have run.
    pub(super) fn post(&self, input: Input) {
        self.outgoing.borrow_mut().push(input);
        if let Some(waker) = self.driver.borrow_mut().take() {
            waker.wake();
        }
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox<Letter>> {
        &self.mailbox
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    fn stop(&self) {
        self.stopped.set(true);
        let mut wakers = Vec::new();
        for slot in &mut self.slots.borrow_mut().slots {
            if let SlotState::Waiting(waker) = &mut slot.state {
                wakers.extend(waker.take());
                slot.state = SlotState::Done(Err(Error::Stopped));
            }
        }
        wakers.extend(self.streams.borrow_mut().stop());
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// One network thread's door to the core. Cheap to clone, bound to its thread.
#[derive(Clone)]
pub struct Port {
    pub(super) shared: Rc<Shared>,
}

impl Port {
    pub(crate) fn new(inbox: Arc<Inbox<Input>>) -> Port {
        let mailbox = Arc::default();
        // A core that has stopped is noticed by `drive`.
        let _ = inbox.send(Input::PortOpened(Arc::clone(&mailbox)));
        Port {
            shared: Rc::new(Shared {
                inbox,
                mailbox,
                slots: RefCell::default(),
                streams: RefCell::default(),
                outgoing: RefCell::default(),
                driver: RefCell::default(),
                stopped: false.into(),
            }),
        }
    }

    /// Carries requests out and answers in. Each network thread runs exactly one; it returns when the core has stopped.
    pub async fn drive(&self) {
        let mut letters = Vec::new();
        poll_fn(|context| self.turn(context, &mut letters)).await;
        self.shared.stop();
    }

    fn turn(&self, context: &mut Context<'_>, letters: &mut Vec<Letter>) -> Poll<()> {
        let shared = &self.shared;
        if !shared.inbox.send_all(&mut shared.outgoing.borrow_mut()) {
            return Poll::Ready(());
        }
        *shared.driver.borrow_mut() = Some(context.waker().clone());
        loop {
            if !shared.mailbox.collect(letters, context.waker()) {
                return Poll::Ready(());
            }
            if letters.is_empty() {
                return Poll::Pending;
            }
            for letter in letters.drain(..) {
                let waker = match letter {
                    Letter::Reply(slot, answer) => shared.slots.borrow_mut().fill(slot, answer),
                    Letter::Watch(stream, frame) => shared.streams.borrow_mut().receive(stream, frame),
                };
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }

    pub(super) fn call(&self, caller: Caller, request: Request) -> Call {
        let slot = self.shared.slots.borrow_mut().occupy();
        if self.shared.is_stopped() {
            self.shared.slots.borrow_mut().fill(slot, Err(Error::Stopped));
        } else {
            let mailbox = Arc::clone(&self.shared.mailbox);
            self.shared.post(Input::Call { mailbox, slot, caller, request });
        }
        Call { shared: Rc::clone(&self.shared), slot }
    }

    /// Opens a stream that can carry many watchers.
    pub fn open_watch(&self, caller: Caller) -> (WatchInput, WatchOutput) {
        super::watch::open(&self.shared, caller)
    }
}

/// A call under way. Dropping it abandons the answer, not what was proposed.
pub(super) struct Call {
    shared: Rc<Shared>,
    slot: SlotId,
}

impl Future for Call {
    type Output = Result<Reply, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slots = self.shared.slots.borrow_mut();
        let state = &mut slots.slots[self.slot.index as usize].state;
        match std::mem::replace(state, SlotState::Free) {
            SlotState::Done(answer) => Poll::Ready(answer),
            SlotState::Waiting(_) | SlotState::Free => {
                *state = SlotState::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.shared.slots.borrow_mut().release(self.slot);
    }
}
