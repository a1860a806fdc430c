//! etcd's lock: each waits for the one in front.

use proto::{
    etcdserverpb::{
        self as pb, compare, range_request, request_op::Request as Operation, response_op::Response as Done,
    },
    mvccpb::{self, event::EventType},
};

use crate::{Client, Error, Session, Watches, prefix_end};

/// A lock that a session holds, or a lock to be.
#[derive(Debug)]
pub struct Mutex {
    client: Client,
    key: Vec<u8>,
    /// The revision at which it was taken.
    revision: i64,
}

impl Mutex {
    /// Takes the lock of a name, when all who were there before have gone. When the session ends the lock goes with it.
    ///
    /// # Errors
    /// As for a call; `Lost` when the key is gone once the others are.
    pub async fn lock(session: &Session, name: &str) -> Result<Mutex, Error> {
        let client = session.client().clone();
        let prefix = format!("{name}/").into_bytes();
        let key = key_of(&prefix, session.lease());
        let owner = first_created(&prefix);
        let put = pb::PutRequest { key: key.clone().into(), lease: session.lease(), ..Default::default() };
        let get = pb::RangeRequest { key: key.clone().into(), ..Default::default() };
        let request = pb::TxnRequest {
            compare: vec![absent(&key)],
            success: vec![
                operation(Operation::RequestPut(put)),
                operation(Operation::RequestRange(owner.clone())),
            ],
            failure: vec![operation(Operation::RequestRange(get)), operation(Operation::RequestRange(owner))],
        };
        let reply = client.txn_repeatable(request).await?;
        let header = reply.header.map_or(0, |header| header.revision);
        let mine = if reply.succeeded { header } else { created(&reply, 0).unwrap_or(header) };
        let mut mutex = Mutex { client, key, revision: header };
        if created(&reply, 1).is_none_or(|first| first == mine) {
            return Ok(mutex);
        }
        let waited = mutex.wait(&prefix, mine).await;
        match waited {
            Ok(revision) => {
                mutex.revision = revision;
                Ok(mutex)
            }
            Err(error) => {
                // The first error counts; the key ends with the session anyway.
                let _ = mutex.unlock().await;
                Err(error)
            }
        }
    }

    async fn wait(&self, prefix: &[u8], mine: i64) -> Result<i64, Error> {
        wait_for_others(&self.client, prefix, mine - 1).await?;
        let request = pb::RangeRequest { key: self.key.clone().into(), ..Default::default() };
        let reply = self.client.range(request).await?;
        match reply.kvs.is_empty() {
            true => Err(Error::Lost("mutex: session is expired")),
            false => Ok(reply.header.map_or(0, |header| header.revision)),
        }
    }

    /// The key that stands for the holder.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The revision at which it was taken.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Gives the lock away.
    ///
    /// # Errors
    /// As for a call.
    pub async fn unlock(&self) -> Result<(), Error> {
        let request = pb::DeleteRangeRequest { key: self.key.clone().into(), ..Default::default() };
        self.client.delete(request).await?;
        Ok(())
    }
}

/// The key of a session below a prefix.
pub(crate) fn key_of(prefix: &[u8], lease: i64) -> Vec<u8> {
    let mut key = prefix.to_vec();
    key.extend_from_slice(format!("{lease:x}").as_bytes());
    key
}

pub(crate) fn operation(request: Operation) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

/// That there is no such key.
pub(crate) fn absent(key: &[u8]) -> pb::Compare {
    created_at(key, 0)
}

/// That a key exists since a revision.
pub(crate) fn created_at(key: &[u8], revision: i64) -> pb::Compare {
    pb::Compare {
        result: compare::CompareResult::Equal.into(),
        target: compare::CompareTarget::Create.into(),
        key: key.to_vec().into(),
        target_union: Some(compare::TargetUnion::CreateRevision(revision)),
        ..Default::default()
    }
}

/// The key below a prefix that was there first.
pub(crate) fn first_created(prefix: &[u8]) -> pb::RangeRequest {
    by_creation(prefix, range_request::SortOrder::Ascend)
}

fn by_creation(prefix: &[u8], order: range_request::SortOrder) -> pb::RangeRequest {
    pb::RangeRequest {
        key: prefix.to_vec().into(),
        range_end: prefix_end(prefix).into(),
        limit: 1,
        sort_order: order.into(),
        sort_target: range_request::SortTarget::Create.into(),
        ..Default::default()
    }
}

/// The first key that an operation of a transaction found.
pub(crate) fn found(reply: &pb::TxnResponse, operation: usize) -> Option<&mvccpb::KeyValue> {
    match reply.responses.get(operation)?.response.as_ref()? {
        Done::ResponseRange(range) => range.kvs.first(),
        _ => None,
    }
}

fn created(reply: &pb::TxnResponse, operation: usize) -> Option<i64> {
    found(reply, operation).map(|kv| kv.create_revision)
}

/// Waits until no key below a prefix is left that was created at or before a revision.
pub(crate) async fn wait_for_others(client: &Client, prefix: &[u8], revision: i64) -> Result<(), Error> {
    loop {
        let mut request = by_creation(prefix, range_request::SortOrder::Descend);
        request.max_create_revision = revision;
        let reply = client.range(request).await?;
        let Some(kv) = reply.kvs.first() else { return Ok(()) };
        let from = reply.header.map_or(0, |header| header.revision);
        wait_for_delete(client, &kv.key, from).await?;
    }
}

async fn wait_for_delete(client: &Client, key: &[u8], from: i64) -> Result<(), Error> {
    let mut watches = Watches::new(client, false);
    let create =
        pb::WatchCreateRequest { key: key.to_vec().into(), start_revision: from, ..Default::default() };
    watches.add(create).await;
    loop {
        let told = watches.next().await?;
        if told.reply.events.iter().any(|event| event.r#type() == EventType::Delete) {
            return Ok(());
        }
        if told.reply.canceled {
            return Err(Error::WatchCanceled(told.reply.cancel_reason));
        }
    }
}
