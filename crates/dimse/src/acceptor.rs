//! The side that is called: one association of a server, without socket and clock.
//! It decides what is protocol (contexts, fragments, message ids) and leaves what is policy (who may come in, what is
//! kept, how long a peer may be silent) to its caller.

mod retrieval;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use bytes::{Bytes, BytesMut};
use dicom_dictionary_std::uids;
use dicom_ul::pdu::{
    AbortRQSource, AssociationAC, AssociationRJ, AssociationRJResult, AssociationRJServiceProviderASCEReason,
    AssociationRJServiceProviderPresentationReason, AssociationRJServiceUserReason, AssociationRJSource,
    AssociationRQ, Pdu, PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason, RequestorRoles, UserVariableItem,
};

use crate::availability::{AvailabilityError, AvailabilityNotice, NoticeSyntax};
use crate::command::{self, CommandSet, CommandWriter, Priority, element};
use crate::commitment::{self, CommitmentReport, CommitmentRequest};
use crate::error::{CallError, ProtocolError};
use crate::file_meta::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};
use crate::query::Asked;
use crate::service::Service;
use crate::status::Status;
use crate::text;
use crate::wire::{self, AbortSource, Assembler, Fragment, PduReader, Phase, Piece, Step};
use retrieval::{PeerRoles, Sending};

/// Application context name of DICOM (PS3.7 section A.2.1).
pub(crate) const APPLICATION_CONTEXT: &str = uids::DICOM_APPLICATION_CONTEXT;

/// Most bytes of answers that wait behind an object; each has about a hundred. An honest peer has few requests open.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// Maximum length that is assumed of a peer which does not state one, in bytes: what the oldest peers take.
const SILENT_PEER_MAXIMUM: u32 = 16 * 1024;

/// What an acceptor announces and how much it bears.
#[derive(Debug, Clone)]
pub struct AcceptorConfig {
    /// Our AE title; a request says whether it was addressed to it.
    pub ae_title: String,
    /// Longest P-DATA-TF PDU that we announce and take, in bytes.
    pub max_pdu_length: u32,
    /// Longest association PDU, in bytes; limits the memory before a peer is known.
    pub max_association_pdu: u32,
    /// Longest command set, in bytes, over all its fragments.
    pub max_command_set: usize,
    /// Longest data set of an instance availability notification or a commitment request, in bytes; it is held in memory.
    pub max_notice: usize,
    /// Most operations that may wait for an answer. The asynchronous operations window is not negotiated, so an
    /// honest peer has one; some overlap is borne.
    pub max_outstanding: usize,
    /// Whether query and retrieve are offered.
    pub offers_query_retrieve: bool,
}

impl AcceptorConfig {
    /// Limits that suit modalities and gateways.
    #[must_use]
    pub fn new(ae_title: &str) -> Self {
        Self {
            ae_title: ae_title.to_owned(),
            max_pdu_length: 128 * 1024,
            max_association_pdu: 1024 * 1024,
            max_command_set: 64 * 1024,
            max_notice: 4 * 1024 * 1024,
            max_outstanding: 16,
            offers_query_retrieve: false,
        }
    }
}

/// What happened; each wants the answer that its documentation names.
#[derive(Debug)]
pub enum Event {
    /// A peer asks for an association. Answer with [`Acceptor::accept`] or [`Acceptor::reject`]; nothing more happens
    /// before.
    AssociationRequested(AssociationRequest),
    /// C-ECHO. Answer with [`Acceptor::respond_echo`].
    Echo {
        /// Presentation context.
        context_id: u8,
        /// Message id to answer.
        message_id: u16,
    },
    /// C-STORE begins; [`Event::StoreData`] and [`Event::StoreEnd`] follow.
    StoreBegin(StoreRequest),
    /// The next bytes of the data set, exactly as received: a slice of the receive buffer, which stays in memory as
    /// long as the slice does.
    StoreData(Bytes),
    /// The data set is complete. Answer with [`Acceptor::respond_store`].
    StoreEnd {
        /// Message id to answer.
        message_id: u16,
    },
    /// N-CREATE of an instance availability notification. Answer with [`Acceptor::respond_create`].
    AvailabilityNotified(AvailabilityNotified),
    /// N-ACTION of a storage commitment. Answer with [`Acceptor::respond_action`], once the request cannot be lost any more.
    CommitmentRequested(CommitmentAsked),
    /// The peer answered what [`Acceptor::report`] told it.
    ReportAnswered {
        /// Message id of the report.
        message_id: u16,
        /// The answer.
        status: Status,
    },
    /// C-FIND, C-MOVE or C-GET, where they are offered. Answer with [`Acceptor::reply`].
    Asked(Asked),
    /// The peer cancels an [`Event::Asked`] that is open. It still wants its last answer.
    Cancelled {
        /// Message id of the request.
        message_id: u16,
    },
    /// The peer answered a sub-operation that [`Acceptor::begin_giving`] began.
    StoreAnswered {
        /// Message id of the sub-operation.
        message_id: u16,
        /// The answer.
        status: Status,
    },
    /// A request that we do not serve; it was answered with 0211H (unrecognised operation).
    UnsupportedOperation {
        /// Presentation context.
        context_id: u8,
        /// Message id.
        message_id: u16,
        /// Command field (0000,0100).
        command_field: u16,
    },
    /// A request of a kind that we serve, but malformed; it is answered with `status` and its data set passed over.
    Refused {
        /// Presentation context.
        context_id: u8,
        /// Message id.
        message_id: u16,
        /// The answer.
        status: Status,
        /// What was wrong, without text from the peer.
        reason: &'static str,
    },
    /// The peer wants to end the association. Answer what is open, then [`Acceptor::confirm_release`].
    ReleaseRequested,
    /// The peer ended the association; nothing can be answered any more. What was answered before stays valid.
    Aborted {
        /// By whom and why.
        source: AbortSource,
    },
}

/// A-ASSOCIATE-RQ, with our decision on every presentation context.
#[derive(Debug, Clone)]
pub struct AssociationRequest {
    /// Calling AE title, trimmed. Not authenticated.
    pub calling_ae_title: String,
    /// Called AE title, trimmed.
    pub called_ae_title: String,
    /// Whether the called AE title is the configured one, compared trimmed.
    pub is_addressed_to_us: bool,
    /// Presentation contexts, in the order in which they were proposed.
    pub contexts: Vec<RequestedContext>,
    /// Longest PDU that the peer takes, in bytes; 0 is without limit, none is not stated.
    pub max_pdu_length: Option<u32>,
    /// Implementation class UID, if stated.
    pub implementation_class_uid: Option<String>,
    /// Implementation version name, if stated.
    pub implementation_version_name: Option<String>,
    /// User identity, if stated. Checking it is the caller's.
    pub user_identity: Option<UserIdentity>,
}

