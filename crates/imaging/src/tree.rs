//! A guarded header as an object of dicom-object: every element, sequences included, texts in UTF-8. For what needs the whole header (DICOM
//! JSON, structured reports); [`crate::header`] is for the way in.

use dicom_core::{
    DataElement, Length, PrimitiveValue, Tag, VR,
    value::{C, DataSetSequence, PixelFragmentSequence, Value},
};
use dicom_object::InMemDicomObject;
use domain::text::CharacterSetRule;

use crate::{
    guard::{DEPTH_MAX, Flaw, GuardedHeader, Refusal},
    syntax::Encoding,
    text::CharacterSets,
    value,
    walk::{Element, Event, Step, Walker, implicit_value_vr},
};

/// A data set in memory.
pub type Tree = InMemDicomObject;

/// Most items of a header that is made a tree, 4 KiB each in memory: an enhanced image of 1 300 frames has about as many.
pub const ITEMS_MAX: usize = 16_000;
/// Most values of a header that is made a tree, binary ones not counted; such an enhanced image has about 300 000.
pub const VALUES_MAX: usize = 600_000;

/// Specific Character Set.
const CHARACTER_SET: Tag = Tag(0x0008, 0x0005);
/// Pixel Representation, which says whether values of `US or SS` are signed.
const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);

/// Reads every element of a guarded header. Group lengths are left out; numbers in strings become numbers where they are some; values of
/// known elements that a middleman marked UN get their own value representation back (PS3.5 section 6.2.2).
///
/// # Errors
/// When there are more items or values than a tree should have. Otherwise never for a header from [`crate::guard`]; the walk is the same.
pub fn read(header: &GuardedHeader) -> Result<Tree, Refusal> {
    read_under(header, None)
}

/// Reads every element of a guarded header whose device has a rule about the character set of its texts.
///
/// # Errors
/// As [`read`].
pub fn read_under(header: &GuardedHeader, rule: Option<&CharacterSetRule>) -> Result<Tree, Refusal> {
    let mut builder = Builder::new(header, rule);
    let mut walker = Walker::new(header.encoding, DEPTH_MAX);
    while let Step::Event(event) = walker.next(&header.bytes)? {
        builder.take(event);
        if builder.items > ITEMS_MAX || builder.values > VALUES_MAX {
            let offset = walker.position() as u64;
            return Err(Refusal { flaw: Flaw::TooManyElements, tag: walker.tag(), offset });
        }
    }
    Ok(builder.finish())
}

/// What is open while reading.
enum Open {
    Item(Tree, CharacterSets),
    Sequence(Tag, Vec<Tree>),
    Fragments(Tag, VR, Vec<Vec<u8>>),
}

struct Builder<'a> {
    header: &'a GuardedHeader,
    rule: Option<&'a CharacterSetRule>,
    open: Vec<Open>,
    signed: bool,
    items: usize,
    values: usize,
}

