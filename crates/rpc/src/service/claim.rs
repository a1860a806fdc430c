//! Keys that stand in line, and what becomes of them when their caller goes away (contract/semantics.md 12.2).

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use bytes::Bytes;
use proto::etcdserverpb::{TxnRequest, TxnResponse};

use super::inner::{Inner, REQUEST_COPIES, claimed_at};
use crate::{member::Member, status::Reason};

impl<M: Member> Inner<M> {
    /// Runs the transaction that puts `key` in line. When the caller goes away before its answer is there, it is
    /// waited for all the same, and a key that was put is removed.
    pub(super) async fn stand_in_line(&self, request: TxnRequest, key: Bytes) -> Result<TxnResponse, Reason> {
        let inner = self.clone();
        let txn = Box::pin(async move { inner.txn(request).await });
        let mut landing = Landing { inner: self, key, txn: Some(txn) };
        let reply = poll_fn(|cx| match &mut landing.txn {
            Some(txn) => txn.as_mut().poll(cx),
            None => Poll::Pending,
        })
        .await;
        landing.txn = None;
        reply
    }
}

type TxnUnderWay = Pin<Box<dyn Future<Output = Result<TxnResponse, Reason>>>>;

/// A key that is about to stand in line.
struct Landing<'a, M: Member> {
    inner: &'a Inner<M>,
    key: Bytes,
    /// Absent once there is an answer.
    txn: Option<TxnUnderWay>,
}

impl<M: Member> Drop for Landing<'_, M> {
    fn drop(&mut self) {
        let Some(txn) = self.txn.take() else { return };
        let (inner, key) = (self.inner.clone(), self.key.clone());
        self.inner.thread.run_errand(REQUEST_COPIES * key.len(), async move {
            // A key that was there already belongs to another call of the same session.
            if let Ok(reply) = txn.await
                && reply.succeeded
                && let Ok(revision) = claimed_at(&reply)
            {
                // There is nobody to tell; the lease ends the key at last.
                let _ = inner.remove(key, revision).await;
            }
        });
    }
}

/// A key that stands in line for its caller. When the caller goes away while it waits, the key is removed.
pub(super) struct Claim<'a, M: Member> {
    inner: &'a Inner<M>,
    key: Bytes,
    /// Create revision of the key.
    revision: i64,
    kept: bool,
}

impl<'a, M: Member> Claim<'a, M> {
    pub(super) fn new(inner: &'a Inner<M>, key: Bytes, revision: i64) -> Claim<'a, M> {
        Claim { inner, key, revision, kept: false }
    }

    /// Leaves the key, whatever comes.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }

    /// Removes the key, as far as that is possible.
    pub(super) async fn give_up(mut self) {
        self.kept = true;
        // Why not is of no use to the caller, who learns why it has failed; the lease ends the key at last.
        let _ = self.inner.remove(self.key.clone(), self.revision).await;
    }
}

impl<M: Member> Drop for Claim<'_, M> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let (inner, key, revision) = (self.inner.clone(), self.key.clone(), self.revision);
        self.inner.thread.run_errand(REQUEST_COPIES * key.len(), async move {
            let _ = inner.remove(key, revision).await;
        });
    }
}
