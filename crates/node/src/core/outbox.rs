//! Answers of one turn of the core, delivered together at its end.

use std::sync::Arc;

use crate::{
    api::{
        Error,
        call::Reply,
        port::{Letter, SlotId},
        watch::{StreamId, WatchFrame},
    },
    input::ReplyBox,
};

/// Where an answer goes.
#[derive(Clone, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) mailbox: ReplyBox,
    pub(crate) slot: SlotId,
}

/// Letters per mailbox. There are as many mailboxes as network threads, so a short list is fastest.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    boxes: Vec<(ReplyBox, Vec<Letter>)>,
}

impl Outbox {
    /// Remembers a mailbox, so that it is told of the end.
    pub(crate) fn register(&mut self, mailbox: &ReplyBox) {
        self.letters(mailbox);
    }

    /// Answers a call.
    pub(crate) fn reply(&mut self, to: ReplyTo, answer: Result<Reply, Error>) {
        self.letters(&to.mailbox).push(Letter::Reply(to.slot, answer));
    }

    /// Sends on a watch stream.
    pub(crate) fn watch(&mut self, mailbox: &ReplyBox, stream: StreamId, frame: WatchFrame) {
        self.letters(mailbox).push(Letter::Watch(stream, frame));
    }

    fn letters(&mut self, mailbox: &ReplyBox) -> &mut Vec<Letter> {
        let place = match self.boxes.iter().position(|(known, _)| Arc::ptr_eq(known, mailbox)) {
            Some(place) => place,
            None => {
                self.boxes.push((Arc::clone(mailbox), Vec::new()));
                self.boxes.len() - 1
            }
        };
        &mut self.boxes[place].1
    }

    /// Delivers everything, one wake-up per network thread.
    pub(crate) fn flush(&mut self) {
        for (mailbox, letters) in &mut self.boxes {
            mailbox.deliver(letters);
        }
    }

    /// Tells every network thread that nothing comes any more.
    pub(crate) fn close(&mut self) {
        self.flush();
        for (mailbox, _) in self.boxes.drain(..) {
            mailbox.close();
        }
    }
}