impl<'a> Builder<'a> {
    fn new(header: &'a GuardedHeader, rule: Option<&'a CharacterSetRule>) -> Self {
        let root = Open::Item(Tree::new_empty(), CharacterSets::under(None, rule));
        Self { header, rule, open: vec![root], signed: false, items: 0, values: 0 }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Value(element) => self.value(&element),
            Event::Sequence { tag, .. } => self.open.push(Open::Sequence(tag, Vec::new())),
            Event::Fragments { tag, vr, .. } => self.open.push(Open::Fragments(tag, vr, Vec::new())),
            Event::Item => {
                self.items += 1;
                let sets = self.sets().clone();
                self.open.push(Open::Item(Tree::new_empty(), sets));
            }
            Event::Fragment(range) => {
                let bytes = self.header.bytes.get(range).unwrap_or_default().to_vec();
                if let Some(Open::Fragments(_, _, fragments)) = self.open.last_mut() {
                    fragments.push(bytes);
                }
            }
            Event::ItemEnd | Event::SequenceEnd => self.close(),
        }
    }

    /// The character sets in force: those of the innermost item that names some.
    fn sets(&self) -> &CharacterSets {
        let named = self.open.iter().rev().find_map(|open| match open {
            Open::Item(_, sets) => Some(sets),
            Open::Sequence(..) | Open::Fragments(..) => None,
        });
        named.expect("the root is an item and is never closed")
    }

    fn close(&mut self) {
        let Some(done) = self.open.pop() else { return };
        match (done, self.open.last_mut()) {
            (Open::Item(item, _), Some(Open::Sequence(_, items))) => items.push(item),
            (Open::Sequence(tag, items), Some(Open::Item(parent, _))) => {
                let items: C<Tree> = items.into();
                parent.put(DataElement::new(tag, VR::SQ, DataSetSequence::new(items, Length::UNDEFINED)));
            }
            (Open::Fragments(tag, vr, fragments), Some(Open::Item(parent, _))) => {
                let fragments: C<Vec<u8>> = fragments.into_iter().skip(1).collect();
                let value = PixelFragmentSequence::new_fragments(fragments);
                parent.put(DataElement::new(tag, vr, Value::PixelSequence(value)));
            }
            // The walker opens items in sequences and sequences in items.
            (done, _) => self.open.push(done),
        }
    }

    fn value(&mut self, element: &Element) {
        let Some(bytes) = self.header.bytes.get(element.value.clone()) else { return };
        if element.tag.element() == 0 {
            return;
        }
        let (vr, encoding) = self.representation(element);
        if element.tag == PIXEL_REPRESENTATION {
            self.signed = value::unsigned(bytes, VR::US, encoding) == Some(1);
        }
        let sets = if element.tag == CHARACTER_SET {
            CharacterSets::under(Some(bytes), self.rule)
        } else {
            self.sets().clone()
        };
        let value = if element.tag == CHARACTER_SET {
            PrimitiveValue::Strs(C::from_elem("ISO_IR 192".to_owned(), 1))
        } else {
            primitive(bytes, vr, encoding, &sets)
        };
        let is_binary = matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN);
        self.values += if is_binary { 1 } else { value.multiplicity() as usize };
        let Some(Open::Item(parent, in_force)) = self.open.last_mut() else { return };
        if element.tag == CHARACTER_SET {
            *in_force = sets;
        }
        parent.put(DataElement::new(element.tag, vr, value));
    }

    /// How a value is to be read: by the VR that stands there or that the dictionary gives.
    fn representation(&self, element: &Element) -> (VR, Encoding) {
        let written = element.encoding.explicit && element.vr != VR::UN;
        if written {
            return (element.vr, element.encoding);
        }
        let encoding = if element.encoding.explicit { Encoding::IMPLICIT_LITTLE } else { element.encoding };
        (implicit_value_vr(element.tag, self.signed), encoding)
    }

    fn finish(mut self) -> Tree {
        while self.open.len() > 1 {
            self.close();
        }
        match self.open.pop() {
            Some(Open::Item(root, _)) => root,
            Some(Open::Sequence(..) | Open::Fragments(..)) | None => Tree::new_empty(),
        }
    }
}

