//! Peers that break the protocol, by mistake or on purpose.

use dimse::{AcceptorConfig, ProtocolError, Requestor, RequestorConfig};
use proptest::prelude::*;

use crate::support::*;

/// A-ABORT of the service provider with this reason.
fn abort(reason: u8) -> Vec<u8> {
    vec![7, 0, 0, 0, 0, 4, 0, 0, 2, reason]
}

const UNRECOGNISED: u8 = 1;
const UNEXPECTED: u8 = 2;
const INVALID: u8 = 6;

fn established() -> Server {
    let contexts: &[(&str, &[&str])] = &[
        (CT, &[IMPLICIT]),
        (VERIFICATION, &[IMPLICIT]),
        (AVAILABILITY, &[IMPLICIT]),
        ("1.2.840.10008.5.1.4.31", &[IMPLICIT]),
    ];
    Server::established(AcceptorConfig::new("TELERAD"), contexts)
}

fn store(context_id: u8) -> Vec<u8> {
    pdv(context_id, 3, &request(1, 1, CT, "1.2.3", true))
}

/// Header of a PDU that declares a length and brings nothing.
fn header(pdu_type: u8, length: u32) -> Vec<u8> {
    [&[pdu_type, 0][..], &length.to_be_bytes()].concat()
}

#[test]
fn before_the_association() {
    let good = associate_rq("CENTRE", "TELERAD", &[(CT, &[IMPLICIT])], 0);
    let changed = |at: usize, bytes: &[u8]| {
        let mut pdu = good.clone();
        pdu[at..at + bytes.len()].copy_from_slice(bytes);
        pdu
    };
    let cases: Vec<(&str, Vec<u8>, Vec<u8>, &str)> = vec![
        ("unknown type", header(0, 0), abort(UNRECOGNISED), "unknown PDU type 00H"),
        ("unknown type", header(8, 10), abort(UNRECOGNISED), "unknown PDU type 08H"),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), abort(UNRECOGNISED), "unknown PDU type 47H"),
        ("TLS", vec![0x16, 3, 1, 0, 0xa5, 1], abort(UNRECOGNISED), "unknown PDU type 16H"),
        (
            "data",
            p_data(&[store(1)]),
            abort(UNEXPECTED),
            "P-DATA-TF PDU is not expected before the association",
        ),
        ("answer", header(2, 100), abort(UNEXPECTED), "A-ASSOCIATE-AC PDU is not expected"),
        ("rejection", header(3, 4), abort(UNEXPECTED), "A-ASSOCIATE-RJ PDU is not expected"),
        ("release", pdu(5, &[0; 4]), abort(UNEXPECTED), "A-RELEASE-RQ PDU is not expected"),
        ("release response", pdu(6, &[0; 4]), abort(UNEXPECTED), "A-RELEASE-RP PDU is not expected"),
        ("too long", header(1, 1024 * 1024 + 1), abort(INVALID), "exceeds the limit of 1048576 bytes"),
        ("longest", header(1, u32::MAX), abort(INVALID), "exceeds the limit"),
        ("empty", header(1, 0), abort(INVALID), "could not be read"),
        ("only fixed fields", pdu(1, &good[6..74]), abort(INVALID), "could not be read"),
        ("item beyond the PDU", changed(76, &[0xff, 0xff]), abort(INVALID), "could not be read"),
        ("protocol version 2", changed(6, &[0, 2]), vec![3, 0, 0, 0, 0, 4, 0, 1, 2, 2], "version 0002H"),
        ("application context", changed(78, b"9"), vec![3, 0, 0, 0, 0, 4, 0, 1, 1, 2], "application context"),
        ("even id", associate_rq_ids("A", "B", &[(2, CT, &[IMPLICIT])], 0), abort(INVALID), "context id 2"),
        (
            "repeated id",
            associate_rq_ids("A", "B", &[(1, CT, &[IMPLICIT]), (1, CT, &[EXPLICIT])], 0),
            abort(INVALID),
            "context id 1",
        ),
        ("tiny maximum", associate_rq("A", "B", &[(CT, &[IMPLICIT])], 7), abort(INVALID), "at most 7 bytes"),
        ("abort with a length", header(7, 5), abort(INVALID), "impossible length of 5"),
    ];
    for (name, bytes, answer, message) in cases {
        let mut server = Server::new();
        server.receive(&bytes);
        assert_eq!(server.errors.len(), 1, "{name} {:?}", server.log);
        assert!(server.errors[0].to_string().contains(message), "{name}: {}", server.errors[0]);
        assert_eq!(server.outgoing(), answer, "{name}");
        assert!(server.acceptor.is_finished(), "{name}");
        server.receive(&good);
        assert!(server.outgoing().is_empty() && server.errors.len() == 1, "{name}: nothing after the end");
    }
}

