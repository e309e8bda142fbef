//! STOW-RS: bodies that are no multipart, never end, lie, or hold what is no DICOM.

use std::{fmt::Write as _, time::Duration};

use super::{
    Answer::{self, Closed, Http},
    Cases,
    Class::{self, Desync, Field, Flood, Inflate, Injection, LengthLie, Memory, Multipart, Nesting, Slow},
    Sent, Step, TOKEN,
    bytes::{CT, DataSet, Form, ITEM, UNDEFINED, file_head, instance_uid},
};

const TYPE: &str = "multipart/related; type=\"application/dicom\"; boundary=b0";
const PART: &str = "\r\nContent-Type: application/dicom\r\n\r\n";

pub(super) fn add(cases: &mut Cases) {
    boundaries(cases);
    bodies(cases);
    parts(cases);
    objects(cases);
    heads(cases);
    framing(cases);
    slow(cases);
}

/// A request with a body of its true length.
pub(super) fn request(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}\r\n", body.len());
    [head("POST", path, &format!("Content-Type: {content_type}\r\n{length}")).as_bytes(), body].concat()
}

fn head(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: telerad\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n")
}

fn add_body(
    cases: &mut Cases,
    class: Class,
    name: &str,
    content_type: &str,
    body: &[u8],
    answers: &[Answer],
) {
    let steps = vec![Step::Send(request("/dicomweb/studies", content_type, body))];
    cases.add(class, format!("STOW: {name}"), Sent::Http(steps), answers);
}

/// A sound file.
fn file(number: u32) -> Vec<u8> {
    let head = file_head(CT, &instance_uid(number), Form::Explicit.uid());
    [head, DataSet::image(Form::Explicit, number).bytes()].concat()
}

fn body(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut body: Vec<u8> =
        parts.iter().flat_map(|part| [b"--b0", PART.as_bytes(), part, b"\r\n"].concat()).collect();
    body.extend(b"--b0--\r\n");
    body
}

fn boundaries(cases: &mut Cases) {
    let sound = body(&[file(3_000)]);
    let long = "x".repeat(71);
    let related = "multipart/related; type=\"application/dicom\"";
    for (name, content_type) in [
        ("no boundary", related.to_owned()),
        ("an empty boundary", format!("{related}; boundary=")),
        ("an empty boundary in quotes", format!("{related}; boundary=\"\"")),
        ("a boundary of 71 characters", format!("{related}; boundary={long}")),
        ("a boundary of 10 000 characters", format!("{related}; boundary={}", "y".repeat(10_000))),
        ("form data", "multipart/form-data; boundary=b0".to_owned()),
        ("mixed", "multipart/mixed; boundary=b0".to_owned()),
        ("plain DICOM", "application/dicom".to_owned()),
        ("text", "text/plain".to_owned()),
        ("no content type", String::new()),
        ("a content type of garbage", ";;;=\"=;".to_owned()),
        ("parts of another type", "multipart/related; type=\"text/html\"; boundary=b0".to_owned()),
    ] {
        add_body(cases, Multipart, name, &content_type, &sound, &[Http(415), Http(400)]);
    }
    let other = format!("{related}; boundary=other");
    add_body(cases, Multipart, "a boundary that never comes", &other, &sound, &[Http(400)]);
    let quoted = format!("{related}; boundary=\"b 0\"");
    add_body(cases, Multipart, "a boundary with a space", &quoted, &sound, &[Http(400)]);
    let two = format!("{related}; boundary=b1; boundary=b0");
    add_body(cases, Desync, "two boundaries", &two, &sound, &[Http(400), Http(200), Http(415)]);
}

