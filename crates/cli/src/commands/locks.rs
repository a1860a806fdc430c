//! `lock` and `elect`.

use std::process::{ExitStatus, Stdio};

use client::{Client, Election, Interrupt, Mutex, Observer, Session};
use serde_json::json;

use crate::{
    context::Context,
    fail::{Done, FAILED, Failed},
    kv,
    output::{self, Row, shown},
};

fn interrupt() -> Done<Interrupt> {
    Interrupt::new().map_err(|error| Failed::new(format!("signals cannot be had: {error}")))
}

async fn session(context: &Context, client: &Client) -> Done<Session> {
    let ttl = context.flags.int("ttl");
    if ttl < 1 {
        return Err(Failed::misused("--ttl is less than a second"));
    }
    Ok(Session::open(client, ttl).await?)
}

/// What became of something that holds on.
fn lost(what: &str) -> Failed {
    Failed::new(format!("{what} is lost: its lease could not be renewed in time"))
        .next("mainstay status; a longer --ttl outlives longer failures")
}

pub(crate) async fn lock(context: Context) -> Done {
    let client = context.connect_patiently().await?;
    let session = session(&context, &client).await?;
    let mut interrupt = interrupt()?;
    let mutex = tokio::select! {
        locked = Mutex::lock(&session, context.arg(0)) => locked?,
        () = interrupt.wait() => {
            // The place in the queue goes with the lease.
            let _ = session.close().await;
            return Err(Failed::new("not locked: interrupted"));
        }
    };
    let done = match &context.args[1..] {
        [] => {
            let row = Row::new(
                [("key", json!(shown(mutex.key()))), ("revision", json!(mutex.revision()))],
                vec![shown(mutex.key())],
            );
            let plain = format!("locked as {} (fencing token {})\n", shown(mutex.key()), mutex.revision());
            output::one(context.format, row, plain)?;
            tokio::select! {
                () = interrupt.wait() => Ok(()),
                () = session.expired() => Err(lost("the lock")),
            }
        }
        command => execute(command, &mutex, &session, &mut interrupt).await,
    };
    let unlocked = mutex.unlock().await;
    done?;
    unlocked?;
    Ok(session.close().await?)
}

/// Runs a command while the lock is held, and no longer: it is killed when the lock is lost.
async fn execute(command: &[String], mutex: &Mutex, session: &Session, interrupt: &mut Interrupt) -> Done {
    let mut child = std::process::Command::new(&command[0])
        .args(&command[1..])
        .env("MAINSTAY_LOCK_KEY", shown(mutex.key()))
        .env("MAINSTAY_LOCK_REVISION", mutex.revision().to_string())
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| Failed::new(format!("{} cannot be started: {error}", command[0])))?;
    let id = child.id();
    let mut waited = tokio::task::spawn_blocking(move || child.wait());
    let mut kept = true;
    let status = loop {
        tokio::select! {
            status = &mut waited => break status,
            // The command got the signal, too, and decides.
            () = interrupt.wait() => {}
            () = session.expired(), if kept => {
                kept = false;
                // By its id: the thread that waits has the child. It is there until that thread says otherwise.
                let _ = std::process::Command::new("kill").arg(id.to_string()).status();
            }
        }
    };
    let status = status.map_err(|error| Failed::new(error.to_string()))?;
    let status = status.map_err(|error| Failed::new(error.to_string()))?;
    match (kept, status.success()) {
        (false, _) => Err(lost("the lock, and the command was ended:")),
        (true, true) => Ok(()),
        (true, false) => Err(Failed::quietly(code(status))),
    }
}

fn code(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(FAILED)
}

pub(crate) async fn elect(context: Context) -> Done {
    let client = context.connect_patiently().await?;
    match context.args.get(1) {
        None => observe(&context, &client).await,
        Some(value) => campaign(&context, &client, value).await,
    }
}

async fn campaign(context: &Context, client: &Client, value: &str) -> Done {
    let session = session(context, client).await?;
    let mut interrupt = interrupt()?;
    let election = tokio::select! {
        candidate = Election::campaign(&session, context.arg(0), value) => candidate?,
        () = interrupt.wait() => return Err(Failed::new("not elected: interrupted")),
    };
    let won = tokio::select! {
        won = election.win() => Some(won),
        () = interrupt.wait() => None,
    };
    let Some(won) = won else {
        let _ = session.close().await;
        return Err(Failed::new("not elected: interrupted"));
    };
    won?;
    let row = Row::new(
        [("key", json!(shown(election.key()))), ("value", json!(value))],
        vec![shown(election.key())],
    );
    output::one(context.format, row, format!("leading as {} with {value}\n", shown(election.key())))?;
    let done = tokio::select! {
        () = interrupt.wait() => Ok(()),
        () = session.expired() => Err(lost("the leadership")),
    };
    // Whoever waits need not wait for the lease.
    let resigned = election.resign().await;
    done?;
    resigned?;
    Ok(session.close().await?)
}

async fn observe(context: &Context, client: &Client) -> Done {
    let mut observer = Observer::new(client, context.arg(0));
    loop {
        let reply = observer.next().await?;
        for pair in &reply.kvs {
            let plain = format!("{} leads with {}\n", shown(&pair.key), shown(&pair.value));
            output::one(context.format, kv::row(pair, false), plain)?;
        }
        if context.flags.bool("once") {
            return Ok(());
        }
    }
}
