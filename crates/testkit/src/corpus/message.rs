//! On an open association: fragments, command sets, and messages without a place.

use std::time::Duration;

use super::{
    Answer::{self, Abort, Associated, Closed, Released, Status},
    Cases,
    Class::{self, Field, Flood, Injection, LengthLie, Memory, Nesting, Slow, State},
    MISMATCH, NOT_UNDERSTOOD, Sent, Step,
    bytes::{CT, DataSet, Form, ITEM, UNDEFINED, instance_uid},
    upper::{
        AVAILABILITY, VERIFICATION, associate, claiming, command, data, echo, element, pdu, pdv, release,
        short, store,
    },
};

const IMPLICIT: &str = Form::Implicit.uid();
const STORED: Answer = super::STORED;

pub(super) fn add(cases: &mut Cases) {
    fragments(cases);
    command_sets(cases);
    wrong_commands(cases);
    stores(cases);
    floods(cases);
    breaks(cases);
    notices(cases);
}

/// The association on which all of these go: 1 CT, 3 verification, 5 availability, 7 a service that we refuse.
fn open() -> Vec<u8> {
    let find = "1.2.840.10008.5.1.4.31";
    associate(&[(CT, IMPLICIT), (VERIFICATION, IMPLICIT), (AVAILABILITY, IMPLICIT), (find, IMPLICIT)])
}

fn add_bytes(cases: &mut Cases, class: Class, name: &str, bytes: &[u8], answers: &[Answer]) {
    let steps = vec![Step::Send([&open(), bytes].concat())];
    cases.add(class, format!("message: {name}"), Sent::Dicom(steps), answers);
}

fn begin(number: u32) -> Vec<u8> {
    pdv(1, 3, &store(1, CT, &instance_uid(number)))
}

fn fragments(cases: &mut Cases) {
    let echo = echo(7);
    for (class, name, bytes) in [
        (LengthLie, "P-DATA of 4 GiB", claiming(4, u32::MAX, &[0; 64])),
        (LengthLie, "P-DATA a byte longer than announced", claiming(4, 256 * 1024 + 1, &[0; 64])),
        (LengthLie, "P-DATA of no bytes", claiming(4, 0, &[])),
        (LengthLie, "P-DATA without room for a value", pdu(4, &[0; 5])),
        (LengthLie, "a value longer than its PDU", pdu(4, &[0, 0, 0, 100, 1, 3, 0, 0])),
        (LengthLie, "a value of 4 GiB", pdu(4, &[0xFF, 0xFF, 0xFF, 0xFF, 1, 3])),
        (LengthLie, "a value of length 0", pdu(4, &[0, 0, 0, 0, 1, 3])),
        (LengthLie, "a value of length 1", pdu(4, &[0, 0, 0, 1, 1, 3])),
        (LengthLie, "crumbs behind a value", pdu(4, &[0, 0, 0, 2, 3, 1, 9, 9])),
        (State, "a context that nobody proposed", data(&[pdv(99, 3, &echo)])),
        (State, "a context that was refused", data(&[pdv(7, 3, &echo)])),
        (State, "an even context", data(&[pdv(2, 3, &echo)])),
        (State, "data without a command", data(&[pdv(1, 2, b"data")])),
        (State, "data in a command", data(&[pdv(1, 1, &echo[..9]), pdv(1, 0, b"x")])),
        (State, "a command in data", data(&[begin(1), pdv(1, 0, b"abcd"), pdv(1, 3, &echo)])),
        (State, "two contexts interleaved in data", data(&[begin(1), pdv(3, 0, b"abcd")])),
        (
            State,
            "two contexts interleaved in a command",
            data(&[pdv(1, 1, &echo[..9]), pdv(3, 3, &echo[9..])]),
        ),
        (State, "a second association request", associate(&[(CT, IMPLICIT)])),
        (State, "A-ASSOCIATE-AC", pdu(2, &[0; 68])),
        (State, "A-RELEASE-RP", pdu(6, &[0; 4])),
        (State, "PDU type 41H", claiming(0x41, 1, &[0])),
        (State, "released inside a message", [data(&[begin(1)]), release()].concat()),
    ] {
        add_bytes(cases, class, name, &bytes, &[Abort]);
    }
    let crumbs: Vec<Vec<u8>> = echo.iter().map(|byte| pdv(3, 1, &[*byte])).chain([pdv(3, 3, b"")]).collect();
    let crumbs: Vec<u8> = crumbs.iter().flat_map(|value| data(std::slice::from_ref(value))).collect();
    add_bytes(cases, State, "a command in values of one byte", &crumbs, &[Status(0)]);
    add_bytes(
        cases,
        State,
        "unknown bits in the control header",
        &data(&[pdv(3, 0xFF, &echo)]),
        &[Status(0), Abort],
    );
}

