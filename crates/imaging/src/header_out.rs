//! A header written anew as explicit VR little endian, for objects that go out in another transfer syntax than they rest in. Values
//! stay the
//! bytes that they are, but for the order of bytes in numbers; nothing is decoded to text and back. Not for what rests in the store.

use dicom_core::{Tag, VR};
use domain::uid::TransferSyntaxUid;

use crate::{
    compose,
    guard::{DEPTH_MAX, GuardedHeader, Refusal},
    syntax::Encoding,
    value,
    walk::{Element, Event, Step, Walker, implicit_value_vr, is_short, number_bytes},
};

const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
const ITEM_END: [u8; 8] = [0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0];
const SEQUENCE_END: [u8; 8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];
const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);

/// An element that the new header has otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which, of the data set itself.
    pub tag: Tag,
    /// Its value representation.
    pub vr: VR,
    /// Its value, of even length; `None` when it is left out.
    pub value: Option<Vec<u8>>,
    /// Only where there is none yet.
    pub if_missing: bool,
}

impl Change {
    /// A text, padded to even length by a space.
    #[must_use]
    pub fn text(tag: Tag, vr: VR, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(compose::padding(vr));
        }
        Self { tag, vr, value: Some(value), if_missing: false }
    }

    /// An unsigned number of 16 bits.
    #[must_use]
    pub fn number(tag: Tag, number: u16) -> Self {
        Self { tag, vr: VR::US, value: Some(number.to_le_bytes().to_vec()), if_missing: false }
    }

    /// It is left out.
    #[must_use]
    pub const fn none(tag: Tag) -> Self {
        Self { tag, vr: VR::UN, value: None, if_missing: false }
    }

    /// Only where the header has no such element yet.
    #[must_use]
    pub fn if_missing(mut self) -> Self {
        self.if_missing = true;
        self
    }
}

/// The elements of a header that say how its pixels are to be read, as explicit VR little endian: what goes along with each frame of an
/// object
/// that has many. `None` where the header is written otherwise.
#[must_use]
pub fn describing(header: &GuardedHeader) -> Option<Vec<u8>> {
    if header.encoding != Encoding::EXPLICIT_LITTLE {
        return None;
    }
    let mut out = Vec::new();
    for span in header.spans.iter().filter(|span| span.tag.group() == 0x0028) {
        let value = header.bytes.get(span.value.clone())?;
        out.extend_from_slice(&compose::head(span.tag, span.vr, u32::try_from(value.len()).ok()?));
        out.extend_from_slice(value);
    }
    Some(out)
}

/// What a header has to say once its pixels have been through a codec that loses (PS3.3 section C.7.6.1.1.5). Empty for one that does
/// not.
#[must_use]
pub fn lossy_changes(transfer_syntax: &TransferSyntaxUid, ratio: f64) -> Vec<Change> {
    let method = match transfer_syntax.as_str() {
        "1.2.840.10008.1.2.4.50" | "1.2.840.10008.1.2.4.51" => "ISO_10918_1",
        "1.2.840.10008.1.2.4.81" => "ISO_14495_1",
        // JPEG 2000 and HTJ2K under their common names may have lost nothing: what the header says stays.
        _ => return Vec::new(),
    };
    vec![
        Change::text(Tag(0x0028, 0x2110), VR::CS, "01"),
        Change::text(Tag(0x0028, 0x2112), VR::DS, &format!("{ratio:.2}")).if_missing(),
        Change::text(Tag(0x0028, 0x2114), VR::CS, method).if_missing(),
    ]
}

/// Writes a header as explicit VR little endian, with changes. Group lengths are left out; sequences and items have undefined lengths.
///
/// # Errors
/// Never for a header from [`crate::guard`]; the walk is the same.
pub fn explicit_little(header: &GuardedHeader, changes: &[Change]) -> Result<Vec<u8>, Refusal> {
    let mut changes: Vec<&Change> = changes.iter().collect();
    changes.sort_by_key(|change| change.tag);
    let mut writer = Writer {
        header,
        out: Vec::with_capacity(header.bytes.len() + header.bytes.len() / 4),
        changes: changes.into(),
        signed: false,
        skips: 0,
    };
    let mut walker = Walker::new(header.encoding, DEPTH_MAX);
    loop {
        let is_top = walker.is_top();
        match walker.next(&header.bytes)? {
            Step::Event(event) => writer.take(event, is_top),
            Step::NeedMore => break,
        }
    }
    writer.changes_before(None);
    Ok(writer.out)
}

struct Writer<'a> {
    header: &'a GuardedHeader,
    out: Vec<u8>,
    changes: std::collections::VecDeque<&'a Change>,
    signed: bool,
    /// Levels that are open of an element that is left out.
    skips: usize,
}

