//! Protobuf's base-128 integers, which rows and the packed index share.

/// Bytes that [`push`] writes for `value`: 1 to 10.
#[inline]
pub(crate) fn len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends `value`.
pub(crate) fn push(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Fills `out`, which has [`len`]`(value)` bytes.
#[inline]
pub(crate) fn write(out: &mut [u8], mut value: u64) {
    let last = out.len() - 1;
    for byte in &mut out[..last] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    out[last] = value as u8;
}

/// Takes one value off the front of `bytes`. `None` when it is cut short or does not fit into 64 bits.
#[inline]
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    if first < 0x80 {
        *bytes = &bytes[1..];
        return Some(u64::from(first));
    }
    let mut value = 0;
    for (position, byte) in bytes.iter().enumerate().take(10) {
        if position == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * position);
        if *byte < 0x80 {
            *bytes = &bytes[position + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_at_every_width() {
        for value in (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            push(&mut bytes, value);
            assert_eq!(bytes.len(), len(value), "{value}");
            let mut written = vec![0; len(value)];
            write(&mut written, value);
            assert_eq!(written, bytes);
            let mut rest = &bytes[..];
            assert_eq!(take(&mut rest), Some(value));
            assert!(rest.is_empty());
            for cut in 0..bytes.len() {
                assert_eq!(take(&mut &bytes[..cut]), None, "{value} cut at {cut}");
            }
        }
        assert_eq!(take(&mut &[0xff; 11][..]), None);
    }
}
