//! Members for the eye: one that is served on a loopback port from an empty directory, with a put, a get and a watch on
//! it, or a whole cluster.

mod certificates;
mod cluster;

use std::{net::TcpListener, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::{Buf, Bytes, BytesMut};
use cmdline::{Flag, Flags, Kind};
use h2::{RecvStream, client::SendRequest};
use http::{Method, Request, Version};
use prost::Message;
use proto::{
    etcdserverpb::{
        PutRequest, PutResponse, RangeRequest, RangeResponse, WatchCreateRequest, WatchRequest,
        WatchResponse, watch_request::RequestUnion,
    },
    mvccpb::event::EventType,
};
use tokio::{net::TcpStream, runtime, task::LocalSet};

use crate::{
    corruption::Checks,
    plan,
    server::{Network, Plan, Running},
};

const FLAGS: &[Flag] = &[
    Flag::switch("stay", "one member: go on serving until a signal comes"),
    Flag::new("nodes", Kind::Int, "1", "so many members, with TLS from two on"),
    Flag::new("load", Kind::Int, "0", "a cluster: puts a second"),
    Flag::new("kill-leader-every", Kind::Duration, "0s", "a cluster: kill whoever leads, again and again"),
    Flag::new("for", Kind::Duration, "0s", "a cluster: end after this time; 0 for when a signal comes"),
];

/// Runs the demonstration that the words behind `demo` ask for.
///
/// # Errors
/// When words are not understood, a member does not start, or does not answer as it must.
pub fn run(words: &[String]) -> Result<ExitCode> {
    let mut flags = Flags::of(FLAGS);
    let rest = cmdline::parse_flags(&mut flags, words).map_err(|error| anyhow!("{error}\n\n{}", usage()))?;
    ensure!(rest.is_empty(), "{:?} is not expected here\n\n{}", rest[0], usage());
    let time = |name| {
        Some(flags.nanos(name)).filter(|nanos| *nanos > 0).map(|nanos| Duration::from_nanos(nanos as u64))
    };
    let members = usize::try_from(flags.int("nodes")).ok().filter(|count| (1..=7).contains(count));
    let plan = cluster::Plan {
        members: members.context("--nodes must be between 1 and 7")?,
        load: u64::try_from(flags.int("load")).context("--load is below 0")?,
        kill_every: time("kill-leader-every"),
        time: time("for"),
    };
    if plan.members == 1 && plan.load == 0 && plan.kill_every.is_none() && plan.time.is_none() {
        return one(flags.bool("stay"));
    }
    cluster::run(&plan)?;
    Ok(ExitCode::SUCCESS)
}

fn usage() -> String {
    let line = |flag: &Flag| format!("  --{:<20} {}\n", flag.name, flag.help);
    format!("mainstay demo:\n{}", FLAGS.iter().map(line).collect::<String>())
}

/// One member, shown at work.
fn one(stay: bool) -> Result<ExitCode> {
    let dir = Scratch::new()?;
    let (client, peer) = (free_address()?, free_address()?);
    let client_url = format!("http://{client}");
    let node = node::Config {
        initial_cluster: format!("demo=http://{peer}"),
        advertise_peer_urls: vec![format!("http://{peer}")],
        advertise_client_urls: vec![client_url.clone()],
        ..node::Config::new("demo", &dir.0)
    };
    let network = Network {
        listen: rpc::Listen {
            listeners: vec![rpc::Listener::parse(&client_url, rpc::Traffic::All)?],
            ..rpc::Listen::default()
        },
        ..plan::network_defaults()
    };
    let checks = Checks::default();
    let running = Running::start(Plan { node, peers: None, checks, network })?;
    println!("a member serves {client_url} from {}", dir.0.display());
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, show(&client))?;
    if stay {
        println!("it goes on serving; press Ctrl-C to stop it, for example after:");
        println!("  etcdctl --endpoints={client_url} get --prefix greeting");
        crate::server::wait_for_signal()?;
    }
    running.stop()?;
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// A put, a get, and a watch that sees both what was and what comes.
async fn show(address: &str) -> Result<()> {
    let client = Client::connect(address).await?;
    let put = |value: &'static str| PutRequest {
        key: "greeting".into(),
        value: value.into(),
        ..Default::default()
    };
    let reply: PutResponse = client.unary("/etcdserverpb.KV/Put", &put("hello")).await?;
    println!("put    greeting = hello      at revision {}", revision(reply.header.as_ref()));

    let range = RangeRequest { key: "greeting".into(), ..Default::default() };
    let reply: RangeResponse = client.unary("/etcdserverpb.KV/Range", &range).await?;
    let kv = reply.kvs.first().context("the key that was put is not there")?;
    ensure!(kv.value == "hello", "the value is another one");
    println!("get    greeting = {}      at revision {}", text(&kv.value), revision(reply.header.as_ref()));

    let create =
        WatchCreateRequest { key: "greeting".into(), start_revision: kv.mod_revision, ..Default::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let mut watch = client.open("/etcdserverpb.Watch/Watch", &create, false).await?;
    let _: PutResponse = client.unary("/etcdserverpb.KV/Put", &put("hello, world")).await?;
    let mut seen = 0;
    while seen < 2 {
        let reply: WatchResponse = watch.next().await?;
        for event in reply.events {
            let what = if event.r#type() == EventType::Put { "put" } else { "delete" };
            let kv = event.kv.context("an event without a pair")?;
            println!(
                "watch  {} = {}      {what} at revision {}",
                text(&kv.key),
                text(&kv.value),
                kv.mod_revision
            );
            seen += 1;
        }
    }
    Ok(())
}

fn revision(header: Option<&proto::etcdserverpb::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As little of a gRPC client as a demonstration needs.
struct Client {
    sender: SendRequest<Bytes>,
    address: String,
}

impl Client {
    async fn connect(address: &str) -> Result<Client> {
        let (sender, connection) = h2::client::handshake(TcpStream::connect(address).await?).await?;
        tokio::task::spawn_local(async move {
            // Ends with the demonstration.
            let _ = connection.await;
        });
        Ok(Client { sender, address: address.to_string() })
    }

    async fn unary<R: Message + Default>(&self, path: &str, message: &impl Message) -> Result<R> {
        self.open(path, message, true).await?.next().await
    }

    /// Sends one message; the request stays open unless it is the `last`.
    async fn open(&self, path: &str, message: &impl Message, last: bool) -> Result<Replies> {
        let request = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let (response, mut stream) = self.sender.clone().ready().await?.send_request(request, false)?;
        let mut framed = BytesMut::from(&[0][..]);
        framed.extend_from_slice(&u32::try_from(message.encoded_len())?.to_be_bytes());
        message.encode(&mut framed)?;
        stream.send_data(framed.freeze(), last)?;
        let body = response.await?.into_body();
        Ok(Replies { body, bytes: BytesMut::new(), _request: stream })
    }
}

/// The messages of one call.
struct Replies {
    body: RecvStream,
    bytes: BytesMut,
    /// Dropping it would reset the call.
    _request: h2::SendStream<Bytes>,
}

/// Flag and length before each message.
const PREFIX_LEN: usize = 5;

impl Replies {
    async fn next<R: Message + Default>(&mut self) -> Result<R> {
        loop {
            if self.bytes.len() >= PREFIX_LEN {
                let len = u32::from_be_bytes(self.bytes[1..PREFIX_LEN].try_into()?) as usize;
                if self.bytes.len() >= PREFIX_LEN + len {
                    self.bytes.advance(PREFIX_LEN);
                    return Ok(R::decode(self.bytes.split_to(len).freeze())?);
                }
            }
            let chunk = self.body.data().await.context("the call ended without an answer")??;
            self.body.flow_control().release_capacity(chunk.len())?;
            self.bytes.extend_from_slice(&chunk);
        }
    }
}

fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// A directory that goes with the demonstration.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let path = std::env::temp_dir().join(format!("mainstay-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
