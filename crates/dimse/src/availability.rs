//! Instance Availability Notification: the data set that says which instances of one study a sender has and meant to
//! send (PS3.4 annex R). Evidence for completeness; not a store and not a commitment.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries;

use crate::text;
use crate::walk::{self, Visitor, short};

/// Most instances that one notice may name; a study beyond it is announced in several notices.
pub const MAX_REFERENCED_INSTANCES: usize = 50_000;

const STUDY_INSTANCE_UID: (u16, u16) = (0x0020, 0x000d);
const SERIES_INSTANCE_UID: (u16, u16) = (0x0020, 0x000e);
const REFERENCED_SERIES: (u16, u16) = (0x0008, 0x1115);
const REFERENCED_SOP: (u16, u16) = (0x0008, 0x1199);
const REFERENCED_STEP: (u16, u16) = (0x0008, 0x1111);
const REFERENCED_SOP_CLASS_UID: (u16, u16) = (0x0008, 0x1150);
const REFERENCED_SOP_INSTANCE_UID: (u16, u16) = (0x0008, 0x1155);
const INSTANCE_AVAILABILITY: (u16, u16) = (0x0008, 0x0056);
const RETRIEVE_AE_TITLE: (u16, u16) = (0x0008, 0x0054);

/// What a sender says about one study.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AvailabilityNotice {
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: String,
    /// Items of the Referenced Series Sequence (0008,1115), in order.
    pub series: Vec<SeriesAvailability>,
}

/// One series of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeriesAvailability {
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: String,
    /// Items of the Referenced SOP Sequence (0008,1199), in order.
    pub instances: Vec<InstanceAvailability>,
}

/// One instance of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstanceAvailability {
    /// Referenced SOP Class UID (0008,1150).
    pub sop_class_uid: String,
    /// Referenced SOP Instance UID (0008,1155).
    pub sop_instance_uid: String,
    /// Instance Availability (0008,0056).
    pub availability: Availability,
    /// Retrieve AE Title (0008,0054); empty if absent.
    pub retrieve_ae_title: String,
}

/// How quickly an instance can be had (PS3.3 section C.4.23.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Availability {
    /// At once.
    #[default]
    Online,
    /// After a relatively slow retrieval.
    Nearline,
    /// After somebody did something.
    Offline,
    /// Not at all.
    Unavailable,
}

impl Availability {
    /// The defined term.
    #[must_use]
    pub fn term(self) -> &'static str {
        match self {
            Self::Online => "ONLINE",
            Self::Nearline => "NEARLINE",
            Self::Offline => "OFFLINE",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    fn from_term(term: &str) -> Option<Self> {
        [Self::Online, Self::Nearline, Self::Offline, Self::Unavailable]
            .into_iter()
            .find(|a| a.term() == term)
    }
}

/// Encodings in which a notice is read and written. Unlike an image a notice has to be understood at once, so only
/// these are agreed to on its presentation context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoticeSyntax {
    /// 1.2.840.10008.1.2
    ImplicitLittleEndian,
    /// 1.2.840.10008.1.2.1
    ExplicitLittleEndian,
    /// 1.2.840.10008.1.2.2
    ExplicitBigEndian,
}

impl NoticeSyntax {
    /// The syntax with this UID, if it is one of the three.
    #[must_use]
    pub fn from_uid(uid: &str) -> Option<Self> {
        match uid {
            uids::IMPLICIT_VR_LITTLE_ENDIAN => Some(Self::ImplicitLittleEndian),
            uids::EXPLICIT_VR_LITTLE_ENDIAN => Some(Self::ExplicitLittleEndian),
            "1.2.840.10008.1.2.2" => Some(Self::ExplicitBigEndian),
            _ => None,
        }
    }

    pub(crate) fn is_explicit(self) -> bool {
        match self {
            Self::ImplicitLittleEndian => false,
            Self::ExplicitLittleEndian | Self::ExplicitBigEndian => true,
        }
    }

    /// A number of VR US.
    #[must_use]
    pub fn read_u16(self, bytes: [u8; 2]) -> u16 {
        self.u16(bytes)
    }

    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::ExplicitBigEndian => u16::from_be_bytes(bytes),
            Self::ImplicitLittleEndian | Self::ExplicitLittleEndian => u16::from_le_bytes(bytes),
        }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::ExplicitBigEndian => u32::from_be_bytes(bytes),
            Self::ImplicitLittleEndian | Self::ExplicitLittleEndian => u32::from_le_bytes(bytes),
        }
    }

    pub(crate) fn u16_bytes(self, number: u16) -> [u8; 2] {
        match self {
            Self::ExplicitBigEndian => number.to_be_bytes(),
            Self::ImplicitLittleEndian | Self::ExplicitLittleEndian => number.to_le_bytes(),
        }
    }

    pub(crate) fn u32_bytes(self, number: u32) -> [u8; 4] {
        match self {
            Self::ExplicitBigEndian => number.to_be_bytes(),
            Self::ImplicitLittleEndian | Self::ExplicitLittleEndian => number.to_le_bytes(),
        }
    }
}

