//! etcd's election: the candidate that was there first leads.

use std::collections::VecDeque;

use proto::{
    etcdserverpb::{self as pb, request_op::Request as Operation},
    mvccpb::{self, event::EventType},
};

use crate::{
    Client, Error, Session, Watches,
    lock::{absent, created_at, first_created, found, key_of, operation, wait_for_others},
    prefix_end,
};

/// A candidate, or the leader.
#[derive(Debug)]
pub struct Election {
    client: Client,
    lease: i64,
    key: Vec<u8>,
    prefix: Vec<u8>,
    revision: i64,
}

impl Election {
    /// Becomes a candidate. The key is there from now on, and [`Election::win`] waits until it leads.
    ///
    /// # Errors
    /// As for a call.
    pub async fn campaign(session: &Session, name: &str, proposal: &str) -> Result<Election, Error> {
        let prefix = format!("{name}/").into_bytes();
        let key = key_of(&prefix, session.lease());
        let put = put(&key, proposal, session.lease());
        let get = pb::RangeRequest { key: key.clone().into(), ..Default::default() };
        let request = pb::TxnRequest {
            compare: vec![absent(&key)],
            success: vec![operation(Operation::RequestPut(put))],
            failure: vec![operation(Operation::RequestRange(get))],
        };
        let client = session.client().clone();
        let reply = client.txn_repeatable(request).await?;
        let header = reply.header.as_ref().map_or(0, |header| header.revision);
        let there = found(&reply, 0).filter(|_| !reply.succeeded);
        let revision = there.map_or(header, |kv| kv.create_revision);
        let stale = there.is_some_and(|kv| kv.value != proposal.as_bytes());
        let election = Election { client, lease: session.lease(), key, prefix, revision };
        if stale {
            election.proclaim(proposal).await?;
        }
        Ok(election)
    }

    /// Waits until all who were candidates before have gone.
    ///
    /// # Errors
    /// As for a call.
    pub async fn win(&self) -> Result<(), Error> {
        wait_for_others(&self.client, &self.prefix, self.revision - 1).await
    }

    /// Says something else, as the same candidate.
    ///
    /// # Errors
    /// As for a call; `Lost` when the key is gone.
    pub async fn proclaim(&self, proposal: &str) -> Result<(), Error> {
        let request = pb::TxnRequest {
            compare: vec![created_at(&self.key, self.revision)],
            success: vec![operation(Operation::RequestPut(put(&self.key, proposal, self.lease)))],
            failure: Vec::new(),
        };
        match self.client.txn_repeatable(request).await?.succeeded {
            true => Ok(()),
            false => Err(Error::Lost("election: not leader")),
        }
    }

    /// Leads no longer.
    ///
    /// # Errors
    /// As for a call.
    pub async fn resign(&self) -> Result<(), Error> {
        let delete = pb::DeleteRangeRequest { key: self.key.clone().into(), ..Default::default() };
        let request = pb::TxnRequest {
            compare: vec![created_at(&self.key, self.revision)],
            success: vec![operation(Operation::RequestDeleteRange(delete))],
            failure: Vec::new(),
        };
        self.client.txn_repeatable(request).await?;
        Ok(())
    }

    /// The candidate's key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

fn put(key: &[u8], value: &str, lease: i64) -> pb::PutRequest {
    pb::PutRequest {
        key: key.to_vec().into(),
        value: value.as_bytes().to_vec().into(),
        lease,
        ..Default::default()
    }
}

/// Who leads, and who leads next.
#[derive(Debug)]
pub struct Observer {
    client: Client,
    prefix: Vec<u8>,
    /// The leader's key is watched.
    watches: Option<Watches>,
    /// What was seen and not told yet.
    seen: VecDeque<pb::RangeResponse>,
}

impl Observer {
    /// Of the election of that name.
    pub fn new(client: &Client, name: &str) -> Observer {
        let prefix = format!("{name}/").into_bytes();
        Observer { client: client.clone(), prefix, watches: None, seen: VecDeque::new() }
    }

    /// The leader's key and proposal, now and whenever one of them changes.
    ///
    /// # Errors
    /// As for a call; `WatchCanceled`.
    pub async fn next(&mut self) -> Result<pb::RangeResponse, Error> {
        loop {
            if let Some(seen) = self.seen.pop_front() {
                return Ok(seen);
            }
            let Some(watches) = &mut self.watches else {
                self.find().await?;
                continue;
            };
            let told = watches.next().await?;
            if told.reply.canceled {
                return Err(Error::WatchCanceled(told.reply.cancel_reason));
            }
            for event in told.reply.events {
                if event.r#type() == EventType::Delete {
                    self.watches = None;
                    break;
                }
                self.seen.push_back(one(told.reply.header, event.kv));
            }
        }
    }

    /// Finds the leader, or waits for one, and watches its key.
    async fn find(&mut self) -> Result<(), Error> {
        let reply = self.client.range(first_created(&self.prefix)).await?;
        let (mut header, mut kv) = (reply.header, reply.kvs.into_iter().next());
        if kv.is_none() {
            let mut watches = Watches::new(&self.client, false);
            let create = pb::WatchCreateRequest {
                key: self.prefix.clone().into(),
                range_end: prefix_end(&self.prefix).into(),
                start_revision: header.as_ref().map_or(0, |header| header.revision),
                ..Default::default()
            };
            watches.add(create).await;
            while kv.is_none() {
                let told = watches.next().await?;
                if told.reply.canceled {
                    return Err(Error::WatchCanceled(told.reply.cancel_reason));
                }
                header = told.reply.header;
                kv = told
                    .reply
                    .events
                    .into_iter()
                    .find(|event| event.r#type() == EventType::Put)
                    .and_then(|event| event.kv);
            }
            if let (Some(header), Some(kv)) = (&mut header, &kv) {
                header.revision = kv.mod_revision;
            }
        }
        let Some(kv) = kv else { return Ok(()) };
        let create = pb::WatchCreateRequest {
            key: kv.key.clone(),
            start_revision: header.as_ref().map_or(0, |header| header.revision) + 1,
            ..Default::default()
        };
        let mut watches = Watches::new(&self.client, false);
        watches.add(create).await;
        self.watches = Some(watches);
        self.seen.push_back(one(header, Some(kv)));
        Ok(())
    }
}

fn one(header: Option<pb::ResponseHeader>, kv: Option<mvccpb::KeyValue>) -> pb::RangeResponse {
    pb::RangeResponse { header, kvs: kv.into_iter().collect(), ..Default::default() }
}
