//! Compares this member's keys with the others' and raises CORRUPT alarms (contract/semantics.md 10): before clients
//! are served, and as leader now and then. A thread of its own asks; `judge` decides.

mod judge;

use std::{
    future::{Future, pending},
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use node::{Caller, NodeHandle, Port, Summary};
use peer::{HashRefusal, Questions};
use proto::etcdserverpb::{
    AlarmRequest, AlarmType, HashKvRequest, MemberListRequest, alarm_request::AlarmAction,
};
use telemetry::{line, log};
use tokio::{
    runtime,
    time::{MissedTickBehavior, interval_at},
};
use types::MemberId;

use judge::{Asked, Own, Verdict};

/// Which checks are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checks {
    /// Before clients are served after a restart.
    pub initial: bool,
    /// Between two comparisons of everything; `None` for none.
    pub periodic: Option<Duration>,
    /// Between two comparisons of what compactions stored; `None` for none.
    pub compaction: Option<Duration>,
}

/// Whoever asks: this member itself, and through it the others.
struct Checker {
    port: Port,
    summary: Arc<Summary>,
    questions: Questions,
    /// For one answer.
    patience: Duration,
}

/// Compares before clients are served.
///
/// # Errors
/// When another member has other keys, or this member cannot tell what it has.
pub(crate) fn check_initially(handle: &NodeHandle, questions: Questions, patience: Duration) -> Result<()> {
    let checker = Checker::new(handle, questions, patience);
    let checked = runtime()?.block_on(async {
        tokio::select! {
            checked = checker.initial() => checked,
            () = checker.port.drive() => bail!("the member has stopped"),
        }
    });
    if let Err(error) = &checked {
        line!(Error, "checkInitialHashKV failed", "error" => error.to_string());
    }
    checked
}

/// Starts the thread, if there is something to do for it. It ends when the member has stopped.
///
/// # Errors
/// When there is no thread to be had.
pub(crate) fn start(
    checks: Checks,
    handle: &NodeHandle,
    questions: Questions,
    patience: Duration,
) -> Result<Option<JoinHandle<()>>> {
    if checks.periodic.is_none() && checks.compaction.is_none() {
        return Ok(None);
    }
    if let Some(interval) = checks.periodic {
        line!(Info, "enabled corruption checking",
            "local-member-id" => handle.summary().member_id.to_string(),
            "interval" => log::duration(interval));
    }
    let (runtime, handle) = (runtime()?, handle.clone());
    let work = move || {
        let checker = Checker::new(&handle, questions, patience);
        runtime.block_on(async {
            tokio::select! {
                () = every(checks.periodic, async || checker.periodic().await) => {}
                () = checker.watch_compactions(checks.compaction) => {}
                () = checker.port.drive() => {}
            }
        });
    };
    Ok(Some(thread::Builder::new().name("checks".into()).spawn(work)?))
}

fn runtime() -> io::Result<runtime::Runtime> {
    runtime::Builder::new_current_thread().enable_time().build()
}

async fn every<F: Future<Output = ()>>(interval: Option<Duration>, mut work: impl FnMut() -> F) {
    let Some(interval) = interval else { return pending().await };
    let mut ticks = interval_at(tokio::time::Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        work().await;
    }
}

impl Checker {
    fn new(handle: &NodeHandle, questions: Questions, patience: Duration) -> Checker {
        Checker { port: handle.port(), summary: handle.summary(), questions, patience }
    }

    fn me(&self) -> MemberId {
        self.summary.member_id
    }

    fn leads(&self) -> bool {
        self.summary.leader() == Some(self.me())
    }

    async fn initial(&self) -> Result<()> {
        let me = self.me();
        line!(Info, "starting initial corruption check",
            "local-member-id" => me.to_string(), "timeout" => log::duration(self.patience));
        let own = self.own().await.with_context(|| format!("{me} failed to fetch hash"))?;
        let asked = self.ask(own.hash.revision).await?;
        match judge::initial(me, &own.hash, &asked) {
            Verdict::Corrupt(_) => bail!("{me} found data inconsistency with peers"),
            Verdict::Incomplete => {
                line!(Warn, "initial corruption check: no other member could be compared with",
                "local-member-id" => me.to_string());
            }
            Verdict::Equal(compared) => line!(Info, "initial corruption checking passed; no corruption",
                "local-member-id" => me.to_string(), "number-of-peers-checked" => compared),
        }
        Ok(())
    }

