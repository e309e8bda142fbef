//! Data sets made from a model that came as text ([`crate::json_in`], [`crate::xml_in`]): written as explicit VR little endian while they
//! are read, in one buffer, with places left for bulk data. Not for data sets that came as bytes: those are never written anew.
//!
//! Everything is bounded: depth, elements, values, bytes, and the memory of all such readings together, which they share with the large
//! headers of [`crate::guard`]. A tree of dicom-object would take 4 KiB an item, and has no places for bulk data.

use std::{fmt, str::FromStr as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dicom_core::{Tag, VR};

use crate::{
    guard::{GuardLimits, Lease},
    tree::VALUES_MAX,
    value::trim,
    walk::{PIXEL_DATA, is_short},
};

/// Most bulk data that the metadata of one request may name.
pub const BULK_MAX: usize = 50_000;
/// Longest BulkDataURI, in bytes.
pub const URI_BYTES_MAX: usize = 2 * 1024;

const CHARACTER_SET: Tag = Tag(0x0008, 0x0005);
const SOP_CLASS: Tag = Tag(0x0008, 0x0016);
const SOP_INSTANCE: Tag = Tag(0x0008, 0x0018);
const FRAMES: Tag = Tag(0x0028, 0x0008);
/// Extended Offset Table and its lengths, which say where frames stand among fragments that are not ours.
const OFFSET_TABLES: [Tag; 2] = [Tag(0x7FE0, 0x0001), Tag(0x7FE0, 0x0002)];
/// Longest value of a VR with 16 bits of length. What is longer is written as UN (PS3.5 section 6.2.2, note 2).
const SHORT_BYTES_MAX: usize = 0xFFFE;
/// Most characters of a decimal string (PS3.5 table 6.2-1).
const DECIMAL_CHARS_MAX: usize = 16;
/// Items of a sequence, and fragments of pixel data, begin so in little endian.
const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
const ITEM_END: [u8; 4] = [0xFE, 0xFF, 0x0D, 0xE0];
const SEQUENCE_END: [u8; 4] = [0xFE, 0xFF, 0xDD, 0xE0];
const UNDEFINED: [u8; 4] = [0xFF; 4];

/// Why a text is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// It is no JSON or XML.
    Syntax(String),
    /// It is not of the model, or names what the model cannot hold.
    Model(&'static str),
    /// It is larger than it may be.
    Limit(&'static str),
    /// Too much is being read at this moment; later it may be taken.
    Busy,
}

/// What is wrong with a text, and where. Holds no values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What is wrong.
    pub flaw: Flaw,
    /// Where: object, elements, line and column.
    pub place: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.flaw {
            Flaw::Syntax(what) => f.write_str(what)?,
            Flaw::Model(what) | Flaw::Limit(what) => f.write_str(what)?,
            Flaw::Busy => f.write_str("too much metadata is being read at this moment")?,
        }
        write!(f, " at {}", self.place)
    }
}

impl std::error::Error for Unreadable {}

/// One data set, but for its bulk data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// Explicit VR little endian, without the elements of `bulk`.
    pub bytes: Vec<u8>,
    /// What is missing, in the order of its places.
    pub bulk: Vec<Bulk>,
    /// Its SOP class, as it was given.
    pub sop_class: Option<String>,
    /// Its SOP instance, as it was given.
    pub sop_instance: Option<String>,
    /// How many frames it says it has.
    pub frames: Option<u32>,
}

/// An element whose value stands elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulk {
    /// Where the whole element belongs in the bytes.
    pub at: usize,
    /// Which.
    pub tag: Tag,
    /// Its value representation.
    pub vr: VR,
    /// Where the value stands.
    pub uri: String,
    /// What it is to the data set.
    pub role: Role,
}

/// What bulk data are to a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A value.
    Value,
    /// Pixel Data of the data set itself.
    Pixels,
    /// A table of where frames stood among fragments that we do not get; it is left out.
    OffsetTable,
}

/// The head of an element with 32 bits of length, as it stands before bulk data.
#[must_use]
pub fn long_head(tag: Tag, vr: VR, length: u32) -> [u8; 12] {
    let mut head = [0; 12];
    head[..2].copy_from_slice(&tag.group().to_le_bytes());
    head[2..4].copy_from_slice(&tag.element().to_le_bytes());
    head[4..6].copy_from_slice(vr.to_string().as_bytes());
    head[8..].copy_from_slice(&length.to_le_bytes());
    head
}

