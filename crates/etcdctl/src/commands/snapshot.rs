//! `snapshot`

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Instant,
};

use client::Client;
use telemetry::{line, log::size};

use crate::{
    connect::{Reach, open, start_log},
    context::Context,
    fail::{BAD_ARGS, Done, Failed, INTERRUPTED, raw_text},
    output::{say, tell},
    text::took,
};

/// A checksum stands behind the pages, whose size is a multiple of this.
const SECTOR_BYTES: u64 = 512;
const CHECKSUM_BYTES: u64 = 32;

pub(crate) async fn save(mut context: Context) -> Done {
    let path = context.one("snapshot save expects one argument <filename>")?.to_owned();
    let reach = context.reach().await?;
    start_log();
    let limit = context.flags.changed("command-timeout").then(|| context.command_timeout());
    let saving = save_to(&reach, &path);
    let saved = match limit {
        None => saving.await,
        Some(limit) => match tokio::time::timeout(limit, saving).await {
            Ok(saved) => saved,
            Err(_) => Err(Failed::error("context deadline exceeded")),
        },
    };
    // Gone, when it has got its name.
    let _ = fs::remove_file(partial(&path));
    let version = saved.map_err(|failed| match failed.code {
        BAD_ARGS => failed,
        _ => failed.with_code(INTERRUPTED),
    })?;
    say(format!("Snapshot saved at {path}\n"))?;
    match version.is_empty() {
        true => Ok(()),
        false => say(format!("Server version {version}\n")),
    }
}

/// As in 3.5, whose words these are.
fn deprecated(command: &str) {
    tell(&format!("Deprecated: Use `etcdutl snapshot {command}` instead.\n\n"));
}

pub(crate) async fn status(context: Context) -> Done {
    deprecated("status");
    let text =
        etcdutl::snapshot_status_with(context.flags.text("write-out"), &context.args).map_err(failed)?;
    say(text)
}

pub(crate) async fn restore(context: Context) -> Done {
    deprecated("restore");
    etcdutl::snapshot_restore_with(&context.flags, &context.args).map_err(failed)
}

fn failed(failure: etcdutl::Failure) -> Failed {
    Failed::new(failure.code as u8, failure)
}

fn partial(path: &str) -> String {
    format!("{path}.part")
}

async fn save_to(reach: &Reach, path: &str) -> Result<String, Failed> {
    let endpoints = &reach.settings.endpoints;
    let [endpoint] = endpoints.as_slice() else {
        let given = endpoints.join(" ");
        let text = format!("snapshot must be requested to one selected node, not multiple [{given}]");
        return Err(Failed::error(text));
    };
    let client = open(&reach.settings).await?;
    let part = partial(path);
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
    let mut file = opened
        .map_err(|error| Failed::error(format!("could not open {part} (open {part}: {})", reason(&error))))?;
    line!(Info, "created temporary db file", "path" => part.clone());
    let start = Instant::now();
    line!(Info, "fetching snapshot", "endpoint" => endpoint.clone());
    let (bytes, version) = fetch(&client, &mut file).await?;
    if bytes % SECTOR_BYTES != CHECKSUM_BYTES {
        return Err(Failed::error(format!("sha256 checksum not found [bytes: {bytes}]")));
    }
    file.sync_all().map_err(|error| Failed::error(format!("could not fsync snapshot: {error}")))?;
    line!(Info, "fetched snapshot", "endpoint" => endpoint.clone(), "size" => size(bytes),
        "took" => took(start), "etcd-version" => version.clone());
    fs::rename(&part, path).and_then(|()| sync_parent(path)).map_err(|error| {
        let reason = if Path::new(path).is_dir() { "file exists".to_owned() } else { reason(&error) };
        Failed::error(format!("could not rename {part} to {path} (rename {part} {path}: {reason})"))
    })?;
    line!(Info, "saved", "path" => path.to_owned());
    Ok(version)
}

/// Writes a member's file, and says how long it is and what version wrote it.
async fn fetch(client: &Client, file: &mut File) -> Result<(u64, String), Failed> {
    let raw = |error: client::Error| Failed::error(raw_text(&error));
    let mut pieces = client.snapshot().await.map_err(raw)?;
    let (mut bytes, mut version) = (0, String::new());
    loop {
        let piece = match pieces.next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok((bytes, version)),
            Err(error) if bytes == 0 => return Err(raw(error)),
            Err(error) => {
                return Err(Failed::error(format!("could not write snapshot: {}", raw_text(&error))));
            }
        };
        if bytes == 0 {
            version = piece.version;
        }
        file.write_all(&piece.blob)
            .map_err(|error| Failed::error(format!("could not write snapshot: {error}")))?;
        bytes += piece.blob.len() as u64;
    }
}

/// A name is durable when its directory is.
fn sync_parent(path: &str) -> std::io::Result<()> {
    let parent = Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    }
}
