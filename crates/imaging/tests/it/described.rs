//! Data sets that come as DICOM JSON and as Native DICOM Model.

use imaging::{
    compose::{Flaw, Reading, Role, head},
    guard::{GuardLimits, GuardedHeader},
    json, xml,
};
use serde_json::{Value, json};

use crate::support::{Sample, manifest, syntax};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";

fn reading() -> Reading {
    Reading::new(GuardLimits::default(), 10)
}

/// What is said of an object that was made of attributes.
fn said(attributes: &Value) -> Result<Value, Flaw> {
    let text = json!([attributes]).to_string();
    let objects = reading().json(text.as_bytes()).map_err(|unreadable| unreadable.flaw)?;
    let header = GuardedHeader::of(&objects[0].bytes, &syntax(EXPLICIT)).unwrap();
    Ok(Value::Object(json::metadata(&header, "bulk").unwrap()))
}

#[test]
fn every_kind_of_value_is_taken_as_the_standard_has_it() {
    let given = json!({
        "00400260": { "Value": [{}, { "00080104": { "Value": ["Würfel"], "vr": "LO" } }], "vr": "SQ" },
        "00080008": { "vr": "CS", "Value": ["ORIGINAL", null, "AXIAL"] },
        "00080005": { "vr": "CS", "Value": ["ISO_IR 100"] },
        "00080000": { "vr": "UL", "Value": [4] },
        "00100010": { "vr": "PN", "Value": [{ "Phonetic": "c", "Alphabetic": "Müller^Jürgen" }, {}, { "Ideographic": "山田" }] },
        "00100030": { "vr": "DA" },
        "00100040": { "vr": "CS", "Value": [] },
        "00104000": { "vr": "LT", "Value": ["two\\lines\n"] },
        "00180050": { "vr": "DS", "Value": [5.0, "2.50", -7, 0.333_333_333_333_333_3, null] },
        "00200013": { "vr": "IS", "Value": [12, "13", 14.0] },
        "00209165": { "vr": "AT", "Value": ["00180080"] },
        "00280010": { "vr": "US", "Value": [512, 65535] },
        "00280120": { "vr": "SS", "Value": [-1] },
        "00291010": { "vr": "OB", "InlineBinary": "AQIDBA==" },
        "00291011": { "vr": "UN", "InlineBinary": "AQ==" },
        "00186020": { "vr": "SL", "Value": [-2_147_483_648_i64] },
        "00189073": { "vr": "FD", "Value": [1.5, "NaN", "-Infinity"] },
        "00409094": { "vr": "FL", "Value": [0.5] },
        "0008030F": { "vr": "UV", "Value": ["18446744073709551615", 1] },
    });
    let mut expected = given.clone();
    expected["00080005"] = json!({ "vr": "CS", "Value": ["ISO_IR 192"] });
    expected.as_object_mut().unwrap().remove("00080000");
    expected["00100040"] = json!({ "vr": "CS" });
    expected["00180050"] = json!({ "vr": "DS", "Value": ["5", "2.50", "-7", "0.33333333333333", null] });
    expected["00200013"] = json!({ "vr": "IS", "Value": [12, 13, 14] });
    expected["00100010"]["Value"][1] = json!({});
    expected["00291011"]["InlineBinary"] = json!("AQA=");
    expected["00189073"]["Value"][2] = json!("-inf");
    assert_eq!(said(&given).unwrap(), expected);
}

#[test]
fn bulk_data_keep_their_place_however_attributes_are_ordered() {
    let text = json!([{
        "7FE00010": { "vr": "OW", "BulkDataURI": "pixels" },
        "00400260": { "vr": "SQ", "Value": [{
            "00291011": { "vr": "OB", "BulkDataURI": "inner" },
            "00080104": { "vr": "LO", "Value": ["x"] },
        }] },
        "00282000": { "vr": "OB", "BulkDataURI": "profile" },
        "7FE00001": { "vr": "OV", "BulkDataURI": "table" },
        "00100020": { "vr": "LO", "Value": ["id"] },
    }]);
    let objects = reading().json(text.to_string().as_bytes()).unwrap();
    let object = &objects[0];
    let places: Vec<_> = object.bulk.iter().map(|bulk| (bulk.uri.as_str(), bulk.role)).collect();
    let expected = [
        ("profile", Role::Value),
        ("inner", Role::Value),
        ("table", Role::OffsetTable),
        ("pixels", Role::Pixels),
    ];
    assert_eq!(places, expected);
    let (mut filled, mut at) = (Vec::new(), 0);
    for bulk in &object.bulk {
        filled.extend_from_slice(&object.bytes[at..bulk.at]);
        at = bulk.at;
        if bulk.role != Role::OffsetTable {
            filled.extend(head(bulk.tag, bulk.vr, 2));
            filled.extend([7, 7]);
        }
    }
    filled.extend_from_slice(&object.bytes[at..]);
    let header = GuardedHeader::of(&filled, &syntax(EXPLICIT)).unwrap();
    let said = Value::Object(json::metadata(&header, "b").unwrap());
    assert_eq!(said["00282000"]["InlineBinary"], "Bwc=");
    assert_eq!(said["00400260"]["Value"][0]["00291011"]["InlineBinary"], "Bwc=");
    assert_eq!(said["00400260"]["Value"][0]["00080104"]["Value"][0], "x");
    assert_eq!(said["7FE00010"]["BulkDataURI"], "b/7FE00010");
}

