//! Speak: DICOM conversations over the upper layer. No sockets, no clock.
//!
//! [`Acceptor`] is one association of a server, [`Requestor`] one of a client. Both take bytes in and give events and
//! bytes out; the caller owns the socket, the time limits and the policy. What a caller sends out of
//! [`Acceptor::take_outgoing`] is one contiguous piece, so an answer is one write.
//!
//! Nothing here decodes images or keeps a data set: the fragments of a C-STORE are handed on as they come in.
//! [`FileMeta::to_prefix`] makes the head of the file that the fragments are appended to.
//!
//! A server and a client, joined in memory (a real server fills [`Acceptor::buffer`] from its socket):
//!
//! ```
//! use dimse::{
//!     Acceptor, AcceptorConfig, Event, FileMeta, RejectReason, Requestor, RequestorConfig, RequestorEvent, Status,
//!     StoreCommand,
//! };
//!
//! const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
//! const EXPLICIT: &str = "1.2.840.10008.1.2.1";
//!
//! // One turn of a server: every event until more bytes are needed.
//! fn serve(acceptor: &mut Acceptor, file: &mut Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
//!     while let Some(event) = acceptor.next_event()? {
//!         match event {
//!             Event::AssociationRequested(request) if request.calling_ae_title == "CENTRE" => acceptor.accept()?,
//!             Event::AssociationRequested(_) => acceptor.reject(RejectReason::CallingAeTitleNotRecognised)?,
//!             Event::Echo { message_id, .. } => acceptor.respond_echo(message_id)?,
//!             Event::StoreBegin(store) => *file = FileMeta {
//!                 sop_class_uid: store.sop_class_uid,
//!                 sop_instance_uid: store.sop_instance_uid,
//!                 transfer_syntax_uid: store.transfer_syntax_uid,
//!             }.to_prefix()?,
//!             Event::StoreData(data) => file.extend_from_slice(&data),
//!             Event::StoreEnd { message_id } => acceptor.respond_store(message_id, Status::SUCCESS, None)?,
//!             Event::AvailabilityNotified(notified) => {
//!                 acceptor.respond_create(notified.message_id, Status::SUCCESS, None)?;
//!             }
//!             Event::CommitmentRequested(asked) => acceptor.respond_action(asked.message_id, Status::PROCESSING_FAILURE)?,
//!             Event::ReportAnswered { .. } | Event::StoreAnswered { .. } => {}
//!             // Query and retrieve are offered only where the configuration says so.
//!             Event::Asked(_) | Event::Cancelled { .. } => {}
//!             Event::ReleaseRequested => acceptor.confirm_release()?,
//!             Event::UnsupportedOperation { .. } | Event::Refused { .. } | Event::Aborted { .. } => {}
//!         }
//!     }
//!     Ok(())
//! }
//!
//! let mut acceptor = Acceptor::new(AcceptorConfig::new("TELERAD"));
//! let mut requestor = Requestor::new(RequestorConfig::new("CENTRE", "TELERAD").with_context(CT, &[EXPLICIT]))?;
//! let mut file = Vec::new();
//! let mut answers = Vec::new();
//! while !requestor.is_finished() {
//!     if let Some(bytes) = requestor.take_outgoing() {
//!         acceptor.receive(&bytes);
//!         serve(&mut acceptor, &mut file)?;
//!     }
//!     if let Some(bytes) = acceptor.take_outgoing() {
//!         requestor.receive(&bytes);
//!     }
//!     while let Some(event) = requestor.next_event()? {
//!         match event {
//!             RequestorEvent::Accepted { .. } => {
//!                 requestor.begin_store(&StoreCommand {
//!                     sop_class_uid: CT.to_owned(),
//!                     sop_instance_uid: "1.2.3".to_owned(),
//!                     transfer_syntax_uid: EXPLICIT.to_owned(),
//!                     priority: Default::default(),
//!                     move_originator: None,
//!                 })?;
//!                 requestor.store_data(b"a data set, ")?;
//!                 requestor.store_data(b"in pieces ")?;
//!                 requestor.end_store()?;
//!             }
//!             RequestorEvent::Answered(answer) => {
//!                 answers.push(answer.status);
//!                 requestor.release()?;
//!             }
//!             RequestorEvent::Released => {}
//!             other => panic!("{other:?}"),
//!         }
//!     }
//! }
//! assert_eq!(answers, [Status::SUCCESS]);
//! assert!(file.ends_with(b"a data set, in pieces "));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod acceptor;
pub mod availability;
mod command;
pub mod commitment;
pub mod error;
pub mod file_meta;
pub mod identifier;
pub mod query;
pub mod requestor;
pub mod service;
pub mod status;
pub mod text;
mod walk;
mod wire;

pub use acceptor::{
    Acceptor, AcceptorConfig, AssociationRequest, AvailabilityNotified, CommitmentAsked, ContextDecision,
    Event, MoveOriginator, RejectReason, RequestedContext, StoreRequest, UserIdentity,
};
pub use availability::{
    Availability, AvailabilityError, AvailabilityNotice, InstanceAvailability, NoticeSyntax,
    SeriesAvailability,
};
pub use command::Priority;
pub use commitment::{CommitmentReport, CommitmentRequest, FailedSop, SopReference};
pub use error::{CallError, CommandError, ProtocolError};
pub use file_meta::{FileMeta, FileMetaError, Part10Head, Split, split_part10};
pub use query::{Asked, Counts, Reply, Root, Step, Wish};
pub use requestor::{
    Answer, ContextResult, NegotiatedContext, NotifyError, ProposedContext, Requestor, RequestorConfig,
    RequestorEvent, StoreCommand,
};
pub use service::Service;
pub use status::{Status, StatusClass, StoreStatus};
pub use wire::AbortSource;
