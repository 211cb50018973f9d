//! Numbers from bytes: ids, values and times.

/// An id that is a whole number in its shortest form, so that number and text stand for each other.
pub(super) fn id(field: &[u8]) -> Option<u64> {
    if field.is_empty() || field.len() > 20 || (field[0] == b'0' && field.len() > 1) {
        return None;
    }
    // Nineteen digits can not overflow.
    let (head, tail) = field.split_at(field.len().min(19));
    let mut number = 0u64;
    for &byte in head {
        number = number * 10 + u64::from(digit(byte)?);
    }
    match tail.first() {
        None => Some(number),
        Some(&byte) => number.checked_mul(10)?.checked_add(u64::from(digit(byte)?)),
    }
}

/// A finite number, rounded once to the nearest `f32`.
pub(super) fn value(field: &[u8]) -> Option<f32> {
    short(field).or_else(|| {
        let number = std::str::from_utf8(field).ok()?.parse::<f32>().ok().filter(|v| v.is_finite())?;
        Some(number + 0.0) // -0 becomes 0
    })
}

/// A finite number, rounded once to the nearest `f64`.
pub(super) fn real(field: &[u8]) -> Option<f64> {
    let number = std::str::from_utf8(field).ok()?.parse::<f64>().ok().filter(|v| v.is_finite())?;
    Some(number + 0.0) // -0 becomes 0
}

/// A plain decimal of at most seven digits: both parts of the quotient are exact, so the quotient is rounded right.
fn short(field: &[u8]) -> Option<f32> {
    const TENS: [f32; 8] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];
    if field.is_empty() || field.len() > 8 {
        return None;
    }
    let (mut number, mut digits, mut point) = (0u32, 0, None);
    for &byte in field {
        match digit(byte) {
            Some(d) => {
                number = number * 10 + u32::from(d);
                digits += 1;
            }
            None if byte == b'.' && point.is_none() => point = Some(digits),
            None => return None,
        }
    }
    let decimals = point.map_or(0, |p| digits - p);
    (1..=7).contains(&digits).then(|| number as f32 / TENS[decimals])
}

/// Seconds since 1970; fractions are cut off.
pub(super) fn time(field: &[u8]) -> Option<i64> {
    let (negative, digits) = field.strip_prefix(b"-").map_or((false, field), |rest| (true, rest));
    if (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) {
        let seconds = digits.iter().fold(0, |sum, &b| sum * 10 + i64::from(b - b'0'));
        return Some(if negative { -seconds } else { seconds });
    }
    let seconds = std::str::from_utf8(field).ok()?.parse::<f64>().ok()?;
    (seconds.abs() < 9e18).then_some(seconds as i64)
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_their_shortest_form() {
        let all =
            [("0", 0), ("42", 42), ("1000000000000000", 1_000_000_000_000_000), ("18446744073709551615", u64::MAX)];
        all.iter().for_each(|(text, number)| assert_eq!(id(text.as_bytes()), Some(*number)));
        for text in
            ["", "007", "-1", "+1", "1.0", "a", "18446744073709551616", "99999999999999999999", "123456789012345678901"]
        {
            assert_eq!(id(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn values_are_rounded_as_by_std() {
        for text in ["5", "3.5", "0.1", ".5", "5.", "1234567", "0.000001", "16777217", "-2.5", "1e3", "+4", "33.33333"]
        {
            assert_eq!(value(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in ["", ".", "NaN", "inf", "-infinity", "1e400", "4,5", "five", "1.2.3"] {
            assert_eq!(value(text.as_bytes()), None, "{text}");
        }
        assert!(value(b"-0").unwrap().is_sign_positive());
        assert_eq!(real(b"0.02173913043478265"), Some(0.02173913043478265));
        assert!(real(b"-0").unwrap().is_sign_positive());
        for text in ["", "NaN", "inf", "1e999", "4,5", "\u{a0}1"] {
            assert_eq!(real(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn times_in_seconds() {
        assert_eq!(time(b"978824330"), Some(978_824_330));
        assert_eq!(time(b"-5"), Some(-5));
        assert_eq!(time(b"8.81250949E8"), Some(881_250_949));
        for text in ["", "-", "NaN", "inf", "1e19", "1999-12-31", "99999999999999999999"] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
    }
}
