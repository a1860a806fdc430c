//! Range requests over a view: options, filters, sorting, limits (contract/semantics.md section 2).

use std::cmp::Ordering;

use bytes::Bytes;
use mvcc::{Keys, Listing, MvccError, RowRef, Rows, Store};
use prost::Message;
use proto::{
    etcdserverpb::{
        RangeRequest,
        range_request::{SortOrder, SortTarget},
    },
    mvccpb::KeyValue,
};
use types::{KeyRange, LeaseId};

use crate::rejection::Failure;

/// Reads and decodes one row.
pub(crate) fn key_value(store: &Store, row: &RowRef) -> Result<KeyValue, Failure> {
    let bytes = store.fetch(row)?;
    KeyValue::decode(bytes).map_err(|e| Failure::Fatal(format!("row {} is no KeyValue: {e}", row.rev)))
}

/// The rows that answer a range, chosen and in order.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) rows: Vec<RowRef>,
    /// The limit cut the result.
    pub(crate) more: bool,
    /// Keys in range at that revision, whatever limit and filters.
    pub(crate) count: i64,
    /// The store's revision at execution.
    pub(crate) revision: i64,
    form: Form,
}

/// How a row leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As stored.
    Whole,
    /// From the key index alone: no value, no lease.
    IndexOnly,
    /// Read for its value, which is then left out; the lease stays.
    ValueDropped,
}

/// Rows that one slice of a large range holds, and index entries that it looks at.
pub(crate) const SLICE_ROWS: usize = 4096;
pub(crate) const SLICE_LOOKS: usize = 16_384;

/// Whether `request` wants whole pairs in key order, all of them.
pub(crate) fn is_plain(request: &RangeRequest) -> bool {
    let plain = !request.count_only && !request.keys_only && request.limit <= 0;
    plain
        && !request.range_end.is_empty()
        && default_order(request)
        && request.sort_target() == SortTarget::Key
        && !has_filters(request)
}

/// Chooses the rows of `request`.
pub(crate) fn choose(store: &Store, request: &RangeRequest) -> Result<Chosen, Failure> {
    let range = KeyRange::new(request.key.clone(), request.range_end.clone());
    let limit = usize::try_from(request.limit).unwrap_or(0);
    let pushed = if default_order(request) && !has_filters(request) {
        limit.saturating_add(usize::from(limit > 0))
    } else {
        0
    };
    if request.count_only {
        let count = store.count(&range, request.revision)?;
        let revision = store.revision();
        return Ok(Chosen {
            rows: Vec::new(),
            more: false,
            count: signed(count),
            revision,
            form: Form::Whole,
        });
    }
    let form = form(request);
    // Rows hold their keys; here they are needed only to answer without rows, or to go on after the last one.
    let keys = if form == Form::IndexOnly || limit > 0 { Keys::Include } else { Keys::Skip };
    let Listing { mut rows, count, .. } = store.range(&range, request.revision, pushed, keys)?;
    filter(&mut rows, request);
    sort(store, &mut rows, request)?;
    let more = limit > 0 && rows.len() > limit;
    if more {
        rows.truncate(limit);
    }
    Ok(Chosen { rows, more, count: signed(count), revision: store.revision(), form })
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).expect("fewer than 2^63 keys")
}

fn form(request: &RangeRequest) -> Form {
    match (request.keys_only, request.sort_target()) {
        (false, _) => Form::Whole,
        (true, SortTarget::Value) => Form::ValueDropped,
        (true, _) => Form::IndexOnly,
    }
}

fn default_order(request: &RangeRequest) -> bool {
    match request.sort_order() {
        SortOrder::None => true,
        SortOrder::Ascend => request.sort_target() == SortTarget::Key,
        SortOrder::Descend => false,
    }
}