/// The head of an element with a value of a length, however the VR has it written; too long for its VR, it is UN.
#[must_use]
pub fn head(tag: Tag, vr: VR, length: u32) -> Vec<u8> {
    match u16::try_from(length).ok().filter(|_| is_short(vr)) {
        Some(short) => {
            let mut head = long_head(tag, vr, 0)[..8].to_vec();
            head[6..].copy_from_slice(&short.to_le_bytes());
            head
        }
        None => long_head(tag, if is_short(vr) { VR::UN } else { vr }, length).to_vec(),
    }
}

/// The byte that makes a value even.
#[must_use]
pub const fn padding(vr: VR) -> u8 {
    match vr {
        VR::AE
        | VR::AS
        | VR::CS
        | VR::DA
        | VR::DS
        | VR::DT
        | VR::IS
        | VR::LO
        | VR::LT
        | VR::PN
        | VR::SH
        | VR::ST
        | VR::TM
        | VR::UC
        | VR::UR
        | VR::UT => b' ',
        _ => 0,
    }
}

/// Reads the metadata of one request. What it holds counts as large headers do, until it is dropped.
#[derive(Debug)]
pub struct Reading {
    pub(crate) limits: GuardLimits,
    /// Most objects in all.
    pub(crate) objects_max: usize,
    pub(crate) objects: usize,
    bulk: usize,
    lease: Lease,
    held: usize,
}

impl Reading {
    /// Nothing read yet.
    #[must_use]
    pub fn new(limits: GuardLimits, objects_max: usize) -> Self {
        Self { limits, objects_max, objects: 0, bulk: 0, lease: Lease::default(), held: 0 }
    }

    /// Makes room for text that is coming in; whether there is some.
    #[must_use]
    pub fn hold(&mut self, bytes: usize) -> bool {
        self.held += bytes;
        self.lease.cover(self.held)
    }

    /// Another object begins.
    pub(crate) fn another(&mut self) -> Result<(), Flaw> {
        self.objects += 1;
        if self.objects > self.objects_max {
            return Err(Flaw::Limit("there are too many objects"));
        }
        Ok(())
    }
}

/// Values of an element, before it is known what they are to become.
#[derive(Debug, Default)]
pub(crate) struct Values {
    text: String,
    values: Vec<Given>,
}

/// One value as it was given. Small, since there may be hundreds of thousands.
#[derive(Debug, Clone, Copy)]
enum Given {
    Null,
    Text {
        start: u32,
        end: u32,
    },
    /// The groups of a name, joined.
    Name {
        start: u32,
        end: u32,
    },
    Signed(i64),
    Unsigned(u64),
    Float(f64),
}

impl Values {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn null(&mut self) {
        self.values.push(Given::Null);
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<(), Flaw> {
        let (start, end) = self.keep(&[text])?;
        self.values.push(Given::Text { start, end });
        Ok(())
    }

    /// The groups of a person name: alphabetic, ideographic, phonetic (PS3.5 section 6.2.1).
    pub(crate) fn name(&mut self, groups: [&str; 3]) -> Result<(), Flaw> {
        if groups.iter().any(|group| group.contains(['=', '\\'])) {
            return Err(Flaw::Model("a group of a name holds = or a backslash"));
        }
        let (start, end) = match groups {
            [a, "", ""] => self.keep(&[a])?,
            [a, i, ""] => self.keep(&[a, "=", i])?,
            [a, i, p] => self.keep(&[a, "=", i, "=", p])?,
        };
        self.values.push(Given::Name { start, end });
        Ok(())
    }

    pub(crate) fn signed(&mut self, number: i64) {
        self.values.push(Given::Signed(number));
    }

    pub(crate) fn unsigned(&mut self, number: u64) {
        self.values.push(Given::Unsigned(number));
    }

    pub(crate) fn float(&mut self, number: f64) {
        self.values.push(Given::Float(number));
    }

