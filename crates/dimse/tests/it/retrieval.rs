//! Query and retrieve on the wire: what is offered, requests and replies, cancelling, and the sub-operations of a C-GET.

use dimse::{
    AcceptorConfig, Counts, NoticeSyntax, Priority, Reply, Root, Service, Status, StoreCommand, Wish,
    identifier::{self, Element, Value},
};

use crate::support::*;

const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const MOVE: &str = "1.2.840.10008.5.1.4.1.2.1.2";
const GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
const MR: &str = "1.2.840.10008.5.1.4.1.1.4";
const NOBODY: &[&str] = &[];

fn offering() -> AcceptorConfig {
    AcceptorConfig { offers_query_retrieve: true, ..AcceptorConfig::new("TELERAD") }
}

fn established() -> Server {
    Server::established(offering(), &[(FIND, &[EXPLICIT]), (MOVE, &[IMPLICIT]), (GET, &[IMPLICIT])])
}

/// A client that takes CT of any of these transfer syntaxes, after the server decided what it may do.
fn taking(syntaxes: &[&str], roles: &[(&str, u8, u8)], withheld: &[Service]) -> (Server, Vec<u8>) {
    let mut server = Server::with(offering());
    let contexts: &[(u8, &str, &[&str])] = &[(1, GET, &[IMPLICIT]), (3, CT, syntaxes), (5, MR, &[IMPLICIT])];
    server.acceptor.receive(&associate_rq_with_roles("CENTRE", "TELERAD", contexts, 64, roles));
    assert!(matches!(server.acceptor.next_event(), Ok(Some(dimse::Event::AssociationRequested(_)))));
    for service in withheld {
        server.acceptor.withhold(*service).unwrap();
    }
    server.acceptor.accept().unwrap();
    let answer = server.outgoing();
    (server, answer)
}

/// Abstract syntax, SCU, SCP.
type Role = (String, u8, u8);

/// Result of each presentation context of an A-ASSOCIATE-AC, and the roles in it.
fn decisions(answer: &[u8]) -> (Vec<(u8, u8)>, Vec<Role>) {
    let (mut contexts, mut roles) = (Vec::new(), Vec::new());
    let mut rest = &answer[74..];
    while !rest.is_empty() {
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let body = &rest[4..4 + length];
        match rest[0] {
            0x21 => contexts.push((body[0], body[2])),
            0x50 => {
                let mut items = body;
                while !items.is_empty() {
                    let length = usize::from(u16::from_be_bytes([items[2], items[3]]));
                    if items[0] == 0x54 {
                        let uid = String::from_utf8(items[6..4 + length - 2].to_vec()).unwrap();
                        roles.push((uid, items[4 + length - 2], items[4 + length - 1]));
                    }
                    items = &items[4 + length..];
                }
            }
            _ => {}
        }
        rest = &rest[4 + length..];
    }
    (contexts, roles)
}

/// The messages in these bytes: context, whether it is a command, its bytes.
fn messages(mut bytes: &[u8]) -> Vec<(u8, bool, Vec<u8>)> {
    let mut out: Vec<(u8, bool, Vec<u8>)> = Vec::new();
    let mut is_open = false;
    while !bytes.is_empty() {
        assert_eq!(bytes[0], 4, "not P-DATA-TF");
        let length = u32::from_be_bytes(bytes[2..6].try_into().unwrap()) as usize;
        let value = &bytes[6..6 + length];
        let (context, control, data) = (value[4], value[5], &value[6..]);
        if is_open {
            let last = out.last_mut().unwrap();
            assert_eq!((last.0, last.1), (context, control & 1 == 1), "nothing stands between fragments");
            last.2.extend_from_slice(data);
        } else {
            out.push((context, control & 1 == 1, data.to_vec()));
        }
        is_open = control & 2 == 0;
        bytes = &bytes[6 + length..];
    }
    assert!(!is_open, "the last message is whole");
    out
}

