//! Hostile cases, made by code: what a broken or malicious peer sends, how, and which answers are acceptable. Each stands for a threat
//! that is known from somewhere. What sends them and judges is the caller; nothing here opens a socket.

pub mod bytes;
pub mod upper;

mod association;
mod data_set;
mod described;
mod http;
mod message;
mod pixels;
mod stow;
mod text;

use std::time::Duration;

/// The AE title that the hostile peer's centre has.
pub const CALLING: &str = "HOSTILE";
/// Stands in HTTP heads where the centre's token belongs.
pub const TOKEN: &str = "{token}";

/// Which threat a case stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A length that is not true.
    LengthLie,
    /// Bytes that are to become much memory.
    Memory,
    /// Sequences inside each other.
    Nesting,
    /// A few bytes that become many.
    Inflate,
    /// A peer that is slow, silent, or goes away.
    Slow,
    /// More of something than anybody needs.
    Flood,
    /// What is well formed but has no place here.
    State,
    /// What is missing, twice, or of another kind.
    Field,
    /// Names that are to become paths, commands, queries or pages.
    Injection,
    /// Texts that are not in the character set they claim.
    CharacterSet,
    /// Images that are to break a decoder.
    Decoder,
    /// Multipart bodies.
    Multipart,
    /// Requests that two parsers read differently.
    Desync,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::LengthLie,
        Self::Memory,
        Self::Nesting,
        Self::Inflate,
        Self::Slow,
        Self::Flood,
        Self::State,
        Self::Field,
        Self::Injection,
        Self::CharacterSet,
        Self::Decoder,
        Self::Multipart,
        Self::Desync,
    ];

    /// What it is, and where it was seen.
    #[must_use]
    pub const fn stands_for(self) -> &'static str {
        match self {
            Self::LengthLie => {
                "lying lengths (Orthanc CVE-2026-5440, dicom-rs #259 and #828, ICSMA-26-083-01)"
            }
            Self::Memory => "memory taken from declared sizes (Orthanc CVE-2026-5438, CVE-2026-5439)",
            Self::Nesting => "nested sequences (fo-dicom #2114, Orthanc's Deeply-Nested-Sequence)",
            Self::Inflate => "inflate bombs (Orthanc CVE-2026-5438)",
            Self::Slow => "slow peers and leaks per association (DCMTK CVE-2022-43272, CVE-2026-35505)",
            Self::Flood => "floods and oversized PDUs (DCMTK CVE-2026-50254)",
            Self::State => "messages without a place (DCMTK CVE-2026-44628)",
            Self::Field => "null, missing or repeated fields (DCMTK CVE-2022-2121)",
            Self::Injection => {
                "path traversal, injection, scripts (DCMTK CVE-2022-2119, CVE-2022-2120, CVE-2026-5663; Orthanc XSSInjection, \
                 dcm4chee-arc #4988)"
            }
            Self::CharacterSet => "texts outside of their character set",
            Self::Decoder => {
                "decoder errors (Orthanc CVE-2026-5437 and 5441 to 5445, GDCM CVE-2024-22373, DCMTK CVE-2019-1010228)"
            }
            Self::Multipart => "multipart bodies without end or beginning",
            Self::Desync => "request smuggling and HTTP desync",
        }
    }
}

/// What a peer does, one after the other.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends bytes many times, until it is done or the other side closes.
    Repeat(Vec<u8>, usize),
    /// Sends bytes one at a time with a pause after each.
    Drip(Vec<u8>, Duration),
    /// Does nothing.
    Pause(Duration),
    /// Closes its sending half.
    HalfClose,
    /// Goes away without reading an answer.
    Leave,
}

/// A data set, and what the sender announces it to be.
#[derive(Debug, Clone)]
pub struct Object {
    /// SOP class of the announcement.
    pub sop_class: String,
    /// SOP instance of the announcement.
    pub sop_instance: String,
    /// How the data set claims to be written.
    pub transfer_syntax: String,
    /// The data set.
    pub data_set: Vec<u8>,
}

/// The way a case goes in.
#[derive(Debug, Clone)]
pub enum Sent {
    /// Bytes to the DICOM port.
    Dicom(Vec<Step>),
    /// A well-formed C-STORE of an object.
    Store(Box<Object>),
    /// Bytes to the web port.
    Http(Vec<Step>),
}

/// What may come back last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A-ABORT.
    Abort,
    /// A-ASSOCIATE-RJ.
    Reject,
    /// A-ASSOCIATE-AC, and nothing after it.
    Associated,
    /// A-RELEASE-RP.
    Released,
    /// A DIMSE response with this status.
    Status(u16),
    /// An HTTP response with this status.
    Http(u16),
    /// The connection closed without an answer.
    Closed,
}

/// One hostile case.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name; no two are alike.
    pub name: String,
    /// What it stands for.
    pub class: Class,
    /// What is sent.
    pub sent: Sent,
    /// What may come back last.
    pub answers: Vec<Answer>,
}

/// Collects cases.
pub(crate) struct Cases {
    cases: Vec<Case>,
}

impl Cases {
    fn add(&mut self, class: Class, name: impl Into<String>, sent: Sent, answers: &[Answer]) {
        self.cases.push(Case { name: name.into(), class, sent, answers: answers.to_vec() });
    }
}

/// Stored, as C-STORE says it.
pub const STORED: Answer = Answer::Status(0x0000);
/// Cannot understand, as C-STORE says it (PS3.4 table B.2-1).
pub const NOT_UNDERSTOOD: Answer = Answer::Status(0xC000);
/// The data set is another than was announced (PS3.4 table B.2-1).
pub const MISMATCH: Answer = Answer::Status(0xA900);

/// Every case. The same bytes each time.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = Cases { cases: Vec::new() };
    association::add(&mut cases);
    message::add(&mut cases);
    data_set::add(&mut cases);
    text::add(&mut cases);
    pixels::add(&mut cases);
    stow::add(&mut cases);
    described::add(&mut cases);
    http::add(&mut cases);
    cases.cases
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_many_and_no_two_are_alike() {
        let cases = cases();
        let names: BTreeSet<_> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len(), "a name stands twice");
        assert!(cases.len() >= 200, "{}", cases.len());
        for class in Class::ALL {
            assert!(cases.iter().any(|case| case.class == class), "{class:?} has no case");
        }
        assert!(cases.iter().all(|case| !case.answers.is_empty()));
    }
}
