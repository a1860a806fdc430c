//! Whether a member of our version can join a running cluster (upstream: `isCompatibleWithCluster`).

use std::{future::Future, io, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use node::{PeerAddress, Release, RunningCluster};
use telemetry::line;
use tokio::{runtime, time::timeout};

use crate::{
    compat::{CLUSTER_VERSION_MIN, major_minor},
    config::TlsSource,
    dial::Dialer,
    pipeline::body_of,
    urls::Url,
};

const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Major and minor number.
type Minor = (u64, u64);

/// Asks the members of a cluster for its version, for `patience` each; whoever listens at one of `own` is left out.
///
/// # Errors
/// With etcd's text, when nobody tells a version that a member of `release` can join, or somebody tells another one.
pub fn check_joinable(
    cluster: &RunningCluster,
    own: &[String],
    release: Release,
    tls: Option<TlsSource>,
    patience: Duration,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let dialer = Dialer { tls, timeout: patience };
    let is_own = |member: &&PeerAddress| member.urls.iter().any(|url| own.contains(url));
    let others: Vec<&PeerAddress> = cluster.members.iter().filter(|member| !is_own(member)).collect();
    runtime.block_on(async {
        let downgrading = is_downgrading(&dialer, &others, patience).await;
        let (lowest, highest) = range(release, downgrading);
        let mut known = false;
        for member in others {
            let Some(version) = cluster_version(&dialer, member, patience).await else { continue };
            let verdict = if version < lowest {
                "cluster version of remote member is not compatible; too low"
            } else if version > highest {
                "cluster version of remote member is not compatible; too high"
            } else {
                known = true;
                continue;
            };
            line!(Warn, verdict,
                "remote-member-id" => member.id.to_string(),
                "remote-member-cluster-version" => text(version),
                "minimum-cluster-version-supported" => text(lowest),
                "maximum-cluster-version-supported" => text(highest));
            known = false;
            break;
        }
        known.then_some(()).ok_or_else(|| io::Error::other("incompatible with current running cluster"))
    })
}

fn text((major, minor): Minor) -> String {
    format!("{major}.{minor}.0")
}

/// The cluster versions that a member of `release` can join. One that goes down still has the version above.
fn range(release: Release, downgrading: bool) -> (Minor, Minor) {
    let read = |text| major_minor(text).expect("our own version is one");
    let (major, minor) = read(release.text());
    let above = (major, minor + 1);
    if downgrading { (above, above) } else { (read(CLUSTER_VERSION_MIN), (major, minor)) }
}

/// Whether the cluster goes down a version. The answer is the cluster's, so the first one counts.
async fn is_downgrading(dialer: &Dialer, others: &[&PeerAddress], patience: Duration) -> bool {
    for member in others {
        let asked = any_url(member, |url| async move {
            let body = get(dialer, &url, "/downgrade/enabled", patience).await?;
            match &body[..] {
                b"true" => Ok(true),
                b"false" => Ok(false),
                _ => Err(io::Error::other("it answers neither true nor false")),
            }
        });
        match asked.await {
            Ok(answer) => return answer,
            Err(error) => line!(Warn, "failed to get downgrade enabled status",
                "remote-member-id" => member.id.to_string(), "error" => error.to_string()),
        }
    }
    false
}

/// The version of the cluster as a member knows it.
async fn cluster_version(dialer: &Dialer, member: &PeerAddress, patience: Duration) -> Option<Minor> {
    let asked = any_url(member, |url| async move {
        let body = get(dialer, &url, "/version", patience).await?;
        let value: serde_json::Value = serde_json::from_slice(&body)?;
        let version = value["etcdcluster"].as_str().and_then(major_minor);
        version.ok_or_else(|| io::Error::other("it does not tell the version of the cluster"))
    });
    asked
        .await
        .inspect_err(|error| {
            line!(Warn, "failed to get version",
                "remote-member-id" => member.id.to_string(), "error" => error.to_string());
        })
        .ok()
}

/// Asks one URL of a member after the other. The last failure counts.
async fn any_url<T, F>(member: &PeerAddress, ask: impl Fn(Url) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut last = io::Error::other("it has no peer URL");
    for url in member.urls.iter().filter_map(|text| Url::parse(text)) {
        match ask(url).await {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn get(dialer: &Dialer, url: &Url, path: &str, patience: Duration) -> io::Result<Bytes> {
    let asked = async {
        let request = Request::get(path).body(body_of("")).map_err(io::Error::other)?;
        // Kept until the body is there: the connection closes with it.
        let mut link = None;
        let response = dialer.request(&mut link, url, request).await?;
        if response.status() != StatusCode::OK {
            return Err(io::Error::other(format!("{url}{path} answers {}", response.status())));
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok(body.map_err(io::Error::other)?.to_bytes())
    };
    timeout(patience, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    use types::{ClusterId, MemberId};

    use super::*;

    /// A member that answers so many requests with a version of the cluster and whether it goes down.
    fn member(id: u64, requests: usize, version: &'static str, downgrading: &'static str) -> PeerAddress {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for _ in 0..requests {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                    head.push(byte[0]);
                }
                let body = if head.starts_with(b"GET /version ") {
                    format!(r#"{{"etcdserver":"3.9.1","etcdcluster":"{version}"}}"#)
                } else {
                    downgrading.to_owned()
                };
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        PeerAddress { id: MemberId(id), urls: vec![url] }
    }

    fn verdict(release: Release, members: Vec<PeerAddress>) -> Result<(), String> {
        let own = "http://127.0.0.1:1".to_owned();
        let us = PeerAddress { id: MemberId(99), urls: vec![own.clone()] };
        let cluster =
            RunningCluster { id: ClusterId(1), members: [vec![us], members].concat(), started: Vec::new() };
        check_joinable(&cluster, &[own], release, None, Duration::from_secs(5)).map_err(|e| e.to_string())
    }

    #[test]
    fn clusters_of_our_version_or_older_are_joined_and_newer_ones_only_on_their_way_down() {
        let refused = Err("incompatible with current running cluster".to_owned());
        for (release, version, downgrading, expected) in [
            (Release::V3_7, "3.7.0", "false", Ok(())),
            (Release::V3_7, "3.0.0", "false", Ok(())),
            (Release::V3_7, "3.8.0", "false", refused.clone()),
            (Release::V3_7, "3.8.0", "true", Ok(())),
            (Release::V3_7, "3.7.0", "true", refused.clone()),
            (Release::V3_7, "2.3.0", "false", refused.clone()),
            (Release::V3_7, "not_decided", "false", refused.clone()),
            (Release::V3_7, "3.8.0", "maybe", refused.clone()),
            (Release::V3_6, "3.7.0", "false", refused.clone()),
            (Release::V3_6, "3.7.0", "true", Ok(())),
            (Release::V3_6, "3.6.0", "false", Ok(())),
        ] {
            let got = verdict(release, vec![member(1, 2, version, downgrading)]);
            assert_eq!(got, expected, "{release:?} {version} {downgrading}");
        }
    }

    #[test]
    fn one_that_does_not_answer_is_passed_over_and_one_of_another_version_is_not() {
        let down =
            || PeerAddress { id: MemberId(5), urls: vec!["http://127.0.0.1:1/".into(), "what".into()] };
        assert_eq!(verdict(Release::V3_7, vec![down(), member(1, 2, "3.7.0", "false")]), Ok(()));
        assert!(verdict(Release::V3_7, vec![down()]).is_err());
        let mixed = vec![member(1, 2, "3.7.0", "false"), member(2, 1, "3.8.0", "false")];
        assert!(verdict(Release::V3_7, mixed).is_err());
    }
}
