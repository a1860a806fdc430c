//! What a client can ask on a watch stream.

use bytes::Bytes;
use proto::etcdserverpb::{
    WatchCreateRequest, WatchRequest, watch_create_request::FilterType, watch_request,
};
use types::KeyRange;

/// One client stream. The caller never gives the same number to two streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// One message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Start a watcher.
    Create(Create),
    /// Stop a watcher.
    Cancel {
        /// The watcher's number on this stream.
        watch_id: i64,
    },
    /// Ask how far the whole stream is.
    Progress,
}

/// The wish for a watcher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Create {
    /// What to watch, as sent; an empty key stands for the smallest one.
    pub range: KeyRange,
    /// First revision wanted. 0: from now on. Negative: refused.
    pub start_revision: i64,
    /// Whether to hear regularly that nothing happened.
    pub progress_notify: bool,
    /// Leave out puts.
    pub no_put: bool,
    /// Leave out deletes.
    pub no_delete: bool,
    /// Attach the pair from before the change.
    pub prev_kv: bool,
    /// Number wanted for the watcher; 0: the server picks one.
    pub watch_id: i64,
    /// Whether large replies may come in parts.
    pub fragment: bool,
}

/// The key that an empty one stands for.
const SMALLEST_KEY: &[u8] = &[0];

impl Request {
    /// Reads the wire form. `None` for a message without a known union member: it is ignored (5.17).
    pub fn from_wire(message: WatchRequest) -> Option<Request> {
        match message.request_union? {
            watch_request::RequestUnion::CreateRequest(create) => {
                Some(Request::Create(Create::from_wire(create)))
            }
            watch_request::RequestUnion::CancelRequest(cancel) => {
                Some(Request::Cancel { watch_id: cancel.watch_id })
            }
            watch_request::RequestUnion::ProgressRequest(_) => Some(Request::Progress),
        }
    }
}

impl Create {
    /// Reads the wire form; filters with unknown numbers are ignored.
    pub fn from_wire(message: WatchCreateRequest) -> Create {
        let filtered = |filter: FilterType| message.filters.contains(&(filter as i32));
        let (no_put, no_delete) = (filtered(FilterType::Noput), filtered(FilterType::Nodelete));
        Create {
            range: KeyRange::new(message.key, message.range_end),
            start_revision: message.start_revision,
            progress_notify: message.progress_notify,
            no_put,
            no_delete,
            prev_kv: message.prev_kv,
            watch_id: message.watch_id,
            fragment: message.fragment,
        }
    }

    /// The keys that the watcher covers: an empty key becomes the smallest, the range end stays as sent. This
    /// is what READ permission is needed for (5.15).
    pub fn range_wanted(&self) -> KeyRange {
        if self.range.key.is_empty() {
            KeyRange::new(SMALLEST_KEY, self.range.end.clone())
        } else {
            self.range.clone()
        }
    }

    /// `range_wanted` in memory of its own, since watchers outlive the network buffer they came in.
    pub(crate) fn range_owned(&self) -> KeyRange {
        let range = self.range_wanted();
        KeyRange::new(Bytes::copy_from_slice(&range.key), Bytes::copy_from_slice(&range.end))
    }
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb::{WatchCancelRequest, WatchProgressRequest};

    use super::*;

    #[test]
    fn reads_the_wire_form() {
        let wire = |union| WatchRequest { request_union: Some(union) };
        let create = WatchCreateRequest {
            key: Bytes::new(),
            range_end: Bytes::from_static(b"z"),
            start_revision: -3,
            filters: vec![1, 77],
            watch_id: 9,
            ..WatchCreateRequest::default()
        };
        let Some(Request::Create(create)) =
            Request::from_wire(wire(watch_request::RequestUnion::CreateRequest(create)))
        else {
            panic!("a create request")
        };
        assert!(create.no_delete && !create.no_put, "unknown filters are ignored");
        assert_eq!((create.start_revision, create.watch_id), (-3, 9));
        assert_eq!(create.range_wanted(), KeyRange::new(SMALLEST_KEY, "z"));
        let cancel = watch_request::RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 4 });
        assert_eq!(Request::from_wire(wire(cancel)), Some(Request::Cancel { watch_id: 4 }));
        let progress = watch_request::RequestUnion::ProgressRequest(WatchProgressRequest {});
        assert_eq!(Request::from_wire(wire(progress)), Some(Request::Progress));
        assert_eq!(Request::from_wire(WatchRequest { request_union: None }), None);
    }
}
