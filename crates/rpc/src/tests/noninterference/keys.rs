//! The keys of the two stores.

use bytes::Bytes;
use proto::authpb::permission::Type;

use super::{
    policy::{Policy, all_names},
    rng::Rng,
};

/// One of the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    One,
    Other,
}

/// The names in play.
pub(super) struct Keys {
    /// Granted in some way, with the same name in both stores.
    pub(super) shown: Vec<Vec<u8>>,
    /// Granted for reading.
    pub(super) readable: Vec<Vec<u8>>,
    /// Granted for writing.
    pub(super) writable: Vec<Vec<u8>>,
    /// Granted for both, or what is readable where nothing is.
    pub(super) own: Vec<Vec<u8>>,
    /// Ranges granted for both, likewise.
    pub(super) own_ranges: Vec<(Bytes, Bytes)>,
    /// Hidden from the user: the same key under another name of equal length, anywhere that is hidden.
    hidden: Vec<(Vec<u8>, Vec<u8>)>,
}

const HIDDEN_MAX: usize = 12;

/// A key, whatever its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Shown(Vec<u8>),
    Hidden(usize),
}

impl Keys {
    pub(super) fn generate(rng: &mut Rng, policy: &Policy) -> Keys {
        let names = all_names();
        let (shown, bases): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| !policy.hides(name));
        let mut hidden: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for _ in 0..10 * HIDDEN_MAX {
            let more = rng.below(3);
            let mut name = || [&rng.pick(&bases)[..], &rng.text(more)].concat();
            let pair = (name(), name());
            let fresh = pair.0 != pair.1 && hidden.iter().all(|(a, b)| *a != pair.0 && *b != pair.1);
            if fresh && policy.hides(&pair.0) && policy.hides(&pair.1) && hidden.len() < HIDDEN_MAX {
                hidden.push(pair);
            }
        }
        let some = |rights: &dyn Fn(&[u8]) -> bool| {
            shown.iter().filter(|name| rights(name)).cloned().collect::<Vec<_>>()
        };
        let readable = some(&|name| policy.reads(name));
        let writable = some(&|name| policy.writes(name));
        let mut own = some(&|name| policy.reads(name) && policy.writes(name));
        if own.is_empty() {
            own.clone_from(&readable);
        }
        let ranges = |kind: Type| -> Vec<_> {
            let granted = policy.permissions().filter(move |p| p.perm_type == i32::from(kind));
            granted.map(|p| (p.key.clone(), p.range_end.clone())).collect()
        };
        let mut own_ranges = ranges(Type::Readwrite);
        if own_ranges.is_empty() {
            own_ranges = ranges(Type::Read);
        }
        Keys { shown, readable, writable, own, own_ranges, hidden }
    }

    pub(super) fn name(&self, key: &Key, store: Store) -> Vec<u8> {
        match (key, store) {
            (Key::Shown(name), _) => name.clone(),
            (Key::Hidden(slot), Store::One) => self.hidden[*slot].0.clone(),
            (Key::Hidden(slot), Store::Other) => self.hidden[*slot].1.clone(),
        }
    }

    /// Any key; hidden ones often enough.
    pub(super) fn any(&self, rng: &mut Rng) -> Key {
        if rng.chance(40) {
            Key::Hidden(rng.below(self.hidden.len()))
        } else {
            Key::Shown(rng.pick(&self.shown).clone())
        }
    }

    /// A name that the user may try: most often one he was granted, else one that is there in one of the stores,
    /// or in none.
    pub(super) fn guess(&self, rng: &mut Rng) -> Vec<u8> {
        match rng.below(20) {
            0..10 => rng.pick(&self.readable).clone(),
            10..14 if !self.writable.is_empty() => rng.pick(&self.writable).clone(),
            14..17 => rng.pick(&self.hidden).0.clone(),
            17..19 => rng.pick(&self.hidden).1.clone(),
            _ => rng.pick(&all_names()).clone(),
        }
    }
}
