//! HTTP/1.1 connections, by hyper: pages only.

use std::{
    cell::Cell,
    convert::Infallible,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use http::Request;
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    connection::Peer,
    member::Member,
    pages,
    thread::{Phase, Thread},
    wire::Rewound,
};

/// A request's headers must be complete within this time from their first byte; between requests a client may
/// rest, as scrapers do.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request's headers.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Serves pages until the client or the server has enough.
pub(crate) async fn serve<M: Member>(thread: Rc<Thread<M>>, peer: Rc<Peer>, stream: Rewound) {
    let served = Rc::new(Cell::new(0));
    let stream =
        Prompt { stream, patience: HEADER_TIMEOUT, timer: None, served: Rc::clone(&served), seen: 0 };
    let service = service_fn(|request: Request<Incoming>| {
        served.set(served.get() + 1);
        let (thread, peer) = (Rc::clone(&thread), Rc::clone(&peer));
        async move {
            // Bodies say nothing to any page.
            let (parts, _body) = request.into_parts();
            let response = pages::respond(&thread, &peer, &parts).await;
            Ok::<_, Infallible>(response.map(Full::new))
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut phase = thread.phase.clone();
    let mut draining = false;
    loop {
        tokio::select! {
            // An error is the client's affair.
            _ = connection.as_mut() => return,
            // An error means that the server is gone.
            _ = phase.wait_for(|phase| *phase >= Phase::Draining), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A stream whose client must finish what it has begun to ask.
struct Prompt {
    stream: Rewound,
    patience: Duration,
    /// Runs from the first byte of a request until the request is served.
    timer: Option<Pin<Box<Sleep>>>,
    /// Requests served so far, counted by the service.
    served: Rc<Cell<u64>>,
    /// Of `served`, when this last looked.
    seen: u64,
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let served = self.served.get();
        if self.seen != served {
            self.seen = served;
            self.timer = None;
        }
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            let patience = self.patience;
            self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
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
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
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
        let served = Rc::new(Cell::new(0));
        let stream = Rewound::new("first".into(), socket);
        let patience = Duration::from_millis(5);
        let mut prompt = Prompt { stream, patience, timer: None, served: Rc::clone(&served), seen: 0 };
        let mut buf = [0; 10];
        assert_eq!(prompt.read(&mut buf).await.unwrap(), 5);
        assert_eq!(prompt.read(&mut buf).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        served.set(1);
        tokio::time::timeout(patience * 10, prompt.read(&mut buf)).await.expect_err("it may rest");
        client.write_all(b"next").await.unwrap();
        assert_eq!(prompt.read(&mut buf).await.unwrap(), 4);
        assert_eq!(prompt.read(&mut buf).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
