//! The client crate beside a server: what it does when connections break, tokens end and locks are taken.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[path = "client/relay.rs"]
mod relay;

use std::{net::TcpListener, time::Duration};

use client::{Client, Election, Error, Mutex, Observer, Session, Settings, Watches, prefix_end};
use e2e::{PATIENCE, server::Server};
use proto::etcdserverpb as pb;
use relay::Relay;
use tokio::time::timeout;

fn settings(endpoints: &[&str]) -> Settings {
    let endpoints = endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect();
    Settings { endpoints, request_timeout: Some(PATIENCE), wait: true, ..Settings::default() }
}

async fn open(endpoint: &str) -> Client {
    Client::open(&settings(&[endpoint])).await.unwrap()
}

fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() }
}

fn key(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: key.to_owned().into(), ..Default::default() }
}

/// Runs a test with a server, in a runtime as the tools have it.
fn with_server<F: Future<Output = ()>>(flags: &[&str], test: impl FnOnce(String) -> F) {
    let server = Server::start(flags);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE, test(server.address().to_string())).await.unwrap() });
}

/// An address where nobody listens.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn the_next_endpoint_answers_for_one_that_is_gone() {
    with_server(&[], async |address| {
        let gone = nobody();
        let client = Client::open(&settings(&[&gone, &address])).await.unwrap();
        client.put(put("a", "1")).await.unwrap();
        assert_eq!(client.range(key("a")).await.unwrap().count, 1);

        let alone = Settings { request_timeout: Some(Duration::from_millis(200)), ..settings(&[&gone]) };
        let error = Client::open(&alone).await.unwrap().put(put("a", "1")).await.unwrap_err();
        let Error::TimeUp(Some(cause)) = &error else { panic!("{error:?}") };
        assert!(cause.contains(&gone) && cause.contains("refused"), "{cause}");

        let impatient = Settings { wait: false, ..alone };
        let error = Client::open(&impatient).await.unwrap().range(key("a")).await.unwrap_err();
        assert_eq!(error.status().unwrap().code(), tonic::Code::Unavailable, "{error:?}");
    });
}

#[test]
fn sockets_in_the_file_system_are_endpoints() {
    with_server(&[], async |address| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m1");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = tokio::net::TcpStream::connect(&address).await.unwrap();
            tokio::io::copy_bidirectional(&mut client, &mut server).await
        });
        let client = open(&format!("unix://{}", path.display())).await;
        client.put(put("a", "1")).await.unwrap();
        assert_eq!(client.range(key("a")).await.unwrap().count, 1);
    });
}

#[test]
fn reads_are_asked_again_and_writes_never() {
    with_server(&[], async |address| {
        let relay = Relay::to(&address).await;
        let (client, direct) = (open(relay.address()).await, open(&address).await);
        client.put(put("a", "1")).await.unwrap();

        // The server does what it is asked, and its answer is lost with the connection.
        relay.lose_next_answer();
        let error = client.put(put("a", "2")).await.unwrap_err();
        assert_eq!(error.status().unwrap().code(), tonic::Code::Unavailable, "{error:?}");
        let kv = direct.range(key("a")).await.unwrap().kvs.remove(0);
        assert_eq!((kv.version, &kv.value[..]), (2, &b"2"[..]));

        // Nothing is left of the lost connection: the next write goes out at once, and once.
        client.put(put("a", "3")).await.unwrap();
        relay.lose_next_answer();
        let kv = client.range(key("a")).await.unwrap().kvs.remove(0);
        assert_eq!((kv.version, &kv.value[..]), (3, &b"3"[..]));
        assert_eq!(relay.lost(), 2);
    });
}

#[test]
fn watches_go_on_where_they_were() {
    with_server(&[], async |address| {
        let relay = Relay::to(&address).await;
        let (client, direct) = (open(relay.address()).await, open(&address).await);
        let mut watches = Watches::new(&client, true);
        let range = |prefix: &str| pb::WatchCreateRequest {
            key: prefix.to_owned().into(),
            range_end: prefix_end(prefix.as_bytes()).into(),
            ..Default::default()
        };
        assert_eq!((watches.add(range("a")).await, watches.add(range("b")).await), (0, 1));
        watches.ask_progress().await.unwrap();
        let told = watches.next().await.unwrap();
        assert!(told.reply.events.is_empty() && told.watches == [0, 1], "{told:?}");

        let mut seen = Vec::new();
        for round in 0..4 {
            direct.put(put("a", &round.to_string())).await.unwrap();
            direct.put(put("b", &round.to_string())).await.unwrap();
            for _ in 0..2 {
                let told = watches.next().await.unwrap();
                let kv = told.reply.events[0].kv.clone().unwrap();
                seen.push((told.watches[0], String::from_utf8(kv.value.to_vec()).unwrap()));
                assert_eq!(told.reply.events.len(), 1);
            }
            // Between two events, and while both watches stand where they were told last.
            relay.cut();
        }
        seen.sort();
        let expected: Vec<_> =
            (0..2).flat_map(|watch| (0..4).map(move |round| (watch, round.to_string()))).collect();
        assert_eq!(seen, expected);

        direct.compact(pb::CompactionRequest { revision: 5, physical: true }).await.unwrap();
        let old = watches.add(pb::WatchCreateRequest { start_revision: 2, ..range("a") }).await;
        let told = watches.next().await.unwrap();
        assert!(told.watches == [old] && told.reply.canceled && told.reply.compact_revision == 5, "{told:?}");
        assert!(!watches.is_over());
    });
}

