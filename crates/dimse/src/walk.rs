//! Reading a small data set that has to be understood at once, as those of notices and commitments: depth and count are bounded, every
//! length is held against what is there, and nothing is allocated from one. Not for images, which the guard of `imaging` walks.

use crate::availability::{AvailabilityError, NoticeSyntax};
use crate::text;

/// Group and element.
pub(crate) type Tag = (u16, u16);

/// Deepest nesting of sequences that is read; what is read here needs 2.
const MAX_DEPTH: usize = 16;

const UNDEFINED_LENGTH: u32 = 0xffff_ffff;
pub(crate) const ITEM: Tag = (0xfffe, 0xe000);
const ITEM_END: Tag = (0xfffe, 0xe00d);
const SEQUENCE_END: Tag = (0xfffe, 0xe0dd);

/// Takes what a data set holds.
pub(crate) trait Visitor {
    /// Sequences that are read. In implicit VR a defined length tells nothing, so they are known by their tags.
    const SEQUENCES: &'static [Tag];

    /// A sequence begins, in the sequences of `path`.
    fn begin_sequence(&mut self, path: &[Tag], tag: Tag) -> Result<(), AvailabilityError> {
        let _ = (path, tag);
        Ok(())
    }

    /// An item of the sequence at the end of `path` begins.
    fn begin_item(&mut self, path: &[Tag]) -> Result<(), AvailabilityError>;

    /// An element that is no sequence, in the sequences of `path`.
    fn value(&mut self, path: &[Tag], tag: Tag, value: &[u8]) -> Result<(), AvailabilityError>;
}

/// Reads a whole data set.
pub(crate) fn read<V: Visitor>(
    bytes: &[u8],
    syntax: NoticeSyntax,
    visitor: &mut V,
) -> Result<(), AvailabilityError> {
    Reader { bytes, visitor }.data_set(0, Some(bytes.len()), syntax, &mut Vec::new())?;
    Ok(())
}

/// A value that is meant to be a UID, a title or a word.
pub(crate) fn short(value: &[u8], name: &'static str) -> Result<String, AvailabilityError> {
    if value.len() > text::MAX_UID_LENGTH + 1 {
        return Err(AvailabilityError::Invalid { name });
    }
    Ok(text::from_bytes(value))
}

/// Whether a VR has a length of four bytes (PS3.5 section 7.1.2).
pub(crate) const fn is_long(vr: [u8; 2]) -> bool {
    matches!(
        &vr,
        b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV"
    )
}

struct Header {
    tag: Tag,
    vr: Option<[u8; 2]>,
    length: u32,
    value: usize,
}

struct Reader<'a, V> {
    bytes: &'a [u8],
    visitor: &'a mut V,
}

impl<V: Visitor> Reader<'_, V> {
    /// Walks a data set or item that begins at `at`; `end` is none when a delimiter ends it. Returns where it ended.
    fn data_set(
        &mut self,
        mut at: usize,
        end: Option<usize>,
        syntax: NoticeSyntax,
        path: &mut Vec<Tag>,
    ) -> Result<usize, AvailabilityError> {
        loop {
            if end.is_some_and(|end| at >= end) {
                return Ok(at);
            }
            let header = self.header(at, end, syntax)?;
            if header.tag.0 == ITEM.0 {
                return match (header.tag, end) {
                    (ITEM_END, None) => Ok(header.value),
                    _ => Err(AvailabilityError::NoItem { offset: at }),
                };
            }
            at = if Self::is_sequence(&header) {
                let end = self.end_of(&header, at, end)?;
                // PS3.5 section 6.2.2: UN of undefined length is a sequence in implicit VR little endian.
                let inner =
                    if header.vr == Some(*b"UN") { NoticeSyntax::ImplicitLittleEndian } else { syntax };
                self.sequence(header.value, end, inner, header.tag, path)?
            } else {
                let end = self.end_of(&header, at, end)?.ok_or(AvailabilityError::Cut { offset: at })?;
                self.visitor.value(path, header.tag, &self.bytes[header.value..end])?;
                end
            };
        }
    }

    fn sequence(
        &mut self,
        mut at: usize,
        end: Option<usize>,
        syntax: NoticeSyntax,
        tag: Tag,
        path: &mut Vec<Tag>,
    ) -> Result<usize, AvailabilityError> {
        if path.len() >= MAX_DEPTH {
            return Err(AvailabilityError::TooDeep { limit: MAX_DEPTH });
        }
        self.visitor.begin_sequence(path, tag)?;
        path.push(tag);
        loop {
            if end.is_some_and(|end| at >= end) {
                break;
            }
            let header = self.header(at, end, syntax)?;
            match header.tag {
                ITEM => {
                    self.visitor.begin_item(path)?;
                    let item_end = self.end_of(&header, at, end)?;
                    at = self.data_set(header.value, item_end, syntax, path)?;
                }
                SEQUENCE_END if end.is_none() => {
                    at = header.value;
                    break;
                }
                _ => return Err(AvailabilityError::NoItem { offset: at }),
            }
        }
        path.pop();
        Ok(at)
    }

    fn header(
        &self,
        at: usize,
        end: Option<usize>,
        syntax: NoticeSyntax,
    ) -> Result<Header, AvailabilityError> {
        let cut = || AvailabilityError::Cut { offset: at };
        let limit = end.unwrap_or(self.bytes.len());
        let rest = self.bytes.get(at..limit).ok_or_else(cut)?;
        let [g0, g1, e0, e1, l0, l1, l2, l3] = *rest.first_chunk::<8>().ok_or_else(cut)?;
        let tag = (syntax.u16([g0, g1]), syntax.u16([e0, e1]));
        if tag.0 == ITEM.0 || !syntax.is_explicit() {
            return Ok(Header { tag, vr: None, length: syntax.u32([l0, l1, l2, l3]), value: at + 8 });
        }
        let vr = [l0, l1];
        if !is_long(vr) {
            return Ok(Header { tag, vr: Some(vr), length: syntax.u16([l2, l3]).into(), value: at + 8 });
        }
        let length = rest.get(8..12).and_then(|b| b.first_chunk::<4>()).ok_or_else(cut)?;
        Ok(Header { tag, vr: Some(vr), length: syntax.u32(*length), value: at + 12 })
    }

    /// Where the value ends, none for an undefined length; never beyond what holds it.
    fn end_of(
        &self,
        header: &Header,
        at: usize,
        end: Option<usize>,
    ) -> Result<Option<usize>, AvailabilityError> {
        if header.length == UNDEFINED_LENGTH {
            return Ok(None);
        }
        let limit = end.unwrap_or(self.bytes.len());
        match header.value.checked_add(header.length as usize) {
            Some(value_end) if value_end <= limit => Ok(Some(value_end)),
            _ => Err(AvailabilityError::Cut { offset: at }),
        }
    }

    /// Whether what follows is items.
    fn is_sequence(header: &Header) -> bool {
        match header.vr {
            Some(vr) => &vr == b"SQ" || header.length == UNDEFINED_LENGTH,
            None => header.length == UNDEFINED_LENGTH || V::SEQUENCES.contains(&header.tag),
        }
    }
}