/// A notice that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AvailabilityError {
    /// An element or item runs past the end of what holds it.
    #[error("element at byte {offset} runs past the end")]
    Cut {
        /// Byte offset.
        offset: usize,
    },
    /// Something other than an item where an item is due, or an item delimiter out of place.
    #[error("no item where one is due at byte {offset}")]
    NoItem {
        /// Byte offset.
        offset: usize,
    },
    /// Nested too deeply.
    #[error("sequences nested more than {limit} deep")]
    TooDeep {
        /// Limit.
        limit: usize,
    },
    /// Too many instances.
    #[error("data set names more than {limit} instances")]
    TooMany {
        /// Limit.
        limit: usize,
    },
    /// A required attribute is absent.
    #[error("required attribute {name} is missing")]
    Missing {
        /// Name of the attribute.
        name: &'static str,
    },
    /// A value is not well formed.
    #[error("value of {name} is not well formed")]
    Invalid {
        /// Name of the attribute.
        name: &'static str,
    },
    /// The data set could not be written.
    #[error("data set could not be written")]
    Write(#[source] Box<dicom_object::WriteError>),
}

impl AvailabilityNotice {
    /// Number of instances in all series.
    #[must_use]
    pub fn instance_count(&self) -> usize {
        self.series.iter().map(|series| series.instances.len()).sum()
    }

    /// The data set of the N-CREATE (PS3.4 table R.3.2-1): Referenced Performed Procedure Step Sequence empty, since
    /// we know no procedure step.
    ///
    /// # Errors
    /// A UID or AE title that is not well formed, too many instances, or a failure to write.
    pub fn encode(&self, syntax: NoticeSyntax) -> Result<Vec<u8>, AvailabilityError> {
        self.check()?;
        let series = self.series.iter().map(|series| {
            let instances = series.instances.iter().map(|instance| {
                InMemDicomObject::from_element_iter([
                    element(tags::RETRIEVE_AE_TITLE, VR::AE, &instance.retrieve_ae_title),
                    element(tags::INSTANCE_AVAILABILITY, VR::CS, instance.availability.term()),
                    element(tags::REFERENCED_SOP_CLASS_UID, VR::UI, &instance.sop_class_uid),
                    element(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &instance.sop_instance_uid),
                ])
            });
            InMemDicomObject::from_element_iter([
                sequence(tags::REFERENCED_SOP_SEQUENCE, instances.collect()),
                element(tags::SERIES_INSTANCE_UID, VR::UI, &series.series_instance_uid),
            ])
        });
        let object = InMemDicomObject::from_element_iter([
            sequence(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new()),
            sequence(tags::REFERENCED_SERIES_SEQUENCE, series.collect()),
            element(tags::STUDY_INSTANCE_UID, VR::UI, &self.study_instance_uid),
        ]);
        write(&object, syntax)
    }

    /// Reads a notice. Elements that a notice does not need are passed over; nothing is allocated from a length.
    ///
    /// # Errors
    /// Anything that is cut, nested too deeply, too many, or missing a required identifier.
    pub fn decode(bytes: &[u8], syntax: NoticeSyntax) -> Result<Self, AvailabilityError> {
        let mut reader = NoticeReader { notice: Self::default(), count: 0 };
        walk::read(bytes, syntax, &mut reader)?;
        reader.notice.check()?;
        Ok(reader.notice)
    }

    fn check(&self) -> Result<(), AvailabilityError> {
        if self.instance_count() > MAX_REFERENCED_INSTANCES {
            return Err(AvailabilityError::TooMany { limit: MAX_REFERENCED_INSTANCES });
        }
        check_uid(&self.study_instance_uid, "study instance UID")?;
        for series in &self.series {
            check_uid(&series.series_instance_uid, "series instance UID")?;
            for instance in &series.instances {
                check_uid(&instance.sop_class_uid, "referenced SOP class UID")?;
                check_uid(&instance.sop_instance_uid, "referenced SOP instance UID")?;
                let title = &instance.retrieve_ae_title;
                if !title.is_empty() && !text::is_ae_title(title) {
                    return Err(AvailabilityError::Invalid { name: "retrieve AE title" });
                }
            }
        }
        Ok(())
    }
}

