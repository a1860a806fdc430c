//! What the connections of one network thread share.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::sync::{mpsc, watch};

use crate::{
    budget::Share,
    config::Common,
    exchange::{Cut, Templates},
    member::Member,
    metrics::{Metrics, Shard},
    status::Reason,
};

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// No new connections and calls; streams end, calls finish.
    Draining,
    /// Close everything.
    Closing,
}

/// Something to do for a caller who is gone. It has to end by itself; a closing server cuts it off.
pub(crate) type Errand = Pin<Box<dyn Future<Output = ()>>>;

/// What an errand costs, in bytes.
const ERRAND_BYTES: usize = 2 << 10;

/// What the connections of one network thread share.
pub(crate) struct Thread<M> {
    pub(crate) member: M,
    pub(crate) common: Arc<Common>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shard: Arc<Shard>,
    pub(crate) share: Rc<Share>,
    pub(crate) templates: Rc<Templates>,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Counts how often this member was without a leader for too long.
    pub(crate) leaderless: watch::Receiver<u64>,
    /// To the owner of the thread's tasks.
    pub(crate) errands: mpsc::UnboundedSender<Errand>,
}

impl<M: Member> Thread<M> {
    /// Runs an errand that carries `bytes` with it. Without budget for it nothing is done.
    pub(crate) fn run_errand(&self, bytes: usize, errand: impl Future<Output = ()> + 'static) {
        if let Some(hold) = self.share.hold(ERRAND_BYTES + bytes) {
            let errand = async move {
                errand.await;
                drop(hold);
            };
            // An error means that the server is gone.
            let _ = self.errands.send(Box::pin(errand));
        }
    }

    /// What ends a stream from outside: a shutdown, or, for a client that asked for it, the loss of the leader.
    pub(crate) fn stream_cut(&self, needs_leader: bool) -> Cut {
        let mut phase = self.phase.clone();
        let mut leaderless = self.leaderless.clone();
        leaderless.mark_unchanged();
        Box::pin(async move {
            let stopping = async {
                // An error means that the server is gone, which is the same.
                let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
                Reason::Stopped
            };
            let leader_lost = async {
                if needs_leader && leaderless.changed().await.is_ok() {
                    return Reason::NoLeader;
                }
                std::future::pending().await
            };
            tokio::select! {
                reason = stopping => reason.status(),
                reason = leader_lost => reason.status(),
            }
        })
    }
}

/// The phases of a shutdown, each seen once.
pub(crate) struct Phases {
    next: Pin<Box<dyn Future<Output = (Phase, watch::Receiver<Phase>)>>>,
}

impl Phases {
    pub(crate) fn new(receiver: watch::Receiver<Phase>) -> Phases {
        Phases { next: Box::pin(Phases::wait(receiver, Phase::Serving)) }
    }

    async fn wait(mut receiver: watch::Receiver<Phase>, after: Phase) -> (Phase, watch::Receiver<Phase>) {
        // An error means that the server is gone.
        let phase = receiver.wait_for(|phase| *phase > after).await.map_or(Phase::Closing, |phase| *phase);
        (phase, receiver)
    }

    /// The next phase, when it begins.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        let (phase, receiver) = ready!(self.next.as_mut().poll(cx));
        self.next = Box::pin(Phases::wait(receiver, phase));
        Poll::Ready(phase)
    }
}