    fn keep(&mut self, pieces: &[&str]) -> Result<(u32, u32), Flaw> {
        let offset = |at: usize| u32::try_from(at).map_err(|_| Flaw::Limit("a value is too long"));
        let start = offset(self.text.len())?;
        pieces.iter().for_each(|piece| self.text.push_str(piece));
        Ok((start, offset(self.text.len())?))
    }

    fn slice(&self, start: u32, end: u32) -> &str {
        &self.text[start as usize..end as usize]
    }

    /// The first value as a text; for what names an object.
    pub(crate) fn first(&self) -> Option<String> {
        let text = match *self.values.first()? {
            Given::Text { start, end } | Given::Name { start, end } => {
                trim(self.slice(start, end)).to_owned()
            }
            Given::Signed(number) => number.to_string(),
            Given::Unsigned(number) => number.to_string(),
            Given::Null | Given::Float(_) => return None,
        };
        (!text.is_empty()).then_some(text)
    }
}

/// An element that was written.
#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: Tag,
    start: usize,
    /// The first of the bulk data that belong to it or to what is in it.
    bulk: usize,
}

/// A data set or item that is open.
#[derive(Debug)]
struct OpenSet {
    entries: Vec<Entry>,
    is_sorted: bool,
    start: usize,
    has_character_set: bool,
}

/// Writes one data set.
pub(crate) struct Composer<'r> {
    reading: &'r mut Reading,
    /// Whether numbers may be given as texts, as XML has them.
    takes_texts: bool,
    bytes: Vec<u8>,
    open: Vec<OpenSet>,
    bulk: Vec<Bulk>,
    elements: usize,
    values: usize,
    sop_class: Option<String>,
    sop_instance: Option<String>,
    frames: Option<u32>,
}

impl<'r> Composer<'r> {
    /// A data set whose texts are UTF-8, and which says so whatever it said of itself before (PS3.18 section F.2, PS3.19 section A.1).
    pub(crate) fn new(reading: &'r mut Reading, takes_texts: bool) -> Result<Self, Flaw> {
        reading.another()?;
        let mut composer = Self {
            reading,
            takes_texts,
            bytes: Vec::new(),
            open: Vec::new(),
            bulk: Vec::new(),
            elements: 0,
            values: 0,
            sop_class: None,
            sop_instance: None,
            frames: None,
        };
        composer.open_set();
        composer.character_set()?;
        Ok(composer)
    }

    pub(crate) fn is_root(&self) -> bool {
        self.open.len() == 1
    }