/// Writes a data set.
pub(crate) fn write(object: &InMemDicomObject, syntax: NoticeSyntax) -> Result<Vec<u8>, AvailabilityError> {
    let syntax = match syntax {
        NoticeSyntax::ImplicitLittleEndian => entries::IMPLICIT_VR_LITTLE_ENDIAN.erased(),
        NoticeSyntax::ExplicitLittleEndian => entries::EXPLICIT_VR_LITTLE_ENDIAN.erased(),
        NoticeSyntax::ExplicitBigEndian => entries::EXPLICIT_VR_BIG_ENDIAN.erased(),
    };
    let mut bytes = Vec::new();
    object
        .write_dataset_with_ts(&mut bytes, &syntax)
        .map_err(|error| AvailabilityError::Write(Box::new(error)))?;
    Ok(bytes)
}

pub(crate) fn check_uid(uid: &str, name: &'static str) -> Result<(), AvailabilityError> {
    match uid {
        "" => Err(AvailabilityError::Missing { name }),
        uid if text::is_uid(uid) => Ok(()),
        _ => Err(AvailabilityError::Invalid { name }),
    }
}

pub(crate) fn element(tag: Tag, vr: VR, value: &str) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

pub(crate) fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, DataSetSequence::new(items, Length::UNDEFINED))
}

struct NoticeReader {
    notice: AvailabilityNotice,
    count: usize,
}

impl Visitor for NoticeReader {
    const SEQUENCES: &'static [(u16, u16)] = &[REFERENCED_STEP, REFERENCED_SERIES, REFERENCED_SOP];

