//! `bench disk`: how fast a disk makes small writes durable.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::json;

use super::bench::Times;
use crate::{
    context::Context,
    fail::{Done, Failed, UNHEALTHY},
    output::{self, Row},
    progress::Progress,
};

/// etcd's own advice for the 99th percentile of syncs of its log.
const GOOD: Duration = Duration::from_millis(10);
/// With more, leaders are lost at etcd's usual timers when something else uses the disk, too.
const BAD: Duration = Duration::from_millis(25);

pub(crate) async fn run(context: Context) -> Done {
    let folder = if context.args.is_empty() { "." } else { context.arg(0) };
    let (count, bytes) =
        (super::bench::positive(&context, "requests")?, super::bench::positive(&context, "value-size")?);
    let file = Scratch(Path::new(folder).join(format!(".mainstay-bench-{}", std::process::id())));
    let failed = |error: std::io::Error| {
        Failed::new(format!("{} cannot be written: {error}", file.0.display()))
            .next("a folder on the disk that is meant, with room")
    };
    let mut log = OpenOptions::new().write(true).create_new(true).open(&file.0).map_err(failed)?;
    // As a log that was made ready: syncs of data alone, no new blocks.
    let block = vec![b'm'; bytes];
    for _ in 0..count {
        log.write_all(&block).map_err(failed)?;
    }
    log.sync_all().map_err(failed)?;
    std::io::Seek::rewind(&mut log).map_err(failed)?;
    let (mut times, mut progress) = (Times::default(), Progress::new(count));
    let begun = Instant::now();
    for _ in 0..count {
        let one = Instant::now();
        log.write_all(&block).and_then(|()| log.sync_data()).map_err(failed)?;
        times.add(one.elapsed());
        progress.add(1);
    }
    drop(progress);
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    let p99 = times.at(0.99);
    let (verdict, why) = match p99 {
        p99 if p99 <= GOOD => ("good", "fit for etcd's usual timers"),
        p99 if p99 <= BAD => {
            ("slow", "watch etcd_disk_wal_fsync_duration_seconds; nothing else should use this disk")
        }
        _ => (
            "too slow",
            "leaders will be lost: use a local SSD, or longer --heartbeat-interval and --election-timeout",
        ),
    };
    let row = Row::new(
        [
            ("verdict", json!(verdict)),
            ("syncs_per_second", json!(rate.round())),
            ("p50_ms", json!(Times::ms(times.at(0.5)))),
            ("p99_ms", json!(Times::ms(p99))),
            ("max_ms", json!(Times::ms(times.at(1.0)))),
        ],
        vec![verdict.to_owned()],
    );
    let plain = format!(
        "{count} writes of {bytes} bytes, each synced: {rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms\n{verdict}: {why}\n",
        Times::ms(times.at(0.5)),
        Times::ms(p99),
        Times::ms(times.at(1.0))
    );
    output::one(context.format, row, plain)?;
    if p99 > BAD { Err(Failed::quietly(UNHEALTHY)) } else { Ok(()) }
}

/// A file that goes when it is not needed any more.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // It says whose it is.
        let _ = std::fs::remove_file(&self.0);
    }
}
