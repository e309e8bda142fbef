//! What a header says about patient, study, series and instance, for lists and order. Read from guarded bytes in one pass over the
//! elements of the data set itself: this runs once per image on its way in. Of sequences, only the requests that a series answers.

use dicom_core::{Tag, VR};
use domain::{
    image::{InstanceAttributes, RequestAttributes, SeriesAttributes, StudyAttributes},
    text::{AccessionNumber, CharacterSetRule, PatientId, PersonName, bounded},
    uid::{InvalidUid, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid},
};

use crate::{
    frames::Shape,
    guard::{GuardedHeader, Span},
    text::CharacterSets,
    value,
    walk::implicit_vr,
};

/// The header of one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// (0020,000D).
    pub study_uid: StudyInstanceUid,
    /// (0020,000E).
    pub series_uid: SeriesInstanceUid,
    /// (0008,0018).
    pub sop_instance: SopInstanceUid,
    /// (0008,0016).
    pub sop_class: SopClassUid,
    /// On patient and study.
    pub study: StudyAttributes,
    /// On the series.
    pub series: SeriesAttributes,
    /// On the instance. `header_bytes` counts from the start of the data set ([`GuardedHeader::ends_at`]); who stores it as a file replaces
    /// it by [`GuardedHeader::stored_bytes`].
    pub instance: InstanceAttributes,
    /// The shape of the pixels, where the header describes any.
    pub shape: Option<Shape>,
}

/// Why a header does not say which instance it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// An identifier is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// An identifier is none.
    #[error(transparent)]
    Invalid(#[from] InvalidUid),
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// When one of the four UIDs that name an instance is missing or is none. Nothing else is an error: what cannot be read is left out.
    pub fn read(guarded: &GuardedHeader) -> Result<Self, HeaderError> {
        Self::read_under(guarded, None)
    }

    /// Reads a header whose device has a rule about the character set of its texts.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_under(guarded: &GuardedHeader, rule: Option<&CharacterSetRule>) -> Result<Self, HeaderError> {
        let mut raw = Raw::default();
        for span in &guarded.spans {
            raw.keep(span);
        }
        let fields = Fields { guarded, sets: raw.sets(guarded, rule) };
        Ok(Self {
            study_uid: uid(fields.ascii(&raw.study_uid), "StudyInstanceUID", StudyInstanceUid::parse)?,
            series_uid: uid(fields.ascii(&raw.series_uid), "SeriesInstanceUID", SeriesInstanceUid::parse)?,
            sop_instance: uid(fields.ascii(&raw.sop_instance), "SOPInstanceUID", SopInstanceUid::parse)?,
            sop_class: uid(fields.ascii(&raw.sop_class), "SOPClassUID", SopClassUid::parse)?,
            study: fields.study(&raw),
            series: SeriesAttributes { character_set: rule.cloned(), ..fields.series(&raw) },
            instance: fields.instance(&raw),
            shape: fields.shape(&raw),
        })
    }
}

fn uid<T>(
    text: Option<String>,
    keyword: &'static str,
    parse: impl Fn(&str) -> Result<T, InvalidUid>,
) -> Result<T, HeaderError> {
    Ok(parse(&text.ok_or(HeaderError::Missing(keyword))?)?)
}

macro_rules! raw {
    ($($field:ident = $tag:expr,)*) => {
        /// Where the wanted elements stand. Of an element that stands twice the later one counts, as in most readers.
        #[derive(Default)]
        struct Raw<'a> {
            $($field: Option<&'a Span>,)*
        }

        impl<'a> Raw<'a> {
            fn keep(&mut self, span: &'a Span) {
                $(if span.tag == $tag { self.$field = Some(span); return; })*
            }
        }
    };
}

raw! {
    character_set = Tag(0x0008, 0x0005),
    sop_class = Tag(0x0008, 0x0016),
    sop_instance = Tag(0x0008, 0x0018),
    study_date = Tag(0x0008, 0x0020),
    study_time = Tag(0x0008, 0x0030),
    accession_number = Tag(0x0008, 0x0050),
    modality = Tag(0x0008, 0x0060),
    manufacturer = Tag(0x0008, 0x0070),
    institution = Tag(0x0008, 0x0080),
    referring_physician = Tag(0x0008, 0x0090),
    timezone_offset = Tag(0x0008, 0x0201),
    study_description = Tag(0x0008, 0x1030),
    series_description = Tag(0x0008, 0x103E),
    model = Tag(0x0008, 0x1090),
    patient_name = Tag(0x0010, 0x0010),
    patient_id = Tag(0x0010, 0x0020),
    patient_birth_date = Tag(0x0010, 0x0030),
    patient_sex = Tag(0x0010, 0x0040),
    body_part = Tag(0x0018, 0x0015),
    protocol_name = Tag(0x0018, 0x1030),
    study_uid = Tag(0x0020, 0x000D),
    series_uid = Tag(0x0020, 0x000E),
    study_id = Tag(0x0020, 0x0010),
    series_number = Tag(0x0020, 0x0011),
    instance_number = Tag(0x0020, 0x0013),
    position = Tag(0x0020, 0x0032),
    orientation = Tag(0x0020, 0x0037),
    frames = Tag(0x0028, 0x0008),
    samples = Tag(0x0028, 0x0002),
    photometric = Tag(0x0028, 0x0004),
    rows = Tag(0x0028, 0x0010),
    columns = Tag(0x0028, 0x0011),
    bits_allocated = Tag(0x0028, 0x0100),
    performed_start_date = Tag(0x0040, 0x0244),
    performed_start_time = Tag(0x0040, 0x0245),
}