fn value(command: &[u8], number: u16) -> Option<u16> {
    let mut rest = command;
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        if rest[2..4] == number.to_le_bytes() {
            return Some(u16::from_le_bytes(rest[8..10].try_into().unwrap()));
        }
        rest = &rest[8 + length..];
    }
    None
}

fn study(syntax: NoticeSyntax) -> Vec<u8> {
    let level = Value::Text(b"STUDY".to_vec());
    identifier::write(&[Element { tag: (0x0008, 0x0052), vr: *b"CS", value: level }], syntax)
}

fn cancel(context: u8, message_id: u16) -> Vec<u8> {
    pdv(context, 3, &[us(0x0100, 0x0fff), us(0x0120, message_id), us(0x0800, 0x0101)].concat())
}

#[test]
fn it_is_offered_only_where_asked_to() {
    let contexts: &[(&str, &[&str])] = &[(FIND, &[IMPLICIT]), (MOVE, &[IMPLICIT]), (GET, &[JPEG_LS])];
    for (config, expected) in
        [(AcceptorConfig::new("TELERAD"), [(1, 3), (3, 3), (5, 3)]), (offering(), [(1, 0), (3, 0), (5, 4)])]
    {
        let mut server = Server::with(config);
        server.receive(&associate_rq("CENTRE", "TELERAD", contexts, 16_384));
        assert_eq!(decisions(&server.outgoing()).0, expected);
    }
}

#[test]
fn a_query_has_its_identifier_and_many_replies() {
    let mut server = established();
    let identifier = study(NoticeSyntax::ExplicitLittleEndian);
    let (head, tail) = identifier.split_at(3);
    server.receive(&p_data(&[pdv(1, 3, &request(0x0020, 7, FIND, "", true)), pdv(1, 0, head)]));
    assert!(server.acceptor.reply(7, &Reply::of(Status::SUCCESS)).is_err(), "it is still coming in");
    server.receive(&p_data(&[pdv(1, 2, tail)]));
    assert_eq!(server.log, ["asked 7 Study Find"]);
    assert_eq!(server.asked[0].identifier, identifier);
    assert_eq!(server.asked[0].syntax, NoticeSyntax::ExplicitLittleEndian);

    let pending = Reply { identifier: Some(identifier.clone()), ..Reply::of(Status::PENDING) };
    server.acceptor.reply(7, &pending).unwrap();
    server.acceptor.reply(7, &pending).unwrap();
    server.acceptor.reply(7, &Reply::of(Status::SUCCESS).saying("done")).unwrap();
    assert!(server.acceptor.reply(7, &pending).is_err(), "it is answered");
    let sent = messages(&server.outgoing());
    let kinds: Vec<_> = sent.iter().map(|message| message.1).collect();
    assert_eq!(kinds, [true, false, true, false, true]);
    assert!(sent.iter().filter(|message| !message.1).all(|message| message.2 == identifier));
    let statuses: Vec<_> =
        sent.iter().filter(|message| message.1).map(|message| value(&message.2, 0x0900)).collect();
    assert_eq!(statuses, [Some(0xff00), Some(0xff00), Some(0)]);
    assert!(sent.iter().filter(|message| message.1).all(|message| value(&message.2, 0x0100) == Some(0x8020)));
    assert_eq!(server.acceptor.outstanding(), 0);
}

#[test]
fn a_request_is_cancelled_while_it_is_open() {
    let mut server = established();
    server.receive(&p_data(&[cancel(1, 7)]));
    assert!(server.log.is_empty(), "nothing to cancel");
    let identifier = study(NoticeSyntax::ExplicitLittleEndian);
    server.receive(&p_data(&[pdv(1, 3, &request(0x0020, 7, FIND, "", true)), pdv(1, 2, &identifier)]));
    server.receive(&p_data(&[cancel(1, 7)]));
    assert_eq!(server.log[1..], ["cancelled 7"]);
    server.acceptor.reply(7, &Reply::of(Status::CANCELLED)).unwrap();
    server.receive(&p_data(&[cancel(1, 7)]));
    assert_eq!(server.log.len(), 2, "it came too late");
    assert!(server.errors.is_empty());
}

