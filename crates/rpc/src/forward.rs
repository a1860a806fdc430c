//! Questions that only the leader can answer, passed on to it (upstream: server/etcdserver/v3_server.go).

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use node::{Error, Summary};
use proto::etcdserverpb::{LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, Member};
use tokio::time::{sleep, timeout};
use types::MemberId;

use crate::status::Reason;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two looks whether the leader that was asked still leads.
const LOOK: Duration = Duration::from_millis(100);

/// What became of a question: `None` when there was no answer of use and it may be asked again.
pub type Asked<T> = Pin<Box<dyn Future<Output = Option<Result<T, Reason>>> + Send>>;

/// The way to the leader. Dropping a future gives up the answer, not what the leader does for it.
pub trait AskLeader: Send + Sync {
    /// Renews a lease: its TTL, 0 when it is gone.
    fn renew(&self, leader: MemberId, id: i64) -> Asked<i64>;

    /// The time that a lease has left: TTL -1 when it is gone. The header may be empty.
    fn time_to_live(
        &self,
        leader: MemberId,
        request: LeaseTimeToLiveRequest,
    ) -> Asked<LeaseTimeToLiveResponse>;

    /// Makes a learner a voter, in the name of whom the token stands for: all members then.
    fn promote(&self, leader: MemberId, id: u64, token: Option<String>) -> Asked<Vec<Member>>;
}

/// Passes questions on for a member that does not lead.
#[derive(Clone)]
pub(crate) struct Forward {
    pub(crate) ask: Arc<dyn AskLeader>,
    /// For all attempts together.
    pub(crate) patience: Duration,
}

/// What a second attempt would do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The same: there is no need to wait for a leader that lost its place.
    Harmless,
    /// Possibly something else, so one attempt is waited for to its end.
    Harmful,
}

impl Forward {
    /// Asks whoever leads, this member itself with `own`, until there is an answer.
    pub(crate) async fn run<T>(
        &self,
        summary: &Summary,
        repeat: Repeat,
        own: impl AsyncFn() -> Result<T, Error>,
        ask: impl Fn(&dyn AskLeader, MemberId) -> Asked<T>,
    ) -> Result<T, Reason> {
        let attempts = async {
            loop {
                match summary.leader() {
                    None => {}
                    Some(leader) if leader == summary.member_id => match own().await {
                        Err(Error::NotPrimary | Error::NotLeader) => {}
                        answer => return Ok(answer?),
                    },
                    Some(leader) => {
                        let lost = async {
                            while repeat == Repeat::Harmful || summary.leader() == Some(leader) {
                                sleep(LOOK).await;
                            }
                        };
                        tokio::select! {
                            answer = ask(&*self.ask, leader) => if let Some(answer) = answer {
                                return answer;
                            },
                            () = lost => {}
                        }
                    }
                }
                sleep(PAUSE).await;
            }
        };
        match timeout(self.patience, attempts).await {
            Ok(answer) => answer,
            Err(_) if summary.leader().is_none() => Err(Reason::NoLeader),
            Err(_) => Err(Reason::Timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody to ask.
    struct Nobody;

    impl AskLeader for Nobody {
        fn renew(&self, _: MemberId, _: i64) -> Asked<i64> {
            Box::pin(async { None })
        }

        fn time_to_live(&self, _: MemberId, _: LeaseTimeToLiveRequest) -> Asked<LeaseTimeToLiveResponse> {
            Box::pin(async { None })
        }

        fn promote(&self, _: MemberId, _: u64, _: Option<String>) -> Asked<Vec<Member>> {
            Box::pin(async { None })
        }
    }

    #[tokio::test]
    async fn without_a_leader_the_caller_is_told_so() {
        let forward = Forward { ask: Arc::new(Nobody), patience: 2 * PAUSE };
        let own = async || Err(Error::NotPrimary);
        let summary = Summary::default();
        let answer = forward.run(&summary, Repeat::Harmless, own, |ask, leader| ask.renew(leader, 1));
        assert_eq!(answer.await, Err(Reason::NoLeader));
    }
}
