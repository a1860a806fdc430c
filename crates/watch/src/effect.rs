//! What the hub wants done.

use mvcc::{History, HistoryRow, MvccError, RowRef};

use crate::{
    frame::Frame,
    limits::REST_ROWS,
    request::StreamId,
    slice::{HistoryChunk, HistoryError},
};

/// Names a read that the hub asked for; its answer carries the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// Something for the caller to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a reply. Frames of one stream leave in the order of their effects. Frames for a stream that was
    /// closed meanwhile are dropped.
    Send {
        /// Where to.
        stream: StreamId,
        /// What.
        frame: Frame,
    },
    /// Detach [`mvcc::Store::history`] at once, [`HistoryQuery::read`] it elsewhere, and call
    /// [`crate::Hub::history_read`]. At most one read, of either kind, is on its way.
    ReadHistory(HistoryQuery),
    /// [`mvcc::Store::detach`] rows at once, fetch them elsewhere, and call [`crate::Hub::rows_read`].
    ReadRows {
        /// For the answer.
        job: JobId,
        /// Which rows.
        rows: Vec<RowRef>,
    },
}

/// A slice of history. The read stops after the first whole revision that reaches one of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// For the answer.
    pub job: JobId,
    /// First main revision, inclusive.
    pub from: i64,
    /// Last main revision, inclusive.
    pub to: i64,
    /// Bytes of rows to stop at.
    pub bytes_max: usize,
    /// Rows to stop at.
    pub rows_max: usize,
}

impl HistoryQuery {
    /// Reads the answer from `history`, which starts at `from`. Runs on any thread.
    ///
    /// # Errors
    /// When the file is damaged or cannot be read.
    pub fn read(&self, history: History) -> Result<HistoryChunk, HistoryError> {
        let (rows, covered_to) = self.read_rows(history)?;
        HistoryChunk::new(self, &rows, covered_to)
    }

    /// Whole revisions, and the last one that is complete.
    fn read_rows(&self, mut history: History) -> Result<(Vec<HistoryRow>, i64), MvccError> {
        let mut rows: Vec<HistoryRow> = Vec::new();
        let mut bytes = 0;
        while rows.len() < self.rows_max && bytes < self.bytes_max {
            let more = history.next_rows(self.rows_max - rows.len(), self.bytes_max - bytes)?;
            if more.is_empty() {
                return Ok((rows, history.to()));
            }
            bytes += more.iter().map(|row| row.row.len()).sum::<usize>();
            rows.extend(more);
        }
        let Some(last) = rows.last().map(|row| row.revision.main) else {
            return Ok((rows, self.from - 1));
        };
        while rows.last().is_some_and(|row| row.revision.main == last) {
            let more = history.next_rows(REST_ROWS, usize::MAX)?;
            if more.is_empty() {
                return Ok((rows, history.to()));
            }
            rows.extend(more);
        }
        rows.truncate(rows.partition_point(|row| row.revision.main <= last));
        Ok((rows, last))
    }
}
