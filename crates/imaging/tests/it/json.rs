//! DICOM JSON of whole headers.

use imaging::{Tag, guard::GuardedHeader, json};
use serde_json::{Value, json};

use crate::support::{
    ITEM, ITEM_END, SEQUENCE_END, Sample, UNDEFINED, element, element_claiming, identifiers, item, manifest,
    syntax,
};

fn metadata(data_set: &[u8], uid: &str) -> Value {
    let header = GuardedHeader::of(data_set, &syntax(uid)).unwrap();
    Value::Object(json::metadata(&header, "../bulk").unwrap())
}

#[test]
fn every_kind_of_value_is_said_as_the_standard_has_it() {
    let inner = [
        item(ITEM, UNDEFINED),
        element(Tag(0x0029, 0x1011), "OB", &[5; 1026]),
        element(Tag(0x0008, 0x0104), "LO", b"W\xFCrfel "),
        item(ITEM_END, 0),
    ]
    .concat();
    let data_set = [
        element(Tag(0x0008, 0x0000), "UL", &[4, 0, 0, 0]),
        element(Tag(0x0008, 0x0005), "CS", b"ISO_IR 100"),
        element(Tag(0x0008, 0x0008), "CS", b"ORIGINAL\\\\AXIAL "),
        identifiers()[..identifiers().len() / 2].to_vec()[..0].to_vec(),
        element(Tag(0x0010, 0x0010), "PN", b"M\xFCller^J\xFCrgen=A^B"),
        element(Tag(0x0010, 0x0030), "DA", b""),
        element(Tag(0x0018, 0x0050), "DS", b"5.0 "),
        element(Tag(0x0020, 0x0013), "IS", b"12"),
        element(Tag(0x0020, 0x0032), "DS", b"-1.5\\2\\nonsense"),
        element(Tag(0x0028, 0x0010), "US", &[0, 2]),
        element(Tag(0x0029, 0x1010), "OB", &[1, 2, 3, 4]),
        element_claiming(Tag(0x0040, 0x0260), "SQ", UNDEFINED, &[inner, item(SEQUENCE_END, 0)].concat()),
        element(Tag(0x7FE0, 0x0010), "OW", &[0; 16]),
    ]
    .concat();
    let json = metadata(&data_set, "1.2.840.10008.1.2.1");
    assert_eq!(
        json,
        json!({
            "00080005": { "vr": "CS", "Value": ["ISO_IR 192"] },
            "00080008": { "vr": "CS", "Value": ["ORIGINAL", null, "AXIAL"] },
            "00100010": { "vr": "PN", "Value": [{ "Alphabetic": "Müller^Jürgen", "Ideographic": "A^B" }] },
            "00100030": { "vr": "DA" },
            "00180050": { "vr": "DS", "Value": [5.0] },
            "00200013": { "vr": "IS", "Value": [12] },
            "00200032": { "vr": "DS", "Value": ["-1.5", "2", "nonsense"] },
            "00280010": { "vr": "US", "Value": [512] },
            "00291010": { "vr": "OB", "InlineBinary": "AQIDBA==" },
            "00400260": { "vr": "SQ", "Value": [{
                "00080104": { "vr": "LO", "Value": ["Würfel"] },
                "00291011": { "vr": "OB", "BulkDataURI": "../bulk/00400260/1/00291011" },
            }] },
            "7FE00010": { "vr": "OW", "BulkDataURI": "../bulk/7FE00010" },
        })
    );
    let header = GuardedHeader::of(&data_set, &syntax("1.2.840.10008.1.2.1")).unwrap();
    assert_eq!(json::bulk(&header, "00400260/1/00291011").unwrap(), Some(vec![5; 1026]));
    for none in ["00400260/2/00291011", "00400260/0/00291011", "00400260/1", "00100010", "x", ""] {
        assert_eq!(json::bulk(&header, none).unwrap(), None, "{none}");
    }
}

#[test]
fn every_sample_has_metadata_that_names_it() {
    for row in manifest() {
        let Some(sample) = Sample::open(row.bytes()) else { continue };
        let json = metadata(sample.data_set(), sample.syntax.as_str());
        if row.get("study_uid").is_empty() {
            continue;
        }
        assert_eq!(json["0020000D"]["Value"][0], json!(row.get("study_uid")), "{}", row.file());
        if let Some((rows, _)) = row.get("rows_x_cols").split_once('x') {
            assert_eq!(json["00280010"]["Value"][0], json!(rows.parse::<u32>().unwrap()), "{}", row.file());
            if row.get("modality") == "CT" && !json["00200032"].is_null() {
                let position = json["00200032"]["Value"].as_array().unwrap();
                assert!(position.iter().all(Value::is_number), "{}: {position:?}", row.file());
            }
        }
    }
}

#[test]
fn implicit_and_explicit_say_the_same() {
    let of =
        |name: &str| Sample::named(name).map(|sample| metadata(sample.data_set(), sample.syntax.as_str()));
    let folder = "transfer-syntaxes/ct1-ge";
    let (Some(explicit), Some(implicit), Some(big)) = (
        of(&format!("{folder}/CT1_UNC")),
        of(&format!("{folder}/CT1_UNC.implicit_little_endian.dcm")),
        of(&format!("{folder}/CT1_UNC.explicit_big_endian.dcm")),
    ) else {
        return;
    };
    // Private values lose their VR in implicit syntax, and these files were converted by different tools.
    let public = |json: &Value| {
        let object = json.as_object().unwrap().iter();
        let is_public = |key: &str| u16::from_str_radix(&key[..4], 16).unwrap().is_multiple_of(2);
        object.filter(|(key, _)| is_public(key)).map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>()
    };
    for (key, value) in public(&explicit) {
        assert_eq!(implicit[&key], value, "{key}");
        assert_eq!(big[&key], value, "{key}");
    }
}