/// One proposed presentation context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedContext {
    /// Presentation context id.
    pub id: u8,
    /// Abstract syntax UID.
    pub abstract_syntax: String,
    /// Transfer syntax UIDs in the order of the peer's preference.
    pub transfer_syntaxes: Vec<String>,
    /// What we answer if the association is accepted.
    pub decision: ContextDecision,
}

/// What we answer to a presentation context (PS3.8 table 9-18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextDecision {
    /// Accepted, with this transfer syntax.
    Accepted {
        /// UID.
        transfer_syntax: String,
    },
    /// Refused: not a service of ours.
    AbstractSyntaxNotSupported,
    /// Refused: no usable transfer syntax.
    TransferSyntaxesNotSupported,
}

impl ContextDecision {
    /// Storage and verification take the first transfer syntax whatever it is, since nothing is decoded; a notice, a
    /// commitment or an identifier has to be read, so its context takes the first one that can be.
    fn on(config: &AcceptorConfig, abstract_syntax: &str, transfer_syntaxes: &[String]) -> Self {
        let usable: fn(&str) -> bool = match Service::of(abstract_syntax) {
            Service::Unsupported => return Self::AbstractSyntaxNotSupported,
            Service::Find(_) | Service::Move(_) | Service::Get(_) if !config.offers_query_retrieve => {
                return Self::AbstractSyntaxNotSupported;
            }
            Service::Verification | Service::Storage => text::is_uid,
            Service::InstanceAvailability
            | Service::Commitment
            | Service::Find(_)
            | Service::Move(_)
            | Service::Get(_) => |uid| NoticeSyntax::from_uid(uid).is_some(),
        };
        match transfer_syntaxes.iter().find(|uid| usable(uid)) {
            Some(uid) => Self::Accepted { transfer_syntax: uid.clone() },
            None => Self::TransferSyntaxesNotSupported,
        }
    }
}

/// User identity (PS3.7 section D.3.3.7). Its debug form shows neither name nor secret.
#[derive(Clone, PartialEq, Eq)]
pub struct UserIdentity {
    /// Identity type: 1 user name, 2 user name and passcode, 3 Kerberos, 4 SAML, 5 JSON web token.
    pub kind: u8,
    /// Whether the peer wants a server response; see [`Acceptor::accept_identity`].
    pub wants_response: bool,
    /// Primary field.
    pub primary: Vec<u8>,
    /// Secondary field: the passcode of type 2.
    pub secondary: Vec<u8>,
}

impl fmt::Debug for UserIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserIdentity").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// C-STORE-RQ (PS3.7 section 9.3.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRequest {
    /// Presentation context.
    pub context_id: u8,
    /// Message id to answer.
    pub message_id: u16,
    /// Affected SOP Class UID: well formed.
    pub sop_class_uid: String,
    /// Affected SOP Instance UID: well formed.
    pub sop_instance_uid: String,
    /// Transfer syntax that the presentation context was accepted with.
    pub transfer_syntax_uid: String,
    /// Priority.
    pub priority: Priority,
    /// Who asked for the transfer, if it comes of a C-MOVE.
    pub move_originator: Option<MoveOriginator>,
}

/// The C-MOVE behind a C-STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveOriginator {
    /// Move Originator Application Entity Title (0000,1030).
    pub ae_title: String,
    /// Move Originator Message ID (0000,1031).
    pub message_id: Option<u16>,
}

/// N-CREATE-RQ of an instance availability notification (PS3.4 annex R).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailabilityNotified {
    /// Presentation context.
    pub context_id: u8,
    /// Message id to answer.
    pub message_id: u16,
    /// Affected SOP Instance UID, if the peer chose one and it is well formed.
    pub sop_instance_uid: Option<String>,
    /// What the peer says.
    pub notice: AvailabilityNotice,
    /// The data set as received, in `transfer_syntax_uid`.
    pub data_set: Bytes,
    /// Transfer syntax of the data set.
    pub transfer_syntax_uid: String,
}

/// N-ACTION-RQ of a storage commitment (PS3.4 section J.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentAsked {
    /// Presentation context.
    pub context_id: u8,
    /// Message id to answer.
    pub message_id: u16,
    /// What the peer asks.
    pub request: CommitmentRequest,
}

/// Why an association is refused (PS3.8 table 9-21); the numbers are result, source, reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// 1/1/1.
    NoReasonGiven,
    /// 1/1/2.
    ApplicationContextNotSupported,
    /// 1/1/3.
    CallingAeTitleNotRecognised,
    /// 1/1/7.
    CalledAeTitleNotRecognised,
    /// 1/2/2.
    ProtocolVersionNotSupported,
    /// 2/3/1: the peer may try again.
    TemporaryCongestion,
    /// 2/3/2: the peer may try again.
    LocalLimitExceeded,
}

impl RejectReason {
    fn pdu(self) -> Pdu {
        use AssociationRJServiceProviderPresentationReason as Presentation;
        use AssociationRJServiceUserReason as User;
        let (result, source) = match self {
            Self::NoReasonGiven => {
                (AssociationRJResult::Permanent, AssociationRJSource::ServiceUser(User::NoReasonGiven))
            }
            Self::ApplicationContextNotSupported => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceUser(User::ApplicationContextNameNotSupported),
            ),
            Self::CallingAeTitleNotRecognised => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceUser(User::CallingAETitleNotRecognized),
            ),
            Self::CalledAeTitleNotRecognised => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceUser(User::CalledAETitleNotRecognized),
            ),
            Self::ProtocolVersionNotSupported => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceProviderASCE(
                    AssociationRJServiceProviderASCEReason::ProtocolVersionNotSupported,
                ),
            ),
            Self::TemporaryCongestion => (
                AssociationRJResult::Transient,
                AssociationRJSource::ServiceProviderPresentation(Presentation::TemporaryCongestion),
            ),
            Self::LocalLimitExceeded => (
                AssociationRJResult::Transient,
                AssociationRJSource::ServiceProviderPresentation(Presentation::LocalLimitExceeded),
            ),
        };
        Pdu::AssociationRJ(AssociationRJ { result, source })
    }

    /// The A-ASSOCIATE-RJ, for a server that turns a connection away without reading from it.
    #[must_use]
    pub fn to_bytes(self) -> Bytes {
        Bytes::from(wire::encode(&self.pdu()))
    }
}

