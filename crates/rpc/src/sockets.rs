//! Opening the listeners, with TLS where it is asked for: before anything else of a server is started, so that what
//! is wrong with them is told first.

use std::sync::Arc;

use crate::{
    config::{Listen, Listener, Traffic},
    listen::{self, Bound, Listening, Purpose},
    tls::{Acceptor, TlsError, TlsSide},
};

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is taken, or none of this machine.
    #[error("{0}")]
    Listen(String),
    /// A secure listener for clients without certificates.
    #[error("TLS key/cert (--cert-file, --key-file) must be provided for client url {0} with HTTPS scheme")]
    NoClientTls(String),
    /// A secure listener for members without certificates.
    #[error(
        "TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url {0} with HTTPS scheme"
    )]
    NoPeerTls(String),
    /// A secure metrics listener without certificates.
    #[error("client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url")]
    NoMetricsTls,
    /// The certificates are not usable.
    #[error("--{}: {error}", error.setting().flag(*.side))]
    Tls {
        /// Whose flags these are.
        side: TlsSide,
        /// What is wrong.
        error: TlsError,
    },
}

/// Listeners that are open. Who connects waits until [`crate::serve`].
#[derive(Default)]
pub struct Sockets {
    pub(crate) listening: Vec<Listening>,
    pub(crate) purposes: Vec<Purpose>,
    pub(crate) addresses: Vec<Bound>,
}

impl Sockets {
    /// Where they listen, in the order of the configuration.
    pub fn addresses(&self) -> &[Bound] {
        &self.addresses
    }
}

/// Opens listeners.
///
/// # Errors
/// When a listener or a certificate cannot be had; nothing is left open then.
pub fn open(listen: &Listen) -> Result<Sockets, OpenError> {
    let client_tls = acceptor(listen, TlsSide::Client)?;
    let peer_tls = acceptor(listen, TlsSide::Peer)?;
    let mut sockets = Sockets::default();
    for listener in &listen.listeners {
        let tls = if side(listener) == TlsSide::Peer { &peer_tls } else { &client_tls };
        let tls = match (tls, listener.secure) {
            (_, false) => None,
            (Some(tls), true) => Some(Arc::clone(tls)),
            (None, true) => return Err(without_tls(listener)),
        };
        let (socket, bound) = listen::open(listener, listen.reuse_port).map_err(OpenError::Listen)?;
        sockets.listening.push(socket);
        sockets.addresses.push(bound);
        sockets.purposes.push(Purpose { traffic: listener.traffic, tls });
    }
    Ok(sockets)
}

/// What the secure listeners of a side accept with; `None` when it has none, or no certificates.
fn acceptor(listen: &Listen, of: TlsSide) -> Result<Option<Arc<Acceptor>>, OpenError> {
    let tls = if of == TlsSide::Peer { &listen.peer_tls } else { &listen.client_tls };
    let is_needed = listen.listeners.iter().any(|listener| listener.secure && side(listener) == of);
    let Some(tls) = tls.as_ref().filter(|_| is_needed) else {
        return Ok(None);
    };
    let acceptor = Acceptor::new(tls.clone(), of).map_err(|error| OpenError::Tls { side: of, error })?;
    Ok(Some(Arc::new(acceptor)))
}

fn side(listener: &Listener) -> TlsSide {
    if listener.traffic == Traffic::Peer { TlsSide::Peer } else { TlsSide::Client }
}

fn without_tls(listener: &Listener) -> OpenError {
    match listener.traffic {
        Traffic::Metrics => OpenError::NoMetricsTls,
        Traffic::Peer => OpenError::NoPeerTls(listener.to_string()),
        Traffic::All | Traffic::Grpc | Traffic::Http => OpenError::NoClientTls(listener.to_string()),
    }
}
