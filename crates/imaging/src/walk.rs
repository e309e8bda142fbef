//! The walker: finds the elements, items and fragments of a data set that may be hostile. Iterative, allocating one small record
//! per open level and nothing from declared lengths. It reads no values and knows no limits but depth and count.

use std::ops::Range;

use dicom_core::{
    DataDictionary as _, Tag, VR,
    dictionary::{DataDictionaryEntry as _, VirtualVr},
};
use dicom_dictionary_std::StandardDataDictionary;

use crate::{
    guard::{Flaw, Refusal},
    syntax::Encoding,
};

/// The length that means "until the delimiter" (PS3.5 section 7.1.1).
pub(crate) const UNDEFINED: u32 = u32::MAX;
pub(crate) const ITEM: Tag = Tag(0xFFFE, 0xE000);
pub(crate) const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
pub(crate) const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);
/// Pixel Data.
pub(crate) const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);

/// What stands next in a data set. Offsets count from its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// An element with a plain value, which may not have come in full yet.
    Value(Element),
    /// An element whose value is items.
    Sequence { tag: Tag, start: usize },
    /// An element whose value is fragments.
    Fragments { tag: Tag, vr: VR, start: usize },
    /// An item of a sequence.
    Item,
    /// The end of an item.
    ItemEnd,
    /// A fragment, which may not have come in full yet; the first one of an element is its offset table.
    Fragment(Range<usize>),
    /// The end of a sequence or of fragments.
    SequenceEnd,
}

/// An element with a plain value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) tag: Tag,
    pub(crate) vr: VR,
    pub(crate) start: usize,
    pub(crate) value: Range<usize>,
    pub(crate) encoding: Encoding,
}

/// The next step of a walk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// More bytes are needed, or the data set is over.
    NeedMore,
    /// Something stands here.
    Event(Event),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Root,
    Sequence,
    Item,
    Fragments,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    kind: Kind,
    /// First byte after it; `usize::MAX` when a delimiter ends it.
    end: usize,
    encoding: Encoding,
    /// The encoding of an item's content is guessed at its first element (inside UN of undefined length).
    guess: bool,
}

impl Level {
    const fn is_delimited(&self) -> bool {
        self.end == usize::MAX
    }
}

/// A walk through a data set whose bytes may still be coming.
#[derive(Debug, Clone)]
pub(crate) struct Walker {
    levels: Vec<Level>,
    position: usize,
    depth: usize,
    depth_max: usize,
    elements: usize,
    tag: Tag,
}

impl Walker {
    pub(crate) fn new(encoding: Encoding, depth_max: usize) -> Self {
        let root = Level { kind: Kind::Root, end: usize::MAX, encoding, guess: false };
        Self { levels: vec![root], position: 0, depth: 0, depth_max, elements: 0, tag: Tag(0, 0) }
    }

    /// Elements, items and fragments so far.
    pub(crate) const fn elements(&self) -> usize {
        self.elements
    }

    /// Where the next header stands.
    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    /// The element that was read last.
    pub(crate) const fn tag(&self) -> Tag {
        self.tag
    }

    /// Whether the walk stands between elements of the data set itself.
    pub(crate) const fn is_top(&self) -> bool {
        self.levels.len() == 1
    }

