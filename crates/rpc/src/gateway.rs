//! The JSON gateway: gRPC's methods as POST requests under `/v3/` (contract/http.tsv).
//!
//! A request becomes a call like any other: its JSON a message, its headers metadata. The call runs in the connection's
//! task, and only when the client takes something: its replies pass one by one over a [`Tray`] and leave as JSON.
//! Whoever comes this way is nobody until he shows a token; the name in his certificate does not count.

use std::{io, pin::Pin, rc::Rc};

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use hyper::body::Body;

use crate::{
    call::Call,
    connection::Peer,
    member::Member,
    method::{Kind, Method},
    status::{Reason, Status},
    thread::Thread,
};

mod answer;
mod documents;
mod errors;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod metadata;
mod routes;
mod running;
pub(crate) mod websocket;

pub(crate) use documents::{Documents, Inbound};
pub(crate) use routes::is_ours;
#[cfg(test)]
pub(crate) use routes::route_of;
pub(crate) use running::Tray;

use running::Running;

/// A body that comes as it is made.
pub(crate) type Streamed = Pin<Box<dyn Body<Data = Bytes, Error = io::Error>>>;

/// Marks an answer that holds a view of the store: the client must take it, piece by piece, in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InTime;

/// Why the gateway does not serve somebody at all: his certificate names a user, which he may take for a login.
pub(crate) fn refuses<M: Member>(thread: &Thread<M>, peer: &Peer) -> Option<&'static str> {
    let named = peer.secure && peer.common_name.as_ref().is_some_and(|name| !name.is_empty());
    (named && thread.member.auth_enabled()).then_some(
        "CommonName of client sending a request against gateway will be ignored and not used as expected",
    )
}

/// Answers a request. What it asks for ends when the answer is dropped.
pub(crate) async fn serve<M: Member>(
    thread: &Rc<Thread<M>>,
    remote: &str,
    request: &Parts,
    body: Inbound,
) -> Response<Streamed> {
    match translate(thread, remote, request, body).await {
        Ok((running, method)) => {
            let share = Rc::clone(&thread.share);
            let reply = types_of(method).1;
            match method.kind() {
                Kind::Unary => answer::unary(running, reply, share).await,
                Kind::ServerStream | Kind::BidiStream => answer::stream(running, reply, share).await,
            }
        }
        Err((http, status)) => errors::page(http, &status),
    }
}

async fn translate<M: Member>(
    thread: &Rc<Thread<M>>,
    remote: &str,
    request: &Parts,
    body: Inbound,
) -> Result<(Running, Method), (StatusCode, Status)> {
    let method = routes::method_of(&request.method, request.uri.path())?;
    let refused = |status: Status| (errors::http_status(status.code), status);
    let head = metadata::parse(&request.headers).map_err(refused)?;
    let mut documents = Documents::new(thread, types_of(method).0, body);
    if method.kind() != Kind::BidiStream {
        // Nothing is begun before the request is understood.
        documents.read_only(thread).await.map_err(refused)?;
    }
    if head.timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(refused(Reason::ContextDeadline.into()));
    }
    let tray = Rc::new(Tray::default());
    let mut call = Call::translated(thread, method, head, remote, documents, Rc::clone(&tray));
    let call = async move { call.run().await };
    Ok((Running::new(Box::pin(call), tray), method))
}

/// Request and reply.
fn types_of(method: Method) -> (proto::json::Type, proto::json::Type) {
    let path = format!("/{}/{}", method.service(), method.name());
    proto::json::method(&path).expect("every method is in the tables of its messages")
}
