//! Lets pass a `:authority` that is a URL.
//!
//! etcdctl 3.4 puts the whole endpoint there, `http://127.0.0.1:2379`, when a call goes to one member. Go's server
//! does not look at it; `h2` ends the stream with PROTOCOL_ERROR, before anybody could answer. Nobody here reads the
//! field, so it gets another name on its way to `h2`: one that means nothing in a request and is as long, because the
//! length counts in the table that both ends keep (RFC 7541, 4.1).

/// A literal that enters the table, with the name `:authority`; other clients of Go do not send it otherwise.
const AUTHORITY: u8 = 0x41;
/// The same with the name `set-cookie`.
const SET_COOKIE: u8 = 0x40 | 55;

const FLAG_PADDED: u8 = 0x08;
const FLAG_PRIORITY: u8 = 0x20;

/// Renames the field in the payload of a HEADERS frame with these flags. What cannot be read is left to `h2`.
pub(crate) fn excuse_url(flags: u8, payload: &mut [u8]) {
    if !payload.contains(&AUTHORITY) {
        return;
    }
    if let Some(at) = find_url(flags, payload) {
        payload[at] = SET_COOKIE;
    }
}

/// Where an authority begins that is a URL.
fn find_url(flags: u8, payload: &[u8]) -> Option<usize> {
    let (mut at, mut end) = (0, payload.len());
    if flags & FLAG_PADDED != 0 {
        (at, end) = (1, end.checked_sub(usize::from(*payload.first()?))?);
    }
    if flags & FLAG_PRIORITY != 0 {
        at += 5;
    }
    let block = payload.get(..end)?;
    while let Some(&first) = block.get(at) {
        let start = at;
        let (prefix_bits, is_literal) = match first {
            0x80.. => (7, false),
            0x40..=0x7f => (6, true),
            0x20..=0x3f => (5, false),
            _ => (4, true),
        };
        let (name, after) = integer(block, at, prefix_bits)?;
        at = after;
        if !is_literal {
            continue;
        }
        if name == 0 {
            (_, at) = string(block, at)?;
        }
        let value;
        (value, at) = string(block, at)?;
        if first == AUTHORITY && is_url(value) {
            return Some(start);
        }
    }
    None
}

/// An integer in the low bits of `block[at]`, or behind it, and where it ends (RFC 7541, 5.1).
fn integer(block: &[u8], at: usize, prefix_bits: u32) -> Option<(usize, usize)> {
    let mask = (1_u8 << prefix_bits) - 1;
    let mut value = usize::from(block.get(at)? & mask);
    let mut at = at + 1;
    if value < usize::from(mask) {
        return Some((value, at));
    }
    // Three more bytes are far more than a frame can hold.
    for shift in [0, 7, 14] {
        let byte = *block.get(at)?;
        at += 1;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
    }
    None
}

/// A string as it is encoded.
#[derive(Clone, Copy)]
struct Text<'a> {
    bytes: &'a [u8],
    is_huffman: bool,
}

/// The string at `at`, and where it ends (RFC 7541, 5.2).
fn string(block: &[u8], at: usize) -> Option<(Text<'_>, usize)> {
    let is_huffman = block.get(at)? & 0x80 != 0;
    let (len, at) = integer(block, at, 7)?;
    let bytes = block.get(at..at.checked_add(len)?)?;
    Some((Text { bytes, is_huffman }, at + len))
}

fn is_url(text: Text<'_>) -> bool {
    // The first 40 bits of `http://` and `https:/` in the code of RFC 7541, appendix B.
    const CODED: [[u8; 5]; 2] = [[0x9d, 0x29, 0xae, 0xe3, 0x0c], [0x9d, 0x29, 0xad, 0x17, 0x18]];
    if text.is_huffman {
        CODED.iter().any(|scheme| text.bytes.starts_with(scheme))
    } else {
        text.bytes.starts_with(b"http://") || text.bytes.starts_with(b"https://")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `:method`, `:scheme`, a path with the name from the table, and an authority.
    fn block(authority: &[u8]) -> Vec<u8> {
        let mut block = vec![0x83, 0x86, 0x44, 2, b'/', 0x41, 0x41];
        block.extend(authority);
        block
    }

    fn raw(text: &str) -> Vec<u8> {
        [&[text.len() as u8], text.as_bytes()].concat()
    }

    fn renamed(flags: u8, block: &[u8]) -> Vec<u8> {
        let mut after = block.to_vec();
        excuse_url(flags, &mut after);
        after
    }

    #[test]
    fn only_urls_are_renamed() {
        // `https://www.example.com` as in RFC 7541, C.6.1.
        let huffman = [
            0x91, 0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82, 0xae,
            0x43, 0xd3,
        ];
        for url in [raw("http://127.0.0.1:2379"), raw("https://h:1"), huffman.to_vec()] {
            let before = block(&url);
            let after = renamed(0, &before);
            assert_eq!(after[6], SET_COOKIE);
            assert_eq!((&after[..6], &after[7..]), (&before[..6], &before[7..]));
        }
        // `www.example.com` as in RFC 7541, C.4.1.
        let plain = [0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        for authority in [raw("127.0.0.1:2379"), raw("http:2379"), plain.to_vec(), raw("")] {
            assert_eq!(renamed(0, &block(&authority)), block(&authority));
        }
    }

    #[test]
    fn padding_and_priority_are_passed_over() {
        let inner = block(&raw("http://h:1"));
        let padded = [&[3, 0x80, 0, 0, 0, 7][..], &inner, &[0x41, 0, 0]].concat();
        let after = renamed(FLAG_PADDED | FLAG_PRIORITY, &padded);
        assert_eq!((after[12], after.len()), (SET_COOKIE, padded.len()));
    }

    proptest! {
        #[test]
        fn nothing_else_changes(flags: u8, payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            let after = renamed(flags, &payload);
            let changed: Vec<_> = payload.iter().zip(&after).filter(|(a, b)| a != b).collect();
            prop_assert!(changed.is_empty() || changed == [(&AUTHORITY, &SET_COOKIE)]);
        }

        #[test]
        fn what_is_cut_off_is_left_alone(cut in 0_usize..17) {
            let whole = block(&raw("http://h:1"));
            let part = &whole[..cut];
            prop_assert_eq!(renamed(0, part), part);
        }
    }
}
