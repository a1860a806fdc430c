//! Listening sockets: opening them, and handing accepted connections to the network threads.

use std::{
    fmt, fs, io,
    net::{SocketAddr, ToSocketAddrs},
    os::unix::net::UnixListener as StdUnixListener,
    path::PathBuf,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::sleep,
};

use crate::{
    config::{Address, Keepalive, Listener, Notice, Traffic},
    rest::Rest,
    thread::Phase,
    tls::Acceptor,
};

/// Connections that the kernel holds for us.
const BACKLOG: i32 = 4096;
/// Pause after accepting failed, as when no file descriptor is left.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// So many connections are accepted before others have a turn: who connects and hangs up again and again would keep the
/// thread for as long as it likes.
const TURN_CONNECTIONS: usize = 8;
/// Idle time after which the kernel probes a connection.
const PROBE_AFTER: Duration = Duration::from_secs(30);

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(std::net::TcpListener),
    Unix(StdUnixListener, SocketFile),
}

/// Where a listener really listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// With the port that was picked.
    Tcp(SocketAddr),
    /// The socket file.
    Unix(PathBuf),
}

impl fmt::Display for Bound {
    /// `host:port`, or the path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Tcp(address) => address.fmt(f),
            Bound::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Removes the file of a unix socket when the listener goes.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = fs::remove_file(&self.0);
    }
}

/// Opens a listener.
///
/// # Errors
/// A text in the form of Go's, as operators search for it.
pub(crate) fn open(listener: &Listener, reuse_port: bool) -> Result<(Listening, Bound), String> {
    match &listener.address {
        Address::Tcp(address) => {
            open_tcp(address, reuse_port).map_err(|e| format!("listen tcp {address}: bind: {}", os_text(&e)))
        }
        Address::Unix(path) => {
            open_unix(path).map_err(|e| format!("listen unix {}: bind: {}", path.display(), os_text(&e)))
        }
    }
}

/// The text of an error without Rust's number behind it.
fn os_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn open_tcp(address: &str, reuse_port: bool) -> io::Result<(Listening, Bound)> {
    let mut candidates: Vec<SocketAddr> = match address.strip_prefix(':') {
        // No host means every interface, over both families where there are both.
        Some(port) => format!("[::]:{port}")
            .to_socket_addrs()?
            .chain(format!("0.0.0.0:{port}").to_socket_addrs()?)
            .collect(),
        None => {
            let mut found: Vec<_> = address.to_socket_addrs()?.collect();
            found.sort_by_key(SocketAddr::is_ipv6);
            found
        }
    };
    candidates.dedup();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
    for candidate in candidates {
        match bind_tcp(candidate, reuse_port) {
            Ok(listener) => {
                let bound = listener.local_addr()?;
                return Ok((Listening::Tcp(listener), Bound::Tcp(bound)));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_tcp(address: SocketAddr, reuse_port: bool) -> io::Result<std::net::TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn open_unix(path: &PathBuf) -> io::Result<(Listening, Bound)> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = StdUnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok((Listening::Unix(listener, SocketFile(path.clone())), Bound::Unix(path.clone())))
}

/// A connection on its way to a network thread.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: RawStream,
    pub(crate) remote: String,
    pub(crate) listener: usize,
    /// Counts against the connections at once.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// A socket that belongs to no runtime.
#[derive(Debug)]
pub(crate) enum RawStream {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// A network thread, as the accepting one sees it.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) sender: mpsc::UnboundedSender<Accepted>,
    /// Connections that it has.
    pub(crate) load: Arc<AtomicUsize>,
}

/// What accepting needs to know of a listener.
#[derive(Clone)]
pub(crate) struct Purpose {
    pub(crate) traffic: Traffic,
    pub(crate) tls: Option<Arc<Acceptor>>,
}

/// Accepts connections and gives each to the thread with the fewest.
pub(crate) struct Reception {
    pub(crate) desks: Vec<Desk>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) keepalive: Keepalive,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) notify: Arc<dyn Fn(Notice) + Send + Sync>,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Reception {
    /// Accepts on one listener until shutdown begins.
    pub(crate) async fn run(self: Rc<Self>, index: usize, listening: Listening) {
        let (socket, _file) = match listening {
            Listening::Tcp(listener) => (TcpListener::from_std(listener).map(Socket::Tcp), None),
            Listening::Unix(listener, file) => {
                (UnixListener::from_std(listener).map(Socket::Unix), Some(file))
            }
        };
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => return (self.notify)(Notice::AcceptFailed { error: error.to_string() }),
        };
        let mut phase = self.phase.clone();
        tokio::select! {
            // An error means that the server is gone.
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => {}
            () = self.accept_all(index, &socket) => {}
        }
    }

    async fn accept_all(&self, listener: usize, socket: &Socket) {
        for accepted in 1_usize.. {
            if accepted.is_multiple_of(TURN_CONNECTIONS) {
                Rest::take().await;
            }
            match self.accept(socket).await {
                Ok((socket, remote)) => {
                    // One connection per listener waits here for a place, the others in the kernel.
                    let Ok(permit) = Arc::clone(&self.places).acquire_owned().await else {
                        return;
                    };
                    self.assign(Accepted { socket, remote, listener, permit });
                }
                Err(error) => {
                    (self.notify)(Notice::AcceptFailed { error: error.to_string() });
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self, socket: &Socket) -> io::Result<(RawStream, String)> {
        match socket {
            Socket::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                let stream = stream.into_std()?;
                // A socket that refuses options still works.
                let _ = tune(&stream, self.keepalive);
                Ok((RawStream::Tcp(stream), remote.to_string()))
            }
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((RawStream::Unix(stream.into_std()?), "@".to_owned()))
            }
        }
    }

    fn assign(&self, accepted: Accepted) {
        let desk =
            self.desks.iter().min_by_key(|desk| desk.load.load(Relaxed)).expect("there is a network thread");
        desk.load.fetch_add(1, Relaxed);
        // A thread that is gone drops the connection: the server is stopping.
        let _ = desk.sender.send(accepted);
    }
}

fn tune(stream: &std::net::TcpStream, keepalive: Keepalive) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_AFTER))?;
    if !keepalive.interval.is_zero() {
        // Unacknowledged data must not outlive an unanswered ping (upstream: grpc-go, SetTCPUserTimeout).
        socket.set_tcp_user_timeout(Some(keepalive.timeout))?;
    }
    Ok(())
}
