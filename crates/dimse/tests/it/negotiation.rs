//! What is accepted, what is refused, and in which words on the wire.

use dimse::{
    AcceptorConfig, ContextDecision, ContextResult, RejectReason, Requestor, RequestorConfig, RequestorEvent,
};

use crate::support::*;

const ACCEPTED: u8 = 0;
const ABSTRACT: u8 = 3;
const TRANSFER: u8 = 4;

/// Result, reason and transfer syntax of each presentation context in an A-ASSOCIATE-AC.
fn results(bytes: &[u8]) -> Vec<(u8, u8, String)> {
    assert_eq!(bytes[0], 2);
    let mut rest = &bytes[74..];
    let mut out = Vec::new();
    while !rest.is_empty() {
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let body = &rest[4..4 + length];
        if rest[0] == 0x21 {
            let syntax = String::from_utf8(body[8..].to_vec()).unwrap();
            out.push((body[0], body[2], syntax));
        }
        rest = &rest[4 + length..];
    }
    out
}

#[test]
fn contexts() {
    let long = "1".repeat(65);
    let cases: &[(&str, &[&str], u8, &str)] = &[
        (VERIFICATION, &[IMPLICIT], ACCEPTED, IMPLICIT),
        (CT, &[JPEG_LS, EXPLICIT, IMPLICIT], ACCEPTED, JPEG_LS),
        (CT, &["1.2.840.113619.5.2", IMPLICIT], ACCEPTED, "1.2.840.113619.5.2"),
        (CT, &["1.2.840.10008.1.2.1.99"], ACCEPTED, "1.2.840.10008.1.2.1.99"),
        ("1.2.840.10008.5.1.1.29", &[IMPLICIT], ACCEPTED, IMPLICIT),
        ("1.2.840.113619.4.26", &[IMPLICIT], ACCEPTED, IMPLICIT),
        ("1.2.840.10008.5.1.4.1.1.77777", &[IMPLICIT], ACCEPTED, IMPLICIT),
        ("1.2.840.10008.5.1.4.1.1.2\0", &["1.2.840.10008.1.2\0"], ACCEPTED, IMPLICIT),
        (AVAILABILITY, &[JPEG_LS, IMPLICIT, EXPLICIT], ACCEPTED, IMPLICIT),
        (AVAILABILITY, &[JPEG_LS], TRANSFER, IMPLICIT),
        (CT, &[], TRANSFER, IMPLICIT),
        (CT, &["", &long, EXPLICIT], ACCEPTED, EXPLICIT),
        (CT, &["x"], TRANSFER, IMPLICIT),
        ("", &[IMPLICIT], ABSTRACT, IMPLICIT),
        ("1.2.840.10008.5.1.4.1.2.2.1", &[IMPLICIT], ABSTRACT, IMPLICIT),
        ("1.2.840.10008.5.1.4.1.2.1.2", &[IMPLICIT], ABSTRACT, IMPLICIT),
        ("1.2.840.10008.5.1.4.1.2.2.3", &[IMPLICIT], ABSTRACT, IMPLICIT),
        ("1.2.840.10008.1.20.1", &[JPEG_LS, EXPLICIT], ACCEPTED, EXPLICIT),
        ("1.2.840.10008.1.20.1", &[JPEG_LS], TRANSFER, IMPLICIT),
        ("1.2.840.10008.1.20.2", &[IMPLICIT], ABSTRACT, IMPLICIT),
        ("1.2.840.10008.5.1.1.9", &[IMPLICIT], ABSTRACT, IMPLICIT),
        ("1.2.840.10008.3.1.2.3.3", &[IMPLICIT], ABSTRACT, IMPLICIT),
        ("1.2.840.10008.5.1.4.31", &[IMPLICIT], ABSTRACT, IMPLICIT),
        ("1.2.840.10008.5.1.4.34.6.1", &[IMPLICIT], ABSTRACT, IMPLICIT),
    ];
    let proposed: Vec<_> = cases.iter().map(|case| (case.0, case.1)).collect();
    let mut server = Server::new();
    server.receive(&associate_rq("CENTRE", "TELERAD", &proposed, 0));
    let results = results(&server.outgoing());
    assert_eq!(results.len(), cases.len());
    for (index, (case, result)) in cases.iter().zip(results).enumerate() {
        assert_eq!(result, (2 * index as u8 + 1, case.2, case.3.to_owned()), "{:?} {:?}", case.0, case.1);
        let decision = &server.requests[0].contexts[index].decision;
        assert_eq!(matches!(decision, ContextDecision::Accepted { .. }), case.2 == ACCEPTED);
    }
}

#[test]
fn every_reject_reason_is_written_as_the_standard_numbers_it() {
    let cases = [
        (RejectReason::NoReasonGiven, [1, 1, 1]),
        (RejectReason::ApplicationContextNotSupported, [1, 1, 2]),
        (RejectReason::CallingAeTitleNotRecognised, [1, 1, 3]),
        (RejectReason::CalledAeTitleNotRecognised, [1, 1, 7]),
        (RejectReason::ProtocolVersionNotSupported, [1, 2, 2]),
        (RejectReason::TemporaryCongestion, [2, 3, 1]),
        (RejectReason::LocalLimitExceeded, [2, 3, 2]),
    ];
    for (reason, [result, source, number]) in cases {
        let expected = [3, 0, 0, 0, 0, 4, 0, result, source, number];
        assert_eq!(reason.to_bytes(), expected.as_slice(), "{reason:?}");
        let mut acceptor = dimse::Acceptor::new(AcceptorConfig::new("TELERAD"));
        acceptor.receive(&associate_rq("A", "B", &[(CT, &[IMPLICIT])], 0));
        acceptor.next_event().unwrap().unwrap();
        acceptor.reject(reason).unwrap();
        assert_eq!(acceptor.take_outgoing().unwrap(), expected.as_slice());
        assert!(acceptor.is_finished() && acceptor.accept().is_err() && acceptor.reject(reason).is_err());

        let config = RequestorConfig::new("A", "B").with_verification();
        let mut requestor = Requestor::new(config).unwrap();
        requestor.receive(&expected);
        let event = requestor.next_event().unwrap().unwrap();
        let RequestorEvent::Rejected { is_transient, .. } = event else { panic!("{event:?}") };
        assert_eq!(is_transient, result == 2);
        assert!(requestor.is_finished());
    }
}

