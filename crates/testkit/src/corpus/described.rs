//! STOW-RS of metadata and bulk data: texts that are no model of a data set, are larger than anybody needs, or name what is elsewhere.

use super::{
    Answer::{self, Closed, Http},
    Cases,
    Class::{
        self, CharacterSet, Decoder, Field, Flood, Injection, LengthLie, Memory, Multipart, Nesting, State,
    },
    Sent, Step,
    bytes::{CT, instance_uid},
    stow::request,
};

const REFUSED: &[Answer] = &[Http(400)];
const FAILED: &[Answer] = &[Http(409)];
const TOO_LARGE: &[Answer] = &[Http(413)];

/// A part: its head lines, and its bytes.
type Part<'p> = (&'p str, &'p [u8]);

pub(super) fn add(cases: &mut Cases) {
    json(cases);
    xml(cases);
    values(cases);
    bulk(cases);
    large(cases);
}

fn body(form: &str, text: &[u8], parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = format!("--b0\r\nContent-Type: application/dicom+{form}\r\n\r\n").into_bytes();
    body.extend(text);
    for (head, bytes) in parts {
        body.extend(format!("\r\n--b0\r\n{head}\r\n\r\n").bytes());
        body.extend(*bytes);
    }
    body.extend(b"\r\n--b0--\r\n");
    body
}

