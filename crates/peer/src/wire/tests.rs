use proptest::prelude::*;
use types::raft::{ConfState, Entry, EntryKind, Snapshot, SnapshotMeta};

use super::*;
use consensus::{Message, MessageKind};

fn entry(term: u64, index: u64, len: usize) -> Entry {
    Entry { term, index, kind: EntryKind::Normal, data: vec![7; len].into() }
}

fn append(term: u64, log_term: u64, index: u64, entries: Vec<Entry>) -> Message {
    let kind = MessageKind::Append;
    Message { kind, from: 2, to: 1, term, log_term, index, entries, commit: 9, ..Message::default() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn any_message() -> impl Strategy<Value = Message> {
    let entries = prop::collection::vec((any::<u64>(), any::<u64>(), 0..200usize), 0..5);
    let numbers = prop::array::uniform7(prop_oneof![0..300u64, any::<u64>()]);
    let kind = prop::sample::select(&MessageKind::ALL[..]);
    let context = prop::collection::vec(any::<u8>(), 0..20);
    (kind, numbers, entries, any::<bool>(), context).prop_map(|(kind, n, entries, reject, context)| Message {
        kind,
        to: n[0].max(1),
        from: n[1],
        term: n[2],
        log_term: n[3],
        index: n[4],
        commit: n[5],
        reject_hint: n[6],
        reject,
        entries: entries.into_iter().map(|(term, index, len)| entry(term, index, len)).collect(),
        snapshot: (kind == MessageKind::Snapshot).then(|| {
            let conf_state = ConfState { voters: vec![1, n[0]], ..ConfState::default() };
            let meta = SnapshotMeta { index: n[4], term: n[3], conf_state };
            Box::new(Snapshot { meta, data: vec![3; 40].into() })
        }),
        context: context.into(),
    })
}

/// Feeds `bytes` in pieces and collects what comes out.
fn feed<E>(
    bytes: &[u8],
    piece: usize,
    mut push: impl FnMut(&[u8]) -> Result<Vec<Decoded>, E>,
) -> Result<Vec<Decoded>, E> {
    let mut all = Vec::new();
    for part in bytes.chunks(piece.max(1)) {
        all.extend(push(part)?);
    }
    Ok(all)
}

fn read_framed(bytes: &[u8], piece: usize) -> Result<Vec<Decoded>, CodecError> {
    let mut decoder = Framed::new(MESSAGE_BYTES_MAX);
    feed(bytes, piece, |part| {
        decoder.push(part);
        let mut out = Vec::new();
        while let Some((decoded, _)) = decoder.next()? {
            out.push(decoded);
        }
        Ok(out)
    })
}

fn read_msgapp(bytes: &[u8], piece: usize) -> Result<Vec<Decoded>, CodecError> {
    let mut decoder = MsgAppDecoder::new(1, 2);
    feed(bytes, piece, |part| {
        decoder.push(part);
        let mut out = Vec::new();
        while let Some((decoded, _)) = decoder.next()? {
            out.push(decoded);
        }
        Ok(out)
    })
}

proptest! {
    #[test]
    fn messages_come_back(message in any_message(), piece in 1..50usize) {
        let mut out = BytesMut::new();
        encode_message(&message, &mut out);
        prop_assert_eq!(out.len(), message_len(&message));
        let generated: proto::raftpb::Message = prost::Message::decode(&out[..]).unwrap();
        prop_assert_eq!(generated.index, Some(message.index));
        prop_assert_eq!(generated.entries.len(), message.entries.len());
        let mut stream = BytesMut::new();
        encode_framed(&message, &mut stream);
        encode_framed_heartbeat(&mut stream);
        let expected = vec![Decoded::Message(message), Decoded::LinkHeartbeat];
        prop_assert_eq!(read_framed(&stream, piece).unwrap(), expected);
    }

    #[test]
    fn appends_come_back(steps in prop::collection::vec((1..4u64, 0..4usize, any::<bool>()), 1..20), piece in 1..40usize) {
        let mut encoder = MsgAppEncoder::default();
        let (mut stream, mut sent) = (BytesMut::new(), Vec::new());
        let (mut term, mut index) = (1, 0);
        for (step, count, jump) in steps {
            let log_term = term;
            if jump {
                term += step;
                index += step;
            }
            let entries = (1..=count as u64).map(|n| entry(term, index + n, 10)).collect();
            let message = append(term, log_term, index, entries);
            index += count as u64;
            encoder.encode(&message, &mut stream);
            encoder.heartbeat(&mut stream);
            sent.extend([Decoded::Message(message), Decoded::LinkHeartbeat]);
        }
        prop_assert_eq!(read_msgapp(&stream, piece).unwrap(), sent);
    }

    #[test]
    fn garbage_is_an_error_or_waits(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1..50usize) {
        let _ = read_framed(&bytes, piece);
        let _ = read_msgapp(&bytes, piece);
        let _ = decode_message(bytes.clone().into(), MESSAGE_BYTES_MAX);
        let mut framed = (bytes.len() as u64).to_be_bytes().to_vec();
        framed.extend(&bytes);
        let _ = read_framed(&framed, piece);
    }

    #[test]
    fn damaged_messages_never_panic(message in any_message(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut stream = BytesMut::new();
        encode_framed(&message, &mut stream);
        let at = at.index(stream.len());
        stream[at] ^= 1 << bit;
        let _ = read_framed(&stream, 1000);
        let mut app = BytesMut::new();
        MsgAppEncoder::default().encode(&message, &mut app);
        let at = at.min(app.len() - 1);
        app[at] ^= 1 << bit;
        let _ = read_msgapp(&app, 1000);
    }
}

#[test]
fn an_append_that_continues_is_short() {
    let mut encoder = MsgAppEncoder::default();
    let mut out = BytesMut::new();
    encoder.encode(&append(5, 5, 10, vec![entry(5, 11, 0)]), &mut out);
    assert_eq!(out[0], 2);
    out.clear();
    encoder.encode(&append(5, 5, 11, vec![entry(5, 12, 1)]), &mut out);
    let entry_bytes = "1005180c220107";
    assert_eq!(hex(&out), format!("010000000000000001{:016x}{entry_bytes}{:016x}", 7, 9));
    out.clear();
    // A new term is told once in full.
    encoder.encode(&append(6, 5, 12, vec![]), &mut out);
    assert_eq!(out[0], 2);
}

#[test]
fn announced_lengths_are_not_believed() {
    let huge = u64::MAX.to_be_bytes();
    assert!(matches!(read_framed(&huge, 8), Err(CodecError::TooLong)));
    assert!(matches!(read_msgapp(&[&[2][..], &huge].concat(), 9), Err(CodecError::TooLong)));
    // Ever so many entries, of which none has come.
    let mut decoder = MsgAppDecoder::new(1, 2);
    decoder.push(&[&[1][..], &huge].concat());
    assert!(decoder.next().unwrap().is_none());
    assert!(decoder.input.bytes.capacity() < 1024);
    // A length within bounds takes no room either before its bytes come.
    let mut decoder = Framed::new(MESSAGE_BYTES_MAX);
    decoder.push(&MESSAGE_BYTES_MAX.to_be_bytes());
    assert!(decoder.next().unwrap().is_none());
    assert!(decoder.input.bytes.capacity() < 1024);
}

#[test]
fn what_is_small_on_the_wire_cannot_be_large_in_memory() {
    // Two bytes on the wire for every entry.
    let entries = Bytes::from([0x3a, 0].repeat(2000));
    assert!(matches!(decode_message(entries.clone(), 100_000), Err(CodecError::TooLong)));
    assert!(decode_message(entries, 1_000_000).is_ok());
    let voters = [0x08, 1].repeat(200 << 10);
    let mut snapshot = BytesMut::new();
    for (tag, len) in [(0x4a, voters.len() + 10), (0x12, voters.len() + 5), (0x0a, voters.len())] {
        bytes::BufMut::put_u8(&mut snapshot, tag);
        prost::encoding::encode_varint(len as u64, &mut snapshot);
    }
    snapshot.extend_from_slice(&voters);
    assert!(decode_message(snapshot.freeze(), MESSAGE_BYTES_MAX).is_err());
}

#[test]
fn local_inputs_are_not_taken_from_others() {
    for kind in [0u8, 1, 10, 11, 12, 19, 23] {
        let bytes = Bytes::from(vec![0x08, kind, 0x18, 3]);
        let decoded = decode_message(bytes, 1000).unwrap();
        assert_eq!(decoded, Decoded::Ignored { kind: kind.into(), from: 3 });
    }
    // Deep nesting of stored responses is passed over, not followed.
    let mut nested = Vec::new();
    for _ in 0..100 {
        let mut outer = vec![0x72, nested.len() as u8];
        outer.extend(&nested);
        nested = outer;
        nested.truncate(120);
    }
    let _ = decode_message(nested.into(), 1000);
}
