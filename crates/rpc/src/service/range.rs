//! KV.Range and KV.RangeStream: replies that are streamed out of the store in bounded memory.

use std::pin::pin;

use proto::etcdserverpb::RangeRequest;

use crate::{
    call::Call,
    exchange::End,
    member::{Chunks, Member},
    validate,
};

pub(super) async fn range<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    let request: RangeRequest = call.unary_request().await?;
    call.admit(request.serializable)?;
    validate::range(&request)?;
    let caller = std::mem::take(&mut call.caller);
    let body = call.exchange.wait(pin!(call.thread.member.range(caller, request))).await??;
    call.send_body(body).await
}

pub(super) async fn range_stream<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    call.begin_stream()?;
    let request: RangeRequest = call.stream_request().await?;
    validate::range_stream(&request)?;
    let chunk_bytes = call.thread.common.limits.request_bytes_max;
    let caller = std::mem::take(&mut call.caller);
    let mut chunks = call.thread.member.range_stream(caller, request, chunk_bytes);
    while let Some(chunk) = call.exchange.wait(pin!(chunks.next())).await?? {
        call.send_wrapped(chunk).await?;
    }
    Ok(())
}
