//! v3lockpb.Lock (contract/semantics.md 12.1, 12.2).

use bytes::Bytes;
use proto::{
    etcdserverpb::{RangeRequest, ResponseHeader, TxnRequest, range_request::SortOrder},
    v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse},
};

use super::{
    claim::Claim,
    inner::{self, Inner, Prefix},
};
use crate::{call::Call, exchange::End, member::Member, status::Reason};

pub(super) async fn lock<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    inner::waiting(call, async |inner: Inner<M>, request: LockRequest| {
        let lease = inner.lease(request.lease).await?;
        let prefix = Prefix::of(&request.name);
        let key = prefix.key(lease);
        let header = acquire(&inner, &prefix, key.clone(), lease).await?;
        Ok(LockResponse { header, key })
    })
    .await
}

/// Stands in line, or stays there when the lease has a place already, and waits for its turn.
async fn acquire<M: Member>(
    inner: &Inner<M>,
    prefix: &Prefix,
    key: Bytes,
    lease: i64,
) -> Result<Option<ResponseHeader>, Reason> {
    let own = RangeRequest { key: key.clone(), keys_only: true, ..Default::default() };
    let oldest = RangeRequest { keys_only: true, ..prefix.first(SortOrder::Ascend) };
    let request = TxnRequest {
        compare: vec![inner::created_at(key.clone(), 0)],
        success: vec![inner::put(key.clone(), Bytes::new(), lease), inner::get(oldest.clone())],
        failure: vec![inner::get(own.clone()), inner::get(oldest)],
    };
    let reply = inner.stand_in_line(request, key.clone()).await?;
    let revision = inner::claimed_at(&reply)?;
    if inner::row_of(&reply, 1).is_some_and(|owner| owner.create_revision == revision) {
        return Ok(reply.header);
    }
    let claim = Claim::new(inner, key, revision);
    let turn = async {
        inner.wait_for_older(prefix, revision).await?;
        inner.range(own).await
    };
    match turn.await {
        Ok(now) => {
            claim.keep();
            // The key may not have outlived the wait, and one that came in its place stands further back.
            let held = now.kvs.first().is_some_and(|row| row.create_revision == revision);
            if held { Ok(now.header) } else { Err(Reason::SessionExpired) }
        }
        Err(reason) => {
            claim.give_up().await;
            Err(reason)
        }
    }
}

pub(super) async fn unlock<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    inner::unary(call, async |inner: Inner<M>, request: UnlockRequest| {
        let header = inner.delete(request.key).await?.header;
        Ok(UnlockResponse { header })
    })
    .await
}
