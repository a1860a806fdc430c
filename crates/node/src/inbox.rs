//! The queue into the core thread: many senders, one receiver, batches out.
//!
//! The receiver takes everything at once, so a burst costs one lock and at most one wake-up; a sender that
//! finds the core awake makes no system call.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A batch queue. `T` is what the receiver handles.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    queue: Mutex<Queue<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    items: Vec<T>,
    /// The receiver waits on `arrived`.
    asleep: bool,
    closed: bool,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Inbox {
            queue: Mutex::new(Queue { items: Vec::new(), asleep: false, closed: false }),
            arrived: Condvar::new(),
        }
    }
}

impl<T> Inbox<T> {
    /// A sender that panicked leaves a whole queue behind: every update below is a single push or swap.
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues one item. `Err` gives it back when the receiver is gone.
    pub(crate) fn send(&self, item: T) -> Result<(), T> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(item);
        }
        queue.items.push(item);
        self.wake(queue);
        Ok(())
    }

    /// Queues all of `items`, leaving the vector empty; `false` when the receiver is gone (they stay).
    pub(crate) fn send_all(&self, items: &mut Vec<T>) -> bool {
        let mut queue = self.lock();
        if queue.closed {
            return false;
        }
        queue.items.append(items);
        self.wake(queue);
        true
    }

    fn wake(&self, mut queue: MutexGuard<'_, Queue<T>>) {
        if std::mem::take(&mut queue.asleep) {
            drop(queue);
            self.arrived.notify_one();
        }
    }

    /// Moves everything queued into `into`; waits up to `patience` for a first item. `None` waits for ever.
    pub(crate) fn receive(&self, into: &mut Vec<T>, patience: Option<Duration>) {
        let mut queue = self.lock();
        if queue.items.is_empty() && patience != Some(Duration::ZERO) && !queue.closed {
            queue.asleep = true;
            queue = match patience {
                None => self.arrived.wait_while(queue, |q| q.asleep).unwrap_or_else(PoisonError::into_inner),
                Some(limit) => {
                    self.arrived
                        .wait_timeout_while(queue, limit, |q| q.asleep)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
            queue.asleep = false;
        }
        into.append(&mut queue.items);
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses all later items and gives back those that nobody received.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut queue = self.lock();
        queue.closed = true;
        let left = std::mem::take(&mut queue.items);
        self.wake(queue);
        left
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn everything_arrives_in_order_of_each_sender() {
        let inbox = Arc::new(Inbox::default());
        let senders: Vec<_> = (0..4u32)
            .map(|sender| {
                let inbox = Arc::clone(&inbox);
                thread::spawn(move || {
                    for n in 0..1000u32 {
                        inbox.send((sender, n)).unwrap();
                    }
                })
            })
            .collect();
        let mut seen = [0u32; 4];
        let mut batch = Vec::new();
        while seen.iter().sum::<u32>() < 4000 {
            inbox.receive(&mut batch, None);
            for (sender, n) in batch.drain(..) {
                assert_eq!(seen[sender as usize], n);
                seen[sender as usize] += 1;
            }
        }
        for sender in senders {
            sender.join().unwrap();
        }
    }

    #[test]
    fn closed_gives_items_back_and_wakes_the_receiver() {
        let inbox: Inbox<u8> = Inbox::default();
        inbox.send(1).unwrap();
        assert_eq!(inbox.close(), [1]);
        assert_eq!(inbox.send(2), Err(2));
        let mut batch = Vec::new();
        inbox.receive(&mut batch, None);
        assert!(batch.is_empty());
    }
}