    /// The next step. `bytes` are all bytes of the data set so far.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Step, Refusal> {
        let level = self.level();
        if self.position >= level.end {
            return Ok(Step::Event(self.close(level.kind)));
        }
        match level.kind {
            Kind::Root => self.element(bytes, level),
            Kind::Item => self.element(bytes, level),
            Kind::Sequence => self.item(bytes, level),
            Kind::Fragments => self.fragment(bytes, level),
        }
    }

    fn level(&self) -> Level {
        *self.levels.last().expect("the root is never closed")
    }

    fn close(&mut self, kind: Kind) -> Event {
        self.levels.pop();
        match kind {
            Kind::Root | Kind::Item => Event::ItemEnd,
            Kind::Sequence => {
                self.depth -= 1;
                Event::SequenceEnd
            }
            Kind::Fragments => Event::SequenceEnd,
        }
    }

    fn refuse(&self, flaw: Flaw) -> Refusal {
        Refusal { flaw, tag: self.tag, offset: self.position as u64 }
    }

    /// The end of a value that begins at `start`, if it stays inside its level.
    fn end_of(&self, start: usize, length: u32, level: Level) -> Result<usize, Refusal> {
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        match end {
            Some(end) if end <= level.end => Ok(end),
            Some(_) | None => Err(self.refuse(Flaw::Overrun)),
        }
    }

    fn element(&mut self, bytes: &[u8], mut level: Level) -> Result<Step, Refusal> {
        let Some(head) = bytes.get(self.position..).and_then(<[u8]>::first_chunk::<8>) else {
            return self.short(level);
        };
        if level.guess {
            level.encoding = guess_inside_un(head);
            level.guess = false;
            *self.levels.last_mut().expect("the root is never closed") = level;
        }
        let encoding = level.encoding;
        let tag = Tag(encoding.u16([head[0], head[1]]), encoding.u16([head[2], head[3]]));
        if tag.group() == 0xFFFE {
            return self.delimiter(tag, level);
        }
        self.tag = tag;
        let Some((vr, length, head_bytes)) = read_head(encoding, tag, head, &bytes[self.position..]) else {
            return self.short(level);
        };
        let start = self.position;
        let value = start + head_bytes;
        self.elements += 1;
        if length == UNDEFINED {
            return self.open_undefined(tag, vr, start, value, level);
        }
        let end = self.end_of(value, length, level)?;
        if vr == VR::SQ {
            self.open(Level { kind: Kind::Sequence, end, encoding, guess: false })?;
            self.position = value;
            return Ok(Step::Event(Event::Sequence { tag, start }));
        }
        self.position = end;
        Ok(Step::Event(Event::Value(Element { tag, vr, start, value: value..end, encoding })))
    }

    fn open_undefined(
        &mut self,
        tag: Tag,
        vr: VR,
        start: usize,
        value: usize,
        level: Level,
    ) -> Result<Step, Refusal> {
        let end = usize::MAX;
        let encoding = level.encoding;
        let (kind, encoding, guess) = match vr {
            VR::SQ => (Kind::Sequence, encoding, false),
            // PS3.5 section 6.2.2, note 4: what is inside is implicit little endian; some writers do not know that.
            VR::UN if encoding.explicit => (Kind::Sequence, Encoding::IMPLICIT_LITTLE, true),
            VR::OB | VR::OW | VR::OF | VR::OD | VR::OL | VR::OV if encoding.explicit || tag == PIXEL_DATA => {
                (Kind::Fragments, encoding, false)
            }
            _ if !encoding.explicit => (Kind::Sequence, encoding, false),
            _ => return Err(self.refuse(Flaw::UndefinedLength)),
        };
        if kind == Kind::Fragments {
            self.levels.push(Level { kind, end, encoding, guess });
            self.position = value;
            return Ok(Step::Event(Event::Fragments { tag, vr, start }));
        }
        self.open(Level { kind, end, encoding, guess })?;
        self.position = value;
        Ok(Step::Event(Event::Sequence { tag, start }))
    }

    fn open(&mut self, level: Level) -> Result<(), Refusal> {
        if self.depth >= self.depth_max {
            return Err(self.refuse(Flaw::TooDeep));
        }
        self.depth += 1;
        self.levels.push(level);
        Ok(())
    }

    /// A delimiter where an element could stand.
    fn delimiter(&mut self, tag: Tag, level: Level) -> Result<Step, Refusal> {
        if tag != ITEM_END || level.kind != Kind::Item {
            return Err(self.refuse(Flaw::StrayDelimiter));
        }
        self.position += 8;
        if level.is_delimited() {
            return Ok(Step::Event(self.close(Kind::Item)));
        }
        // An end mark inside an item of defined length: some writers give both.
        if self.position < level.end {
            return Err(self.refuse(Flaw::StrayDelimiter));
        }
        Ok(Step::Event(self.close(Kind::Item)))
    }

    fn item(&mut self, bytes: &[u8], level: Level) -> Result<Step, Refusal> {
        let Some(head) = bytes.get(self.position..).and_then(<[u8]>::first_chunk::<8>) else {
            return self.short(level);
        };
        let (tag, length) = item_head(level.encoding, head);
        match tag {
            ITEM => {
                let start = self.position + 8;
                let end = if length == UNDEFINED { usize::MAX } else { self.end_of(start, length, level)? };
                self.position = start;
                self.elements += 1;
                self.levels.push(Level { kind: Kind::Item, end, ..level });
                Ok(Step::Event(Event::Item))
            }
            SEQUENCE_END => {
                self.position += 8;
                if !level.is_delimited() && self.position < level.end {
                    return Err(self.refuse(Flaw::StrayDelimiter));
                }
                Ok(Step::Event(self.close(Kind::Sequence)))
            }
            _ => Err(self.refuse(Flaw::NoItem)),
        }
    }

    fn fragment(&mut self, bytes: &[u8], level: Level) -> Result<Step, Refusal> {
        let Some(head) = bytes.get(self.position..).and_then(<[u8]>::first_chunk::<8>) else {
            return self.short(level);
        };
        let (tag, length) = item_head(level.encoding, head);
        match tag {
            ITEM if length != UNDEFINED => {
                let start = self.position + 8;
                let end = self.end_of(start, length, level)?;
                self.position = end;
                self.elements += 1;
                Ok(Step::Event(Event::Fragment(start..end)))
            }
            SEQUENCE_END => {
                self.position += 8;
                Ok(Step::Event(self.close(Kind::Fragments)))
            }
            _ => Err(self.refuse(Flaw::NoItem)),
        }
    }

    /// A header that has not come in full. Where its level must end before it could, it never will.
    fn short(&self, level: Level) -> Result<Step, Refusal> {
        if !level.is_delimited() && level.end - self.position < 8 {
            return Err(self.refuse(Flaw::Overrun));
        }
        Ok(Step::NeedMore)
    }
}

