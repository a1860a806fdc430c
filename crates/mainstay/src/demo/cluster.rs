//! A cluster for the eye: members as processes, behind certificates of their own, with a load and a leader that is
//! killed now and then if wanted.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use client::{Client, Interrupt, Settings, Tls};
use proto::etcdserverpb::{PutRequest, StatusRequest};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{Scratch, certificates::Certificates, free_address};

/// What to show.
pub(super) struct Plan {
    pub(super) members: usize,
    /// Puts a second; 0 for none.
    pub(super) load: u64,
    /// Between two deaths of leaders; `None` for none.
    pub(super) kill_every: Option<Duration>,
    /// `None` until a signal comes.
    pub(super) time: Option<Duration>,
}

/// Members that have not found each other by then will not.
const START_TIME: Duration = Duration::from_secs(60);
/// A member that was killed comes back after this.
const DEATH: Duration = Duration::from_secs(2);
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// Puts that wait for an answer.
const IN_FLIGHT: usize = 1024;

/// Runs until it is over.
pub(super) fn run(plan: &Plan) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(show(plan))
}

async fn show(plan: &Plan) -> Result<()> {
    let mut interrupt = Interrupt::new()?;
    let scratch = Scratch::new()?;
    let certificates = Certificates::make(&scratch.0)?;
    let mut cluster = Cluster::start(&scratch.0, plan.members, &certificates)?;
    let settings = settings(&cluster, &certificates);
    let client = Client::open(&settings).await?;
    wait_for_leader(&client).await?;
    println!("{} members serve {}", plan.members, cluster.urls().join(" "));
    println!("\nexport ETCDCTL_ENDPOINTS={}", cluster.urls().join(","));
    println!("export ETCDCTL_CACERT={}", certificates.authority.display());
    println!("export ETCDCTL_CERT={}", certificates.certificate.display());
    println!("export ETCDCTL_KEY={}\n", certificates.key.display());
    println!("then for example `mainstay status`, or etcdctl; Ctrl-C ends everything");

    let (told, mut puts) = mpsc::channel(1024);
    let load = (plan.load > 0).then(|| tokio::spawn(put_all_the_time(client.clone(), plan.load, told)));
    let mut reports = interval(REPORT_EVERY);
    let mut kills = interval(plan.kill_every.unwrap_or(Duration::MAX / 4));
    // Both tick once at once.
    reports.tick().await;
    kills.tick().await;
    let begun = Instant::now();
    let over = async {
        match plan.time {
            Some(time) => sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let mut tally = Tally::default();
    loop {
        tokio::select! {
            () = &mut over => break,
            () = interrupt.wait() => break,
            Some(put) = puts.recv() => tally.add(put),
            _ = reports.tick() => {
                let leader = leader(&settings, &cluster).await;
                let name = leader.map_or("nobody".to_owned(), |at| format!("m{at}"));
                if plan.load > 0 || plan.kill_every.is_some() {
                    println!("{:>4} s  {name} leads  {tally}", begun.elapsed().as_secs());
                }
            }
            _ = kills.tick() => {
                if let Some(at) = leader(&settings, &cluster).await {
                    println!("{:>4} s  m{at} leads, and is killed", begun.elapsed().as_secs());
                    cluster.kill(at);
                }
            }
        }
        cluster.revive()?;
    }
    if let Some(load) = load {
        load.abort();
    }
    println!("stopped after {} s: {tally}", begun.elapsed().as_secs());
    Ok(())
}

fn settings(cluster: &Cluster, certificates: &Certificates) -> Settings {
    Settings {
        endpoints: cluster.urls(),
        secure: true,
        tls: Tls {
            ca: Some(certificates.authority.clone()),
            cert: Some(certificates.certificate.clone()),
            key: Some(certificates.key.clone()),
            ..Tls::default()
        },
        ..Settings::default()
    }
}

async fn wait_for_leader(client: &Client) -> Result<()> {
    let waiting = async {
        loop {
            let put = PutRequest { key: "demo".into(), value: "ready".into(), ..Default::default() };
            if client.put(put).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(START_TIME, waiting).await.context("the members do not find each other")
}

/// The place of the member that leads, as far as one of them knows.
async fn leader(settings: &Settings, cluster: &Cluster) -> Option<usize> {
    for (at, url) in cluster.urls().iter().enumerate() {
        let brief = Settings { request_timeout: Some(Duration::from_millis(300)), ..settings.only(url) };
        let asked = async { Client::open(&brief).await?.status(StatusRequest {}).await };
        if let Ok(status) = asked.await
            && status.header.is_some_and(|header| header.member_id == status.leader)
        {
            return Some(at);
        }
    }
    None
}

/// How a put went: how long it took, or that it failed.
type Put = Option<Duration>;

async fn put_all_the_time(client: Client, rate: u64, told: mpsc::Sender<Put>) {
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate as f64));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(IN_FLIGHT));
    for number in 0_u64.. {
        ticks.tick().await;
        let Ok(place) = std::sync::Arc::clone(&places).acquire_owned().await else { return };
        let (client, told) = (client.clone(), told.clone());
        tokio::spawn(async move {
            let begun = Instant::now();
            let key = format!("demo/{:04}", number % 1000);
            let put = PutRequest { key: key.into(), value: number.to_string().into(), ..Default::default() };
            let done = client.put(put).await.ok().map(|_| begun.elapsed());
            // Nobody counts any more once everything stops.
            let _ = told.send(done).await;
            drop(place);
        });
    }
}

/// What became of all puts.
#[derive(Default)]
struct Tally {
    done: u64,
    failed: u64,
    slowest: Duration,
}

impl Tally {
    fn add(&mut self, put: Put) {
        match put {
            Some(took) => {
                self.done += 1;
                self.slowest = self.slowest.max(took);
            }
            None => self.failed += 1,
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slowest = self.slowest.as_secs_f64() * 1e3;
        write!(f, "{} puts, {} failed, slowest {slowest:.0} ms", self.done, self.failed)
    }
}

/// Processes of this very program.
struct Cluster {
    program: PathBuf,
    members: Vec<Member>,
}

struct Member {
    flags: Vec<String>,
    url: String,
    child: Child,
    /// When it was killed; it comes back.
    died: Option<Instant>,
}

impl Cluster {
    fn start(dir: &Path, count: usize, certificates: &Certificates) -> Result<Cluster> {
        let program = std::env::current_exe().context("this program cannot be found")?;
        let addresses = (0..count)
            .map(|_| Ok((format!("https://{}", free_address()?), format!("https://{}", free_address()?))))
            .collect::<Result<Vec<_>>>()?;
        let initial: Vec<_> =
            addresses.iter().enumerate().map(|(at, (_, peer))| format!("m{at}={peer}")).collect();
        let mut cluster = Cluster { program, members: Vec::new() };
        for (at, (url, peer)) in addresses.into_iter().enumerate() {
            let mut flags = vec![
                format!("--name=m{at}"),
                format!("--data-dir={}", dir.join(format!("m{at}")).display()),
                format!("--listen-client-urls={url}"),
                format!("--advertise-client-urls={url}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster={}", initial.join(",")),
                "--log-level=error".into(),
            ];
            flags.extend(certificates.flags());
            let child = spawn(&cluster.program, &flags)?;
            cluster.members.push(Member { flags, url, child, died: None });
        }
        Ok(cluster)
    }

    fn urls(&self) -> Vec<String> {
        self.members.iter().map(|member| member.url.clone()).collect()
    }

    fn kill(&mut self, at: usize) {
        let member = &mut self.members[at];
        // Both fail when it has ended already.
        let _ = member.child.kill();
        let _ = member.child.wait();
        member.died = Some(Instant::now());
    }

    /// Starts again who was dead for long enough.
    ///
    /// # Errors
    /// When a member has ended by itself.
    fn revive(&mut self) -> Result<()> {
        for (at, member) in self.members.iter_mut().enumerate() {
            match member.died {
                Some(died) if died.elapsed() >= DEATH => {
                    member.child = spawn(&self.program, &member.flags)?;
                    member.died = None;
                }
                Some(_) => {}
                None => {
                    if let Some(status) = member.child.try_wait()? {
                        bail!("m{at} has ended by itself: {status}");
                    }
                }
            }
        }
        Ok(())
    }
}

fn spawn(program: &Path, flags: &[String]) -> Result<Child> {
    let mut command = Command::new(program);
    command.arg("server").args(flags).stdin(Stdio::null()).stdout(Stdio::null());
    // Interrupts from the terminal are for this process, which then ends its members.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().context("a member cannot be started")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}
