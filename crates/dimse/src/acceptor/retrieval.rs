//! The acceptor's part in query and retrieve: requests with their identifiers, replies, and the C-STORE sub-operations of a C-GET, which
//! go the other way on the same association (PS3.4 section C.5.3).

use bytes::{BufMut as _, BytesMut};
use dicom_dictionary_std::uids;
use dicom_ul::pdu::{PresentationContextResultReason, RequestorRoles, UserVariableItem};

use super::{Acceptor, ContextDecision, Deciding, Event, Kind, Operation, RequestedContext, Sink, State};
use crate::{
    availability::NoticeSyntax,
    command::{self, CommandSet, CommandWriter, element},
    error::{CallError, ProtocolError},
    query::{Asked, Counts, Reply, Wish},
    requestor::StoreCommand,
    service::Service,
    status::{Status, StatusClass},
    text, wire,
};

/// Transfer syntaxes that one is made of from the other without touching samples, the best first: no value representation is lost in
/// explicit little endian.
const NATIVE: [&str; 2] = [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN];

/// The C-STORE sub-operation under way.
#[derive(Debug)]
pub(super) struct Sending {
    context_id: u8,
    message_id: u16,
    /// Bytes of the object that fill no fragment yet.
    held: BytesMut,
    /// Whether the object is complete, so that its answer may come.
    is_whole: bool,
}

/// What the peer may do in a storage context (PS3.7 section D.3.3.4).
#[derive(Debug, Clone, Copy)]
pub(super) struct PeerRoles {
    /// It sends objects.
    pub(super) stores: bool,
    /// It takes objects, as C-GET needs.
    pub(super) takes: bool,
}

impl Default for PeerRoles {
    fn default() -> Self {
        Self { stores: true, takes: false }
    }
}

/// The roles that a peer proposed for an abstract syntax; the default where it proposed none.
pub(super) fn proposed_roles(items: &[UserVariableItem], abstract_syntax: &str) -> PeerRoles {
    let found = items.iter().find_map(|item| match item {
        UserVariableItem::ScuScpRoleSelectionSubItem(uid, roles) if text::trim(uid) == abstract_syntax => {
            Some(PeerRoles { stores: roles.scu, takes: roles.scp })
        }
        _ => None,
    });
    found.unwrap_or_default()
}

/// Where a peer takes objects, explicit little endian is better than the other plain encodings it proposes: most objects rest so, and
/// others lose nothing on the way there.
pub(super) fn prefer_explicit(context: &mut RequestedContext) {
    if let ContextDecision::Accepted { transfer_syntax } = &mut context.decision
        && NATIVE.contains(&transfer_syntax.as_str())
        && let Some(better) =
            NATIVE.into_iter().find(|uid| context.transfer_syntaxes.iter().any(|own| own == uid))
    {
        *transfer_syntax = better.to_owned();
    }
}

impl Acceptor {
    /// Classes and transfer syntaxes in which the peer takes objects on this association.
    #[must_use]
    pub fn taken_by_peer(&self) -> Vec<(String, String)> {
        let takes = self.contexts.values().filter(|context| context.roles.takes);
        takes.map(|context| (context.abstract_syntax.clone(), context.transfer_syntax.clone())).collect()
    }

    /// Answers an [`Asked`]. A pending status leaves it open, any other ends it.
    ///
    /// # Errors
    /// No such request is open.
    pub fn reply(&mut self, message_id: u16, reply: &Reply) -> Result<(), CallError> {
        let index = self.find_asked(message_id)?;
        let is_pending = reply.status.class() == StatusClass::Pending;
        let context_id = self.operations[index].context_id;
        let response = answer(&self.operations[index], reply);
        if !is_pending {
            self.operations.remove(index);
        }
        self.send(context_id, &response);
        if let Some(identifier) = &reply.identifier {
            let fragment_size = self.fragment_size;
            wire::put_data_set(self.outlet(), context_id, identifier, fragment_size);
        }
        Ok(())
    }

    /// Begins a C-STORE sub-operation; gives its message id. The object follows by [`Self::give`] and [`Self::end_giving`], and
    /// [`Event::StoreAnswered`] then tells what the peer made of it.
    ///
    /// # Errors
    /// Another one is under way, no C-GET is open, or the peer does not take this class in this transfer syntax.
    pub fn begin_giving(&mut self, store: &StoreCommand) -> Result<u16, CallError> {
        if !matches!(self.state, State::Established) || self.sending.is_some() {
            return Err(self.wrong_state("begin a sub-operation"));
        }
        if !text::is_uid(&store.sop_instance_uid) {
            return Err(CallError::Invalid { field: "SOP instance UID" });
        }
        let context = self.contexts.iter().find(|(_, context)| {
            context.roles.takes
                && context.abstract_syntax == store.sop_class_uid
                && context.transfer_syntax == store.transfer_syntax_uid
        });
        let (&context_id, _) = context.ok_or(CallError::NoPresentationContext)?;
        self.last_message_id = self.last_message_id.checked_add(1).unwrap_or(1);
        let message_id = self.last_message_id;
        self.send(context_id, &command::store(message_id, store));
        self.sending = Some(Sending { context_id, message_id, held: BytesMut::new(), is_whole: false });
        Ok(message_id)
    }

