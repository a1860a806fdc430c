//! A snapshot as a file of its own: what a backup or a lagging follower gets.

use crate::{
    error::BoltError,
    format::{FIRST_DATA_PAGE, NO_FREELIST, PageId, Run},
    meta::Meta,
    snapshot::Snapshot,
    walk::{Depth, Usage, usage},
};

/// Bytes that are read from the file at once.
const READ_LEN_MAX: usize = 1 << 20;

/// The whole file of one committed state, as bbolt's `Tx.WriteTo` gives it: two valid meta pages (the second with a
/// txid lower by one), then all pages below the high-water mark. Pages that the state does not use are zeros.
///
/// The same snapshot always gives the same bytes. Pins its pages until dropped.
#[derive(Debug)]
pub struct Image {
    snapshot: Snapshot,
    usage: Usage,
    /// Both meta pages.
    metas: Vec<u8>,
}

impl Image {
    pub(crate) fn new(snapshot: Snapshot) -> Result<Image, BoltError> {
        let store = snapshot.store();
        let depth = if store.plain { Depth::Branches } else { Depth::All };
        // Without the freelist, whose pages then count as unused.
        let meta = Meta { freelist: NO_FREELIST, ..snapshot.meta().clone() };
        let usage = usage(store, &meta, depth)?;
        let mut metas = meta.encode(0, None);
        metas.extend(Meta { txid: meta.txid.saturating_sub(1), ..meta }.encode(1, None));
        Ok(Image { snapshot, usage, metas })
    }

    /// Length in bytes: a multiple of the page size.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> u64 {
        self.snapshot.size()
    }

    /// Fills `buf` from `offset`, as far as the image reaches; returns how many bytes that is, 0 at its end.
    ///
    /// # Errors
    /// `Damaged` when a page differs from its checksum, `Io`.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, BoltError> {
        let wanted = self.len().saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut filled = 0;
        while filled < wanted {
            let page_size = self.snapshot.store().page_size;
            let at = offset + filled as u64;
            let page = at / page_size as u64;
            let inside = (at % page_size as u64) as usize;
            let pages = (inside + wanted - filled).min(READ_LEN_MAX).div_ceil(page_size) as u64;
            let bytes = self.pages(page, pages)?;
            let piece = (bytes.len() - inside).min(wanted - filled);
            buf[filled..filled + piece].copy_from_slice(&bytes[inside..inside + piece]);
            filled += piece;
        }
        Ok(wanted)
    }

    /// Pages from `start` on that are of one kind, at most `max` of them.
    fn pages(&self, start: PageId, max: u64) -> Result<Vec<u8>, BoltError> {
        let store = self.snapshot.store();
        let page_size = store.page_size;
        if start < FIRST_DATA_PAGE {
            return Ok(self.metas[start as usize * page_size..].to_vec());
        }
        let high_water = self.snapshot.meta().high_water;
        let used = self.usage.is_used(start);
        let end =
            (start..high_water.min(start + max)).take_while(|id| self.usage.is_used(*id) == used).count();
        let run = Run { start, len: end as u64 };
        if used { store.read_verified(run, high_water) } else { Ok(vec![0; end * page_size]) }
    }
}