impl Writer<'_> {
    fn take(&mut self, event: Event, is_top: bool) {
        if self.skips > 0 {
            match event {
                Event::Sequence { .. } | Event::Fragments { .. } | Event::Item => self.skips += 1,
                Event::ItemEnd | Event::SequenceEnd => self.skips -= 1,
                Event::Value(_) | Event::Fragment(_) => {}
            }
            return;
        }
        match event {
            Event::Value(element) => self.value(&element, is_top),
            Event::Sequence { tag, .. } | Event::Fragments { tag, .. } if is_top && self.is_changed(tag) => {
                self.skips = 1;
            }
            Event::Sequence { tag, .. } => {
                self.out.extend_from_slice(&compose::long_head(tag, VR::SQ, u32::MAX));
            }
            Event::Fragments { tag, vr, .. } => {
                self.out.extend_from_slice(&compose::long_head(tag, vr, u32::MAX));
            }
            Event::Item => {
                self.out.extend_from_slice(&ITEM);
                self.out.extend_from_slice(&u32::MAX.to_le_bytes());
            }
            Event::Fragment(range) => {
                let bytes = self.header.bytes.get(range).unwrap_or_default();
                self.out.extend_from_slice(&ITEM);
                // A fragment of a header is shorter than the header.
                self.out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                self.out.extend_from_slice(bytes);
            }
            Event::ItemEnd => self.out.extend_from_slice(&ITEM_END),
            Event::SequenceEnd => self.out.extend_from_slice(&SEQUENCE_END),
        }
    }

    /// Writes the changes that stand before a tag, or all that are left.
    fn changes_before(&mut self, tag: Option<Tag>) {
        while let Some(change) = self.changes.front().filter(|change| tag.is_none_or(|tag| change.tag < tag))
        {
            if let Some(value) = &change.value {
                self.out.extend_from_slice(&compose::head(change.tag, change.vr, value.len() as u32));
                self.out.extend_from_slice(value);
            }
            self.changes.pop_front();
        }
    }

    /// Whether an element of the data set itself is written otherwise; what stands before it is written now.
    fn is_changed(&mut self, tag: Tag) -> bool {
        self.changes_before(Some(tag));
        let Some(change) = self.changes.front().filter(|change| change.tag == tag) else { return false };
        if change.if_missing {
            self.changes.pop_front();
            return false;
        }
        true
    }

    fn value(&mut self, element: &Element, is_top: bool) {
        if element.tag.element() == 0 || (is_top && self.is_changed(element.tag)) {
            return;
        }
        let bytes = self.header.bytes.get(element.value.clone()).unwrap_or_default();
        let (vr, encoding) = self.representation(element);
        if element.tag == PIXEL_REPRESENTATION {
            self.signed = value::unsigned(bytes, VR::US, encoding) == Some(1);
        }
        let odd = bytes.len() % 2;
        self.out.extend_from_slice(&compose::head(element.tag, vr, (bytes.len() + odd) as u32));
        let start = self.out.len();
        self.out.extend_from_slice(bytes);
        if encoding.big_endian
            && let Some(size) = number_bytes(vr)
        {
            self.out[start..].chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        if odd == 1 {
            self.out.push(compose::padding(vr));
        }
    }

    /// The value representation to write, and how the value is written: as it stands there, or as the dictionary has it.
    fn representation(&self, element: &Element) -> (VR, Encoding) {
        if element.encoding.explicit {
            // What stands as UN is little endian whatever the data set is (PS3.5 section 6.2.2).
            let encoding = if element.vr == VR::UN { Encoding::IMPLICIT_LITTLE } else { element.encoding };
            return (element.vr, encoding);
        }
        let vr = implicit_value_vr(element.tag, self.signed);
        let too_long = is_short(vr) && element.value.len() > 0xFFFE;
        (if too_long { VR::UN } else { vr }, element.encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: &[u8], uid: &str) -> GuardedHeader {
        GuardedHeader::of(bytes, &TransferSyntaxUid::parse(uid).unwrap()).unwrap()
    }

    #[test]
    fn implicit_and_big_endian_become_explicit_little() {
        // Image Type, Referenced Image Sequence with one item of defined length, Rows, and a private element.
        let implicit = [
            &b"\x08\0\x08\0\x04\0\0\0ABCD"[..],
            b"\x08\0\x40\x11\x14\0\0\0\xFE\xFF\0\xE0\x0C\0\0\0\x08\0\x50\x11\x04\0\0\x001.2\0",
            b"\x28\0\x10\0\x02\0\0\0\x00\x02",
            b"\x29\0\x10\x10\x02\0\0\0xy",
        ]
        .concat();
        let expected = [
            &b"\x08\0\x08\0CS\x04\0ABCD"[..],
            b"\x08\0\x40\x11SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF",
            b"\x08\0\x50\x11UI\x04\x001.2\0\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0",
            b"\x28\0\x10\0US\x02\0\0\x02",
            b"\x29\0\x10\x10UN\0\0\x02\0\0\0xy",
        ]
        .concat();
        assert_eq!(explicit_little(&header(&implicit, "1.2.840.10008.1.2"), &[]).unwrap(), expected);
        let big = b"\0\x28\0\x10US\0\x02\x02\0\0\x28\x11\x01US\0\x06\x01\0\0\0\0\x10";
        let little = b"\x28\0\x10\0US\x02\0\0\x02\x28\0\x01\x11US\x06\0\0\x01\0\0\x10\0";
        assert_eq!(explicit_little(&header(big, "1.2.840.10008.1.2.2"), &[]).unwrap(), little);
    }

    #[test]
    fn changes_stand_in_their_places() {
        let written = b"\x28\0\x02\0US\x02\0\x03\0\x28\0\x06\0US\x02\0\x01\0\x28\0\x10\0US\x02\0\0\x02";
        let changes = [
            Change::text(Tag(0x0028, 0x2110), VR::CS, "01"),
            Change::text(Tag(0x0028, 0x0004), VR::CS, "RGB"),
            Change::none(Tag(0x0028, 0x0006)),
        ];
        let expected = b"\x28\0\x02\0US\x02\0\x03\0\x28\0\x04\0CS\x04\0RGB \x28\0\x10\0US\x02\0\0\x02\x28\0\x10\x21CS\x02\x0001";
        assert_eq!(explicit_little(&header(written, "1.2.840.10008.1.2.1"), &changes).unwrap(), expected);
    }
}