#[derive(Debug)]
enum State {
    AwaitingRequest,
    Deciding(Box<Deciding>),
    Established,
    ReleaseRequested,
    Finished,
}

#[derive(Debug)]
struct Deciding {
    raw: Bytes,
    results: Vec<PresentationContextResult>,
    /// Answers to proposed roles (PS3.7 section D.3.3.4).
    roles: Vec<UserVariableItem>,
    /// The peer may not store.
    is_storage_withheld: bool,
}

#[derive(Debug)]
struct AcceptedContext {
    service: Service,
    abstract_syntax: String,
    /// What the peer may do, in a context of storage.
    roles: PeerRoles,
    transfer_syntax: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Echo,
    Store,
    Create,
    Action,
    /// C-FIND, C-MOVE or C-GET.
    Asked,
}

/// An operation without an answer.
#[derive(Debug)]
struct Operation {
    context_id: u8,
    message_id: u16,
    kind: Kind,
    /// Command field (0000,0100) of the request.
    field: u16,
    /// What was asked, until its identifier is complete.
    asked: Option<Box<Asked>>,
    sop_class_uid: Option<String>,
    sop_instance_uid: Option<String>,
    is_receiving: bool,
    /// Answer given before the data set was complete, written after it.
    held: Option<Vec<u8>>,
}

/// Where the data set that is coming in goes.
#[derive(Debug)]
enum Sink {
    Nowhere,
    Discard { context_id: u8, answer: Option<Vec<u8>> },
    Store { message_id: u16 },
    Notice { message_id: u16, bytes: BytesMut, is_too_long: bool },
}

/// One association of a server. Bytes go in by [`Acceptor::buffer`] or [`Acceptor::receive`], events come out of
/// [`Acceptor::next_event`], bytes to send out of [`Acceptor::take_outgoing`].
#[derive(Debug)]
pub struct Acceptor {
    config: AcceptorConfig,
    reader: PduReader,
    assembler: Assembler,
    state: State,
    contexts: BTreeMap<u8, AcceptedContext>,
    operations: Vec<Operation>,
    sink: Sink,
    ready: VecDeque<Event>,
    out: BytesMut,
    fragment_size: usize,
    /// The report that the peer has not answered: context and message id.
    reporting: Option<(u8, u16)>,
    last_message_id: u16,
    /// The sub-operation that the peer has not answered.
    sending: Option<Sending>,
    /// What is to be sent behind the object of the sub-operation.
    waiting: BytesMut,
}

impl Acceptor {
    /// An association that has not been asked for yet.
    #[must_use]
    pub fn new(config: AcceptorConfig) -> Self {
        Self {
            reader: PduReader::new(config.max_pdu_length, config.max_association_pdu),
            assembler: Assembler::new(config.max_command_set),
            config,
            state: State::AwaitingRequest,
            contexts: BTreeMap::new(),
            operations: Vec::new(),
            sink: Sink::Nowhere,
            ready: VecDeque::new(),
            out: BytesMut::new(),
            fragment_size: wire::fragment_size(SILENT_PEER_MAXIMUM, SILENT_PEER_MAXIMUM),
            reporting: None,
            last_message_id: 0,
            sending: None,
            waiting: BytesMut::new(),
        }
    }

