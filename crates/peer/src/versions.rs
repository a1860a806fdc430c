//! Which version another member's server has: the leader sets the cluster's version by it (upstream:
//! server/etcdserver/cluster_util.go).

use std::{io, sync::Arc, time::Duration};

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use telemetry::line;
use tokio::time::{sleep, timeout};

use crate::{
    IO_TIMEOUT,
    dial::{Dialer, Link},
    peer::Peer,
    pipeline::body_of,
    urls::Url,
};

/// Between two questions to a member that has answered, and to one that has not.
const KNOWN_INTERVAL: Duration = Duration::from_secs(5);
const UNKNOWN_INTERVAL: Duration = Duration::from_millis(500);
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Asks for ever, at whichever address answers.
pub(crate) async fn run(dialer: Dialer, urls: Vec<Url>, peer: Arc<Peer>) {
    let (mut pinned, mut link, mut failures) = (0, None, 0u32);
    loop {
        let answer = match timeout(IO_TIMEOUT, ask(&dialer, &mut link, &urls[pinned])).await {
            Ok(answer) => answer,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let pause = match answer {
            Ok(version) => {
                failures = 0;
                peer.status.set_version(Some(version));
                KNOWN_INTERVAL
            }
            Err(error) => {
                failures += 1;
                // Once for each member that goes away, not each time it is asked.
                if failures == 1 {
                    line!(Warn, "failed to get version", "remote-member-id" => peer.id.to_string(),
                        "error" => error.to_string());
                }
                peer.status.set_version(None);
                pinned = (pinned + 1) % urls.len();
                link = None;
                UNKNOWN_INTERVAL
            }
        };
        sleep(pause).await;
    }
}

async fn ask(dialer: &Dialer, link: &mut Option<Link>, url: &Url) -> io::Result<String> {
    let request = Request::get("/version").body(body_of("")).map_err(io::Error::other)?;
    let response = dialer.request(link, url, request).await?;
    if response.status() != StatusCode::OK {
        return Err(io::Error::other(format!("{url}/version answers {}", response.status())));
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    let value: serde_json::Value = serde_json::from_slice(&body)?;
    let version = value["etcdserver"].as_str().map(str::to_owned);
    version.ok_or_else(|| io::Error::other("it does not say which version it has"))
}
