//! Frames and the records in them, byte by byte (docs/format/wal.md).
//!
//! A frame is a length word of 8 bytes, a `walpb.Record`, and zeros up to a multiple of 8. Written and accepted in
//! one form only, the one that etcd writes: a reader that is strict about bytes which no checksum covers finds
//! damage in them.

use bytes::{BufMut, BytesMut};

use crate::limits::RECORD_BYTES_MAX;

/// Bytes of the length word.
pub(crate) const WORD_BYTES: usize = 8;
/// Longest head of a frame: length word, type, crc, and tag and length of the data.
pub(crate) const HEAD_BYTES_MAX: usize = WORD_BYTES + 2 + 6 + 1 + 10;

/// The types of records (contract/semantics.md 14.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// Who wrote the log; second record of each segment.
    Metadata = 1,
    /// A `raftpb.Entry`.
    Entry = 2,
    /// A `raftpb.HardState`.
    HardState = 3,
    /// The checksum so far; first record of each segment.
    Crc = 4,
    /// A `walpb.Snapshot`.
    Snapshot = 5,
}

impl RecordKind {
    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<RecordKind> {
        [
            RecordKind::Metadata,
            RecordKind::Entry,
            RecordKind::HardState,
            RecordKind::Crc,
            RecordKind::Snapshot,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == number)
    }
}

/// What a length word says: bytes of the record, and of the zeros after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) record: u64,
    pub(crate) pad: u64,
}

impl Word {
    /// The one word for a record of so many bytes.
    pub(crate) fn for_record(record: u64) -> Word {
        Word { record, pad: record.wrapping_neg() % 8 }
    }

    /// Bytes of the whole frame.
    pub(crate) fn frame(self) -> u64 {
        WORD_BYTES as u64 + self.record + self.pad
    }

    fn number(self) -> u64 {
        let top = if self.pad == 0 { 0 } else { 0x80 | self.pad };
        top << 56 | self.record
    }

    /// Reads a length word other than 0; `None` when no writer produces it.
    pub(crate) fn parse(number: u64) -> Option<Word> {
        let word = Word::for_record(number & (u64::MAX >> 8));
        (number == word.number() && (1..=RECORD_BYTES_MAX).contains(&word.record)).then_some(word)
    }
}

/// The fields of a record, and where its data lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: RecordKind,
    pub(crate) crc: u32,
    /// Bytes of the record before the data.
    pub(crate) data_start: usize,
    /// Bytes of the data.
    pub(crate) data_len: u64,
}

impl Head {
    /// Bytes of the record.
    pub(crate) fn record_len(&self) -> u64 {
        self.data_start as u64 + self.data_len
    }

    /// Reads the start of a record; the data need not be there. The data is the last field, so this alone says
    /// how long the record is: a second witness beside the length word.
    pub(crate) fn parse(record: &[u8]) -> Option<Head> {
        let [0x08, kind, 0x10, rest @ ..] = record else { return None };
        let kind = RecordKind::from_number(*kind)?;
        let (crc, crc_len) = varint(rest)?;
        let crc = u32::try_from(crc).ok()?;
        let mut data_start = 3 + crc_len;
        // Only crc records have no data.
        let data_len = if kind == RecordKind::Crc {
            0
        } else {
            let [0x1a, rest @ ..] = &record[data_start..] else { return None };
            let (data_len, len_len) = varint(rest)?;
            data_start += 1 + len_len;
            data_len
        };
        (data_len <= RECORD_BYTES_MAX).then_some(Head { kind, crc, data_start, data_len })
    }
}

/// Head and data of a whole frame; `None` when the bytes are not exactly one.
pub(crate) fn frame_parts(frame: &[u8]) -> Option<(Head, &[u8])> {
    let word = Word::parse(u64::from_le_bytes(frame.get(..WORD_BYTES)?.try_into().ok()?))?;
    let (record, pad) = frame[WORD_BYTES..].split_at_checked(word.record as usize)?;
    let head = Head::parse(&record[..record.len().min(HEAD_BYTES_MAX)])?;
    let whole =
        pad.len() as u64 == word.pad && pad.iter().all(|b| *b == 0) && head.record_len() == word.record;
    whole.then(|| (head, &record[head.data_start..]))
}

/// A varint in its shortest form, and its length.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let shortest = i == 0 || *byte != 0;
            let fits = i < 9 || *byte == 1;
            return (shortest && fits).then_some((value, i + 1));
        }
    }
    None
}

/// Writes frames into one reused buffer and carries the checksum chain along.
#[derive(Debug)]
pub(crate) struct Encoder {
    pub(crate) buffer: BytesMut,
    /// CRC32C of the data of all records so far, one after the other.
    pub(crate) crc: u32,
}

impl Encoder {
    pub(crate) fn new(crc: u32) -> Encoder {
        Encoder { buffer: BytesMut::new(), crc }
    }

