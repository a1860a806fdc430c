//! `watch`: by arguments, by variables, or interactively.

mod args;

use std::{io::BufRead, process::Stdio};

use client::{Watches, prefix_end};
use cmdline::golang::{quote, quote_bytes};
use proto::{etcdserverpb as pb, mvccpb::Event};
use tokio::sync::mpsc;

use self::args::{Asked, Options};
use super::lock::{not_started, status_text};
use crate::{
    context::Context,
    fail::{Done, ERROR, Failed, INTERRUPTED, INVALID_INPUT, text},
    output::{say, tell},
    print::{Printer, event_name},
    text::words,
};

const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

pub(crate) async fn run(mut context: Context) -> Done {
    let key = context.variable("ETCDCTL_WATCH_KEY").to_owned();
    let range_end = context.variable("ETCDCTL_WATCH_RANGE_END").to_owned();
    if key.is_empty() && !range_end.is_empty() {
        let end = quote(&range_end);
        return Err(Failed::args(format!(
            "ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END={end}"
        )));
    }
    let from_variables: Vec<String> = [key, range_end].into_iter().filter(|text| !text.is_empty()).collect();
    if context.flags.bool("interactive") {
        return interactive(&mut context, &from_variables).await;
    }
    let asked = args::from_line(&context.words, &context.args, &from_variables).map_err(Failed::args)?;
    let options = Options::from_flags(&context.flags);
    let (client, printer) = context.connect_patiently().await?;
    let create = request(&asked, &options).map_err(Failed::args)?;
    let mut watches = Watches::new(&client, true);
    watches.add(create).await;
    while !watches.is_over() {
        match watches.next().await {
            Ok(told) => show(&printer, &told.reply, &asked.command)?,
            Err(error) => {
                show_end(&printer, &text(&error))?;
                break;
            }
        }
    }
    Err(Failed::new(INTERRUPTED, "watch is canceled by the server"))
}

async fn interactive(context: &mut Context, from_variables: &[String]) -> Done {
    let (client, printer) = context.connect_patiently().await?;
    let mut lines = read_lines();
    let mut watches = Watches::new(&client, true);
    let mut commands: Vec<Vec<String>> = Vec::new();
    loop {
        tokio::select! {
            line = lines.recv() => {
                let line = line.ok_or_else(|| Failed::new(INVALID_INPUT, "error reading watch request line: EOF"))?;
                let line = line.map_err(|error| {
                    Failed::new(INVALID_INPUT, format!("error reading watch request line: {error}"))
                })?;
                if let Some((create, command)) = take_line(&mut watches, &line, from_variables).await? {
                    watches.add(create).await;
                    commands.push(command);
                }
            }
            told = watches.next(), if !watches.is_over() => match told {
                Ok(told) => {
                    for number in told.watches {
                        show(&printer, &told.reply, &commands[number])?;
                    }
                }
                Err(error) => {
                    show_end(&printer, &text(&error))?;
                    watches = Watches::new(&client, true);
                    commands.clear();
                }
            },
        }
    }
}

/// Lines of standard input, read on a thread of their own: they may come at any time.
fn read_lines() -> mpsc::Receiver<Result<String, std::io::Error>> {
    let (send, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Does what a line says; a new watch and its command are for the caller.
async fn take_line(
    watches: &mut Watches,
    line: &str,
    from_variables: &[String],
) -> Result<Option<(pb::WatchCreateRequest, Vec<String>)>, Failed> {
    let words = words(line).map_err(|error| Failed::new(INVALID_INPUT, error))?;
    match words.first().map(String::as_str) {
        None => tell(&format!("Invalid command: {line} (watch and progress supported)\n")),
        Some("watch") if words.len() < 2 && from_variables.is_empty() => {
            tell(&format!("Invalid command {line} (command type or key is not provided)\n"));
        }
        Some("watch") => {
            let (asked, options) = args::from_words(&words[1..], from_variables).map_err(Failed::args)?;
            match request(&asked, &options) {
                Ok(create) => return Ok(Some((create, asked.command))),
                Err(error) => tell(&format!("Invalid command {line} ({error})\n")),
            }
        }
        // Without a watch nobody listens to the answer.
        Some("progress") if watches.is_over() => {}
        Some("progress") => watches.ask_progress().await?,
        Some(_) => tell(&format!("Invalid command {line} (only support watch)\n")),
    }
    Ok(None)
}

fn request(asked: &Asked, options: &Options) -> Result<pb::WatchCreateRequest, String> {
    let Some(key) = asked.words.first() else { return Err(args::BAD_NUMBER.to_owned()) };
    let mut key = key.as_bytes().to_vec();
    let mut range_end = Vec::new();
    if let [_, end] = asked.words.as_slice() {
        if options.prefix {
            return Err("`range_end` and `--prefix` are mutually exclusive".to_owned());
        }
        range_end = end.as_bytes().to_vec();
    }
    if options.prefix {
        range_end = prefix_end(&key);
        if key.is_empty() {
            key = vec![0];
        }
    }
    Ok(pb::WatchCreateRequest {
        key: key.into(),
        range_end: range_end.into(),
        start_revision: options.revision,
        prev_kv: options.prev_kv,
        progress_notify: options.progress_notify,
        ..Default::default()
    })
}

/// Prints a reply, and runs a command for each of its events.
fn show(printer: &Printer, reply: &pb::WatchResponse, command: &[String]) -> Done {
    if reply.canceled && reply.created {
        return show_end(printer, &reply.cancel_reason);
    }
    if reply.canceled && reply.compact_revision == 0 {
        return Ok(());
    }
    let revision = reply.header.as_ref().map_or(0, |header| header.revision);
    if reply.canceled {
        tell(&format!("watch was canceled ({COMPACTED})\n"));
    } else if reply.events.is_empty() && revision != 0 {
        say(format!("progress notify: {revision}\n"))?;
    }
    printer.watch(reply)?;
    if command.is_empty() {
        return Ok(());
    }
    reply.events.iter().try_for_each(|event| execute(command, revision, event))
}

/// That a watch is over.
fn show_end(printer: &Printer, reason: &str) -> Done {
    tell(&format!("watch was canceled ({reason})\n"));
    printer.watch(&pb::WatchResponse { canceled: true, ..Default::default() })
}

fn execute(command: &[String], revision: i64, event: &Event) -> Done {
    let kv = event.kv.clone().unwrap_or_default();
    let status = std::process::Command::new(&command[0])
        .args(&command[1..])
        .env("ETCD_WATCH_REVISION", revision.to_string())
        .env("ETCD_WATCH_EVENT_TYPE", quote(event_name(event)))
        .env("ETCD_WATCH_KEY", quote_bytes(&kv.key))
        .env("ETCD_WATCH_VALUE", quote_bytes(&kv.value))
        .stdin(Stdio::null())
        .status();
    let problem = match status {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status_text(status),
        Err(error) => not_started(&command[0], &error).text.unwrap_or_default(),
    };
    let command = cmdline::golang::quote_list(command);
    tell(&format!("command {command} error ({problem})\n"));
    Err(Failed::quietly(ERROR))
}
