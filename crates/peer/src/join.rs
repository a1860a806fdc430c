//! What a running cluster says of itself to somebody who joins it (upstream: `GetClusterFromRemotePeers`).

use std::{io, time::Duration};

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use node::{PeerAddress, RunningCluster};
use telemetry::line;
use tokio::{runtime, time::timeout};
use types::{ClusterId, MemberId};

use crate::{
    compat::{self, CLUSTER_ID},
    config::TlsSource,
    dial::Dialer,
    pipeline::body_of,
    urls::Url,
};

/// Far more members than a cluster can have.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Asks one URL after the other, for `patience` each, until a member answers.
///
/// # Errors
/// When nobody does; with etcd's text.
pub fn running_cluster(
    urls: &[String],
    tls: Option<TlsSource>,
    patience: Duration,
) -> io::Result<RunningCluster> {
    let found = first_answer(urls, tls, patience, |address, error| {
        line!(Warn, "failed to get cluster response", "address" => address, "error" => error);
    })?;
    found.ok_or_else(|| io::Error::other("could not retrieve cluster information from the given URLs"))
}

/// As [`running_cluster`], for whoever does not expect one.
///
/// # Errors
/// When it cannot ask.
pub fn any_running_cluster(
    urls: &[String],
    tls: Option<TlsSource>,
    patience: Duration,
) -> io::Result<Option<RunningCluster>> {
    first_answer(urls, tls, patience, |_, _| {})
}

/// `failed` hears of addresses that gave no answer, and why.
fn first_answer(
    urls: &[String],
    tls: Option<TlsSource>,
    patience: Duration,
    failed: impl Fn(String, String),
) -> io::Result<Option<RunningCluster>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let dialer = Dialer { tls, timeout: patience };
    for text in urls {
        let Some(url) = Url::parse(text) else {
            failed(text.clone(), "it is no peer URL".into());
            continue;
        };
        let asked = async {
            timeout(patience, ask(&dialer, &url))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match runtime.block_on(asked) {
            Ok(cluster) => return Ok(Some(cluster)),
            Err(error) => failed(format!("{url}/members"), error.to_string()),
        }
    }
    Ok(None)
}

pub(crate) async fn ask(dialer: &Dialer, url: &Url) -> io::Result<RunningCluster> {
    let request = Request::get("/members").body(body_of("")).map_err(io::Error::other)?;
    let mut link = None;
    let response = dialer.request(&mut link, url, request).await?;
    if response.status() != StatusCode::OK {
        return Err(io::Error::other(format!("it answers {}", response.status())));
    }
    let id = compat::parse_id(compat::text(response.headers(), CLUSTER_ID))
        .ok_or_else(|| io::Error::other("it does not say of which cluster it is"))?;
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let (members, started) = members(&body.map_err(io::Error::other)?.to_bytes())?;
    Ok(RunningCluster { id: ClusterId(id), members, started })
}

/// A list of members as etcd's peer port gives it, and those of them that say where clients find them.
fn members(json: &[u8]) -> io::Result<(Vec<PeerAddress>, Vec<MemberId>)> {
    let value: serde_json::Value = serde_json::from_slice(json)?;
    let wrong = || io::Error::other("it does not answer with a list of members");
    let list = value.as_array().ok_or_else(wrong)?;
    let has_clients =
        |member: &&serde_json::Value| member["clientURLs"].as_array().is_some_and(|urls| !urls.is_empty());
    let started = list.iter().filter(has_clients).filter_map(|member| member["id"].as_u64().map(MemberId));
    let address = |member: &serde_json::Value| {
        let urls = member["peerURLs"].as_array()?.iter().map(|url| Some(url.as_str()?.to_owned()));
        Some(PeerAddress { id: MemberId(member["id"].as_u64()?), urls: urls.collect::<Option<_>>()? })
    };
    let members: Option<Vec<_>> = list.iter().map(address).collect();
    let members = members.filter(|members| !members.is_empty()).ok_or_else(wrong)?;
    Ok((members, started.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_others_are_refused() {
        let json = br#"[{"id":18446744073709551615,"peerURLs":["http://a:1","http://b:1"],"name":"m","clientURLs":["http://c:1"]},{"id":2,"peerURLs":[],"isLearner":true}]"#;
        let (read, started) = members(json).unwrap();
        assert_eq!(started, [MemberId(u64::MAX)]);
        assert_eq!((read[0].id.0, read[0].urls.len(), read[1].urls.len()), (u64::MAX, 2, 0));
        for wrong in ["", "{}", "[]", "[1]", r#"[{"id":-1,"peerURLs":[]}]"#, r#"[{"id":1,"peerURLs":[1]}]"#] {
            assert!(members(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nobody_answers() {
        let urls = ["http://127.0.0.1:1".to_string(), "what".to_string()];
        let error = running_cluster(&urls, None, Duration::from_secs(5)).unwrap_err();
        assert_eq!(any_running_cluster(&urls, None, Duration::from_secs(5)).unwrap(), None);
        assert_eq!(error.to_string(), "could not retrieve cluster information from the given URLs");
    }
}