#[test]
fn locks_are_given_in_turn() {
    with_server(&[], async |address| {
        let client = open(&address).await;
        let (first, second) =
            (Session::open(&client, 60).await.unwrap(), Session::open(&client, 60).await.unwrap());
        let held = Mutex::lock(&first, "m").await.unwrap();
        assert_eq!(held.key(), format!("m/{:x}", first.lease()).as_bytes());
        let mut waiting = Box::pin(Mutex::lock(&second, "m"));
        // It is in the queue before the lock is given away.
        let in_queue = async {
            let all = pb::RangeRequest { range_end: prefix_end(b"m/").into(), ..key("m/") };
            while client.range(all.clone()).await.unwrap().count < 2 {}
        };
        tokio::select! {
            _ = &mut waiting => panic!("two hold the lock"),
            () = in_queue => {}
        }
        held.unlock().await.unwrap();
        let held = waiting.await.unwrap();
        assert_eq!(held.key(), format!("m/{:x}", second.lease()).as_bytes());

        // Whoever ends a session ends what it holds.
        second.close().await.unwrap();
        assert_eq!(client.range(key("m/")).await.unwrap().count, 0);
        Mutex::lock(&first, "m").await.unwrap();
    });
}

#[test]
fn leaders_follow_each_other_and_are_observed() {
    with_server(&[], async |address| {
        let client = open(&address).await;
        let (a, b) = (Session::open(&client, 60).await.unwrap(), Session::open(&client, 60).await.unwrap());
        let mut observer = Observer::new(&client, "e");
        let value = |reply: pb::RangeResponse| String::from_utf8(reply.kvs[0].value.to_vec()).unwrap();
        let leader = Election::campaign(&a, "e", "a").await.unwrap();
        leader.win().await.unwrap();
        assert_eq!(value(observer.next().await.unwrap()), "a");
        leader.proclaim("a2").await.unwrap();
        assert_eq!(value(observer.next().await.unwrap()), "a2");

        let next = Election::campaign(&b, "e", "b").await.unwrap();
        let (won, resigned) = tokio::join!(next.win(), leader.resign());
        won.and(resigned).unwrap();
        assert_eq!(value(observer.next().await.unwrap()), "b");
        assert!(matches!(leader.proclaim("late").await, Err(Error::Lost(_))));
    });
}

#[test]
fn a_session_knows_when_its_lease_is_gone() {
    with_server(&[], async |address| {
        let relay = Relay::to(&address).await;
        let (client, direct) = (open(relay.address()).await, open(&address).await);
        let session = Session::open(&client, 1).await.unwrap();
        let id = session.lease();
        // It lives on over broken connections, for longer than it would by itself.
        for _ in 0..3 {
            relay.cut();
            let first =
                direct.lease_time_to_live(pb::LeaseTimeToLiveRequest { id, keys: false }).await.unwrap();
            assert!(first.ttl >= 0, "{first:?}");
            let renewed = direct.keep_alive_once(id).await.unwrap();
            assert_eq!(renewed.id, id);
        }
        direct.lease_revoke(pb::LeaseRevokeRequest { id }).await.unwrap();
        session.expired().await;
        let error = direct.keep_alive_once(id).await.unwrap_err();
        assert!(error.is("etcdserver: requested lease not found"), "{error:?}");
    });
}

#[test]
fn tokens_are_renewed() {
    with_server(&["--bcrypt-cost=4"], async |address| {
        let client = open(&address).await;
        let user = |name: &str| pb::AuthUserAddRequest {
            name: name.to_owned(),
            password: "p".to_owned(),
            ..Default::default()
        };
        client.user_add(user("root")).await.unwrap();
        client.role_add(pb::AuthRoleAddRequest { name: "root".to_owned() }).await.unwrap();
        let grant = pb::AuthUserGrantRoleRequest { user: "root".to_owned(), role: "root".to_owned() };
        client.user_grant_role(grant).await.unwrap();
        client.auth_enable(pb::AuthEnableRequest {}).await.unwrap();

        let login = Settings { login: Some(("root".to_owned(), "p".to_owned())), ..settings(&[&address]) };
        let (one, two) = (Client::open(&login).await.unwrap(), Client::open(&login).await.unwrap());
        one.put(put("a", "1")).await.unwrap();
        // Who turns it off and on ends all tokens.
        two.auth_disable(pb::AuthDisableRequest {}).await.unwrap();
        open(&address).await.auth_enable(pb::AuthEnableRequest {}).await.unwrap();
        one.put(put("a", "2")).await.unwrap();
        assert_eq!(one.range(key("a")).await.unwrap().kvs[0].version, 2);

        let wrong = Settings { login: Some(("root".to_owned(), "x".to_owned())), ..login.clone() };
        let error = Client::open(&wrong).await.unwrap_err();
        assert!(error.is("etcdserver: authentication failed, invalid user ID or password"), "{error:?}");
        let foreign = Settings { login: None, token: Some("nonsense".to_owned()), ..login };
        let error = Client::open(&foreign).await.unwrap().range(key("a")).await.unwrap_err();
        assert!(error.is("etcdserver: invalid auth token"), "{error:?}");
    });
}

#[test]
fn sizes_are_bounded_on_both_ways() {
    with_server(&[], async |address| {
        let client = open(&address).await;
        client.put(put("a", &"x".repeat(1000))).await.unwrap();
        let small = Settings { request_bytes_max: 100, reply_bytes_max: 100, ..settings(&[&address]) };
        let client = Client::open(&small).await.unwrap();
        for (error, text) in [
            (
                client.put(put("a", &"x".repeat(1000))).await.unwrap_err(),
                "trying to send message larger than max (",
            ),
            (client.range(key("a")).await.unwrap_err(), "grpc: received message larger than max ("),
        ] {
            let status = error.status().unwrap();
            assert_eq!(status.code(), tonic::Code::ResourceExhausted);
            assert!(
                status.message().starts_with(text) && status.message().ends_with(" vs. 100)"),
                "{status:?}"
            );
        }
    });
}