/// A value by its value representation. What does not fit (a US of three bytes) loses its incomplete rest.
fn primitive(bytes: &[u8], vr: VR, encoding: Encoding, sets: &CharacterSets) -> PrimitiveValue {
    if bytes.is_empty() {
        return PrimitiveValue::Empty;
    }
    macro_rules! numbers {
        ($variant:ident, $type:ty) => {{
            let read = |bytes: &[u8]| {
                let bytes = bytes.try_into().expect("chunks of the type's size");
                if encoding.big_endian {
                    <$type>::from_be_bytes(bytes)
                } else {
                    <$type>::from_le_bytes(bytes)
                }
            };
            PrimitiveValue::$variant(bytes.chunks_exact(size_of::<$type>()).map(read).collect())
        }};
    }
    match vr {
        VR::US | VR::OW => numbers!(U16, u16),
        VR::SS => numbers!(I16, i16),
        VR::UL | VR::OL => numbers!(U32, u32),
        VR::SL => numbers!(I32, i32),
        VR::UV | VR::OV => numbers!(U64, u64),
        VR::SV => numbers!(I64, i64),
        VR::FL | VR::OF => numbers!(F32, f32),
        VR::FD | VR::OD => numbers!(F64, f64),
        VR::AT => {
            let tag = |pair: &[u8]| Tag(encoding.u16([pair[0], pair[1]]), encoding.u16([pair[2], pair[3]]));
            PrimitiveValue::Tags(bytes.chunks_exact(4).map(tag).collect())
        }
        VR::OB | VR::UN | VR::SQ => PrimitiveValue::U8(C::from_slice(bytes)),
        VR::DS => decimals(bytes).unwrap_or_else(|| strings(bytes, vr, sets)),
        VR::IS => integers(bytes).unwrap_or_else(|| strings(bytes, vr, sets)),
        VR::LT | VR::ST | VR::UT | VR::UR => {
            let text = sets.decode(bytes, b"");
            let text = text.trim_end_matches([' ', '\0']);
            if text.is_empty() { PrimitiveValue::Empty } else { PrimitiveValue::Str(text.to_owned()) }
        }
        VR::AE | VR::AS | VR::CS | VR::DA | VR::DT | VR::LO | VR::PN | VR::SH | VR::TM | VR::UC | VR::UI => {
            strings(bytes, vr, sets)
        }
    }
}

fn strings(bytes: &[u8], vr: VR, sets: &CharacterSets) -> PrimitiveValue {
    let delimiters: &[u8] = if vr == VR::PN { b"^=" } else { b"" };
    let text = sets.decode(bytes, delimiters);
    let values: C<String> = text.split('\\').map(|part| value::trim(part).to_owned()).collect();
    if values.iter().all(String::is_empty) { PrimitiveValue::Empty } else { PrimitiveValue::Strs(values) }
}

fn decimals(bytes: &[u8]) -> Option<PrimitiveValue> {
    let numbers: Option<C<f64>> = value::decimals(bytes).into_iter().collect();
    numbers.map(PrimitiveValue::F64)
}

fn integers(bytes: &[u8]) -> Option<PrimitiveValue> {
    let text = std::str::from_utf8(bytes).ok()?;
    let number = |part: &str| value::trim(part).trim().parse::<i32>().ok();
    text.split('\\').map(number).collect::<Option<C<i32>>>().map(PrimitiveValue::I32)
}

/// The first decimal of an element of a tree.
pub(crate) fn decimal(tree: &Tree, tag: Tag) -> Option<f64> {
    decimals_of(tree, tag).first().copied()
}

/// All decimals of an element of a tree; none when one of them is no number.
pub(crate) fn decimals_of(tree: &Tree, tag: Tag) -> Vec<f64> {
    tree.get(tag).and_then(|element| element.to_multi_float64().ok()).unwrap_or_default()
}

/// The first number of an element of a tree, as a count.
pub(crate) fn count(tree: &Tree, tag: Tag) -> Option<u32> {
    tree.get(tag).and_then(|element| element.to_int::<u32>().ok())
}

/// The texts of an element of a tree, without empty ones.
pub(crate) fn texts(tree: &Tree, tag: Tag) -> Vec<String> {
    let values =
        tree.get(tag).and_then(|element| element.value().primitive().map(PrimitiveValue::to_multi_str));
    let values = values.map(|values| values.into_owned()).unwrap_or_default();
    values.into_iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

/// The first text of an element of a tree.
pub(crate) fn text(tree: &Tree, tag: Tag) -> Option<String> {
    texts(tree, tag).into_iter().next()
}

/// The items of a sequence; none when there is no such sequence.
pub(crate) fn items(tree: &Tree, tag: Tag) -> &[Tree] {
    tree.get(tag).and_then(|element| element.value().items()).unwrap_or_default()
}
