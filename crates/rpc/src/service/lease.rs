//! Lease.LeaseKeepAlive: one reply per request, in order, until the client closes its side.

use std::pin::pin;

use proto::etcdserverpb::LeaseKeepAliveRequest;

use crate::{call::Call, exchange::End, member::Member};

pub(super) async fn keep_alive<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    call.begin_stream()?;
    while let Some(request) = call.next_request::<LeaseKeepAliveRequest>().await? {
        let caller = call.caller.clone();
        let reply = call.exchange.wait(pin!(call.thread.member.lease_keep_alive(caller, request))).await??;
        call.send(&reply).await?;
    }
    Ok(())
}
