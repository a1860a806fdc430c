//! Puts from many clients, measured.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use client::Client;
use proto::etcdserverpb as pb;
use tokio::task::JoinSet;

use crate::fail::text;

/// What is written.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) prefix: String,
    pub(super) key_bytes: usize,
    pub(super) value_bytes: usize,
}

/// How fast, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So many a second, for so long.
    PerSecond(u32, Duration),
    /// So many, as fast as they go.
    Count(u64),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// How long each put took that went well, in seconds.
    times: Vec<f64>,
    pub(super) errors: BTreeMap<String, u64>,
    seconds: f64,
}

impl Measured {
    pub(super) fn per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.times.len() as f64 / self.seconds } else { 0.0 }
    }

    pub(super) fn slowest(&self) -> f64 {
        self.times.iter().copied().fold(0.0, f64::max)
    }

    pub(super) fn deviation(&self) -> f64 {
        let count = self.times.len().max(1) as f64;
        let mean = self.times.iter().sum::<f64>() / count;
        (self.times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / count).sqrt()
    }
}

impl Load {
    fn request(&self, number: u64) -> pb::PutRequest {
        let mut key = self.prefix.clone().into_bytes();
        key.extend(scattered(number));
        key.resize(self.prefix.len() + self.key_bytes, 0);
        pb::PutRequest { key: key.into(), value: vec![0; self.value_bytes].into(), ..Default::default() }
    }

    /// Lets all clients put until the pace says that it is enough.
    pub(super) async fn run(&self, clients: &[Client], pace: Pace) -> Measured {
        let start = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let mut writers = JoinSet::new();
        for client in clients {
            let writer = Writer { client: client.clone(), load: self.clone(), start, pace };
            writers.spawn(writer.run(Arc::clone(&next)));
        }
        let mut all = Measured::default();
        while let Some(writer) = writers.join_next().await {
            let Ok((times, errors)) = writer else { continue };
            all.times.extend(times);
            for error in errors {
                *all.errors.entry(error).or_default() += 1;
            }
        }
        all.seconds = start.elapsed().as_secs_f64();
        all
    }
}

/// One client.
struct Writer {
    client: Client,
    load: Load,
    start: Instant,
    pace: Pace,
}

impl Writer {
    /// Takes the number of the next put, waits for its time, makes it.
    async fn run(self, next: Arc<AtomicU64>) -> (Vec<f64>, Vec<String>) {
        let (mut times, mut errors) = (Vec::new(), Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            match self.pace {
                Pace::Count(count) if number >= count => return (times, errors),
                Pace::Count(_) => {}
                Pace::PerSecond(rate, whole) => {
                    let due = Duration::from_secs_f64(number as f64 / f64::from(rate));
                    if due >= whole {
                        return (times, errors);
                    }
                    tokio::time::sleep_until((self.start + due).into()).await;
                }
            }
            let begin = Instant::now();
            match self.client.put(self.load.request(number)).await {
                Ok(_) => times.push(begin.elapsed().as_secs_f64()),
                Err(error) => errors.push(text(&error)),
            }
        }
    }
}

/// A number whose neighbours are far away, as random keys are: multiplied by an odd number, no two are equal.
fn scattered(number: u64) -> [u8; 8] {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    number.wrapping_mul(ODD).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_up() {
        let measured = Measured { times: vec![0.1, 0.3], seconds: 4.0, ..Measured::default() };
        assert_eq!((measured.per_second(), measured.slowest()), (0.5, 0.3));
        assert!((measured.deviation() - 0.1).abs() < 1e-9);
        assert_eq!(Measured::default().deviation(), 0.0);
        assert_ne!(scattered(1), scattered(2));
    }
}
