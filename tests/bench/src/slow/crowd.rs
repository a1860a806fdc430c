//! The slow ones, on a thread of their own: what they cost shall not look like what the server costs.

use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc::Sender},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{task::LocalSet, time::sleep};

use super::{Plan, Test, watcher::Watcher};
use crate::client::{Client, Target};

/// Those that read on when all is written, until they have everything.
const DRAINED: usize = 10;
const DRAIN_TIME: Duration = Duration::from_secs(120);
/// What each waits after each message.
const PAUSE: Duration = Duration::from_secs(1);
/// What a client of Go's gRPC lets the server send ahead on a stream, in bytes.
const STREAM_WINDOW: u32 = 64 << 10;

/// Opens all watchers, says so, and reads until everything is written.
pub(super) fn run(
    address: &str,
    plan: &Plan,
    first: i64,
    test: &Arc<Test>,
    ready: &Sender<()>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut tasks = Vec::new();
        for connection in 0..plan.connections {
            let client = Rc::new(Client::with_windows(&Target::plain(address), STREAM_WINDOW).await?);
            for n in (connection..plan.watchers).step_by(plan.connections) {
                let watcher = Watcher::open(&client, first).await?;
                // Each at a moment of its own within the second.
                let phase = PAUSE.mul_f64(n as f64 / plan.watchers as f64);
                tasks.push(tokio::task::spawn_local(read(watcher, Arc::clone(test), phase, n < DRAINED)));
            }
        }
        ready.send(())?;
        for task in tasks {
            tokio::time::timeout(DRAIN_TIME, task).await.context("a slow watcher does not get on")???;
        }
        Ok(())
    })
}

async fn read(mut watcher: Watcher, test: Arc<Test>, phase: Duration, to_the_end: bool) -> Result<()> {
    sleep(phase).await;
    while !watcher.is_done(&test) {
        let response = watcher.next().await?;
        if test.last().is_none() {
            test.messages.fetch_add(1, Relaxed);
            test.events.fetch_add(response.events.len() as u64, Relaxed);
            sleep(PAUSE).await;
        } else if !to_the_end {
            break;
        }
    }
    Ok(())
}