fn bodies(cases: &mut Cases) {
    let whole = file(3_001);
    let sound = body(std::slice::from_ref(&whole));
    let cut = sound.len() - 8;
    let part = |text: &str| [text.as_bytes(), b"--b0--\r\n"].concat();
    for (class, name, bytes, answers) in [
        (Multipart, "an empty body", vec![], &[Http(400)][..]),
        (Multipart, "only the closing boundary", b"--b0--\r\n".to_vec(), &[Http(400)]),
        (Multipart, "no closing boundary", sound[..cut].to_vec(), &[Http(400)]),
        (Multipart, "cut inside a part", sound[..sound.len() / 2].to_vec(), &[Http(400)]),
        (Multipart, "cut inside a boundary", sound[..cut + 3].to_vec(), &[Http(400)]),
        (Multipart, "only a preamble", vec![b'p'; 100_000], &[Http(400)]),
        (Memory, "a preamble of 20 MB", vec![b'p'; 20 << 20], &[Http(400), Http(413), Closed]),
        (Multipart, "an epilogue of 1 MB", [&sound[..], &vec![b'e'; 1 << 20]].concat(), &[Http(200)]),
        (
            Multipart,
            "line feeds alone",
            part(&format!("--b0\nContent-Type: application/dicom\n\n{}\n", "x")),
            &[Http(400), Http(409)],
        ),
        (Multipart, "a part without head", part("--b0\r\n\r\nnothing\r\n"), &[Http(409), Http(400)]),
        (
            Multipart,
            "a part without body",
            part("--b0\r\nContent-Type: application/dicom\r\n\r\n\r\n"),
            &[Http(409), Http(400)],
        ),
        (
            Multipart,
            "a part head without end",
            [b"--b0\r\n".to_vec(), b"X: y\r\n".repeat(300_000)].concat(),
            &[Http(400), Http(413), Http(431), Closed],
        ),
        (
            Memory,
            "a part head of 8 MB in one line",
            part(&format!("--b0\r\nX-Long: {}\r\n\r\nx\r\n", "h".repeat(8 << 20))),
            &[Http(400), Http(413), Http(431), Closed],
        ),
        (
            Flood,
            "a part head of 2 000 lines",
            part(&format!("--b0\r\n{}\r\nx\r\n", "X: y\r\n".repeat(2_000))),
            &[Http(400), Http(409), Http(413), Http(431)],
        ),
    ] {
        add_body(cases, class, name, TYPE, &bytes, answers);
    }
}

fn parts(cases: &mut Cases) {
    let part = |text: &str| [text.as_bytes(), b"--b0--\r\n"].concat();
    for (class, name, bytes, answers) in [
        (
            Injection,
            "a file name with line ends",
            part("--b0\r\nContent-Disposition: attachment; filename=\"a\r\nSet-Cookie: x=y\"\r\n\r\nx\r\n"),
            &[Http(400), Http(409)][..],
        ),
        (
            Injection,
            "a file name that is a path",
            part("--b0\r\nContent-Disposition: attachment; filename=\"../../../etc/cron.d/x\"\r\n\r\nx\r\n"),
            &[Http(400), Http(409)],
        ),
        (
            Injection,
            "a Content-Location that is a path",
            part(
                "--b0\r\nContent-Type: application/dicom\r\nContent-Location: file:///etc/passwd\r\n\r\nx\r\n",
            ),
            &[Http(400), Http(409)],
        ),
        (
            Multipart,
            "a multipart inside a part",
            part(&format!(
                "--b0\r\nContent-Type: multipart/related; boundary=b1\r\n\r\n--b1{PART}x\r\n--b1--\r\n\r\n"
            )),
            &[Http(409), Http(400)],
        ),
        (
            Nesting,
            "2 000 multiparts inside each other",
            part(&(0..2_000).fold(String::new(), |mut text, number| {
                let _ = write!(
                    text,
                    "--b{number}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n",
                    number + 1
                );
                text
            })),
            &[Http(409), Http(400)],
        ),
        (
            Inflate,
            "a part with a content encoding",
            part("--b0\r\nContent-Type: application/dicom\r\nContent-Encoding: gzip\r\n\r\n\x1F\u{8B}\r\n"),
            &[Http(409), Http(400), Http(415)],
        ),
        (
            Multipart,
            "a part in base64",
            part(
                "--b0\r\nContent-Type: application/dicom\r\nContent-Transfer-Encoding: base64\r\n\r\nRElDTQ==\r\n",
            ),
            &[Http(409), Http(400)],
        ),
        (
            Multipart,
            "a part that is a page",
            part("--b0\r\nContent-Type: text/html\r\n\r\n<html>\r\n"),
            &[Http(409), Http(400), Http(415)],
        ),
        (Flood, "50 001 parts", body(&vec![vec![b'x']; 50_001]), &[Http(413)]),
        (Multipart, "boundaries alone", b"--b0\r\n".repeat(20_000), &[Http(400), Http(409), Http(413)]),
        (
            Multipart,
            "one sound part, one that is nothing",
            body(&[file(3_001), b"nothing".to_vec()]),
            &[Http(202)],
        ),
    ] {
        add_body(cases, class, name, TYPE, &bytes, answers);
    }
}

