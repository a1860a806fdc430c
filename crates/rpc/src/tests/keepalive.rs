//! Pings: policing the client's, and sending our own.

use std::time::Duration;

use h2::{Ping, client};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Harness, client::soon, config};

#[tokio::test]
async fn too_many_pings_end_the_connection() {
    let harness = Harness::start(config());
    let stream = TcpStream::connect(("127.0.0.1", harness.port(0))).await.unwrap();
    let (_send, mut connection) = client::handshake(stream).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let driver = tokio::spawn(connection);
    let mut answered = 0;
    while soon(pings.ping(Ping::opaque())).await.is_ok() {
        answered += 1;
        assert!(answered < 10, "the server does not mind");
    }
    assert!((2..=4).contains(&answered), "{answered}");
    let error = soon(driver).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
    assert!(error.is_go_away() && error.is_remote());
}

#[tokio::test]
async fn the_goaway_says_why() {
    let harness = Harness::start(config());
    let mut stream = TcpStream::connect(("127.0.0.1", harness.port(0))).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for _ in 0..5 {
        bytes.extend(b"\0\0\x08\x06\0\0\0\0\0abcdefgh");
    }
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    let goaway = b"\0\0\x16\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0btoo_many_pings";
    assert!(answer.ends_with(goaway), "{answer:?}");
}

#[tokio::test]
async fn a_silent_client_is_asked_and_then_dropped() {
    let mut config = config();
    config.keepalive.interval = Duration::from_millis(30);
    config.keepalive.timeout = Duration::from_millis(60);
    let harness = Harness::start(config);
    // A client of h2 answers, and lives.
    let lively = harness.client().await;
    // This one says hello and nothing else.
    let mut stream = TcpStream::connect(("127.0.0.1", harness.port(0))).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    let ping_head = b"\0\0\x08\x06\0\0\0\0\0";
    assert!(answer.windows(9).any(|window| window == ping_head), "{answer:?}");
    assert!(!lively.is_closed().await);
}
