//! The attributes that QIDO-RS can match and return here, and a row of them as DICOM JSON (PS3.18 annex F).
//! Values come from the catalog.

use std::collections::BTreeMap;

use dicom_core::Tag;
use domain::{
    image::{Instance, RequestAttributes},
    study::{Series, Study},
    text::PersonName,
};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{matching::Pattern, request::Search};
use crate::address::instance_address;

/// What rows can be of, from the top down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Studies.
    Study,
    /// Series.
    Series,
    /// Instances.
    Instance,
}

/// How values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A UID, or a list of them.
    Uid,
    /// A code string, or a list of them.
    Code,
    /// A date or a range.
    Date,
    /// A time or a range.
    Time,
    /// A whole number.
    Number,
    /// A text with wild cards.
    Text,
    /// A name with wild cards.
    Name,
    /// Items, whose attributes are compared.
    Items,
}

/// An attribute that is known.
#[derive(Debug)]
pub(crate) struct Attribute {
    /// Which.
    pub(crate) tag: Tag,
    /// The sequence in whose items it is; none for attributes of the row itself.
    pub(crate) within: Option<Tag>,
    /// Of what.
    pub(crate) level: Level,
    /// How it is compared.
    pub(crate) kind: Kind,
    /// Whether it can be compared.
    pub(crate) is_key: bool,
    /// Its value representation.
    pub(crate) vr: &'static str,
    returned: Returned,
}

/// When an attribute is in an answer that did not ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Returned {
    /// Always, empty when it is not known.
    Always,
    /// When it is known.
    IfKnown,
    /// Only when it was asked for.
    IfAsked,
}

/// The known attribute of a tag, of the row itself.
pub(crate) fn attribute(tag: Tag) -> Option<&'static Attribute> {
    attribute_within(None, tag)
}

/// The known attribute of a tag in the items of a sequence.
pub(crate) fn attribute_within(within: Option<Tag>, tag: Tag) -> Option<&'static Attribute> {
    KNOWN.iter().find(|known| known.tag == tag && known.within == within)
}

/// What is known of the items of a sequence.
pub(crate) fn all_within(sequence: Tag) -> impl Iterator<Item = &'static Attribute> {
    KNOWN.iter().filter(move |known| known.within == Some(sequence))
}

/// Request Attributes Sequence.
const REQUESTS: u32 = 0x0040_0275;

const fn tag(number: u32) -> Tag {
    Tag((number >> 16) as u16, (number & 0xFFFF) as u16)
}

macro_rules! known {
    ($($tag:literal $vr:ident $level:ident $kind:ident $key:literal $returned:ident $(in $within:ident)?;)*) => {
        /// PS3.18 tables 10.6.3-3 to 10.6.3-5, as far as the catalog knows them, and what viewers ask for
        /// beside them.
        static KNOWN: &[Attribute] = &[$(Attribute {
            tag: tag($tag),
            within: known!(@within $($within)?),
            vr: stringify!($vr),
            level: Level::$level,
            kind: Kind::$kind,
            is_key: $key,
            returned: Returned::$returned,
        },)*];
    };
    (@within) => { None };
    (@within $within:ident) => { Some(tag($within)) };
}

