//! Connections to other members, and one request at a time on them.

use std::{io, sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, header::HOST};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    Body,
    config::TlsSource,
    urls::{Place, Url},
};

/// A refusal longer than this is cut.
const REFUSAL_BYTES_MAX: usize = 16 << 10;
/// Silence after which the kernel asks whether the other machine lives.
const KEEPALIVE: Duration = Duration::from_secs(15);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens connections.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) tls: Option<TlsSource>,
    pub(crate) timeout: Duration,
}

/// A connection for requests, one after the other. It closes when this is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    sender: SendRequest<Body>,
    driver: AbortHandle,
    url: Url,
}

impl Link {
    /// Whom it goes to.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}

impl Dialer {
    /// Connects to `url`.
    pub(crate) async fn open(&self, url: &Url) -> io::Result<Link> {
        let stream = match timeout(self.timeout, self.connect(url)).await {
            Ok(stream) => stream?,
            Err(_) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("dial {url}: i/o timeout")));
            }
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(other)?;
        // How a connection ends is told to whoever has a request on it.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Link { sender, driver, url: url.clone() })
    }

    async fn connect(&self, url: &Url) -> io::Result<Box<dyn Io>> {
        let (stream, host): (Box<dyn Io>, &str) = match &url.place {
            Place::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
                SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                (Box::new(stream), host)
            }
            Place::Unix(path) => (Box::new(UnixStream::connect(path).await?), "localhost"),
        };
        if !url.secure {
            return Ok(stream);
        }
        let source = self.tls.as_ref().ok_or_else(|| other("no TLS settings for a secure peer URL"))?;
        let mut config = source().map_err(other)?;
        if !config.alpn_protocols.is_empty() {
            Arc::make_mut(&mut config).alpn_protocols.clear();
        }
        let name = ServerName::try_from(host.to_owned()).map_err(other)?;
        Ok(Box::new(TlsConnector::from(config).connect(name, stream).await?))
    }

    /// Sends `request` to `url`, over the connection in `link` if it still serves, else over a new one, which stays
    /// there. A failure leaves none.
    pub(crate) async fn request(
        &self,
        link: &mut Option<Link>,
        url: &Url,
        mut request: Request<Body>,
    ) -> io::Result<Response<Incoming>> {
        let host = HeaderValue::from_str(url.authority()).map_err(other)?;
        request.headers_mut().insert(HOST, host);
        let mut live = match link.take().filter(|live| live.url == *url) {
            Some(mut live) => match live.sender.ready().await {
                Ok(()) => live,
                Err(_) => self.open(url).await?,
            },
            None => self.open(url).await?,
        };
        let response = live.sender.send_request(request).await.map_err(other)?;
        *link = Some(live);
        Ok(response)
    }
}

/// The text of a refusal.
pub(crate) async fn refusal(body: Incoming) -> String {
    let limited = http_body_util::Limited::new(body, REFUSAL_BYTES_MAX);
    match limited.collect().await {
        Ok(collected) => String::from_utf8_lossy(&collected.to_bytes()).trim_end_matches('\n').to_owned(),
        Err(error) => error.to_string(),
    }
}
