//! Frames that ask for nothing: how many are too many, and who never sends so many.

use std::{
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use prost::Message;
use proto::etcdserverpb as pb;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Harness,
    client::{collect, framed, soon},
    config,
    flow::until,
};
use crate::{
    Notice,
    frame_police::{CREDIT_MAX, CREDIT_SUSPECT},
};

const RANGE: &str = "/etcdserverpb.KV/Range";
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PRIORITY: &[u8] = b"\0\0\x05\x02\0\0\0\0\x03\0\0\0\0\x01";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const WINDOW_UPDATE: &[u8] = b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01";
const ACK: &[u8] = b"\0\0\x08\x06\x01\0\0\0\0abcdefgh";
const UNKNOWN: &[u8] = b"\0\0\x01\xf0\0\0\0\0\0x";
const TEXT: &[u8] = b"too many frames that ask for nothing";

fn range(key: &str) -> bytes::Bytes {
    framed(&pb::RangeRequest { key: key.as_bytes().to_vec().into(), ..Default::default() }.encode_to_vec())
}

/// Greets, and sends a frame so often; everything that comes back until the server hangs up.
async fn flood(harness: &Harness, frame: &[u8], count: u32) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", harness.port(0))).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let bytes = [GREETING.to_vec(), frame.repeat(count as usize)].concat();
    // Nobody reads all of it.
    let write = async {
        let _ = writer.write_all(&bytes).await;
        std::future::pending::<()>().await;
    };
    soon(async {
        tokio::select! {
            read = reader.read_to_end(&mut answer) => drop(read.unwrap()),
            () = write => {}
        }
    })
    .await;
    (stream, answer)
}

fn goaway() -> Vec<u8> {
    let len = 8 + TEXT.len() as u8;
    [&[0, 0, len, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11], TEXT].concat()
}

#[tokio::test]
async fn every_kind_of_flood_is_sent_away_and_told_why() {
    for frame in [PRIORITY, SETTINGS, WINDOW_UPDATE, ACK, UNKNOWN] {
        let harness = Harness::start(config());
        let (_stream, answer) = flood(&harness, frame, 8 * CREDIT_MAX).await;
        assert!(answer.ends_with(&goaway()), "{frame:?}: {:?}", &answer[answer.len().saturating_sub(100)..]);
        // Others are served, from the same address, too.
        assert_eq!(harness.client().await.call(RANGE, &[], range("rows:1")).await.outcome.0, 0);
    }
}

#[tokio::test]
async fn a_flood_of_calls_that_are_reset_is_sent_away() {
    let harness = Harness::start(config());
    let mut pairs = GREETING.to_vec();
    // What each of them asks for does not matter: it is reset before it has asked.
    for id in (1_u32..).step_by(2).take(8 * CREDIT_MAX as usize) {
        pairs.extend(b"\0\0\x03\x01\x04");
        pairs.extend(id.to_be_bytes());
        // :method POST, :scheme http, :path /
        pairs.extend(b"\x83\x86\x84");
        pairs.extend(b"\0\0\x04\x03\0");
        pairs.extend(id.to_be_bytes());
        pairs.extend(8_u32.to_be_bytes());
    }
    let mut stream = TcpStream::connect(("127.0.0.1", harness.port(0))).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    soon(async {
        tokio::select! {
            read = reader.read_to_end(&mut answer) => drop(read.unwrap()),
            () = async { let _ = writer.write_all(&pairs).await; std::future::pending::<()>().await } => {}
        }
    })
    .await;
    assert!(answer.ends_with(TEXT), "{:?}", &answer[answer.len().saturating_sub(100)..]);
}

/// The socket stays for a while, so that who waits for its end comes again later.
#[tokio::test]
async fn who_floods_again_is_sent_away_sooner_and_held() {
    let mut config = config();
    let notices = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&notices);
    config.notify = Arc::new(move |notice| log.lock().unwrap().push(notice));
    let harness = Harness::start(config);
    let (mut first, answer) = flood(&harness, PRIORITY, 8 * CREDIT_MAX).await;
    assert!(answer.ends_with(TEXT));
    // Well below what was too much before.
    let (second, answer) = flood(&harness, PRIORITY, CREDIT_MAX / 2).await;
    assert!(answer.ends_with(TEXT));
    drop(second);
    // A proper client of the same address has plenty.
    let client = harness.client().await;
    for _ in 0..2 * CREDIT_SUSPECT {
        let (mut send, response) = client.open(RANGE, &[]).await;
        send.send_data(range("rows:1"), true).unwrap();
        assert_eq!(collect(soon(response).await.unwrap()).await.outcome.0, 0);
    }
    // The first is let go after a second: writing fails then, as nobody holds the other end.
    let begun = Instant::now();
    while first.write_all(b"x").await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is held for ever");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let notices = notices.lock().unwrap();
    let texts: Vec<_> = notices
        .iter()
        .map(|notice| match notice {
            Notice::Rejected { at_peer_listener: false, error, .. } => error.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    let text = std::str::from_utf8(TEXT).unwrap();
    assert_eq!(
        texts,
        [format!("{text} (offence 1 of this address)"), format!("{text} (offence 2 of this address)")]
    );
}

/// A stop does not wait for those who are held.
#[tokio::test]
async fn a_stop_lets_everybody_go() {
    let harness = Harness::start(config());
    for _ in 0..5 {
        let (stream, answer) = flood(&harness, PRIORITY, 8 * CREDIT_MAX).await;
        assert!(answer.ends_with(TEXT));
        drop(stream);
    }
    let begun = Instant::now();
    tokio::task::spawn_blocking(move || harness.server.shutdown(Duration::from_secs(10))).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// A busy apiserver's contexts end by the thousand; each of those calls is reset.
#[tokio::test]
async fn a_client_that_cancels_thousands_of_calls_is_served_on() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    for batch in 0..5 {
        let mut calls = Vec::new();
        for _ in 0..1_000 {
            let (mut send, response) = client.open(RANGE, &[]).await;
            send.send_data(range("hang"), true).unwrap();
            calls.push((send, response));
        }
        until(|| harness.knobs.hanging.load(SeqCst) == 1_000 * (batch + 1)).await;
        for (mut send, _response) in calls {
            send.send_reset(h2::Reason::CANCEL);
        }
        until(|| harness.knobs.abandoned.load(SeqCst) == 1_000 * (batch + 1)).await;
        assert_eq!(client.call(RANGE, &[], range("rows:1")).await.outcome.0, 0);
    }
    assert!(!client.is_closed().await);
}
