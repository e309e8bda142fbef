//! Storage Commitment Push Model (PS3.4 annex J): the data sets in which a sender asks whether its objects are safely stored, and in
//! which it is told. Whether they are is not decided here.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::availability::{
    AvailabilityError, MAX_REFERENCED_INSTANCES, NoticeSyntax, check_uid, element, sequence, write,
};
use crate::walk::{self, Tag, Visitor, short};

/// The well-known SOP Instance UID of the service (PS3.4 section J.3.5).
pub const INSTANCE_UID: &str = "1.2.840.10008.1.20.1.1";
/// Action Type ID of a request (PS3.4 table J.3.2-1).
pub const REQUEST: u16 = 1;
/// Event Type ID: every object is committed (PS3.4 table J.3.3-1).
pub const ALL_COMMITTED: u16 = 1;
/// Event Type ID: failures exist (PS3.4 table J.3.3-1).
pub const FAILURES_EXIST: u16 = 2;

const TRANSACTION_UID: Tag = (0x0008, 0x1195);
const REFERENCED_SOP: Tag = (0x0008, 0x1199);
const FAILED_SOP: Tag = (0x0008, 0x1198);
const FAILURE_REASON: Tag = (0x0008, 0x1197);
const REFERENCED_SOP_CLASS_UID: Tag = (0x0008, 0x1150);
const REFERENCED_SOP_INSTANCE_UID: Tag = (0x0008, 0x1155);

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SopReference {
    /// Referenced SOP Class UID (0008,1150).
    pub sop_class_uid: String,
    /// Referenced SOP Instance UID (0008,1155).
    pub sop_instance_uid: String,
}

/// What a sender asks (PS3.4 table J.3.2-1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitmentRequest {
    /// Transaction UID (0008,1195).
    pub transaction_uid: String,
    /// Items of the Referenced SOP Sequence (0008,1199), at least one.
    pub references: Vec<SopReference>,
}

/// An object that is not committed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailedSop {
    /// Which one.
    pub reference: SopReference,
    /// Failure Reason (0008,1197), PS3.3 section C.14.1.1.
    pub reason: u16,
}

/// What a sender is told (PS3.4 table J.3.3-1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitmentReport {
    /// Transaction UID (0008,1195).
    pub transaction_uid: String,
    /// Items of the Referenced SOP Sequence (0008,1199).
    pub committed: Vec<SopReference>,
    /// Items of the Failed SOP Sequence (0008,1198).
    pub failed: Vec<FailedSop>,
}

impl CommitmentRequest {
    /// The data set of the N-ACTION.
    ///
    /// # Errors
    /// A UID that is not well formed, too many objects, or a failure to write.
    pub fn encode(&self, syntax: NoticeSyntax) -> Result<Vec<u8>, AvailabilityError> {
        self.check()?;
        let items = self.references.iter().map(item).collect();
        let object = InMemDicomObject::from_element_iter([
            element(tags::TRANSACTION_UID, VR::UI, &self.transaction_uid),
            sequence(tags::REFERENCED_SOP_SEQUENCE, items),
        ]);
        write(&object, syntax)
    }

    /// Reads the data set of an N-ACTION. What a request does not need is passed over; nothing is allocated from a length.
    ///
    /// # Errors
    /// Anything that is cut, nested too deeply, too many, or missing an identifier.
    pub fn decode(bytes: &[u8], syntax: NoticeSyntax) -> Result<Self, AvailabilityError> {
        let big_endian = syntax == NoticeSyntax::ExplicitBigEndian;
        let mut reader = ReportReader { big_endian, ..ReportReader::default() };
        walk::read(bytes, syntax, &mut reader)?;
        let CommitmentReport { transaction_uid, committed: references, .. } = reader.report;
        let request = Self { transaction_uid, references };
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), AvailabilityError> {
        check_uid(&self.transaction_uid, "transaction UID")?;
        if self.references.is_empty() {
            return Err(AvailabilityError::Missing { name: "referenced SOP sequence" });
        }
        check_count(self.references.len())?;
        self.references.iter().try_for_each(check_reference)
    }
}