    /// One more value is about to be kept.
    pub(crate) fn count_value(&mut self) -> Result<(), Flaw> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(Flaw::Limit("an object has too many values"));
        }
        Ok(())
    }

    /// An element with values. Group lengths are left out: they would be those of another writing.
    pub(crate) fn values(&mut self, tag: Tag, vr: VR, values: &Values) -> Result<(), Flaw> {
        if tag == CHARACTER_SET {
            return if self.is_root() { self.given_character_set() } else { self.character_set() };
        }
        if self.is_root() {
            match tag {
                SOP_CLASS => self.sop_class = values.first(),
                SOP_INSTANCE => self.sop_instance = values.first(),
                FRAMES => self.frames = values.first().and_then(|text| text.parse().ok()),
                _ => {}
            }
        }
        if tag.element() == 0 {
            return self.count_element();
        }
        let start = self.begin(tag, vr)?;
        write(&mut self.bytes, vr, values, self.takes_texts)?;
        self.end(start, vr)
    }

    /// An element whose value is base64.
    pub(crate) fn inline(&mut self, tag: Tag, vr: VR, base64: &str) -> Result<(), Flaw> {
        if !is_binary(vr) {
            return Err(Flaw::Model("InlineBinary stands at a vr that is not binary"));
        }
        let start = self.begin(tag, vr)?;
        let value = self.bytes.len();
        STANDARD.decode_vec(base64, &mut self.bytes).map_err(|_| Flaw::Model("InlineBinary is no base64"))?;
        if tag == PIXEL_DATA && self.is_root() && self.bytes[value..].starts_with(&ITEM) {
            return Err(Flaw::Model("InlineBinary holds fragments; send each frame as a part of its own"));
        }
        self.end(start, vr)
    }

    /// An element whose value stands elsewhere.
    pub(crate) fn bulk(&mut self, tag: Tag, vr: VR, uri: &str) -> Result<(), Flaw> {
        if vr == VR::SQ {
            return Err(Flaw::Model("a sequence cannot stand elsewhere"));
        }
        if uri.is_empty() || uri.len() > URI_BYTES_MAX {
            return Err(Flaw::Model("a BulkDataURI is empty or too long"));
        }
        if tag == CHARACTER_SET || tag.element() == 0 {
            return Err(Flaw::Model("this element cannot stand elsewhere"));
        }
        self.reading.bulk += 1;
        if self.reading.bulk > BULK_MAX {
            return Err(Flaw::Limit("there are too many bulk data"));
        }
        self.register(tag)?;
        let role = match self.is_root() {
            true if tag == PIXEL_DATA => Role::Pixels,
            true if OFFSET_TABLES.contains(&tag) => Role::OffsetTable,
            _ => Role::Value,
        };
        self.bulk.push(Bulk { at: self.bytes.len(), tag, vr, uri: uri.to_owned(), role });
        self.bound(uri.len() + size_of::<Bulk>())
    }

    pub(crate) fn begin_sequence(&mut self, tag: Tag) -> Result<(), Flaw> {
        if self.open.len() > self.reading.limits.depth {
            return Err(Flaw::Limit("sequences are nested too deeply"));
        }
        self.register(tag)?;
        self.bytes.extend(long_head(tag, VR::SQ, u32::MAX));
        self.bound(0)
    }

    pub(crate) fn end_sequence(&mut self) {
        self.bytes.extend(SEQUENCE_END);
        self.bytes.extend([0; 4]);
    }

    pub(crate) fn begin_item(&mut self) -> Result<(), Flaw> {
        self.count_element()?;
        self.bytes.extend(ITEM);
        self.bytes.extend(UNDEFINED);
        self.open_set();
        self.bound(0)
    }

    pub(crate) fn end_item(&mut self) -> Result<(), Flaw> {
        self.close_set()?;
        self.bytes.extend(ITEM_END);
        self.bytes.extend([0; 4]);
        Ok(())
    }

    /// The data set is complete.
    pub(crate) fn finish(mut self) -> Result<Composed, Flaw> {
        self.close_set()?;
        self.bytes.shrink_to_fit();
        self.reading.held += self.bytes.len();
        Ok(Composed {
            bytes: self.bytes,
            bulk: self.bulk,
            sop_class: self.sop_class,
            sop_instance: self.sop_instance,
            frames: self.frames,
        })
    }

    fn character_set(&mut self) -> Result<(), Flaw> {
        let start = self.begin(CHARACTER_SET, VR::CS)?;
        self.bytes.extend(b"ISO_IR 192");
        self.end(start, VR::CS)
    }

    /// The character set that the root names itself; ours stands there already.
    fn given_character_set(&mut self) -> Result<(), Flaw> {
        self.count_element()?;
        let Some(set) = self.open.last_mut().filter(|set| !set.has_character_set) else {
            return Err(Flaw::Model("an element stands twice"));
        };
        set.has_character_set = true;
        Ok(())
    }

    fn open_set(&mut self) {
        let start = self.bytes.len();
        self.open.push(OpenSet { entries: Vec::new(), is_sorted: true, start, has_character_set: false });
    }

    fn count_element(&mut self) -> Result<(), Flaw> {
        self.elements += 1;
        if self.elements > self.reading.limits.elements {
            return Err(Flaw::Limit("an object has too many elements"));
        }
        Ok(())
    }

    fn register(&mut self, tag: Tag) -> Result<(), Flaw> {
        if tag.group() == 0xFFFE {
            return Err(Flaw::Model("a delimiter stands as an element"));
        }
        self.count_element()?;
        let (start, bulk) = (self.bytes.len(), self.bulk.len());
        let set = self.open.last_mut().expect("elements are written into an open set");
        set.is_sorted &= set.entries.last().is_none_or(|before| before.tag < tag);
        set.entries.push(Entry { tag, start, bulk });
        Ok(())
    }

    fn begin(&mut self, tag: Tag, vr: VR) -> Result<usize, Flaw> {
        self.register(tag)?;
        let start = self.bytes.len();
        self.bytes.extend(head(tag, vr, 0));
        Ok(start)
    }

    /// Makes the value even and writes its length.
    fn end(&mut self, start: usize, vr: VR) -> Result<(), Flaw> {
        let head_bytes = if is_short(vr) { 8 } else { 12 };
        if (self.bytes.len() - start - head_bytes) % 2 == 1 {
            self.bytes.push(padding(vr));
        }
        let length = self.bytes.len() - start - head_bytes;
        let long = u32::try_from(length).map_err(|_| Flaw::Limit("a value is too long"))?;
        match u16::try_from(length).ok().filter(|_| is_short(vr) && length <= SHORT_BYTES_MAX) {
            Some(short) => self.bytes[start + 6..start + 8].copy_from_slice(&short.to_le_bytes()),
            None if is_short(vr) => {
                let unknown = [&b"UN\0\0"[..], &long.to_le_bytes()].concat();
                self.bytes.splice(start + 4..start + 8, unknown);
            }
            None => self.bytes[start + 8..start + 12].copy_from_slice(&long.to_le_bytes()),
        }
        self.bound(0)
    }

    fn bound(&mut self, more: usize) -> Result<(), Flaw> {
        if self.bytes.len() > self.reading.limits.header_bytes {
            return Err(Flaw::Limit("an object has too many bytes without its bulk data"));
        }
        self.reading.held += more;
        if !self.reading.lease.cover(self.reading.held + self.bytes.len()) {
            return Err(Flaw::Busy);
        }
        Ok(())
    }

    /// Puts the elements of a set in the order of their tags (PS3.5 section 7.1), which a JSON object need not have.
    fn close_set(&mut self) -> Result<(), Flaw> {
        let mut set = self.open.pop().expect("a set is closed once");
        if set.is_sorted {
            return Ok(());
        }
        let (bytes_end, bulk_end) = (self.bytes.len(), self.bulk.len());
        let first_bulk = set.entries.first().map_or(bulk_end, |entry| entry.bulk);
        let ends: Vec<(usize, usize)> = set
            .entries
            .iter()
            .skip(1)
            .map(|next| (next.start, next.bulk))
            .chain([(bytes_end, bulk_end)])
            .collect();
        let mut order: Vec<(Entry, (usize, usize))> = set.entries.drain(..).zip(ends).collect();
        order.sort_by_key(|(entry, _)| entry.tag);
        if order.windows(2).any(|pair| pair[0].0.tag == pair[1].0.tag) {
            return Err(Flaw::Model("an element stands twice"));
        }
        let mut bytes = Vec::with_capacity(bytes_end - set.start);
        let mut bulk = Vec::with_capacity(bulk_end - first_bulk);
        for (entry, (end, bulk_until)) in order {
            let moved = set.start + bytes.len();
            for old in &self.bulk[entry.bulk..bulk_until] {
                bulk.push(Bulk { at: old.at - entry.start + moved, ..old.clone() });
            }
            bytes.extend_from_slice(&self.bytes[entry.start..end]);
        }
        self.bytes.truncate(set.start);
        self.bytes.extend(bytes);
        self.bulk.truncate(first_bulk);
        self.bulk.extend(bulk);
        Ok(())
    }
}

