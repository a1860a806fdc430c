//! A member with its own store, and the two connections over which it is asked: HTTP/2 for gRPC, HTTP/1.1 for JSON.
//! Both begin where a listener would hand them over.

use std::{path::Path, rc::Rc, sync::Arc};

use bytes::{Bytes, BytesMut};
use h2::client::ResponseFuture;
use node::Member as Node;
use proto::json::{Style, Writer, method as types_of};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{mpsc, watch},
    task::spawn_local,
};

use super::super::{
    client::{Client, Reply, collect, framed, soon},
    defaults,
};
use crate::{
    Door, Metrics, Traffic,
    budget::{Budget, Share},
    config::Common,
    connection::{self, Incoming},
    exchange::Templates,
    member::Member,
    method::Method,
    passwords::Passwords,
    thread::{Phase, Thread},
    wire::Socket,
};

/// Large enough for the replies of a whole batch, which are taken one after the other.
const WINDOW: u32 = 64 << 20;

pub(super) struct Side {
    node: Option<Node>,
    pub(super) grpc: Client,
    json: UnixStream,
    received: BytesMut,
    _phase: watch::Sender<Phase>,
    _leaderless: watch::Sender<u64>,
}

/// A request under way.
pub(super) struct Asked(ResponseFuture);

impl Asked {
    pub(super) async fn answer(self) -> Reply {
        let response = soon(self.0).await.expect("an answer");
        soon(collect(response)).await
    }
}

impl Side {
    pub(super) async fn start() -> Side {
        let config = node::Config {
            seed: 7,
            // Nothing here survives the process.
            reserve_bytes: 0,
            ..node::Config::new("default", Path::new("/data"))
        };
        let node = node::start(config, Arc::new(vfs::SimDisk::new())).expect("a member");
        assert!(node.wait_published(std::time::Duration::from_secs(10)), "the member did not publish itself");
        let config = defaults();
        let metrics = Arc::new(Metrics::new(1));
        let (phase, phase_receiver) = watch::channel(Phase::Serving);
        let (leaderless_sender, leaderless) = watch::channel(0);
        let (errands, mut errands_new) = mpsc::unbounded_channel();
        let limits = config.limits.clone();
        let thread = Rc::new(Thread {
            member: Door::new(&node.handle()),
            shard: metrics.shard(0),
            metrics: Arc::clone(&metrics),
            share: Share::new(Budget::new(limits.bytes_in_flight_max)),
            templates: Rc::new(Templates::new()),
            phase: phase_receiver,
            leaderless,
            errands,
            common: Arc::new(Common {
                limits,
                keepalive: config.keepalive,
                passwords: Passwords::new(config.bcrypt_cost),
                tokens: Arc::clone(&config.tokens),
                handling_histogram: false,
                pages: config.pages.clone(),
                notify: Arc::clone(&config.notify),
                metrics,
                epoch: tokio::time::Instant::now(),
                audit: None,
                offenders: Default::default(),
            }),
        });
        let member = thread.member.clone();
        spawn_local(async move { member.drive().await });
        spawn_local(async move {
            while let Some(errand) = errands_new.recv().await {
                errand.await;
            }
        });
        let connect = || {
            let (client, server) = UnixStream::pair().expect("a pair of sockets");
            let socket = Socket::Unix(server);
            let incoming = Incoming { socket, remote: "@".into(), traffic: Traffic::All, tls: None };
            spawn_local(connection::serve(Rc::clone(&thread), incoming));
            client
        };
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).data_frame_budget(1 << 30);
        let grpc = Client::over(connect(), builder).await;
        let json = connect();
        Side {
            node: Some(node),
            grpc,
            json,
            received: BytesMut::new(),
            _phase: phase,
            _leaderless: leaderless_sender,
        }
    }

    /// Sends a request; requests that are sent one after the other are handled in that order.
    pub(super) async fn ask(&self, method: Method, token: Option<&str>, body: &[u8]) -> Asked {
        let path = format!("/{}/{}", method.service(), method.name());
        let headers: Vec<_> = token.into_iter().map(|token| ("token", token)).collect();
        let (mut send, response) = self.grpc.open(&path, &headers).await;
        // An error means that the call was answered early.
        let _ = send.send_data(framed(body), true);
        Asked(response)
    }

    pub(super) async fn call(&self, method: Method, token: Option<&str>, body: &[u8]) -> Reply {
        self.ask(method, token, body).await.answer().await
    }

    /// The same over the JSON gateway; the answer as it came, head and body, without the date. `None` when the
    /// request has no JSON.
    pub(super) async fn call_json(
        &mut self,
        route: &str,
        method: Method,
        token: Option<&str>,
        body: &[u8],
    ) -> Option<Bytes> {
        let path = format!("/{}/{}", method.service(), method.name());
        let mut json = Vec::new();
        let mut writer = Writer::new(types_of(&path)?.0, Style::Message);
        writer.push(body, &mut json).ok()?;
        writer.finish(&mut json).ok()?;
        let token = token.map(|token| format!("authorization: {token}\r\n")).unwrap_or_default();
        let head =
            format!("POST {route} HTTP/1.1\r\nhost: h\r\n{token}content-length: {}\r\n\r\n", json.len());
        soon(self.json.write_all(&[head.as_bytes(), &json].concat()))
            .await
            .expect("the connection stays open");
        Some(soon(self.response()).await)
    }

    async fn response(&mut self) -> Bytes {
        let head_len = loop {
            if let Some(at) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.receive().await;
        };
        let head = String::from_utf8(self.received.split_to(head_len).to_vec()).expect("a head is text");
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let mut whole: Vec<u8> = Vec::new();
        for line in head.lines().filter(|line| !line.starts_with("date:")) {
            whole.extend_from_slice(line.as_bytes());
            whole.push(b'\n');
        }
        if field("transfer-encoding:") == Some("chunked") {
            while let Some(chunk) = self.chunk().await {
                whole.extend_from_slice(&chunk);
            }
        } else {
            let len: usize = field("content-length:").map_or(0, |len| len.parse().expect("a length"));
            while self.received.len() < len {
                self.receive().await;
            }
            whole.extend_from_slice(&self.received.split_to(len));
        }
        whole.into()
    }

    /// The next chunk of a body; `None` at its end.
    async fn chunk(&mut self) -> Option<Bytes> {
        let line = loop {
            if let Some(at) = self.received.windows(2).position(|two| two == b"\r\n") {
                break self.received.split_to(at + 2);
            }
            self.receive().await;
        };
        let text = std::str::from_utf8(&line).expect("a length is text");
        let len = usize::from_str_radix(text.trim(), 16).expect("a length");
        while self.received.len() < len + 2 {
            self.receive().await;
        }
        let chunk = self.received.split_to(len + 2).split_to(len).freeze();
        (len > 0).then_some(chunk)
    }

    async fn receive(&mut self) {
        let read = self.json.read_buf(&mut self.received).await.expect("the connection stays open");
        assert!(read > 0, "the gateway has closed the connection");
    }

    pub(super) fn stop(mut self) {
        let node = self.node.take().expect("stopped once");
        node.stop().expect("a clean stop");
    }
}
