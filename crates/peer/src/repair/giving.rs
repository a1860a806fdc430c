//! Answering who has lost something.
//!
//! Nothing is given to strangers that they could not have anyway: whoever gets as far as here has passed what the peer
//! listener asks for, its client certificates above all, and may propose to the leader whatever it likes.

use std::{io, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header::TRAILER, request::Parts};
use http_body_util::{BodyExt, Limited};
use node::{EntryName, SnapshotImage};
use telemetry::line;
use tokio::time::timeout;
use types::raft::Entry;

use super::{ANSWER_DATA_MAX, DATABASE, ENTRIES, answer, asked};
use crate::{
    Body, IO_TIMEOUT,
    compat::{self, FILE_SUM, SERVER_FROM},
    outgoing,
    pipeline::body_of,
    refusal::{Refusal, refuse},
    server::{Posted, allow_only},
    shared::Shared,
};

/// Of a question, in bytes.
const QUESTION_BYTES_MAX: usize = 512 << 10;

/// What a member has for others. Both calls may block.
pub trait Donor: Send + Sync {
    /// Those of the named entries that are in this member's log, up to so many bytes of data, and one at least.
    ///
    /// # Errors
    /// Why the log cannot be read.
    fn entries(&self, named: &[EntryName], bytes_max: usize) -> Result<Vec<Entry>, String>;

    /// The database as it is now.
    ///
    /// # Errors
    /// Why there is none.
    fn database(&self) -> Result<SnapshotImage, String>;
}

/// Answers a question under [`super::PREFIX`] of a member of this cluster.
pub(crate) async fn page(
    shared: &Arc<Shared>,
    head: &Parts,
    body: Posted,
) -> Result<Response<Body>, Refusal> {
    let not_found = || refuse(StatusCode::NOT_FOUND, "404 page not found");
    let donor = shared.config.donor.clone().ok_or_else(not_found)?;
    compat::check(&shared.config, &head.headers)
        .map_err(|mismatch| refuse(StatusCode::PRECONDITION_FAILED, mismatch.to_string()))?;
    let from = compat::text(&head.headers, SERVER_FROM);
    if compat::parse_id(from).is_none_or(|id| shared.peer(id).is_none()) {
        return Err(refuse(StatusCode::FORBIDDEN, "who asks is no member of the cluster"));
    }
    let path = head.uri.path();
    line!(Info, "another member asks for what it has lost", "remote-peer-id" => from, "path" => path);
    match path {
        ENTRIES => {
            allow_only(head, Method::POST, "POST")?;
            entries(shared, donor, body).await
        }
        DATABASE => {
            allow_only(head, Method::GET, "GET")?;
            database(shared, donor).await
        }
        _ => Err(not_found()),
    }
}

async fn entries(shared: &Shared, donor: Arc<dyn Donor>, body: Posted) -> Result<Response<Body>, Refusal> {
    let unread = || refuse(StatusCode::BAD_REQUEST, "the question cannot be read");
    let whole = timeout(IO_TIMEOUT, Limited::new(body, QUESTION_BYTES_MAX).collect()).await;
    let whole = whole.map_err(|_| unread())?.map_err(|_| unread())?.to_bytes();
    let named = asked(&whole).ok_or_else(unread)?;
    // One at a time, with the database: each reads much.
    let place = Arc::clone(&shared.donations).acquire_owned().await;
    let found = shared.runtime.spawn_blocking(move || {
        let _place = place;
        donor.entries(&named, ANSWER_DATA_MAX)
    });
    let found = found.await.map_err(|error| broken(error.to_string()))?.map_err(broken)?;
    Ok(Response::new(body_of(answer(&found))))
}

async fn database(shared: &Shared, donor: Arc<dyn Donor>) -> Result<Response<Body>, Refusal> {
    let Ok(place) = Arc::clone(&shared.donations).try_acquire_owned() else {
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "another member is being helped already"));
    };
    let image = shared.runtime.spawn_blocking(move || donor.database());
    let image = image.await.map_err(|error| broken(error.to_string()))?.map_err(broken)?;
    let mut page = Response::new(outgoing::stream(&shared.runtime, image, Bytes::new(), place));
    page.headers_mut().insert(TRAILER, HeaderValue::from_static(FILE_SUM));
    Ok(page)
}

fn broken(why: String) -> Refusal {
    let why = io::Error::other(why);
    line!(Warn, "cannot give another member what it has lost", "error" => why.to_string());
    refuse(StatusCode::INTERNAL_SERVER_ERROR, why.to_string())
}
