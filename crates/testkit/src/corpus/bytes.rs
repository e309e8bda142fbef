//! Data sets written by hand, with whatever lengths are claimed. It checks nothing: that is the point.

use std::collections::BTreeMap;

/// The length that means "until the delimiter".
pub const UNDEFINED: u32 = u32::MAX;
/// Item (FFFE,E000).
pub const ITEM: u16 = 0xE000;
/// Item Delimitation Item (FFFE,E00D).
pub const ITEM_END: u16 = 0xE00D;
/// Sequence Delimitation Item (FFFE,E0DD).
pub const SEQUENCE_END: u16 = 0xE0DD;
/// Pixel Data.
pub const PIXELS: (u16, u16) = (0x7FE0, 0x0010);
/// CT Image Storage.
pub const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Implicit VR little endian.
    Implicit,
    /// Explicit VR little endian.
    Explicit,
    /// Explicit VR big endian.
    Big,
}

impl Form {
    /// Its transfer syntax UID.
    #[must_use]
    pub const fn uid(self) -> &'static str {
        match self {
            Self::Implicit => "1.2.840.10008.1.2",
            Self::Explicit => "1.2.840.10008.1.2.1",
            Self::Big => "1.2.840.10008.1.2.2",
        }
    }

    fn u16(self, number: u16) -> [u8; 2] {
        match self {
            Self::Implicit | Self::Explicit => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        match self {
            Self::Implicit | Self::Explicit => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }

    /// An element that claims a length.
    #[must_use]
    pub fn claiming(self, tag: (u16, u16), vr: &str, length: u32, value: &[u8]) -> Vec<u8> {
        let mut bytes = [self.u16(tag.0), self.u16(tag.1)].concat();
        match self {
            Self::Implicit => bytes.extend(self.u32(length)),
            Self::Explicit | Self::Big if is_long(vr) => {
                bytes.extend(vr.bytes().chain([0, 0]));
                bytes.extend(self.u32(length));
            }
            Self::Explicit | Self::Big => {
                bytes.extend(vr.bytes());
                bytes.extend(self.u16(length.min(0xFFFF) as u16));
            }
        }
        bytes.extend(value);
        bytes
    }

    /// An element, padded to an even length.
    #[must_use]
    pub fn element(self, tag: (u16, u16), vr: &str, value: &[u8]) -> Vec<u8> {
        let mut value = value.to_vec();
        if value.len() % 2 == 1 {
            value.push(if vr == "UI" || vr == "OB" || vr == "UN" { 0 } else { b' ' });
        }
        self.claiming(tag, vr, value.len() as u32, &value)
    }

    /// An item or delimiter.
    #[must_use]
    pub fn item(self, element: u16, length: u32) -> Vec<u8> {
        [&self.u16(0xFFFE)[..], &self.u16(element), &self.u32(length)].concat()
    }

    /// Sequences inside each other, each with one item, none of them closed.
    #[must_use]
    pub fn nested(self, tag: (u16, u16), vr: &str, depth: usize, length: u32) -> Vec<u8> {
        let one = [self.claiming(tag, vr, length, &[]), self.item(ITEM, length)].concat();
        one.repeat(depth)
    }

    /// The ends of as many sequences and items.
    #[must_use]
    pub fn closing(self, depth: usize) -> Vec<u8> {
        [self.item(ITEM_END, 0), self.item(SEQUENCE_END, 0)].concat().repeat(depth)
    }
}

fn is_long(vr: &str) -> bool {
    matches!(vr, "OB" | "OD" | "OF" | "OL" | "OV" | "OW" | "SQ" | "SV" | "UC" | "UN" | "UR" | "UT" | "UV")
}

/// A data set that can be spoiled in many ways.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// How it is written.
    pub form: Form,
    elements: BTreeMap<(u16, u16), Vec<u8>>,
    tail: Vec<u8>,
}