fn command_sets(cases: &mut Cases) {
    let mut cut = echo(1);
    cut.truncate(20);
    let explicit = [&[0, 0, 0, 1][..], b"US", &[2, 0], &[0x30, 0]].concat();
    let big: Vec<u8> = [0, 0, 1, 0, 0, 0, 0, 2, 0, 0x30].to_vec();
    let value_lies = |length: u32| {
        [&[0, 0, 2, 0][..], &length.to_le_bytes(), VERIFICATION.as_bytes(), &short(0x0100, 0x30)].concat()
    };
    for (class, name, set) in [
        (Field, "empty", vec![]),
        (LengthLie, "cut off", cut),
        (Field, "garbage", vec![0xFF; 200]),
        (Field, "zeros", vec![0; 200]),
        (Field, "of another group", vec![8, 0, 5, 0, 0, 0, 0, 0]),
        (Field, "explicit", explicit),
        (Field, "big endian", big),
        (LengthLie, "with a value of 4 GiB", value_lies(u32::MAX)),
        (LengthLie, "with a value of 2 GiB", value_lies(0x7FFF_FFFE)),
        (LengthLie, "with a value a byte too long", value_lies(200)),
        (Field, "without command field", command(&[short(0x0110, 1), short(0x0800, 0x0101)])),
        (Field, "without message id", command(&[short(0x0100, 0x30), short(0x0800, 0x0101)])),
        (Field, "without data set type", command(&[short(0x0100, 0x30), short(0x0110, 1)])),
        (
            Field,
            "with an empty command field",
            command(&[element(0x0100, b""), short(0x0110, 1), short(0x0800, 0x0101)]),
        ),
        (
            Field,
            "with a command field of four bytes",
            command(&[element(0x0100, &[0x30, 0, 0, 0]), short(0x0110, 1), short(0x0800, 0x0101)]),
        ),
        (Memory, "of 66 kB", element(0x0902, &[b'x'; 66_000])),
    ] {
        let values: Vec<Vec<u8>> = match set.is_empty() {
            true => vec![pdv(3, 3, b"")],
            false => {
                let last = (set.len() - 1) / 8_000;
                set.chunks(8_000)
                    .enumerate()
                    .map(|(index, chunk)| pdv(3, if index == last { 3 } else { 1 }, chunk))
                    .collect()
            }
        };
        let bytes: Vec<u8> = values.iter().flat_map(|value| data(std::slice::from_ref(value))).collect();
        add_bytes(cases, class, &format!("a command set {name}"), &bytes, &[Abort]);
    }
    let mut lying_group = echo(1);
    lying_group[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    add_bytes(cases, LengthLie, "a group length of 4 GiB", &data(&[pdv(3, 3, &lying_group)]), &[Status(0)]);
    let twice = command(&[
        element(0x0002, VERIFICATION.as_bytes()),
        short(0x0100, 0x30),
        short(0x0100, 0x01),
        short(0x0110, 1),
        short(0x0110, 2),
        short(0x0800, 0x0101),
    ]);
    add_bytes(
        cases,
        Field,
        "elements that stand twice",
        &data(&[pdv(3, 3, &twice)]),
        &[Status(0), Status(0x0122), Status(0x0212), NOT_UNDERSTOOD, Abort],
    );
    let unsorted = command(&[
        short(0x0800, 0x0101),
        short(0x0110, 1),
        short(0x0100, 0x30),
        element(0x0002, VERIFICATION.as_bytes()),
    ]);
    add_bytes(cases, Field, "elements out of order", &data(&[pdv(3, 3, &unsorted)]), &[Status(0)]);
}

fn wrong_commands(cases: &mut Cases) {
    for (name, field) in [
        ("C-GET", 0x0010),
        ("C-FIND", 0x0020),
        ("C-MOVE", 0x0021),
        ("N-EVENT-REPORT", 0x0100),
        ("N-GET", 0x0110),
        ("N-SET", 0x0120),
        ("N-ACTION", 0x0130),
        ("N-CREATE", 0x0140),
        ("N-DELETE", 0x0150),
        ("command field 0000H", 0x0000),
        ("command field 7FFEH", 0x7FFE),
    ] {
        let set = command(&[
            element(0x0002, CT.as_bytes()),
            short(0x0100, field),
            short(0x0110, 3),
            short(0x0800, 0x0101),
        ]);
        add_bytes(
            cases,
            State,
            &format!("{name} on a storage context"),
            &data(&[pdv(1, 3, &set)]),
            &[Status(0x0211), Status(0x0122)],
        );
    }
    for (name, field) in
        [("C-ECHO-RSP", 0x8030_u16), ("C-STORE-RSP", 0x8001), ("a response to nothing", 0xFFFF)]
    {
        let set = command(&[short(0x0100, field), short(0x0120, 5), short(0x0800, 0x0101), short(0x0900, 0)]);
        add_bytes(cases, State, name, &data(&[pdv(1, 3, &set)]), &[Abort]);
    }
    let cancel = command(&[short(0x0100, 0x0FFF), short(0x0120, 9), short(0x0800, 0x0101)]);
    let then_echo = data(&[pdv(1, 3, &cancel), pdv(3, 3, &echo(8))]);
    add_bytes(cases, State, "C-CANCEL of nothing, then C-ECHO", &then_echo, &[Status(0)]);
    let echo_with_data = command(&[
        element(0x0002, VERIFICATION.as_bytes()),
        short(0x0100, 0x30),
        short(0x0110, 1),
        short(0x0800, 1),
    ]);
    let bytes = data(&[pdv(3, 3, &echo_with_data), pdv(3, 2, b"what for")]);
    add_bytes(cases, State, "C-ECHO with a data set", &bytes, &[Status(0), Status(0x0212), Abort]);
    add_bytes(
        cases,
        State,
        "C-ECHO on a storage context",
        &data(&[pdv(1, 3, &echo(1))]),
        &[Status(0), Status(0x0122), Status(0x0211)],
    );
}

fn stores(cases: &mut Cases) {
    let refused = [NOT_UNDERSTOOD, MISMATCH, Status(0x0117), Status(0x0122), Status(0x0120), Status(0x0115)];
    let object = DataSet::image(Form::Implicit, 9_000).bytes();
    let on = |context: u8, set: &[u8]| data(&[pdv(context, 3, set), pdv(context, 2, &object)]);
    for (class, name, instance) in [
        (Injection, "a path", "../../../../etc/cron.d/telerad"),
        (Injection, "an absolute path", "/etc/passwd"),
        (Injection, "a Windows path", "..\\..\\windows\\system32"),
        (Injection, "a command", "1.2.3; rm -rf /"),
        (Injection, "SQL", "1.2.3' OR '1'='1"),
        (Injection, "a line end", "1.2.3\r\nSet-Cookie: a=b"),
        (Field, "nothing", ""),
        (Field, "65 digits", "1.23456789012345678901234567890123456789012345678901234567890123456"),
        (Field, "leading zeros", "1.02.3"),
        (Field, "dots alone", "..."),
        (Field, "a zero byte inside", "1.2\0.3"),
        (Memory, "60 000 digits", Box::leak("1".repeat(60_000).into_boxed_str())),
    ] {
        let set = store(1, CT, instance);
        add_bytes(cases, class, &format!("C-STORE of an instance named {name}"), &on(1, &set), &refused);
    }
    let without = |number: u16| {
        let all = [
            (0x0002, element(0x0002, CT.as_bytes())),
            (0x0100, short(0x0100, 1)),
            (0x0110, short(0x0110, 1)),
            (0x0800, short(0x0800, 1)),
            (0x1000, element(0x1000, b"2.25.7700.9000.1.1")),
        ];
        command(&all.into_iter().filter(|(n, _)| *n != number).map(|(_, bytes)| bytes).collect::<Vec<_>>())
    };
    add_bytes(cases, Field, "C-STORE without SOP class", &on(1, &without(0x0002)), &refused);
    add_bytes(cases, Field, "C-STORE without SOP instance", &on(1, &without(0x1000)), &refused);
    let other = store(1, "1.2.840.10008.5.1.4.1.1.4", "2.25.7700.9000.1.1");
    add_bytes(cases, State, "C-STORE of another class than its context", &on(1, &other), &refused);
    add_bytes(
        cases,
        State,
        "C-STORE on the verification context",
        &on(3, &store(1, CT, "2.25.7700.9000.1.1")),
        &[NOT_UNDERSTOOD, Status(0x0122), Status(0x0211), Status(0x0117), Status(0x0212)],
    );
    let no_data = command(&[
        element(0x0002, CT.as_bytes()),
        short(0x0100, 1),
        short(0x0110, 1),
        short(0x0800, 0x0101),
        element(0x1000, b"2.25.7700.9001.1.1"),
    ]);
    add_bytes(
        cases,
        Field,
        "C-STORE without a data set",
        &data(&[pdv(1, 3, &no_data)]),
        &[NOT_UNDERSTOOD, Status(0x0115), Status(0x0212), Status(0x0120)],
    );
    let odd = command(&[
        element(0x0002, CT.as_bytes()),
        short(0x0100, 1),
        short(0x0110, 1),
        short(0x0700, 7),
        short(0x0800, 1),
        element(0x1000, instance_uid(9_000).as_bytes()),
        element(0x1030, &[b'M'; 1_000]),
        short(0x1031, 0xFFFF),
    ]);
    add_bytes(
        cases,
        Field,
        "C-STORE with an unknown priority and a mover of 1 000 letters",
        &on(1, &odd),
        &[STORED],
    );
    let two =
        [on(1, &store(1, CT, &instance_uid(9_000))), on(1, &store(1, CT, &instance_uid(9_000)))].concat();
    add_bytes(cases, State, "the same message id twice", &two, &[STORED, Status(0x0210), Abort]);
}

fn floods(cases: &mut Cases) {
    let flood =
        |cases: &mut Cases, class, name: &str, first: Vec<u8>, bytes: Vec<u8>, times, answers: &[Answer]| {
            let steps =
                vec![Step::Send([open(), first].concat()), Step::Repeat(bytes, times), Step::HalfClose];
            cases.add(class, format!("message: {name}"), Sent::Dicom(steps), answers);
        };
    let ends = [Abort, Closed, Associated];
    let empty = data(&[pdv(3, 1, b"")]).repeat(64);
    flood(cases, Flood, "100 000 command fragments of no bytes", vec![], empty, 1_600, &ends);
    let empty = data(&[begin(9_002)]);
    let nothing = data(&[pdv(1, 0, b"")]).repeat(64);
    flood(cases, Flood, "100 000 data fragments of no bytes", empty, nothing, 1_600, &ends);
    let crumbs = data(&[pdv(1, 0, &[0])]).repeat(64);
    flood(cases, Flood, "100 000 data fragments of one byte", data(&[begin(9_003)]), crumbs, 1_600, &ends);
    let zeros = data(&[pdv(1, 0, &[0; 16_000])]);
    flood(cases, Memory, "64 MB of zeros for a data set", data(&[begin(9_004)]), zeros, 4_000, &ends);
    let texts = Form::Implicit.element((0x0009, 0x1001), "LO", &[b'x'; 15_000]);
    let texts = data(&[pdv(1, 0, &texts)]);
    flood(
        cases,
        Memory,
        "64 MB of private elements, never ending",
        data(&[begin(9_005)]),
        texts,
        4_200,
        &ends,
    );
    let open_items = Form::Implicit.item(ITEM, UNDEFINED).repeat(1_000);
    let sequence = Form::Implicit.claiming((0x0008, 0x1140), "SQ", UNDEFINED, &[]);
    let first = data(&[begin(9_006), pdv(1, 0, &sequence)]);
    let items = data(&[pdv(1, 0, &open_items)]);
    flood(cases, Nesting, "items that never end", first, items, 2_000, &ends);
    let echoes: Vec<u8> = (0..1_000).flat_map(|id| data(&[pdv(3, 3, &echo(id))])).collect();
    add_bytes(cases, Flood, "1 000 C-ECHO in one breath", &[echoes.clone(), release()].concat(), &[Released]);
    let unread = vec![Step::Send(open()), Step::Repeat(echoes, 20), Step::Leave];
    cases.add(Flood, "message: 20 000 C-ECHO whose answers nobody reads", Sent::Dicom(unread), &[Closed]);
    let many: Vec<u8> = (1..60)
        .flat_map(|id| {
            let set = command(&[
                element(0x0002, CT.as_bytes()),
                short(0x0100, 1),
                short(0x0110, id),
                short(0x0800, 1),
                element(0x1000, instance_uid(9_010 + u32::from(id)).as_bytes()),
            ]);
            data(&[pdv(1, 3, &set), pdv(1, 2, b"nothing")])
        })
        .collect();
    add_bytes(
        cases,
        Flood,
        "59 broken objects in one breath",
        &[many, release()].concat(),
        &[Released, Abort],
    );
}

fn breaks(cases: &mut Cases) {
    let head =
        [open(), data(&[begin(9_020), pdv(1, 0, &DataSet::identifiers(Form::Implicit, 9_020).bytes())])];
    let head = head.concat();
    let quick = Duration::from_millis(40);
    for (name, steps, answers) in [
        (
            "closed in an object",
            vec![Step::Send(head.clone()), Step::HalfClose],
            &[Abort, Closed, Associated][..],
        ),
        ("gone in an object", vec![Step::Send(head.clone()), Step::Leave], &[Closed]),
        ("silent in an object", vec![Step::Send(head.clone())], &[Associated]),
        (
            "aborted in an object",
            vec![Step::Send([&head[..], &pdu(7, &[0; 4])].concat())],
            &[Associated, Closed],
        ),
        (
            "silent in the header of a PDU",
            vec![Step::Send([&open()[..], &[4, 0, 0]].concat())],
            &[Associated],
        ),
        (
            "an echo byte by byte, then silence",
            vec![Step::Send(open()), Step::Drip(data(&[pdv(3, 3, &echo(1))]), quick / 4)],
            &[Status(0)],
        ),
    ] {
        cases.add(Slow, format!("message: {name}"), Sent::Dicom(steps), answers);
    }
}

fn notices(cases: &mut Cases) {
    let create = command(&[
        element(0x0002, AVAILABILITY.as_bytes()),
        short(0x0100, 0x0140),
        short(0x0110, 1),
        short(0x0800, 1),
        element(0x1000, b"2.25.7700.1"),
    ]);
    let answers = [Status(0x0106), Status(0x0110), Status(0x0120), Status(0x0213), NOT_UNDERSTOOD, Abort];
    let notice = |bytes: &[u8]| {
        let mut values = vec![pdv(5, 3, &create)];
        values.extend(bytes.chunks(16_000).map(|chunk| pdv(5, 0, chunk)));
        values.push(pdv(5, 2, b""));
        values.iter().flat_map(|value| data(std::slice::from_ref(value))).collect::<Vec<u8>>()
    };
    let form = Form::Implicit;
    let study = form.element((0x0020, 0x000D), "UI", b"2.25.7700.5");
    let deep = form.nested((0x0008, 0x1115), "SQ", 20_000, UNDEFINED);
    let instances: Vec<u8> = form.item(ITEM, 0).repeat(200_000);
    let many = form.claiming((0x0008, 0x1115), "SQ", instances.len() as u32, &instances);
    for (class, name, bytes) in [
        (Field, "of garbage", vec![0xA5; 500]),
        (Field, "of nothing", vec![]),
        (LengthLie, "with a value of 4 GiB", form.claiming((0x0020, 0x000D), "UI", u32::MAX - 1, b"1.2")),
        (Nesting, "nested 20 000 deep", [study.clone(), deep].concat()),
        (Memory, "of 5 MiB", form.element((0x0020, 0x000D), "UI", &vec![b'1'; 5 << 20])),
        (Flood, "of 200 000 items", [study, many].concat()),
    ] {
        let name = format!("an availability notification {name}");
        add_bytes(cases, class, &name, &notice(&bytes), &answers);
    }
}
