//! An acceptor and a requestor talk, with the bytes between them cut in every way.

use dimse::{
    AcceptorConfig, Answer, Availability, AvailabilityNotice, InstanceAvailability, Priority, Requestor,
    RequestorConfig, RequestorEvent, SeriesAvailability, Status, StoreCommand, requestor::Operation,
};
use proptest::prelude::*;

use crate::support::*;

enum Task {
    Echo,
    Store(&'static str, Vec<u8>),
    Notify(AvailabilityNotice),
}

/// Runs all tasks and releases; `cut` says how many bytes to hand over next.
fn converse(
    server: &mut Server,
    config: RequestorConfig,
    tasks: Vec<Task>,
    mut cut: impl FnMut() -> usize,
) -> Vec<Answer> {
    let mut requestor = Requestor::new(config).unwrap();
    let mut tasks = tasks.into_iter();
    let mut answers = Vec::new();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    while !requestor.is_finished() {
        let before = (up.len(), down.len());
        up.extend(requestor.take_outgoing().unwrap_or_default());
        if !up.is_empty() {
            let now = cut().clamp(1, up.len());
            server.receive(&up.drain(..now).collect::<Vec<_>>());
        }
        down.extend(server.outgoing());
        if !down.is_empty() {
            let now = cut().clamp(1, down.len());
            requestor.receive(&down.drain(..now).collect::<Vec<_>>());
        }
        let mut is_ready = false;
        while let Some(event) = requestor.next_event().unwrap() {
            match event {
                RequestorEvent::Accepted { .. } => is_ready = true,
                RequestorEvent::Answered(answer) => {
                    answers.push(answer);
                    is_ready = true;
                }
                RequestorEvent::Released => {}
                other => panic!("{other:?} {:?}", server.errors),
            }
        }
        if is_ready {
            begin(&mut requestor, tasks.next(), &mut cut);
        }
        assert!(server.errors.is_empty(), "{:?}", server.errors);
        assert!(is_ready || before != (up.len(), down.len()) || requestor.is_finished(), "stuck");
    }
    assert!(server.acceptor.is_finished());
    server.acceptor.connection_closed().unwrap();
    requestor.connection_closed().unwrap();
    answers
}

fn begin(requestor: &mut Requestor, task: Option<Task>, cut: &mut impl FnMut() -> usize) {
    match task {
        None => requestor.release().unwrap(),
        Some(Task::Echo) => {
            requestor.echo().unwrap();
        }
        Some(Task::Notify(notice)) => {
            requestor.notify(&notice, "1.2.99").unwrap();
        }
        Some(Task::Store(syntax, data)) => {
            requestor.begin_store(&store_command(syntax)).unwrap();
            let mut rest = data.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cut().clamp(1, rest.len()));
                requestor.store_data(now).unwrap();
                rest = later;
            }
            requestor.end_store().unwrap();
        }
    }
}

fn store_command(syntax: &str) -> StoreCommand {
    StoreCommand {
        sop_class_uid: CT.to_owned(),
        sop_instance_uid: "1.2.3.4".to_owned(),
        transfer_syntax_uid: syntax.to_owned(),
        priority: Priority::High,
        move_originator: None,
    }
}

fn all_contexts() -> RequestorConfig {
    RequestorConfig::new("CENTRE", "TELERAD")
        .with_verification()
        .with_context(CT, &[IMPLICIT])
        .with_context(CT, &[JPEG_LS])
        .with_availability()
}

fn notice() -> AvailabilityNotice {
    let instance = |i: usize| InstanceAvailability {
        sop_class_uid: CT.to_owned(),
        sop_instance_uid: format!("1.2.3.{i}"),
        availability: Availability::Online,
        retrieve_ae_title: "CENTRE".to_owned(),
    };
    AvailabilityNotice {
        study_instance_uid: "1.2.3".to_owned(),
        series: vec![SeriesAvailability {
            series_instance_uid: "1.2.3.0".to_owned(),
            instances: (0..12).map(instance).collect(),
        }],
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 256) as u8).collect()
}

/// An odd data set gets a zero byte.
fn padded(mut data: Vec<u8>) -> Vec<u8> {
    if data.len() % 2 == 1 {
        data.push(0);
    }
    data
}