known! {
    0x0008_0005_u32 CS Study Code false Always; // SpecificCharacterSet
    0x0008_0020_u32 DA Study Date true Always; // StudyDate
    0x0008_0030_u32 TM Study Time true Always; // StudyTime
    0x0008_0050_u32 SH Study Text true Always; // AccessionNumber
    0x0008_0056_u32 CS Study Code false Always; // InstanceAvailability
    0x0008_0061_u32 CS Study Code true Always; // ModalitiesInStudy
    0x0008_0080_u32 LO Study Text true IfAsked; // InstitutionName
    0x0008_0090_u32 PN Study Name true Always; // ReferringPhysicianName
    0x0008_0201_u32 SH Study Text true IfKnown; // TimezoneOffsetFromUTC
    0x0008_1030_u32 LO Study Text true IfKnown; // StudyDescription
    0x0008_1190_u32 UR Study Text false Always; // RetrieveURL
    0x0010_0010_u32 PN Study Name true Always; // PatientName
    0x0010_0020_u32 LO Study Text true Always; // PatientID
    0x0010_0030_u32 DA Study Date true Always; // PatientBirthDate
    0x0010_0040_u32 CS Study Code true Always; // PatientSex
    0x0020_000D_u32 UI Study Uid true Always; // StudyInstanceUID
    0x0020_0010_u32 SH Study Text true Always; // StudyID
    0x0020_1206_u32 IS Study Number true Always; // NumberOfStudyRelatedSeries
    0x0020_1208_u32 IS Study Number true Always; // NumberOfStudyRelatedInstances
    0x0008_0060_u32 CS Series Code true Always; // Modality
    0x0008_103E_u32 LO Series Text true IfKnown; // SeriesDescription
    0x0018_0015_u32 CS Series Code true IfAsked; // BodyPartExamined
    0x0018_1030_u32 LO Series Text true IfAsked; // ProtocolName
    0x0020_000E_u32 UI Series Uid true Always; // SeriesInstanceUID
    0x0020_0011_u32 IS Series Number true Always; // SeriesNumber
    0x0020_1209_u32 IS Series Number true Always; // NumberOfSeriesRelatedInstances
    0x0040_0244_u32 DA Series Date true Always; // PerformedProcedureStepStartDate
    0x0040_0245_u32 TM Series Time true Always; // PerformedProcedureStepStartTime
    0x0040_0275_u32 SQ Series Items false Always; // RequestAttributesSequence
    0x0040_0009_u32 SH Series Text true IfAsked in REQUESTS; // ScheduledProcedureStepID
    0x0040_1001_u32 SH Series Text true IfAsked in REQUESTS; // RequestedProcedureID
    0x0008_0016_u32 UI Instance Uid true Always; // SOPClassUID
    0x0008_0018_u32 UI Instance Uid true Always; // SOPInstanceUID
    0x0008_3002_u32 UI Instance Uid true IfAsked; // AvailableTransferSyntaxUID
    0x0020_0013_u32 IS Instance Number true Always; // InstanceNumber
    0x0020_0032_u32 DS Instance Number false IfAsked; // ImagePositionPatient
    0x0020_0037_u32 DS Instance Number false IfAsked; // ImageOrientationPatient
    0x0028_0008_u32 IS Instance Number true IfKnown; // NumberOfFrames
    0x0028_0010_u32 US Instance Number true IfKnown; // Rows
    0x0028_0011_u32 US Instance Number true IfKnown; // Columns
    0x0028_0100_u32 US Instance Number true IfKnown; // BitsAllocated
}

/// Attributes that stand in every row whatever its level: who reads a row must be able to decode and to place
/// it.
const IN_EVERY_ROW: [u32; 6] = [0x0008_0005, 0x0008_0056, 0x0008_0201, 0x0008_1190, 0x0020_000D, 0x0020_000E];

/// One row: what is known of a study, of a series of it, of an instance of that.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    values: BTreeMap<Tag, Vec<Value>>,
}

impl Row {
    /// What is known of a study.
    pub(crate) fn of_study(study: &Study, base: &str) -> Self {
        let attributes = &study.attributes;
        let mut row = Self { values: BTreeMap::new() };
        row.put(0x0008_0005, Some("ISO_IR 192"));
        row.put(0x0008_0020, attributes.study_date.map(dicom_date));
        row.put(0x0008_0030, attributes.study_time.clone());
        row.put(0x0008_0050, attributes.accession_number.as_ref().map(|text| text.as_str()));
        row.put(0x0008_0056, Some("ONLINE"));
        row.put_all(0x0008_0061, study.modalities.iter().cloned());
        row.put(0x0008_0080, attributes.institution.clone());
        row.put(0x0008_0090, attributes.referring_physician.as_ref().map(name));
        row.put(0x0008_0201, attributes.timezone_offset.clone());
        row.put(0x0008_1030, attributes.description.clone());
        row.put(0x0008_1190, Some(format!("{base}/studies/{}", study.key.uid)));
        row.put(0x0010_0010, attributes.patient_name.as_ref().map(name));
        row.put(0x0010_0020, attributes.patient_id.as_ref().map(|text| text.as_str()));
        row.put(0x0010_0030, attributes.patient_birth_date.map(dicom_date));
        row.put(0x0010_0040, attributes.patient_sex.clone());
        row.put(0x0020_000D, Some(study.key.uid.as_str()));
        row.put(0x0020_0010, attributes.study_id.clone());
        row.put(0x0020_1206, Some(study.series_count));
        row.put(0x0020_1208, Some(study.instance_count));
        row
    }