#[test]
fn requests_that_are_none_are_refused() {
    let mut server = established();
    let identifier = study(NoticeSyntax::ImplicitLittleEndian);
    for (context, field, class, has_data_set, expected) in [
        (1, 0x0020, MOVE, true, "refused 1 0122 SOP class is not that of its context"),
        (1, 0x0020, FIND, false, "refused 1 A900 no identifier"),
        (1, 0x0010, FIND, true, "unsupported 0010 1"),
        (5, 0x0021, GET, true, "unsupported 0021 1"),
    ] {
        server.log.clear();
        let mut values = vec![pdv(context, 3, &request(field, 1, class, "", has_data_set))];
        values.extend(has_data_set.then(|| pdv(context, 2, &identifier)));
        server.receive(&p_data(&values));
        assert_eq!(server.log, [expected]);
    }
    assert_eq!(messages(&server.outgoing()).len(), 4);
    assert!(server.asked.is_empty() && server.acceptor.outstanding() == 0);
}

#[test]
fn a_move_has_a_destination() {
    for (destination, expected) in [("PACS", Some("PACS")), ("", None), ("A TITLE THAT IS TOO LONG", None)] {
        let mut server = established();
        let command = [
            element(0x0002, MOVE.as_bytes()),
            us(0x0100, 0x0021),
            us(0x0110, 9),
            element(0x0600, destination.as_bytes()),
            us(0x0800, 1),
        ];
        let identifier = study(NoticeSyntax::ImplicitLittleEndian);
        server.receive(&p_data(&[pdv(3, 3, &command.concat()), pdv(3, 2, &identifier)]));
        assert_eq!(server.asked[0].root, Root::Patient);
        assert_eq!(server.asked[0].wish, Wish::Move { destination: expected.map(str::to_owned) });
        let counts = Some(Counts { remaining: 4, completed: 3, failed: 2, warning: 1 });
        for status in [Status::PENDING, Status::SUB_OPERATIONS_FAILED] {
            server.acceptor.reply(9, &Reply { counts, ..Reply::of(status) }).unwrap();
        }
        let sent = messages(&server.outgoing());
        let numbers =
            |message: usize| [0x1020, 0x1021, 0x1022, 0x1023].map(|number| value(&sent[message].2, number));
        assert_eq!(numbers(0), [Some(4), Some(3), Some(2), Some(1)]);
        assert_eq!(numbers(1), [None, Some(3), Some(2), Some(1)], "nothing remains at the end");
    }
}

#[test]
fn roles_say_who_takes_objects() {
    let both: &[(&str, u8, u8)] = &[(CT, 1, 1)];
    let (server, answer) = taking(&[IMPLICIT, JPEG_LS, EXPLICIT], both, &[]);
    let ct = (CT.to_owned(), EXPLICIT.to_owned());
    assert_eq!(
        server.acceptor.taken_by_peer(),
        std::slice::from_ref(&ct),
        "of the plain ones the explicit one is better"
    );
    assert_eq!(decisions(&answer), (vec![(1, 0), (3, 0), (5, 0)], vec![(CT.to_owned(), 1, 1)]));

    let (server, _) = taking(&[JPEG_LS, EXPLICIT], both, &[]);
    assert_eq!(server.acceptor.taken_by_peer(), [(CT.to_owned(), JPEG_LS.to_owned())]);

    let (server, answer) = taking(&[EXPLICIT], both, &[Service::Storage]);
    assert_eq!(server.acceptor.taken_by_peer(), [ct]);
    assert_eq!(
        decisions(&answer),
        (vec![(1, 0), (3, 0), (5, 1)], vec![(CT.to_owned(), 0, 1)]),
        "who may not store may still take, in the contexts for that"
    );

    let withheld = [Service::Get(Root::Study)];
    let (server, answer) = taking(&[EXPLICIT], both, &withheld);
    assert_eq!(server.acceptor.taken_by_peer(), []);
    assert_eq!(decisions(&answer), (vec![(1, 1), (3, 0), (5, 0)], vec![]), "roles go unanswered");
}

