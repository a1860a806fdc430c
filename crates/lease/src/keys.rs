//! The keys attached to one lease.

use std::{collections::BTreeSet, sync::Arc};

/// An attached key. Shared between the lease and the lookup by key: one copy of the bytes for both.
pub type Key = Arc<[u8]>;

/// Most leases hold one key (a node's heartbeat, a lock), some a thousand (events): the first is stored in
/// place, a tree is made for more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Nothing attached.
    #[default]
    None,
    /// Exactly one.
    One(Key),
    /// Any number; a tree that shrank again stays a tree.
    #[allow(clippy::box_collection, reason = "keeps a lease without many keys 8 bytes smaller")]
    Many(Box<BTreeSet<Key>>),
}

impl Keys {
    /// Adds `key`, unless it is there.
    pub(crate) fn insert(&mut self, key: Key) {
        match self {
            Keys::None => *self = Keys::One(key),
            Keys::One(first) if *first == key => {}
            Keys::One(first) => *self = Keys::Many(Box::new(BTreeSet::from([first.clone(), key]))),
            Keys::Many(set) => {
                set.insert(key);
            }
        }
    }

    /// Removes `key`, if it is there.
    pub(crate) fn remove(&mut self, key: &[u8]) {
        match self {
            Keys::None => {}
            Keys::One(only) => {
                if **only == *key {
                    *self = Keys::None;
                }
            }
            Keys::Many(set) => {
                set.remove(key);
            }
        }
    }

    /// In byte order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        let (one, many) = match self {
            Keys::None => (None, None),
            Keys::One(key) => (Some(key), None),
            Keys::Many(set) => (None, Some(set.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_from_none_to_a_tree_in_byte_order() {
        let mut keys = Keys::default();
        for key in ["b", "b", "a", "c", "a"] {
            keys.insert(Key::from(key.as_bytes()));
        }
        keys.remove(b"b");
        keys.remove(b"absent");
        let left: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        assert_eq!(left, [b"a", b"c"]);
        keys.remove(b"a");
        keys.remove(b"c");
        assert_eq!(keys.iter().count(), 0);

        let mut one = Keys::One(Key::from(&b"x"[..]));
        one.remove(b"y");
        assert_eq!(one.iter().count(), 1);
        one.remove(b"x");
        assert_eq!(one, Keys::None);
    }
}
