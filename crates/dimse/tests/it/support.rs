//! What the tests share: raw PDUs written by hand, and a server that keeps what it is sent.

use dimse::{Acceptor, AcceptorConfig, Event, FileMeta, ProtocolError, RejectReason, Status, StoreRequest};

pub const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
pub const VERIFICATION: &str = "1.2.840.10008.1.1";
pub const AVAILABILITY: &str = "1.2.840.10008.5.1.4.33";
pub const IMPLICIT: &str = "1.2.840.10008.1.2";
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";

/// A server that accepts everybody but the calling AE title `STRANGER`, and keeps what happened.
pub struct Server {
    pub acceptor: Acceptor,
    pub log: Vec<String>,
    pub stores: Vec<(StoreRequest, Vec<u8>)>,
    pub notices: Vec<dimse::AvailabilityNotified>,
    pub requests: Vec<dimse::AssociationRequest>,
    pub asked: Vec<dimse::Asked>,
    pub errors: Vec<ProtocolError>,
    pub store_status: Status,
    pub store_comment: Option<&'static str>,
    /// Answers the store at once, before its data set.
    pub answers_early: bool,
}

impl Server {
    pub fn new() -> Self {
        Self::with(AcceptorConfig::new("TELERAD"))
    }

    pub fn with(config: AcceptorConfig) -> Self {
        Self {
            acceptor: Acceptor::new(config),
            log: Vec::new(),
            stores: Vec::new(),
            notices: Vec::new(),
            requests: Vec::new(),
            asked: Vec::new(),
            errors: Vec::new(),
            store_status: Status::SUCCESS,
            store_comment: None,
            answers_early: false,
        }
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        self.acceptor.receive(bytes);
        loop {
            match self.acceptor.next_event() {
                Ok(Some(event)) => self.event(event),
                Ok(None) => return,
                Err(error) => self.errors.push(error),
            }
        }
    }

    pub fn outgoing(&mut self) -> Vec<u8> {
        self.acceptor.take_outgoing().map(|bytes| bytes.to_vec()).unwrap_or_default()
    }

    /// One established association, on these contexts (id 1, 3, 5...), its A-ASSOCIATE-AC taken.
    pub fn established(config: AcceptorConfig, contexts: &[(&str, &[&str])]) -> Self {
        let mut server = Self::with(config);
        server.receive(&associate_rq("CENTRE", "TELERAD", contexts, 16_384));
        assert_eq!(server.outgoing()[0], 2, "{:?}", server.errors);
        server.log.clear();
        server
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::AssociationRequested(request) => {
                self.log.push(format!("request {} {}", request.calling_ae_title, request.is_addressed_to_us));
                if request.calling_ae_title == "STRANGER" {
                    self.acceptor.reject(RejectReason::CallingAeTitleNotRecognised).unwrap();
                } else {
                    self.acceptor.accept().unwrap();
                }
                self.requests.push(request);
            }
            Event::Echo { message_id, .. } => {
                self.log.push(format!("echo {message_id}"));
                self.acceptor.respond_echo(message_id).unwrap();
            }
            Event::StoreBegin(request) => {
                self.log.push(format!("store {}", request.message_id));
                let message_id = request.message_id;
                self.stores.push((request, Vec::new()));
                if self.answers_early {
                    self.acceptor.respond_store(message_id, self.store_status, self.store_comment).unwrap();
                }
            }
            Event::StoreData(data) => {
                assert!(!data.is_empty());
                self.stores.last_mut().unwrap().1.extend_from_slice(&data);
            }
            Event::StoreEnd { message_id } => {
                self.log.push(format!("end {message_id}"));
                self.acceptor.respond_store(message_id, self.store_status, self.store_comment).unwrap();
            }
            Event::AvailabilityNotified(notified) => {
                self.log.push(format!("notified {}", notified.message_id));
                self.acceptor.respond_create(notified.message_id, Status::SUCCESS, Some("2.25.7")).unwrap();
                self.notices.push(notified);
            }
            Event::CommitmentRequested(asked) => {
                self.log.push(format!("asked {} {}", asked.message_id, asked.request.references.len()));
                self.acceptor.respond_action(asked.message_id, Status::SUCCESS).unwrap();
            }
            Event::ReportAnswered { message_id, status } => {
                self.log.push(format!("answered {message_id} {:04X}", status.0));
            }
            Event::Asked(asked) => {
                self.log.push(format!("asked {} {:?} {:?}", asked.message_id, asked.root, asked.wish));
                self.asked.push(asked);
            }
            Event::Cancelled { message_id } => self.log.push(format!("cancelled {message_id}")),
            Event::StoreAnswered { message_id, status } => {
                self.log.push(format!("stored {message_id} {:04X}", status.0));
            }
            Event::UnsupportedOperation { message_id, command_field, .. } => {
                self.log.push(format!("unsupported {command_field:04X} {message_id}"));
            }
            Event::Refused { message_id, status, reason, .. } => {
                self.log.push(format!("refused {message_id} {:04X} {reason}", status.0));
            }
            Event::ReleaseRequested => {
                self.log.push("release".to_owned());
                self.acceptor.confirm_release().unwrap();
            }
            Event::Aborted { source } => self.log.push(format!("aborted {source:?}")),
        }
    }
}

/// The Part 10 head and bytes of a store, as a file.
pub fn file(store: &(StoreRequest, Vec<u8>)) -> Vec<u8> {
    let (request, data) = store;
    let meta = FileMeta {
        sop_class_uid: request.sop_class_uid.clone(),
        sop_instance_uid: request.sop_instance_uid.clone(),
        transfer_syntax_uid: request.transfer_syntax_uid.clone(),
    };
    [meta.to_prefix().unwrap(), data.clone()].concat()
}

