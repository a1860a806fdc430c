//! Addresses whose connections were ended for misbehaving, and how long such connections are held.
//!
//! A connection that was sent away keeps its socket for some seconds, unread: who floods and waits for the end before
//! it comes again is slowed by that, and nobody else at its address. New connections from there begin with little
//! credit ([`crate::frame_police`]), which only another flood notices.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::frame_police::{CREDIT_MAX, CREDIT_SUSPECT};

/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 1_024;
/// An address that has behaved for this long is forgotten.
const MEMORY: Duration = Duration::from_secs(60);
/// How long the first connection of an address is held; each further one twice as long as the one before.
const HOLD_FIRST: Duration = Duration::from_secs(1);
/// Doublings, at most.
const HOLD_DOUBLINGS_MAX: u32 = 4;
/// Sockets that are held at once; what comes then is closed at once. The kernel may hold a full receive buffer for each.
const HELD_MAX: usize = 64;

/// Who has misbehaved lately.
#[derive(Debug, Default)]
pub(crate) struct Offenders {
    /// How many are in the table, for those who connect while there are none.
    known: AtomicUsize,
    records: Mutex<HashMap<IpAddr, Record>>,
    held: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    offences: u32,
    last: Instant,
}

/// What follows an offence.
#[derive(Debug)]
pub(crate) struct Sentence {
    /// Offences of this address, this one included.
    pub(crate) offences: u32,
    /// How long to hold the socket, with the place that this takes; `None` when there is no place.
    pub(crate) hold: Option<(Duration, Held)>,
}

/// A place among those that are held.
#[derive(Debug)]
pub(crate) struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Offenders {
    /// What a new connection of `remote` (`host:port`) may begin with.
    pub(crate) fn credit(&self, remote: &str, now: Instant) -> u32 {
        if self.known.load(Relaxed) == 0 {
            return CREDIT_MAX;
        }
        let record = address(remote).and_then(|address| self.records().get(&address).copied());
        let suspect = record.is_some_and(|record| record.is_fresh(now));
        if suspect { CREDIT_SUSPECT } else { CREDIT_MAX }
    }

    /// A connection of `remote` was ended because it misbehaved.
    pub(crate) fn offence(&self, remote: &str, now: Instant) -> Sentence {
        // Sockets of the file system have no address: each offence is the first.
        let offences = address(remote).map_or(1, |address| self.record(address, now));
        let hold = HOLD_FIRST * (1 << (offences - 1).min(HOLD_DOUBLINGS_MAX));
        Sentence { offences, hold: self.hold().map(|held| (hold, held)) }
    }

    fn record(&self, address: IpAddr, now: Instant) -> u32 {
        let mut records = self.records();
        if records.len() >= ADDRESSES_MAX && !records.contains_key(&address) {
            records.retain(|_, record| record.is_fresh(now));
            if records.len() >= ADDRESSES_MAX
                && let Some(oldest) =
                    records.iter().min_by_key(|(_, record)| record.last).map(|(key, _)| *key)
            {
                records.remove(&oldest);
            }
        }
        let record = records.entry(address).or_insert(Record { offences: 0, last: now });
        record.offences = if record.is_fresh(now) { record.offences.saturating_add(1) } else { 1 };
        record.last = now;
        let offences = record.offences;
        self.known.store(records.len(), Relaxed);
        offences
    }

    fn hold(&self) -> Option<Held> {
        let place = |held: usize| (held < HELD_MAX).then_some(held + 1);
        self.held.fetch_update(Relaxed, Relaxed, place).ok()?;
        Some(Held(Arc::clone(&self.held)))
    }

    fn records(&self) -> MutexGuard<'_, HashMap<IpAddr, Record>> {
        // Each change is whole.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < MEMORY
    }
}

/// Who is behind a socket's address: a whole network of 64 bits of IPv6, because nobody has less.
fn address(remote: &str) -> Option<IpAddr> {
    let address = remote.parse::<SocketAddr>().ok()?.ip().to_canonical();
    Some(match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(sentence: &Sentence) -> Option<u64> {
        sentence.hold.as_ref().map(|(hold, _)| hold.as_secs())
    }

    #[test]
    fn who_comes_again_is_held_longer_and_forgotten_in_the_end() {
        let offenders = Offenders::default();
        let start = Instant::now();
        let holds: Vec<_> =
            (0..7).map(|i| seconds(&offenders.offence(&format!("10.0.0.1:{i}"), start))).collect();
        assert_eq!(holds, [1, 2, 4, 8, 16, 16, 16].map(Some));
        assert_eq!(offenders.credit("10.0.0.1:9", start), CREDIT_SUSPECT);
        assert_eq!(offenders.credit("[::ffff:10.0.0.1]:9", start), CREDIT_SUSPECT);
        assert_eq!(offenders.credit("10.0.0.2:9", start), CREDIT_MAX);
        assert_eq!(offenders.credit("10.0.0.1:9", start + MEMORY), CREDIT_MAX);
        let later = offenders.offence("10.0.0.1:1", start + MEMORY);
        assert_eq!((later.offences, seconds(&later)), (1, Some(1)));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_socket_file_is_none() {
        let offenders = Offenders::default();
        let start = Instant::now();
        assert_eq!(offenders.offence("[2001:db8::1]:5", start).offences, 1);
        assert_eq!(offenders.offence("[2001:db8::ffff:2]:5", start).offences, 2);
        assert_eq!(offenders.offence("[2001:db8:0:1::1]:5", start).offences, 1);
        for _ in 0..2 {
            assert_eq!(offenders.offence("@", start).offences, 1);
        }
        assert_eq!(offenders.credit("@", start), CREDIT_MAX);
    }

    #[test]
    fn places_and_addresses_are_bounded() {
        let offenders = Offenders::default();
        let start = Instant::now();
        let mut sentences = Vec::new();
        for i in 0..2 * ADDRESSES_MAX as u64 {
            let remote = format!("10.0.{}.{}:1", i / 256, i % 256);
            sentences.push(offenders.offence(&remote, start + Duration::from_micros(i)));
        }
        assert_eq!(offenders.records().len(), ADDRESSES_MAX);
        assert_eq!(sentences.iter().filter(|sentence| sentence.hold.is_some()).count(), HELD_MAX);
        // The oldest had to go.
        let now = start + Duration::from_secs(1);
        assert_eq!(offenders.credit("10.0.0.0:1", now), CREDIT_MAX);
        assert_eq!(offenders.credit("10.0.7.255:1", now), CREDIT_SUSPECT);
        drop(sentences);
        assert_eq!(seconds(&offenders.offence("10.0.0.0:1", now)), Some(1));
    }
}
