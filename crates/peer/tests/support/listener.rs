//! A peer listener of one thread, as `rpc` is one in the binary.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, thread::JoinHandle};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    runtime,
    sync::oneshot,
};
use tokio_rustls::TlsAcceptor;

use super::{Body, Server};

/// Serves until it is dropped.
pub(crate) struct Listener {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A port of the loopback interface that nobody else has, not served yet.
pub(crate) fn bind() -> (std::net::TcpListener, SocketAddr) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

impl Listener {
    /// `cluster` is the minor version that the cluster speaks.
    pub(crate) fn serve(
        socket: std::net::TcpListener,
        server: Server,
        tls: Option<Arc<rustls::ServerConfig>>,
        cluster: &'static str,
    ) -> Listener {
        let (stop, mut stopped) = oneshot::channel::<()>();
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let accept = async move {
            socket.set_nonblocking(true).unwrap();
            let socket = TcpListener::from_std(socket).unwrap();
            loop {
                let (stream, remote) = tokio::select! {
                    _ = &mut stopped => return,
                    accepted = socket.accept() => accepted.unwrap(),
                };
                let (server, tls) = (server.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(server, remote, stream, cluster).await,
                        Some(tls) => {
                            if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                                serve(server, remote, stream, cluster).await;
                            }
                        }
                    }
                });
            }
        };
        let body = move || {
            runtime.block_on(accept);
            runtime.shutdown_background();
        };
        Listener { stop: Some(stop), thread: Some(std::thread::spawn(body)) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(JoinHandle::join).unwrap().unwrap();
    }
}

async fn serve(
    server: Server,
    remote: SocketAddr,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    cluster: &str,
) {
    let remote = remote.to_string();
    let service = service_fn(|request: Request<Incoming>| {
        let (server, remote) = (server.clone(), remote.clone());
        async move {
            let path = request.uri().path();
            Ok::<_, Infallible>(if Server::serves(path) {
                server.answer(&remote, request).await
            } else if path == "/raft/probing" {
                let now = telemetry::log::timestamp(std::time::SystemTime::now());
                page(StatusCode::OK, format!("{{\"OK\":true,\"Now\":\"{now}\"}}\n"))
            } else if path == "/version" {
                let text = format!(r#"{{"etcdserver":"3.7.1","etcdcluster":"{cluster}.0"}}"#);
                page(StatusCode::OK, text)
            } else {
                page(StatusCode::NOT_FOUND, String::new())
            })
        }
    });
    // How a connection ends is its client's affair.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn page(status: StatusCode, text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(status).body(body).unwrap()
}
