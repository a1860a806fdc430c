//! The kinds of metric, as plain atomics.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

/// Only goes up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes over a count that is kept elsewhere; never lowers it.
    pub fn raise_to(&self, total: u64) {
        self.0.fetch_max(total, Ordering::Relaxed);
    }

    /// The count.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Goes up and down. Whole numbers only: none of etcd's own gauges has a fraction.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Observations counted into buckets.
#[derive(Debug)]
pub struct Histogram {
    /// Upper ends, inclusive, ascending; a last bucket without end is implied.
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    /// Sum of all observations, in millionths, so that adding is one atomic instruction.
    sum_millionths: AtomicU64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [f64]) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, counts, sum_millionths: AtomicU64::new(0) }
    }

    /// Counts one observation; a negative one counts as 0.
    pub fn observe(&self, value: f64) {
        self.observe_many(value, 1);
    }

    /// Counts `n` observations of the same value.
    pub fn observe_many(&self, value: f64, n: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(n, Ordering::Relaxed);
        let millionths = (value.max(0.0) * 1e6).round() as u64;
        self.sum_millionths.fetch_add(millionths.saturating_mul(n), Ordering::Relaxed);
    }

    /// Takes over counts that are kept elsewhere, one per bucket and one for the last bucket without end, and the
    /// sum of observations.
    pub fn take_over(&self, counts: impl IntoIterator<Item = u64>, sum: f64) {
        for (place, count) in self.counts.iter().zip(counts) {
            place.store(count, Ordering::Relaxed);
        }
        self.sum_millionths.store((sum.max(0.0) * 1e6).round() as u64, Ordering::Relaxed);
    }

    /// Upper ends with the number of observations at or below each, and the count of all.
    pub(crate) fn cumulative(&self) -> (Vec<(f64, u64)>, u64) {
        let mut total = 0;
        let mut rows = Vec::with_capacity(self.bounds.len());
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            total += count.load(Ordering::Relaxed);
            rows.push((*bound, total));
        }
        total += self.counts[self.bounds.len()].load(Ordering::Relaxed);
        (rows, total)
    }

    pub(crate) fn sum(&self) -> f64 {
        self.sum_millionths.load(Ordering::Relaxed) as f64 / 1e6
    }
}

/// Metrics of one name that differ in label values. Hold on to a child on hot paths: finding it takes a lock.
#[derive(Debug)]
pub struct Family<M> {
    make: fn(&'static [f64]) -> M,
    bounds: &'static [f64],
    /// Bound on children, so that label values from outside cannot fill the memory.
    children: Mutex<BTreeMap<Vec<String>, Arc<M>>>,
}

/// Most children that one family keeps; later label values share the last child's place under `other`.
const CHILDREN_MAX: usize = 10_000;

impl<M> Family<M> {
    pub(crate) fn new(make: fn(&'static [f64]) -> M, bounds: &'static [f64]) -> Family<M> {
        Family { make, bounds, children: Mutex::default() }
    }

    /// The child with these label values, in the order of the family's labels; created at 0.
    pub fn with(&self, values: &[&str]) -> Arc<M> {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key: Vec<String> = values.iter().map(|v| (*v).to_string()).collect();
        if !children.contains_key(&key) && children.len() >= CHILDREN_MAX {
            key = vec!["other".into(); values.len()];
        }
        Arc::clone(children.entry(key).or_insert_with(|| Arc::new((self.make)(self.bounds))))
    }

    /// Calls `visit` for each child, in order of label values.
    pub(crate) fn each(&self, mut visit: impl FnMut(&[String], &M)) {
        for (values, metric) in self.children.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            visit(values, metric);
        }
    }
}

impl Family<Gauge> {
    /// Sets every child.
    pub fn set_all(&self, value: i64) {
        self.each(|_, gauge| gauge.set(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_counts_at_and_below_each_bound() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.0, 9.0] {
            histogram.observe(value);
        }
        assert_eq!(histogram.cumulative(), (vec![(1.0, 2), (2.0, 4)], 5));
        assert!((histogram.sum() - 14.0).abs() < 1e-9);
    }

    #[test]
    fn family_stays_bounded() {
        let family: Family<Counter> = Family::new(|_| Counter::default(), &[]);
        for n in 0..CHILDREN_MAX + 10 {
            family.with(&[&n.to_string()]).inc();
        }
        let mut children = 0;
        family.each(|_, _| children += 1);
        assert_eq!(children, CHILDREN_MAX + 1);
    }
}