#[test]
fn titles_are_compared_trimmed_and_sent_back_as_they_came() {
    for (called, ours, expected) in
        [("  TELERAD", "TELERAD", true), ("TELERAD", " TELERAD ", true), ("telerad", "TELERAD", false)]
    {
        let mut server = Server::with(AcceptorConfig::new(ours));
        let request = associate_rq(" CENTRE", called, &[(CT, &[IMPLICIT])], 0);
        server.receive(&request);
        assert_eq!(server.log, [format!("request CENTRE {expected}")]);
        let answer = server.outgoing();
        assert_eq!(answer[10..74], request[10..74]);
    }
}

#[test]
fn a_stranger_is_rejected() {
    let mut server = Server::new();
    server.receive(&associate_rq("STRANGER", "TELERAD", &[(CT, &[IMPLICIT])], 0));
    assert_eq!(server.outgoing(), [3, 0, 0, 0, 0, 4, 0, 1, 1, 3]);
    assert!(server.acceptor.is_finished());
}

#[test]
fn user_identity_is_handed_on_and_confirmed() {
    let mut request = associate_rq("CENTRE", "TELERAD", &[(CT, &[IMPLICIT])], 0);
    let identity = [&[2, 1, 0, 4][..], b"anna", &[0, 6], b"secret"].concat();
    request.extend(item(0x50, &[item(0x51, &[0; 4]), item(0x58, &identity)].concat()));
    let length = (request.len() - 6) as u32;
    request[2..6].copy_from_slice(&length.to_be_bytes());
    let mut acceptor = dimse::Acceptor::new(AcceptorConfig::new("TELERAD"));
    acceptor.receive(&request);
    let event = acceptor.next_event().unwrap().unwrap();
    assert!(!format!("{event:?}").contains("secret") && !format!("{event:?}").contains("anna"));
    let dimse::Event::AssociationRequested(request) = event else { panic!() };
    let identity = request.user_identity.unwrap();
    assert_eq!((identity.kind, identity.wants_response), (2, true));
    assert_eq!((identity.primary.as_slice(), identity.secondary.as_slice()), (&b"anna"[..], &b"secret"[..]));
    acceptor.accept_identity(b"").unwrap();
    let answer = acceptor.take_outgoing().unwrap();
    assert!(answer.ends_with(&[0x59, 0, 0, 2, 0, 0]));
}

#[test]
fn the_requestor_learns_what_each_context_became() {
    let config = RequestorConfig::new("CENTRE", "TELERAD")
        .with_context(CT, &[JPEG_LS])
        .with_context(CT, &[JPEG_LS])
        .with_context("1.2.840.10008.5.1.4.1.2.2.1", &[IMPLICIT])
        .with_availability();
    assert_eq!(config.contexts.len(), 3, "the same context is proposed once");
    let mut requestor = Requestor::new(config).unwrap();
    let mut server = Server::new();
    server.receive(&requestor.take_outgoing().unwrap());
    requestor.receive(&server.outgoing());
    let event = requestor.next_event().unwrap().unwrap();
    let RequestorEvent::Accepted { contexts, implementation_version_name, .. } = event else {
        panic!("{event:?}")
    };
    assert_eq!(implementation_version_name.as_deref(), Some("TELERAD_0_1"));
    let results: Vec<_> = contexts.into_iter().map(|context| context.result).collect();
    let accepted = |uid: &str| ContextResult::Accepted { transfer_syntax: uid.to_owned() };
    assert_eq!(results, [accepted(JPEG_LS), ContextResult::AbstractSyntaxNotSupported, accepted(EXPLICIT)]);
    assert!(requestor.accepts(CT, JPEG_LS) && !requestor.accepts(CT, IMPLICIT));
}

#[test]
fn what_cannot_be_proposed_is_an_error() {
    let many = (0..129).fold(RequestorConfig::new("A", "B"), |config, i| {
        config.with_context(&format!("1.2.{i}"), &[IMPLICIT])
    });
    let cases = [
        (RequestorConfig::new("", "B").with_verification(), "calling AE title"),
        (RequestorConfig::new("A", "SEVENTEEN LETTERS").with_verification(), "called AE title"),
        (RequestorConfig::new("A", "B"), "number of presentation contexts"),
        (many, "number of presentation contexts"),
        (RequestorConfig::new("A", "B").with_context("", &[IMPLICIT]), "presentation context"),
        (RequestorConfig::new("A", "B").with_context(CT, &[]), "presentation context"),
    ];
    for (config, field) in cases {
        assert_eq!(Requestor::new(config).unwrap_err(), dimse::CallError::Invalid { field });
    }
    let full = (0..128).fold(RequestorConfig::new("A", "B"), |config, i| {
        config.with_context(&format!("1.2.{i}"), &[IMPLICIT])
    });
    let mut server = Server::new();
    server.receive(&Requestor::new(full).unwrap().take_outgoing().unwrap());
    assert_eq!(results(&server.outgoing()).last().unwrap().0, 255);
}