impl CommitmentReport {
    /// Event Type ID (0000,1002).
    #[must_use]
    pub const fn event_type(&self) -> u16 {
        if self.failed.is_empty() { ALL_COMMITTED } else { FAILURES_EXIST }
    }

    /// The data set of the N-EVENT-REPORT. A sequence without items is left out.
    ///
    /// # Errors
    /// A UID that is not well formed, too many objects, or a failure to write.
    pub fn encode(&self, syntax: NoticeSyntax) -> Result<Vec<u8>, AvailabilityError> {
        self.check()?;
        let mut object = InMemDicomObject::from_element_iter([element(
            tags::TRANSACTION_UID,
            VR::UI,
            &self.transaction_uid,
        )]);
        if !self.committed.is_empty() {
            object.put(sequence(tags::REFERENCED_SOP_SEQUENCE, self.committed.iter().map(item).collect()));
        }
        if !self.failed.is_empty() {
            let items = self.failed.iter().map(|failed| {
                let mut item = item(&failed.reference);
                let reason = PrimitiveValue::from(failed.reason);
                item.put(DataElement::new(tags::FAILURE_REASON, VR::US, reason));
                item
            });
            object.put(sequence(tags::FAILED_SOP_SEQUENCE, items.collect()));
        }
        write(&object, syntax)
    }

    /// Reads the data set of an N-EVENT-REPORT.
    ///
    /// # Errors
    /// Anything that is cut, nested too deeply, too many, or missing an identifier.
    pub fn decode(bytes: &[u8], syntax: NoticeSyntax) -> Result<Self, AvailabilityError> {
        let big_endian = syntax == NoticeSyntax::ExplicitBigEndian;
        let mut reader = ReportReader { big_endian, ..ReportReader::default() };
        walk::read(bytes, syntax, &mut reader)?;
        reader.report.check()?;
        Ok(reader.report)
    }

    fn check(&self) -> Result<(), AvailabilityError> {
        check_uid(&self.transaction_uid, "transaction UID")?;
        check_count(self.committed.len() + self.failed.len())?;
        self.committed.iter().try_for_each(check_reference)?;
        self.failed.iter().try_for_each(|failed| check_reference(&failed.reference))
    }
}

fn check_count(count: usize) -> Result<(), AvailabilityError> {
    if count > MAX_REFERENCED_INSTANCES {
        return Err(AvailabilityError::TooMany { limit: MAX_REFERENCED_INSTANCES });
    }
    Ok(())
}

fn check_reference(reference: &SopReference) -> Result<(), AvailabilityError> {
    check_uid(&reference.sop_class_uid, "referenced SOP class UID")?;
    check_uid(&reference.sop_instance_uid, "referenced SOP instance UID")
}

fn item(reference: &SopReference) -> InMemDicomObject {
    InMemDicomObject::from_element_iter([
        element(tags::REFERENCED_SOP_CLASS_UID, VR::UI, &reference.sop_class_uid),
        element(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &reference.sop_instance_uid),
    ])
}

#[derive(Default)]
struct ReportReader {
    report: CommitmentReport,
    big_endian: bool,
}

impl Visitor for ReportReader {
    const SEQUENCES: &'static [Tag] = &[REFERENCED_SOP, FAILED_SOP];

    fn begin_item(&mut self, path: &[Tag]) -> Result<(), AvailabilityError> {
        match path {
            [REFERENCED_SOP] => self.report.committed.push(SopReference::default()),
            [FAILED_SOP] => self.report.failed.push(FailedSop::default()),
            _ => {}
        }
        check_count(self.report.committed.len() + self.report.failed.len())
    }

