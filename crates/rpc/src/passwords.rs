//! Hashing and comparing passwords, which takes a processor for some hundredth of a second: on a few threads of its
//! own, with low priority and a bounded queue, so that a storm of logins delays logins and nothing else.
//!
//! Which password belongs to which hash is remembered, so that whoever logs in again and again costs next to nothing.
//! What is remembered is a hash under a secret of this process, over the stored hash too: a changed password has
//! another one.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::status::Reason;

/// Longer passwords are refused, as by Go's bcrypt; bytes.
const PASSWORD_BYTES_MAX: usize = 72;
/// Jobs that wait for a thread; further ones are refused.
const QUEUE_MAX: usize = 1024;
/// Pairs of password and hash that are remembered.
const VERIFIED_MAX: usize = 16 << 10;
/// Added to the niceness of the threads.
const NICENESS: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// See the module. Cheap to ask from any thread.
pub(crate) struct Passwords {
    /// bcrypt's cost of new hashes.
    cost: u32,
    verified: Arc<Verified>,
    /// Begun when first needed; the threads end with it.
    queue: OnceLock<SyncSender<Job>>,
}

impl Passwords {
    pub(crate) fn new(cost: u32) -> Passwords {
        Passwords { cost, verified: Arc::default(), queue: OnceLock::new() }
    }

    /// The base64 of a bcrypt hash in the variant that etcd writes.
    ///
    /// # Errors
    /// A password that is too long, or too much to do.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Reason> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(Reason::Other("bcrypt: password length exceeds 72 bytes".into()));
        }
        let cost = self.cost;
        let hashed = self.run(move || bcrypt::hash_with_result(password, cost)).await?;
        let hashed = hashed.map_err(|error| Reason::Other(error.to_string()))?;
        Ok(STANDARD.encode(hashed.format_for_version(bcrypt::Version::TwoA)))
    }

    /// Whether a password belongs to a stored hash. A hash that is none belongs to no password.
    ///
    /// # Errors
    /// Too much to do.
    pub(crate) async fn verify(&self, password: String, hash: Bytes) -> Result<bool, Reason> {
        let mark = self.verified.mark(&password, &hash)?;
        if self.verified.knows(&mark) {
            return Ok(true);
        }
        let verified = Arc::clone(&self.verified);
        self.run(move || {
            // Somebody before in the queue may have asked the same.
            if verified.knows(&mark) {
                return true;
            }
            let text = std::str::from_utf8(&hash);
            let right = text.is_ok_and(|hash| bcrypt::verify(password, hash).unwrap_or(false));
            if right {
                verified.remember(mark);
            }
            right
        })
        .await
    }

    /// Runs something slow.
    ///
    /// # Errors
    /// Too much to do.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Reason> {
        let (sender, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Who has gone away meanwhile wants nothing any more.
            if !sender.is_closed() {
                let _ = sender.send(work());
            }
        });
        match self.queue.get_or_init(start).try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(Reason::TooManyRequests),
            Err(TrySendError::Disconnected(_)) => {
                return Err(Reason::Other("no thread can be had for passwords".into()));
            }
        }
        answer.await.map_err(|_| Reason::Other("checking a password has failed".into()))
    }
}

/// Starts the threads: one for every two processors.
fn start() -> SyncSender<Job> {
    let (sender, jobs) = sync_channel::<Job>(QUEUE_MAX);
    let jobs = Arc::new(Mutex::new(jobs));
    let processors = thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..processors.div_ceil(2) {
        let jobs = Arc::clone(&jobs);
        // Without any thread the queue is closed, and whoever asks is told so.
        let _ = thread::Builder::new().name("passwords".into()).spawn(move || work(&jobs));
    }
    sender
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    // Of this thread alone, and no matter if refused.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

/// What stands for a password and a hash that belong together.
type Mark = [u8; 32];

#[derive(Default)]
struct Verified {
    secret: OnceLock<[u8; 32]>,
    marks: Mutex<Marks>,
}

#[derive(Default)]
struct Marks {
    known: HashSet<Mark>,
    /// In order of arrival.
    order: VecDeque<Mark>,
}

impl Verified {
    /// # Errors
    /// When the system gives no random numbers.
    fn mark(&self, password: &str, hash: &[u8]) -> Result<Mark, Reason> {
        let secret = match self.secret.get() {
            Some(secret) => secret,
            None => {
                let mut secret = [0; 32];
                random(&mut secret)?;
                self.secret.get_or_init(|| secret)
            }
        };
        let mut digest = Sha256::new();
        digest.update(secret);
        digest.update((hash.len() as u64).to_le_bytes());
        digest.update(hash);
        digest.update(password);
        Ok(digest.finalize().into())
    }

    fn knows(&self, mark: &Mark) -> bool {
        self.marks().known.contains(mark)
    }

    fn remember(&self, mark: Mark) {
        let mut marks = self.marks();
        if !marks.known.insert(mark) {
            return;
        }
        marks.order.push_back(mark);
        if marks.order.len() > VERIFIED_MAX
            && let Some(oldest) = marks.order.pop_front()
        {
            marks.known.remove(&oldest);
        }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills with what nobody can guess.
///
/// # Errors
/// When the system gives no random numbers.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), Reason> {
    SystemRandom::new().fill(bytes).map_err(|_| Reason::Other("the system gives no random numbers".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_belongs_to_its_hash_and_to_no_other() {
        let passwords = Passwords::new(4);
        let stored = async |password: &str| {
            Bytes::from(STANDARD.decode(passwords.hash(password.into()).await.unwrap()).unwrap())
        };
        let (first, second) = (stored("pw").await, stored("other").await);
        assert!(first.starts_with(b"$2a$04$"));
        for _ in 0..2 {
            assert!(passwords.verify("pw".into(), first.clone()).await.unwrap());
            assert!(!passwords.verify("pw".into(), second.clone()).await.unwrap());
            assert!(!passwords.verify("other".into(), first.clone()).await.unwrap());
            assert!(!passwords.verify("pw".into(), Bytes::from_static(b"no hash")).await.unwrap());
        }
        assert_eq!(passwords.verified.marks().known.len(), 1, "only what was right is remembered");
        assert!(passwords.verified.knows(&passwords.verified.mark("pw", &first).unwrap()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let verified = Verified::default();
        for n in 0..VERIFIED_MAX + 10 {
            verified.remember(verified.mark(&n.to_string(), b"hash").unwrap());
        }
        let marks = verified.marks();
        assert_eq!((marks.known.len(), marks.order.len()), (VERIFIED_MAX, VERIFIED_MAX));
    }

    #[tokio::test]
    async fn a_full_queue_refuses() {
        let passwords = Arc::new(Passwords::new(4));
        let (gate, closed) = std::sync::mpsc::channel::<()>();
        let closed = Arc::new(Mutex::new(closed));
        let mut calls = Vec::new();
        // All at once: each is polled before the threads can take a job that ends.
        for _ in 0..QUEUE_MAX + 256 {
            let (passwords, closed) = (Arc::clone(&passwords), Arc::clone(&closed));
            calls.push(tokio::spawn(async move {
                let wait = move || closed.lock().unwrap().recv().is_err();
                passwords.run(wait).await
            }));
        }
        // Every call has been begun when the last one has.
        tokio::task::yield_now().await;
        drop(gate);
        let mut refused = 0;
        for call in calls {
            match call.await.unwrap() {
                Ok(ended) => assert!(ended),
                Err(reason) => {
                    assert_eq!(reason, Reason::TooManyRequests);
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "nothing was refused");
    }
}
