//! The side that calls: one association of a client, without socket and clock.
//! It sends C-ECHO, C-STORE from data sets given in pieces, and instance availability notifications; one operation at a
//! time, as the default operations window asks (PS3.7 section D.3.3.3).

use bytes::{Bytes, BytesMut};
use dicom_dictionary_std::uids;
use dicom_ul::pdu::{
    AbortRQSource, AssociationAC, AssociationRJ, AssociationRJResult, AssociationRJSource, AssociationRQ,
    Pdu, PresentationContextProposed, PresentationContextResultReason, RequestorRoles, UserVariableItem,
};

use crate::acceptor::{APPLICATION_CONTEXT, MoveOriginator};
use crate::availability::{AvailabilityError, AvailabilityNotice, NoticeSyntax};
use crate::command::{self, CommandSet, CommandWriter, Priority, element};
use crate::commitment::CommitmentReport;
use crate::error::{CallError, ProtocolError};
use crate::file_meta::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};
use crate::status::Status;
use crate::text;
use crate::wire::{self, AbortSource, Assembler, PDU_HEADER, PDV_HEADER, PduReader, Phase, Piece, Step};

/// Most presentation contexts of one association: the odd numbers of one byte (PS3.8 section 9.3.2.2).
pub const MAX_CONTEXTS: usize = 128;

/// What a requestor proposes and how much it bears.
#[derive(Debug, Clone)]
pub struct RequestorConfig {
    /// Our AE title.
    pub calling_ae_title: String,
    /// The AE title that we call.
    pub called_ae_title: String,
    /// Proposed presentation contexts; at most [`MAX_CONTEXTS`].
    pub contexts: Vec<ProposedContext>,
    /// Longest P-DATA-TF PDU that we announce and take, and that we send to a peer without limit, in bytes.
    pub max_pdu_length: u32,
    /// Longest association PDU that we take, in bytes.
    pub max_association_pdu: u32,
    /// Longest command set that we take, in bytes.
    pub max_command_set: usize,
}

impl RequestorConfig {
    /// An association from one AE title to another, as yet without contexts.
    #[must_use]
    pub fn new(calling_ae_title: &str, called_ae_title: &str) -> Self {
        Self {
            calling_ae_title: calling_ae_title.to_owned(),
            called_ae_title: called_ae_title.to_owned(),
            contexts: Vec::new(),
            max_pdu_length: 128 * 1024,
            max_association_pdu: 1024 * 1024,
            max_command_set: 64 * 1024,
        }
    }

    /// With a context for C-ECHO.
    #[must_use]
    pub fn with_verification(self) -> Self {
        self.with_context(uids::VERIFICATION, &[uids::IMPLICIT_VR_LITTLE_ENDIAN])
    }

    /// With a context for instance availability notifications.
    #[must_use]
    pub fn with_availability(self) -> Self {
        let syntaxes = [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN];
        self.with_context(uids::INSTANCE_AVAILABILITY_NOTIFICATION, &syntaxes)
    }

    /// With a context for reports of storage commitment, in which we are the one that commits (PS3.7 section D.3.3.4): the association is
    /// opened the other way round than the peer's own.
    #[must_use]
    pub fn with_commitment_reports(self) -> Self {
        let syntaxes = [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN];
        self.with_context(uids::STORAGE_COMMITMENT_PUSH_MODEL, &syntaxes)
    }

    /// With one more context, unless the same one is there already. For stores give each pair of SOP class and transfer
    /// syntax its own context: a peer picks one syntax of each context, and we send data sets as they are.
    #[must_use]
    pub fn with_context(mut self, abstract_syntax: &str, transfer_syntaxes: &[&str]) -> Self {
        let context = ProposedContext {
            abstract_syntax: abstract_syntax.to_owned(),
            transfer_syntaxes: transfer_syntaxes.iter().map(|uid| (*uid).to_owned()).collect(),
        };
        if !self.contexts.contains(&context) {
            self.contexts.push(context);
        }
        self
    }
}