impl DataSet {
    /// The identifiers of the instance with this number.
    #[must_use]
    pub fn identifiers(form: Form, number: u32) -> Self {
        let (instance, study) = (instance_uid(number), format!("2.25.7700.{number}"));
        Self { form, elements: BTreeMap::new(), tail: Vec::new() }
            .with((0x0008, 0x0016), "UI", CT.as_bytes())
            .with((0x0008, 0x0018), "UI", instance.as_bytes())
            .with((0x0008, 0x0060), "CS", b"CT")
            .with((0x0010, 0x0010), "PN", b"Hostile^Case")
            .with((0x0010, 0x0020), "LO", format!("H{number}").as_bytes())
            .with((0x0020, 0x000D), "UI", study.as_bytes())
            .with((0x0020, 0x000E), "UI", format!("{study}.1").as_bytes())
    }

    /// A picture of 8 by 8 pixels.
    #[must_use]
    pub fn image(form: Form, number: u32) -> Self {
        let short = |number: u16| form.u16(number).to_vec();
        Self::identifiers(form, number)
            .with((0x0028, 0x0002), "US", &short(1))
            .with((0x0028, 0x0004), "CS", b"MONOCHROME2")
            .with((0x0028, 0x0010), "US", &short(8))
            .with((0x0028, 0x0011), "US", &short(8))
            .with((0x0028, 0x0100), "US", &short(16))
            .with((0x0028, 0x0101), "US", &short(12))
            .with((0x0028, 0x0102), "US", &short(11))
            .with((0x0028, 0x0103), "US", &short(0))
            .with(PIXELS, "OW", &[7; 128])
    }

    /// With an element, in the place of one with the same tag.
    #[must_use]
    pub fn with(self, tag: (u16, u16), vr: &str, value: &[u8]) -> Self {
        let bytes = self.form.element(tag, vr, value);
        self.raw(tag, bytes)
    }

    /// With a number of 16 bits.
    #[must_use]
    pub fn short(self, tag: (u16, u16), number: u16) -> Self {
        let value = self.form.u16(number);
        self.with(tag, "US", &value)
    }

    /// With an element that claims a length.
    #[must_use]
    pub fn claiming(self, tag: (u16, u16), vr: &str, length: u32, value: &[u8]) -> Self {
        let bytes = self.form.claiming(tag, vr, length, value);
        self.raw(tag, bytes)
    }

    /// With bytes where an element belongs.
    #[must_use]
    pub fn raw(mut self, tag: (u16, u16), bytes: Vec<u8>) -> Self {
        self.elements.insert(tag, bytes);
        self
    }

    /// Without an element.
    #[must_use]
    pub fn without(mut self, tag: (u16, u16)) -> Self {
        self.elements.remove(&tag);
        self
    }

    /// With bytes behind the last element.
    #[must_use]
    pub fn tail(mut self, bytes: Vec<u8>) -> Self {
        self.tail = bytes;
        self
    }

    /// The elements in the order of their tags, each whole.
    #[must_use]
    pub fn pieces(&self) -> Vec<Vec<u8>> {
        self.elements.values().cloned().collect()
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.elements.values().flatten().copied().collect();
        bytes.extend(&self.tail);
        bytes
    }
}

/// The SOP Instance UID of the instance with this number.
#[must_use]
pub fn instance_uid(number: u32) -> String {
    format!("2.25.7700.{number}.1.1")
}

/// The head of a Part 10 file: preamble and a file meta that says this.
#[must_use]
pub fn file_head(sop_class: &str, sop_instance: &str, transfer_syntax: &str) -> Vec<u8> {
    let form = Form::Explicit;
    let mut meta = form.element((2, 1), "OB", &[0, 1]);
    meta.extend(form.element((2, 2), "UI", sop_class.as_bytes()));
    meta.extend(form.element((2, 3), "UI", sop_instance.as_bytes()));
    meta.extend(form.element((2, 0x10), "UI", transfer_syntax.as_bytes()));
    let length = form.element((2, 0), "UL", &(meta.len() as u32).to_le_bytes());
    [&[0; 128][..], b"DICM", &length, &meta].concat()
}