    /// Buffer with room for one read from the socket. Take all events after each read: what they hand out leaves the
    /// buffer, so that it never holds more than one read and one unfinished association PDU.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.reader.buffer()
    }

    /// Copies received bytes in, for callers that have them elsewhere. Take all events after each call.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.reader.receive(bytes);
    }

    /// How many bytes of the data set of a C-STORE come next, without anything between them: a caller may receive up to so many
    /// where they are to rest, and say so by [`Self::take_data`], which saves a copy. `None` or anything less is no promise.
    #[must_use]
    pub fn data_due(&self) -> Option<usize> {
        if !matches!((&self.state, &self.sink), (State::Established, Sink::Store { .. }))
            || !self.ready.is_empty()
        {
            return None;
        }
        let (context_id, bytes) = self.reader.data_due()?;
        self.assembler.expects_data_of(context_id).then_some(bytes)
    }

    /// The caller received bytes of [`Self::data_due`] by itself; no [`Event::StoreData`] tells of them. Take all events afterwards.
    pub fn take_data(&mut self, bytes: usize) {
        self.reader.pass_data(bytes);
    }

    /// The next event, or none until more bytes come or the open question is answered.
    ///
    /// # Errors
    /// The peer broke the protocol. What has to be sent to it is outgoing; the association is finished.
    pub fn next_event(&mut self) -> Result<Option<Event>, ProtocolError> {
        self.advance().inspect_err(|error| self.fail(error))
    }

    /// Everything that is to be sent, in one piece: write it at once, so that the peer gets one segment.
    pub fn take_outgoing(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| self.out.split().freeze())
    }

    /// Whether the association is over: send what is outgoing, then close the connection.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// Whether an association is established, so that an idle limit applies in place of the limit for the request.
    #[must_use]
    pub fn is_established(&self) -> bool {
        matches!(self.state, State::Established | State::ReleaseRequested)
    }

    /// Number of operations that wait for an answer, or whose data set is still coming in.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.operations.len()
    }

    /// Bytes held by this association, beyond what it handed out.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let notice = match &self.sink {
            Sink::Notice { bytes, .. } => bytes.len(),
            Sink::Nowhere | Sink::Discard { .. } | Sink::Store { .. } => 0,
        };
        self.reader.buffered() + self.assembler.buffered() + notice + self.out.len() + self.giving_bytes()
    }

    /// Tells that the peer closed the connection.
    ///
    /// # Errors
    /// The association was neither released nor aborted.
    pub fn connection_closed(&mut self) -> Result<(), ProtocolError> {
        let state = match std::mem::replace(&mut self.state, State::Finished) {
            State::Finished => return Ok(()),
            // A port scan or a health probe: it came and went.
            State::AwaitingRequest if self.reader.is_between_pdus() => return Ok(()),
            State::AwaitingRequest => Phase::AwaitingRequest.describe(),
            State::Deciding(_) => "while the association was being decided",
            State::Established | State::ReleaseRequested => {
                if self.assembler.is_inside_message() {
                    "inside a message"
                } else {
                    Phase::Established.describe()
                }
            }
        };
        Err(ProtocolError::ConnectionLost { state })
    }

    /// Refuses the contexts of a service to this peer, whatever the request showed; before the association is accepted.
    ///
    /// # Errors
    /// No request is open.
    pub fn withhold(&mut self, service: Service) -> Result<(), CallError> {
        let State::Deciding(deciding) = &mut self.state else {
            return Err(self.wrong_state("withhold a service"));
        };
        if service == Service::Storage {
            // A peer that takes objects keeps its context for that, which is known when all is decided.
            deciding.is_storage_withheld = true;
            return Ok(());
        }
        let contexts = &mut self.contexts;
        for result in &mut deciding.results {
            if contexts.get(&result.id).is_some_and(|context| context.service == service) {
                contexts.remove(&result.id);
                result.reason = PresentationContextResultReason::UserRejection;
            }
        }
        Ok(())
    }

    /// Accepts the association, with the decisions that the request showed.
    ///
    /// # Errors
    /// No request is open.
    pub fn accept(&mut self) -> Result<(), CallError> {
        self.accept_with(None)
    }

    /// Accepts the association and confirms the user identity that the caller has checked, with a server response
    /// (PS3.7 section D.3.3.7.2), which is empty for types 1 and 2.
    ///
    /// # Errors
    /// No request is open, or the response is longer than its field.
    pub fn accept_identity(&mut self, response: &[u8]) -> Result<(), CallError> {
        self.accept_with(Some(response))
    }

    /// Refuses the association.
    ///
    /// # Errors
    /// No request is open.
    pub fn reject(&mut self, reason: RejectReason) -> Result<(), CallError> {
        if !matches!(self.state, State::Deciding(_)) {
            return Err(self.wrong_state("reject an association"));
        }
        self.out.extend_from_slice(&wire::encode(&reason.pdu()));
        self.state = State::Finished;
        Ok(())
    }

    /// Answers a C-ECHO with success.
    ///
    /// # Errors
    /// No such echo is open.
    pub fn respond_echo(&mut self, message_id: u16) -> Result<(), CallError> {
        let index = self.find(Kind::Echo, message_id)?;
        let operation = self.operations.remove(index);
        let response = response(command::C_ECHO, &operation, Status::SUCCESS, None);
        self.send(operation.context_id, &response);
        Ok(())
    }

    /// Answers a C-STORE; the affected UIDs are those of the request. Given before [`Event::StoreEnd`], the rest of the
    /// data set is passed over without further events and the answer is sent after it. Error comments must not hold
    /// patient data; they are cut at 64 characters.
    ///
    /// # Errors
    /// No such store is open.
    pub fn respond_store(
        &mut self,
        message_id: u16,
        status: Status,
        comment: Option<&str>,
    ) -> Result<(), CallError> {
        let index = self.find(Kind::Store, message_id)?;
        let bytes = response(command::C_STORE, &self.operations[index], status, comment);
        if self.operations[index].is_receiving {
            self.operations[index].held = Some(bytes);
            return Ok(());
        }
        let operation = self.operations.remove(index);
        self.send(operation.context_id, &bytes);
        Ok(())
    }

    /// Answers an N-CREATE. The affected SOP instance is the peer's choice, else `sop_instance_uid`.
    ///
    /// # Errors
    /// No such creation is open, or the UID is not well formed.
    pub fn respond_create(
        &mut self,
        message_id: u16,
        status: Status,
        sop_instance_uid: Option<&str>,
    ) -> Result<(), CallError> {
        let index = self.find(Kind::Create, message_id)?;
        if sop_instance_uid.is_some_and(|uid| !text::is_uid(uid)) {
            return Err(CallError::Invalid { field: "SOP instance UID" });
        }
        let mut operation = self.operations.remove(index);
        operation.sop_instance_uid =
            operation.sop_instance_uid.or_else(|| sop_instance_uid.map(str::to_owned));
        let response = response(command::N_CREATE, &operation, status, None);
        self.send(operation.context_id, &response);
        Ok(())
    }

    /// Answers the N-ACTION of a storage commitment (PS3.7 section 10.3.4).
    ///
    /// # Errors
    /// No such request is open.
    pub fn respond_action(&mut self, message_id: u16, status: Status) -> Result<(), CallError> {
        let index = self.find(Kind::Action, message_id)?;
        let operation = self.operations.remove(index);
        let response = response(command::N_ACTION, &operation, status, None);
        self.send(operation.context_id, &response);
        Ok(())
    }

    /// Whether the peer agreed to speak of storage commitment on this association.
    #[must_use]
    pub fn speaks_commitment(&self) -> bool {
        self.commitment_context().is_some()
    }

    /// Whether a report can be told now: the association is open, the peer is not in the middle of a message or of an operation, and
    /// the last report is answered.
    #[must_use]
    pub fn can_report(&self) -> bool {
        matches!(self.state, State::Established)
            && self.reporting.is_none()
            && self.operations.is_empty()
            && !self.assembler.is_inside_message()
    }

    /// Tells what came of a commitment, as N-EVENT-REPORT (PS3.4 section J.3.3) on the association that the peer opened;
    /// [`Event::ReportAnswered`] follows. Gives the message id.
    ///
    /// # Errors
    /// Not now ([`Acceptor::can_report`]), or not on this association, or what is to be told cannot be encoded.
    pub fn report(&mut self, report: &CommitmentReport) -> Result<u16, CallError> {
        if !self.can_report() {
            return Err(self.wrong_state("report a commitment"));
        }
        let (context_id, syntax) = self.commitment_context().ok_or(CallError::NoPresentationContext)?;
        let data_set =
            report.encode(syntax).map_err(|_| CallError::Invalid { field: "commitment report" })?;
        self.last_message_id = self.last_message_id.checked_add(1).unwrap_or(1);
        let message_id = self.last_message_id;
        self.send(context_id, &command::event_report(message_id, report.event_type()));
        wire::put_data_set(&mut self.out, context_id, &data_set, self.fragment_size);
        self.reporting = Some((context_id, message_id));
        Ok(message_id)
    }

    fn commitment_context(&self) -> Option<(u8, NoticeSyntax)> {
        self.contexts.iter().find_map(|(id, context)| match context.service {
            Service::Commitment => Some((*id, NoticeSyntax::from_uid(&context.transfer_syntax)?)),
            Service::Verification
            | Service::InstanceAvailability
            | Service::Storage
            | Service::Find(_)
            | Service::Move(_)
            | Service::Get(_)
            | Service::Unsupported => None,
        })
    }

    /// Answers a release request; the association is over.
    ///
    /// # Errors
    /// No release was asked for.
    pub fn confirm_release(&mut self) -> Result<(), CallError> {
        if !matches!(self.state, State::ReleaseRequested) {
            return Err(self.wrong_state("confirm a release"));
        }
        self.out.extend_from_slice(&wire::encode(&Pdu::ReleaseRP));
        self.state = State::Finished;
        Ok(())
    }

    /// Ends the association from our side, as for a peer that is silent too long. Answers not yet taken are still
    /// sent before the A-ABORT.
    pub fn abort(&mut self) {
        if !matches!(self.state, State::Finished) {
            wire::put_abort(&mut self.out, AbortRQSource::ServiceUser);
            self.state = State::Finished;
        }
    }

    fn fail(&mut self, error: &ProtocolError) {
        if matches!(self.state, State::Finished) {
            return;
        }
        match error {
            ProtocolError::ProtocolVersion { .. } => {
                let reason = RejectReason::ProtocolVersionNotSupported;
                self.out.extend_from_slice(&wire::encode(&reason.pdu()));
            }
            ProtocolError::ApplicationContext => {
                let reason = RejectReason::ApplicationContextNotSupported;
                self.out.extend_from_slice(&wire::encode(&reason.pdu()));
            }
            error => wire::put_abort(&mut self.out, error.abort_source()),
        }
        self.state = State::Finished;
    }

    fn advance(&mut self) -> Result<Option<Event>, ProtocolError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let phase = match self.state {
                State::AwaitingRequest => Phase::AwaitingRequest,
                State::Established => Phase::Established,
                State::Deciding(_) | State::ReleaseRequested | State::Finished => return Ok(None),
            };
            let Some(piece) = self.reader.next(phase)? else { return Ok(None) };
            match piece {
                Piece::Fragment(fragment) => self.fragment(fragment)?,
                Piece::Association { pdu, raw } => return self.requested(*pdu, raw).map(Some),
                Piece::Abort(source) => {
                    self.state = State::Finished;
                    return Ok(Some(Event::Aborted { source }));
                }
                Piece::ReleaseRequest => {
                    if self.assembler.is_inside_message() {
                        return Err(ProtocolError::UnexpectedPdu {
                            pdu: "A-RELEASE-RQ",
                            state: "inside a message",
                        });
                    }
                    self.state = State::ReleaseRequested;
                    return Ok(Some(Event::ReleaseRequested));
                }
                Piece::ReleaseResponse => {
                    return Err(ProtocolError::UnexpectedPdu {
                        pdu: "A-RELEASE-RP",
                        state: phase.describe(),
                    });
                }
            }
        }
    }

    fn requested(&mut self, pdu: Pdu, raw: Bytes) -> Result<Event, ProtocolError> {
        let Pdu::AssociationRQ(request) = pdu else {
            let state = Phase::AwaitingRequest.describe();
            return Err(ProtocolError::UnexpectedPdu { pdu: "association", state });
        };
        if request.protocol_version & 1 == 0 {
            return Err(ProtocolError::ProtocolVersion { version: request.protocol_version });
        }
        if text::trim(&request.application_context_name) != APPLICATION_CONTEXT {
            return Err(ProtocolError::ApplicationContext);
        }
        let roles = role_answers(&request);
        let proposed = request.user_variables.clone();
        let mut request = association_request(&self.config, request)?;
        let peer_maximum = request.max_pdu_length.unwrap_or(SILENT_PEER_MAXIMUM);
        if (1..wire::SMALLEST_PEER_MAXIMUM).contains(&peer_maximum) {
            return Err(ProtocolError::PeerMaximumLength { length: peer_maximum });
        }
        self.fragment_size = wire::fragment_size(peer_maximum, self.config.max_pdu_length);
        for context in &mut request.contexts {
            let service = Service::of(&context.abstract_syntax);
            let roles = match service {
                Service::Storage => retrieval::proposed_roles(&proposed, &context.abstract_syntax),
                _ => PeerRoles::default(),
            };
            if roles.takes && self.config.offers_query_retrieve {
                retrieval::prefer_explicit(context);
            }
            if let ContextDecision::Accepted { transfer_syntax } = &context.decision {
                let transfer_syntax = transfer_syntax.clone();
                let abstract_syntax = context.abstract_syntax.clone();
                let accepted = AcceptedContext { service, abstract_syntax, roles, transfer_syntax };
                self.contexts.insert(context.id, accepted);
            }
        }
        let results = request.contexts.iter().map(context_result).collect();
        let deciding = Deciding { raw, results, roles, is_storage_withheld: false };
        self.state = State::Deciding(Box::new(deciding));
        Ok(Event::AssociationRequested(request))
    }

    fn accept_with(&mut self, identity_response: Option<&[u8]>) -> Result<(), CallError> {
        if identity_response.is_some_and(|response| response.len() > usize::from(u16::MAX) / 2) {
            return Err(CallError::Invalid { field: "user identity response" });
        }
        if !matches!(self.state, State::Deciding(_)) {
            return Err(self.wrong_state("accept an association"));
        }
        let State::Deciding(mut deciding) = std::mem::replace(&mut self.state, State::Established) else {
            return Ok(());
        };
        let storage_roles = self.settle_storage(&mut deciding);
        let Deciding { raw, results: presentation_contexts, roles, .. } = *deciding;
        let mut user_variables = vec![
            UserVariableItem::MaxLength(self.config.max_pdu_length),
            UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
            UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.to_owned()),
        ];
        user_variables.extend(roles);
        user_variables.extend(storage_roles);
        if let Some(response) = identity_response {
            // Sub-item 59H (PS3.7 table D.3-15).
            let mut item = (response.len() as u16).to_be_bytes().to_vec();
            item.extend_from_slice(response);
            user_variables.push(UserVariableItem::Unknown(0x59, item));
        }
        let mut bytes = wire::encode(&Pdu::AssociationAC(AssociationAC {
            protocol_version: 1,
            calling_ae_title: String::new(),
            called_ae_title: String::new(),
            application_context_name: APPLICATION_CONTEXT.to_owned(),
            presentation_contexts,
            user_variables,
        }));
        // Both titles and the reserved bytes after them come back as they were sent (PS3.8 table 9-17).
        bytes[10..74].copy_from_slice(&raw[10..74]);
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    fn wrong_state(&self, what: &'static str) -> CallError {
        let state = match self.state {
            State::AwaitingRequest => Phase::AwaitingRequest.describe(),
            State::Deciding(_) => "while the association is being decided",
            State::Established => Phase::Established.describe(),
            State::ReleaseRequested => Phase::Releasing.describe(),
            State::Finished => "after the association",
        };
        CallError::WrongState { what, state }
    }

    fn find(&self, kind: Kind, message_id: u16) -> Result<usize, CallError> {
        if !self.is_established() {
            return Err(self.wrong_state("answer"));
        }
        let fits = |operation: &Operation| {
            operation.kind == kind && operation.message_id == message_id && operation.held.is_none()
        };
        self.operations.iter().position(fits).ok_or(CallError::NothingToAnswer { message_id })
    }

    fn send(&mut self, context_id: u8, command: &[u8]) {
        let fragment_size = self.fragment_size;
        wire::put_command(self.outlet(), context_id, command, fragment_size);
    }

    fn fragment(&mut self, fragment: Fragment) -> Result<(), ProtocolError> {
        if !self.contexts.contains_key(&fragment.context_id) {
            return Err(ProtocolError::ContextNotAccepted { id: fragment.context_id });
        }
        match self.assembler.take(fragment)? {
            None => Ok(()),
            Some(Step::Command { context_id, bytes }) => self.command(context_id, &bytes),
            Some(Step::Data { data, is_last }) => {
                self.data(data, is_last);
                Ok(())
            }
        }
    }

    fn command(&mut self, context_id: u8, bytes: &[u8]) -> Result<(), ProtocolError> {
        let command = CommandSet::parse(bytes)?;
        let command_field = command.required_number(element::COMMAND_FIELD)?;
        let has_data_set = command.has_data_set()?;
        if has_data_set {
            self.assembler.expect_data(context_id);
            self.sink = Sink::Discard { context_id, answer: None };
        }
        if command_field & command::RESPONSE != 0 {
            if self.gave(context_id, command_field, &command)? {
                return Ok(());
            }
            return self.report_answered(context_id, command_field, &command);
        }
        if command_field == command::C_CANCEL {
            return self.cancels(&command);
        }
        if self.waiting.len() > WAITING_BYTES_MAX {
            return Err(ProtocolError::TooManyOperations { limit: self.config.max_outstanding });
        }
        let operation = Operation {
            context_id,
            message_id: command.required_number(element::MESSAGE_ID)?,
            kind: Kind::Echo,
            field: command_field,
            asked: None,
            sop_class_uid: command.uid(element::AFFECTED_SOP_CLASS_UID),
            sop_instance_uid: command.uid(element::AFFECTED_SOP_INSTANCE_UID),
            is_receiving: has_data_set,
            held: None,
        };
        if self.operations.len() >= self.config.max_outstanding {
            return Err(ProtocolError::TooManyOperations { limit: self.config.max_outstanding });
        }
        if self.operations.iter().any(|open| open.message_id == operation.message_id) {
            self.refuse(&operation, command_field, Status::DUPLICATE_INVOCATION, "message id is in use");
            return Ok(());
        }
        let service = self.contexts.get(&context_id).map_or(Service::Unsupported, |context| context.service);
        match (command_field, service) {
            (command::C_ECHO, _) => {
                let message_id = operation.message_id;
                self.operations.push(operation);
                self.ready.push_back(Event::Echo { context_id, message_id });
            }
            (command::C_STORE, _) => self.store(&command, operation, has_data_set),
            (command::N_CREATE, Service::InstanceAvailability) => self.create(operation, has_data_set),
            (command::C_FIND | command::C_MOVE | command::C_GET, _) => {
                self.asks(&command, operation, command_field, has_data_set);
            }
            (command::N_ACTION, Service::Commitment) => self.action(&command, operation, has_data_set),
            _ => self.unsupported(&operation, command_field),
        }
        Ok(())
    }

    fn store(&mut self, command: &CommandSet<'_>, mut operation: Operation, has_data_set: bool) {
        let field = command::C_STORE;
        let Some(context) = self.contexts.get(&operation.context_id) else { return };
        let Some(sop_class_uid) = operation.sop_class_uid.clone() else {
            return self.refuse(
                &operation,
                field,
                Status::SOP_CLASS_NOT_SUPPORTED,
                "affected SOP class is malformed",
            );
        };
        if context.service != Service::Storage || Service::of(&sop_class_uid) != Service::Storage {
            return self.refuse(
                &operation,
                field,
                Status::SOP_CLASS_NOT_SUPPORTED,
                "SOP class is not for storage",
            );
        }
        let Some(sop_instance_uid) = operation.sop_instance_uid.clone() else {
            let reason = "affected SOP instance is malformed";
            return self.refuse(&operation, field, Status::INVALID_SOP_INSTANCE, reason);
        };
        if !has_data_set {
            return self.refuse(&operation, field, Status::CANNOT_UNDERSTAND, "no data set");
        }
        if !context.roles.stores {
            let reason = "the peer only takes objects in this context";
            return self.refuse(&operation, field, Status::NOT_AUTHORISED, reason);
        }
        let originator =
            command.text(element::MOVE_ORIGINATOR_AE_TITLE).filter(|title| text::is_ae_title(title));
        let request = StoreRequest {
            context_id: operation.context_id,
            message_id: operation.message_id,
            sop_class_uid,
            sop_instance_uid,
            transfer_syntax_uid: context.transfer_syntax.clone(),
            priority: command.priority(),
            move_originator: originator.map(|ae_title| MoveOriginator {
                ae_title,
                message_id: command.number(element::MOVE_ORIGINATOR_MESSAGE_ID),
            }),
        };
        operation.kind = Kind::Store;
        self.sink = Sink::Store { message_id: operation.message_id };
        self.operations.push(operation);
        self.ready.push_back(Event::StoreBegin(request));
    }

    fn create(&mut self, mut operation: Operation, has_data_set: bool) {
        if operation.sop_class_uid.as_deref() != Some(uids::INSTANCE_AVAILABILITY_NOTIFICATION) {
            let (status, reason) = (Status::SOP_CLASS_NOT_SUPPORTED, "SOP class is not that of its context");
            return self.refuse(&operation, command::N_CREATE, status, reason);
        }
        if !has_data_set {
            return self.refuse(&operation, command::N_CREATE, Status::MISSING_ATTRIBUTE, "no data set");
        }
        operation.kind = Kind::Create;
        self.sink =
            Sink::Notice { message_id: operation.message_id, bytes: BytesMut::new(), is_too_long: false };
        self.operations.push(operation);
    }

    /// N-ACTION names its subject by the requested class and instance (PS3.7 table 10.3-7); the answer by the affected ones.
    fn action(&mut self, command: &CommandSet<'_>, mut operation: Operation, has_data_set: bool) {
        let field = command::N_ACTION;
        operation.sop_class_uid = command.uid(element::REQUESTED_SOP_CLASS_UID);
        operation.sop_instance_uid = command.uid(element::REQUESTED_SOP_INSTANCE_UID);
        if operation.sop_class_uid.as_deref() != Some(uids::STORAGE_COMMITMENT_PUSH_MODEL) {
            let (status, reason) = (Status::NO_SUCH_SOP_CLASS, "SOP class is not that of its context");
            return self.refuse(&operation, field, status, reason);
        }
        if operation.sop_instance_uid.as_deref() != Some(commitment::INSTANCE_UID) {
            let (status, reason) = (Status::NO_SUCH_SOP_INSTANCE, "SOP instance is not that of the service");
            return self.refuse(&operation, field, status, reason);
        }
        if command.number(element::ACTION_TYPE_ID) != Some(commitment::REQUEST) {
            return self.refuse(&operation, field, Status::NO_SUCH_ACTION, "action is not a request");
        }
        if !has_data_set {
            return self.refuse(&operation, field, Status::INVALID_ARGUMENT_VALUE, "no data set");
        }
        operation.kind = Kind::Action;
        self.sink =
            Sink::Notice { message_id: operation.message_id, bytes: BytesMut::new(), is_too_long: false };
        self.operations.push(operation);
    }

    fn report_answered(
        &mut self,
        context_id: u8,
        command_field: u16,
        command: &CommandSet<'_>,
    ) -> Result<(), ProtocolError> {
        let message_id = command.required_number(element::MESSAGE_ID_BEING_RESPONDED_TO)?;
        let is_answer = command_field == command::N_EVENT_REPORT | command::RESPONSE
            && self.reporting == Some((context_id, message_id));
        if !is_answer {
            return Err(ProtocolError::UnexpectedResponse { command_field, message_id });
        }
        let status = Status(command.required_number(element::STATUS)?);
        self.reporting = None;
        self.ready.push_back(Event::ReportAnswered { message_id, status });
        Ok(())
    }

    fn unsupported(&mut self, operation: &Operation, command_field: u16) {
        self.ready.push_back(Event::UnsupportedOperation {
            context_id: operation.context_id,
            message_id: operation.message_id,
            command_field,
        });
        self.answer_after_data(operation, command_field, Status::UNRECOGNISED_OPERATION, None);
    }

    fn refuse(&mut self, operation: &Operation, command_field: u16, status: Status, reason: &'static str) {
        self.ready.push_back(Event::Refused {
            context_id: operation.context_id,
            message_id: operation.message_id,
            status,
            reason,
        });
        self.answer_after_data(operation, command_field, status, Some(reason));
    }

    fn answer_after_data(
        &mut self,
        operation: &Operation,
        field: u16,
        status: Status,
        comment: Option<&str>,
    ) {
        let bytes = response(field, operation, status, comment);
        if operation.is_receiving {
            self.sink = Sink::Discard { context_id: operation.context_id, answer: Some(bytes) };
        } else {
            self.send(operation.context_id, &bytes);
        }
    }

    fn data(&mut self, data: Bytes, is_last: bool) {
        match &mut self.sink {
            Sink::Nowhere | Sink::Discard { .. } => {}
            Sink::Store { message_id } => {
                let is_wanted = self
                    .operations
                    .iter()
                    .any(|operation| operation.message_id == *message_id && operation.held.is_none());
                if is_wanted && !data.is_empty() {
                    self.ready.push_back(Event::StoreData(data));
                }
            }
            Sink::Notice { bytes, is_too_long, .. } => {
                if bytes.len() + data.len() > self.config.max_notice {
                    *is_too_long = true;
                    *bytes = BytesMut::new();
                }
                if !*is_too_long {
                    bytes.extend_from_slice(&data);
                }
            }
        }
        if is_last {
            match std::mem::replace(&mut self.sink, Sink::Nowhere) {
                Sink::Nowhere | Sink::Discard { answer: None, .. } => {}
                Sink::Discard { context_id, answer: Some(answer) } => self.send(context_id, &answer),
                Sink::Store { message_id } => self.store_ended(message_id),
                Sink::Notice { message_id, bytes, is_too_long } => {
                    self.notice_ended(message_id, bytes.freeze(), is_too_long);
                }
            }
        }
    }

    fn store_ended(&mut self, message_id: u16) {
        let Some(index) = self.operations.iter().position(|operation| operation.message_id == message_id)
        else {
            return;
        };
        self.operations[index].is_receiving = false;
        match self.operations[index].held.take() {
            None => self.ready.push_back(Event::StoreEnd { message_id }),
            Some(answer) => {
                let operation = self.operations.remove(index);
                self.send(operation.context_id, &answer);
            }
        }
    }

    fn notice_ended(&mut self, message_id: u16, data_set: Bytes, is_too_long: bool) {
        let Some(index) = self.operations.iter().position(|operation| operation.message_id == message_id)
        else {
            return;
        };
        self.operations[index].is_receiving = false;
        let context_id = self.operations[index].context_id;
        let Some(context) = self.contexts.get(&context_id) else { return };
        let transfer_syntax_uid = context.transfer_syntax.clone();
        let kind = self.operations[index].kind;
        if kind == Kind::Asked {
            return self.identifier_ended(index, data_set, is_too_long);
        }
        let outcome = match NoticeSyntax::from_uid(&transfer_syntax_uid) {
            _ if is_too_long => Err((Status::RESOURCE_LIMITATION, "data set is too long")),
            None => Err((Status::PROCESSING_FAILURE, "transfer syntax cannot be read")),
            Some(syntax) if kind == Kind::Action => match CommitmentRequest::decode(&data_set, syntax) {
                Ok(request) => {
                    let asked = CommitmentAsked { context_id, message_id, request };
                    return self.ready.push_back(Event::CommitmentRequested(asked));
                }
                Err(error) => Err(action_status(&error)),
            },
            Some(syntax) => {
                AvailabilityNotice::decode(&data_set, syntax).map_err(|error| notice_status(&error))
            }
        };
        match outcome {
            Ok(notice) => self.ready.push_back(Event::AvailabilityNotified(AvailabilityNotified {
                context_id,
                message_id,
                sop_instance_uid: self.operations[index].sop_instance_uid.clone(),
                notice,
                data_set,
                transfer_syntax_uid,
            })),
            Err((status, reason)) => {
                let operation = self.operations.remove(index);
                let field = if kind == Kind::Action { command::N_ACTION } else { command::N_CREATE };
                self.refuse(&operation, field, status, reason);
            }
        }
    }
}