/// A presentation context to propose.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProposedContext {
    /// Abstract syntax UID.
    pub abstract_syntax: String,
    /// Transfer syntax UIDs in the order of preference.
    pub transfer_syntaxes: Vec<String>,
}

/// What the peer answered to a presentation context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedContext {
    /// Presentation context id.
    pub id: u8,
    /// Abstract syntax UID that we proposed.
    pub abstract_syntax: String,
    /// Whether the peer accepted it.
    pub result: ContextResult,
}

/// The answer to one presentation context (PS3.8 table 9-18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextResult {
    /// Accepted with this transfer syntax.
    Accepted {
        /// UID.
        transfer_syntax: String,
    },
    /// Refused by the peer's application, or without a reason.
    Refused,
    /// Refused: abstract syntax not supported.
    AbstractSyntaxNotSupported,
    /// Refused: transfer syntaxes not supported.
    TransferSyntaxesNotSupported,
    /// Not answered at all, or accepted with a transfer syntax that was not proposed.
    Unusable,
}

/// What the peer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestorEvent {
    /// The association is established.
    Accepted {
        /// Answers to our contexts, in our order.
        contexts: Vec<NegotiatedContext>,
        /// Peer's implementation class UID, if stated.
        implementation_class_uid: Option<String>,
        /// Peer's implementation version name, if stated.
        implementation_version_name: Option<String>,
    },
    /// The association is refused and over.
    Rejected {
        /// Whether the same request may succeed later.
        is_transient: bool,
        /// Reason in the words of PS3.8 table 9-21.
        reason: String,
    },
    /// An operation was answered; the next one may begin.
    Answered(Answer),
    /// The association is released and over.
    Released,
    /// The peer ended the association; an operation without an answer may or may not have been done.
    Aborted {
        /// By whom and why.
        source: AbortSource,
    },
}

/// What an operation was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// C-ECHO.
    Echo,
    /// C-STORE.
    Store,
    /// N-CREATE of an instance availability notification.
    Create,
    /// N-EVENT-REPORT of a storage commitment.
    Report,
}

/// The answer to an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it answers.
    pub operation: Operation,
    /// Message id of the request.
    pub message_id: u16,
    /// Status.
    pub status: Status,
    /// Error Comment (0000,0902); comes from the peer and may hold anything.
    pub error_comment: Option<String>,
    /// Affected SOP Instance UID (0000,1000), if it is there and well formed.
    pub sop_instance_uid: Option<String>,
}

/// What is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreCommand {
    /// SOP class UID.
    pub sop_class_uid: String,
    /// SOP instance UID.
    pub sop_instance_uid: String,
    /// Transfer syntax of the data set that will be given.
    pub transfer_syntax_uid: String,
    /// Priority.
    pub priority: Priority,
    /// The C-MOVE that asked for it, if it is a sub-operation of one.
    pub move_originator: Option<MoveOriginator>,
}

/// A notice cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// Not now, or not on this association.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The notice cannot be encoded.
    #[error("notice cannot be encoded")]
    Notice(#[from] AvailabilityError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitingAnswer,
    Established,
    Releasing,
    Finished,
}

#[derive(Debug)]
struct Pending {
    operation: Operation,
    message_id: u16,
    context_id: u8,
    is_sending: bool,
}

/// One association of a client. Bytes to send come out of [`Requestor::take_outgoing`], bytes received go in by
/// [`Requestor::buffer`] or [`Requestor::receive`], events come out of [`Requestor::next_event`].
#[derive(Debug)]
pub struct Requestor {
    config: RequestorConfig,
    reader: PduReader,
    assembler: Assembler,
    state: State,
    contexts: Vec<NegotiatedContext>,
    pending: Option<Pending>,
    last_message_id: u16,
    out: BytesMut,
    /// Where in `out` the P-DATA-TF PDU begins that still takes data.
    open_pdu: Option<usize>,
    fragment_size: usize,
}