fn objects(cases: &mut Cases) {
    let e = Form::Explicit;
    let number = 3_100;
    let head = |class: &str, instance: &str, syntax: &str| file_head(class, instance, syntax);
    let sound = DataSet::image(e, number).bytes();
    let usual = || head(CT, &instance_uid(number), e.uid());
    let meta = |bytes: &[u8]| [&[0; 128][..], b"DICM", bytes].concat();
    for (class, name, bytes) in [
        (Field, "an empty file", vec![]),
        (Field, "a preamble alone", vec![0; 128]),
        (Field, "DICM and no more", meta(b"")),
        (Field, "file meta alone", usual()),
        (Field, "a picture", [&b"\x89PNG\r\n\x1A\n"[..], &[0; 400]].concat()),
        (Field, "a ZIP archive", [&b"PK\x03\x04"[..], &[0; 400]].concat()),
        (LengthLie, "file meta of 4 GiB", meta(&e.claiming((2, 1), "OB", u32::MAX - 1, &[0, 1]))),
        (LengthLie, "file meta without end", meta(&e.element((2, 1), "OB", &[0, 1]).repeat(8_000))),
        (Field, "file meta without transfer syntax", meta(&e.element((2, 2), "UI", CT.as_bytes()))),
        (Injection, "a transfer syntax that is a path", head(CT, "1.2.3", "../../etc/passwd")),
        (Field, "an empty transfer syntax", head(CT, "1.2.3", "")),
        (Field, "implicit file meta", meta(&Form::Implicit.element((2, 1), "OB", &[0, 1]))),
        (
            Nesting,
            "nested 100 000 deep",
            [
                usual(),
                DataSet::image(e, number)
                    .raw((0x40, 0x260), e.nested((0x40, 0x260), "SQ", 100_000, UNDEFINED))
                    .bytes(),
            ]
            .concat(),
        ),
        (
            Memory,
            "4 GiB among the identifiers",
            [usual(), DataSet::image(e, number).claiming((8, 0x2112), "UN", u32::MAX - 1, b"x").bytes()]
                .concat(),
        ),
        (
            LengthLie,
            "an item without end",
            [
                usual(),
                DataSet::identifiers(e, number)
                    .claiming((0x40, 0x260), "SQ", UNDEFINED, &e.item(ITEM, UNDEFINED))
                    .bytes(),
            ]
            .concat(),
        ),
        (Field, "no study", [usual(), DataSet::image(e, number).without((0x20, 0xD)).bytes()].concat()),
        (
            Injection,
            "a study that is a path",
            [usual(), DataSet::image(e, number).with((0x20, 0xD), "UI", b"../../../../tmp/x").bytes()]
                .concat(),
        ),
        (
            Inflate,
            "deflated in name only",
            [head(CT, &instance_uid(number), "1.2.840.10008.1.2.1.99"), sound].concat(),
        ),
    ] {
        add_body(
            cases,
            class,
            &format!("a part that is {name}"),
            TYPE,
            &body(&[bytes]),
            &[Http(409), Http(400)],
        );
    }
    let mut program = file(3_101);
    program[..8].copy_from_slice(b"MZ\x90\0\x03\0\0\0");
    add_body(cases, Injection, "a program in the preamble", TYPE, &body(&[program]), &[Http(200)]);
    let mismatch =
        Sent::Http(vec![Step::Send(request("/dicomweb/studies/2.25.1", TYPE, &body(&[file(3_102)])))]);
    cases.add(Field, "STOW: another study than the address says", mismatch, &[Http(409)]);
    for (name, study) in [
        ("a path", "..%2F..%2Fetc%2Fpasswd"),
        ("a zero byte", "1.2%00.3"),
        ("65 digits", "1.23456789012345678901234567890123456789012345678901234567890123456"),
        ("SQL", "1'%20OR%201=1--"),
    ] {
        let path = format!("/dicomweb/studies/{study}");
        let sent = Sent::Http(vec![Step::Send(request(&path, TYPE, &body(&[file(3_103)])))]);
        cases.add(
            Injection,
            format!("STOW: a study in the address that is {name}"),
            sent,
            &[Http(400), Http(404)],
        );
    }
    let foreign = Sent::Http(vec![Step::Send(request(
        "/dicomweb/centres/another-centre/studies",
        TYPE,
        &body(&[file(3_104)]),
    ))]);
    cases.add(Injection, "STOW: into another centre", foreign, &[Http(404)]);
}