pub(crate) fn item_head(encoding: Encoding, head: &[u8; 8]) -> (Tag, u32) {
    let tag = Tag(encoding.u16([head[0], head[1]]), encoding.u16([head[2], head[3]]));
    (tag, encoding.u32([head[4], head[5], head[6], head[7]]))
}

/// Value representation, length and size of an element's header; `None` when the header has not come in full.
pub(crate) fn read_head(
    encoding: Encoding,
    tag: Tag,
    head: &[u8; 8],
    bytes: &[u8],
) -> Option<(VR, u32, usize)> {
    let word = encoding.u32([head[4], head[5], head[6], head[7]]);
    if !encoding.explicit {
        return Some((implicit_vr(tag), word, 8));
    }
    let letters = [head[4], head[5]];
    // No letters where a VR should stand: some writers leave one element implicit in an explicit data set.
    if !letters.iter().all(u8::is_ascii_uppercase) {
        return Some((implicit_vr(tag), word, 8));
    }
    let vr = VR::from_binary(letters);
    if vr.is_some_and(is_short) {
        return Some((vr?, u32::from(encoding.u16([head[6], head[7]])), 8));
    }
    // PS3.5 section 7.1.2: every VR that is not one of the short ones has 32 bits of length, those to come included.
    let head = bytes.first_chunk::<12>()?;
    let length = encoding.u32([head[8], head[9], head[10], head[11]]);
    Some((vr.unwrap_or(VR::UN), length, 12))
}

/// Whether a VR has 16 bits of length (PS3.5 section 7.1.2).
pub(crate) const fn is_short(vr: VR) -> bool {
    !matches!(
        vr,
        VR::OB
            | VR::OD
            | VR::OF
            | VR::OL
            | VR::OV
            | VR::OW
            | VR::SQ
            | VR::SV
            | VR::UC
            | VR::UN
            | VR::UR
            | VR::UT
            | VR::UV
    )
}

/// The value representation that the dictionary gives (PS3.6), where none is written.
pub(crate) fn implicit_vr(tag: Tag) -> VR {
    let Tag(group, element) = tag;
    if element == 0 {
        return VR::UL;
    }
    if group % 2 == 1 {
        return if (0x0010..=0x00FF).contains(&element) { VR::LO } else { VR::UN };
    }
    StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed())
}

/// The same for a value that has a length, with the choices that the dictionary leaves made by whether samples are signed. What would be
/// a sequence stays what it is.
pub(crate) fn implicit_value_vr(tag: Tag, signed: bool) -> VR {
    match StandardDataDictionary.by_tag(tag).map(|entry| entry.vr()) {
        Some(VirtualVr::Xs) if signed => VR::SS,
        Some(VirtualVr::Lt) => VR::OW,
        Some(VirtualVr::Exact(VR::SQ)) => VR::UN,
        Some(_) | None => implicit_vr(tag),
    }
}

/// Bytes of one number of a value representation whose values are numbers.
pub(crate) const fn number_bytes(vr: VR) -> Option<usize> {
    match vr {
        VR::AT | VR::OW | VR::SS | VR::US => Some(2),
        VR::FL | VR::OF | VR::OL | VR::SL | VR::UL => Some(4),
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => Some(8),
        _ => None,
    }
}

/// How the content of a sequence in a UN of undefined length is written: as the standard says, or explicit all the same, which shows
/// in a VR where an implicit length of more than 16 000 bytes would stand.
pub(crate) fn guess_inside_un(head: &[u8; 8]) -> Encoding {
    match VR::from_binary([head[4], head[5]]) {
        Some(_) => Encoding::EXPLICIT_LITTLE,
        None => Encoding::IMPLICIT_LITTLE,
    }
}
