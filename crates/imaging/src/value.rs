//! Values of elements as Rust values, tolerant of what scanners write. Not the object model.

use dicom_core::VR;

use crate::{syntax::Encoding, text::CharacterSets};

/// Most bytes of a text that is decoded for the header's attributes (PN in the index: `safety.md` limits).
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 10;

/// The outer padding of a text value: spaces and NUL.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\0'])
}

/// A text value, decoded, without outer padding; `None` when nothing is left.
pub(crate) fn text(bytes: &[u8], sets: &CharacterSets, vr: VR) -> Option<String> {
    let delimiters: &[u8] = if vr == VR::PN { b"^=" } else { b"" };
    let decoded = sets.decode(&bytes[..bytes.len().min(TEXT_BYTES_MAX)], delimiters);
    let text = trim(&decoded);
    (!text.is_empty()).then(|| text.to_owned())
}

/// The first value of a text of the default repertoire; what is not ASCII is replaced.
pub(crate) fn ascii(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_BYTES_MAX)]);
    let first = trim(text.split('\\').next().unwrap_or_default());
    (!first.is_empty()).then(|| first.to_owned())
}

/// The values of a decimal or integer string.
pub(crate) fn decimals(bytes: &[u8]) -> Vec<Option<f64>> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_BYTES_MAX)]);
    // Some writers use the decimal comma of their country.
    let parse =
        |part: &str| trim(part).trim().replace(',', ".").parse::<f64>().ok().filter(|n| n.is_finite());
    text.split('\\').map(parse).collect()
}

/// The first value of an integer string; `5.0` counts as 5.
pub(crate) fn integer(bytes: &[u8]) -> Option<i64> {
    let text = ascii(bytes)?;
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Some(number);
    }
    let number = text.parse::<f64>().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within what an f64 holds exactly")]
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// Exactly `N` decimals.
pub(crate) fn vector<const N: usize>(bytes: &[u8]) -> Option<[f64; N]> {
    let values: Option<Vec<f64>> = decimals(bytes).into_iter().collect();
    values?.try_into().ok()
}

/// An unsigned number as US, UL, or by mistake IS.
pub(crate) fn unsigned(bytes: &[u8], vr: VR, encoding: Encoding) -> Option<u32> {
    if matches!(vr, VR::IS | VR::DS) {
        return integer(bytes).and_then(|number| number.try_into().ok());
    }
    match *bytes {
        [a, b] => Some(u32::from(encoding.u16([a, b]))),
        [a, b, c, d] if vr == VR::UL => Some(encoding.u32([a, b, c, d])),
        // More values than one: the first.
        [a, b, ..] if vr != VR::UL => Some(u32::from(encoding.u16([a, b]))),
        _ => None,
    }
}

/// A date (PS3.5 section 6.2, DA), also in the forms `YYYY.MM.DD` of ACR-NEMA, `YYYY-MM-DD`, and the day of a date and time.
pub(crate) fn date(bytes: &[u8]) -> Option<jiff::civil::Date> {
    let text = ascii(bytes)?;
    let digits: String = text.chars().filter(|c| !matches!(c, '.' | '-' | '/')).take(8).collect();
    if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| digits[range].parse::<i16>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_scanners_write_them() {
        for (text, expected) in [
            ("20040119", Some("2004-01-19")),
            ("2004.01.19", Some("2004-01-19")),
            ("2004-01-19", Some("2004-01-19")),
            ("20040119120000", Some("2004-01-19")),
            ("20040119 ", Some("2004-01-19")),
            ("20041319", None),
            ("200401", None),
            ("", None),
            ("00000000", None),
            ("ANONYMOU", None),
        ] {
            assert_eq!(date(text.as_bytes()), expected.map(|day| day.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn numbers_are_read_as_scanners_write_them() {
        assert_eq!(integer(b"12 "), Some(12));
        assert_eq!(integer(b" 5.0"), Some(5));
        assert_eq!(integer(b"5.5"), None);
        assert_eq!(decimals(b"1,5\\2\\"), [Some(1.5), Some(2.0), None]);
        assert_eq!(decimals(b"NaN"), [None]);
        assert_eq!(vector::<3>(b"1\\2\\3 "), Some([1.0, 2.0, 3.0]));
        assert_eq!(vector::<3>(b"1\\2"), None);
        assert_eq!(unsigned(&[0, 2], VR::US, Encoding::EXPLICIT_LITTLE), Some(512));
        assert_eq!(unsigned(&[2, 0], VR::US, Encoding::EXPLICIT_BIG), Some(512));
        assert_eq!(unsigned(b"12", VR::IS, Encoding::EXPLICIT_LITTLE), Some(12));
    }
}
