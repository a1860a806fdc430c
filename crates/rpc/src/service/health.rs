//! grpc.health.v1: this server serves, as one service with the empty name (contract/semantics.md 11.7).

use std::pin::pin;

use proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_check_response::ServingStatus,
};

use crate::{
    call::Call,
    exchange::End,
    member::Member,
    status::{Code, Reason, Status},
};

pub(super) async fn check<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    let request: HealthCheckRequest = call.unary_request().await?;
    call.admit(false)?;
    if !request.service.is_empty() {
        return Err(Reason::UnknownHealthService.into());
    }
    call.send(&reply(ServingStatus::Serving)).await
}

pub(super) async fn list<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    let _: HealthListRequest = call.unary_request().await?;
    call.admit(false)?;
    let statuses = [(String::new(), reply(ServingStatus::Serving))].into();
    call.send(&HealthListResponse { statuses }).await
}

/// One status, and then nothing until the stream ends: the status never changes while connections are served.
pub(super) async fn watch<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    call.begin_stream()?;
    let request: HealthCheckRequest = call.stream_request().await?;
    let known = request.service.is_empty();
    let status = if known { ServingStatus::Serving } else { ServingStatus::ServiceUnknown };
    call.send(&reply(status)).await?;
    match call.exchange.wait(pin!(std::future::pending::<()>())).await {
        Ok(()) | Err(End::Gone) => Err(End::Gone),
        Err(End::Failed(_)) => Err(Status::new(Code::Canceled, "Stream has ended.").into()),
    }
}

fn reply(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