fn heads(cases: &mut Cases) {
    let sound = body(&[file(3_200)]);
    for (class, name, more, answers) in [
        (Inflate, "a body in gzip", "Content-Encoding: gzip\r\n", &[Http(415)][..]),
        (Inflate, "a body in deflate", "Content-Encoding: deflate\r\n", &[Http(415)]),
        (
            Inflate,
            "a body that claims no encoding by name",
            "Content-Encoding: identity\r\n",
            &[Http(415), Http(200)],
        ),
        (Field, "a number of instances that is none", "Telerad-Study-Instances: many\r\n", &[Http(200)]),
        (Field, "4 billion instances to come", "Telerad-Study-Instances: 4294967295\r\n", &[Http(200)]),
        (Slow, "an expectation nobody knows", "Expect: the-unexpected\r\n", &[Http(200), Http(417)]),
    ] {
        let more = format!("{more}Content-Type: {TYPE}\r\nContent-Length: {}\r\n", sound.len());
        let bytes = [head("POST", "/dicomweb/studies", &more).as_bytes(), &sound].concat();
        cases.add(class, format!("STOW: {name}"), Sent::Http(vec![Step::Send(bytes)]), answers);
    }
    let nobody = format!(
        "POST /dicomweb/studies HTTP/1.1\r\nHost: x\r\nContent-Type: {TYPE}\r\nContent-Length: {}\r\n\r\n",
        sound.len()
    );
    let sent = Sent::Http(vec![Step::Send([nobody.as_bytes(), &sound].concat())]);
    cases.add(Field, "STOW: without a token", sent, &[Http(401)]);
    let endless = format!(
        "POST /dicomweb/studies HTTP/1.1\r\nHost: x\r\nContent-Type: {TYPE}\r\nContent-Length: 99999999999\r\n\r\n"
    );
    let sent = Sent::Http(vec![
        Step::Send(endless.into_bytes()),
        Step::Repeat(vec![b'x'; 64 << 10], 500),
        Step::HalfClose,
    ]);
    cases.add(Memory, "STOW: 90 GB without a token", sent, &[Http(401), Closed]);
}

