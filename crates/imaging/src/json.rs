//! A header as DICOM JSON (PS3.18 annex F), as WADO-RS metadata has it: texts in UTF-8, large binary values and pixels by reference.

use std::fmt::Write as _;

use dicom_core::{Tag, VR, header::Header as _, value::Value as DicomValue};
use dicom_object::mem::InMemElement;
use domain::text::CharacterSetRule;
use serde_json::{Map, Value, json};

use crate::{
    guard::{GuardedHeader, HeaderEnd, Refusal},
    tree::{self, Tree},
};

/// Binary values of more bytes than this stand as a BulkDataURI.
pub const INLINE_BYTES_MAX: usize = 1024;
/// Rows: an image that has a header without pixels has its pixels behind it.
const ROWS: Tag = Tag(0x0028, 0x0010);
/// Pixel Data.
const PIXELS: &str = "7FE00010";

/// The header as a DICOM JSON object. `bulk_base` is the address below which bulk data are served: an element's address is
/// `BASE/GGGGEEEE`, of one inside a sequence `BASE/GGGGEEEE/ITEM/GGGGEEEE`, items counted from 1; pixels have the address
/// `BASE/7FE00010`.
///
/// # Errors
/// Never for a header from [`crate::guard`].
pub fn metadata(header: &GuardedHeader, bulk_base: &str) -> Result<Map<String, Value>, Refusal> {
    metadata_under(header, None, bulk_base)
}

/// The header of an image whose device has a rule about the character set of its texts.
///
/// # Errors
/// As [`metadata`].
pub fn metadata_under(
    header: &GuardedHeader,
    rule: Option<&CharacterSetRule>,
    bulk_base: &str,
) -> Result<Map<String, Value>, Refusal> {
    let tree = tree::read_under(header, rule)?;
    let mut object = data_set(&tree, bulk_base);
    let pixels = match header.end {
        HeaderEnd::Pixels => true,
        HeaderEnd::Large => tree.get(ROWS).is_some(),
        HeaderEnd::DataSet => false,
    };
    if pixels {
        object
            .insert(PIXELS.to_owned(), json!({ "vr": "OW", "BulkDataURI": format!("{bulk_base}/{PIXELS}") }));
    }
    Ok(object)
}

/// The bytes of a bulk value, little endian, by the path that [`metadata`] gave below its base (`GGGGEEEE`, or `GGGGEEEE/ITEM/GGGGEEEE` and
/// deeper). `None` when there is no such binary value in the header.
///
/// # Errors
/// Never for a header from [`crate::guard`].
pub fn bulk(header: &GuardedHeader, path: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let tree = tree::read(header)?;
    let mut here = &tree;
    let mut parts = path.split('/');
    loop {
        let Some(element) = parts.next().and_then(parse_tag).and_then(|tag| here.get(tag)) else {
            return Ok(None);
        };
        let Some(item) = parts.next() else {
            return Ok(is_binary(element.vr()).then(|| binary(element)).flatten());
        };
        let place = item.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let items = element.value().items().unwrap_or_default();
        match place.and_then(|place| items.get(place)) {
            Some(item) => here = item,
            None => return Ok(None),
        }
    }
}

fn parse_tag(text: &str) -> Option<Tag> {
    if text.len() != 8 || !text.is_ascii() {
        return None;
    }
    let (group, element) = text.split_at(4);
    Some(Tag(u16::from_str_radix(group, 16).ok()?, u16::from_str_radix(element, 16).ok()?))
}

fn data_set(tree: &Tree, base: &str) -> Map<String, Value> {
    let mut object = Map::new();
    for element in tree {
        let Tag(group, number) = element.tag();
        let key = format!("{group:04X}{number:04X}");
        let value = attribute(element, &key, base);
        object.insert(key, value);
    }
    object
}

fn attribute(element: &InMemElement, key: &str, base: &str) -> Value {
    if let Some(items) = element.value().items() {
        let mut values = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            let mut below = String::with_capacity(base.len() + 16);
            let _ = write!(below, "{base}/{key}/{}", place + 1);
            values.push(Value::Object(data_set(item, &below)));
        }
        return if values.is_empty() {
            json!({ "vr": "SQ" })
        } else {
            json!({ "vr": "SQ", "Value": values })
        };
    }
    let vr = element.vr();
    if is_binary(vr) && binary_len(element) > INLINE_BYTES_MAX {
        return json!({ "vr": vr.to_string(), "BulkDataURI": format!("{base}/{key}") });
    }
    // Nothing in a tree of ours is beyond what the serializer can say.
    let mut value = dicom_json::to_value(element).unwrap_or_else(|_| json!({ "vr": vr.to_string() }));
    // PS3.18 section F.2.5: an empty value among others is null.
    if let Some(Value::Array(values)) = value.get_mut("Value") {
        for value in values.iter_mut().filter(|value| value.as_str() == Some("")) {
            *value = Value::Null;
        }
    }
    value
}

const fn is_binary(vr: VR) -> bool {
    matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN)
}

fn binary_len(element: &InMemElement) -> usize {
    match element.value() {
        DicomValue::Primitive(value) => value.calculate_byte_len(),
        DicomValue::PixelSequence(fragments) => fragments.fragments().iter().map(Vec::len).sum(),
        DicomValue::Sequence(_) => 0,
    }
}

fn binary(element: &InMemElement) -> Option<Vec<u8>> {
    match element.value() {
        DicomValue::Primitive(value) => Some(value.to_bytes().into_owned()),
        DicomValue::PixelSequence(fragments) => Some(fragments.fragments().concat()),
        DicomValue::Sequence(_) => None,
    }
}
