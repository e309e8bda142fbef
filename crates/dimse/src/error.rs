//! What can go wrong in a conversation, by whose fault.
//! Nothing here holds text from the peer other than numbers, so that every error may be logged.

use dicom_ul::pdu::{AbortRQServiceProviderReason, AbortRQSource, ReadError};

/// The peer broke the protocol, or the connection broke. The association is over; what has to be sent (an A-ABORT,
/// or an A-ASSOCIATE-RJ while the association is being asked for) is among the outgoing bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// PDU type that PS3.8 section 9.3 does not list.
    #[error("unknown PDU type {pdu_type:02X}H")]
    UnknownPdu {
        /// Type byte.
        pdu_type: u8,
    },
    /// PDU that has no place in this state, such as data before the association.
    #[error("{pdu} PDU is not expected {state}")]
    UnexpectedPdu {
        /// Name of the PDU.
        pdu: &'static str,
        /// What the association was doing.
        state: &'static str,
    },
    /// PDU longer than the limit for its type.
    #[error("{pdu} PDU of {length} bytes exceeds the limit of {limit} bytes")]
    PduTooLong {
        /// Name of the PDU.
        pdu: &'static str,
        /// Declared length in bytes.
        length: u32,
        /// Limit in bytes.
        limit: u32,
    },
    /// PDU of fixed or minimal length with another length.
    #[error("{pdu} PDU has an impossible length of {length} bytes")]
    PduLength {
        /// Name of the PDU.
        pdu: &'static str,
        /// Declared length in bytes.
        length: u32,
    },
    /// Association PDU that could not be read.
    #[error("{pdu} PDU could not be read")]
    AssociationPdu {
        /// Name of the PDU.
        pdu: &'static str,
        /// What the reader found.
        #[source]
        source: Box<ReadError>,
    },
    /// Association PDU with a field cut off.
    #[error("{pdu} PDU is incomplete within its own length")]
    AssociationPduCut {
        /// Name of the PDU.
        pdu: &'static str,
    },
    /// Presentation context id that is even or used twice (PS3.8 section 9.3.2.2), or answered without being proposed.
    #[error("presentation context id {id} is even, repeated or was never proposed")]
    PresentationContextId {
        /// The id.
        id: u8,
    },
    /// Protocol version without bit 0 (PS3.8 table 9-11).
    #[error("upper layer protocol version {version:04X}H is not supported")]
    ProtocolVersion {
        /// Version field.
        version: u16,
    },
    /// Application context other than DICOM's (PS3.7 annex A).
    #[error("application context name is not that of DICOM")]
    ApplicationContext,
    /// Peer's maximum length leaves no room for a fragment.
    #[error("peer accepts PDUs of at most {length} bytes, too few for any fragment")]
    PeerMaximumLength {
        /// Bytes.
        length: u32,
    },
    /// Presentation data value longer than the PDU around it, or too short for its own header.
    #[error("presentation data value declares {length} bytes where its PDU has {remaining} left")]
    PdvLength {
        /// Declared length in bytes.
        length: u32,
        /// Bytes left in the PDU after the length field.
        remaining: u32,
    },
    /// Fragment on a presentation context that was not accepted.
    #[error("presentation context {id} was not accepted")]
    ContextNotAccepted {
        /// The id.
        id: u8,
    },
    /// Fragment of another presentation context in the middle of a message.
    #[error("presentation context {found} inside a message of presentation context {expected}")]
    ContextChanged {
        /// Context of the message.
        expected: u8,
        /// Context of the fragment.
        found: u8,
    },
    /// Data set fragment where a command is due.
    #[error("data set fragment without a complete command before it")]
    DataWithoutCommand,
    /// Command fragment where the rest of a data set is due.
    #[error("command fragment inside a data set")]
    CommandInsideData,
    /// Command set beyond the limit.
    #[error("command set exceeds the limit of {limit} bytes")]
    CommandTooLong {
        /// Limit in bytes.
        limit: usize,
    },
    /// Command set that could not be read.
    #[error("command set could not be read")]
    Command(#[from] CommandError),
    /// Response where only requests are due, or response to nothing that was asked.
    #[error("response {command_field:04X}H to message {message_id} answers nothing that was asked")]
    UnexpectedResponse {
        /// Command field (0000,0100).
        command_field: u16,
        /// Message ID Being Responded To (0000,0120).
        message_id: u16,
    },
    /// More operations without an answer than the limit.
    #[error("more than {limit} operations wait for an answer")]
    TooManyOperations {
        /// Limit.
        limit: usize,
    },
    /// The connection ended without release or abort.
    #[error("connection ended {state}")]
    ConnectionLost {
        /// What the association was doing.
        state: &'static str,
    },
}

impl ProtocolError {
    /// What an A-ABORT says about this error (PS3.8 table 9-26).
    pub(crate) fn abort_source(&self) -> AbortRQSource {
        use AbortRQServiceProviderReason as Reason;
        AbortRQSource::ServiceProvider(match self {
            Self::UnknownPdu { .. } => Reason::UnrecognizedPdu,
            Self::UnexpectedPdu { .. } | Self::DataWithoutCommand | Self::CommandInsideData => {
                Reason::UnexpectedPdu
            }
            Self::PduTooLong { .. }
            | Self::PduLength { .. }
            | Self::AssociationPdu { .. }
            | Self::AssociationPduCut { .. }
            | Self::PresentationContextId { .. }
            | Self::ProtocolVersion { .. }
            | Self::ApplicationContext
            | Self::PeerMaximumLength { .. }
            | Self::PdvLength { .. }
            | Self::ContextNotAccepted { .. }
            | Self::ContextChanged { .. }
            | Self::Command(_) => Reason::InvalidPduParameter,
            Self::CommandTooLong { .. }
            | Self::UnexpectedResponse { .. }
            | Self::TooManyOperations { .. }
            | Self::ConnectionLost { .. } => Reason::ReasonNotSpecified,
        })
    }
}

/// A command set that cannot be read (PS3.7 section 6.3).
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum CommandError {
    /// An element header or value runs past the end.
    #[error("element at byte {offset} runs past the end of the command set")]
    Cut {
        /// Byte offset of the element.
        offset: usize,
    },
    /// An element outside group 0000.
    #[error("element ({group:04X},{element:04X}) has no place in a command set")]
    ForeignGroup {
        /// Group number.
        group: u16,
        /// Element number.
        element: u16,
    },
    /// A required element is absent, or not of its type.
    #[error("element (0000,{element:04X}) is missing or not of its type")]
    Missing {
        /// Element number.
        element: u16,
    },
}

/// The caller asked for something that the association cannot do now.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum CallError {
    /// No operation with this message id waits for such an answer.
    #[error("no operation with message id {message_id} waits for this answer")]
    NothingToAnswer {
        /// Message id.
        message_id: u16,
    },
    /// Not in a state in which this can be done.
    #[error("cannot {what} {state}")]
    WrongState {
        /// What was asked for.
        what: &'static str,
        /// What the association was doing.
        state: &'static str,
    },
    /// The peer accepted no presentation context for this SOP class and transfer syntax.
    #[error("peer accepted no presentation context for this SOP class and transfer syntax")]
    NoPresentationContext,
    /// A UID or AE title that is not well formed, or too many of something; names the field.
    #[error("{field} is not usable")]
    Invalid {
        /// Name of the field.
        field: &'static str,
    },
}