/// 0120H is not among the statuses of an N-ACTION (PS3.7 section 10.1.4.1.10).
fn action_status(error: &AvailabilityError) -> (Status, &'static str) {
    match error {
        AvailabilityError::Missing { .. } => {
            (Status::INVALID_ARGUMENT_VALUE, "a required attribute is missing")
        }
        AvailabilityError::Invalid { .. } => {
            (Status::INVALID_ARGUMENT_VALUE, "an attribute value is malformed")
        }
        AvailabilityError::TooMany { .. }
        | AvailabilityError::Cut { .. }
        | AvailabilityError::NoItem { .. }
        | AvailabilityError::TooDeep { .. }
        | AvailabilityError::Write(_) => notice_status(error),
    }
}

/// What we answer to proposed roles: of storage commitment the peer may be the one that asks, never the one that commits. Roles that
/// go unanswered keep their defaults (PS3.7 section D.3.3.4).
fn role_answers(request: &AssociationRQ) -> Vec<UserVariableItem> {
    let answer = |item: &UserVariableItem| match item {
        UserVariableItem::ScuScpRoleSelectionSubItem(uid, roles)
            if text::trim(uid) == uids::STORAGE_COMMITMENT_PUSH_MODEL =>
        {
            let roles = RequestorRoles { scu: roles.scu, scp: false };
            Some(UserVariableItem::ScuScpRoleSelectionSubItem(text::trim(uid).to_owned(), roles))
        }
        _ => None,
    };
    request.user_variables.iter().find_map(answer).into_iter().collect()
}