fn framing(cases: &mut Cases) {
    let sound = body(&[file(3_300)]);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let with = |more: &str, bytes: &[u8]| {
        let more = format!("Content-Type: {TYPE}\r\n{more}");
        vec![Step::Send([head("POST", "/dicomweb/studies", &more).as_bytes(), bytes].concat())]
    };
    let chunk = |size: &str, bytes: &[u8]| [size.as_bytes(), b"\r\n", bytes, b"\r\n"].concat();
    let whole = [chunk(&format!("{:x}", sound.len()), &sound), b"0\r\n\r\n".to_vec()].concat();
    let length = sound.len();
    let tiny: Vec<u8> = sound.iter().flat_map(|byte| chunk("1", &[*byte])).chain(*b"0\r\n\r\n").collect();
    for (class, name, steps, answers) in [
        (
            Desync,
            "both Content-Length and Transfer-Encoding",
            with(&format!("Content-Length: 5\r\n{chunked}"), &whole),
            &[Http(200), Http(400)][..],
        ),
        (
            Desync,
            "both Transfer-Encoding and Content-Length",
            with(&format!("{chunked}Content-Length: 5\r\n"), &whole),
            &[Http(200), Http(400)],
        ),
        (
            Desync,
            "two lengths that differ",
            with(&format!("Content-Length: 5\r\nContent-Length: {length}\r\n"), &sound),
            &[Http(400)],
        ),
        (
            Desync,
            "a length with a sign",
            with(&format!("Content-Length: +{length}\r\n"), &sound),
            &[Http(400)],
        ),
        (Desync, "a length below zero", with("Content-Length: -1\r\n", &sound), &[Http(400)]),
        (
            Desync,
            "a length beyond 64 bits",
            with("Content-Length: 99999999999999999999999\r\n", &sound),
            &[Http(400)],
        ),
        (
            Desync,
            "a length that is a list",
            with(&format!("Content-Length: {length}, {length}\r\n"), &sound),
            &[Http(400)],
        ),
        (
            Desync,
            "an encoding with a tab",
            with("Transfer-Encoding:\tchunked\r\n", &whole),
            &[Http(200), Http(400)],
        ),
        (
            Desync,
            "an encoding that is not chunked",
            with("Transfer-Encoding: gzip\r\n", &whole),
            &[Http(400)],
        ),
        (Desync, "chunked, then gzip", with("Transfer-Encoding: chunked, gzip\r\n", &whole), &[Http(400)]),
        (
            Desync,
            "a space before the colon",
            with(&format!("Content-Length : {length}\r\n"), &sound),
            &[Http(400)],
        ),
        (LengthLie, "a chunk of no size", with(chunked, &chunk("", &sound)), &[Http(400)]),
        (LengthLie, "a chunk of letters", with(chunked, &chunk("xyz", &sound)), &[Http(400)]),
        (
            LengthLie,
            "a chunk beyond 64 bits",
            with(chunked, &chunk("fffffffffffffffff", &sound)),
            &[Http(400)],
        ),
        (LengthLie, "a chunk below zero", with(chunked, &chunk("-1", &sound)), &[Http(400)]),
        (LengthLie, "a chunk shorter than its bytes", with(chunked, &chunk("5", &sound)), &[Http(400)]),
        (
            Memory,
            "a chunk extension of 1 MB",
            with(chunked, &chunk(&format!("5;{}", "e".repeat(1 << 20)), b"hello")),
            &[Http(400), Closed],
        ),
        (Flood, "chunks of one byte", with(chunked, &tiny), &[Http(200)]),
    ] {
        cases.add(class, format!("STOW: {name}"), Sent::Http(steps), answers);
    }
    let mut trailer = with(chunked, &[&whole[..whole.len() - 2], &b"X: y\r\n".repeat(100_000)[..]].concat());
    trailer.push(Step::HalfClose);
    cases.add(Flood, "STOW: 100 000 trailers", Sent::Http(trailer), &[Http(200), Http(400), Closed]);
}

fn slow(cases: &mut Cases) {
    let sound = body(&[file(3_400)]);
    let more = format!("Content-Type: {TYPE}\r\nContent-Length: {}\r\n", sound.len());
    let head = head("POST", "/dicomweb/studies", &more).into_bytes();
    let begun = |bytes: &[u8]| Step::Send([&head[..], bytes].concat());
    for (name, steps, answers) in [
        ("silent before the body", vec![begun(b"")], &[Http(400), Closed, Http(408)][..]),
        ("silent in the body", vec![begun(&sound[..300])], &[Http(400), Closed, Http(408)]),
        ("half closed in the body", vec![begun(&sound[..300]), Step::HalfClose], &[Http(400), Closed]),
        ("gone in the body", vec![begun(&sound[..300]), Step::Leave], &[Closed]),
        (
            "a body byte by byte",
            vec![begun(b""), Step::Drip(sound.clone(), Duration::from_millis(400))],
            &[Http(400), Closed, Http(408)],
        ),
    ] {
        cases.add(Slow, format!("STOW: {name}"), Sent::Http(steps), answers);
    }
}
