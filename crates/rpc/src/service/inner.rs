//! What the lock and election services do in the name of their client: the calls that etcd's own client would make,
//! with the rights of whoever called (upstream: client/v3/concurrency, server/etcdserver/api/v3client).
//!
//! A key of theirs is `name "/" lease`, the lease in lower hex. Whoever has the smallest create revision below
//! `name "/"` owns the lock or leads; everybody else waits for the deletion of the one before.

use std::{pin::pin, rc::Rc};

use bytes::{BufMut, Bytes, BytesMut};
use prost::{Message, Name};
use proto::{
    etcdserverpb::{
        self as pb, Compare, RangeRequest, RequestOp, TxnRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        range_request::{SortOrder, SortTarget},
        request_op::Request,
        response_op::Response,
    },
    mvccpb::KeyValue,
};

use super::follow::{News, Watching};
use crate::{
    call::Call,
    exchange::End,
    member::{Body, Caller, Member},
    status::Reason,
    thread::Thread,
    validate,
};

/// TTL of a lease that a request did not bring, in seconds. Nobody renews it.
const LEASE_TTL_SECS: i64 = 60;
/// What a waiting call costs beside its request, in bytes: its state and its watcher.
const WAITING_BYTES: usize = 2 << 10;
/// The request's bytes live on in the key, in what is asked about it, and in the watcher on another one.
pub(super) const REQUEST_COPIES: usize = 3;
/// A reply is read in pieces of this many bytes.
const PIECE: usize = 64 << 10;

/// A unary method that makes calls of its own: read, admit, run, answer. Dropping `run` is how the call is canceled.
///
/// # Errors
/// How the call ends, unless with success.
pub(super) async fn unary<M: Member, Q: Message + Name + Default, P: Message>(
    call: &mut Call<M>,
    run: impl AsyncFnOnce(Inner<M>, Q) -> Result<P, Reason>,
) -> Result<(), End> {
    let request: Q = call.unary_request().await?;
    call.admit(false)?;
    call.hold_bytes(WAITING_BYTES + REQUEST_COPIES * request.encoded_len())?;
    let inner = Inner::of(call);
    let reply = call.exchange.wait(pin!(run(inner, request))).await?.map_err(Reason::through_client)?;
    call.send(&reply).await
}

/// As [`unary`], for a method that may wait without end: a server that stops does not wait for it.
pub(super) async fn waiting<M: Member, Q: Message + Name + Default, P: Message>(
    call: &mut Call<M>,
    run: impl AsyncFnOnce(Inner<M>, Q) -> Result<P, Reason>,
) -> Result<(), End> {
    call.exchange.set_cut(call.thread.stream_cut(false));
    unary(call, run).await
}

/// A member, as one caller sees it.
pub(super) struct Inner<M> {
    pub(super) thread: Rc<Thread<M>>,
    caller: Caller,
}

impl<M> Clone for Inner<M> {
    fn clone(&self) -> Inner<M> {
        Inner { thread: Rc::clone(&self.thread), caller: self.caller.clone() }
    }
}

impl<M: Member> Inner<M> {
    pub(super) fn of(call: &mut Call<M>) -> Inner<M> {
        Inner { thread: Rc::clone(&call.thread), caller: std::mem::take(&mut call.caller) }
    }

    /// The lease to work with: the one that the caller brings, or a new one.
    pub(super) async fn lease(&self, brought: i64) -> Result<i64, Reason> {
        if brought != 0 {
            return Ok(brought);
        }
        let request = pb::LeaseGrantRequest { ttl: LEASE_TTL_SECS, id: 0 };
        Ok(self.thread.member.lease_grant(self.caller.clone(), request).await?.id)
    }

    pub(super) async fn txn(&self, request: TxnRequest) -> Result<pb::TxnResponse, Reason> {
        validate::txn(&request, self.thread.common.limits.txn_ops_max)?;
        self.thread.member.txn(self.caller.clone(), request).await
    }

    pub(super) async fn delete(&self, key: Bytes) -> Result<pb::DeleteRangeResponse, Reason> {
        let request = pb::DeleteRangeRequest { key, ..Default::default() };
        validate::delete_range(&request)?;
        self.thread.member.delete_range(self.caller.clone(), request).await
    }

    /// A range of few rows, whole.
    pub(super) async fn range(&self, request: RangeRequest) -> Result<pb::RangeResponse, Reason> {
        let mut body = self.thread.member.range(self.caller.clone(), request).await?;
        let mut bytes = BytesMut::with_capacity(body.encoded_len());
        while let Some(piece) = body.next_piece(PIECE).await? {
            bytes.put(piece);
        }
        proto::decode(bytes.freeze()).map_err(|why| Reason::Other(format!("a reply is none: {why}")))
    }

    /// Watches with the caller's rights.
    pub(super) fn watch(&self, request: pb::WatchCreateRequest) -> Watching<M> {
        Watching::start(&self.thread.member, self.caller.clone(), request)
    }