#[test]
fn long_values_of_short_vrs_are_unknown() {
    let long = "x".repeat(70_000);
    let text =
        json!([{ "00104000": { "vr": "LT", "Value": [long] }, "00104010": { "vr": "LO" } }]).to_string();
    let object = &reading().json(text.as_bytes()).unwrap()[0];
    let place = object.bytes.windows(6).position(|window| window == [0x10, 0, 0, 0x40, b'U', b'N']).unwrap();
    assert_eq!(object.bytes[place + 8..place + 12], 70_000_u32.to_le_bytes());
    let header = GuardedHeader::of(&object.bytes, &syntax(EXPLICIT)).unwrap();
    let said = json::metadata(&header, "b").unwrap();
    assert_eq!(said["00104000"], json!({ "vr": "LT", "Value": [long] }));
}

#[test]
fn private_blocks_of_xml_are_those_that_are_free() {
    let element = |tag: &str, more: &str, value: &str| {
        format!(
            r#"<DicomAttribute tag="{tag}" vr="LO"{more}><Value number="2">{value}</Value></DicomAttribute>"#
        )
    };
    let by = |creator: &str| format!(" privateCreator=\"{creator}\"");
    let text = [
        "<NativeDicomModel>".to_owned(),
        r#"<DicomAttribute tag="00290011" vr="LO"><Value number="1">TWO</Value></DicomAttribute>"#.to_owned(),
        element("00290001", &by("ONE"), "a"),
        element("00290001", &by("TWO"), "b"),
        element("00291302", &by("THREE"), "c"),
        element("00290003", &by("ONE"), "&lt;&#228;"),
        r#"<DicomAttribute tag="00100010" vr="PN"><PersonName number="1"><Alphabetic><GivenName>B</GivenName><FamilyName>A</FamilyName><NameSuffix>E^F</NameSuffix></Alphabetic><Phonetic><FamilyName>P</FamilyName></Phonetic></PersonName></DicomAttribute>"#.to_owned(),
        "</NativeDicomModel>".to_owned(),
    ];
    let object = reading().xml(text.concat().as_bytes()).unwrap();
    let header = GuardedHeader::of(&object.bytes, &syntax(EXPLICIT)).unwrap();
    let lo = |value: Value| json!({ "vr": "LO", "Value": value });
    assert_eq!(
        Value::Object(json::metadata(&header, "b").unwrap()),
        json!({
            "00080005": { "vr": "CS", "Value": ["ISO_IR 192"] },
            "00100010": { "vr": "PN", "Value": [{ "Alphabetic": "A^B^^^E^F", "Phonetic": "P" }] },
            "00290010": lo(json!(["ONE"])),
            "00290011": lo(json!(["TWO"])),
            "00290013": lo(json!(["THREE"])),
            "00291001": lo(json!([null, "a"])),
            "00291003": lo(json!([null, "<ä"])),
            "00291101": lo(json!([null, "b"])),
            "00291302": lo(json!([null, "c"])),
        })
    );
}

#[test]
fn what_is_said_of_every_sample_can_be_taken_again_in_both_forms() {
    let (rows, mut count) = (manifest(), 0);
    for row in &rows {
        let Some(sample) = Sample::open(row.bytes()) else { continue };
        let header = GuardedHeader::of(sample.data_set(), &sample.syntax).unwrap();
        let Ok(first) = json::metadata(&header, "b") else { continue };
        let filled = |object: &imaging::compose::Composed| {
            let (mut filled, mut at) = (Vec::new(), 0);
            for bulk in &object.bulk {
                filled.extend_from_slice(&object.bytes[at..bulk.at]);
                at = bulk.at;
                let value = json::bulk(&header, bulk.uri.strip_prefix("b/").unwrap()).unwrap();
                let value = value.unwrap_or_else(|| vec![0; 2]);
                filled.extend(head(bulk.tag, bulk.vr, value.len() as u32));
                filled.extend(value);
            }
            filled.extend_from_slice(&object.bytes[at..]);
            let header = GuardedHeader::of(&filled, &syntax(EXPLICIT)).unwrap();
            json::metadata(&header, "b").unwrap()
        };
        let text = Value::Array(vec![Value::Object(first.clone())]).to_string();
        let mut first = first;
        first.insert("00080005".to_owned(), json!({ "vr": "CS", "Value": ["ISO_IR 192"] }));
        let again = filled(&reading().json(text.as_bytes()).unwrap()[0]);
        let differing = |again: &serde_json::Map<String, Value>| {
            let keys = first.keys().chain(again.keys());
            keys.filter(|key| first.get(*key) != again.get(*key)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(differing(&again), [""; 0], "{} as JSON", row.file());
        let text = xml::native(&first);
        let again = filled(&reading().xml(text.as_bytes()).unwrap());
        // The model holds the components of a name, and so no carets behind the last one.
        let is_shortened =
            |key: &String| first.get(key).is_some_and(|value| value.to_string().contains("^\""));
        let differing: Vec<_> = differing(&again).into_iter().filter(|key| !is_shortened(key)).collect();
        assert_eq!(differing, [""; 0], "{} as XML", row.file());
        count += 1;
    }
    // Without the collection, which was said to be missing, there is nothing to look at.
    assert!(count > 10 || rows.is_empty(), "{count} samples");
}
