//! What a member asks another besides raft: the leader about leases and promotions, everybody for hashes.
//!
//! Questions run on the transport's thread, over connections that are kept for the next ones. At most
//! [`UNDER_WAY_MAX`] run at once, the others wait; whoever gives up drops the future.

mod hash;
mod leases;
mod promote;

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use tokio::{sync::Semaphore, task::JoinHandle};
use types::MemberId;

pub use hash::{HashAnswer, HashRefusal};
pub use promote::PromoteRefusal;

use crate::{Body, dial::Link, shared::Shared, urls::Url};

/// Questions under way at once, to all members together.
const UNDER_WAY_MAX: usize = 16;
/// Connections kept for the next questions.
const IDLE_MAX: usize = UNDER_WAY_MAX;

/// Asks other members; its copies share their connections.
#[derive(Clone)]
pub struct Questions {
    shared: Arc<Shared>,
    under_way: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Link>>>,
}

/// Ends the task when nobody waits for it any more.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Questions {
    pub(crate) fn new(shared: Arc<Shared>) -> Questions {
        Questions { shared, under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)), idle: Arc::default() }
    }

    /// Where that member listens; empty when it is no other member of the configuration.
    fn urls_of(&self, id: MemberId) -> Vec<Url> {
        self.shared.peer(id.0).map(|peer| peer.picker.pick_all()).unwrap_or_default()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One question. Of the answer, `bytes_max` may come.
    async fn ask(
        &self,
        url: &Url,
        request: Request<Body>,
        bytes_max: usize,
    ) -> io::Result<(StatusCode, Bytes)> {
        let (this, url) = (self.clone(), url.clone());
        self.on_thread(async move {
            let _permit = this.under_way.acquire().await.map_err(io::Error::other)?;
            let mut link = this.take_idle(&url);
            let response = this.shared.dialer.request(&mut link, &url, request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), bytes_max).collect().await;
            let body = body.map_err(io::Error::other)?.to_bytes();
            // Read to its end, so that the connection serves again.
            this.keep_idle(link);
            Ok((status, body))
        })
        .await
    }

    /// Connections belong to the transport's runtime: whoever asks may have one that ends sooner.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let mut task = Task(self.shared.runtime.spawn(work));
        // Canceled when the transport has stopped.
        (&mut task.0).await.unwrap_or_else(|ended| Err(io::Error::other(ended)))
    }

    fn take_idle(&self, url: &Url) -> Option<Link> {
        let mut idle = self.idle();
        let at = idle.iter().rposition(|link| link.url() == url)?;
        Some(idle.remove(at))
    }

    fn keep_idle(&self, link: Option<Link>) {
        let mut idle = self.idle();
        if idle.len() >= IDLE_MAX {
            idle.remove(0);
        }
        idle.extend(link);
    }
}

/// The text of an answer.
fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim_end_matches('\n').to_owned()
}

/// Whatever another member answers.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_answer(status: StatusCode, body: &[u8]) {
    let _ = hash::judge(status, body);
    let _ = promote::judge(status, body);
}
