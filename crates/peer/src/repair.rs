//! What a member that has lost something gets from the others (`node::donors`): pages under [`PREFIX`] that only our
//! members have. etcd's answer 404, which says that they cannot help.
//!
//! `POST /mainstay/repair/entries` with `{"entries":[{"index":7,"term":2},...]}` is answered with those of them that are
//! there, each as a four-byte length, big-endian, and a `raftpb.Entry`. `GET /mainstay/repair/database` is answered with
//! the database file, and its CRC-32C in a trailer.

mod asking;
mod giving;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use node::EntryName;
use serde::Deserialize;
use types::raft::Entry;

pub use asking::RepairSource;
pub use giving::Donor;
pub(crate) use giving::page;

/// Pages below it are ours alone.
pub(crate) const PREFIX: &str = "/mainstay/repair/";
const ENTRIES: &str = "/mainstay/repair/entries";
const DATABASE: &str = "/mainstay/repair/database";

/// Names in one question.
const NAMES_MAX: usize = 4096;
/// Data of entries in one answer, in bytes; a single larger entry still goes.
const ANSWER_DATA_MAX: usize = 16 << 20;
/// What else an answer may hold: an entry beyond the bound, and all frames.
const ANSWER_SLACK: usize = 72 << 20;

/// The body of a question for entries.
fn question(named: &[EntryName]) -> String {
    let names: Vec<String> =
        named.iter().map(|name| format!(r#"{{"index":{},"term":{}}}"#, name.index, name.term)).collect();
    format!(r#"{{"entries":[{}]}}"#, names.join(","))
}

/// A question, as it is written.
#[derive(Deserialize)]
struct Question {
    entries: Vec<Name>,
}

#[derive(Deserialize)]
struct Name {
    index: u64,
    term: u64,
}

/// Reads a question; `None` when it is none, or asks for too much at once.
pub(crate) fn asked(body: &[u8]) -> Option<Vec<EntryName>> {
    let question: Question = serde_json::from_slice(body).ok()?;
    let names = question.entries.into_iter().map(|Name { index, term }| EntryName { index, term });
    (names.len() <= NAMES_MAX).then(|| names.collect())
}

/// The body of an answer with entries.
fn answer(entries: &[Entry]) -> Bytes {
    let mut out = BytesMut::new();
    for entry in entries {
        let len = proto::raft::entry_len(entry);
        out.put_u32(u32::try_from(len).expect("entries are far smaller"));
        proto::raft::encode_entry(entry, &mut out);
    }
    out.freeze()
}

/// Reads an answer with entries. One of no bytes takes memory, too, and more than were asked for are not an answer.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn answered(mut body: Bytes) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    while !body.is_empty() {
        if entries.len() == NAMES_MAX {
            return Err(format!("it has more than the {NAMES_MAX} entries that can be asked for"));
        }
        if body.len() < 4 {
            return Err("it ends in the middle of a length".into());
        }
        let len = body.get_u32() as usize;
        if len > body.len() {
            return Err(format!("an entry of {len} bytes is cut off after {}", body.len()));
        }
        let entry = proto::raft::decode_entry(body.split_to(len)).map_err(|error| error.to_string())?;
        entries.push(entry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use types::raft::EntryKind;

    use super::*;

    fn entry(index: u64) -> Entry {
        let data = Bytes::from(vec![index as u8; index as usize]);
        Entry { index, term: index / 3, kind: EntryKind::Normal, data }
    }

    #[test]
    fn questions_and_answers_round_trip() {
        let entries: Vec<Entry> = (1..20).map(entry).collect();
        let names: Vec<EntryName> = entries.iter().map(EntryName::of).collect();
        assert_eq!(asked(question(&names).as_bytes()), Some(names));
        assert_eq!(asked(question(&[]).as_bytes()), Some(vec![]));
        assert_eq!(answered(answer(&entries)).unwrap(), entries);
        assert_eq!(answered(Bytes::new()).unwrap(), []);
    }

    #[test]
    fn what_is_no_question_and_no_answer_is_refused() {
        let many = vec![EntryName { index: 1, term: 1 }; NAMES_MAX + 1];
        let too_many = question(&many);
        for wrong in
            ["", "{}", "[]", r#"{"entries":[{"index":-1,"term":1}]}"#, r#"{"entries":[1]}"#, &too_many]
        {
            assert_eq!(asked(wrong.as_bytes()), None, "{wrong:.60}");
        }
        let whole = answer(&[entry(9)]);
        for cut in 1..whole.len() {
            assert!(answered(whole.slice(..cut)).is_err(), "cut at {cut}");
        }
        assert!(answered(Bytes::from_static(&[0, 0, 0, 2, 0xff, 0xff])).is_err());
        let empty = |entries: usize| answered(Bytes::from(vec![0; 4 * entries]));
        assert_eq!(empty(NAMES_MAX).map(|entries| entries.len()), Ok(NAMES_MAX));
        assert!(empty(NAMES_MAX + 1).is_err());
    }
}
