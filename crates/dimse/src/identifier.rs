//! Identifiers of queries and retrieves (PS3.7 section 9.1): small data sets, read and written whole, with the items of sequences at their
//! top. What is deeper is not looked into. Not the meaning of keys.

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
    /// The sequence in whose items it is; none at the top. A query has one item (PS3.4 section C.2.2.2.6).
    pub within: Option<(u16, u16)>,
    /// Its value as it stands, with padding; none of a sequence.
    pub value: Option<Vec<u8>>,
}

/// An element to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Group and element.
    pub tag: (u16, u16),
    /// Value representation; one of text, US, or SQ.
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
    /// Items of VR SQ, of defined length.
    Items(Vec<Vec<Element>>),
}

/// Reads the elements at the top of an identifier, and in the items of its sequences.
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
        Value::Items(items) => {
            items.iter().flat_map(|elements| item(&write(elements, syntax), syntax)).collect()
        }
    };
    if !walk::is_long(vr) {
        bytes.truncate(SHORT_VALUE_BYTES_MAX);
    }
    if bytes.len() % 2 == 1 {
        bytes.push(if &vr == b"UI" { 0 } else { b' ' });
    }
    bytes
}

fn item(content: &[u8], syntax: NoticeSyntax) -> Vec<u8> {
    let (group, element) = walk::ITEM;
    let head = [syntax.u16_bytes(group), syntax.u16_bytes(element)].concat();
    [&head[..], &syntax.u32_bytes(content.len() as u32), content].concat()
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
    /// Request Attributes Sequence.
    const SEQUENCES: &'static [Tag] = &[(0x0040, 0x0275)];

    fn begin_sequence(&mut self, path: &[Tag], tag: Tag) -> Result<(), AvailabilityError> {
        if path.is_empty() { self.add(Key { tag, within: None, value: None }) } else { Ok(()) }
    }

    fn begin_item(&mut self, _: &[Tag]) -> Result<(), AvailabilityError> {
        Ok(())
    }

    fn value(&mut self, path: &[Tag], tag: Tag, value: &[u8]) -> Result<(), AvailabilityError> {
        match path {
            [] => self.add(Key { tag, within: None, value: Some(value.to_vec()) }),
            [sequence] => self.add(Key { tag, within: Some(*sequence), value: Some(value.to_vec()) }),
            [_, _, ..] => Ok(()),
        }
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
    fn items_of_sequences_are_read_and_what_is_deeper_is_not() {
        let explicit =
            b"\x40\0\x75\x02SQ\0\0\x10\0\0\0\xfe\xff\0\xe0\x08\0\0\0\x20\0\x10\0SH\0\0\x20\0\x0d\0UI\0\0";
        let keys = read(explicit, NoticeSyntax::ExplicitLittleEndian).unwrap();
        let (sequence, within) = ((0x0040, 0x0275), Some((0x0040, 0x0275)));
        let expected = [
            Key { tag: sequence, within: None, value: None },
            Key { tag: (0x0020, 0x0010), within, value: Some(Vec::new()) },
            Key { tag: (0x0020, 0x000d), within: None, value: Some(Vec::new()) },
        ];
        assert_eq!(keys, expected);
        let empty = read(b"\x40\0\x75\x02SQ\0\0\0\0\0\0", NoticeSyntax::ExplicitLittleEndian).unwrap();
        assert_eq!(empty, [Key { tag: sequence, within: None, value: None }]);
        let text = |tag, text: &str| Element { tag, vr: *b"SH", value: Value::Text(text.into()) };
        let items = vec![vec![text((0x0040, 0x0009), "S1"), text((0x0040, 0x1001), "R1")], Vec::new()];
        let deep = Element { tag: (0x0040, 0x0008), vr: *b"SQ", value: Value::Items(items.clone()) };
        let elements =
            [Element { tag: sequence, vr: *b"SQ", value: Value::Items([items, vec![vec![deep]]].concat()) }];
        for syntax in SYNTAXES {
            let keys = read(&write(&elements, syntax), syntax).unwrap();
            let found: Vec<_> = keys.iter().filter(|key| key.value.as_deref() == Some(b"S1")).collect();
            assert_eq!(
                found,
                [&Key { tag: (0x0040, 0x0009), within, value: Some(b"S1".to_vec()) }],
                "{syntax:?}"
            );
        }
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