fn add_text(
    cases: &mut Cases,
    class: Class,
    form: &str,
    name: &str,
    text: &[u8],
    parts: &[Part<'_>],
    answers: &[Answer],
) {
    let content_type = format!("multipart/related; type=\"application/dicom+{form}\"; boundary=b0");
    let sent = request("/dicomweb/studies", &content_type, &body(form, text, parts));
    cases.add(class, format!("STOW {form}: {name}"), Sent::Http(vec![Step::Send(sent)]), answers);
}

/// The identifiers of an object, and more attributes.
fn object(number: u32, more: &str) -> String {
    let instance = instance_uid(number);
    let series = instance.trim_end_matches(".1").to_owned() + ".1";
    let study = series.trim_end_matches(".1").to_owned();
    let uid = |tag: &str, uid: &str| format!(r#""{tag}":{{"vr":"UI","Value":["{uid}"]}}"#);
    [
        "{".to_owned(),
        [uid("00080016", CT), uid("00080018", &instance), uid("0020000D", &study), uid("0020000E", &series)]
            .join(","),
        more.to_owned(),
        "}".to_owned(),
    ]
    .concat()
}

fn array(number: u32, more: &str) -> Vec<u8> {
    format!("[{}]", object(number, more)).into_bytes()
}

fn document(number: u32, more: &str) -> Vec<u8> {
    let instance = instance_uid(number);
    let series = instance.trim_end_matches(".1").to_owned() + ".1";
    let study = series.trim_end_matches(".1").to_owned();
    let uid = |tag: &str, uid: &str| {
        format!(r#"<DicomAttribute tag="{tag}" vr="UI"><Value number="1">{uid}</Value></DicomAttribute>"#)
    };
    let uids =
        [uid("00080016", CT), uid("00080018", &instance), uid("0020000D", &study), uid("0020000E", &series)];
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel>{}{more}</NativeDicomModel>"#,
        uids.concat()
    )
    .into_bytes()
}

fn json(cases: &mut Cases) {
    let sound = array(4_000, "");
    let text = |text: &str| text.as_bytes().to_vec();
    for (class, name, bytes, answers) in [
        (Field, "nothing", text(""), REFUSED),
        (Field, "an empty array", text("[]"), REFUSED),
        (Field, "an object alone", text(&object(4_001, "")), REFUSED),
        (Field, "null", text("null"), REFUSED),
        (Field, "an array of numbers", text("[1,2,3]"), REFUSED),
        (Field, "an array of arrays", text("[[],[]]"), REFUSED),
        (Field, "an empty object", text("[{}]"), FAILED),
        (Multipart, "text behind its end", [&sound[..], b"x"].concat(), REFUSED),
        (Multipart, "two arrays", [&sound[..], &sound[..]].concat(), REFUSED),
        (Multipart, "cut in the middle", sound[..sound.len() / 2].to_vec(), REFUSED),
        (CharacterSet, "a byte order mark", [b"\xEF\xBB\xBF", &sound[..]].concat(), REFUSED),
        (
            CharacterSet,
            "UTF-16",
            text(&object(4_002, "")).iter().flat_map(|byte| [*byte, 0]).collect(),
            REFUSED,
        ),
        (
            CharacterSet,
            "bytes that are no UTF-8",
            [&b"[{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"\xFF\xFE\"}]}}]"[..]].concat(),
            REFUSED,
        ),
        (
            CharacterSet,
            "a lone surrogate",
            array(4_003, r#","00100020":{"vr":"LO","Value":["\ud800"]}"#),
            REFUSED,
        ),
        (
            CharacterSet,
            "two surrogates in the wrong order",
            array(4_004, r#","00100020":{"vr":"LO","Value":["\udc00\ud800"]}"#),
            REFUSED,
        ),
        (Nesting, "arrays in arrays", vec![b'['; 1 << 20], REFUSED),
        (Nesting, "objects in objects", text(&r#"[{"00400260":"#.repeat(50_000)), REFUSED),
        (Nesting, "41 sequences in each other", nested_json(4_005, 41), TOO_LARGE),
        (Nesting, "40 sequences in each other", nested_json(4_006, 40), &[Http(200)]),
        (Nesting, "20 000 sequences in each other", nested_json(4_007, 20_000), TOO_LARGE),
        (
            Memory,
            "a number of a million digits",
            array(4_008, &format!(r#","00280010":{{"vr":"US","Value":[{}]}}"#, "9".repeat(1 << 20))),
            REFUSED,
        ),
        (
            Memory,
            "a text of 12 MB of escapes",
            array(4_009, &format!(r#","00104000":{{"vr":"LT","Value":["{}"]}}"#, "\\u0041".repeat(2 << 20))),
            &[Http(200), Http(409), Http(413), Http(503)],
        ),
        (Field, "a number in a comment", text("[/* 1 */]"), REFUSED),
        (Field, "NaN", array(4_010, r#","00180050":{"vr":"DS","Value":[NaN]}"#), REFUSED),
        (Field, "a trailing comma", text("[{},]"), REFUSED),
    ] {
        add_text(cases, class, "json", name, &bytes, &[], answers);
    }
}

fn nested_json(number: u32, depth: usize) -> Vec<u8> {
    let open = r#"{"00400260":{"vr":"SQ","Value":["#.repeat(depth - 1);
    array(number, &format!(r#","00400261":{{"vr":"SQ","Value":[{open}{{}}{}]}}"#, "]}}".repeat(depth - 1)))
}

fn nested_xml(number: u32, depth: usize) -> Vec<u8> {
    let open = r#"<DicomAttribute tag="00400260" vr="SQ"><Item number="1">"#.repeat(depth);
    document(number, &(open + &"</Item></DicomAttribute>".repeat(depth)))
}

/// A document of one attribute.
fn value(number: u32, vr: &str, value: &str) -> Vec<u8> {
    document(number, &format!(r#"<DicomAttribute tag="00100020" vr="{vr}">{value}</DicomAttribute>"#))
}

fn xml(cases: &mut Cases) {
    xml_declarations(cases);
    xml_characters(cases);
    xml_values(cases);
}

fn xml_declarations(cases: &mut Cases) {
    let sound = document(4_100, "");
    let laughs = (1..10).map(|level| {
        let below = format!("&l{};", level - 1).repeat(10);
        format!("<!ENTITY l{level} \"{below}\">")
    });
    let laughs: String = laughs.collect();
    let with_type = |declarations: &str, value: &str| {
        let text = String::from_utf8(document(
            4_101,
            &format!(
                r#"<DicomAttribute tag="00100020" vr="LO"><Value number="1">{value}</Value></DicomAttribute>"#
            ),
        ));
        text.unwrap_or_default()
            .replace("?><", &format!("?>\n<!DOCTYPE NativeDicomModel {declarations}><"))
            .into_bytes()
    };
    let text = |text: &str| text.as_bytes().to_vec();
    for (class, name, bytes, answers) in [
        (Field, "nothing", text(""), REFUSED),
        (Field, "another document", text("<html/>"), REFUSED),
        (Field, "an empty model", text("<NativeDicomModel/>"), FAILED),
        (Multipart, "cut in the middle", sound[..sound.len() / 2].to_vec(), REFUSED),
        (Multipart, "two documents", [&sound[..], &sound[..]].concat(), REFUSED),
        (
            Multipart,
            "end tags that cross",
            text(
                "<NativeDicomModel><DicomAttribute tag=\"00100020\" vr=\"LO\"></NativeDicomModel></DicomAttribute>",
            ),
            REFUSED,
        ),
        (Memory, "a billion laughs", with_type(&format!("[<!ENTITY l0 \"lol\">{laughs}]"), "&l9;"), REFUSED),
        (
            Memory,
            "quadratic blow-up",
            with_type(&format!("[<!ENTITY a \"{}\">]", "a".repeat(100_000)), &"&a;".repeat(100_000)),
            REFUSED,
        ),
        (
            Injection,
            "an external entity of a file",
            with_type("[<!ENTITY x SYSTEM \"file:///etc/passwd\">]", "&x;"),
            REFUSED,
        ),
        (
            Injection,
            "an external entity of the web",
            with_type("[<!ENTITY x SYSTEM \"http://127.0.0.1:1/x\">]", "&x;"),
            REFUSED,
        ),
        (
            Injection,
            "a parameter entity",
            with_type("[<!ENTITY % x SYSTEM \"file:///etc/passwd\"> %x;]", "x"),
            REFUSED,
        ),
        (Injection, "an external document type", with_type("SYSTEM \"file:///etc/passwd\"", "x"), REFUSED),
        (
            Injection,
            "an entity that nobody declared",
            value(4_102, "LO", "<Value number=\"1\">&xxe;</Value>"),
            REFUSED,
        ),
        (
            Injection,
            "an inclusion",
            value(
                4_103,
                "LO",
                "<xi:include xmlns:xi=\"http://www.w3.org/2001/XInclude\" href=\"file:///etc/passwd\" parse=\"text\"/>",
            ),
            REFUSED,
        ),
        (
            Injection,
            "a style sheet",
            [b"<?xml-stylesheet href=\"file:///etc/passwd\"?>", &sound[38..]].concat(),
            REFUSED,
        ),
    ] {
        add_text(cases, class, "xml", name, &bytes, &[], answers);
    }
}

fn xml_characters(cases: &mut Cases) {
    let sound = document(4_100, "");
    for (class, name, bytes, answers) in [
        (CharacterSet, "UTF-16", sound.iter().flat_map(|byte| [*byte, 0]).collect::<Vec<u8>>(), REFUSED),
        (
            CharacterSet,
            "bytes that are no UTF-8",
            [&sound[..60], b"\xFF\xFE", &sound[60..]].concat(),
            REFUSED,
        ),
        (
            CharacterSet,
            "a reference to no character",
            value(4_104, "LO", "<Value number=\"1\">&#xD800;</Value>"),
            REFUSED,
        ),
        (
            CharacterSet,
            "a reference to zero",
            value(4_105, "LO", "<Value number=\"1\">&#0;</Value>"),
            REFUSED,
        ),
        (
            CharacterSet,
            "the five entities and CDATA",
            value(4_106, "LO", "<Value number=\"1\">&lt;&amp;&#65;<![CDATA[<b>]]></Value>"),
            &[Http(200)],
        ),
    ] {
        add_text(cases, class, "xml", name, &bytes, &[], answers);
    }
}

fn xml_values(cases: &mut Cases) {
    let text = |text: &str| text.as_bytes().to_vec();
    for (class, name, bytes, answers) in [
        (Nesting, "128 sequences in each other", nested_xml(4_107, 128), &[Http(200)][..]),
        (Nesting, "129 sequences in each other", nested_xml(4_108, 129), TOO_LARGE),
        (Nesting, "50 000 sequences in each other", nested_xml(4_109, 50_000), TOO_LARGE),
        (Nesting, "a million elements that nobody closes", text(&"<a>".repeat(1_000_000)), REFUSED),
        (
            Flood,
            "a tag of 500 000 attributes",
            value(
                4_110,
                "LO",
                &format!(
                    "<Value{} number=\"1\">x</Value>",
                    (0..500_000).map(|n| format!(" a{n}=\"\"")).collect::<String>()
                ),
            ),
            &[Http(413), Http(400)],
        ),
        (Memory, "a name of 8 MB", text(&format!("<{}/>", "n".repeat(8 << 20))), REFUSED),
        (Field, "an attribute twice", value(4_111, "LO\" vr=\"SH", "<Value number=\"1\">x</Value>"), REFUSED),
        (Field, "a value without a number", value(4_112, "LO", "<Value>x</Value>"), REFUSED),
        (Field, "a value of number zero", value(4_113, "LO", "<Value number=\"0\">x</Value>"), REFUSED),
        (
            Field,
            "a value of number four billion",
            value(4_114, "LO", "<Value number=\"4294967295\">x</Value>"),
            TOO_LARGE,
        ),
        (
            Field,
            "values that go backwards",
            value(4_115, "LO", "<Value number=\"2\">x</Value><Value number=\"1\">x</Value>"),
            REFUSED,
        ),
        (Field, "text between elements", value(4_116, "LO", "x"), REFUSED),
        (
            Field,
            "a name in a text",
            value(
                4_117,
                "LO",
                "<PersonName number=\"1\"><Alphabetic><FamilyName>x</FamilyName></Alphabetic></PersonName>",
            ),
            REFUSED,
        ),
        (Field, "an item in a text", value(4_118, "LO", "<Item number=\"1\"/>"), REFUSED),
        (Field, "an unknown vr", value(4_119, "ZZ", "<Value number=\"1\">x</Value>"), REFUSED),
        (Field, "base64 that is none", value(4_120, "OB", "<InlineBinary>!!</InlineBinary>"), REFUSED),
        (Field, "bulk data of no name", value(4_121, "OB", "<BulkData/>"), REFUSED),
        (
            Injection,
            "bulk data of a file",
            value(4_122, "OB", "<BulkData uri=\"file:///etc/passwd\"/>"),
            FAILED,
        ),
        (
            Injection,
            "bulk data of the web",
            value(4_123, "OB", "<BulkData uri=\"http://127.0.0.1:1/\"/>"),
            FAILED,
        ),
    ] {
        add_text(cases, class, "xml", name, &bytes, &[], answers);
    }
}

/// Attributes that DICOM JSON does not have.
fn values(cases: &mut Cases) {
    for (number, (class, name, attribute, answers)) in (4_200..).zip([
        (Field, "no vr", r#""00100020":{"Value":["x"]}"#, REFUSED),
        (Field, "an unknown vr", r#""00100020":{"vr":"ZZ","Value":["x"]}"#, REFUSED),
        (Field, "a vr that is a number", r#""00100020":{"vr":1}"#, REFUSED),
        (Field, "vr twice", r#""00100020":{"vr":"LO","vr":"SH"}"#, REFUSED),
        (Field, "Value twice", r#""00100020":{"vr":"LO","Value":["a"],"Value":["b"]}"#, REFUSED),
        (Field, "Value and InlineBinary", r#""00291010":{"vr":"OB","Value":[],"InlineBinary":""}"#, REFUSED),
        (Field, "InlineBinary and BulkDataURI", r#""00291010":{"vr":"OB","InlineBinary":"","BulkDataURI":"x"}"#, REFUSED),
        (Field, "an unknown field", r#""00100020":{"vr":"LO","Values":["x"]}"#, REFUSED),
        (Field, "a value that is no array", r#""00100020":{"vr":"LO","Value":"x"}"#, REFUSED),
        (Field, "an attribute that is a text", r#""00100020":"x""#, REFUSED),
        (Field, "a key that is a keyword", r#""PatientID":{"vr":"LO"}"#, REFUSED),
        (Field, "a key of 7 digits", r#""0010002":{"vr":"LO"}"#, REFUSED),
        (Field, "a key with a sign", r#""+0100020":{"vr":"LO"}"#, REFUSED),
        (Field, "the same tag twice", r#""00100020":{"vr":"LO","Value":["a"]},"00100020":{"vr":"LO","Value":["b"]}"#, REFUSED),
        (Field, "the same tag in two cases", r#""0020000d":{"vr":"UI","Value":["1.2"]}"#, REFUSED),
        (Field, "the character set twice", r#""00080005":{"vr":"CS"},"00080005":{"vr":"CS"}"#, REFUSED),
        (CharacterSet, "another character set", r#""00080005":{"vr":"CS","Value":["ISO 2022 IR 87"]},"00100020":{"vr":"LO","Value":["\u001b$B"]}"#, &[Http(200)]),
        (State, "file meta", r#""00020010":{"vr":"UI","Value":["1.2.840.10008.1.2.4.70"]}"#, FAILED),
        (State, "a command", r#""00000110":{"vr":"US","Value":[1]}"#, FAILED),
        (State, "an item delimiter", r#""FFFEE00D":{"vr":"UN"}"#, REFUSED),
        (State, "a group length", r#""00080000":{"vr":"UL","Value":[4294967295]}"#, &[Http(200)]),
        (Field, "a number beyond its vr", r#""00280010":{"vr":"US","Value":[65536]}"#, REFUSED),
        (Field, "a number below its vr", r#""00280010":{"vr":"US","Value":[-1]}"#, REFUSED),
        (Field, "a fraction where none may be", r#""00280010":{"vr":"US","Value":[1.5]}"#, REFUSED),
        (Field, "a text where a number must be", r#""00280010":{"vr":"US","Value":["512"]}"#, REFUSED),
        (Field, "null among numbers", r#""00280010":{"vr":"US","Value":[1,null]}"#, REFUSED),
        (Field, "a number of 10^400", r#""00180050":{"vr":"DS","Value":[1e400]}"#, REFUSED),
        (Field, "a float beyond its vr", r#""00180050":{"vr":"FL","Value":[1e300]}"#, REFUSED),
        (Field, "true", r#""00100020":{"vr":"LO","Value":[true]}"#, REFUSED),
        (Field, "a name that is a text", r#""00100010":{"vr":"PN","Value":["Doe^John"]}"#, REFUSED),
        (Field, "a name with an unknown group", r#""00100010":{"vr":"PN","Value":[{"Alphabetic":"a","Family":"b"}]}"#, REFUSED),
        (Field, "a name with a group twice", r#""00100010":{"vr":"PN","Value":[{"Alphabetic":"a","Alphabetic":"b"}]}"#, REFUSED),
        (Injection, "a name that would be two groups", r#""00100010":{"vr":"PN","Value":[{"Alphabetic":"a=b"}]}"#, REFUSED),
        (Injection, "a value that would be two", r#""00100020":{"vr":"LO","Value":["a\\b"]}"#, REFUSED),
        (Injection, "a study that is a path", r#""0020000d":{"vr":"UI","Value":["../../x"]}"#, REFUSED),
        (Field, "an item in a text", r#""00100020":{"vr":"LO","Value":[{"00100020":{"vr":"LO"}}]}"#, REFUSED),
        (Field, "a text in a sequence", r#""00400260":{"vr":"SQ","Value":["x"]}"#, REFUSED),
        (Field, "null in a sequence", r#""00400260":{"vr":"SQ","Value":[{"00100020":{"vr":"LO"}},null]}"#, REFUSED),
        (Field, "items and names", r#""00400260":{"vr":"SQ","Value":[{"00100020":{"vr":"LO"}},{"Alphabetic":"x"}]}"#, REFUSED),
        (Field, "empty objects", r#""00400260":{"vr":"SQ","Value":[{},{},{"00100020":{"vr":"LO"}},{}]}"#, &[Http(200)]),
        (Field, "two texts where one may stand", r#""00104000":{"vr":"LT","Value":["a","b"]}"#, REFUSED),
        (Field, "a tag that is none", r#""00209165":{"vr":"AT","Value":["0018008"]}"#, REFUSED),
        (Field, "binary as numbers", r#""00291010":{"vr":"OB","Value":[1,2,3]}"#, REFUSED),
        (Field, "base64 that is none", r#""00291010":{"vr":"OB","InlineBinary":"AQID*A=="}"#, REFUSED),
        (Field, "base64 that is cut", r#""00291010":{"vr":"OB","InlineBinary":"AQI"}"#, REFUSED),
        (Field, "base64 with blanks", r#""00291010":{"vr":"OB","InlineBinary":"AQ ID"}"#, REFUSED),
        (Field, "a text as base64", r#""00100020":{"vr":"LO","InlineBinary":"QUJD"}"#, REFUSED),
        (LengthLie, "fragments as base64", r#""7FE00010":{"vr":"OB","InlineBinary":"/v8A4AAAAAD+/wDgAgAAAAEC/v/d4AAAAAA="}"#, REFUSED),
        (Field, "a sequence elsewhere", r#""00400260":{"vr":"SQ","BulkDataURI":"x"}"#, REFUSED),
        (Field, "an empty BulkDataURI", r#""00291010":{"vr":"OB","BulkDataURI":""}"#, REFUSED),
        (Field, "a BulkDataURI that is a number", r#""00291010":{"vr":"OB","BulkDataURI":1}"#, REFUSED),
    ]) {
        add_text(cases, class, "json", name, &array(number, &format!(",{attribute}")), &[], answers);
    }
}

fn bulk(cases: &mut Cases) {
    bulk_elsewhere(cases);
    bulk_parts(cases);
    bulk_pixels(cases);
    bulk_bodies(cases);
}

fn refer(uri: &str) -> String {
    format!(r#","00291010":{{"vr":"OB","BulkDataURI":"{uri}"}}"#)
}

fn bulk_elsewhere(cases: &mut Cases) {
    for (number, uri) in (4_300..).zip([
        "file:///etc/passwd",
        "http://127.0.0.1:1/x",
        "https://169.254.169.254/latest/meta-data/",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1:11112/x",
        "../../../../etc/passwd",
        "/etc/passwd",
        "\\\\\\\\host\\\\share",
        "cid:x",
        "data:,x",
        "#x",
    ]) {
        let name = format!("bulk data of {uri}");
        add_text(cases, Injection, "json", &name, &array(number, &refer(uri)), &[], FAILED);
    }
}

fn bulk_parts(cases: &mut Cases) {
    let part = "Content-Type: application/octet-stream\r\nContent-Location: x";
    let one = refer("x");
    let two = format!(r#"{one},"00291011":{{"vr":"OB","BulkDataURI":"x"}}"#);
    let long = refer(&"u".repeat(3_000));
    for (number, (class, name, more, parts, answers)) in (4_320..).zip([
        (Multipart, "a part that nobody names", "", vec![(part, &b"xx"[..])], &[Http(202)][..]),
        (
            Multipart,
            "a part without a place",
            "",
            vec![("Content-Type: application/octet-stream", b"xx")],
            &[Http(202)],
        ),
        (Multipart, "a part twice", &one, vec![(part, b"xx"), (part, b"yy")], &[Http(202)]),
        (Multipart, "two elements that name one part", &two, vec![(part, b"xx")], FAILED),
        (Multipart, "a part that is empty", &one, vec![(part, b"")], &[Http(200)]),
        (
            Multipart,
            "a part in base64",
            &one,
            vec![("Content-Transfer-Encoding: base64\r\nContent-Location: x", b"eHg=")],
            FAILED,
        ),
        (
            Multipart,
            "a part in gzip",
            &one,
            vec![("Content-Encoding: gzip\r\nContent-Location: x", b"\x1F\x8B")],
            FAILED,
        ),
        (Field, "a BulkDataURI of 3 000 characters", &long, vec![], REFUSED),
    ]) {
        add_text(cases, class, "json", name, &array(number, more), &parts, answers);
    }
}

fn bulk_pixels(cases: &mut Cases) {
    let part = "Content-Type: application/octet-stream\r\nContent-Location: x";
    let pixels = r#","00280010":{"vr":"US","Value":[4]},"00280011":{"vr":"US","Value":[4]},"7FE00010":{"vr":"OW","BulkDataURI":"x"}"#;
    let frames = pixels.to_owned() + r#","00280008":{"vr":"IS","Value":["4294967295"]}"#;
    let jpeg = "Content-Type: image/jpeg\r\nContent-Location: x";
    let sof: &[u8] = &[0xFF, 0xD8, 0xFF, 0xC3, 0, 11, 8, 0, 4, 0, 4, 1, 1, 0x11, 0];
    for (number, (class, name, more, parts, answers)) in (4_330..).zip([
        (
            Decoder,
            "pixels of a web page",
            pixels,
            vec![("Content-Type: text/html\r\nContent-Location: x", &b"<html>"[..])],
            FAILED,
        ),
        (
            Decoder,
            "pixels of PNG",
            pixels,
            vec![("Content-Type: image/png\r\nContent-Location: x", b"\x89PNG")],
            FAILED,
        ),
        (Decoder, "a JPEG that is none", pixels, vec![(jpeg, b"\xFF\xD8nothing")], FAILED),
        (
            Decoder,
            "a JPEG that is called JPEG 2000",
            pixels,
            vec![("Content-Type: image/jp2\r\nContent-Location: x", sof)],
            FAILED,
        ),
        (
            Decoder,
            "pixels in an unknown transfer syntax",
            pixels,
            vec![(
                "Content-Type: application/octet-stream; transfer-syntax=1.2.3\r\nContent-Location: x",
                b"xx",
            )],
            FAILED,
        ),
        (Decoder, "fragments as pixels", pixels, vec![(part, b"\xFE\xFF\x00\xE0\0\0\0\0")], FAILED),
        (Decoder, "a JPEG that ends at once", pixels, vec![(jpeg, sof)], &[Http(200)]),
        (LengthLie, "four billion frames, of which one came", &frames, vec![(jpeg, sof)], FAILED),
        (
            LengthLie,
            "a frame of number zero",
            pixels,
            vec![("Content-Type: image/jpeg\r\nContent-Location: x/frames/0", sof)],
            FAILED,
        ),
        (
            LengthLie,
            "a frame beyond the last",
            pixels,
            vec![("Content-Type: image/jpeg\r\nContent-Location: x/frames/2", sof)],
            FAILED,
        ),
        (
            LengthLie,
            "a frame of a number that is none",
            pixels,
            vec![("Content-Type: image/jpeg\r\nContent-Location: x/frames/-1", sof)],
            FAILED,
        ),
        (LengthLie, "pixels of two bytes", pixels, vec![(part, b"xx")], &[Http(200)]),
        (
            Injection,
            "a Content-Location that is a file",
            "",
            vec![("Content-Location: file:///etc/passwd", b"xx")],
            &[Http(202)],
        ),
    ]) {
        add_text(cases, class, "json", name, &array(number, more), &parts, answers);
    }
}

fn bulk_bodies(cases: &mut Cases) {
    let sound = array(4_350, "");
    let files = "multipart/related; type=\"application/dicom\"; boundary=b0";
    let mut cut = body("json", &array(4_352, ""), &[]);
    cut.truncate(cut.len() - 12);
    let json = "multipart/related; type=\"application/dicom+json\"; boundary=b0";
    for (name, content_type, bytes, answers) in [
        ("metadata of the other form", json, body("xml", &document(4_351, ""), &[]), &[Http(415)][..]),
        ("metadata that call themselves files", files, body("json", &sound, &[]), FAILED),
        ("no parts", json, b"--b0--\r\n".to_vec(), REFUSED),
        ("no closing boundary", json, cut, REFUSED),
    ] {
        let sent = Sent::Http(vec![Step::Send(request("/dicomweb/studies", content_type, &bytes))]);
        cases.add(Multipart, format!("STOW described: {name}"), sent, answers);
    }
}

fn large(cases: &mut Cases) {
    let any: &[Answer] = &[Http(200), Http(400), Http(409), Http(413), Http(503)];
    let items = |count: usize| format!(r#","00400260":{{"vr":"SQ","Value":[{}{{}}]}}"#, "{},".repeat(count));
    let numbers = format!(r#","00282006":{{"vr":"US","Value":[{}0]}}"#, "0,".repeat(5_000_000));
    let attributes = |count: usize| {
        let attribute =
            |n: usize| format!(r#","{:04X}{:04X}":{{"vr":"LO"}}"#, 0x30 + 2 * (n >> 15), n & 0x7FFF | 1);
        (0..count).map(attribute).collect::<String>()
    };
    let unsorted = |count: usize| {
        let attribute =
            |n: usize| format!(r#","{:04X}{:04X}":{{"vr":"LO","Value":["x"]}}"#, 0x50, 0xFFF0 - n);
        (0..count).map(attribute).collect::<String>()
    };
    for (class, name, text, answers) in [
        (Flood, "a million tiny items", array(4_400, &items(1_000_000)), TOO_LARGE),
        (Flood, "150 000 items", array(4_401, &items(150_000)), any),
        (Flood, "5 million numbers", array(4_402, &numbers), TOO_LARGE),
        (Flood, "300 000 attributes", array(4_403, &attributes(300_000)), &[Http(413), Http(400)][..]),
        (Flood, "60 000 attributes from the last to the first", array(4_404, &unsorted(60_000)), any),
        (Flood, "5 million objects", [b"[", &b"{},".repeat(5_000_000)[..], b"{}]"].concat(), TOO_LARGE),
        (Flood, "5 000 empty objects", [b"[", &b"{},".repeat(4_999)[..], b"{}]"].concat(), FAILED),
        (Memory, "metadata of 17 MB", array(4_407, &" ".repeat(17 << 20)), TOO_LARGE),
        (
            Memory,
            "12 MB of base64",
            array(
                4_408,
                &format!(r#","00291010":{{"vr":"OB","InlineBinary":"{}"}}"#, "AAAA".repeat(3 << 20)),
            ),
            any,
        ),
    ] {
        add_text(cases, class, "json", name, &text, &[], answers);
    }
    // Metadata that never end, and bulk data that do not.
    let content_type = "multipart/related; type=\"application/dicom+json\"; boundary=b0";
    let head = format!(
        "POST /dicomweb/studies HTTP/1.1\r\nHost: telerad\r\nAuthorization: Bearer {}\r\nContent-Type: {content_type}\r\n\
         Content-Length: 99999999999\r\n\r\n",
        super::TOKEN
    );
    let begun = |bytes: &[u8]| {
        [head.as_bytes(), b"--b0\r\nContent-Type: application/dicom+json\r\n\r\n", bytes].concat()
    };
    for (name, first, more, answers) in [
        ("metadata of 90 GB", begun(b"["), b"{},".repeat(20_000), &[Http(413), Closed][..]),
        (
            "bulk data of 90 GB that stop after 60 MB",
            begun(
                &[
                    &array(4_450, r#","00291010":{"vr":"OB","BulkDataURI":"x"}"#)[..],
                    b"\r\n--b0\r\nContent-Location: x\r\n\r\n",
                ]
                .concat(),
            ),
            vec![0; 60_000],
            &[Http(400), Http(408), Closed],
        ),
    ] {
        let steps = vec![Step::Send(first), Step::Repeat(more, 1_000), Step::HalfClose];
        cases.add(Memory, format!("STOW described: {name}"), Sent::Http(steps), answers);
    }
}
