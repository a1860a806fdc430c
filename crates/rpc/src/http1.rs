//! HTTP/1.1 connections, by hyper: pages and the JSON gateway.

use std::{
    cell::Cell,
    convert::Infallible,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, Sleep, sleep_until, timeout},
};

use crate::{
    config::Traffic,
    connection::Peer,
    gateway::{
        self, InTime, Inbound, Streamed,
        websocket::{self, Opening},
    },
    member::Member,
    pages::{self, Turn},
    thread::{Phase, Thread},
    wire::Rewound,
};

/// A request's headers must be complete within this time from their first byte; between requests a client may
/// rest, as scrapers do.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Another member that takes nothing for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request's headers.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Serves pages and the JSON gateway until the client or the server has enough.
pub(crate) async fn serve<M: Member>(thread: Rc<Thread<M>>, peer: Rc<Peer>, stream: Rewound) {
    let served = Rc::new(Served::default());
    let write_patience = (peer.traffic == Traffic::Peer).then_some(WRITE_TIMEOUT);
    let stream = Prompt::new(stream, HEADER_TIMEOUT, write_patience, Rc::clone(&served));
    let opening = Rc::new(Cell::new(None));
    let service = service_fn(|request: Request<Incoming>| {
        let serving = served.begin();
        let (thread, peer, opening) = (Rc::clone(&thread), Rc::clone(&peer), Rc::clone(&opening));
        Box::pin(
            async move { Ok::<_, Infallible>(respond(&thread, &peer, request, serving, &opening).await) },
        )
    });
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut phase = thread.phase.clone();
    let mut draining = false;
    loop {
        tokio::select! {
            done = poll_fn(|cx| connection.poll_without_shutdown(cx)) => match done {
                Ok(()) => break,
                // An error is the client's affair.
                Err(_) => return,
            },
            // An error means that the server is gone.
            _ = phase.wait_for(|phase| *phase >= Phase::Draining), if !draining => {
                draining = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner().stream;
    match opening.take() {
        Some(opening) => websocket::run(&thread, &peer.remote, opening, stream, parts.read_buf).await,
        // Errors change nothing any more.
        None => drop(timeout(WRITE_TIMEOUT, stream.shutdown()).await),
    }
}

async fn respond<M: Member>(
    thread: &Rc<Thread<M>>,
    peer: &Peer,
    request: Request<Incoming>,
    serving: Serving,
    opening: &Cell<Option<Opening>>,
) -> Response<Streamed> {
    if peer.traffic == Traffic::Peer
        && let Some(pages) = &thread.common.pages.between_members
        && pages.serves(request.uri().path())
    {
        return pages.answer(&peer.remote, request).await.map(|body| Box::pin(body) as Streamed);
    }
    let (parts, body) = request.into_parts();
    if peer.traffic == Traffic::Peer {
        return pages::respond_to_member(thread, &parts, body).await.map(pages::whole);
    }
    let cors = match pages::respond(thread, peer, &parts).await {
        // Bodies say nothing to pages.
        Turn::Page(page) => return page.map(pages::whole),
        Turn::Gateway(cors) => cors,
    };
    let mut response = if websocket::is_asked_for(&parts) {
        match Opening::of(parts) {
            Ok(accepted) => {
                let response = accepted.response().map(pages::whole);
                opening.set(Some(accepted));
                return response;
            }
            Err(status) => websocket::refusal(status).map(pages::whole),
        }
    } else {
        gateway::serve(thread, &peer.remote, &parts, Inbound::Http1(body)).await
    };
    response.headers_mut().extend(cors);
    let in_time = response.extensions().get::<InTime>().is_some();
    let hurry = in_time.then(|| serving.hurry(thread.common.limits.reader_patience));
    response.map(|body| Box::pin(Kept { body, _serving: serving, _hurry: hurry }) as Streamed)
}

/// A body that is part of its request being served: the client may go on sending his.
struct Kept {
    body: Streamed,
    _serving: Serving,
    _hurry: Option<Hurry>,
}

impl Body for Kept {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Requests of one connection.
#[derive(Debug, Default)]
struct Served {
    /// So far, with those under way.
    count: Cell<u64>,
    under_way: Cell<u64>,
    /// How long the client may take nothing of an answer that must be taken in time, while there is one.
    patience: Cell<Option<Duration>>,
}

impl Served {
    fn begin(self: &Rc<Self>) -> Serving {
        self.count.set(self.count.get() + 1);
        self.under_way.set(self.under_way.get() + 1);
        Serving(Rc::clone(self))
    }
}

/// A request while its answer is being made, which may take its body.
struct Serving(Rc<Served>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

impl Serving {
    /// Makes the client take the answer in time.
    fn hurry(&self, patience: Duration) -> Hurry {
        self.0.patience.set(Some(patience));
        Hurry(Rc::clone(&self.0))
    }
}

/// An answer that must be taken in time. There is one at once at most: answers leave one after the other.
struct Hurry(Rc<Served>);

impl Drop for Hurry {
    fn drop(&mut self) {
        self.0.patience.set(None);
    }
}

/// A stream whose client must finish what it has begun to ask, and, if so told, take what it is answered.
struct Prompt {
    stream: Rewound,
    patience: Duration,
    write_patience: Option<Duration>,
    /// Runs from the first byte of a request until the request is served.
    timer: Option<Pin<Box<Sleep>>>,
    /// Runs while nothing can be written.
    write_timer: Option<Pin<Box<Sleep>>>,
    served: Rc<Served>,
    /// Of `served`, when this last looked.
    seen: u64,
}

impl Prompt {
    fn new(
        stream: Rewound,
        patience: Duration,
        write_patience: Option<Duration>,
        served: Rc<Served>,
    ) -> Prompt {
        Prompt { stream, patience, write_patience, timer: None, write_timer: None, served, seen: 0 }
    }

    /// Passes on what a write came to, or that it has waited too long.
    fn timed<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_timer = None;
        } else if let Some(patience) = self.write_patience.or(self.served.patience.get()) {
            let timer =
                self.write_timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
            return timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let served = self.served.count.get();
        // Whoever takes a request's body times it.
        let is_body = self.served.under_way.get() > 0;
        if self.seen != served || is_body {
            self.seen = served;
            self.timer = None;
        }
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            if !is_body {
                let patience = self.patience;
                self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
            }
            return Poll::Ready(result);
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.timed(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.timed(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::wire::Socket;

    #[tokio::test]
    async fn only_a_request_under_way_is_timed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = Socket::Tcp(listener.accept().await.unwrap().0);
        let served = Rc::new(Served::default());
        let stream = Rewound::new("first".into(), socket);
        let patience = Duration::from_millis(5);
        let mut prompt = Prompt::new(stream, patience, None, Rc::clone(&served));
        let mut buf = [0; 10];
        assert_eq!(prompt.read(&mut buf).await.unwrap(), 5);
        assert_eq!(prompt.read(&mut buf).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(served.begin());
        tokio::time::timeout(patience * 10, prompt.read(&mut buf)).await.expect_err("it may rest");
        client.write_all(b"next").await.unwrap();
        assert_eq!(prompt.read(&mut buf).await.unwrap(), 4);
        assert_eq!(prompt.read(&mut buf).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn bodies_are_timed_by_who_takes_them() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = Socket::Tcp(listener.accept().await.unwrap().0);
        let served = Rc::new(Served::default());
        let patience = Duration::from_millis(5);
        let mut prompt = Prompt::new(Rewound::new("head".into(), socket), patience, None, Rc::clone(&served));
        let mut buf = [0; 10];
        assert_eq!(prompt.read(&mut buf).await.unwrap(), 4);
        let serving = served.begin();
        client.write_all(b"body").await.unwrap();
        assert_eq!(prompt.read(&mut buf).await.unwrap(), 4);
        tokio::time::timeout(patience * 10, prompt.read(&mut buf))
            .await
            .expect_err("the body may take longer");
        drop(serving);
        client.write_all(b"next").await.unwrap();
        assert_eq!(prompt.read(&mut buf).await.unwrap(), 4);
        assert_eq!(prompt.read(&mut buf).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_takes_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = Socket::Tcp(listener.accept().await.unwrap().0);
        let patience = Duration::from_millis(50);
        let stream = Rewound::new("".into(), socket);
        let mut prompt = Prompt::new(stream, patience, Some(patience), Rc::default());
        let piece = vec![0; 1 << 20];
        // More than the kernel keeps for both ends.
        for _ in 0..100 {
            if let Err(error) = prompt.write_all(&piece).await {
                return assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            }
        }
        panic!("100 MiB went to somebody who reads nothing");
    }
}
