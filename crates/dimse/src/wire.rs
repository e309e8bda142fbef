//! PDUs on the wire, shared by both sides: a streaming reader, the assembly of messages from fragments, and writers.
//! The reader hands out fragments of data as they arrive, as slices of the bytes that were received; it never waits for
//! a whole P-DATA-TF PDU and allocates nothing from a declared length. Association PDUs are collected up to a limit and
//! then read by `dicom_ul`.

use bytes::{BufMut, Bytes, BytesMut};
use dicom_ul::pdu::{AbortRQSource, Pdu, read_pdu, write_pdu};

use crate::error::ProtocolError;

/// PDU header: type, reserved byte, length (PS3.8 section 9.3.1).
pub(crate) const PDU_HEADER: usize = 6;

/// Length, presentation context id and message control header of a presentation data value (PS3.8 section 9.3.5.1).
pub(crate) const PDV_HEADER: usize = 6;

/// Room that is offered to the caller for one read, in bytes: one default PDU of ours.
const READ_CHUNK: usize = 128 * 1024;

/// Room below which a new chunk is opened, in bytes, so that the end of a chunk causes no crumbs of reads.
const SMALLEST_READ: usize = 16 * 1024;

/// Smallest peer's maximum length that leaves room for a fragment of two bytes.
pub(crate) const SMALLEST_PEER_MAXIMUM: u32 = PDV_HEADER as u32 + 2;

/// Smallest limit that `dicom_ul` reads association PDUs with, in bytes.
const SMALLEST_ASSOCIATION_LIMIT: u32 = 1024;

const ASSOCIATE_RQ: u8 = 1;
const ASSOCIATE_AC: u8 = 2;
const ASSOCIATE_RJ: u8 = 3;
const P_DATA: u8 = 4;
const RELEASE_RQ: u8 = 5;
const RELEASE_RP: u8 = 6;
const ABORT: u8 = 7;

const COMMAND_BIT: u8 = 0b01;
const LAST_BIT: u8 = 0b10;

/// What the association is doing: which PDUs have a place (PS3.8 section 9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    AwaitingRequest,
    AwaitingAnswer,
    Established,
    Releasing,
}

impl Phase {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::AwaitingRequest => "before the association is requested",
            Self::AwaitingAnswer => "before the association is answered",
            Self::Established => "while the association is established",
            Self::Releasing => "while the association is being released",
        }
    }

    fn expects(self, pdu_type: u8) -> bool {
        match self {
            Self::AwaitingRequest => matches!(pdu_type, ASSOCIATE_RQ | ABORT),
            Self::AwaitingAnswer => matches!(pdu_type, ASSOCIATE_AC | ASSOCIATE_RJ | ABORT),
            Self::Established => matches!(pdu_type, P_DATA | RELEASE_RQ | ABORT),
            Self::Releasing => matches!(pdu_type, P_DATA | RELEASE_RQ | RELEASE_RP | ABORT),
        }
    }
}

fn name_of(pdu_type: u8) -> Option<&'static str> {
    match pdu_type {
        ASSOCIATE_RQ => Some("A-ASSOCIATE-RQ"),
        ASSOCIATE_AC => Some("A-ASSOCIATE-AC"),
        ASSOCIATE_RJ => Some("A-ASSOCIATE-RJ"),
        P_DATA => Some("P-DATA-TF"),
        RELEASE_RQ => Some("A-RELEASE-RQ"),
        RELEASE_RP => Some("A-RELEASE-RP"),
        ABORT => Some("A-ABORT"),
        _ => None,
    }
}

/// Who ended an association, and why (PS3.8 table 9-26).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AbortSource {
    /// The peer's application.
    User,
    /// The peer's upper layer, with its reason byte.
    Provider(u8),
    /// A source byte that the standard does not define.
    Other(u8),
}

