//! Whole numbers as JSON writes them: with fraction and exponent, as long as the value is whole.

/// Digits of the largest number.
const DIGITS_MAX: usize = 20;

/// The whole number that a JSON number stands for; `None` when it stands for none, or for none so large.
pub(super) fn whole(number: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(number).ok()?;
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, ""));
    let (int, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = is_digits(int)
        && (int.len() == 1 || !int.starts_with('0'))
        && (is_digits(fraction) || !mantissa.contains('.'))
        && (is_digits(exponent.trim_start_matches(['+', '-'])) || mantissa.len() == text.len());
    if !well_formed {
        return None;
    }
    let int = if int == "0" { "" } else { int };
    let fraction = fraction.trim_end_matches('0');
    if int.is_empty() && fraction.is_empty() {
        return Some(0);
    }
    let exponent: i32 = if exponent.is_empty() { 0 } else { exponent.parse().ok()? };
    let shift = usize::try_from(exponent.unsigned_abs()).ok()?;
    let digits = if exponent >= 0 {
        if fraction.len() > shift || int.len() + shift > DIGITS_MAX {
            return None;
        }
        format!("{int}{fraction}{}", "0".repeat(shift - fraction.len()))
    } else {
        let kept = int.len().checked_sub(shift)?;
        if !fraction.is_empty() || int[kept..].bytes().any(|byte| byte != b'0') {
            return None;
        }
        int[..kept].to_owned()
    };
    if digits.trim_start_matches('0').len() > DIGITS_MAX {
        return None;
    }
    // Nothing left of the point is no number in Go, either.
    let value: i128 = digits.parse().ok()?;
    Some(if negative { -value } else { value })
}