#[test]
fn objects_go_out_on_the_association_of_the_get() {
    let (mut server, _) = taking(&[EXPLICIT], &[(CT, 0, 1)], &[]);
    let store = StoreCommand {
        sop_class_uid: CT.to_owned(),
        sop_instance_uid: "1.2.3".to_owned(),
        transfer_syntax_uid: EXPLICIT.to_owned(),
        priority: Priority::Medium,
        move_originator: None,
    };
    let identifier = study(NoticeSyntax::ImplicitLittleEndian);
    server.receive(&p_data(&[pdv(1, 3, &request(0x0010, 7, GET, "", true)), pdv(1, 2, &identifier)]));
    assert_eq!(server.log, ["asked 7 Study Get"]);
    let other = StoreCommand { transfer_syntax_uid: JPEG_LS.to_owned(), ..store.clone() };
    assert!(server.acceptor.begin_giving(&other).is_err(), "not agreed");

    let sub_operation = server.acceptor.begin_giving(&store).unwrap();
    assert!(server.acceptor.begin_giving(&store).is_err(), "one at a time");
    let object: Vec<u8> = (0..201).map(|byte| byte as u8).collect();
    server.acceptor.give(&object[..100]).unwrap();
    // In the middle of the object the peer echoes and cancels; answers wait for the end of the object.
    server.receive(&p_data(&[pdv(1, 3, &request(0x0030, 8, "1.2.840.10008.1.1", "", false)), cancel(1, 7)]));
    assert_eq!(server.log[1..], ["echo 8", "cancelled 7"]);
    server.acceptor.give(&object[100..]).unwrap();
    server.acceptor.end_giving().unwrap();
    assert!(server.acceptor.give(b"more").is_err(), "it has ended");
    let sent = messages(&server.outgoing());
    let kinds: Vec<_> = sent.iter().map(|message| (message.0, message.1)).collect();
    assert_eq!(kinds, [(3, true), (3, false), (1, true)]);
    assert_eq!((value(&sent[0].2, 0x0100), value(&sent[0].2, 0x0110)), (Some(1), Some(sub_operation)));
    assert_eq!(sent[1].2, [&object[..], &[0]].concat(), "padded to an even length");
    assert_eq!(value(&sent[2].2, 0x0100), Some(0x8030));

    let answer = [us(0x0100, 0x8001), us(0x0120, sub_operation), us(0x0800, 0x0101), us(0x0900, 0xb000)];
    server.receive(&p_data(&[pdv(3, 3, &answer.concat())]));
    assert_eq!(server.log.last().unwrap(), &format!("stored {sub_operation} B000"));
    server.acceptor.reply(7, &Reply::of(Status::CANCELLED)).unwrap();
    assert_eq!(server.log.iter().filter(|line| line.starts_with("refused")).collect::<Vec<_>>(), NOBODY);

    // An answer to nothing breaks the protocol.
    server.receive(&p_data(&[pdv(3, 3, &answer.concat())]));
    assert_eq!(server.errors.len(), 1);
}

#[test]
fn who_only_takes_may_not_store() {
    let (mut server, _) = taking(&[EXPLICIT], &[(CT, 0, 1)], &[]);
    server.receive(&p_data(&[pdv(3, 3, &request(0x0001, 1, CT, "1.2.3", true)), pdv(3, 2, b"data")]));
    assert_eq!(server.log, ["refused 1 0124 the peer only takes objects in this context"]);
}