fn notice_status(error: &AvailabilityError) -> (Status, &'static str) {
    match error {
        AvailabilityError::Missing { .. } => (Status::MISSING_ATTRIBUTE, "a required attribute is missing"),
        AvailabilityError::Invalid { .. } => {
            (Status::INVALID_ATTRIBUTE_VALUE, "an attribute value is malformed")
        }
        AvailabilityError::TooMany { .. } => (Status::RESOURCE_LIMITATION, "too many instances"),
        AvailabilityError::Cut { .. }
        | AvailabilityError::NoItem { .. }
        | AvailabilityError::TooDeep { .. }
        | AvailabilityError::Write(_) => (Status::PROCESSING_FAILURE, "data set cannot be read"),
    }
}

/// A response without data set (PS3.7 sections 9.3.1.2, 9.3.5.2, 10.3.5.2).
fn response(request_field: u16, operation: &Operation, status: Status, comment: Option<&str>) -> Vec<u8> {
    let comment = comment.map(text::error_comment).filter(|comment| !comment.is_empty());
    let writer = CommandWriter::new()
        .uid(element::AFFECTED_SOP_CLASS_UID, operation.sop_class_uid.as_deref())
        .number(element::COMMAND_FIELD, request_field | command::RESPONSE)
        .number(element::MESSAGE_ID_BEING_RESPONDED_TO, operation.message_id)
        .data_set(false)
        .number(element::STATUS, status.0)
        .text(element::ERROR_COMMENT, comment.as_deref())
        .uid(element::AFFECTED_SOP_INSTANCE_UID, operation.sop_instance_uid.as_deref());
    match operation.kind {
        Kind::Action => writer.number(element::ACTION_TYPE_ID, commitment::REQUEST).finish(),
        Kind::Echo | Kind::Store | Kind::Create | Kind::Asked => writer.finish(),
    }
}

