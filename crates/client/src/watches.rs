//! Watches that outlive their stream.

use std::{collections::VecDeque, time::Duration};

use proto::etcdserverpb::{self as pb, watch_request::RequestUnion};
use tonic::Code;

use crate::{Client, Error, queue::Talk, watch::PATH};

/// A server that ends streams at once is asked again after this.
const PAUSE: Duration = Duration::from_millis(50);

/// Several watches on one stream. When it breaks, all go on at the next revision on another one.
#[derive(Debug)]
pub struct Watches {
    client: Client,
    require_leader: bool,
    watches: Vec<One>,
    /// Watches whose creation is not answered yet; answers come in this order.
    creating: VecDeque<usize>,
    talk: Option<Talk<pb::WatchRequest, pb::WatchResponse>>,
}

#[derive(Debug)]
struct One {
    /// How it goes on.
    create: pb::WatchCreateRequest,
    /// What the server calls it.
    id: Option<i64>,
    over: bool,
}

/// A reply, and whose it is.
#[derive(Debug)]
pub struct Told {
    /// The numbers of the watches; progress that was asked for is for all of them.
    pub watches: Vec<usize>,
    /// What was said. Nothing more comes for these watches when it says that they are canceled.
    pub reply: pb::WatchResponse,
}

impl Watches {
    /// None yet. With `require_leader` a member that has no leader ends them.
    pub fn new(client: &Client, require_leader: bool) -> Watches {
        Watches {
            client: client.clone(),
            require_leader,
            watches: Vec::new(),
            creating: VecDeque::new(),
            talk: None,
        }
    }

    /// Adds a watch, and gives its number.
    pub async fn add(&mut self, create: pb::WatchCreateRequest) -> usize {
        let number = self.watches.len();
        self.watches.push(One { create: create.clone(), id: None, over: false });
        if let Some(talk) = &self.talk {
            self.creating.push_back(number);
            talk.send(pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }).await;
        }
        number
    }

    /// Asks how far all of them are; the answer is a reply without events.
    ///
    /// # Errors
    /// When there is no stream and none can be opened.
    pub async fn ask_progress(&mut self) -> Result<(), Error> {
        self.open().await?;
        if let Some(talk) = &self.talk {
            let request = RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
            talk.send(pb::WatchRequest { request_union: Some(request) }).await;
        }
        Ok(())
    }

    /// Whether every watch is over.
    pub fn is_over(&self) -> bool {
        self.watches.iter().all(|watch| watch.over)
    }

    /// The next reply of a watch. May be dropped and called again.
    ///
    /// # Errors
    /// When streams are refused.
    pub async fn next(&mut self) -> Result<Told, Error> {
        loop {
            self.open().await?;
            let Some(talk) = &mut self.talk else { return Err(Error::TimeUp(None)) };
            let again = match talk.next().await {
                Ok(Some(reply)) => {
                    if let Some(told) = self.take(reply) {
                        return Ok(told);
                    }
                    continue;
                }
                Ok(None) => true,
                Err(error) => match error.status().map(tonic::Status::code) {
                    Some(Code::Unavailable | Code::Internal) if !error.is("etcdserver: no leader") => true,
                    _ => return Err(error),
                },
            };
            if again {
                self.talk = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Opens a stream with all watches that are not over, unless there is one.
    async fn open(&mut self) -> Result<(), Error> {
        if self.talk.is_some() {
            return Ok(());
        }
        self.creating.clear();
        let mut first = Vec::new();
        for (number, watch) in self.watches.iter_mut().enumerate().filter(|(_, watch)| !watch.over) {
            watch.id = None;
            self.creating.push_back(number);
            let create = RequestUnion::CreateRequest(watch.create.clone());
            first.push(pb::WatchRequest { request_union: Some(create) });
        }
        self.talk = Some(Talk::open(&self.client, PATH, &first, self.require_leader).await?);
        Ok(())
    }

    /// Notes how far a watch is; `None` for replies of no interest.
    fn take(&mut self, reply: pb::WatchResponse) -> Option<Told> {
        let number = if reply.created {
            let number = self.creating.pop_front()?;
            let watch = &mut self.watches[number];
            watch.id = Some(reply.watch_id);
            if watch.create.start_revision == 0 {
                watch.create.start_revision = reply.header.as_ref().map_or(0, |header| header.revision);
            }
            if !reply.canceled {
                return None;
            }
            number
        } else {
            let progress = reply.events.is_empty() && !reply.canceled;
            if progress && reply.watch_id == NO_WATCH {
                let watches = (0..self.watches.len()).filter(|at| !self.watches[*at].over).collect();
                return Some(Told { watches, reply });
            }
            let number =
                self.watches.iter().position(|watch| watch.id == Some(reply.watch_id) && !watch.over)?;
            let next = reply.events.last().and_then(|event| Some(event.kv.as_ref()?.mod_revision));
            let next = next.or_else(|| reply.header.as_ref().map(|header| header.revision));
            if let Some(revision) = next.filter(|_| !reply.canceled) {
                self.watches[number].create.start_revision = revision + 1;
            }
            number
        };
        self.watches[number].over = reply.canceled;
        Some(Told { watches: vec![number], reply })
    }
}

/// The id in replies that are for all watches, or for one that was never created.
const NO_WATCH: i64 = -1;
