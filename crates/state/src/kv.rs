//! Puts and deletes, on their own or inside a transaction: keys in `mvcc`, attachments in `lease`.

use lease::{LeaseError, Leases};
use mvcc::{Change, Keys, Store, WriteTxn};
use proto::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse};
use types::{
    KeyRange, LeaseId,
    mutant::{self, Mutant},
};

use crate::{
    counts::Counts,
    read,
    rejection::{Failure, Rejection},
    txn::header,
};

/// One write transaction over keys and their leases. All changes share one main revision.
pub(crate) struct KvTxn<'a> {
    keys: WriteTxn<'a>,
    leases: &'a mut Leases,
    counts: Counts,
}

/// Whether `put` can run on the state as it is. After this nothing about it can fail.
///
/// # Errors
/// `KeyNotFound`, lease not found.
pub(crate) fn check_put(store: &Store, leases: &Leases, put: &PutRequest) -> Result<(), Failure> {
    let lease = LeaseId(put.lease);
    if !lease.is_none() && !leases.contains(lease) {
        return Err(LeaseError::NotFound(lease).into());
    }
    if (put.ignore_value || put.ignore_lease) && store.current(&put.key).is_none() {
        return Err(Rejection::KeyNotFound.into());
    }
    Ok(())
}

impl<'a> KvTxn<'a> {
    pub(crate) fn begin(store: &'a mut Store, leases: &'a mut Leases) -> KvTxn<'a> {
        KvTxn { keys: store.txn(), leases, counts: Counts::default() }
    }

    /// The state with this transaction's changes.
    pub(crate) fn store(&self) -> &Store {
        &self.keys
    }

    /// The store's revision, or this transaction's own once it has changed something.
    pub(crate) fn revision(&self) -> i64 {
        self.keys.revision()
    }

    /// Writes a pair that [`check_put`] has let pass.
    pub(crate) fn put(&mut self, put: &PutRequest) -> Result<PutResponse, Failure> {
        let previous = if put.prev_kv || put.ignore_value || put.ignore_lease {
            self.keys.current(&put.key).map(|row| read::key_value(&self.keys, &row)).transpose()?
        } else {
            None
        };
        // `check_put` saw the key, but an earlier operation of this transaction may have deleted it (the gap of
        // semantics 3.6): then there is nothing to keep.
        let kept = previous.as_ref();
        let value = match kept {
            Some(kv) if put.ignore_value => kv.value.clone(),
            _ => put.value.clone(),
        };
        let lease = match kept {
            Some(kv) if put.ignore_lease => LeaseId(kv.lease),
            _ => LeaseId(put.lease),
        };
        self.counts.puts += 1;
        self.counts.put_bytes += (put.key.len() + value.len()) as u64;
        self.attach(&put.key, lease)?;
        self.keys.put(&put.key, &value, lease);
        let prev_kv = if put.prev_kv { previous } else { None };
        Ok(PutResponse { header: header(self.revision()), prev_kv })
    }

    fn attach(&mut self, key: &[u8], lease: LeaseId) -> Result<(), Failure> {
        if lease.is_none() && mutant::is_on(Mutant::LeaseNotDetached) {
            return Ok(());
        }
        if lease.is_none() {
            self.leases.detach(key);
            return Ok(());
        }
        match self.leases.attach(key, lease) {
            // A kept lease may have been revoked without its key being known to it, when the attachment was
            // not restored (contract/semantics.md 14.3): the pair keeps the number, as upstream's does.
            Ok(()) | Err(LeaseError::NotFound(_)) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    pub(crate) fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Failure> {
        let range = KeyRange::new(request.key.clone(), request.range_end.clone());
        let mut prev_kvs = Vec::new();
        if request.prev_kv {
            for row in self.keys.range(&range, 0, 0, Keys::Include)?.rows {
                prev_kvs.push(read::key_value(&self.keys, &row)?);
            }
        }
        let deleted = self.delete(&range);
        Ok(DeleteRangeResponse { header: header(self.revision()), deleted, prev_kvs })
    }

    /// Deletes what is in `range` and returns how many keys that were.
    pub(crate) fn delete(&mut self, range: &KeyRange) -> i64 {
        self.counts.deletes += 1;
        let deleted = self.keys.delete_range(range);
        for row in &deleted {
            self.leases.detach(&row.key);
        }
        i64::try_from(deleted.len()).expect("fewer than 2^63 keys")
    }

    /// A range was read inside this transaction.
    pub(crate) fn count_range(&mut self) {
        self.counts.ranges += 1;
    }

    /// The changes, and what was done.
    pub(crate) fn finish(self) -> (Vec<Change>, Counts) {
        (self.keys.finish(), self.counts)
    }
}