fn association_request(
    config: &AcceptorConfig,
    request: AssociationRQ,
) -> Result<AssociationRequest, ProtocolError> {
    let mut contexts: Vec<RequestedContext> = Vec::new();
    for PresentationContextProposed { id, abstract_syntax, transfer_syntaxes } in
        request.presentation_contexts
    {
        if id % 2 == 0 || contexts.iter().any(|context| context.id == id) {
            return Err(ProtocolError::PresentationContextId { id });
        }
        let abstract_syntax = text::trim(&abstract_syntax).to_owned();
        let transfer_syntaxes: Vec<_> =
            transfer_syntaxes.iter().map(|uid| text::trim(uid).to_owned()).collect();
        let decision = ContextDecision::on(config, &abstract_syntax, &transfer_syntaxes);
        contexts.push(RequestedContext { id, abstract_syntax, transfer_syntaxes, decision });
    }
    let mut out = AssociationRequest {
        is_addressed_to_us: text::same_ae_title(&request.called_ae_title, &config.ae_title),
        calling_ae_title: text::trim(&request.calling_ae_title).to_owned(),
        called_ae_title: text::trim(&request.called_ae_title).to_owned(),
        contexts,
        max_pdu_length: None,
        implementation_class_uid: None,
        implementation_version_name: None,
        user_identity: None,
    };
    for item in request.user_variables {
        match item {
            UserVariableItem::MaxLength(length) => out.max_pdu_length = Some(length),
            UserVariableItem::ImplementationClassUID(uid) => {
                out.implementation_class_uid = Some(text::trim(&uid).to_owned());
            }
            UserVariableItem::ImplementationVersionName(name) => out.implementation_version_name = Some(name),
            UserVariableItem::UserIdentityItem(identity) => {
                out.user_identity = Some(UserIdentity {
                    kind: identity_kind(&identity),
                    wants_response: identity.positive_response_requested(),
                    primary: identity.primary_field(),
                    secondary: identity.secondary_field(),
                });
            }
            // Roles and extended negotiation that go unanswered keep their defaults (PS3.7 section D.3.3.4, D.3.3.5).
            UserVariableItem::Unknown(..)
            | UserVariableItem::SopClassExtendedNegotiationSubItem(..)
            | UserVariableItem::ScuScpRoleSelectionSubItem(..) => {}
        }
    }
    Ok(out)
}