/// A value representation by its name, which must be one of PS3.5's.
pub(crate) fn parse_vr(text: &str) -> Result<VR, Flaw> {
    VR::from_str(text).map_err(|_| Flaw::Model("a vr is none of PS3.5's"))
}

/// A tag as eight hexadecimal digits.
pub(crate) fn parse_tag(text: &str) -> Option<Tag> {
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let number = u32::from_str_radix(text, 16).ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of 32 bits")]
    Some(Tag((number >> 16) as u16, number as u16))
}

const fn is_binary(vr: VR) -> bool {
    matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN)
}

/// Writes values as their VR has them.
fn write(bytes: &mut Vec<u8>, vr: VR, values: &Values, takes_texts: bool) -> Result<(), Flaw> {
    // Nothing but nulls is nothing, also for numbers.
    if values.values.iter().all(|value| matches!(value, Given::Null)) && values.len() < 2 {
        return Ok(());
    }
    let numbers = Numbers { values, takes_texts };
    macro_rules! integers {
        ($type:ty) => {
            for value in &values.values {
                let number = numbers.integer(*value)?;
                let number =
                    <$type>::try_from(number).map_err(|_| Flaw::Model("a number is out of range"))?;
                bytes.extend(number.to_le_bytes());
            }
        };
    }
    match vr {
        VR::US => integers!(u16),
        VR::SS => integers!(i16),
        VR::UL => integers!(u32),
        VR::SL => integers!(i32),
        VR::UV => Numbers { takes_texts: true, ..numbers }.each(|numbers, value| {
            let number = u64::try_from(numbers.integer(value)?);
            bytes.extend(number.map_err(|_| Flaw::Model("a number is out of range"))?.to_le_bytes());
            Ok(())
        })?,
        VR::SV => Numbers { takes_texts: true, ..numbers }.each(|numbers, value| {
            let number = i64::try_from(numbers.integer(value)?);
            bytes.extend(number.map_err(|_| Flaw::Model("a number is out of range"))?.to_le_bytes());
            Ok(())
        })?,
        VR::FL => numbers.each(|numbers, value| {
            let wide = numbers.float(value)?;
            #[expect(clippy::cast_possible_truncation, reason = "checked in the next line")]
            let number = wide as f32;
            if wide.is_finite() && !number.is_finite() {
                return Err(Flaw::Model("a number is out of range"));
            }
            bytes.extend(number.to_le_bytes());
            Ok(())
        })?,
        VR::FD => numbers.each(|numbers, value| {
            bytes.extend(numbers.float(value)?.to_le_bytes());
            Ok(())
        })?,
        VR::AT => numbers.each(|numbers, value| {
            let Tag(group, element) = numbers.tag(value)?;
            bytes.extend(group.to_le_bytes());
            bytes.extend(element.to_le_bytes());
            Ok(())
        })?,
        VR::SQ => return Err(Flaw::Model("something that is no item stands in a sequence")),
        VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN => {
            return Err(Flaw::Model("a binary value stands neither as InlineBinary nor as BulkDataURI"));
        }
        VR::LT | VR::ST | VR::UR | VR::UT => match values.values.as_slice() {
            [Given::Text { start, end }] => bytes.extend(values.slice(*start, *end).bytes()),
            [_] => return Err(Flaw::Model("a value is no text")),
            _ => return Err(Flaw::Model("there is more than one value where one may stand")),
        },
        VR::AE
        | VR::AS
        | VR::CS
        | VR::DA
        | VR::DS
        | VR::DT
        | VR::IS
        | VR::LO
        | VR::PN
        | VR::SH
        | VR::TM
        | VR::UC
        | VR::UI => texts(bytes, vr, values)?,
    }
    Ok(())
}