    /// Waits until no key of `prefix` was created before `revision`: for the youngest of them, again and again.
    pub(super) async fn wait_for_older(&self, prefix: &Prefix, revision: i64) -> Result<(), Reason> {
        loop {
            let youngest = RangeRequest {
                max_create_revision: revision - 1,
                keys_only: true,
                ..prefix.first(SortOrder::Descend)
            };
            let older = self.range(youngest).await?;
            let Some(row) = older.kvs.first() else { return Ok(()) };
            let seen_at = older.header.as_ref().map_or(0, |header| header.revision);
            let mut watching = self.watch(pb::WatchCreateRequest {
                key: row.key.clone(),
                start_revision: seen_at + 1,
                filters: vec![pb::watch_create_request::FilterType::Noput.into()],
                ..Default::default()
            });
            match watching.next().await? {
                // Whatever was compacted away, the next look tells what is there now.
                News::Events(_) | News::Compacted => {}
            }
        }
    }

    /// Deletes a key of that create revision, as far as it is there.
    pub(super) async fn remove(&self, key: Bytes, revision: i64) -> Result<pb::TxnResponse, Reason> {
        let delete = pb::DeleteRangeRequest { key: key.clone(), ..Default::default() };
        let request = TxnRequest {
            compare: vec![created_at(key, revision)],
            success: vec![op(Request::RequestDeleteRange(delete))],
            failure: vec![],
        };
        self.txn(request).await
    }
}

/// The keys of one lock or election.
pub(super) struct Prefix(Bytes);

impl Prefix {
    pub(super) fn of(name: &[u8]) -> Prefix {
        Prefix([name, b"/"].concat().into())
    }

    /// The key of a lease; Go writes the hex of a negative one with a minus.
    pub(super) fn key(&self, lease: i64) -> Bytes {
        let sign = if lease < 0 { "-" } else { "" };
        let lease = format!("{sign}{:x}", lease.unsigned_abs());
        [&self.0, lease.as_bytes()].concat().into()
    }

    /// Exclusive.
    fn end(&self) -> Bytes {
        let mut end = self.0.to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        end.into()
    }

    /// Asks for one key: the oldest, or in descending order the youngest.
    pub(super) fn first(&self, order: SortOrder) -> RangeRequest {
        RangeRequest {
            key: self.0.clone(),
            range_end: self.end(),
            limit: 1,
            sort_order: order.into(),
            sort_target: SortTarget::Create.into(),
            ..Default::default()
        }
    }

    /// Watches all keys for puts, from `revision` on.
    pub(super) fn puts_from(&self, revision: i64) -> pb::WatchCreateRequest {
        pb::WatchCreateRequest {
            key: self.0.clone(),
            range_end: self.end(),
            start_revision: revision,
            filters: vec![pb::watch_create_request::FilterType::Nodelete.into()],
            fragment: true,
            ..Default::default()
        }
    }
}

/// Holds when the key was created at `revision`; 0: when it is not there.
pub(super) fn created_at(key: Bytes, revision: i64) -> Compare {
    Compare {
        key,
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        ..Default::default()
    }
}

pub(super) fn put(key: Bytes, value: Bytes, lease: i64) -> RequestOp {
    op(Request::RequestPut(pb::PutRequest { key, value, lease, ..Default::default() }))
}

pub(super) fn get(request: RangeRequest) -> RequestOp {
    op(Request::RequestRange(request))
}

pub(super) fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// The first row that the operation at `index` has read.
pub(super) fn row_of(reply: &pb::TxnResponse, index: usize) -> Option<&KeyValue> {
    match reply.responses.get(index)?.response.as_ref()? {
        Response::ResponseRange(range) => range.kvs.first(),
        _ => None,
    }
}

/// The create revision of a key that a transaction has put, or has found and read with its first operation.
///
/// # Errors
/// When the reply does not tell.
pub(super) fn claimed_at(reply: &pb::TxnResponse) -> Result<i64, Reason> {
    let revision = if reply.succeeded {
        reply.header.as_ref().map(|header| header.revision)
    } else {
        row_of(reply, 0).map(|row| row.create_revision)
    };
    revision.ok_or_else(|| Reason::Other("the reply to a transaction lacks what was asked for".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_etcds_client() {
        let prefix = Prefix::of(b"a/b");
        for (lease, key) in [
            (0x1f, "a/b/1f"),
            (-5, "a/b/-5"),
            (i64::MAX, "a/b/7fffffffffffffff"),
            (i64::MIN, "a/b/-8000000000000000"),
        ] {
            assert_eq!(prefix.key(lease), key);
        }
        assert_eq!(prefix.first(SortOrder::Ascend).range_end, "a/b0");
        assert_eq!(Prefix::of(b"\xff").first(SortOrder::Ascend).range_end, &b"\xff0"[..]);
        assert_eq!(Prefix::of(b"").key(1), "/1");
    }
}