fn identity_kind(identity: &dicom_ul::pdu::UserIdentity) -> u8 {
    use dicom_ul::pdu::UserIdentityType as Kind;
    match identity.identity_type() {
        Kind::Username => 1,
        Kind::UsernamePassword => 2,
        Kind::KerberosServiceTicket => 3,
        Kind::SamlAssertion => 4,
        Kind::Jwt => 5,
        _ => 0,
    }
}

fn context_result(context: &RequestedContext) -> PresentationContextResult {
    let (reason, transfer_syntax) = match &context.decision {
        ContextDecision::Accepted { transfer_syntax } => {
            (PresentationContextResultReason::Acceptance, transfer_syntax.as_str())
        }
        // The transfer syntax of a refused context is not significant, but has to be there (PS3.8 table 9-18).
        ContextDecision::AbstractSyntaxNotSupported => {
            (PresentationContextResultReason::AbstractSyntaxNotSupported, uids::IMPLICIT_VR_LITTLE_ENDIAN)
        }
        ContextDecision::TransferSyntaxesNotSupported => {
            (PresentationContextResultReason::TransferSyntaxesNotSupported, uids::IMPLICIT_VR_LITTLE_ENDIAN)
        }
    };
    PresentationContextResult { id: context.id, reason, transfer_syntax: transfer_syntax.to_owned() }
}