/// Writes values that are separated by backslashes.
fn texts(bytes: &mut Vec<u8>, vr: VR, values: &Values) -> Result<(), Flaw> {
    let begin = bytes.len();
    for (place, value) in values.values.iter().enumerate() {
        if place > 0 {
            bytes.push(b'\\');
        }
        match (*value, vr) {
            (Given::Null, _) => {}
            (Given::Text { start, end }, vr) if vr != VR::PN => {
                let text = values.slice(start, end);
                if text.contains('\\') {
                    return Err(Flaw::Model("a value holds a backslash, which would make it two"));
                }
                bytes.extend(text.bytes());
            }
            (Given::Name { start, end }, VR::PN) => bytes.extend(values.slice(start, end).bytes()),
            (number @ (Given::Signed(_) | Given::Unsigned(_) | Given::Float(_)), VR::IS) => {
                let number = Numbers { values, takes_texts: false }.integer(number)?;
                let number = i32::try_from(number).map_err(|_| Flaw::Model("a number is out of range"))?;
                bytes.extend(number.to_string().bytes());
            }
            (Given::Signed(number), VR::DS) if number.unsigned_abs() < 1_000_000_000_000_000 => {
                bytes.extend(number.to_string().bytes());
            }
            (Given::Unsigned(number), VR::DS) if number < 1_000_000_000_000_000 => {
                bytes.extend(number.to_string().bytes());
            }
            (number @ (Given::Signed(_) | Given::Unsigned(_) | Given::Float(_)), VR::DS) => {
                let number = Numbers { values, takes_texts: false }.float(number)?;
                bytes.extend(decimal(number).ok_or(Flaw::Model("a number is out of range"))?.bytes());
            }
            _ => return Err(Flaw::Model("a value is not of the kind that its vr has")),
        }
    }
    // Empty values alone are no value.
    if bytes[begin..].iter().all(|byte| *byte == b'\\') {
        bytes.truncate(begin);
    }
    Ok(())
}