impl AbortSource {
    fn from_bytes(source: u8, reason: u8) -> Self {
        match source {
            0 => Self::User,
            2 => Self::Provider(reason),
            other => Self::Other(other),
        }
    }

    /// What the reason byte means, for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::User => "aborted by the peer's application",
            Self::Provider(0) => "aborted by the peer's upper layer: reason not specified",
            Self::Provider(1) => "aborted by the peer's upper layer: unrecognised PDU",
            Self::Provider(2) => "aborted by the peer's upper layer: unexpected PDU",
            Self::Provider(4) => "aborted by the peer's upper layer: unrecognised PDU parameter",
            Self::Provider(5) => "aborted by the peer's upper layer: unexpected PDU parameter",
            Self::Provider(6) => "aborted by the peer's upper layer: invalid PDU parameter value",
            Self::Provider(_) => "aborted by the peer's upper layer: unknown reason",
            Self::Other(_) => "aborted by an unknown source",
        }
    }
}

/// A piece of a message, as it came: not necessarily a whole presentation data value.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) context_id: u8,
    pub(crate) is_command: bool,
    pub(crate) data: Bytes,
    /// This piece is the last of its command or data set.
    pub(crate) is_last: bool,
}

#[derive(Debug)]
pub(crate) enum Piece {
    Association { pdu: Box<Pdu>, raw: Bytes },
    Fragment(Fragment),
    ReleaseRequest,
    ReleaseResponse,
    Abort(AbortSource),
}

#[derive(Debug)]
enum Place {
    Header,
    Association { name: &'static str, length: u32 },
    Short { pdu_type: u8 },
    Values { remaining: u32 },
    Value { in_pdu: u32, in_value: u32, context_id: u8, control: u8 },
}

#[derive(Debug)]
pub(crate) struct PduReader {
    max_pdu_length: u32,
    max_association_pdu: u32,
    buffer: BytesMut,
    place: Place,
}

impl PduReader {
    pub(crate) fn new(max_pdu_length: u32, max_association_pdu: u32) -> Self {
        Self {
            max_pdu_length,
            max_association_pdu: max_association_pdu.max(SMALLEST_ASSOCIATION_LIMIT),
            buffer: BytesMut::new(),
            place: Place::Header,
        }
    }

    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < SMALLEST_READ {
            self.buffer.reserve(READ_CHUNK);
        }
        &mut self.buffer
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes received and not yet handed out.
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the bytes so far end between two PDUs.
    pub(crate) fn is_between_pdus(&self) -> bool {
        matches!(self.place, Place::Header) && self.buffer.is_empty()
    }

    /// The context of the data whose next bytes are still to be received, and how many are left of them in this presentation data value.
    pub(crate) fn data_due(&self) -> Option<(u8, usize)> {
        match self.place {
            Place::Value { in_value, context_id, control, .. }
                if self.buffer.is_empty() && control & COMMAND_BIT == 0 =>
            {
                Some((context_id, in_value as usize))
            }
            _ => None,
        }
    }

