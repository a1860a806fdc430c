//! The cluster, and what must hold before a member starts or joins one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::{IpAddr, SocketAddr},
};

use crate::{
    golang::quote,
    url::{self, Url, UrlError},
};

/// The cluster that a member belongs to. All but the URLs and `learners_max` counts only for a member without data.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Peer URLs that this member announces.
    pub advertise_peer: Vec<Url>,
    /// Client URLs that this member announces.
    pub advertise_client: Vec<Url>,
    /// `name=url,name=url`; see [`Cluster::members`].
    pub initial: String,
    /// Whether to start or to join.
    pub state: ClusterState,
    /// Mixed into the ids of a new cluster.
    pub token: String,
    /// Refuse changes of membership that would lose quorum.
    pub strict_reconfig_check: bool,
    /// Learners that the cluster may have.
    pub learners_max: usize,
}

/// Whether to start or to join a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Start.
    New,
    /// Join.
    Existing,
}

/// Members of a new cluster by name, with their peer URLs, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(pub BTreeMap<String, Vec<Url>>);

/// Why a cluster cannot be started or joined like this; in etcd's words (contract/errors.tsv, channel startup).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// `--initial-cluster` is no list of members.
    #[error("error setting up initial cluster: {0}")]
    Syntax(#[from] UrlError),
    /// This member is not in it.
    #[error("couldn't find local name {} in the initial cluster configuration", quote(.0))]
    LocalName(String),
    /// Two members, or one twice, have the same URL.
    #[error("initial cluster {0} has duplicate url")]
    DuplicateUrl(Members),
    /// It names other URLs for this member than this member announces.
    #[error(
        "--initial-cluster has {missing} but missing from --initial-advertise-peer-urls={advertised} ({reason})"
    )]
    NotAdvertised {
        /// `name=url` pairs.
        missing: String,
        /// What is announced.
        advertised: String,
        /// What was compared.
        reason: String,
    },
    /// This member announces URLs that it does not name.
    #[error("--initial-advertise-peer-urls has {missing} but missing from --initial-cluster={advertised}")]
    NotInCluster {
        /// URLs.
        missing: String,
        /// What is announced, as `name=url` pairs.
        advertised: String,
    },
    /// The same texts, but a host name could not be resolved.
    #[error("failed to resolve {advertised} to match --initial-cluster={pairs} ({reason})")]
    Resolve {
        /// What is announced.
        advertised: String,
        /// Likewise, as `name=url` pairs.
        pairs: String,
        /// Why.
        reason: String,
    },
}

/// Finds the address of `host:port`.
pub type Resolve<'a> = &'a dyn Fn(&str) -> io::Result<SocketAddr>;

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs: Vec<String> = Vec::new();
        for (name, urls) in &self.0 {
            pairs.extend(urls.iter().map(|url| format!("{name}={url}")));
        }
        pairs.sort();
        f.write_str(&pairs.join(","))
    }
}

impl Cluster {
    /// The members that `--initial-cluster` names.
    ///
    /// # Errors
    /// When it is no list of members.
    pub fn members(&self) -> Result<Members, BootstrapError> {
        let mut members: BTreeMap<String, Vec<Url>> = BTreeMap::new();
        for pair in self.initial.split(',').filter(|pair| !pair.is_empty()) {
            let (name, url) = pair.split_once('=').unwrap_or((pair, ""));
            members.entry(name.into()).or_default().push(Url::parse(url)?);
        }
        members.values_mut().for_each(|urls| urls.sort());
        Ok(Members(members))
    }

    /// What must hold before `name` starts or joins a cluster; to be asked only when it has no data yet. A new
    /// cluster must name the URLs that this member announces, or such that resolve to the same addresses.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn bootstrap(&self, name: &str, resolve: Resolve<'_>) -> Result<Members, BootstrapError> {
        let members = self.members()?;
        let named = members.0.get(name).ok_or_else(|| BootstrapError::LocalName(name.into()))?;
        if self.state == ClusterState::New {
            self.check_advertised(name, named, resolve)?;
        }
        let urls: Vec<_> = members.0.values().flatten().collect();
        if urls.iter().collect::<BTreeSet<_>>().len() < urls.len() {
            return Err(BootstrapError::DuplicateUrl(members));
        }
        Ok(members)
    }

    fn check_advertised(
        &self,
        name: &str,
        named: &[Url],
        resolve: Resolve<'_>,
    ) -> Result<(), BootstrapError> {
        let Err(reason) = same_places(&self.advertise_peer, named, resolve) else { return Ok(()) };
        let advertised = url::join(&self.advertise_peer);
        let pairs = || Members(BTreeMap::from([(name.to_string(), self.advertise_peer.clone())])).to_string();
        let missing: Vec<_> = named
            .iter()
            .filter(|url| !self.advertise_peer.contains(url))
            .map(|url| format!("{name}={url}"))
            .collect();
        if !missing.is_empty() {
            return Err(BootstrapError::NotAdvertised { missing: missing.join(","), advertised, reason });
        }
        let missing: Vec<_> =
            self.advertise_peer.iter().filter(|url| !named.contains(url)).cloned().collect();
        if !missing.is_empty() {
            return Err(BootstrapError::NotInCluster { missing: url::join(&missing), advertised: pairs() });
        }
        Err(BootstrapError::Resolve { advertised, pairs: pairs(), reason })
    }
}