    fn value(&mut self, path: &[Tag], tag: Tag, value: &[u8]) -> Result<(), AvailabilityError> {
        let reference = match path {
            [] if tag == TRANSACTION_UID => {
                self.report.transaction_uid = short(value, "transaction UID")?;
                return Ok(());
            }
            [REFERENCED_SOP] => self.report.committed.last_mut(),
            [FAILED_SOP] => {
                if let (FAILURE_REASON, Some(failed)) = (tag, self.report.failed.last_mut()) {
                    let name = "failure reason";
                    let bytes = value.try_into().map_err(|_| AvailabilityError::Invalid { name })?;
                    failed.reason =
                        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
                }
                self.report.failed.last_mut().map(|failed| &mut failed.reference)
            }
            _ => None,
        };
        let Some(reference) = reference else { return Ok(()) };
        match tag {
            REFERENCED_SOP_CLASS_UID => reference.sop_class_uid = short(value, "referenced SOP class UID")?,
            REFERENCED_SOP_INSTANCE_UID => {
                reference.sop_instance_uid = short(value, "referenced SOP instance UID")?;
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SYNTAXES: [NoticeSyntax; 3] = [
        NoticeSyntax::ImplicitLittleEndian,
        NoticeSyntax::ExplicitLittleEndian,
        NoticeSyntax::ExplicitBigEndian,
    ];

    fn references(count: usize) -> Vec<SopReference> {
        let reference =
            |n| SopReference { sop_class_uid: "1.2".to_owned(), sop_instance_uid: format!("1.3.{n}") };
        (0..count).map(reference).collect()
    }

    fn report(committed: usize, failed: usize) -> CommitmentReport {
        let failed = references(failed).into_iter().map(|reference| FailedSop { reference, reason: 0x0112 });
        CommitmentReport {
            transaction_uid: "1.9".to_owned(),
            committed: references(committed),
            failed: failed.collect(),
        }
    }

    #[test]
    fn round_trip_in_every_syntax() {
        for syntax in SYNTAXES {
            for count in [1, 2, 100] {
                let request =
                    CommitmentRequest { transaction_uid: "1.9".to_owned(), references: references(count) };
                let bytes = request.encode(syntax).unwrap();
                assert_eq!(CommitmentRequest::decode(&bytes, syntax).unwrap(), request);
            }
            for (committed, failed, event) in [(0, 0, 1), (3, 0, 1), (0, 2, 2), (1, 1, 2)] {
                let report = report(committed, failed);
                assert_eq!(report.event_type(), event);
                let bytes = report.encode(syntax).unwrap();
                assert_eq!(CommitmentReport::decode(&bytes, syntax).unwrap(), report, "{syntax:?}");
            }
        }
    }

    #[test]
    fn hostile_requests() {
        let implicit = NoticeSyntax::ImplicitLittleEndian;
        let refused = |bytes: &[u8]| CommitmentRequest::decode(bytes, implicit).unwrap_err().to_string();
        assert_eq!(refused(&[]), "required attribute transaction UID is missing");
        let uid = [8, 0, 0x95, 0x11, 4, 0, 0, 0, b'1', b'.', b'2', 0];
        assert_eq!(refused(&uid), "required attribute referenced SOP sequence is missing");
        let item = |length: u32| {
            [&[8, 0, 0x99, 0x11, 8, 0, 0, 0, 0xfe, 0xff, 0, 0xe0][..], &length.to_le_bytes()].concat()
        };
        let empty = [&uid[..], &item(0)].concat();
        assert_eq!(refused(&empty), "required attribute referenced SOP class UID is missing");
        assert!(refused(&[&uid[..], &item(0xffff_fff0)].concat()).contains("runs past the end"));
        let long = [&[8, 0, 0x95, 0x11, 70, 0, 0, 0][..], &[b'1'; 70]].concat();
        assert_eq!(refused(&long), "value of transaction UID is not well formed");
        let mut many = [&uid[..], &[8, 0, 0x99, 0x11, 0xff, 0xff, 0xff, 0xff]].concat();
        many.extend([0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0].repeat(MAX_REFERENCED_INSTANCES + 1));
        assert!(refused(&many).contains("more than 50000"));
        let deep = [8, 0, 0x99, 0x11, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff];
        assert!(refused(&deep.repeat(1000)).contains("nested more than"));
    }

    proptest! {
        #[test]
        fn any_change_is_read_without_panic(at in 0..600_usize, byte: u8, cut in 0..600_usize, which in 0..3_usize) {
            let mut bytes = report(2, 2).encode(SYNTAXES[which]).unwrap();
            let length = bytes.len();
            bytes[at % length] = byte;
            let _ = CommitmentReport::decode(&bytes, SYNTAXES[which]);
            let _ = CommitmentRequest::decode(&bytes[..cut % length], SYNTAXES[which]);
        }
    }
}