    /// Adds what is known of a series of the study.
    pub(crate) fn with_series(mut self, series: &Series, base: &str) -> Self {
        let attributes = &series.attributes;
        self.put(0x0008_0060, attributes.modality.clone());
        self.put(0x0008_103E, attributes.description.clone());
        self.put(0x0008_1190, Some(format!("{base}/studies/{}/series/{}", series.study.uid, series.uid)));
        self.put(0x0018_0015, attributes.body_part.clone());
        self.put(0x0018_1030, attributes.protocol_name.clone());
        self.put(0x0020_000E, Some(series.uid.as_str()));
        self.put(0x0020_0011, attributes.number);
        self.put(0x0020_1209, Some(series.instance_count));
        self.put(0x0040_0244, attributes.performed_start_date.map(dicom_date));
        self.put(0x0040_0245, attributes.performed_start_time.clone());
        self.put_all(REQUESTS, attributes.requests.iter().map(request));
        self
    }

    /// Adds what is known of an instance of the series.
    pub(crate) fn with_instance(mut self, instance: &Instance, base: &str) -> Self {
        let attributes = &instance.attributes;
        self.put(0x0008_0016, Some(instance.sop_class.as_str()));
        self.put(0x0008_0018, Some(instance.sop_instance.as_str()));
        self.put(0x0008_1190, Some(instance_address(base, instance)));
        self.put(0x0008_3002, Some(instance.transfer_syntax.as_str()));
        self.put(0x0020_000E, Some(instance.series.as_str()));
        self.put(0x0020_0013, attributes.number);
        self.put_all(0x0020_0032, attributes.position.into_iter().flatten());
        self.put_all(0x0020_0037, attributes.orientation.into_iter().flatten());
        self.put(0x0028_0008, attributes.frames);
        self.put(0x0028_0010, attributes.rows);
        self.put(0x0028_0011, attributes.columns);
        self.put(0x0028_0100, attributes.bits_allocated);
        self
    }

    /// Whether the row matches the keys of a search, those of the levels down to this one.
    pub(crate) fn matches(&self, search: &Search, level: Level) -> bool {
        let keys = search.keys.iter().filter(|(attribute, _)| attribute.level <= level);
        let (own, inner): (Vec<_>, Vec<_>) = keys.partition(|(attribute, _)| attribute.within.is_none());
        own.into_iter().all(|(attribute, pattern)| pattern.matches(self.values(attribute.tag)))
            && self.has_item(&inner)
    }

