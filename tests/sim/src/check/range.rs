//! What a range answers, given the pairs that are in it.

use std::ops::Bound;

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        RangeRequest, RangeResponse,
        range_request::{SortOrder, SortTarget},
    },
    mvccpb::KeyValue,
};

/// The ends of a range that is not a single key.
pub(crate) fn bounds(key: &Bytes, range_end: &Bytes) -> (Bound<Bytes>, Bound<Bytes>) {
    let end = if range_end[..] == [0] { Bound::Unbounded } else { Bound::Excluded(range_end.clone()) };
    (Bound::Included(key.clone()), end)
}

/// Whether a range has that key.
pub(crate) fn contains(key: &Bytes, range_end: &Bytes, wanted: &[u8]) -> bool {
    match range_end.as_ref() {
        [] => key == wanted,
        [0] => wanted >= key.as_ref(),
        end => wanted >= key.as_ref() && wanted < end,
    }
}

/// The answer to `request` from the pairs of its range, which are in order of their keys.
pub(crate) fn answer(request: &RangeRequest, mut pairs: Vec<KeyValue>) -> RangeResponse {
    let count = pairs.len() as i64;
    if request.count_only {
        return RangeResponse { count, ..RangeResponse::default() };
    }
    assert_eq!(request.sort_target, SortTarget::Key as i32, "the load sorts by key alone");
    if request.sort_order == SortOrder::Descend as i32 {
        pairs.reverse();
    }
    let more = request.limit > 0 && count > request.limit;
    if request.limit > 0 {
        pairs.truncate(request.limit as usize);
    }
    if request.keys_only {
        // Since etcd 3.7 these come from the key index, which knows no leases.
        pairs.iter_mut().for_each(|kv| (kv.value, kv.lease) = (Bytes::new(), 0));
    }
    RangeResponse { header: None, kvs: pairs, more, count }
}