    /// Gives the next bytes of the object, of any size. Take what is outgoing after each piece.
    ///
    /// # Errors
    /// No object is being given.
    pub fn give(&mut self, mut data: &[u8]) -> Result<(), CallError> {
        let size = self.fragment_size;
        let Some(sending) = self.sending.as_mut().filter(|sending| !sending.is_whole) else {
            return Err(self.wrong_state("give an object"));
        };
        // The last fragment says that it is the last, so one is always held back.
        while sending.held.len() + data.len() > size {
            let (now, later) = data.split_at(size - sending.held.len());
            self.out.reserve(wire::PDU_HEADER + wire::PDV_HEADER + size);
            self.out.put_slice(&wire::data_head(sending.context_id, size, false));
            self.out.put_slice(&sending.held);
            self.out.put_slice(now);
            sending.held.clear();
            data = later;
        }
        sending.held.extend_from_slice(data);
        Ok(())
    }

    /// Ends the object; one of odd length gets a zero byte (PS3.5 section A.5).
    ///
    /// # Errors
    /// No object is being given.
    pub fn end_giving(&mut self) -> Result<(), CallError> {
        let Some(sending) = self.sending.as_mut().filter(|sending| !sending.is_whole) else {
            return Err(self.wrong_state("end an object"));
        };
        if sending.held.len() % 2 == 1 {
            sending.held.put_u8(0);
        }
        self.out.put_slice(&wire::data_head(sending.context_id, sending.held.len(), true));
        self.out.put_slice(&sending.held);
        sending.held = BytesMut::new();
        sending.is_whole = true;
        // Answers that had to wait, since nothing may come between the fragments of a message.
        let waiting = std::mem::take(&mut self.waiting);
        self.out.put_slice(&waiting);
        Ok(())
    }

    /// Bytes that wait for more of an object, or behind it.
    pub(super) fn giving_bytes(&self) -> usize {
        self.waiting.len() + self.sending.as_ref().map_or(0, |sending| sending.held.len())
    }

    /// Where answers go: to the peer, or behind the object that is being given to it.
    pub(super) fn outlet(&mut self) -> &mut BytesMut {
        match &self.sending {
            Some(sending) if !sending.is_whole => &mut self.waiting,
            Some(_) | None => &mut self.out,
        }
    }

    /// Answers to roles that the peer proposed for storage, and contexts that it does not keep without them.
    pub(super) fn settle_storage(&mut self, deciding: &mut Deciding) -> Vec<UserVariableItem> {
        let retrieves = self.contexts.values().any(|context| matches!(context.service, Service::Get(_)));
        let mut roles: Vec<UserVariableItem> = Vec::new();
        let mut answered: Vec<String> = Vec::new();
        for result in &mut deciding.results {
            let Some(context) = self.contexts.get_mut(&result.id) else { continue };
            if context.service != Service::Storage {
                continue;
            }
            if !retrieves {
                context.roles = PeerRoles::default();
            }
            context.roles.stores &= !deciding.is_storage_withheld;
            if !context.roles.stores && !context.roles.takes {
                self.contexts.remove(&result.id);
                result.reason = PresentationContextResultReason::UserRejection;
            } else if context.roles.takes && !answered.contains(&context.abstract_syntax) {
                let uid = context.abstract_syntax.clone();
                let answer = RequestorRoles { scu: context.roles.stores, scp: true };
                roles.push(UserVariableItem::ScuScpRoleSelectionSubItem(uid.clone(), answer));
                answered.push(uid);
            }
        }
        roles
    }

