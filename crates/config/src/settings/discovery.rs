//! Finding the first members.

use std::{path::PathBuf, time::Duration};

use crate::values::Values;

/// How the members of a new cluster find each other; counts only for a member without data.
#[derive(Clone, Debug)]
pub enum Discovery {
    /// They are named.
    None,
    /// A cluster that serves the v3 API knows them.
    Service(Box<DiscoveryService>),
    /// DNS knows them.
    Dns {
        /// The domain with the SRV records.
        domain: String,
        /// Suffix of the service name in them.
        suffix: String,
    },
}

/// A cluster that knows the members of another one.
#[derive(Clone, Debug)]
pub struct DiscoveryService {
    /// Which cluster is asked about.
    pub token: String,
    /// Addresses of the service.
    pub endpoints: Vec<String>,
    /// Of connecting.
    pub dial_timeout: Duration,
    /// Of a request.
    pub request_timeout: Duration,
    /// Silence before a ping.
    pub keepalive_time: Duration,
    /// Of a ping.
    pub keepalive_timeout: Duration,
    /// Speak without TLS where the address does not say.
    pub insecure: bool,
    /// Do not check the service's certificate.
    pub skip_verify: bool,
    /// Our certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// CA of the service's certificate, PEM.
    pub ca: Option<PathBuf>,
    /// Name and password.
    pub login: Option<(String, String)>,
}

impl Discovery {
    /// After the rules about bootstrap sources were checked.
    pub(super) fn build(values: &Values) -> Discovery {
        let endpoints = values.list("discovery-endpoints");
        let domain = values.text("discovery-srv");
        if !endpoints.is_empty() {
            return Discovery::Service(Box::new(DiscoveryService::build(values, endpoints)));
        }
        if domain.is_empty() {
            return Discovery::None;
        }
        Discovery::Dns { domain, suffix: values.text("discovery-srv-name") }
    }
}

impl DiscoveryService {
    fn build(values: &Values, endpoints: Vec<String>) -> DiscoveryService {
        let path = |name| values.text_option(name).map(PathBuf::from);
        // A password of its own wins; a user may bring one along. Without any, there is no login, as with etcd.
        let login = values.text_option("discovery-user").and_then(|user| {
            match (values.text_option("discovery-password"), user.split_once(':')) {
                (Some(password), _) => Some((user, password)),
                (None, Some((name, password))) => Some((name.to_owned(), password.to_owned())),
                (None, None) => None,
            }
        });
        DiscoveryService {
            token: values.text("discovery-token"),
            endpoints,
            dial_timeout: values.wait("discovery-dial-timeout"),
            request_timeout: values.wait("discovery-request-timeout"),
            keepalive_time: values.wait("discovery-keepalive-time"),
            keepalive_timeout: values.wait("discovery-keepalive-timeout"),
            insecure: values.bool("discovery-insecure-transport"),
            skip_verify: values.bool("discovery-insecure-skip-tls-verify"),
            cert: path("discovery-cert"),
            key: path("discovery-key"),
            ca: path("discovery-cacert"),
            login,
        }
    }
}