    /// Whether one item matches all keys of its sequence (PS3.4 section C.2.2.2.6). Keys that anything matches want no item.
    fn has_item(&self, keys: &[&(&'static Attribute, Pattern)]) -> bool {
        let wanted: Vec<_> = keys.iter().filter(|(_, pattern)| *pattern != Pattern::Any).collect();
        let is_like = |item: &Value| {
            wanted.iter().all(|(attribute, pattern)| {
                let values =
                    item.get(hexadecimal(attribute.tag)).and_then(|element| element["Value"].as_array());
                pattern.matches(values.map(Vec::as_slice).unwrap_or_default())
            })
        };
        let sequence = wanted.first().and_then(|(attribute, _)| attribute.within);
        sequence.is_none_or(|sequence| self.values(sequence).iter().any(is_like))
    }

    /// What is known of an attribute.
    pub(crate) fn values(&self, tag: Tag) -> &[Value] {
        self.values.get(&tag).map(Vec::as_slice).unwrap_or_default()
    }

    /// What a search gets of the row.
    pub(crate) fn answer(mut self, search: &Search) -> Answered {
        let mut elements = Vec::with_capacity(self.values.len());
        for known in KNOWN.iter().filter(|known| known.level <= search.level && known.within.is_none()) {
            let values = self.values.remove(&known.tag).unwrap_or_default();
            let is_own = known.level >= search.from || IN_EVERY_ROW.contains(&number(known.tag));
            let is_returned = match known.returned {
                Returned::Always => is_own,
                Returned::IfKnown => is_own && !values.is_empty(),
                Returned::IfAsked => false,
            };
            let is_asked = search.included.contains(&known.tag) || (search.all && !values.is_empty());
            if is_returned || is_asked {
                elements.push((known.tag, Element { vr: known.vr, values }));
            }
        }
        Answered(elements)
    }

    fn put(&mut self, tag: u32, value: Option<impl Into<Value>>) {
        self.put_all(tag, value);
    }

    fn put_all(&mut self, tag: u32, values: impl IntoIterator<Item = impl Into<Value>>) {
        self.values.insert(self::tag(tag), values.into_iter().map(Into::into).collect());
    }
}

/// What a search gets of one row. It serialises as an object of DICOM JSON, straight, since making the values of an object first would cost
/// a list more than all else.
pub(crate) struct Answered(Vec<(Tag, Element)>);

/// An element of DICOM JSON (PS3.18 section F.2.2).
#[derive(Serialize)]
struct Element {
    vr: &'static str,
    #[serde(rename = "Value", skip_serializing_if = "Vec::is_empty")]
    values: Vec<Value>,
}

/// A tag as the name of an element.
struct Hexadecimal(Tag);

impl Serialize for Hexadecimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:08X}", number(self.0)))
    }
}

impl Serialize for Answered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(tag, element)| (Hexadecimal(*tag), element)))
    }
}

/// An item of a Request Attributes Sequence as a DICOM JSON object.
fn request(request: &RequestAttributes) -> Value {
    let text = |tag: u32, text: &Option<String>| {
        let text = text.as_ref()?;
        Some((hexadecimal(self::tag(tag)), json!({"vr": "SH", "Value": [text]})))
    };
    let elements =
        [text(0x0040_0009, &request.scheduled_step), text(0x0040_1001, &request.requested_procedure)];
    Value::Object(elements.into_iter().flatten().collect())
}

/// A tag as DICOM JSON names it.
pub(crate) fn hexadecimal(tag: Tag) -> String {
    format!("{:08X}", number(tag))
}

fn number(tag: Tag) -> u32 {
    u32::from(tag.group()) << 16 | u32::from(tag.element())
}

fn dicom_date(date: jiff::civil::Date) -> String {
    date.strftime("%Y%m%d").to_string()
}

/// A name in its groups (PS3.18 section F.2.2).
fn name(name: &PersonName) -> Value {
    let groups = ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(name.as_str().split('='));
    let groups =
        groups.map(|(group, text)| (group.to_owned(), text.trim())).filter(|(_, text)| !text.is_empty());
    Value::Object(groups.map(|(group, text)| (group, json!(text))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_objects() {
        let of = |text: &str| name(&PersonName::new(text).unwrap());
        assert_eq!(of("Doe^Jane"), json!({"Alphabetic": "Doe^Jane"}));
        assert_eq!(of("=山田^太郎=やまだ"), json!({"Ideographic": "山田^太郎", "Phonetic": "やまだ"}));
    }

    #[test]
    fn the_table_agrees_with_the_dictionary() {
        use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _};
        for known in KNOWN {
            let entry = dicom_dictionary_std::StandardDataDictionary.by_tag(known.tag).unwrap();
            assert_eq!(entry.vr().relaxed().to_string(), known.vr, "{}", known.tag);
        }
    }
}
