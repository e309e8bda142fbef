//! Storage commitment on the wire: requests, reports on the peer's association and on ours, and peers that get it wrong.

use dimse::{
    AcceptorConfig, CommitmentReport, CommitmentRequest, FailedSop, NoticeSyntax, Requestor, RequestorConfig,
    RequestorEvent, SopReference, Status, StatusClass, requestor::Operation,
};

use crate::support::*;

const COMMITMENT: &str = "1.2.840.10008.1.20.1";
const INSTANCE: &str = "1.2.840.10008.1.20.1.1";

fn established() -> Server {
    let contexts: &[(&str, &[&str])] = &[(CT, &[IMPLICIT]), (COMMITMENT, &[IMPLICIT])];
    Server::established(AcceptorConfig::new("TELERAD"), contexts)
}

fn action(message_id: u16, class: &str, instance: &str, kind: u16, has_data_set: bool) -> Vec<u8> {
    [
        element(0x0003, class.as_bytes()),
        us(0x0100, 0x0130),
        us(0x0110, message_id),
        us(0x0800, if has_data_set { 1 } else { 0x0101 }),
        element(0x1001, instance.as_bytes()),
        us(0x1008, kind),
    ]
    .concat()
}

fn reference(n: usize) -> SopReference {
    SopReference { sop_class_uid: CT.to_owned(), sop_instance_uid: format!("1.2.{n}") }
}

fn asked() -> Vec<u8> {
    let references = (0..3).map(reference).collect();
    let request = CommitmentRequest { transaction_uid: "1.9".to_owned(), references };
    request.encode(NoticeSyntax::ImplicitLittleEndian).unwrap()
}

fn report() -> CommitmentReport {
    CommitmentReport {
        transaction_uid: "1.9".to_owned(),
        committed: vec![reference(0)],
        failed: vec![FailedSop { reference: reference(1), reason: 0x0112 }],
    }
}

fn report_answer(context: u8, message_id: u16, field: u16, has_data_set: bool) -> Vec<u8> {
    let command = [
        us(0x0100, field),
        us(0x0120, message_id),
        us(0x0800, if has_data_set { 1 } else { 0x0101 }),
        us(0x0900, 0),
    ];
    pdv(context, 3, &command.concat())
}

#[test]
fn a_request_and_its_report_on_the_same_association() {
    let mut server = established();
    assert!(server.acceptor.speaks_commitment() && server.acceptor.can_report());
    let data = asked();
    let (head, tail) = data.split_at(11);
    server.receive(&p_data(&[pdv(3, 3, &action(7, COMMITMENT, INSTANCE, 1, true)), pdv(3, 0, head)]));
    assert!(!server.acceptor.can_report(), "the peer is in the middle of a message");
    assert!(server.acceptor.report(&report()).is_err());
    server.receive(&p_data(&[pdv(3, 2, tail)]));
    assert_eq!(server.log, ["asked 7 3"]);
    let answer = (0x8130, 7, 0, String::new(), INSTANCE.to_owned());
    assert_eq!(responses(&server.outgoing()), [answer]);

    let message_id = server.acceptor.report(&report()).unwrap();
    let sent = server.outgoing();
    let data_set = report().encode(NoticeSyntax::ImplicitLittleEndian).unwrap();
    assert!(sent.ends_with(&data_set), "the report follows its command");
    assert!(server.acceptor.report(&report()).is_err(), "one at a time");
    server.receive(&p_data(&[report_answer(3, message_id, 0x8100, true), pdv(3, 2, b"a reply")]));
    assert_eq!(server.log.last().unwrap(), &format!("answered {message_id} 0000"));
    assert_eq!(server.acceptor.report(&report()).unwrap(), message_id + 1);
    assert!(server.errors.is_empty());
}