/// Values that are to be numbers.
#[derive(Clone, Copy)]
struct Numbers<'v> {
    values: &'v Values,
    takes_texts: bool,
}

impl Numbers<'_> {
    fn each(self, mut write: impl FnMut(Self, Given) -> Result<(), Flaw>) -> Result<(), Flaw> {
        self.values.values.iter().try_for_each(|value| write(self, *value))
    }

    fn integer(self, value: Given) -> Result<i128, Flaw> {
        let number = match value {
            Given::Signed(number) => Some(number.into()),
            Given::Unsigned(number) => Some(number.into()),
            // 5.0 and 1e3 are whole; beyond 2^53 nobody knows which one was meant.
            #[expect(clippy::cast_possible_truncation, reason = "whole and within what an f64 holds exactly")]
            Given::Float(number) => (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i128),
            Given::Text { start, end } if self.takes_texts => {
                trim(self.values.slice(start, end)).parse().ok()
            }
            Given::Text { .. } | Given::Name { .. } | Given::Null => None,
        };
        number.ok_or(Flaw::Model("a value is no whole number"))
    }

    fn float(self, value: Given) -> Result<f64, Flaw> {
        let number = match value {
            #[expect(clippy::cast_precision_loss, reason = "a floating point value is what is asked for")]
            Given::Signed(number) => Some(number as f64),
            #[expect(clippy::cast_precision_loss, reason = "a floating point value is what is asked for")]
            Given::Unsigned(number) => Some(number as f64),
            Given::Float(number) => Some(number),
            Given::Text { start, end } => match trim(self.values.slice(start, end)) {
                "NaN" | "nan" => Some(f64::NAN),
                "inf" | "Infinity" | "INF" => Some(f64::INFINITY),
                "-inf" | "-Infinity" | "-INF" => Some(f64::NEG_INFINITY),
                text if self.takes_texts => text.parse::<f64>().ok().filter(|number| number.is_finite()),
                _ => None,
            },
            Given::Name { .. } | Given::Null => None,
        };
        number.ok_or(Flaw::Model("a value is no number"))
    }

    fn tag(self, value: Given) -> Result<Tag, Flaw> {
        let tag = match value {
            Given::Text { start, end } => parse_tag(self.values.slice(start, end)),
            _ => None,
        };
        tag.ok_or(Flaw::Model("a value is no tag of eight hexadecimal digits"))
    }
}

/// A number as a decimal string: the shortest that gives the same number back, or as many digits as fit.
fn decimal(number: f64) -> Option<String> {
    if !number.is_finite() {
        return None;
    }
    let fits = |number: f64| {
        let plain = number.to_string();
        // Thousands of zeros are no shorter way to say a large exponent.
        if plain.len() <= DECIMAL_CHARS_MAX {
            return Some(plain);
        }
        Some(format!("{number:e}")).filter(|text| text.len() <= DECIMAL_CHARS_MAX)
    };
    fits(number).or_else(|| {
        (0..DECIMAL_CHARS_MAX).rev().find_map(|digits| {
            let rounded: f64 = format!("{number:.digits$e}").parse().ok()?;
            fits(rounded)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_into_decimal_strings() {
        for (number, expected) in [
            (5.0, "5"),
            (-0.5, "-0.5"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.3"),
            (1e300, "1e300"),
            (-1.234_567_890_123_456_7e-7, "-1.2345678901e-7"),
            (1.0 / 3.0, "0.33333333333333"),
            (123_456_789_012_345.6, "123456789012346"),
        ] {
            let text = decimal(number).unwrap();
            assert_eq!(text, expected);
            assert_eq!(decimal(text.parse().unwrap()).unwrap(), text, "said again");
        }
        assert_eq!(decimal(f64::NAN), None);
    }
}