    fn begin_item(&mut self, path: &[(u16, u16)]) -> Result<(), AvailabilityError> {
        self.count += 1;
        if self.count > 2 * MAX_REFERENCED_INSTANCES {
            return Err(AvailabilityError::TooMany { limit: MAX_REFERENCED_INSTANCES });
        }
        match path {
            [REFERENCED_SERIES] => self.notice.series.push(SeriesAvailability::default()),
            [REFERENCED_SERIES, REFERENCED_SOP] => {
                if let Some(series) = self.notice.series.last_mut() {
                    series.instances.push(InstanceAvailability::default());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn value(&mut self, path: &[(u16, u16)], tag: (u16, u16), value: &[u8]) -> Result<(), AvailabilityError> {
        let series = self.notice.series.last_mut();
        match (path, tag) {
            ([], STUDY_INSTANCE_UID) => self.notice.study_instance_uid = short(value, "study instance UID")?,
            ([REFERENCED_SERIES], SERIES_INSTANCE_UID) => {
                if let Some(series) = series {
                    series.series_instance_uid = short(value, "series instance UID")?;
                }
            }
            ([REFERENCED_SERIES, REFERENCED_SOP], tag) => {
                let Some(instance) = series.and_then(|series| series.instances.last_mut()) else {
                    return Ok(());
                };
                match tag {
                    REFERENCED_SOP_CLASS_UID => {
                        instance.sop_class_uid = short(value, "referenced SOP class UID")?
                    }
                    REFERENCED_SOP_INSTANCE_UID => {
                        instance.sop_instance_uid = short(value, "referenced SOP instance UID")?;
                    }
                    INSTANCE_AVAILABILITY => {
                        let name = "instance availability";
                        instance.availability = Availability::from_term(&short(value, name)?)
                            .ok_or(AvailabilityError::Invalid { name })?;
                    }
                    // Several titles are allowed; the first one is enough to know where.
                    RETRIEVE_AE_TITLE => {
                        let first = value.split(|b| *b == b'\\').next().unwrap_or_default();
                        instance.retrieve_ae_title = short(first, "retrieve AE title")?;
                    }
                    _ => {}
                }
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

    fn notice(sizes: &[usize]) -> AvailabilityNotice {
        let series = sizes.iter().enumerate().map(|(s, size)| SeriesAvailability {
            series_instance_uid: format!("1.2.3.{s}"),
            instances: (0..*size)
                .map(|i| InstanceAvailability {
                    sop_class_uid: uids::CT_IMAGE_STORAGE.to_owned(),
                    sop_instance_uid: format!("1.2.3.{s}.{i}"),
                    availability: if i % 2 == 0 { Availability::Online } else { Availability::Nearline },
                    retrieve_ae_title: "TELERAD".to_owned(),
                })
                .collect(),
        });
        AvailabilityNotice { study_instance_uid: "1.2.3".to_owned(), series: series.collect() }
    }

    #[test]
    fn round_trip_in_every_syntax() {
        for syntax in SYNTAXES {
            for sizes in [&[][..], &[0], &[1], &[3, 0, 7]] {
                let notice = notice(sizes);
                let bytes = notice.encode(syntax).unwrap();
                assert_eq!(
                    AvailabilityNotice::decode(&bytes, syntax).unwrap(),
                    notice,
                    "{syntax:?} {sizes:?}"
                );
                assert_eq!(notice.instance_count(), sizes.iter().sum::<usize>());
            }
        }
    }

    #[test]
    fn defined_lengths_and_foreign_elements_are_read() {
        let element = |group: u16, element: u16, value: &[u8]| {
            let mut bytes = Vec::new();
            bytes.extend_from_slice(&group.to_le_bytes());
            bytes.extend_from_slice(&element.to_le_bytes());
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(value);
            bytes
        };
        let instance = [
            element(8, 0x54, b"OTHER\\SECOND"),
            element(8, 0x56, b"OFFLINE "),
            element(8, 0x1150, b"1.2\0"),
            element(8, 0x1155, b"1.9\0"),
        ]
        .concat();
        let sops = element(8, 0x1199, &element(0xfffe, 0xe000, &instance));
        let series = [sops, element(0x20, 0x0e, b"1.3\0")].concat();
        let data_set = [
            element(8, 5, b"ISO_IR 100"),
            element(8, 0x1111, b""),
            element(8, 0x1115, &element(0xfffe, 0xe000, &series)),
            element(0x20, 0x0d, b"1.4 "),
        ]
        .concat();
        let notice = AvailabilityNotice::decode(&data_set, NoticeSyntax::ImplicitLittleEndian).unwrap();
        assert_eq!(notice.study_instance_uid, "1.4");
        assert_eq!(notice.series[0].series_instance_uid, "1.3");
        let expected = InstanceAvailability {
            sop_class_uid: "1.2".to_owned(),
            sop_instance_uid: "1.9".to_owned(),
            availability: Availability::Offline,
            retrieve_ae_title: "OTHER".to_owned(),
        };
        assert_eq!(notice.series[0].instances, [expected]);
    }

    #[test]
    fn hostile_notices() {
        let deep: Vec<u8> =
            [0x08, 0, 0x15, 0x11, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff]
                .repeat(10_000);
        let error = AvailabilityNotice::decode(&deep, NoticeSyntax::ImplicitLittleEndian).unwrap_err();
        assert!(matches!(error, AvailabilityError::TooDeep { .. }), "{error}");

        let lie = [0x20, 0, 0x0d, 0, 0xfe, 0xff, 0xff, 0xff];
        let error = AvailabilityNotice::decode(&lie, NoticeSyntax::ImplicitLittleEndian).unwrap_err();
        assert!(matches!(error, AvailabilityError::Cut { offset: 0 }), "{error}");

        let error = AvailabilityNotice::decode(&[], NoticeSyntax::ImplicitLittleEndian).unwrap_err();
        assert!(matches!(error, AvailabilityError::Missing { name: "study instance UID" }), "{error}");

        let mut many = vec![0x08, 0, 0x15, 0x11, 0xff, 0xff, 0xff, 0xff];
        many.extend([0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0].repeat(2 * MAX_REFERENCED_INSTANCES + 1));
        let error = AvailabilityNotice::decode(&many, NoticeSyntax::ImplicitLittleEndian).unwrap_err();
        assert!(matches!(error, AvailabilityError::TooMany { .. }), "{error}");

        let error =
            notice(&[MAX_REFERENCED_INSTANCES + 1]).encode(NoticeSyntax::ImplicitLittleEndian).unwrap_err();
        assert!(matches!(error, AvailabilityError::TooMany { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), which in 0..3_usize) {
            let _ = AvailabilityNotice::decode(&bytes, SYNTAXES[which]);
        }

        #[test]
        fn any_change_is_read_without_panic(at in 0..600_usize, byte: u8, cut in 0..600_usize, which in 0..3_usize) {
            let mut bytes = notice(&[2, 1]).encode(SYNTAXES[which]).unwrap();
            let length = bytes.len();
            bytes[at % length] = byte;
            let _ = AvailabilityNotice::decode(&bytes, SYNTAXES[which]);
            let whole = notice(&[2, 1]).encode(SYNTAXES[which]).unwrap();
            prop_assert!(AvailabilityNotice::decode(&whole[..cut % (length - 1)], SYNTAXES[which]).is_err());
        }
    }
}