fn has_filters(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn filter(rows: &mut Vec<RowRef>, request: &RangeRequest) {
    let within = |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
    if has_filters(request) {
        rows.retain(|row| {
            within(row.rev.main, request.min_mod_revision, request.max_mod_revision)
                && within(row.create_revision, request.min_create_revision, request.max_create_revision)
        });
    }
}

/// Sorts by the target; equal rows stay in key order.
fn sort(store: &Store, rows: &mut [RowRef], request: &RangeRequest) -> Result<(), Failure> {
    let target = request.sort_target();
    let descending = request.sort_order() == SortOrder::Descend;
    let order = |ordering: Ordering| if descending { ordering.reverse() } else { ordering };
    match target {
        SortTarget::Key if descending => rows.reverse(),
        SortTarget::Key => {}
        SortTarget::Version => rows.sort_by(|a, b| order(a.version.cmp(&b.version))),
        SortTarget::Create => rows.sort_by(|a, b| order(a.create_revision.cmp(&b.create_revision))),
        SortTarget::Mod => rows.sort_by(|a, b| order(a.rev.main.cmp(&b.rev.main))),
        SortTarget::Value => {
            let mut keyed = Vec::with_capacity(rows.len());
            for row in rows.iter() {
                keyed.push((key_value(store, row)?.value, row.clone()));
            }
            keyed.sort_by(|a, b| order(a.0.cmp(&b.0)));
            for (place, (_, row)) in rows.iter_mut().zip(keyed) {
                *place = row;
            }
        }
    }
    Ok(())
}

impl Chosen {
    /// The pairs themselves, for answers that are built whole (ranges inside a transaction).
    pub(crate) fn key_values(&self, store: &Store) -> Result<Vec<KeyValue>, Failure> {
        self.rows
            .iter()
            .map(|row| match self.form {
                Form::Whole => key_value(store, row),
                Form::IndexOnly => Ok(index_only(row)),
                Form::ValueDropped => Ok(KeyValue { value: Bytes::new(), ..key_value(store, row)? }),
            })
            .collect()
    }

    /// The rows for another thread to read and encode.
    pub(crate) fn detach(self, store: &Store) -> Result<RangeRows, Failure> {
        if self.form == Form::Whole {
            let last_key = self.rows.last().map(|row| row.key.clone());
            return Ok(RangeRows(Source::Stored { rows: store.detach(&self.rows), last_key }));
        }
        let last_key = self.rows.last().map(|row| row.key.clone());
        let rows = self.key_values(store)?.iter().map(|kv| Bytes::from(kv.encode_to_vec())).collect();
        Ok(RangeRows(Source::Encoded { rows, last_key }))
    }
}

fn index_only(row: &RowRef) -> KeyValue {
    KeyValue {
        key: row.key.clone(),
        create_revision: row.create_revision,
        mod_revision: row.rev.main,
        version: row.version,
        value: Bytes::new(),
        lease: LeaseId::NONE.0,
    }
}

/// Rows of a range answer: encoded `KeyValue`s, most of them not read yet. `Send`; reading may touch the disk.
pub struct RangeRows(Source);

impl std::fmt::Debug for RangeRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RangeRows({})", self.len())
    }
}

enum Source {
    Stored { rows: Rows, last_key: Option<Bytes> },
    Encoded { rows: Vec<Bytes>, last_key: Option<Bytes> },
}

impl RangeRows {
    /// Rows in key order, without keys beside them.
    pub(crate) fn stored(rows: Rows) -> RangeRows {
        RangeRows(Source::Stored { rows, last_key: None })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.0 {
            Source::Stored { rows, .. } => rows.len(),
            Source::Encoded { rows, .. } => rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of row `i`, known without reading it.
    pub fn row_len(&self, i: usize) -> usize {
        match &self.0 {
            Source::Stored { rows, .. } => rows.row_len(i) as usize,
            Source::Encoded { rows, .. } => rows[i].len(),
        }
    }

    /// Row `i`: an encoded `KeyValue`.
    ///
    /// # Errors
    /// When the disk does not give it.
    pub fn fetch(&mut self, i: usize) -> Result<Bytes, MvccError> {
        match &mut self.0 {
            Source::Stored { rows, .. } => rows.fetch_next_to(i),
            Source::Encoded { rows, .. } => Ok(rows[i].clone()),
        }
    }

    /// The key of the last row, when the request had a limit.
    pub fn last_key(&self) -> Option<&[u8]> {
        match &self.0 {
            Source::Stored { last_key, .. } | Source::Encoded { last_key, .. } => last_key.as_deref(),
        }
    }
}