impl Requestor {
    /// Begins an association; the A-ASSOCIATE-RQ is outgoing.
    ///
    /// # Errors
    /// A title, UID or number of contexts that cannot be sent.
    pub fn new(config: RequestorConfig) -> Result<Self, CallError> {
        let pdu = association_request(&config)?;
        Ok(Self {
            reader: PduReader::new(config.max_pdu_length, config.max_association_pdu),
            assembler: Assembler::new(config.max_command_set),
            state: State::AwaitingAnswer,
            contexts: Vec::new(),
            pending: None,
            last_message_id: 0,
            out: BytesMut::from(wire::encode(&pdu).as_slice()),
            open_pdu: None,
            fragment_size: 0,
            config,
        })
    }

    /// Buffer with room for one read from the socket. Take all events after each read.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.reader.buffer()
    }

    /// Copies received bytes in. Take all events after each call.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.reader.receive(bytes);
    }

    /// Everything that is to be sent by now, in one piece. A PDU that still takes data is kept back.
    pub fn take_outgoing(&mut self) -> Option<Bytes> {
        let whole = self.open_pdu.unwrap_or(self.out.len());
        if whole == 0 {
            return None;
        }
        self.open_pdu = self.open_pdu.map(|_| 0);
        Some(self.out.split_to(whole).freeze())
    }

    /// Whether the association is over: send what is outgoing, then close the connection.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Whether an operation waits for its answer.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// Answers to our contexts, once the association is established.
    #[must_use]
    pub fn contexts(&self) -> &[NegotiatedContext] {
        &self.contexts
    }

    /// Whether the peer takes this SOP class in this transfer syntax.
    #[must_use]
    pub fn accepts(&self, sop_class_uid: &str, transfer_syntax_uid: &str) -> bool {
        self.context(sop_class_uid, Some(transfer_syntax_uid)).is_some()
    }

    /// The next event, or none until more bytes come.
    ///
    /// # Errors
    /// The peer broke the protocol; an A-ABORT is outgoing and the association is finished.
    pub fn next_event(&mut self) -> Result<Option<RequestorEvent>, ProtocolError> {
        self.advance().inspect_err(|error| {
            if self.state != State::Finished {
                self.close_open_pdu();
                wire::put_abort(&mut self.out, error.abort_source());
                self.state = State::Finished;
            }
        })
    }

    /// Tells that the peer closed the connection.
    ///
    /// # Errors
    /// The association was neither released nor aborted.
    pub fn connection_closed(&mut self) -> Result<(), ProtocolError> {
        let state = match std::mem::replace(&mut self.state, State::Finished) {
            State::Finished => return Ok(()),
            State::AwaitingAnswer => Phase::AwaitingAnswer.describe(),
            State::Established if self.pending.is_some() => "while an operation waited for its answer",
            State::Established => Phase::Established.describe(),
            State::Releasing => Phase::Releasing.describe(),
        };
        Err(ProtocolError::ConnectionLost { state })
    }

    /// Sends a C-ECHO; returns its message id.
    ///
    /// # Errors
    /// Another operation is open, or there is no context for it.
    pub fn echo(&mut self) -> Result<u16, CallError> {
        let context = self.context(uids::VERIFICATION, None).ok_or(CallError::NoPresentationContext)?.0;
        let message_id = self.begin(Operation::Echo, context, "send an echo")?;
        let command = CommandWriter::new()
            .uid(element::AFFECTED_SOP_CLASS_UID, Some(uids::VERIFICATION))
            .number(element::COMMAND_FIELD, command::C_ECHO)
            .number(element::MESSAGE_ID, message_id)
            .data_set(false)
            .finish();
        wire::put_command(&mut self.out, context, &command, self.fragment_size);
        Ok(message_id)
    }

    /// Begins a C-STORE; returns its message id. Give the data set with [`Requestor::store_data`] and end it with
    /// [`Requestor::end_store`].
    ///
    /// # Errors
    /// Another operation is open, a UID is malformed, or the peer does not take this class in this syntax.
    pub fn begin_store(&mut self, store: &StoreCommand) -> Result<u16, CallError> {
        if !text::is_uid(&store.sop_instance_uid) {
            return Err(CallError::Invalid { field: "SOP instance UID" });
        }
        let (context, _) = self
            .context(&store.sop_class_uid, Some(&store.transfer_syntax_uid))
            .ok_or(CallError::NoPresentationContext)?;
        let message_id = self.begin(Operation::Store, context, "begin a store")?;
        let command = command::store(message_id, store);
        wire::put_command(&mut self.out, context, &command, self.fragment_size);
        self.begin_sending();
        Ok(message_id)
    }

    /// Gives the next piece of the data set, of any size. Take the outgoing bytes after each piece.
    ///
    /// # Errors
    /// No store is being sent.
    pub fn store_data(&mut self, mut data: &[u8]) -> Result<(), CallError> {
        let (mut begin, context_id) = self.sending("give store data")?;
        while !data.is_empty() {
            let filled = self.out.len() - begin - PDU_HEADER - PDV_HEADER;
            if filled == self.fragment_size {
                self.patch(begin, context_id, filled, false);
                begin = self.open_pdu();
                continue;
            }
            let (now, later) = data.split_at(data.len().min(self.fragment_size - filled));
            self.out.extend_from_slice(now);
            data = later;
        }
        Ok(())
    }

    /// Ends the data set. One of odd length, as a deflated one may be, gets a zero byte (PS3.5 section A.5): some peers
    /// abort at an odd fragment.
    ///
    /// # Errors
    /// No store is being sent.
    pub fn end_store(&mut self) -> Result<(), CallError> {
        let (begin, context_id) = self.sending("end a store")?;
        if (self.out.len() - begin) % 2 == 1 {
            self.out.extend_from_slice(&[0]);
        }
        let filled = self.out.len() - begin - PDU_HEADER - PDV_HEADER;
        self.patch(begin, context_id, filled, true);
        self.open_pdu = None;
        if let Some(pending) = &mut self.pending {
            pending.is_sending = false;
        }
        Ok(())
    }

    /// Sends an instance availability notification as N-CREATE with this SOP instance UID; returns its message id.
    ///
    /// # Errors
    /// Another operation is open, there is no context for it, or the notice cannot be encoded.
    pub fn notify(
        &mut self,
        notice: &AvailabilityNotice,
        sop_instance_uid: &str,
    ) -> Result<u16, NotifyError> {
        if !text::is_uid(sop_instance_uid) {
            return Err(CallError::Invalid { field: "SOP instance UID" }.into());
        }
        let class = uids::INSTANCE_AVAILABILITY_NOTIFICATION;
        let (context, syntax) = self.context(class, None).ok_or(CallError::NoPresentationContext)?;
        let syntax = NoticeSyntax::from_uid(syntax).ok_or(CallError::NoPresentationContext)?;
        let data_set = notice.encode(syntax)?;
        let message_id = self.begin(Operation::Create, context, "send a notification")?;
        let command = CommandWriter::new()
            .uid(element::AFFECTED_SOP_CLASS_UID, Some(class))
            .number(element::COMMAND_FIELD, command::N_CREATE)
            .number(element::MESSAGE_ID, message_id)
            .data_set(true)
            .uid(element::AFFECTED_SOP_INSTANCE_UID, Some(sop_instance_uid))
            .finish();
        wire::put_command(&mut self.out, context, &command, self.fragment_size);
        self.begin_sending();
        self.store_data(&data_set)?;
        self.end_store()?;
        Ok(message_id)
    }

    /// Tells what came of a storage commitment, as N-EVENT-REPORT (PS3.4 section J.3.3); returns its message id.
    ///
    /// # Errors
    /// Another operation is open, there is no context for it, or the report cannot be encoded.
    pub fn report(&mut self, report: &CommitmentReport) -> Result<u16, NotifyError> {
        let class = uids::STORAGE_COMMITMENT_PUSH_MODEL;
        let (context, syntax) = self.context(class, None).ok_or(CallError::NoPresentationContext)?;
        let syntax = NoticeSyntax::from_uid(syntax).ok_or(CallError::NoPresentationContext)?;
        let data_set = report.encode(syntax)?;
        let message_id = self.begin(Operation::Report, context, "report a commitment")?;
        let command = command::event_report(message_id, report.event_type());
        wire::put_command(&mut self.out, context, &command, self.fragment_size);
        self.begin_sending();
        self.store_data(&data_set)?;
        self.end_store()?;
        Ok(message_id)
    }

    /// Asks for release.
    ///
    /// # Errors
    /// An operation is open, or there is no association.
    pub fn release(&mut self) -> Result<(), CallError> {
        if self.state != State::Established || self.pending.is_some() {
            return Err(self.wrong_state("release"));
        }
        self.out.extend_from_slice(&wire::encode(&Pdu::ReleaseRQ));
        self.state = State::Releasing;
        Ok(())
    }

    /// Ends the association at once. A PDU that still took data is cut off before the A-ABORT.
    pub fn abort(&mut self) {
        if self.state != State::Finished {
            self.close_open_pdu();
            wire::put_abort(&mut self.out, AbortRQSource::ServiceUser);
            self.state = State::Finished;
        }
    }

    fn close_open_pdu(&mut self) {
        if let Some(begin) = self.open_pdu.take() {
            self.out.truncate(begin);
        }
    }

    fn open_pdu(&mut self) -> usize {
        let begin = self.out.len();
        self.out.reserve(PDU_HEADER + PDV_HEADER + self.fragment_size);
        self.out.extend_from_slice(&[0; PDU_HEADER + PDV_HEADER]);
        self.open_pdu = Some(begin);
        begin
    }

    fn patch(&mut self, begin: usize, context_id: u8, filled: usize, is_last: bool) {
        let head = wire::data_head(context_id, filled, is_last);
        self.out[begin..begin + head.len()].copy_from_slice(&head);
    }

    fn begin_sending(&mut self) {
        self.open_pdu();
        if let Some(pending) = &mut self.pending {
            pending.is_sending = true;
        }
    }

    fn sending(&self, what: &'static str) -> Result<(usize, u8), CallError> {
        match (&self.pending, self.open_pdu) {
            (Some(pending), Some(begin)) if self.state == State::Established => {
                Ok((begin, pending.context_id))
            }
            _ => Err(self.wrong_state(what)),
        }
    }

    fn context(&self, abstract_syntax: &str, syntax: Option<&str>) -> Option<(u8, &str)> {
        self.contexts.iter().find_map(|context| match &context.result {
            ContextResult::Accepted { transfer_syntax }
                if context.abstract_syntax == abstract_syntax
                    && syntax.is_none_or(|wanted| wanted == transfer_syntax) =>
            {
                Some((context.id, transfer_syntax.as_str()))
            }
            _ => None,
        })
    }

    fn begin(&mut self, operation: Operation, context_id: u8, what: &'static str) -> Result<u16, CallError> {
        if self.state != State::Established || self.pending.is_some() {
            return Err(self.wrong_state(what));
        }
        self.last_message_id = self.last_message_id.checked_add(1).unwrap_or(1);
        let message_id = self.last_message_id;
        self.pending = Some(Pending { operation, message_id, context_id, is_sending: false });
        Ok(message_id)
    }

    fn wrong_state(&self, what: &'static str) -> CallError {
        let state = match self.state {
            State::AwaitingAnswer => Phase::AwaitingAnswer.describe(),
            State::Established if self.pending.is_some() => "while another operation is open",
            State::Established => Phase::Established.describe(),
            State::Releasing => Phase::Releasing.describe(),
            State::Finished => "after the association",
        };
        CallError::WrongState { what, state }
    }

    fn advance(&mut self) -> Result<Option<RequestorEvent>, ProtocolError> {
        loop {
            let phase = match self.state {
                State::AwaitingAnswer => Phase::AwaitingAnswer,
                State::Established => Phase::Established,
                State::Releasing => Phase::Releasing,
                State::Finished => return Ok(None),
            };
            let Some(piece) = self.reader.next(phase)? else { return Ok(None) };
            match piece {
                Piece::Association { pdu, .. } => return self.answered(*pdu).map(Some),
                Piece::Fragment(fragment) => {
                    let is_accepted = |context: &NegotiatedContext| {
                        context.id == fragment.context_id
                            && matches!(context.result, ContextResult::Accepted { .. })
                    };
                    if !self.contexts.iter().any(is_accepted) {
                        return Err(ProtocolError::ContextNotAccepted { id: fragment.context_id });
                    }
                    if let Some(Step::Command { context_id, bytes }) = self.assembler.take(fragment)? {
                        return self.command(context_id, &bytes).map(Some);
                    }
                }
                // A release collision or a peer that wants to go: the association ends either way.
                Piece::ReleaseRequest => {
                    self.close_open_pdu();
                    self.out.extend_from_slice(&wire::encode(&Pdu::ReleaseRP));
                    if self.state == State::Established {
                        self.state = State::Finished;
                        return Ok(Some(RequestorEvent::Released));
                    }
                }
                Piece::ReleaseResponse => {
                    self.state = State::Finished;
                    return Ok(Some(RequestorEvent::Released));
                }
                Piece::Abort(source) => {
                    self.close_open_pdu();
                    self.state = State::Finished;
                    return Ok(Some(RequestorEvent::Aborted { source }));
                }
            }
        }
    }

    fn answered(&mut self, pdu: Pdu) -> Result<RequestorEvent, ProtocolError> {
        match pdu {
            Pdu::AssociationAC(answer) => self.accepted(answer),
            Pdu::AssociationRJ(AssociationRJ { result, source }) => {
                self.state = State::Finished;
                let by = match &source {
                    AssociationRJSource::ServiceUser(_) => "application",
                    AssociationRJSource::ServiceProviderASCE(_) => "upper layer, association control",
                    AssociationRJSource::ServiceProviderPresentation(_) => "upper layer, presentation",
                };
                Ok(RequestorEvent::Rejected {
                    is_transient: result == AssociationRJResult::Transient,
                    reason: format!("{source} ({by})"),
                })
            }
            _ => {
                let state = Phase::AwaitingAnswer.describe();
                Err(ProtocolError::UnexpectedPdu { pdu: "association", state })
            }
        }
    }

    fn accepted(&mut self, answer: AssociationAC) -> Result<RequestorEvent, ProtocolError> {
        let mut contexts: Vec<_> = self
            .config
            .contexts
            .iter()
            .enumerate()
            .map(|(index, proposed)| NegotiatedContext {
                id: context_id(index),
                abstract_syntax: proposed.abstract_syntax.clone(),
                result: ContextResult::Unusable,
            })
            .collect();
        for result in answer.presentation_contexts {
            let index = usize::from(result.id / 2);
            let (Some(context), true) = (contexts.get_mut(index), result.id % 2 == 1) else {
                return Err(ProtocolError::PresentationContextId { id: result.id });
            };
            let transfer_syntax = text::trim(&result.transfer_syntax).to_owned();
            let is_proposed = self.config.contexts[index].transfer_syntaxes.contains(&transfer_syntax);
            context.result = match result.reason {
                PresentationContextResultReason::Acceptance if is_proposed => {
                    ContextResult::Accepted { transfer_syntax }
                }
                PresentationContextResultReason::Acceptance => ContextResult::Unusable,
                PresentationContextResultReason::UserRejection
                | PresentationContextResultReason::NoReason => ContextResult::Refused,
                PresentationContextResultReason::AbstractSyntaxNotSupported => {
                    ContextResult::AbstractSyntaxNotSupported
                }
                PresentationContextResultReason::TransferSyntaxesNotSupported => {
                    ContextResult::TransferSyntaxesNotSupported
                }
            };
        }
        let (mut maximum, mut class, mut version) = (None, None, None);
        for item in answer.user_variables {
            match item {
                UserVariableItem::MaxLength(length) => maximum = Some(length),
                UserVariableItem::ImplementationClassUID(uid) => class = Some(text::trim(&uid).to_owned()),
                UserVariableItem::ImplementationVersionName(name) => version = Some(name),
                UserVariableItem::Unknown(..)
                | UserVariableItem::SopClassExtendedNegotiationSubItem(..)
                | UserVariableItem::ScuScpRoleSelectionSubItem(..)
                | UserVariableItem::UserIdentityItem(_) => {}
            }
        }
        let maximum = maximum.unwrap_or(16 * 1024);
        if (1..wire::SMALLEST_PEER_MAXIMUM).contains(&maximum) {
            return Err(ProtocolError::PeerMaximumLength { length: maximum });
        }
        self.fragment_size = wire::fragment_size(maximum, self.config.max_pdu_length);
        self.state = State::Established;
        self.contexts.clone_from(&contexts);
        Ok(RequestorEvent::Accepted {
            contexts,
            implementation_class_uid: class,
            implementation_version_name: version,
        })
    }

    fn command(&mut self, context_id: u8, bytes: &[u8]) -> Result<RequestorEvent, ProtocolError> {
        let command = CommandSet::parse(bytes)?;
        let command_field = command.required_number(element::COMMAND_FIELD)?;
        if command.has_data_set()? {
            self.assembler.expect_data(context_id);
        }
        let message_id = match command_field & command::RESPONSE {
            0 => command.required_number(element::MESSAGE_ID)?,
            _ => command.required_number(element::MESSAGE_ID_BEING_RESPONDED_TO)?,
        };
        let pending = self.pending.take_if(|pending| {
            let request = match pending.operation {
                Operation::Echo => command::C_ECHO,
                Operation::Store => command::C_STORE,
                Operation::Create => command::N_CREATE,
                Operation::Report => command::N_EVENT_REPORT,
            };
            command_field == request | command::RESPONSE
                && message_id == pending.message_id
                && context_id == pending.context_id
                && !pending.is_sending
        });
        let Some(pending) = pending else {
            return Err(ProtocolError::UnexpectedResponse { command_field, message_id });
        };
        Ok(RequestorEvent::Answered(Answer {
            operation: pending.operation,
            message_id,
            status: Status(command.required_number(element::STATUS)?),
            error_comment: command.text(element::ERROR_COMMENT),
            sop_instance_uid: command.uid(element::AFFECTED_SOP_INSTANCE_UID),
        }))
    }
}