#[test]
fn inside_the_association() {
    let echo = request(0x0030, 7, VERIFICATION, "", false);
    let long_command = [element(0x0902, &vec![b'x'; 65_000]), element(0x0902, &[b'x'; 1000])].concat();
    let command_pdvs: Vec<_> = long_command.chunks(8000).map(|chunk| pdv(1, 1, chunk)).collect();
    let mut no_status_type = request(0x0030, 7, VERIFICATION, "", false);
    no_status_type.truncate(no_status_type.len() - 10);
    let cases: Vec<(&str, Vec<u8>, u8, &str)> = vec![
        (
            "second request",
            associate_rq("A", "B", &[(CT, &[IMPLICIT])], 0),
            UNEXPECTED,
            "A-ASSOCIATE-RQ PDU is not",
        ),
        ("release response", pdu(6, &[0; 4]), UNEXPECTED, "A-RELEASE-RP PDU is not expected"),
        ("unknown type", header(0x41, 1), UNRECOGNISED, "unknown PDU type 41H"),
        ("oversize", header(4, 128 * 1024 + 1), INVALID, "exceeds the limit of 131072 bytes"),
        ("longest", header(4, u32::MAX), INVALID, "exceeds the limit"),
        ("empty PDU", header(4, 0), INVALID, "impossible length of 0"),
        ("no room for a value", pdu(4, &[0; 5]), INVALID, "impossible length of 5"),
        ("value longer than its PDU", pdu(4, &[0, 0, 0, 100, 1, 3, 0, 0]), INVALID, "declares 100 bytes"),
        ("longest value", pdu(4, &[0xff, 0xff, 0xff, 0xff, 1, 3]), INVALID, "declares 4294967295 bytes"),
        ("value without header", pdu(4, &[0, 0, 0, 1, 1, 3]), INVALID, "declares 1 bytes"),
        ("value of length 0", pdu(4, &[0, 0, 0, 0, 1, 3]), INVALID, "declares 0 bytes"),
        ("crumbs after a value", pdu(4, &[0, 0, 0, 2, 3, 1, 9, 9]), INVALID, "has 2 left"),
        ("unknown context", p_data(&[pdv(99, 3, &echo)]), INVALID, "context 99 was not accepted"),
        ("refused context", p_data(&[pdv(7, 3, &echo)]), INVALID, "context 7 was not accepted"),
        ("even context", p_data(&[pdv(2, 3, &echo)]), INVALID, "context 2 was not accepted"),
        ("data first", p_data(&[pdv(1, 2, b"data")]), UNEXPECTED, "without a complete command"),
        (
            "data in a command",
            p_data(&[pdv(1, 1, &echo[..9]), pdv(1, 0, b"x")]),
            UNEXPECTED,
            "without a complete command",
        ),
        (
            "command in data",
            p_data(&[store(1), pdv(1, 0, b"abcd"), pdv(1, 3, &echo)]),
            UNEXPECTED,
            "inside a data set",
        ),
        (
            "other context in data",
            p_data(&[store(1), pdv(3, 0, b"abcd")]),
            INVALID,
            "context 3 inside a message of",
        ),
        (
            "other context in a command",
            p_data(&[pdv(1, 1, &echo[..9]), pdv(3, 3, &echo[9..])]),
            INVALID,
            "context 3 inside",
        ),
        (
            "data after the data",
            p_data(&[store(1), pdv(1, 2, b"ab"), pdv(1, 2, b"cd")]),
            UNEXPECTED,
            "without a complete",
        ),
        ("command set of 66 kB", p_data(&command_pdvs), 0, "exceeds the limit of 65536 bytes"),
        (
            "release inside a message",
            [p_data(&[store(1)]), pdu(5, &[0; 4])].concat(),
            UNEXPECTED,
            "inside a message",
        ),
        ("empty command", p_data(&[pdv(1, 3, b"")]), INVALID, "could not be read"),
        ("cut command", p_data(&[pdv(1, 3, &echo[..20])]), INVALID, "could not be read"),
        ("garbage command", p_data(&[pdv(1, 3, &[0xff; 200])]), INVALID, "could not be read"),
        ("other group", p_data(&[pdv(1, 3, &[8, 0, 5, 0, 0, 0, 0, 0])]), INVALID, "could not be read"),
        ("no data set type", p_data(&[pdv(1, 3, &no_status_type)]), INVALID, "could not be read"),
        (
            "response",
            p_data(&[pdv(1, 3, &[us(0x100, 0x8001), us(0x120, 5), us(0x800, 0x101)].concat())]),
            0,
            "8001H to message 5",
        ),
    ];
    for (name, bytes, reason, message) in cases {
        for piece in [usize::MAX, 1, 7] {
            let mut server = established();
            for chunk in bytes.chunks(piece) {
                server.receive(chunk);
            }
            assert_eq!(server.errors.len(), 1, "{name} {:?}", server.log);
            assert!(server.errors[0].to_string().contains(message), "{name}: {}", server.errors[0]);
            let out = server.outgoing();
            assert!(out.ends_with(&abort(reason)), "{name} {out:?}");
            assert!(server.acceptor.is_finished(), "{name}");
        }
    }
}

