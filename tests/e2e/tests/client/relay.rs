//! Connections that can be broken: a listener that passes bytes on to a server.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::broadcast,
    task::JoinHandle,
};

/// A listener in front of a server.
pub(crate) struct Relay {
    address: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    /// The next bytes of the server break their connection instead of being passed on.
    lose: AtomicBool,
    lost: AtomicUsize,
    cut: broadcast::Sender<()>,
}

impl Relay {
    pub(crate) async fn to(server: &str) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            lose: AtomicBool::new(false),
            lost: AtomicUsize::new(0),
            cut: broadcast::channel(1).0,
        });
        let (server, shared) = (server.to_owned(), Arc::clone(&state));
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&shared)));
            }
        });
        Relay { address, state, task }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Breaks the connection on which the server speaks next, and loses what it says.
    pub(crate) fn lose_next_answer(&self) {
        self.state.lose.store(true, Ordering::Relaxed);
    }

    /// How many answers were lost.
    pub(crate) fn lost(&self) -> usize {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// Breaks all connections there are.
    pub(crate) fn cut(&self) {
        // Nobody listens when there is no connection.
        let _ = self.state.cut.send(());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn pass(client: TcpStream, server: TcpStream, state: Arc<State>) {
    let mut cut = state.cut.subscribe();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            if answers(&buffer[..count]) && state.lose.swap(false, Ordering::Relaxed) {
                state.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        () = back => {}
        _ = cut.recv() => {}
    }
}

/// Whether there is a frame with headers or data among whole frames of HTTP/2: others only say that a question came.
fn answers(mut frames: &[u8]) -> bool {
    const HEAD: usize = 9;
    const DATA_AND_HEADERS: std::ops::RangeInclusive<u8> = 0..=1;
    while let [a, b, c, kind, ..] = *frames {
        if DATA_AND_HEADERS.contains(&kind) {
            return true;
        }
        let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        frames = frames.get(HEAD + len..).unwrap_or_default();
    }
    false
}
