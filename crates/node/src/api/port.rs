//! One network thread's door to the core.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use super::{
    Caller, Error,
    call::{Reply, Request},
    mailbox::Mailbox,
    range_reply::RangeParts,
    watch::{StreamId, WatchFrame, WatchInput, WatchOutput, WatchStreams},
};
use crate::{inbox::Inbox, input::Input};

/// What the core puts into a mailbox.
#[derive(Debug)]
pub(crate) enum Letter {
    /// The answer to a call.
    Reply(SlotId, Answer),
    /// The next response on a watch stream.
    Watch(StreamId, WatchFrame),
}

/// A call of this port that waits for its answer. The generation tells a reused slot from an abandoned call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId {
    index: u32,
    generation: u32,
}

type Answer = Result<Reply, Error>;

/// A slot is used again and again: its size is paid once, a box would be paid on every call.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
enum SlotState {
    Free,
    Waiting(Option<Waker>),
    Done(Answer),
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

    /// Whether the caller is still there.
    fn waits(&self, id: SlotId) -> bool {
        self.slots[id.index as usize].generation == id.generation
    }

    /// Stores the answer of a call that waits, and gives whom to wake.
    fn fill(&mut self, id: SlotId, answer: Answer) -> Option<Waker> {
        let slot = &mut self.slots[id.index as usize];
        match std::mem::replace(&mut slot.state, SlotState::Done(answer)) {
            SlotState::Waiting(waker) => waker,
            SlotState::Free | SlotState::Done(_) => unreachable!("a call is answered once"),
        }
    }

    /// Frees the slot; gives an answer back that nobody took.
    fn release(&mut self, id: SlotId) -> Option<Answer> {
        if !self.waits(id) {
            return None;
        }
        let slot = &mut self.slots[id.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        match std::mem::replace(&mut slot.state, SlotState::Free) {
            SlotState::Done(answer) => Some(answer),
            SlotState::Waiting(_) | SlotState::Free => None,
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
    /// Watch streams opened so far, over all ports of the member.
    streams_opened: Arc<AtomicU64>,
}

impl Shared {
    /// A number that no other stream of the member has.
    pub(super) fn next_stream(&self) -> StreamId {
        StreamId(1 + self.streams_opened.fetch_add(1, Ordering::Relaxed))
    }

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

    /// Nobody takes this answer any more. The rows that follow a large range are kept for whoever reads it, and
    /// hold up compaction: the core should know at once.
    fn abandon(&self, answer: Answer) {
        if let Ok(Reply::Range(RangeParts { rest: Some((id, _)), .. })) = answer {
            self.post(Input::RangeDropped(id));
        }
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
    pub(crate) fn new(inbox: Arc<Inbox<Input>>, streams_opened: Arc<AtomicU64>) -> Port {
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
                streams_opened,
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
                    Letter::Reply(slot, answer) => {
                        let mut slots = shared.slots.borrow_mut();
                        if slots.waits(slot) {
                            slots.fill(slot, answer)
                        } else {
                            shared.abandon(answer);
                            None
                        }
                    }
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
        let answer = self.shared.slots.borrow_mut().release(self.slot);
        if let Some(answer) = answer {
            self.shared.abandon(answer);
        }
    }
}
