//! Rules that settings must keep, in the order in which etcd checks them (upstream: server/embed/config.go), since
//! only the first that is broken is told.

use std::collections::BTreeSet;

use super::{Listeners, Tls};
use crate::{
    duration,
    gates::{Gate, Gates},
    golang::quote,
    notice::Notice,
    url::{self, Url},
    values::Values,
};

/// A rule that is broken; by how etcd tells it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// While flags are checked.
    #[error("{0}")]
    Flags(String),
    /// Likewise, and told twice.
    #[error("--advertise-client-urls is required when --listen-client-urls is set explicitly")]
    UnsetAdvertiseClientUrls,
    /// While the member is started.
    #[error("{0}")]
    Start(String),
}

fn broken(text: impl Into<String>) -> Result<(), Problem> {
    Err(Problem::Flags(text.into()))
}

/// The longest election timeout, in milliseconds.
const ELECTION_MS_MAX: u64 = 50_000;

/// Rules that concern flags alone.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn flags(
    values: &Values,
    listeners: &Listeners,
    advertise: (&[Url], Option<&[Url]>),
    initial_cluster: &str,
    notices: &mut Vec<Notice>,
) -> Result<(), Problem> {
    if values.text("discovery-fallback") == "proxy" {
        return broken(r#"v2 proxy is deprecated, and --discovery-fallback can't be configured as "proxy""#);
    }
    urls(listeners, advertise, notices)?;
    bootstrap_sources(values, initial_cluster)?;
    pace(values)?;
    if advertise.1.is_none() {
        return Err(Problem::UnsetAdvertiseClientUrls);
    }
    match values.text("auto-compaction-mode").as_str() {
        "periodic" | "revision" => {}
        "" => return broken("undefined auto-compaction-mode"),
        other => return broken(format!("unknown auto-compaction-mode {}", quote(other))),
    }
    tracing(values)?;
    gates(&values.gates(), notices)?;
    let interval = values.nanos("compact-hash-check-time");
    if interval <= 0 {
        return broken(format!(
            "--compact-hash-check-time must be >0 (set to {})",
            duration::format(interval)
        ));
    }
    if values.text("name") == "default" {
        let message = "it isn't recommended to use default name, please set a value for --name. Note that etcd might run \
                       into issue when multiple members have the same default name";
        notices.push(Notice::warn(message).with("name", "default"));
    }
    Ok(())
}

fn urls(
    listeners: &Listeners,
    (peer, client): (&[Url], Option<&[Url]>),
    notices: &mut Vec<Notice>,
) -> Result<(), Problem> {
    bindable(&listeners.peer)?;
    bindable(&listeners.client)?;
    bindable(&listeners.client_http)?;
    if listeners.client_http.is_empty() {
        let message = "Running http and grpc server on single port. This is not recommended for production.";
        notices.push(Notice::warn(message));
    }
    bindable(&listeners.metrics)?;
    if let Some(url) = without_host(peer) {
        let all = quote(&url::join(peer));
        return broken(format!(
            r#"--initial-advertise-peer-urls {all} must be "host:port" (unexpected empty host ({url}))"#
        ));
    }
    if let Some(url) = client.and_then(without_host) {
        let all = quote(&url::join(client.unwrap_or_default()));
        return broken(format!(
            r#"--advertise-client-urls {all} must be in the format "host:port", "unix:/path/to/socket" or "unixs:/path/to/socket" (unexpected empty host ({url}))"#
        ));
    }
    Ok(())
}

fn bindable(urls: &[Url]) -> Result<(), Problem> {
    match urls.iter().find(|url| !url.is_bindable()) {
        Some(url) => broken(format!("expected IP in URL for binding ({url})")),
        None => Ok(()),
    }
}

fn without_host(urls: &[Url]) -> Option<&Url> {
    urls.iter().find(|url| !url.scheme().is_unix() && url.host().is_empty())
}

fn bootstrap_sources(values: &Values, initial_cluster: &str) -> Result<(), Problem> {
    let state = values.text("initial-cluster-state");
    if !matches!(state.as_str(), "new" | "existing" | "") {
        return broken(format!("unexpected clusterState {}", quote(&state)));
    }
    let endpoints = values.list("discovery-endpoints");
    let sources =
        [!initial_cluster.is_empty(), !values.text("discovery-srv").is_empty(), !endpoints.is_empty()];
    if sources.into_iter().filter(|given| *given).count() > 1 {
        return broken(
            "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \
             \"discovery-endpoints\" or \"discovery-srv\"",
        );
    }
    if values.text("discovery-token").is_empty() != endpoints.is_empty() {
        return broken("both --discovery-token and --discovery-endpoints must be set");
    }
    if endpoints.iter().any(|endpoint| endpoint.trim().is_empty()) {
        return broken("--discovery-endpoints must not contain empty endpoints");
    }
    Ok(())
}

fn pace(values: &Values) -> Result<(), Problem> {
    let (tick, election) = (values.unsigned("heartbeat-interval"), values.unsigned("election-timeout"));
    if tick == 0 {
        return broken("--heartbeat-interval must be >0 (set to 0ms)");
    }
    if election == 0 {
        return broken("--election-timeout must be >0 (set to 0ms)");
    }
    if tick.saturating_mul(5) > election {
        return broken(format!(
            "--election-timeout[{election}ms] should be at least as 5 times as --heartbeat-interval[{tick}ms]"
        ));
    }
    if election > ELECTION_MS_MAX {
        return broken(format!(
            "--election-timeout[{election}ms] is too long, and should be set less than {ELECTION_MS_MAX}ms"
        ));
    }
    Ok(())
}

fn tracing(values: &Values) -> Result<(), Problem> {
    let reason = match values.signed("distributed-tracing-sampling-rate") {
        _ if !values.bool("enable-distributed-tracing") => return Ok(()),
        ..0 => "tracing sampling rate must be positive",
        0..=1_000_000 => return Ok(()),
        _ => "tracing sampling rate must be less than 1000000",
    };
    broken(format!("distributed tracing configurition is not valid: ({reason})"))
}

fn gates(gates: &Gates, notices: &mut Vec<Notice>) -> Result<(), Problem> {
    match (gates.enabled(Gate::LeaseCheckpoint), gates.enabled(Gate::LeaseCheckpointPersist)) {
        (true, false) => notices.push(Notice::warn(
            "Detected that checkpointing is enabled without persistence. Consider enabling feature gate \
             LeaseCheckpointPersist",
        )),
        (false, true) => {
            return broken(
                "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint",
            );
        }
        (true, true) | (false, false) => {}
    }
    Ok(())
}

/// Rules that concern listeners and what they need; etcd finds these broken while it starts.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn peer_listeners(
    listeners: &Listeners,
    tls: &Tls,
    notices: &mut Vec<Notice>,
) -> Result<(), Problem> {
    for url in &listeners.peer {
        if url.scheme() == url::Scheme::Http {
            if !tls.is_empty() {
                let message =
                    "scheme is HTTP while key and cert files are present; ignoring key and cert files";
                notices.push(Notice::warn(message).with("peer-url", url.to_string()));
            }
            if tls.client_cert_auth {
                let message = "scheme is HTTP while --peer-client-cert-auth is enabled; ignoring client cert auth for this URL";
                notices.push(Notice::warn(message).with("peer-url", url.to_string()));
            }
        }
        if url.scheme().is_tls() && tls.is_empty() && !tls.auto {
            return Err(Problem::Start(format!(
                "cannot listen on TLS for {}: KeyFile and CertFile are not presented",
                url.address()
            )));
        }
    }
    Ok(())
}

