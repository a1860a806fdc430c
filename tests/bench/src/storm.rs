//! Logins by the thousand beside other requests: right passwords, which are remembered, and wrong ones, each of which
//! takes a processor for some hundredths of a second.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use prost::Message;
use proto::etcdserverpb::{AuthenticateRequest, AuthenticateResponse, PutRequest, RangeRequest};
use tokio::task::LocalSet;

use crate::{
    client::{Client, PREFIX},
    load::{self, Kind, LOGIN, Load},
    process::Cluster,
};

/// Calls of those who behave, one after the other, on each of so many connections.
const CALLS: usize = 3000;
const CALLERS: usize = 4;
/// Who tries passwords, each one at a time.
const GUESSERS: usize = 64;
/// Logins a second with a password that is remembered.
const LOGINS_MIN: f64 = 5000.0;

/// Runs it and prints the figures.
///
/// # Errors
/// When logins are too slow, or others wait for them.
pub(crate) fn run(server: &str, requests: u64) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cluster = Cluster::start(server, scratch.path(), 1)?;
    let logins = Load { requests, connections: 16, in_flight: 16, ..Load::new(Kind::Login) };
    let rate = load::run(&cluster.targets, &logins)?;
    println!("logins with a remembered password: {rate}");
    LocalSet::new().block_on(&runtime, beside(&cluster.addresses[0]))?;
    cluster.stop()?;
    ensure!(rate.rate() >= LOGINS_MIN, "logins are too slow");
    Ok(())
}

async fn beside(address: &str) -> Result<()> {
    let client = Client::connect(address).await?;
    let reply = client.call(LOGIN, &load::login()).await?;
    let token = AuthenticateResponse::decode(&reply[PREFIX..])?.token;
    let before = callers(address, &token).await?;
    let stop = Rc::new(Cell::new(false));
    let tried = Rc::new(Cell::new(0_u64));
    let mut guessers = Vec::new();
    for n in 0..GUESSERS {
        let client = Client::connect(address).await?;
        let (stop, tried) = (Rc::clone(&stop), Rc::clone(&tried));
        guessers.push(tokio::task::spawn_local(async move {
            for guess in 0_u64.. {
                if stop.get() {
                    break;
                }
                let password = format!("guess {n} {guess}");
                let login = AuthenticateRequest { name: "root".into(), password };
                let refused = client.call(LOGIN, &login.encode_to_vec()).await.is_err();
                ensure!(refused, "a wrong password was taken");
                tried.set(tried.get() + 1);
            }
            Ok(())
        }));
    }
    let begun = Instant::now();
    let during = callers(address, &token).await?;
    let secs = begun.elapsed().as_secs_f64();
    stop.set(true);
    for guesser in guessers {
        guesser.await??;
    }
    let guesses = tried.get() as f64 / secs;
    println!(
        "calls one after the other, p50 and p99 in ms: alone {before}, beside {GUESSERS} who guess passwords ({guesses:.0}/s) {during}"
    );
    ensure!(during.get_p99 <= before.get_p99 * 2 + NOISE, "gets wait for logins");
    ensure!(during.put_p99 <= before.put_p99 * 2 + NOISE, "puts wait for logins");
    Ok(())
}

/// What a machine with other things to do may add.
const NOISE: Duration = Duration::from_millis(2);

#[derive(Clone, Copy)]
struct Times {
    get_p50: Duration,
    get_p99: Duration,
    put_p50: Duration,
    put_p99: Duration,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "get {:.2} and {:.2}, put {:.2} and {:.2}",
            ms(self.get_p50),
            ms(self.get_p99),
            ms(self.put_p50),
            ms(self.put_p99)
        )
    }
}

async fn callers(address: &str, token: &str) -> Result<Times> {
    let mut tasks = Vec::new();
    for n in 0..CALLERS {
        let client = Client::connect(address).await?.with_token(token)?;
        tasks.push(tokio::task::spawn_local(async move {
            let key = format!("/storm/{n}").into_bytes();
            let range = RangeRequest { key: key.clone().into(), ..RangeRequest::default() }.encode_to_vec();
            let put = PutRequest { key: key.into(), value: vec![b'v'; 256].into(), ..PutRequest::default() };
            let put = put.encode_to_vec();
            let (mut gets, mut puts) = (Vec::new(), Vec::new());
            for _ in 0..CALLS {
                let begun = Instant::now();
                client.call("/etcdserverpb.KV/Range", &range).await?;
                gets.push(begun.elapsed());
                let begun = Instant::now();
                client.call("/etcdserverpb.KV/Put", &put).await?;
                puts.push(begun.elapsed());
            }
            Ok::<_, anyhow::Error>((gets, puts))
        }));
    }
    let (mut gets, mut puts) = (Vec::new(), Vec::new());
    for task in tasks {
        let (more_gets, more_puts) = task.await??;
        gets.extend(more_gets);
        puts.extend(more_puts);
    }
    let at = |times: &mut Vec<Duration>, share: usize| {
        times.sort_unstable();
        times.get(times.len() * share / 100).copied().context("no calls")
    };
    Ok(Times {
        get_p50: at(&mut gets, 50)?,
        get_p99: at(&mut gets, 99)?,
        put_p50: at(&mut puts, 50)?,
        put_p99: at(&mut puts, 99)?,
    })
}
