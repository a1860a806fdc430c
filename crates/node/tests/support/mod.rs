//! A member on a disk, and a way to call it without a runtime.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod life;
pub(crate) mod stall;

use std::{
    future::Future,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use bytes::Bytes;
use node::{Caller, Config, Error, Member, Port};
use proto::etcdserverpb::{CompactionRequest, PutRequest, PutResponse, RangeRequest, RangeResponse};
use vfs::Disk;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `call` while the port carries its letters. Panics after ten seconds.
pub(crate) fn run<T>(port: &Port, call: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut call = pin!(call);
    let mut drive = pin!(port.drive());
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Poll::Ready(value) = call.as_mut().poll(&mut context) {
            return value;
        }
        let ended = drive.as_mut().poll(&mut context).is_ready();
        if let Poll::Ready(value) = call.as_mut().poll(&mut context) {
            return value;
        }
        assert!(!ended, "the member has stopped and left a call unanswered");
        assert!(Instant::now() < deadline, "no answer within ten seconds");
        thread::park_timeout(Duration::from_millis(100));
    }
}

pub(crate) fn config(dir: &Path) -> Config {
    Config { seed: 7, ..Config::new("default", dir) }
}

pub(crate) fn start(dir: &Path, disk: Arc<dyn Disk>) -> Member {
    start_with(config(dir), disk)
}

/// A published member; `None` when the disk fails on the way.
pub(crate) fn try_start(dir: &Path, disk: Arc<dyn Disk>) -> Option<Member> {
    let member = node::start(config(dir), disk).ok()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !member.wait_published(Duration::from_millis(20)) {
        if member.has_ended() || Instant::now() > deadline {
            return None;
        }
    }
    Some(member)
}

pub(crate) fn start_with(config: Config, disk: Arc<dyn Disk>) -> Member {
    let member = node::start(config, disk).unwrap_or_else(|e| panic!("{e}"));
    assert!(member.wait_published(Duration::from_secs(10)), "the member did not publish itself");
    member
}

pub(crate) fn put(port: &Port, key: &str, value: &str) -> Result<PutResponse, Error> {
    let request = PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..PutRequest::default()
    };
    run(port, port.put(Caller::default(), request))
}

pub(crate) fn range(port: &Port, request: RangeRequest) -> Result<RangeResponse, Error> {
    let mut reply = run(port, port.range(Caller::default(), request))?;
    let len = reply.encoded_len();
    let mut bytes = Vec::new();
    while let Some(piece) = run(port, reply.next_piece(1000))? {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(bytes.len(), len, "a reply has the length that was announced");
    Ok(prost::Message::decode(&bytes[..]).expect("a reply is a RangeResponse"))
}

pub(crate) fn get(port: &Port, key: &str) -> Option<String> {
    let request = RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..RangeRequest::default() };
    let reply = range(port, request).unwrap_or_else(|e| panic!("{e}"));
    reply.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
}

pub(crate) fn compact(port: &Port, revision: i64, physical: bool) -> Result<(), Error> {
    run(port, port.compact(Caller::default(), CompactionRequest { revision, physical })).map(drop)
}