fn context_id(index: usize) -> u8 {
    (2 * index + 1) as u8
}

fn association_request(config: &RequestorConfig) -> Result<Pdu, CallError> {
    if !text::is_ae_title(&config.calling_ae_title) {
        return Err(CallError::Invalid { field: "calling AE title" });
    }
    if !text::is_ae_title(&config.called_ae_title) {
        return Err(CallError::Invalid { field: "called AE title" });
    }
    if !(1..=MAX_CONTEXTS).contains(&config.contexts.len()) {
        return Err(CallError::Invalid { field: "number of presentation contexts" });
    }
    let mut presentation_contexts = Vec::new();
    for (index, context) in config.contexts.iter().enumerate() {
        let is_usable = text::is_uid(&context.abstract_syntax)
            && !context.transfer_syntaxes.is_empty()
            && context.transfer_syntaxes.iter().all(|uid| text::is_uid(uid));
        if !is_usable {
            return Err(CallError::Invalid { field: "presentation context" });
        }
        presentation_contexts.push(PresentationContextProposed {
            id: context_id(index),
            abstract_syntax: context.abstract_syntax.clone(),
            transfer_syntaxes: context.transfer_syntaxes.clone(),
        });
    }
    let mut user_variables = vec![
        UserVariableItem::MaxLength(config.max_pdu_length),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
        UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.to_owned()),
    ];
    let commits = |context: &ProposedContext| context.abstract_syntax == uids::STORAGE_COMMITMENT_PUSH_MODEL;
    if config.contexts.iter().any(commits) {
        let (class, roles) = (uids::STORAGE_COMMITMENT_PUSH_MODEL, RequestorRoles { scu: false, scp: true });
        user_variables.push(UserVariableItem::ScuScpRoleSelectionSubItem(class.to_owned(), roles));
    }
    Ok(Pdu::AssociationRQ(AssociationRQ {
        protocol_version: 1,
        calling_ae_title: config.calling_ae_title.clone(),
        called_ae_title: config.called_ae_title.clone(),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts,
        user_variables,
    }))
}