impl Raw<'_> {
    fn sets(&self, guarded: &GuardedHeader, rule: Option<&CharacterSetRule>) -> CharacterSets {
        let bytes = self.character_set.and_then(|span| guarded.bytes.get(span.value.clone()));
        CharacterSets::under(bytes, rule)
    }
}

struct Fields<'a> {
    guarded: &'a GuardedHeader,
    sets: CharacterSets,
}

impl Fields<'_> {
    fn bytes(&self, span: &Option<&Span>) -> Option<&[u8]> {
        self.guarded.bytes.get(span.as_ref()?.value.clone())
    }

    fn ascii(&self, span: &Option<&Span>) -> Option<String> {
        value::ascii(self.bytes(span)?)
    }

    /// A text of one value; further values stay joined by the backslash, for a person to see.
    fn text(&self, span: &Option<&Span>) -> Option<String> {
        let text = value::text(self.bytes(span)?, &self.sets, VR::LO)?;
        Some(bounded(&text)).filter(|text| !text.is_empty())
    }

    fn code(&self, span: &Option<&Span>) -> Option<String> {
        self.ascii(span).map(|text| bounded(&text)).filter(|text| !text.is_empty())
    }

    fn name(&self, span: &Option<&Span>) -> Option<PersonName> {
        let text = value::text(self.bytes(span)?, &self.sets, VR::PN)?;
        PersonName::new(value::trim(text.split('\\').next().unwrap_or_default()))
    }

    fn number(&self, span: &Option<&Span>) -> Option<i64> {
        value::integer(self.bytes(span)?)
    }

    fn unsigned(&self, span: &Option<&Span>) -> Option<u32> {
        let bytes = self.bytes(span)?;
        let span = span.as_ref()?;
        // Unknown is what a middleman made of it; its bytes are little endian whatever the data set is (PS3.5 section 6.2.2).
        match span.vr {
            VR::UN => value::unsigned(bytes, implicit_vr(span.tag), crate::syntax::Encoding::IMPLICIT_LITTLE),
            vr => value::unsigned(bytes, vr, self.guarded.encoding),
        }
    }

    fn study(&self, raw: &Raw<'_>) -> StudyAttributes {
        StudyAttributes {
            patient_id: self.text(&raw.patient_id).and_then(|text| PatientId::new(&text)),
            patient_name: self.name(&raw.patient_name),
            patient_birth_date: self.bytes(&raw.patient_birth_date).and_then(value::date),
            patient_sex: self.code(&raw.patient_sex),
            study_date: self.bytes(&raw.study_date).and_then(value::date),
            study_time: self.code(&raw.study_time),
            accession_number: self.text(&raw.accession_number).and_then(|text| AccessionNumber::new(&text)),
            study_id: self.text(&raw.study_id),
            description: self.text(&raw.study_description),
            referring_physician: self.name(&raw.referring_physician),
            institution: self.text(&raw.institution),
            timezone_offset: self.code(&raw.timezone_offset),
        }
    }

    fn request(&self, item: &[Span]) -> RequestAttributes {
        let text = |tag| self.text(&item.iter().rfind(|span| span.tag == tag));
        RequestAttributes {
            scheduled_step: text(Tag(0x0040, 0x0009)),
            requested_procedure: text(Tag(0x0040, 0x1001)),
        }
    }

    fn series(&self, raw: &Raw<'_>) -> SeriesAttributes {
        let device = [self.text(&raw.manufacturer), self.text(&raw.model)];
        let device = device.into_iter().flatten().collect::<Vec<_>>().join(" ");
        SeriesAttributes {
            modality: self.code(&raw.modality),
            number: self.number(&raw.series_number),
            description: self.text(&raw.series_description),
            body_part: self.code(&raw.body_part),
            protocol_name: self.text(&raw.protocol_name),
            performed_start_date: self.bytes(&raw.performed_start_date).and_then(value::date),
            performed_start_time: self.code(&raw.performed_start_time),
            requests: self.guarded.requests.iter().map(|item| self.request(item)).collect(),
            device: (!device.is_empty()).then(|| bounded(&device)),
            character_set: None,
        }
    }

    fn instance(&self, raw: &Raw<'_>) -> InstanceAttributes {
        InstanceAttributes {
            number: self.number(&raw.instance_number),
            rows: self.unsigned(&raw.rows),
            columns: self.unsigned(&raw.columns),
            bits_allocated: self.unsigned(&raw.bits_allocated).and_then(|bits| bits.try_into().ok()),
            frames: self.number(&raw.frames).and_then(|frames| frames.try_into().ok()).filter(|n| *n > 0),
            position: self.bytes(&raw.position).and_then(value::vector),
            orientation: self.bytes(&raw.orientation).and_then(value::vector),
            header_bytes: self.guarded.ends_at,
            frame_index: None,
        }
    }

    fn shape(&self, raw: &Raw<'_>) -> Option<Shape> {
        let shape = Shape {
            rows: self.unsigned(&raw.rows)?,
            columns: self.unsigned(&raw.columns)?,
            samples: self.unsigned(&raw.samples).unwrap_or(1),
            bits_allocated: self.unsigned(&raw.bits_allocated)?,
            frames: self.number(&raw.frames).and_then(|frames| frames.try_into().ok()).unwrap_or(1).max(1),
            halved_chroma: self.code(&raw.photometric).as_deref() == Some("YBR_FULL_422"),
        };
        shape.check().is_ok().then_some(shape)
    }
}