#[test]
fn roles_are_answered_for_commitment_alone() {
    let role = |uid: &str, scu: u8, scp: u8| {
        let mut body = (uid.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(uid.as_bytes());
        body.extend([scu, scp]);
        item(0x54, &body)
    };
    let with = |item: &[u8]| {
        let mut pdu =
            associate_rq("CENTRE", "TELERAD", &[(CT, &[IMPLICIT]), (COMMITMENT, &[IMPLICIT])], 16_384);
        // The user information is the last item of the request, and its own items are short.
        let at = pdu.len() - 40 + pdu[pdu.len() - 40..].iter().position(|byte| *byte == 0x50).unwrap();
        let length = u16::from_be_bytes([pdu[at + 2], pdu[at + 3]]) + item.len() as u16;
        pdu[at + 2..at + 4].copy_from_slice(&length.to_be_bytes());
        pdu.extend_from_slice(item);
        let length = (pdu.len() - 6) as u32;
        pdu[2..6].copy_from_slice(&length.to_be_bytes());
        pdu
    };
    for (asked, answered) in [
        (role(COMMITMENT, 1, 0), Some(role(COMMITMENT, 1, 0))),
        (role(COMMITMENT, 1, 1), Some(role(COMMITMENT, 1, 0))),
        (role(COMMITMENT, 0, 1), Some(role(COMMITMENT, 0, 0))),
        (role(CT, 1, 1), None),
    ] {
        let mut server = Server::new();
        server.receive(&with(&asked));
        let out = server.outgoing();
        assert_eq!(out[0], 2, "{:?}", server.errors);
        match answered {
            Some(answered) => assert!(out.windows(answered.len()).any(|part| part == answered), "{asked:?}"),
            None => assert!(!out.windows(4).any(|part| part == &asked[..4])),
        }
    }
}

#[test]
fn a_report_on_an_association_of_ours() {
    let config = RequestorConfig::new("TELERAD", "CT").with_commitment_reports();
    let mut requestor = Requestor::new(config).unwrap();
    let request = requestor.take_outgoing().unwrap();
    let role = [&[0x54, 0, 0, 24, 0, 20][..], COMMITMENT.as_bytes(), &[0, 1]].concat();
    assert!(request.windows(role.len()).any(|part| part == role), "we are the one that commits");
    let mut server = Server::new();
    server.receive(&request);
    requestor.receive(&server.outgoing());
    assert!(matches!(requestor.next_event().unwrap(), Some(RequestorEvent::Accepted { .. })));
    let message_id = requestor.report(&report()).unwrap();
    assert!(requestor.is_busy() && requestor.take_outgoing().is_some());
    requestor.receive(&p_data(&[report_answer(1, message_id, 0x8100, false)]));
    let Some(RequestorEvent::Answered(answer)) = requestor.next_event().unwrap() else { panic!() };
    assert_eq!((answer.operation, answer.status.class()), (Operation::Report, StatusClass::Success));
}

#[test]
fn requests_that_are_refused() {
    let data = asked();
    let on = |context: u8, command: Vec<u8>, data: Option<&[u8]>| {
        let mut values = vec![pdv(context, 3, &command)];
        values.extend(data.map(|data| pdv(context, 2, data)));
        p_data(&values)
    };
    let with = |data: &[u8]| on(3, action(5, COMMITMENT, INSTANCE, 1, true), Some(data));
    let cut = &data[..data.len() - 3];
    let no_items = &data[..data.iter().position(|byte| *byte == 0x99).unwrap() - 2];
    let uid = data.windows(3).position(|part| part == b"1.9").unwrap();
    let mut bad_uid = data.clone();
    bad_uid[uid + 2] = b'x';
    let cases: Vec<(&str, Vec<u8>, Status)> = vec![
        ("other class", on(3, action(5, CT, INSTANCE, 1, true), Some(&data)), Status(0x0118)),
        ("no class", on(3, action(5, "", INSTANCE, 1, true), Some(&data)), Status(0x0118)),
        ("other instance", on(3, action(5, COMMITMENT, "1.2.3", 1, true), Some(&data)), Status(0x0112)),
        ("no instance", on(3, action(5, COMMITMENT, "", 1, true), Some(&data)), Status(0x0112)),
        ("other action", on(3, action(5, COMMITMENT, INSTANCE, 2, true), Some(&data)), Status(0x0123)),
        ("no data set", on(3, action(5, COMMITMENT, INSTANCE, 1, false), None), Status(0x0115)),
        ("on storage", on(1, action(5, COMMITMENT, INSTANCE, 1, true), Some(&data)), Status(0x0211)),
        ("a store", on(3, request(1, 5, CT, "1.2.3", true), Some(&data)), Status(0x0122)),
        ("empty", with(b""), Status(0x0115)),
        ("cut", with(cut), Status(0x0110)),
        ("nothing asked", with(no_items), Status(0x0115)),
        ("malformed UID", with(&bad_uid), Status(0x0115)),
        ("a lie about a length", with(&[8, 0, 0x99, 0x11, 0xf0, 0xff, 0xff, 0xff]), Status(0x0110)),
    ];
    for (name, bytes, status) in cases {
        let mut server = established();
        server.receive(&bytes);
        let out = responses(&server.outgoing());
        assert_eq!(out.len(), 1, "{name} {:?} {:?}", server.log, server.errors);
        assert_eq!((out[0].1, Status(out[0].2)), (5, status), "{name}");
        assert!(server.log.iter().all(|line| !line.starts_with("asked")), "{name}");
        assert_eq!(server.acceptor.outstanding(), 0, "{name}");
    }
}

#[test]
fn a_long_request_is_refused_and_not_held() {
    let mut config = AcceptorConfig::new("TELERAD");
    config.max_notice = 1000;
    let mut server = Server::established(config, &[(COMMITMENT, &[IMPLICIT])]);
    server.receive(&p_data(&[pdv(1, 3, &action(5, COMMITMENT, INSTANCE, 1, true))]));
    for _ in 0..100 {
        server.receive(&p_data(&[pdv(1, 0, &[0; 900])]));
        assert!(server.acceptor.held_bytes() < 3000);
    }
    server.receive(&p_data(&[pdv(1, 2, b"")]));
    assert_eq!(responses(&server.outgoing())[0].2, 0x0213);
}

#[test]
fn answers_to_nothing_break_the_association() {
    for (name, reports, answer) in [
        ("no report", false, report_answer(3, 1, 0x8100, false)),
        ("other message", true, report_answer(3, 9, 0x8100, false)),
        ("other context", true, report_answer(1, 1, 0x8100, false)),
        ("other operation", true, report_answer(3, 1, 0x8001, false)),
    ] {
        let mut server = established();
        if reports {
            server.acceptor.report(&report()).unwrap();
            server.outgoing();
        }
        server.receive(&p_data(&[answer]));
        assert_eq!(server.errors.len(), 1, "{name}");
        assert!(server.acceptor.is_finished(), "{name}");
    }
}
