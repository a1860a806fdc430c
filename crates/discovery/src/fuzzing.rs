//! Doors for `tests/fuzz`: what a discovery service answers.

use proto::mvccpb::KeyValue;

use crate::registry::{Keys, Registry, size};

/// The size of the cluster, and whoever has registered.
pub fn registered(token: &str, size_row: &[u8], rows: &[KeyValue]) {
    let keys = Keys::of(token);
    let size = size(size_row).unwrap_or(3);
    let mut registry = Registry::default();
    for row in rows {
        registry.add(row);
        if registry.len() >= size {
            break;
        }
    }
    let _ = registry.has_place_for(&keys.member(types::MemberId(1)), size);
    let _ = registry.initial_cluster(size);
}