pub fn pdu(pdu_type: u8, body: &[u8]) -> Vec<u8> {
    [&[pdu_type, 0][..], &(body.len() as u32).to_be_bytes(), body].concat()
}

pub fn item(item_type: u8, body: &[u8]) -> Vec<u8> {
    [&[item_type, 0][..], &(body.len() as u16).to_be_bytes(), body].concat()
}

fn title(text: &str) -> Vec<u8> {
    format!("{text:<16}").into_bytes()
}

pub fn associate_rq(calling: &str, called: &str, contexts: &[(&str, &[&str])], maximum: u32) -> Vec<u8> {
    let contexts: Vec<_> = contexts.iter().enumerate().map(|(i, c)| (2 * i as u8 + 1, c.0, c.1)).collect();
    associate_rq_ids(calling, called, &contexts, maximum)
}

pub fn associate_rq_ids(
    calling: &str,
    called: &str,
    contexts: &[(u8, &str, &[&str])],
    maximum: u32,
) -> Vec<u8> {
    associate_rq_with_roles(calling, called, contexts, maximum, &[])
}

/// With roles that the caller proposes for itself: abstract syntax, SCU, SCP.
pub fn associate_rq_with_roles(
    calling: &str,
    called: &str,
    contexts: &[(u8, &str, &[&str])],
    maximum: u32,
    roles: &[(&str, u8, u8)],
) -> Vec<u8> {
    let mut body = [&[0, 1, 0, 0][..], &title(called), &title(calling), &[0; 32]].concat();
    body.extend(item(0x10, b"1.2.840.10008.3.1.1.1"));
    for (id, abstract_syntax, transfer_syntaxes) in contexts {
        let mut context = vec![*id, 0, 0, 0];
        context.extend(item(0x30, abstract_syntax.as_bytes()));
        for syntax in *transfer_syntaxes {
            context.extend(item(0x40, syntax.as_bytes()));
        }
        body.extend(item(0x20, &context));
    }
    let mut user = [item(0x51, &maximum.to_be_bytes()), item(0x52, b"1.2.3.4"), item(0x55, b"PEER")].concat();
    for (uid, scu, scp) in roles {
        let role = [&(uid.len() as u16).to_be_bytes()[..], uid.as_bytes(), &[*scu, *scp]].concat();
        user.extend(item(0x54, &role));
    }
    body.extend(item(0x50, &user));
    pdu(1, &body)
}

/// A presentation data value; `control` 1 is a command, 2 the last fragment.
pub fn pdv(context_id: u8, control: u8, data: &[u8]) -> Vec<u8> {
    [&(data.len() as u32 + 2).to_be_bytes()[..], &[context_id, control], data].concat()
}

pub fn p_data(values: &[Vec<u8>]) -> Vec<u8> {
    pdu(4, &values.concat())
}

pub fn element(number: u16, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(0);
    }
    [&[0, 0][..], &number.to_le_bytes(), &(value.len() as u32).to_le_bytes(), &value].concat()
}

pub fn us(number: u16, value: u16) -> Vec<u8> {
    element(number, &value.to_le_bytes())
}

/// A request with message id and, if given, SOP class and instance.
pub fn request(field: u16, message_id: u16, class: &str, instance: &str, has_data_set: bool) -> Vec<u8> {
    let mut elements = Vec::new();
    if !class.is_empty() {
        elements.extend(element(0x0002, class.as_bytes()));
    }
    elements.extend(us(0x0100, field));
    elements.extend(us(0x0110, message_id));
    elements.extend(us(0x0800, if has_data_set { 1 } else { 0x0101 }));
    if !instance.is_empty() {
        elements.extend(element(0x1000, instance.as_bytes()));
    }
    [element(0, &(elements.len() as u32).to_le_bytes()), elements].concat()
}

/// Command field, message id, status, error comment and affected instance of each response in these bytes.
pub fn responses(bytes: &[u8]) -> Vec<(u16, u16, u16, String, String)> {
    let mut rest = bytes;
    let mut command = Vec::new();
    let mut out = Vec::new();
    while !rest.is_empty() {
        assert_eq!(rest[0], 4, "not P-DATA-TF");
        let length = u32::from_be_bytes(rest[2..6].try_into().unwrap()) as usize;
        let value = &rest[6..6 + length];
        assert_eq!(u32::from_be_bytes(value[..4].try_into().unwrap()) as usize, length - 4);
        command.extend_from_slice(&value[6..]);
        if value[5] & 2 != 0 {
            out.push(response(&std::mem::take(&mut command)));
        }
        rest = &rest[6 + length..];
    }
    out
}

fn response(mut bytes: &[u8]) -> (u16, u16, u16, String, String) {
    let mut out = (0, 0, 0xdead, String::new(), String::new());
    while !bytes.is_empty() {
        let number = u16::from_le_bytes([bytes[2], bytes[3]]);
        let length = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        assert_eq!(length % 2, 0, "values are padded");
        let value = &bytes[8..8 + length];
        let short = || u16::from_le_bytes(value.try_into().unwrap());
        let text = || String::from_utf8(value.to_vec()).unwrap().trim_end_matches([' ', '\0']).to_owned();
        match number {
            0x0100 => out.0 = short(),
            0x0120 => out.1 = short(),
            0x0900 => out.2 = short(),
            0x0902 => out.3 = text(),
            0x1000 => out.4 = text(),
            _ => {}
        }
        bytes = &bytes[8 + length..];
    }
    out
}
