//! How to reach a cluster.

use std::time::Duration;

use crate::Tls;

/// How to reach a cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `http://HOST:PORT`, `https://HOST:PORT`, `HOST:PORT`, `unix://FILE` or `unixs://FILE`.
    pub endpoints: Vec<String>,
    /// Whether endpoints without a scheme speak TLS.
    pub secure: bool,
    /// For endpoints that speak TLS.
    pub tls: Tls,
    /// Name and password; `None` without.
    pub login: Option<(String, String)>,
    /// A token that somebody else made, instead of a login. It is not renewed.
    pub token: Option<String>,
    /// Longest time to connect, and to log in.
    pub dial_timeout: Duration,
    /// Longest time for a call to all endpoints together; `None` for as long as it takes.
    pub request_timeout: Option<Duration>,
    /// Whether calls wait until an endpoint can be reached, as those of etcd's own client do. Otherwise a call fails
    /// once every endpoint was tried.
    pub wait: bool,
    /// Silence before a ping.
    pub keepalive_time: Duration,
    /// Longest wait for its answer.
    pub keepalive_timeout: Duration,
    /// Largest request in bytes.
    pub request_bytes_max: usize,
    /// Largest reply in bytes.
    pub reply_bytes_max: usize,
}

impl Default for Settings {
    /// As etcd's own tools.
    fn default() -> Settings {
        Settings {
            endpoints: vec!["127.0.0.1:2379".to_owned()],
            secure: false,
            tls: Tls::default(),
            login: None,
            token: None,
            dial_timeout: Duration::from_secs(2),
            request_timeout: Some(Duration::from_secs(5)),
            wait: false,
            keepalive_time: Duration::from_secs(2),
            keepalive_timeout: Duration::from_secs(6),
            request_bytes_max: 2 << 20,
            reply_bytes_max: i32::MAX as usize,
        }
    }
}

impl Settings {
    /// The same for each endpoint alone: some questions are for one member.
    pub fn each(&self) -> impl Iterator<Item = Settings> {
        self.endpoints.iter().map(|endpoint| self.only(endpoint))
    }

    /// The same for one endpoint.
    #[must_use]
    pub fn only(&self, endpoint: &str) -> Settings {
        Settings { endpoints: vec![endpoint.to_owned()], ..self.clone() }
    }
}