/// Likewise for clients.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn client_listeners(
    listeners: &Listeners,
    tls: &Tls,
    notices: &mut Vec<Notice>,
) -> Result<(), Problem> {
    for url in listeners.client.iter().chain(&listeners.client_http) {
        if url.scheme().is_tls() {
            if tls.is_empty() && !tls.auto {
                return Err(Problem::Start(format!(
                    "TLS key/cert (--cert-file, --key-file) must be provided for client url {url} with HTTPS scheme"
                )));
            }
            continue;
        }
        if !tls.is_empty() {
            let message =
                "scheme is http or unix while key and cert files are present; ignoring key and cert files";
            notices.push(Notice::warn(message).with("client-url", url.to_string()));
        }
        if tls.client_cert_auth {
            let message = "scheme is http or unix while --client-cert-auth is enabled; ignoring client cert auth for this URL";
            notices.push(Notice::warn(message).with("client-url", url.to_string()));
        }
    }
    let taken = |url: &&Url| listeners.client.iter().any(|other| other.address() == url.address());
    if let Some(url) = listeners.client_http.iter().find(taken) {
        return Err(Problem::Start(format!(
            "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url {url}"
        )));
    }
    if tls.is_empty() && !tls.auto && listeners.metrics.iter().any(|url| url.scheme().is_tls()) {
        return Err(Problem::Start(
            "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url".into(),
        ));
    }
    Ok(())
}

/// A kind of tokens and its options, `simple,KEY=VALUE`.
///
/// # Errors
/// When there is no such kind of tokens, or an option is no pair or comes twice.
pub(super) fn token(token: &str) -> Result<(), Problem> {
    let mut parts = token.split(',');
    let known = matches!(parts.next(), Some("simple" | "jwt" | ""));
    let mut seen = BTreeSet::new();
    let is_option = |part: &str| {
        part.split_once('=').is_some_and(|(key, value)| !value.contains('=') && seen.insert(key.to_string()))
    };
    if known && parts.all(is_option) {
        Ok(())
    } else {
        Err(Problem::Start("auth: invalid auth options".into()))
    }
}