    /// Appends a frame; `write` must append exactly `data_len` bytes. Gives where in the buffer the frame starts.
    pub(crate) fn record(
        &mut self,
        kind: RecordKind,
        data_len: usize,
        write: impl FnOnce(&mut BytesMut),
    ) -> usize {
        let start = self.buffer.len();
        self.buffer.reserve(HEAD_BYTES_MAX + data_len + 8);
        self.buffer.put_bytes(0, WORD_BYTES);
        self.buffer.put_slice(&[0x08, kind as u8, 0x10]);
        let crc_at = self.buffer.len();
        // The checksum is known only after the data, and almost always takes all five bytes.
        self.buffer.put_bytes(0, 5);
        if kind != RecordKind::Crc {
            self.buffer.put_u8(0x1a);
            prost::encoding::encode_varint(data_len as u64, &mut self.buffer);
        }
        let data_at = self.buffer.len();
        write(&mut self.buffer);
        assert_eq!(
            self.buffer.len() - data_at,
            data_len,
            "a record's length must be known before it is written"
        );
        self.crc = crc32c::crc32c_append(self.crc, &self.buffer[data_at..]);
        self.put_crc(crc_at);
        self.finish(start);
        start
    }

    /// Fills the five bytes kept for the checksum, and closes the gap when it is shorter.
    fn put_crc(&mut self, at: usize) {
        let mut crc = self.crc;
        let mut len = 1;
        while crc >= 0x80 {
            self.buffer[at + len - 1] = crc as u8 | 0x80;
            crc >>= 7;
            len += 1;
        }
        self.buffer[at + len - 1] = crc as u8;
        if len < 5 {
            self.buffer.copy_within(at + 5.., at + len);
            self.buffer.truncate(self.buffer.len() - (5 - len));
        }
    }

    fn finish(&mut self, start: usize) {
        let word = Word::for_record((self.buffer.len() - start - WORD_BYTES) as u64);
        self.buffer.put_bytes(0, word.pad as usize);
        self.buffer[start..start + WORD_BYTES].copy_from_slice(&word.number().to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::walpb;

    use super::*;

    #[test]
    fn frames_are_what_protobuf_writes() {
        let mut encoder = Encoder::new(0);
        let mut short_crcs = 0;
        for i in 0..2000usize {
            let data = vec![i as u8; i % 40 + 1];
            let start = encoder.record(RecordKind::Entry, data.len(), |out| out.put_slice(&data));
            let frame = encoder.buffer[start..].to_vec();
            let message =
                walpb::Record { r#type: Some(2), crc: Some(encoder.crc), data: Some(data.clone().into()) };
            let record = message.encode_to_vec();
            let word = Word::parse(u64::from_le_bytes(frame[..8].try_into().unwrap())).unwrap();
            assert_eq!(word.frame(), frame.len() as u64);
            assert_eq!(frame.len() % 8, 0);
            assert_eq!(frame[8..8 + word.record as usize], record);
            let head = Head::parse(&frame[8..]).unwrap();
            assert_eq!(head.record_len(), record.len() as u64);
            assert_eq!((head.kind, head.crc), (RecordKind::Entry, encoder.crc));
            assert_eq!(record[head.data_start..], data);
            short_crcs += usize::from(encoder.crc < 1 << 28);
        }
        assert!(short_crcs > 20, "short checksums must be among the cases");
    }

    #[test]
    fn the_first_record_of_a_log_is_etcds() {
        let mut encoder = Encoder::new(0);
        encoder.record(RecordKind::Crc, 0, |_| {});
        assert_eq!(encoder.buffer[..], [4, 0, 0, 0, 0, 0, 0, 0x84, 0x08, 4, 0x10, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn words_in_other_forms_are_refused() {
        for record in 1..100 {
            let word = Word::for_record(record);
            assert_eq!(Word::parse(word.number()), Some(word));
            for bit in 56..64 {
                assert_eq!(Word::parse(word.number() ^ 1 << bit), None, "bit {bit} of {record}");
            }
        }
        assert_eq!(Word::parse(Word::for_record(RECORD_BYTES_MAX + 8).number()), None);
    }

    #[test]
    fn heads_in_other_forms_are_refused() {
        for bad in [
            &[][..],
            &[0x08, 2],
            &[0x08, 6, 0x10, 0, 0x1a, 0],
            &[0x10, 0, 0x08, 2, 0x1a, 0],
            &[0x08, 2, 0x10, 0x80, 0x00, 0x1a, 0],
            &[0x08, 2, 0x10, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x1a, 0],
            &[0x08, 2, 0x10, 0, 0x22, 0],
            &[0x08, 2, 0x10, 0, 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ] {
            assert_eq!(Head::parse(bad), None, "{bad:x?}");
        }
    }
}