    /// Bytes of [`Self::data_due`] were received elsewhere.
    pub(crate) fn pass_data(&mut self, bytes: usize) {
        if let Place::Value { in_value, .. } = &mut self.place {
            debug_assert!(bytes <= *in_value as usize, "no more than are due");
            *in_value = in_value.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    /// The next piece, or none until more bytes come.
    pub(crate) fn next(&mut self, phase: Phase) -> Result<Option<Piece>, ProtocolError> {
        loop {
            let progress = match self.place {
                Place::Header => self.header(phase)?,
                Place::Association { name, length } => return self.association(name, length),
                Place::Short { pdu_type } => return Ok(self.short(pdu_type)),
                Place::Values { remaining: 0 } => {
                    self.place = Place::Header;
                    true
                }
                Place::Values { remaining } => self.value_header(remaining)?,
                Place::Value { in_pdu, in_value, context_id, control } => {
                    return Ok(self.fragment(in_pdu, in_value, context_id, control));
                }
            };
            if !progress {
                return Ok(None);
            }
        }
    }

    fn header(&mut self, phase: Phase) -> Result<bool, ProtocolError> {
        let Some(&[pdu_type, _, a, b, c, d]) = self.buffer.first_chunk::<PDU_HEADER>() else {
            return Ok(false);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        let Some(name) = name_of(pdu_type) else {
            return Err(ProtocolError::UnknownPdu { pdu_type });
        };
        if !phase.expects(pdu_type) {
            return Err(ProtocolError::UnexpectedPdu { pdu: name, state: phase.describe() });
        }
        let limit = if pdu_type == P_DATA { self.max_pdu_length } else { self.max_association_pdu };
        if length > limit {
            return Err(ProtocolError::PduTooLong { pdu: name, length, limit });
        }
        self.place = match pdu_type {
            // One presentation data value at least (PS3.8 table 9-22).
            P_DATA if length < PDV_HEADER as u32 => {
                return Err(ProtocolError::PduLength { pdu: name, length });
            }
            P_DATA => {
                let _ = self.buffer.split_to(PDU_HEADER);
                Place::Values { remaining: length }
            }
            ASSOCIATE_RJ | RELEASE_RQ | RELEASE_RP | ABORT if length != 4 => {
                return Err(ProtocolError::PduLength { pdu: name, length });
            }
            RELEASE_RQ | RELEASE_RP | ABORT => Place::Short { pdu_type },
            _ => Place::Association { name, length },
        };
        Ok(true)
    }

    fn association(&mut self, name: &'static str, length: u32) -> Result<Option<Piece>, ProtocolError> {
        let whole = PDU_HEADER + length as usize;
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let raw = self.buffer.split_to(whole).freeze();
        self.place = Place::Header;
        match read_pdu(raw.clone(), self.max_association_pdu, true) {
            Ok(Some(pdu)) => Ok(Some(Piece::Association { pdu: Box::new(pdu), raw })),
            Ok(None) => Err(ProtocolError::AssociationPduCut { pdu: name }),
            Err(source) => Err(ProtocolError::AssociationPdu { pdu: name, source: Box::new(source) }),
        }
    }

    fn short(&mut self, pdu_type: u8) -> Option<Piece> {
        if self.buffer.len() < PDU_HEADER + 4 {
            return None;
        }
        let body = self.buffer.split_to(PDU_HEADER + 4);
        self.place = Place::Header;
        Some(match pdu_type {
            RELEASE_RQ => Piece::ReleaseRequest,
            RELEASE_RP => Piece::ReleaseResponse,
            _ => Piece::Abort(AbortSource::from_bytes(body[8], body[9])),
        })
    }

    fn value_header(&mut self, remaining: u32) -> Result<bool, ProtocolError> {
        if remaining < PDV_HEADER as u32 {
            return Err(ProtocolError::PdvLength { length: 0, remaining });
        }
        let Some(&[a, b, c, d, context_id, control]) = self.buffer.first_chunk::<PDV_HEADER>() else {
            return Ok(false);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        let after_length = remaining - 4;
        if length < 2 || length > after_length {
            return Err(ProtocolError::PdvLength { length, remaining: after_length });
        }
        let _ = self.buffer.split_to(PDV_HEADER);
        self.place =
            Place::Value { in_pdu: after_length - length, in_value: length - 2, context_id, control };
        Ok(true)
    }

    fn fragment(&mut self, in_pdu: u32, in_value: u32, context_id: u8, control: u8) -> Option<Piece> {
        let here = self.buffer.len().min(in_value as usize);
        if here == 0 && in_value > 0 {
            return None;
        }
        let data = self.buffer.split_to(here).freeze();
        let left = in_value - here as u32;
        self.place = match left {
            0 => Place::Values { remaining: in_pdu },
            left => Place::Value { in_pdu, in_value: left, context_id, control },
        };
        let is_last = left == 0 && control & LAST_BIT != 0;
        Some(Piece::Fragment(Fragment { context_id, is_command: control & COMMAND_BIT != 0, data, is_last }))
    }
}

/// What a fragment means for the message it belongs to.
#[derive(Debug)]
pub(crate) enum Step {
    /// A whole command set.
    Command { context_id: u8, bytes: BytesMut },
    /// Part of a data set.
    Data { data: Bytes, is_last: bool },
}

#[derive(Debug)]
enum Due {
    Command,
    RestOfCommand { context_id: u8, bytes: BytesMut },
    Data { context_id: u8 },
}

/// Puts messages together: command sets whole, data sets piece by piece (PS3.7 section 6.3, PS3.8 annex E).
#[derive(Debug)]
pub(crate) struct Assembler {
    max_command_set: usize,
    due: Due,
}

impl Assembler {
    pub(crate) fn new(max_command_set: usize) -> Self {
        Self { max_command_set, due: Due::Command }
    }

    /// Whether a message has begun and not ended.
    pub(crate) fn is_inside_message(&self) -> bool {
        !matches!(self.due, Due::Command)
    }

    /// Whether the data set of this context is coming in.
    pub(crate) fn expects_data_of(&self, context: u8) -> bool {
        matches!(self.due, Due::Data { context_id } if context_id == context)
    }

    /// Says that the command just taken has a data set.
    pub(crate) fn expect_data(&mut self, context_id: u8) {
        self.due = Due::Data { context_id };
    }

    pub(crate) fn buffered(&self) -> usize {
        match &self.due {
            Due::RestOfCommand { bytes, .. } => bytes.len(),
            Due::Command | Due::Data { .. } => 0,
        }
    }

    pub(crate) fn take(&mut self, fragment: Fragment) -> Result<Option<Step>, ProtocolError> {
        let found = fragment.context_id;
        match std::mem::replace(&mut self.due, Due::Command) {
            Due::Data { context_id } => {
                same_context(context_id, found)?;
                if fragment.is_command {
                    return Err(ProtocolError::CommandInsideData);
                }
                if !fragment.is_last {
                    self.due = Due::Data { context_id };
                }
                Ok(Some(Step::Data { data: fragment.data, is_last: fragment.is_last }))
            }
            Due::Command => self.command(found, BytesMut::new(), fragment),
            Due::RestOfCommand { context_id, bytes } => {
                same_context(context_id, found)?;
                self.command(context_id, bytes, fragment)
            }
        }
    }

    fn command(
        &mut self,
        context_id: u8,
        mut bytes: BytesMut,
        fragment: Fragment,
    ) -> Result<Option<Step>, ProtocolError> {
        if !fragment.is_command {
            return Err(ProtocolError::DataWithoutCommand);
        }
        if bytes.len() + fragment.data.len() > self.max_command_set {
            return Err(ProtocolError::CommandTooLong { limit: self.max_command_set });
        }
        bytes.extend_from_slice(&fragment.data);
        if fragment.is_last {
            return Ok(Some(Step::Command { context_id, bytes }));
        }
        self.due = Due::RestOfCommand { context_id, bytes };
        Ok(None)
    }
}

fn same_context(expected: u8, found: u8) -> Result<(), ProtocolError> {
    if expected == found { Ok(()) } else { Err(ProtocolError::ContextChanged { expected, found }) }
}

/// Longest fragment for a peer that takes PDUs of at most `peer_maximum` bytes (0: no limit) where we send at most
/// `our_maximum`; even, because command and data sets are.
pub(crate) fn fragment_size(peer_maximum: u32, our_maximum: u32) -> usize {
    let maximum = if peer_maximum == 0 { our_maximum } else { our_maximum.min(peer_maximum) };
    (maximum.max(SMALLEST_PEER_MAXIMUM) as usize - PDV_HEADER) & !1
}

/// Writes a whole command set as P-DATA-TF PDUs, one fragment in each.
pub(crate) fn put_command(out: &mut BytesMut, context_id: u8, command: &[u8], fragment_size: usize) {
    put_fragments(out, context_id, COMMAND_BIT, command, fragment_size);
}

/// Writes a whole small data set as P-DATA-TF PDUs, one fragment in each.
pub(crate) fn put_data_set(out: &mut BytesMut, context_id: u8, data_set: &[u8], fragment_size: usize) {
    put_fragments(out, context_id, 0, data_set, fragment_size);
}

fn put_fragments(out: &mut BytesMut, context_id: u8, kind: u8, bytes: &[u8], fragment_size: usize) {
    let mut rest = bytes;
    loop {
        let (fragment, after) = rest.split_at(rest.len().min(fragment_size));
        let control = kind | if after.is_empty() { LAST_BIT } else { 0 };
        out.reserve(PDU_HEADER + PDV_HEADER + fragment.len());
        out.put_slice(&pdv_head(context_id, control, fragment.len()));
        out.put_slice(fragment);
        rest = after;
        if rest.is_empty() {
            return;
        }
    }
}

/// Head of a P-DATA-TF PDU with one fragment of a data set.
pub(crate) fn data_head(context_id: u8, length: usize, is_last: bool) -> [u8; PDU_HEADER + PDV_HEADER] {
    pdv_head(context_id, if is_last { LAST_BIT } else { 0 }, length)
}

fn pdv_head(context_id: u8, control: u8, length: usize) -> [u8; PDU_HEADER + PDV_HEADER] {
    let [p0, p1, p2, p3] = ((length + PDV_HEADER) as u32).to_be_bytes();
    let [v0, v1, v2, v3] = ((length + 2) as u32).to_be_bytes();
    [P_DATA, 0, p0, p1, p2, p3, v0, v1, v2, v3, context_id, control]
}

/// Writes a PDU whose fields were checked before.
pub(crate) fn encode(pdu: &Pdu) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, pdu).expect("writing checked fields to memory cannot fail");
    bytes
}

pub(crate) fn put_abort(out: &mut BytesMut, source: AbortRQSource) {
    out.extend_from_slice(&encode(&Pdu::AbortRQ { source }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_fit_the_peer() {
        for (peer, ours, expected) in [
            (0, 131_072, 131_066),
            (16_384, 131_072, 16_378),
            (16_383, 131_072, 16_376),
            (8, 131_072, 2),
            (9, 131_072, 2),
            (200_000, 131_072, 131_066),
        ] {
            assert_eq!(fragment_size(peer, ours), expected, "{peer} {ours}");
        }
    }

    #[test]
    fn a_command_is_split_for_a_small_peer() {
        let mut out = BytesMut::new();
        put_command(&mut out, 3, &[7; 10], 4);
        let mut reader = PduReader::new(10, 1024);
        reader.receive(&out);
        let mut lengths = Vec::new();
        while let Some(Piece::Fragment(fragment)) = reader.next(Phase::Established).unwrap() {
            assert!(fragment.is_command && fragment.context_id == 3);
            lengths.push((fragment.data.len(), fragment.is_last));
        }
        assert_eq!(lengths, [(4, false), (4, false), (2, true)]);
        assert!(reader.is_between_pdus());
    }

    #[test]
    fn data_are_slices_of_what_was_received() {
        let mut reader = PduReader::new(1024, 1024);
        let buffer = reader.buffer();
        buffer.extend_from_slice(&data_head(1, 100, false));
        buffer.extend_from_slice(&[5; 100]);
        let begin = buffer.as_ptr() as usize;
        let Some(Piece::Fragment(fragment)) = reader.next(Phase::Established).unwrap() else { panic!() };
        assert_eq!(fragment.data.as_ptr() as usize, begin + 12, "no copy was made");
    }
}