/// Whether two lists mean the same addresses.
fn same_places(a: &[Url], b: &[Url], resolve: Resolve<'_>) -> Result<(), String> {
    if a.len() != b.len() {
        let show =
            |urls: &[Url]| crate::golang::quote_list(&urls.iter().map(Url::to_string).collect::<Vec<_>>());
        return Err(format!("len({}) != len({})", show(a), show(b)));
    }
    if normal(a) == normal(b) {
        return Ok(());
    }
    let (a, b) = (resolved(a, resolve)?, resolved(b, resolve)?);
    match a.iter().zip(&b).find(|(a, b)| a != b) {
        Some((a, b)) => Err(format!("resolved urls: {} != {}", quote(a), quote(b))),
        None => Ok(()),
    }
}

/// URLs with one spelling for each IP address, sorted.
fn normal(urls: &[Url]) -> Vec<String> {
    let mut texts: Vec<_> = urls
        .iter()
        .map(|url| match url.host().parse::<IpAddr>() {
            Ok(ip) => format!("{}://{}", url.scheme(), with_port(&ip.to_string(), url.port())),
            Err(_) => url.to_string(),
        })
        .collect();
    texts.sort();
    texts
}

fn resolved(urls: &[Url], resolve: Resolve<'_>) -> Result<Vec<String>, String> {
    let mut places = Vec::new();
    for url in urls {
        let by_name = !url.scheme().is_unix() && url.host() != "localhost";
        places.push(if by_name {
            let address = resolve(url.address())
                .map_err(|e| format!("failed to resolve {} ({e})", quote(&url.to_string())))?;
            format!("{}://{address}", url.scheme())
        } else {
            url.to_string()
        });
    }
    places.sort();
    Ok(places)
}

fn with_port(host: &str, port: &str) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(initial: &str, advertise: &str, state: ClusterState) -> Cluster {
        Cluster {
            advertise_peer: url::parse_list(advertise).unwrap(),
            advertise_client: Vec::new(),
            initial: initial.into(),
            state,
            token: String::new(),
            strict_reconfig_check: true,
            learners_max: 1,
        }
    }

    fn resolve(address: &str) -> io::Result<SocketAddr> {
        address.replace("one.test", "10.0.0.1").parse().map_err(|_| io::Error::other("no such host"))
    }

    #[test]
    fn clusters_that_can_be_started() {
        for (initial, advertise, count) in [
            ("a=http://localhost:2380", "http://localhost:2380", 1),
            ("a=http://one.test:1,b=http://two.test:1", "http://10.0.0.1:1", 2),
            ("a=http://[::1]:1,,a=http://10.0.0.1:1", "http://10.0.0.1:1,http://[0:0::1]:1", 1),
            ("a=unix://x:0", "unix://x:0", 1),
        ] {
            let members = cluster(initial, advertise, ClusterState::New).bootstrap("a", &resolve);
            assert_eq!(members.map(|m| m.0.len()), Ok(count), "{initial}");
        }
        // Who joins has announced its URLs before.
        assert!(
            cluster("a=http://x:1", "http://y:1", ClusterState::Existing).bootstrap("a", &resolve).is_ok()
        );
    }

    /// Texts of etcd 3.7.1, recorded.
    #[test]
    fn clusters_that_cannot() {
        for (initial, advertise, text) in [
            (
                "y=http://localhost:2380",
                "http://localhost:2380",
                r#"couldn't find local name "a" in the initial cluster configuration"#,
            ),
            (
                "",
                "http://localhost:2380",
                r#"couldn't find local name "a" in the initial cluster configuration"#,
            ),
            (
                "a=foo",
                "http://localhost:2380",
                "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: foo",
            ),
            (
                "a=http://localhost:2381",
                "http://localhost:2380",
                r#"--initial-cluster has a=http://localhost:2381 but missing from --initial-advertise-peer-urls=http://localhost:2380 (resolved urls: "http://localhost:2380" != "http://localhost:2381")"#,
            ),
            (
                "a=http://localhost:2380,b=http://localhost:2380",
                "http://localhost:2380",
                "initial cluster a=http://localhost:2380,b=http://localhost:2380 has duplicate url",
            ),
            (
                "a=http://localhost:1",
                "http://localhost:1,http://localhost:2",
                "--initial-advertise-peer-urls has http://localhost:2 but missing from --initial-cluster=a=http://localhost:1,a=http://localhost:2",
            ),
        ] {
            let error = cluster(initial, advertise, ClusterState::New).bootstrap("a", &resolve).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
    }
}