fn everything(server: &mut Server, cut: impl FnMut() -> usize) {
    let data = [bytes(700), bytes(0), bytes(5001)];
    let tasks = vec![
        Task::Echo,
        Task::Store(JPEG_LS, data[0].clone()),
        Task::Notify(notice()),
        Task::Store(IMPLICIT, data[1].clone()),
        Task::Store(IMPLICIT, data[2].clone()),
        Task::Echo,
    ];
    let answers = converse(server, all_contexts(), tasks, cut);
    let seen: Vec<_> = answers.iter().map(|a| (a.operation, a.message_id, a.status)).collect();
    let ok = Status::SUCCESS;
    let expected = [
        (Operation::Echo, 1, ok),
        (Operation::Store, 2, ok),
        (Operation::Create, 3, ok),
        (Operation::Store, 4, ok),
        (Operation::Store, 5, ok),
        (Operation::Echo, 6, ok),
    ];
    assert_eq!(seen, expected);
    assert_eq!(answers[1].sop_instance_uid.as_deref(), Some("1.2.3.4"));
    assert_eq!(answers[2].sop_instance_uid.as_deref(), Some("1.2.99"), "the peer's own choice");
    let log =
        ["request CENTRE true", "echo 1", "store 2", "end 2", "notified 3", "store 4", "end 4", "store 5"];
    assert_eq!(server.log[..8], log);
    assert_eq!(server.log[8..], ["end 5", "echo 6", "release"]);
    for (store, expected) in server.stores.iter().zip(&data) {
        assert_eq!(store.1, padded(expected.clone()));
    }
    assert_eq!(server.stores[0].0.transfer_syntax_uid, JPEG_LS);
    assert_eq!(server.stores[0].0.priority, Priority::High);
    assert_eq!(server.stores[0].0.sop_instance_uid, "1.2.3.4");
    assert_eq!(server.notices[0].notice, notice());
    assert_eq!(server.notices[0].sop_instance_uid.as_deref(), Some("1.2.99"));
    assert_eq!(server.acceptor.held_bytes(), 0);
}

#[test]
fn whole_pieces() {
    everything(&mut Server::new(), || usize::MAX);
}

#[test]
fn byte_by_byte() {
    everything(&mut Server::new(), || 1);
}

#[test]
fn every_size_of_piece_up_to_300() {
    for size in 2..300 {
        everything(&mut Server::new(), || size);
    }
}

#[test]
fn small_pdus_on_both_sides() {
    for maximum in [8, 9, 64, 255, 1024] {
        let mut config = AcceptorConfig::new("TELERAD");
        config.max_pdu_length = maximum;
        let mut server = Server::with(config);
        everything(&mut server, || 97);

        let mut config = all_contexts();
        config.max_pdu_length = maximum;
        let answers =
            converse(&mut Server::new(), config, vec![Task::Echo, Task::Store(JPEG_LS, bytes(600))], || 31);
        assert_eq!(answers.len(), 2);
    }
}

#[test]
fn the_data_set_of_a_store_fills_pdus_up_to_the_peers_maximum() {
    let mut server = Server::new();
    server.acceptor =
        dimse::Acceptor::new(AcceptorConfig { max_pdu_length: 1024, ..AcceptorConfig::new("TELERAD") });
    let mut requestor = Requestor::new(all_contexts()).unwrap();
    server.receive(&requestor.take_outgoing().unwrap());
    requestor.receive(&server.outgoing());
    requestor.next_event().unwrap();
    requestor.begin_store(&store_command(JPEG_LS)).unwrap();
    for chunk in bytes(2 * 1018).chunks(3) {
        requestor.store_data(chunk).unwrap();
    }
    requestor.end_store().unwrap();
    let out = requestor.take_outgoing().unwrap();
    let mut lengths = Vec::new();
    let mut rest = &out[..];
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[2..6].try_into().unwrap());
        lengths.push((length, rest[11]));
        rest = &rest[6 + length as usize..];
    }
    assert_eq!(lengths[1..], [(1024, 0), (1024, 2)], "no empty last fragment");
}

#[test]
fn statuses_and_comments_come_through() {
    for (status, comment) in [(0xa700, Some("storage is full")), (0xb007, None), (0x0124, Some("no"))] {
        for answers_early in [false, true] {
            let mut server = Server::new();
            server.store_status = Status(status);
            server.store_comment = comment;
            server.answers_early = answers_early;
            let tasks = vec![Task::Store(JPEG_LS, bytes(3000)), Task::Echo];
            let answers = converse(&mut server, all_contexts(), tasks, || 100);
            assert_eq!(answers[0].status, Status(status));
            assert_eq!(answers[0].error_comment.as_deref(), comment);
            assert_eq!(
                server.stores[0].1.len(),
                if answers_early { 0 } else { 3000 },
                "the rest is passed over"
            );
            assert_eq!(answers[1].operation, Operation::Echo);
        }
    }
}