#[test]
fn unusual_but_lawful() {
    let echo = request(0x0030, 7, VERIFICATION, "", false);
    let ok = |id| (0x8030, id, 0, String::new(), String::new());

    let mut server = established();
    let parts: Vec<_> = echo.chunks(5).map(|chunk| pdv(3, 1, chunk)).chain([pdv(3, 3, b"")]).collect();
    server.receive(&p_data(&parts));
    for part in parts {
        server.receive(&p_data(&[part]));
    }
    assert_eq!(responses(&server.outgoing()), [ok(7), ok(7)], "a command over many values and PDUs");

    let store = |id| request(1, id, CT, "1.2.3", true);
    server.receive(&p_data(&[
        pdv(1, 3, &store(8)),
        pdv(1, 0, b""),
        pdv(1, 0, b"ab"),
        pdv(1, 0, b""),
        pdv(1, 2, b""),
    ]));
    assert_eq!(server.stores[0].1, b"ab", "empty values");
    assert_eq!(responses(&server.outgoing())[0].1, 8);

    server.receive(&p_data(&[pdv(3, 3, &echo), pdv(1, 3, &store(9)), pdv(1, 2, b"cd"), pdv(3, 3, &echo)]));
    let ids: Vec<_> = responses(&server.outgoing()).iter().map(|r| (r.0, r.1)).collect();
    assert_eq!(ids, [(0x8030, 7), (0x8001, 9), (0x8030, 7)], "several messages in one PDU");

    server.receive(&p_data(&[pdv(3, 0xff, &echo)]));
    assert_eq!(responses(&server.outgoing()), [ok(7)], "upper control bits are not looked at");

    let cancel = [us(0x100, 0x0fff), us(0x120, 5), us(0x800, 0x101)].concat();
    server.receive(&p_data(&[pdv(1, 3, &cancel)]));
    assert!(server.outgoing().is_empty() && server.errors.is_empty(), "C-CANCEL is passed over");

    server.receive(&pdu(5, &[0; 4]));
    assert_eq!(server.outgoing(), [6, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    assert!(server.acceptor.is_finished());
}

#[test]
fn requests_that_are_refused() {
    let long = "1".repeat(65);
    let data = pdv(1, 2, b"some data set");
    let on = |context: u8, command: Vec<u8>, data: &[Vec<u8>]| {
        p_data(&[&[pdv(context, 3, &command)][..], data].concat())
    };
    let store = |class: &str, instance: &str| {
        on(1, request(1, 5, class, instance, true), std::slice::from_ref(&data))
    };
    let notice = |bytes: &[u8]| on(5, request(0x140, 5, AVAILABILITY, "", true), &[pdv(5, 2, bytes)]);
    let cases: Vec<(&str, Vec<u8>, u16, u16)> = vec![
        ("C-FIND", on(1, request(0x20, 5, CT, "", true), std::slice::from_ref(&data)), 0x8020, 0x0211),
        ("C-GET", on(1, request(0x10, 5, CT, "", true), std::slice::from_ref(&data)), 0x8010, 0x0211),
        ("C-MOVE", on(1, request(0x21, 5, CT, "", true), std::slice::from_ref(&data)), 0x8021, 0x0211),
        ("N-ACTION", on(1, request(0x130, 5, CT, "", true), std::slice::from_ref(&data)), 0x8130, 0x0211),
        ("N-GET", on(1, request(0x110, 5, CT, "", false), &[]), 0x8110, 0x0211),
        (
            "N-CREATE elsewhere",
            on(1, request(0x140, 5, CT, "", true), std::slice::from_ref(&data)),
            0x8140,
            0x0211,
        ),
        ("unknown", on(1, request(0x7777, 5, CT, "", false), &[]), 0xf777, 0x0211),
        ("no class", store("", "1.2.3"), 0x8001, 0x0122),
        ("long class", store(&long, "1.2.3"), 0x8001, 0x0122),
        ("not a storage class", store(VERIFICATION, "1.2.3"), 0x8001, 0x0122),
        ("no instance", store(CT, ""), 0x8001, 0x0117),
        ("long instance", store(CT, &long), 0x8001, 0x0117),
        ("path as instance", store(CT, "../../1"), 0x8001, 0x0117),
        ("no data set", on(1, request(1, 5, CT, "1.2.3", false), &[]), 0x8001, 0xc000),
        (
            "store on verification",
            on(3, request(1, 5, CT, "1.2.3", true), &[pdv(3, 2, b"ab")]),
            0x8001,
            0x0122,
        ),
        ("notice without data", on(5, request(0x140, 5, AVAILABILITY, "", false), &[]), 0x8140, 0x0120),
        (
            "notice of another class",
            on(5, request(0x140, 5, CT, "", true), &[pdv(5, 2, b"ab")]),
            0x8140,
            0x0122,
        ),
        ("empty notice", notice(b""), 0x8140, 0x0120),
        ("garbage notice", notice(&[0xff; 64]), 0x8140, 0x0110),
        ("lying notice", notice(&[0x20, 0, 0x0d, 0, 0xff, 0xff, 0xff, 0x7f]), 0x8140, 0x0110),
        ("bad UID in a notice", notice(&[0x20, 0, 0x0d, 0, 2, 0, 0, 0, b'x', b'y']), 0x8140, 0x0106),
    ];
    for (name, bytes, field, status) in cases {
        let mut server = established();
        server.receive(&bytes);
        assert!(server.errors.is_empty(), "{name} {:?}", server.errors);
        let answers = responses(&server.outgoing());
        assert_eq!(answers.len(), 1, "{name}");
        assert_eq!((answers[0].0, answers[0].1, answers[0].2), (field, 5, status), "{name}");
        assert!(server.stores.is_empty() && server.notices.is_empty(), "{name}");
        assert_eq!(server.log.len(), 1, "{name} {:?}", server.log);
        assert_eq!(server.acceptor.outstanding(), 0, "{name}");
        server.receive(&p_data(&[pdv(3, 3, &request(0x30, 6, VERIFICATION, "", false))]));
        assert_eq!(responses(&server.outgoing())[0].1, 6, "{name}: the association goes on");
    }
}

#[test]
fn a_notice_beyond_its_limit_is_refused_and_not_kept() {
    let mut server = established();
    server.receive(&p_data(&[pdv(5, 3, &request(0x140, 5, AVAILABILITY, "", true))]));
    let limit = AcceptorConfig::new("TELERAD").max_notice;
    for _ in 0..limit / 65_536 + 3 {
        server.receive(&p_data(&[pdv(5, 0, &[0; 65_536])]));
        assert!(server.acceptor.held_bytes() <= limit);
    }
    server.receive(&p_data(&[pdv(5, 2, b"")]));
    assert_eq!(responses(&server.outgoing())[0].2, 0x0213);
}

#[test]
fn operations_without_answer_are_counted_and_their_ids_are_unique() {
    let mut acceptor = dimse::Acceptor::new(AcceptorConfig::new("TELERAD"));
    acceptor.receive(&associate_rq("CENTRE", "TELERAD", &[(VERIFICATION, &[IMPLICIT])], 0));
    acceptor.next_event().unwrap();
    acceptor.accept().unwrap();
    acceptor.take_outgoing();
    let echo = |id| p_data(&[pdv(1, 3, &request(0x30, id, VERIFICATION, "", false))]);
    for id in 0..16 {
        acceptor.receive(&echo(id));
        assert!(matches!(acceptor.next_event(), Ok(Some(dimse::Event::Echo { .. }))));
    }
    assert!(acceptor.take_outgoing().is_none());
    acceptor.respond_echo(3).unwrap();
    assert!(
        acceptor.respond_echo(3).is_err() && acceptor.respond_store(4, dimse::Status::SUCCESS, None).is_err()
    );
    assert_eq!(responses(&acceptor.take_outgoing().unwrap())[0].1, 3);
    acceptor.receive(&echo(7));
    assert!(matches!(acceptor.next_event(), Ok(Some(dimse::Event::Refused { message_id: 7, .. }))));
    assert_eq!(responses(&acceptor.take_outgoing().unwrap())[0].2, 0x0210);
    acceptor.receive(&echo(100));
    assert!(matches!(acceptor.next_event(), Ok(Some(_))));
    acceptor.receive(&echo(101));
    assert!(matches!(acceptor.next_event(), Err(ProtocolError::TooManyOperations { limit: 16 })));
}

#[test]
fn peers_abort() {
    for (bytes, expected) in [
        ([0, 0, 0, 0], "aborted User"),
        ([0, 0, 2, 6], "aborted Provider(6)"),
        ([0, 0, 2, 99], "aborted Provider(99)"),
        ([0, 0, 77, 0], "aborted Other(77)"),
    ] {
        let mut server = established();
        server.receive(&[p_data(&[store(1), pdv(1, 0, b"abcd")]), pdu(7, &bytes)].concat());
        assert_eq!(server.log.last().unwrap(), expected);
        assert!(server.outgoing().is_empty() && server.acceptor.is_finished());
        server.acceptor.connection_closed().unwrap();
    }
}

#[test]
fn a_declared_length_costs_nothing() {
    let mut server = Server::new();
    server.receive(&header(1, 1024 * 1024));
    assert!(server.acceptor.buffer().capacity() < 512 * 1024, "{}", server.acceptor.buffer().capacity());
    let mut server = established();
    server.receive(&[header(4, 128 * 1024), pdv(1, 1, &[0; 60_000])[..6].to_vec()].concat());
    assert!(server.acceptor.held_bytes() <= 6);
}

#[test]
fn a_store_of_any_size_is_handed_on_and_not_held() {
    const PIECE: usize = 10_007;
    const TOTAL: usize = 64 * 1024 * 1024;
    let mut acceptor = dimse::Acceptor::new(AcceptorConfig::new("TELERAD"));
    acceptor.receive(&associate_rq("CENTRE", "TELERAD", &[(CT, &[IMPLICIT])], 0));
    acceptor.next_event().unwrap();
    acceptor.accept().unwrap();
    let pdu = p_data(&[pdv(1, 0, &[0x5a; 65_000]), pdv(1, 0, &[0xa5; 5_000])]);
    let mut stream = p_data(&[store(1)]);
    let (mut sent, mut seen) = (0, 0);
    while sent < TOTAL {
        stream.extend_from_slice(&pdu);
        sent += 70_000;
        while stream.len() >= PIECE {
            let buffer = acceptor.buffer();
            assert!(buffer.capacity() <= 256 * 1024, "{}", buffer.capacity());
            buffer.extend_from_slice(&stream[..PIECE]);
            stream.drain(..PIECE);
            while let Some(event) = acceptor.next_event().unwrap() {
                match event {
                    dimse::Event::StoreData(data) => seen += data.len(),
                    dimse::Event::StoreBegin(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            acceptor.take_outgoing();
            assert!(acceptor.held_bytes() < 12, "only part of a header may stay: {}", acceptor.held_bytes());
        }
    }
    assert!(seen > TOTAL - 100_000 && seen <= sent);
}

#[test]
fn an_association_request_that_never_ends_is_held_up_to_its_limit() {
    let mut server = Server::new();
    server.receive(&header(1, 1024 * 1024));
    for _ in 0..15 {
        server.receive(&[0; 65_536]);
        assert!(server.errors.is_empty() && server.acceptor.held_bytes() <= 1024 * 1024 + 6);
    }
    server.receive(&[0; 65_536]);
    assert_eq!((server.errors.len(), server.acceptor.held_bytes()), (1, 10), "the A-ABORT only");
}

#[test]
fn servers_that_break_the_protocol() {
    let config = || RequestorConfig::new("CENTRE", "TELERAD").with_verification();
    let accepted = {
        let mut server = Server::new();
        server.receive(&Requestor::new(config()).unwrap().take_outgoing().unwrap());
        server.outgoing()
    };
    let response = |field: u16, id: u16, extra: &[u8]| {
        let command = [us(0x100, field), us(0x120, id), us(0x800, 0x101), extra.to_vec()].concat();
        p_data(&[pdv(1, 3, &command)])
    };
    let ok = us(0x900, 0);
    let cases: Vec<(&str, bool, Vec<u8>, &str)> = vec![
        ("data instead of an answer", false, response(0x8030, 1, &ok), "P-DATA-TF PDU is not expected"),
        ("request instead of an answer", false, header(1, 10), "A-ASSOCIATE-RQ PDU is not expected"),
        ("garbage answer", false, pdu(2, &[0; 100]), "could not be read"),
        ("rejection of another length", false, header(3, 6), "impossible length of 6"),
        ("wrong id", true, response(0x8030, 2, &ok), "to message 2"),
        ("wrong field", true, response(0x8001, 1, &ok), "8001H"),
        ("request", true, p_data(&[pdv(1, 3, &request(0x30, 1, VERIFICATION, "", false))]), "0030H"),
        ("no status", true, response(0x8030, 1, &[]), "could not be read"),
        ("wrong context", true, p_data(&[pdv(3, 3, &ok)]), "context 3 was not accepted"),
    ];
    for (name, is_established, bytes, message) in cases {
        let mut requestor = Requestor::new(config()).unwrap();
        requestor.take_outgoing();
        if is_established {
            requestor.receive(&accepted);
            requestor.next_event().unwrap().unwrap();
            requestor.echo().unwrap();
            requestor.take_outgoing();
        }
        requestor.receive(&bytes);
        let error = requestor.next_event().expect_err(name);
        assert!(error.to_string().contains(message), "{name}: {error}");
        assert_eq!(requestor.take_outgoing().unwrap()[0], 7, "{name}");
        assert!(requestor.is_finished() && requestor.next_event().unwrap().is_none());
    }
}

/// A long lawful conversation, to be damaged.
fn conversation() -> Vec<u8> {
    let contexts: &[(&str, &[&str])] =
        &[(CT, &[IMPLICIT]), (VERIFICATION, &[IMPLICIT]), (AVAILABILITY, &[IMPLICIT])];
    let notice = dimse::AvailabilityNotice { study_instance_uid: "1.2".to_owned(), series: Vec::new() };
    let notice = notice.encode(dimse::NoticeSyntax::ImplicitLittleEndian).unwrap();
    [
        associate_rq("CENTRE", "TELERAD", contexts, 16_384),
        p_data(&[pdv(3, 3, &request(0x30, 1, VERIFICATION, "", false))]),
        p_data(&[pdv(1, 3, &request(1, 2, CT, "1.2.3", true)), pdv(1, 0, &[1; 50])]),
        p_data(&[pdv(1, 2, &[2; 50])]),
        p_data(&[pdv(5, 3, &request(0x140, 3, AVAILABILITY, "", true)), pdv(5, 2, &notice)]),
        p_data(&[pdv(1, 3, &request(0x20, 4, CT, "", true)), pdv(1, 2, b"query")]),
        pdu(5, &[0; 4]),
    ]
    .concat()
}

/// Everything an acceptor may hold when its events were taken: one association PDU, one command set, one notice and the
/// answers, which the tests take after each piece.
const MOST_HELD: usize = 1024 * 1024 + 6 + 64 * 1024 + 64 * 1024;

fn feed(server: &mut Server, bytes: &[u8], piece: usize) {
    for chunk in bytes.chunks(piece) {
        server.receive(chunk);
        assert!(server.acceptor.held_bytes() <= MOST_HELD);
        server.outgoing();
        if server.acceptor.is_finished() {
            assert!(server.errors.len() <= 1);
            return;
        }
    }
}

#[test]
fn the_conversation_is_lawful() {
    let mut server = Server::new();
    feed(&mut server, &conversation(), 11);
    assert!(server.errors.is_empty(), "{:?}", server.errors);
    let log =
        ["request CENTRE true", "echo 1", "store 2", "end 2", "notified 3", "unsupported 0020 4", "release"];
    assert_eq!(server.log, log);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2000), piece in 1..300_usize) {
        feed(&mut Server::new(), &bytes, piece);
        feed(&mut established(), &bytes, piece);
        let mut requestor = Requestor::new(RequestorConfig::new("A", "B").with_verification()).unwrap();
        requestor.receive(&bytes);
        while let Ok(Some(_)) = requestor.next_event() {}
    }

    #[test]
    fn random_bodies(pdu_type in 0..9_u8, body in proptest::collection::vec(any::<u8>(), 0..600), piece in 1..300_usize) {
        let bytes = pdu(pdu_type, &body);
        feed(&mut Server::new(), &bytes, piece);
        feed(&mut established(), &bytes, piece);
        feed(&mut established(), &p_data(&[pdv(1, 3, &body), pdv(1, 2, &body)]), piece);
        let mut requestor = Requestor::new(RequestorConfig::new("A", "B").with_verification()).unwrap();
        requestor.receive(&bytes);
        while let Ok(Some(_)) = requestor.next_event() {}
    }

    #[test]
    fn damaged_conversations(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut: proptest::sample::Index,
        piece in 1..300_usize,
    ) {
        let mut bytes = conversation();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        feed(&mut Server::new(), &bytes, piece);
        let cut = cut.index(bytes.len());
        bytes.remove(cut);
        feed(&mut Server::new(), &bytes, piece);
    }
}
