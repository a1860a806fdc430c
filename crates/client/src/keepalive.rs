//! Leases that are renewed.

use std::time::Duration;

use proto::etcdserverpb as pb;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Code, Status};

use crate::{Client, Error, queue::Talk};

const PATH: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
/// A lease that was not renewed yet is given up after this.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
/// The pause before another stream is opened.
const PAUSE: Duration = Duration::from_millis(500);
/// A lease is renewed so many times before it would end.
const RENEWALS: i32 = 3;

/// A lease that is renewed every third of its time.
#[derive(Debug)]
pub struct KeepAlive {
    client: Client,
    id: i64,
    talk: Option<Talk<pb::LeaseKeepAliveRequest, pb::LeaseKeepAliveResponse>>,
    /// When to ask next.
    due: Instant,
    /// When the lease may be over.
    deadline: Instant,
    /// A question is not answered yet.
    asked: bool,
}

impl KeepAlive {
    pub(crate) fn new(client: Client, id: i64) -> KeepAlive {
        let now = Instant::now();
        KeepAlive { client, id, talk: None, due: now, deadline: now + FIRST_PATIENCE, asked: false }
    }

    pub(crate) async fn once(client: &Client, id: i64) -> Result<pb::LeaseKeepAliveResponse, Error> {
        loop {
            let first = pb::LeaseKeepAliveRequest { id };
            let mut talk: Talk<_, pb::LeaseKeepAliveResponse> =
                Talk::open(client, PATH, &[first], false).await?;
            match talk.next().await {
                Ok(Some(reply)) if reply.ttl <= 0 => {
                    return Err(Status::not_found("etcdserver: requested lease not found").into());
                }
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(error) if breaks(&error) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The next reply; `None` when the lease is over, or nobody could be asked until it must be. May be dropped and
    /// called again.
    pub async fn next(&mut self) -> Option<pb::LeaseKeepAliveResponse> {
        loop {
            if self.talk.is_none() {
                let first = [pb::LeaseKeepAliveRequest { id: self.id }];
                let opened = Talk::open(&self.client, PATH, &first, false);
                match timeout_at(self.deadline, opened).await {
                    Ok(Ok(talk)) => {
                        self.talk = Some(talk);
                        self.asked = true;
                    }
                    Ok(Err(_)) => {
                        self.pause().await?;
                        continue;
                    }
                    Err(_) => return None,
                }
            }
            if !self.asked {
                sleep_until(self.due).await;
            }
            let Some(talk) = &mut self.talk else { continue };
            if !self.asked {
                talk.send(pb::LeaseKeepAliveRequest { id: self.id }).await;
                self.asked = true;
            }
            match timeout_at(self.deadline, talk.next()).await {
                Err(_) => return None,
                Ok(Ok(Some(reply))) if reply.ttl <= 0 => return None,
                Ok(Ok(Some(reply))) => {
                    let ttl = Duration::from_secs(reply.ttl.unsigned_abs());
                    let now = Instant::now();
                    self.due = now + ttl / RENEWALS.unsigned_abs();
                    self.deadline = now + ttl;
                    self.asked = false;
                    return Some(reply);
                }
                Ok(Ok(None) | Err(_)) => {
                    self.talk = None;
                    self.pause().await?;
                }
            }
        }
    }

    /// Waits before the next try; `None` when the lease may be over then.
    async fn pause(&self) -> Option<()> {
        let until = Instant::now() + PAUSE;
        sleep_until(until.min(self.deadline)).await;
        (until < self.deadline).then_some(())
    }
}

/// Whether another stream may do.
fn breaks(error: &Error) -> bool {
    error.status().is_some_and(|status| matches!(status.code(), Code::Unavailable | Code::Internal))
}
