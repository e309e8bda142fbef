//! DICOM JSON as the Native DICOM Model (PS3.19 section A.1), the form of `application/dicom+xml`. The two say the same; what is made here
//! was made as JSON before.

use dicom_core::{DataDictionary as _, Tag, dictionary::DataDictionaryEntry as _};
use dicom_dictionary_std::StandardDataDictionary;
use serde_json::{Map, Value};

use crate::compose::parse_tag;

const NAMESPACE: &str = "http://dicom.nema.org/PS3.19/models/NativeDICOM";

/// A document of one data set.
#[must_use]
pub fn native(data_set: &Map<String, Value>) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml.push_str(&format!("<NativeDicomModel xmlns=\"{NAMESPACE}\" xml:space=\"preserve\">\n"));
    attributes(&mut xml, data_set);
    xml.push_str("</NativeDicomModel>\n");
    xml
}

fn attributes(xml: &mut String, data_set: &Map<String, Value>) {
    for (key, attribute) in data_set {
        let Some(tag) = parse_tag(key) else { continue };
        let vr = attribute["vr"].as_str().unwrap_or("UN");
        let (key, creator) = private(data_set, tag, key);
        xml.push_str(&format!("<DicomAttribute tag=\"{key}\" vr=\"{vr}\""));
        if let Some(entry) = StandardDataDictionary.by_tag(tag).filter(|_| tag.group() % 2 == 0) {
            xml.push_str(&format!(" keyword=\"{}\"", entry.alias()));
        }
        if let Some(creator) = creator {
            xml.push_str(&format!(" privateCreator=\"{}\"", escaped(creator)));
        }
        xml.push_str(">\n");
        content(xml, vr, attribute);
        xml.push_str("</DicomAttribute>\n");
    }
}

/// A private tag without its block, and whose it is (PS3.19 table A.1.5-2). The block stays where its creator is not known or has two.
fn private<'d>(data_set: &'d Map<String, Value>, tag: Tag, key: &str) -> (String, Option<&'d str>) {
    let Tag(group, element) = tag;
    let block = element >> 8;
    if group % 2 == 0 || block < 0x10 {
        return (key.to_owned(), None);
    }
    let of = |block: u16| {
        data_set.get(&format!("{group:04X}{block:04X}"))?["Value"][0]
            .as_str()
            .filter(|creator| !creator.is_empty())
    };
    let Some(creator) = of(block) else { return (key.to_owned(), None) };
    let is_first = (0x10..block).all(|other| of(other) != Some(creator));
    let key = if is_first { format!("{group:04X}{:04X}", element & 0xFF) } else { key.to_owned() };
    (key, Some(creator))
}

fn content(xml: &mut String, vr: &str, attribute: &Value) {
    if let Some(base64) = attribute["InlineBinary"].as_str() {
        xml.push_str(&format!("<InlineBinary>{}</InlineBinary>\n", escaped(base64)));
    }
    if let Some(uri) = attribute["BulkDataURI"].as_str() {
        xml.push_str(&format!("<BulkData uri=\"{}\"/>\n", escaped(uri)));
    }
    for (place, value) in attribute["Value"].as_array().into_iter().flatten().enumerate() {
        let number = place + 1;
        match value {
            Value::Object(item) if vr == "SQ" => {
                xml.push_str(&format!("<Item number=\"{number}\">\n"));
                attributes(xml, item);
                xml.push_str("</Item>\n");
            }
            Value::Object(name) => person(xml, number, name),
            // An empty value counts, also as the last one.
            Value::Null => xml.push_str(&format!("<Value number=\"{number}\"/>\n")),
            Value::String(text) => {
                xml.push_str(&format!("<Value number=\"{number}\">{}</Value>\n", escaped(text)));
            }
            other => xml.push_str(&format!("<Value number=\"{number}\">{other}</Value>\n")),
        }
    }
}

fn person(xml: &mut String, number: usize, name: &Map<String, Value>) {
    xml.push_str(&format!("<PersonName number=\"{number}\">\n"));
    for group in ["Alphabetic", "Ideographic", "Phonetic"] {
        let Some(text) = name.get(group).and_then(Value::as_str).filter(|text| !text.is_empty()) else {
            continue;
        };
        xml.push_str(&format!("<{group}>"));
        let parts = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"];
        // What stands behind a fifth component stays with it, so that nothing is lost.
        for (part, text) in
            parts.iter().zip(text.splitn(parts.len(), '^')).filter(|(_, text)| !text.is_empty())
        {
            xml.push_str(&format!("<{part}>{}</{part}>", escaped(text)));
        }
        xml.push_str(&format!("</{group}>\n"));
    }
    xml.push_str("</PersonName>\n");
}

/// Text for elements and attributes. What XML 1.0 cannot hold becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", c as u32)),
            '\0'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}
