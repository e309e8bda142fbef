//! Before an association is open: what stands in the place of A-ASSOCIATE-RQ, and what is wrong with one.

use std::time::Duration;

use super::{
    Answer::{self, Abort, Associated, Closed, Reject, Released},
    CALLING, Cases,
    Class::{self, Field, Flood, Injection, LengthLie, Memory, Nesting, Slow, State},
    Sent, Step,
    bytes::{CT, Form},
    upper::{
        application, associate, claiming, context, data, echo, fixed, item, item_claiming, pdu, pdv, release,
        request, user_information,
    },
};

const IMPLICIT: &str = Form::Implicit.uid();

pub(super) fn add(cases: &mut Cases) {
    instead_of_a_request(cases);
    lengths(cases);
    contexts(cases);
    user_items(cases);
    titles(cases);
    slow(cases);
}

fn add_bytes(cases: &mut Cases, class: Class, name: &str, bytes: Vec<u8>, answers: &[Answer]) {
    let name = format!("association: {name}");
    cases.add(class, name, Sent::Dicom(vec![Step::Send(bytes)]), answers);
}

fn instead_of_a_request(cases: &mut Cases) {
    for (name, bytes) in [
        ("PDU type 00H", claiming(0, 0, &[])),
        ("PDU type 08H", claiming(8, 10, &[0; 10])),
        ("PDU type FFH", claiming(0xFF, u32::MAX, &[0; 64])),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: telerad\r\n\r\n".to_vec()),
        ("a TLS hello", [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[0x5A; 500]].concat()),
        ("an SSH banner", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        ("an HL7 message", b"\x0BMSH|^~\\&|A|B|C|D|2026||ORM^O01|1|P|2.5\r\x1C\r".to_vec()),
        ("data first", data(&[pdv(1, 3, &echo(1))])),
        ("A-ASSOCIATE-AC first", pdu(2, &[0; 68])),
        ("A-ASSOCIATE-RJ first", pdu(3, &[0, 1, 1, 1])),
        ("A-RELEASE-RQ first", release()),
        ("A-RELEASE-RP first", pdu(6, &[0; 4])),
    ] {
        add_bytes(cases, State, name, bytes, &[Abort]);
    }
    add_bytes(cases, State, "A-ABORT first", pdu(7, &[0; 4]), &[Closed]);
    add_bytes(cases, LengthLie, "A-ABORT of 4 GiB", claiming(7, u32::MAX, &[0; 4]), &[Abort]);
    let twice = [associate(&[(CT, IMPLICIT)]), associate(&[(CT, IMPLICIT)])].concat();
    add_bytes(cases, State, "A-ASSOCIATE-RQ twice", twice, &[Abort]);
    let hasty = [associate(&[(CT, IMPLICIT)]), release()].concat();
    add_bytes(cases, State, "released in the same breath", hasty, &[Released]);
    let aborted = [associate(&[(CT, IMPLICIT)]), pdu(7, &[0; 4])].concat();
    add_bytes(cases, State, "aborted in the same breath", aborted, &[Associated]);
}

fn lengths(cases: &mut Cases) {
    let good = associate(&[(CT, IMPLICIT)]);
    let body = &good[6..];
    let changed = |at: usize, bytes: &[u8]| {
        let mut pdu = good.clone();
        pdu[at..at + bytes.len()].copy_from_slice(bytes);
        pdu
    };
    for (name, bytes) in [
        ("4 GiB announced", claiming(1, u32::MAX, body)),
        ("1 MiB and a byte announced", claiming(1, (1 << 20) + 1, body)),
        ("length 0", claiming(1, 0, &[])),
        ("length 4", claiming(1, 4, &[0; 4])),
        ("fixed fields alone", pdu(1, &body[..68])),
        ("shorter than its items", claiming(1, 100, body)),
        ("application context beyond the PDU", changed(76, &[0xFF, 0xFF])),
        ("application context of no bytes", request(&[item(0x10, b""), context(1, CT, &[IMPLICIT])])),
        (
            "transfer syntax beyond its context",
            request(&[
                application(),
                item(
                    0x20,
                    &[&[1, 0, 0, 0][..], &item(0x30, CT.as_bytes()), &item_claiming(0x40, 900, b"1.2")]
                        .concat(),
                ),
                user_information(&[]),
            ]),
        ),
        (
            "user item beyond user information",
            request(&[
                application(),
                context(1, CT, &[IMPLICIT]),
                item(0x50, &item_claiming(0x51, 0xFFFF, &[0; 4])),
            ]),
        ),
        (
            "maximum length of one byte",
            request(&[application(), context(1, CT, &[IMPLICIT]), item(0x50, &item(0x51, &[1]))]),
        ),
    ] {
        add_bytes(cases, LengthLie, name, bytes, &[Abort, Reject, Associated]);
    }
    let waits = vec![Step::Send(claiming(1, good.len() as u32 + 10, body)), Step::HalfClose];
    cases.add(
        LengthLie,
        "association: longer than it is, then half closed",
        Sent::Dicom(waits),
        &[Abort, Closed],
    );
    let zeros = vec![Step::Send(claiming(1, 1 << 20, &vec![0; 1 << 20]))];
    cases.add(Memory, "association: 1 MiB of zeros", Sent::Dicom(zeros), &[Abort, Reject]);
}

fn contexts(cases: &mut Cases) {
    let with =
        |items: Vec<Vec<u8>>| request(&[&[application()][..], &items, &[user_information(&[])]].concat());
    let one = || context(1, CT, &[IMPLICIT]);
    let syntaxes: Vec<String> = (0..1_000).map(|number| format!("1.2.840.10008.1.2.{number}")).collect();
    let syntaxes: Vec<&str> = syntaxes.iter().map(String::as_str).collect();
    let full: Vec<Vec<u8>> = (0..128).map(|index| context(2 * index + 1, CT, &[IMPLICIT])).collect();
    let nested = (0..200).fold(one(), |inner, _| item(0x20, &[&[1, 0, 0, 0][..], &inner].concat()));
    let bare = |items: &[u8]| item(0x20, &[&[1, 0, 0, 0][..], items].concat());
    for (class, name, bytes, answers) in [
        (Field, "no application context", request(&[one(), user_information(&[])]), &[Reject, Abort][..]),
        (
            Field,
            "a foreign application context",
            request(&[item(0x10, b"1.2.3"), one(), user_information(&[])]),
            &[Reject],
        ),
        (
            Field,
            "two application contexts",
            request(&[application(), application(), one(), user_information(&[])]),
            &[Associated, Reject, Abort],
        ),
        (Field, "an even context id", with(vec![context(2, CT, &[IMPLICIT])]), &[Abort]),
        (Field, "context id 0", with(vec![context(0, CT, &[IMPLICIT])]), &[Abort]),
        (Field, "a repeated context id", with(vec![one(), one()]), &[Abort]),
        (
            Field,
            "a context without abstract syntax",
            with(vec![bare(&item(0x40, IMPLICIT.as_bytes()))]),
            &[Abort],
        ),
        (Field, "a context without transfer syntax", with(vec![context(1, CT, &[])]), &[Associated, Abort]),
        (
            Field,
            "a context with two abstract syntaxes",
            with(vec![bare(
                &[
                    item(0x30, CT.as_bytes()),
                    item(0x30, b"1.2.840.10008.1.1"),
                    item(0x40, IMPLICIT.as_bytes()),
                ]
                .concat(),
            )]),
            &[Associated, Abort],
        ),
        (Flood, "128 contexts", with(full), &[Associated]),
        (Flood, "5 000 contexts", with(vec![one(); 5_000]), &[Abort]),
        (Flood, "1 000 transfer syntaxes", with(vec![context(1, CT, &syntaxes)]), &[Associated]),
        (Nesting, "contexts inside each other", with(vec![nested]), &[Abort, Associated, Reject]),
        (Field, "an empty abstract syntax", with(vec![context(1, "", &[IMPLICIT])]), &[Associated, Abort]),
        (
            Injection,
            "an abstract syntax that is a path",
            with(vec![context(1, "../../../../etc/passwd", &[IMPLICIT])]),
            &[Associated],
        ),
        (
            Injection,
            "a transfer syntax with control characters",
            with(vec![context(1, CT, &["1.2\r\n\x1B[31m"])]),
            &[Associated],
        ),
        (
            LengthLie,
            "a UID of 60 000 digits",
            with(vec![context(1, &"1.2".repeat(20_000), &[IMPLICIT])]),
            &[Associated, Abort],
        ),
        (Field, "no context at all", with(vec![]), &[Associated, Abort, Reject]),
        (Field, "protocol version 0", versioned(0), &[Reject]),
        (Field, "protocol version 2", versioned(2), &[Reject]),
        (Field, "protocol version FFFFH", versioned(0xFFFF), &[Associated]),
    ] {
        add_bytes(cases, class, name, bytes, answers);
    }
}

fn versioned(version: u16) -> Vec<u8> {
    let items = [application(), context(1, CT, &[IMPLICIT]), user_information(&[])].concat();
    pdu(1, &[fixed(version, b"TELERAD", CALLING.as_bytes()), items].concat())
}

fn user_items(cases: &mut Cases) {
    let with = |more: &[u8]| request(&[application(), context(1, CT, &[IMPLICIT]), user_information(more)]);
    let only = |item_51: &[u8]| {
        request(&[application(), context(1, CT, &[IMPLICIT]), item(0x50, &item(0x51, item_51))])
    };
    let role = item(0x54, &[&[0, 25][..], CT.as_bytes(), &[1, 1]].concat());
    let identity = |primary: u16, secondary: u16, bytes: &[u8]| {
        let body = [&[2, 1][..], &primary.to_be_bytes(), &bytes[..bytes.len() / 2]].concat();
        item(0x58, &[&body[..], &secondary.to_be_bytes(), &bytes[bytes.len() / 2..]].concat())
    };
    for (class, name, bytes, answers) in [
        (
            Field,
            "no user information",
            request(&[application(), context(1, CT, &[IMPLICIT])]),
            &[Associated, Abort, Reject][..],
        ),
        (
            Field,
            "user information twice",
            request(&[
                application(),
                context(1, CT, &[IMPLICIT]),
                user_information(&[]),
                user_information(&[]),
            ]),
            &[Associated, Abort],
        ),
        (LengthLie, "a maximum length of 7", only(&7_u32.to_be_bytes()), &[Abort]),
        (LengthLie, "a maximum length of 1", only(&1_u32.to_be_bytes()), &[Abort]),
        (Memory, "no maximum length", only(&0_u32.to_be_bytes()), &[Associated]),
        (Memory, "a maximum length of 4 GiB", only(&u32::MAX.to_be_bytes()), &[Associated]),
        (Flood, "64 KiB of unknown user items", with(&item(0x7E, &[]).repeat(16_000)), &[Associated, Abort]),
        (Flood, "1 500 role selections", with(&role.repeat(1_500)), &[Associated, Abort]),
        (
            Memory,
            "a user identity of 60 000 bytes",
            with(&identity(30_000, 30_000, &[b'x'; 60_000])),
            &[Associated],
        ),
        (
            LengthLie,
            "a user identity that lies",
            with(&identity(0xFFFF, 0xFFFF, b"user")),
            &[Abort, Associated],
        ),
        (Field, "an empty user identity", with(&item(0x58, &[])), &[Abort, Associated]),
        (Field, "a window of 65 535 operations", with(&item(0x53, &[0xFF; 4])), &[Associated]),
        (Field, "a window of no operations", with(&item(0x53, &[0; 4])), &[Associated]),
        (Field, "a window of one byte", with(&item(0x53, &[1])), &[Abort, Associated]),
        (
            Memory,
            "an implementation version of 60 000 bytes",
            with(&item(0x55, &[b'v'; 60_000])),
            &[Associated, Abort],
        ),
        (
            Injection,
            "an implementation version with line ends",
            with(&item(0x55, b"1\r\nFATAL all is lost")),
            &[Associated],
        ),
    ] {
        add_bytes(cases, class, name, bytes, answers);
    }
    let mut reserved = associate(&[(CT, IMPLICIT)]);
    reserved[1] = 0xFF;
    reserved[8..10].copy_from_slice(&[0xFF; 2]);
    reserved[42..74].copy_from_slice(&[0xFF; 32]);
    add_bytes(cases, Field, "reserved bytes that are set", reserved, &[Associated]);
}

fn titles(cases: &mut Cases) {
    let items = [application(), context(1, CT, &[IMPLICIT]), user_information(&[])].concat();
    let calling = |title: &[u8]| pdu(1, &[&fixed(1, b"TELERAD", title)[..], &items].concat());
    let called = |title: &[u8]| pdu(1, &[&fixed(1, title, CALLING.as_bytes())[..], &items].concat());
    for (name, title) in [
        ("nobody's", &b"NOBODY"[..]),
        ("empty", b""),
        ("zeros", &[0; 16]),
        ("control characters", b"\x1B[2J\r\nHOSTILE"),
        ("not ASCII", b"\xC3\xBC\xFF\xFE"),
        ("a path", b"../../etc/passwd"),
        ("SQL", b"' OR '1'='1"),
        ("a wildcard", b"HOST%"),
        ("a format", b"%s%s%n%n"),
        ("a script", b"<script>alert(1"),
    ] {
        let name = format!("calling AE title: {name}");
        add_bytes(cases, Injection, &name, calling(title), &[Reject]);
    }
    for (name, title) in [("control characters", &b"\x1B[2J\r\nX"[..]), ("zeros", &[0; 16])] {
        add_bytes(
            cases,
            Injection,
            &format!("called AE title: {name}"),
            called(title),
            &[Associated, Reject],
        );
    }
}

fn slow(cases: &mut Cases) {
    let good = associate(&[(CT, IMPLICIT)]);
    let every = Duration::from_millis(50);
    for (name, steps, answers) in [
        ("a peer that never speaks", vec![], &[Abort, Closed][..]),
        ("one byte, then silence", vec![Step::Send(vec![1])], &[Abort, Closed]),
        ("a header, then silence", vec![Step::Send(good[..6].to_vec())], &[Abort, Closed]),
        ("a request byte by byte, too slowly", vec![Step::Drip(good.clone(), every)], &[Abort, Closed]),
        (
            "all but the last byte, then silence",
            vec![Step::Send(good[..good.len() - 1].to_vec())],
            &[Abort, Closed],
        ),
        ("half closed at once", vec![Step::HalfClose], &[Closed, Abort]),
        (
            "half closed in the request",
            vec![Step::Send(good[..40].to_vec()), Step::HalfClose],
            &[Closed, Abort],
        ),
        (
            "half closed behind the request",
            vec![Step::Send(good.clone()), Step::HalfClose],
            &[Associated, Abort],
        ),
        ("gone in the request", vec![Step::Send(good[..40].to_vec()), Step::Leave], &[Closed]),
        ("gone behind the request", vec![Step::Send(good.clone()), Step::Leave], &[Closed]),
        ("an open association without a word", vec![Step::Send(good), Step::Pause(every)], &[Associated]),
    ] {
        cases.add(Slow, format!("association: {name}"), Sent::Dicom(steps), answers);
    }
}