    pub(super) fn asks(
        &mut self,
        command: &CommandSet<'_>,
        mut operation: Operation,
        field: u16,
        has_data_set: bool,
    ) {
        let Some(context) = self.contexts.get(&operation.context_id) else { return };
        let (root, wish) = match (field, context.service) {
            (command::C_FIND, Service::Find(root)) => (root, Wish::Find),
            (command::C_GET, Service::Get(root)) => (root, Wish::Get),
            (command::C_MOVE, Service::Move(root)) => {
                let destination = command.text(element::MOVE_DESTINATION);
                (root, Wish::Move { destination: destination.filter(|title| text::is_ae_title(title)) })
            }
            _ => return self.unsupported(&operation, field),
        };
        operation.kind = Kind::Asked;
        operation.field = field;
        if operation.sop_class_uid.as_deref() != Some(context.abstract_syntax.as_str()) {
            let reason = "SOP class is not that of its context";
            return self.refuse(&operation, field, Status::SOP_CLASS_NOT_SUPPORTED, reason);
        }
        let Some(syntax) = NoticeSyntax::from_uid(&context.transfer_syntax) else {
            let reason = "transfer syntax cannot be read";
            return self.refuse(&operation, field, Status::UNABLE_TO_PROCESS, reason);
        };
        if !has_data_set {
            let reason = "no identifier";
            return self.refuse(&operation, field, Status::DATA_SET_DOES_NOT_MATCH, reason);
        }
        let asked = Asked {
            context_id: operation.context_id,
            message_id: operation.message_id,
            root,
            wish,
            priority: command.priority(),
            identifier: bytes::Bytes::new(),
            syntax,
        };
        operation.asked = Some(Box::new(asked));
        self.sink =
            Sink::Notice { message_id: operation.message_id, bytes: BytesMut::new(), is_too_long: false };
        self.operations.push(operation);
    }

    /// The identifier of an [`Asked`] is complete.
    pub(super) fn identifier_ended(&mut self, index: usize, identifier: bytes::Bytes, is_too_long: bool) {
        let asked = self.operations[index].asked.take();
        match asked {
            Some(asked) if !is_too_long => self.ready.push_back(Event::Asked(Asked { identifier, ..*asked })),
            Some(_) | None => {
                let operation = self.operations.remove(index);
                let reason = "identifier is too long";
                self.refuse(&operation, operation.field, Status::OUT_OF_RESOURCES, reason);
            }
        }
    }

    /// C-CANCEL-RQ (PS3.7 section 9.3.2.3). One that comes late, when the request is answered already, is no error.
    pub(super) fn cancels(&mut self, command: &CommandSet<'_>) -> Result<(), ProtocolError> {
        let message_id = command.required_number(element::MESSAGE_ID_BEING_RESPONDED_TO)?;
        if self.find_asked(message_id).is_ok() {
            self.ready.push_back(Event::Cancelled { message_id });
        }
        Ok(())
    }

    /// Whether a response answers the sub-operation under way; then it is told.
    pub(super) fn gave(
        &mut self,
        context_id: u8,
        field: u16,
        command: &CommandSet<'_>,
    ) -> Result<bool, ProtocolError> {
        let message_id = command.required_number(element::MESSAGE_ID_BEING_RESPONDED_TO)?;
        let is_answer = |sending: &Sending| {
            field == command::C_STORE | command::RESPONSE
                && (sending.context_id, sending.message_id) == (context_id, message_id)
                && sending.is_whole
        };
        if !self.sending.as_ref().is_some_and(is_answer) {
            return Ok(false);
        }
        let status = Status(command.required_number(element::STATUS)?);
        self.sending = None;
        self.ready.push_back(Event::StoreAnswered { message_id, status });
        Ok(true)
    }

    fn find_asked(&self, message_id: u16) -> Result<usize, CallError> {
        let index = self.find(Kind::Asked, message_id)?;
        // The identifier is still coming in.
        if self.operations[index].is_receiving {
            Err(CallError::NothingToAnswer { message_id })
        } else {
            Ok(index)
        }
    }
}

/// C-FIND-RSP, C-MOVE-RSP or C-GET-RSP (PS3.7 tables 9.3-5, 9.3-7, 9.3-10).
fn answer(operation: &Operation, reply: &Reply) -> Vec<u8> {
    let comment = reply.comment.as_deref().map(text::error_comment).filter(|comment| !comment.is_empty());
    let writer = CommandWriter::new()
        .uid(element::AFFECTED_SOP_CLASS_UID, operation.sop_class_uid.as_deref())
        .number(element::COMMAND_FIELD, operation.field | command::RESPONSE)
        .number(element::MESSAGE_ID_BEING_RESPONDED_TO, operation.message_id)
        .data_set(reply.identifier.is_some())
        .number(element::STATUS, reply.status.0)
        .tag(element::OFFENDING_ELEMENT, reply.offending)
        .text(element::ERROR_COMMENT, comment.as_deref());
    let Some(Counts { remaining, completed, failed, warning }) = reply.counts else { return writer.finish() };
    let goes_on = matches!(reply.status.class(), StatusClass::Pending | StatusClass::Cancel);
    let writer = if goes_on { writer.number(element::REMAINING, remaining) } else { writer };
    writer
        .number(element::COMPLETED, completed)
        .number(element::FAILED, failed)
        .number(element::WARNING, warning)
        .finish()
}
