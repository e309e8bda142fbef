//! Identifiers of queries and retrieves (PS3.7 section 9.1): small flat data sets, read and written whole. Sequences are told apart and not
//! looked into. Not the meaning of keys.

use crate::{
    availability::{AvailabilityError, NoticeSyntax},
    walk::{self, Tag},
};

/// Most elements of an identifier that is read.
pub const ELEMENTS_MAX: usize = 1024;

/// Longest value of a VR with a length of two bytes, even (PS3.5 section 7.1.2).
pub const SHORT_VALUE_BYTES_MAX: usize = 0xFFFE;

/// An element of an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Group and element.
    pub tag: (u16, u16),
    /// Its value as it stands, with padding; none of a sequence.
    pub value: Option<Vec<u8>>,
}

/// An element to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Group and element.
    pub tag: (u16, u16),
    /// Value representation; one of text, or US.
    pub vr: [u8; 2],
    /// Its value.
    pub value: Value,
}

/// A value to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Characters in the character set of the data set, without padding.
    Text(Vec<u8>),
    /// Numbers of VR US.
    Numbers(Vec<u16>),
}

/// Reads the elements at the top of an identifier.
///
/// # Errors
/// Anything that is cut, nested too deeply, or too many.
pub fn read(bytes: &[u8], syntax: NoticeSyntax) -> Result<Vec<Key>, AvailabilityError> {
    let mut keys = Keys(Vec::new());
    walk::read(bytes, syntax, &mut keys)?;
    Ok(keys.0)
}

/// Writes an identifier; elements in ascending order, group lengths left out.
#[must_use]
pub fn write(elements: &[Element], syntax: NoticeSyntax) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Element { tag: (group, element), vr, value } in elements {
        let value = bytes_of(value, *vr, syntax);
        bytes.extend_from_slice(&syntax.u16_bytes(*group));
        bytes.extend_from_slice(&syntax.u16_bytes(*element));
        let long = value.len() as u32;
        match syntax.is_explicit() {
            false => bytes.extend_from_slice(&syntax.u32_bytes(long)),
            true if walk::is_long(*vr) => {
                bytes.extend_from_slice(vr);
                bytes.extend_from_slice(&[0, 0]);
                bytes.extend_from_slice(&syntax.u32_bytes(long));
            }
            true => {
                bytes.extend_from_slice(vr);
                bytes.extend_from_slice(&syntax.u16_bytes(value.len() as u16));
            }
        }
        bytes.extend_from_slice(&value);
    }
    bytes
}

/// A value padded to an even length, and cut where its VR has no length for more.
fn bytes_of(value: &Value, vr: [u8; 2], syntax: NoticeSyntax) -> Vec<u8> {
    let mut bytes = match value {
        Value::Text(text) => text.clone(),
        Value::Numbers(numbers) => numbers.iter().flat_map(|number| syntax.u16_bytes(*number)).collect(),
    };
    if !walk::is_long(vr) {
        bytes.truncate(SHORT_VALUE_BYTES_MAX);
    }
    if bytes.len() % 2 == 1 {
        bytes.push(if &vr == b"UI" { 0 } else { b' ' });
    }
    bytes
}

struct Keys(Vec<Key>);

impl Keys {
    fn add(&mut self, key: Key) -> Result<(), AvailabilityError> {
        if self.0.len() >= ELEMENTS_MAX {
            return Err(AvailabilityError::TooMany { limit: ELEMENTS_MAX });
        }
        self.0.push(key);
        Ok(())
    }
}

impl walk::Visitor for Keys {
    const SEQUENCES: &'static [Tag] = &[];

    fn begin_sequence(&mut self, path: &[Tag], tag: Tag) -> Result<(), AvailabilityError> {
        if path.is_empty() { self.add(Key { tag, value: None }) } else { Ok(()) }
    }

    fn begin_item(&mut self, _: &[Tag]) -> Result<(), AvailabilityError> {
        Ok(())
    }

    fn value(&mut self, path: &[Tag], tag: Tag, value: &[u8]) -> Result<(), AvailabilityError> {
        if path.is_empty() { self.add(Key { tag, value: Some(value.to_vec()) }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNTAXES: [NoticeSyntax; 3] = [
        NoticeSyntax::ImplicitLittleEndian,
        NoticeSyntax::ExplicitLittleEndian,
        NoticeSyntax::ExplicitBigEndian,
    ];

    #[test]
    fn what_is_written_is_read_again() {
        let elements = [
            Element { tag: (0x0008, 0x0052), vr: *b"CS", value: Value::Text(b"STUDY".to_vec()) },
            Element { tag: (0x0008, 0x1190), vr: *b"UR", value: Value::Text(b"http://a".to_vec()) },
            Element { tag: (0x0020, 0x000d), vr: *b"UI", value: Value::Text(b"1.2.3".to_vec()) },
            Element { tag: (0x0028, 0x0010), vr: *b"US", value: Value::Numbers(vec![512]) },
        ];
        for syntax in SYNTAXES {
            let keys = read(&write(&elements, syntax), syntax).unwrap();
            let number = syntax.u16_bytes(512).to_vec();
            let expected = [b"STUDY ".to_vec(), b"http://a".to_vec(), b"1.2.3\0".to_vec(), number];
            let found: Vec<_> = keys.iter().map(|key| key.value.clone().unwrap()).collect();
            assert_eq!(found, expected, "{syntax:?}");
            assert!(keys.iter().zip(&elements).all(|(key, element)| key.tag == element.tag));
        }
    }

    #[test]
    fn sequences_are_named_and_not_looked_into() {
        let explicit =
            b"\x40\0\x75\x02SQ\0\0\x10\0\0\0\xfe\xff\0\xe0\x08\0\0\0\x20\0\x10\0SH\0\0\x20\0\x0d\0UI\0\0";
        let keys = read(explicit, NoticeSyntax::ExplicitLittleEndian).unwrap();
        let expected = [
            Key { tag: (0x0040, 0x0275), value: None },
            Key { tag: (0x0020, 0x000d), value: Some(Vec::new()) },
        ];
        assert_eq!(keys, expected);
        let empty = read(b"\x40\0\x75\x02SQ\0\0\0\0\0\0", NoticeSyntax::ExplicitLittleEndian).unwrap();
        assert_eq!(empty, [Key { tag: (0x0040, 0x0275), value: None }]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(read(b"\x08\0\x52\0CS\x10\0STUDY ", NoticeSyntax::ExplicitLittleEndian).is_err());
        let many = b"\x08\0\x52\0\0\0\0\0".repeat(ELEMENTS_MAX + 1);
        assert!(read(&many, NoticeSyntax::ImplicitLittleEndian).is_err());
    }

    #[test]
    fn a_value_that_is_too_long_is_cut() {
        let list = Value::Text(b"1.2.3\\".repeat(20_000));
        let element = Element { tag: (0x0008, 0x0058), vr: *b"UI", value: list };
        let bytes = write(&[element], NoticeSyntax::ExplicitLittleEndian);
        assert_eq!(bytes.len(), 8 + SHORT_VALUE_BYTES_MAX);
    }
}