#[test]
fn odd_and_longest_uids_come_through() {
    for instance in ["1.2.3", "1.2.34", &"1".repeat(63), &"1".repeat(64)] {
        let mut server = Server::new();
        let mut requestor = Requestor::new(all_contexts()).unwrap();
        server.receive(&requestor.take_outgoing().unwrap());
        requestor.receive(&server.outgoing());
        requestor.next_event().unwrap();
        requestor
            .begin_store(&StoreCommand { sop_instance_uid: instance.to_owned(), ..store_command(IMPLICIT) })
            .unwrap();
        requestor.end_store().unwrap();
        server.receive(&requestor.take_outgoing().unwrap());
        assert_eq!(server.stores[0].0.sop_instance_uid, instance);
        assert_eq!(responses(&server.outgoing()), [(0x8001, 1, 0, String::new(), instance.to_owned())]);
        assert!(file(&server.stores[0]).len().is_multiple_of(2));
    }
}

#[test]
fn message_ids_come_back_as_they_were_sent() {
    let mut server = Server::established(AcceptorConfig::new("TELERAD"), &[(VERIFICATION, &[IMPLICIT])]);
    for message_id in [0, 1, 255, 256, 0x7fff, 0xffff, 1] {
        server.receive(&p_data(&[pdv(1, 3, &request(0x0030, message_id, VERIFICATION, "", false))]));
        assert_eq!(responses(&server.outgoing()), [(0x8030, message_id, 0, String::new(), String::new())]);
    }
}

#[test]
fn one_operation_at_a_time() {
    let mut server = Server::new();
    let mut requestor = Requestor::new(all_contexts()).unwrap();
    assert!(requestor.echo().is_err(), "not before the association");
    server.receive(&requestor.take_outgoing().unwrap());
    requestor.receive(&server.outgoing());
    requestor.next_event().unwrap();
    assert!(requestor.store_data(b"x").is_err() && requestor.end_store().is_err());
    requestor.echo().unwrap();
    assert!(requestor.echo().is_err() && requestor.release().is_err());
    assert!(requestor.begin_store(&store_command(IMPLICIT)).is_err());
    server.receive(&requestor.take_outgoing().unwrap());
    requestor.receive(&server.outgoing());
    assert!(matches!(requestor.next_event(), Ok(Some(RequestorEvent::Answered(_)))));
    let unknown = StoreCommand { transfer_syntax_uid: EXPLICIT.to_owned(), ..store_command(IMPLICIT) };
    assert_eq!(requestor.begin_store(&unknown), Err(dimse::CallError::NoPresentationContext));
    requestor.begin_store(&store_command(IMPLICIT)).unwrap();
    requestor.store_data(&bytes(10)).unwrap();
    requestor.abort();
    server.receive(&requestor.take_outgoing().unwrap());
    assert_eq!(server.log.last().unwrap(), "aborted User");
    assert!(server.errors.is_empty(), "{:?}", server.errors);
}

#[test]
fn a_lost_connection_is_an_error_but_a_probe_is_none() {
    let mut acceptor = dimse::Acceptor::new(AcceptorConfig::new("TELERAD"));
    acceptor.connection_closed().unwrap();

    let mut server = Server::new();
    server.receive(&associate_rq("CENTRE", "TELERAD", &[(CT, &[IMPLICIT])], 0)[..20]);
    assert!(server.acceptor.connection_closed().is_err());

    let mut server = Server::established(AcceptorConfig::new("TELERAD"), &[(CT, &[IMPLICIT])]);
    server.receive(&p_data(&[pdv(1, 3, &request(1, 1, CT, "1.2.3", true)), pdv(1, 0, b"abcd")]));
    let error = server.acceptor.connection_closed().unwrap_err();
    assert_eq!(error.to_string(), "connection ended inside a message");
    assert_eq!(
        server.acceptor.respond_store(1, Status::SUCCESS, None).unwrap_err().to_string(),
        "cannot answer after the association"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_pieces(sizes in proptest::collection::vec(1..4000_usize, 1..200)) {
        let mut sizes = sizes.into_iter().cycle();
        everything(&mut Server::new(), move || sizes.next().unwrap());
    }

    #[test]
    fn random_data_sets_and_maxima(data in proptest::collection::vec(any::<u8>(), 0..6000), maximum in 8..2000_u32, size in 1..700_usize) {
        let mut config = AcceptorConfig::new("TELERAD");
        config.max_pdu_length = maximum;
        let mut server = Server::with(config);
        converse(&mut server, all_contexts(), vec![Task::Store(JPEG_LS, data.clone())], || size);
        prop_assert_eq!(&server.stores[0].1, &padded(data));
    }
}