    async fn periodic(&self) {
        if !self.leads() {
            return;
        }
        if let Err(error) = self.compare_all().await {
            line!(Warn, "failed to check hash KV", "error" => error.to_string());
        }
    }

    async fn compare_all(&self) -> Result<()> {
        let before = self.own().await?;
        let asked = self.ask(before.hash.revision).await?;
        // What the others have by now, this member has after this.
        self.port.member_list(Caller::internal(), MemberListRequest { linearizable: true }).await?;
        let after = self.own().await?;
        match judge::periodic(self.me(), &before, &after, &asked) {
            Verdict::Corrupt(ids) => self.raise(&ids).await,
            Verdict::Incomplete => {
                line!(Warn, "peer corruption check: no other member could be compared with");
            }
            Verdict::Equal(compared) => {
                line!(Info, "finished peer corruption check", "number-of-peers-checked" => compared);
            }
        }
        Ok(())
    }

    /// Compares what compactions stored, newest first, until one could be compared with everybody.
    async fn watch_compactions(&self, interval: Option<Duration>) {
        // The newest revision that was compared with everybody.
        let checked = std::cell::Cell::new(0);
        every(interval, async || {
            if self.leads()
                && let Err(error) = self.compare_compactions(&checked).await
            {
                line!(Warn, "failed to check compaction hashes", "error" => error.to_string());
            }
        })
        .await;
    }

    async fn compare_compactions(&self, checked: &std::cell::Cell<i64>) -> Result<()> {
        line!(Info, "starting compact hash check",
            "local-member-id" => self.me().to_string(), "timeout" => log::duration(self.patience));
        let mut hashes = self.port.compaction_hashes(Caller::internal(), ()).await?;
        hashes.retain(|hash| hash.revision > checked.get());
        let mut looked_at = 0;
        for own in hashes.iter().rev() {
            looked_at += 1;
            let asked = self.ask(own.revision).await?;
            if asked.is_empty() {
                continue;
            }
            match judge::compaction(self.me(), own, &asked) {
                Verdict::Incomplete => continue,
                Verdict::Equal(_) => checked.set(own.revision),
                Verdict::Corrupt(ids) => self.raise(&ids).await,
            }
            break;
        }
        line!(Info, "finished compaction hash check", "number-of-hashes-checked" => looked_at);
        Ok(())
    }

    async fn own(&self) -> Result<Own> {
        let reply = self.port.hash_kv(Caller::internal(), HashKvRequest { revision: 0 }).await?;
        Ok(Own {
            hash: node::KvHash {
                hash: reply.hash,
                revision: reply.hash_revision,
                compacted: reply.compact_revision,
            },
            newest: reply.header.map_or(0, |header| header.revision),
        })
    }

    /// Asks every other member, one URL after the other.
    async fn ask(&self, revision: i64) -> Result<Vec<Asked>> {
        let list = MemberListRequest { linearizable: false };
        let members = self.port.member_list(Caller::internal(), list).await?.members;
        let mut asked = Vec::new();
        for member in members.into_iter().filter(|member| member.id != self.me().0) {
            let mut answer = Err(HashRefusal::Other("it has no peer URL".into()));
            for url in &member.peer_ur_ls {
                answer = self.questions.hash_kv(url, revision, self.patience).await;
                let Err(error) = &answer else { break };
                line!(Warn, "failed hash kv request", "local-member-id" => self.me().to_string(),
                    "requested-revision" => revision, "remote-peer-endpoint" => url.as_str(),
                    "error" => error.to_string());
            }
            asked.push(Asked { id: MemberId(member.id), urls: member.peer_ur_ls, answer });
        }
        Ok(asked)
    }

    /// Has the cluster note who is corrupt.
    async fn raise(&self, ids: &[MemberId]) {
        for id in ids {
            let request = AlarmRequest {
                action: AlarmAction::Activate.into(),
                member_id: id.0,
                alarm: AlarmType::Corrupt.into(),
            };
            if let Err(error) = self.port.alarm(Caller::internal(), request).await {
                line!(Warn, "the alarm could not be raised; the next check tries again",
                    "member-id" => id.to_string(), "error" => error.to_string());
            }
        }
    }
}
