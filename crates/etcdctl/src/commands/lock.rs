//! `lock`

use std::process::ExitStatus;

use client::{Client, Interrupt, Mutex, Session};
use proto::etcdserverpb as pb;

use crate::{
    context::Context,
    fail::{Done, ERROR, Failed},
    print::Printer,
};

pub(crate) async fn run(mut context: Context) -> Done {
    if context.args.is_empty() {
        return Err(Failed::args("lock takes a lock name argument and an optional command to execute"));
    }
    let (client, printer) = context.connect_patiently().await?;
    // A session of less than a second is upstream's usual one.
    let ttl = match context.flags.int("ttl") {
        ttl if ttl > 0 => ttl,
        _ => 60,
    };
    let session = Session::open(&client, ttl).await?;
    let mut interrupt = Interrupt::new().map_err(Failed::error)?;
    let mutex = tokio::select! {
        locked = Mutex::lock(&session, &context.args[0]) => locked?,
        () = interrupt.wait() => {
            // Ends the lease, and with it the place in the queue.
            let _ = session.close().await;
            return Err(Failed::error("context canceled"));
        }
    };
    match &context.args[1..] {
        [] => hold(&client, &printer, &session, &mutex, &mut interrupt).await,
        command => {
            let ended = execute(command, &mutex, &mut interrupt).await;
            let unlocked = mutex.unlock().await;
            ended?;
            Ok(unlocked?)
        }
    }
}

async fn hold(
    client: &Client,
    printer: &Printer,
    session: &Session,
    mutex: &Mutex,
    interrupt: &mut Interrupt,
) -> Done {
    let request = pb::RangeRequest { key: mutex.key().to_vec().into(), ..Default::default() };
    let reply = client.range(request).await?;
    if reply.kvs.is_empty() {
        return Err(Failed::error("lock lost on init"));
    }
    printer.range(&reply)?;
    tokio::select! {
        () = interrupt.wait() => Ok(mutex.unlock().await?),
        () = session.expired() => Err(Failed::error("session expired")),
    }
}

/// Runs a command while the lock is held. Signals are the command's to heed; it got them, too.
async fn execute(command: &[String], mutex: &Mutex, interrupt: &mut Interrupt) -> Done {
    let variables = [
        ("ETCD_LOCK_KEY", String::from_utf8_lossy(mutex.key()).into_owned()),
        ("ETCD_LOCK_REV", mutex.revision().to_string()),
    ];
    let (name, args) = (command[0].clone(), command[1..].to_vec());
    let mut child = std::process::Command::new(&name)
        .args(args)
        .envs(variables)
        .stdin(std::process::Stdio::null())
        .spawn()
        .map_err(|error| not_started(&name, &error))?;
    let mut waited = tokio::task::spawn_blocking(move || child.wait());
    let status = loop {
        tokio::select! {
            status = &mut waited => break status.map_err(Failed::error)?.map_err(Failed::error)?,
            () = interrupt.wait() => {}
        }
    };
    if status.success() { Ok(()) } else { Err(ended(status)) }
}

/// That a program cannot be started, as Go says it.
pub(crate) fn not_started(name: &str, error: &std::io::Error) -> Failed {
    let reason = match error.kind() {
        std::io::ErrorKind::NotFound if !name.contains('/') => {
            return Failed::error(format!("exec: \"{name}\": executable file not found in $PATH"));
        }
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    Failed::error(format!("fork/exec {name}: {reason}"))
}

fn ended(status: ExitStatus) -> Failed {
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
    Failed::new(if code == 0 { ERROR } else { code }, status_text(status))
}

/// How a child ended, as Go says it.
pub(crate) fn status_text(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "signal: killed".to_owned(),
        (None, Some(15)) => "signal: terminated".to_owned(),
        (None, Some(2)) => "signal: interrupt".to_owned(),
        (None, signal) => format!("signal: signal {}", signal.unwrap_or_default()),
    }
}
