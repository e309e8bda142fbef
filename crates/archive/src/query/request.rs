//! What a query asks for: keys to match, attributes to return, which rows (PS3.18 section 8.3.4).

use std::collections::BTreeSet;

use axum::http::Uri;
use dicom_core::{
    Tag,
    dictionary::{DataDictionary as _, DataDictionaryEntry as _},
};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use domain::{port::catalog::StudyFilter, uid::StudyInstanceUid};
use gate::{Problem, parameters};

use super::{
    attributes::{Attribute, Level, attribute, attribute_within},
    matching::Pattern,
};

/// Most warnings of one answer, so that headers stay small.
const WARNINGS_MAX: usize = 8;
/// Longest name that is told back.
const NAME_CHARS_MAX: usize = 64;

/// What a query asks for.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// What rows are of.
    pub(crate) level: Level,
    /// The highest level whose attributes a row carries: what the path does not name, the row must.
    pub(crate) from: Level,
    /// What they must match.
    pub(crate) keys: Vec<(&'static Attribute, Pattern)>,
    /// Attributes to return beside those that always are.
    pub(crate) included: BTreeSet<Tag>,
    /// Return all that is known.
    pub(crate) all: bool,
    /// At most so many rows; what is not said is one more than we give.
    pub(crate) limit: u32,
    /// Rows to skip.
    pub(crate) offset: u32,
    /// What could not be done as asked. No values stand in them.
    pub(crate) warnings: Vec<String>,
}

impl Search {
    /// Reads a query.
    pub(crate) fn read(uri: &Uri, (from, level): (Level, Level)) -> Result<Self, Problem> {
        let mut search = Self {
            level,
            from,
            keys: Vec::new(),
            included: BTreeSet::new(),
            all: false,
            limit: u32::MAX,
            offset: 0,
            warnings: Vec::new(),
        };
        let (mut unmatched, mut not_returned, mut is_fuzzy) = (Vec::new(), Vec::new(), false);
        for (name, value) in parameters(uri)? {
            match name.to_ascii_lowercase().as_str() {
                "accept" | "charset" => {}
                "limit" => search.limit = number(&name, &value)?,
                "offset" => search.offset = number(&name, &value)?,
                "fuzzymatching" => {
                    is_fuzzy = match value.as_str() {
                        "true" => true,
                        "false" => false,
                        _ => return Err(Problem::bad_request("fuzzymatching is true or false.")),
                    };
                }
                "includefield" => search.include(&value, &mut not_returned),
                _ => search.key(&name, &value, &mut unmatched)?,
            }
        }
        if is_fuzzy {
            let fuzzy = |(attribute, pattern): (_, Pattern)| (attribute, pattern.fuzzy());
            search.keys = search.keys.into_iter().map(fuzzy).collect();
        }
        search.warn("These keys are not supported and were not matched", &unmatched);
        search.warn("These attributes are not supported and are not returned", &not_returned);
        Ok(search)
    }

    /// What of it the catalog matches.
    pub(crate) fn filter(&self) -> StudyFilter {
        let mut filter = StudyFilter::default();
        for (attribute, pattern) in &self.keys {
            put_in_filter(&mut filter, attribute.tag, pattern);
        }
        filter
    }

    /// Whether rows are studies and the catalog matches all that was asked for.
    pub(crate) fn is_matched_by_the_catalog(&self) -> bool {
        let is_put = |(attribute, pattern): &(&Attribute, Pattern)| {
            *pattern == Pattern::Any || put_in_filter(&mut StudyFilter::default(), attribute.tag, pattern)
        };
        self.level == Level::Study && self.keys.iter().all(is_put)
    }

    fn include(&mut self, value: &str, not_returned: &mut Vec<String>) {
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match known(name).and_then(|known| attribute(known.within.unwrap_or(known.tag))) {
                _ if name.eq_ignore_ascii_case("all") => self.all = true,
                Some(attribute) if attribute.level <= self.level => {
                    self.included.insert(attribute.tag);
                }
                Some(_) | None => not_returned.push(plain(name)),
            }
        }
    }

    fn key(&mut self, name: &str, value: &str, unmatched: &mut Vec<String>) -> Result<(), Problem> {
        let Some(attribute) = known(name).filter(|known| known.is_key && known.level <= self.level) else {
            unmatched.push(plain(name));
            return Ok(());
        };
        let malformed = || Problem::bad_request(format!("The value of {} cannot be read.", plain(name)));
        let pattern = Pattern::read(attribute, value).ok_or_else(malformed)?;
        self.included.insert(attribute.within.unwrap_or(attribute.tag));
        match self.keys.iter_mut().find(|(key, _)| std::ptr::eq(*key, attribute)) {
            None => self.keys.push((attribute, pattern)),
            Some((_, known)) => {
                let twice = || Problem::bad_request(format!("{} stands twice in the query.", plain(name)));
                known.add(pattern).ok_or_else(twice)?;
            }
        }
        Ok(())
    }

    fn warn(&mut self, what: &str, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let mut listed = names.iter().take(WARNINGS_MAX).cloned().collect::<Vec<_>>().join(", ");
        if names.len() > WARNINGS_MAX {
            listed.push_str(" and others");
        }
        self.warnings.push(format!("{what}: {listed}"));
    }
}

/// Lets the catalog match a key; `false` when it cannot.
fn put_in_filter(filter: &mut StudyFilter, tag: Tag, pattern: &Pattern) -> bool {
    match (tag, pattern) {
        (tags::STUDY_INSTANCE_UID, Pattern::OneOf(uids)) => {
            filter.study_uids = uids.iter().filter_map(|uid| StudyInstanceUid::parse(uid).ok()).collect();
        }
        (tags::MODALITIES_IN_STUDY, Pattern::OneOf(modalities)) => filter.modalities.clone_from(modalities),
        (tags::STUDY_DATE, Pattern::Dates(from, to)) => (filter.from, filter.to) = (*from, *to),
        (tags::PATIENT_ID, Pattern::Text(text)) => filter.patient_id = Some(text.clone()),
        (tags::PATIENT_NAME, Pattern::Name(text)) => filter.patient_name = Some(text.clone()),
        (tags::ACCESSION_NUMBER, Pattern::Text(text)) => filter.accession_number = Some(text.clone()),
        (tags::STUDY_DESCRIPTION, Pattern::Text(text)) => filter.description = Some(text.clone()),
        (tags::REFERRING_PHYSICIAN_NAME, Pattern::Name(text)) => {
            filter.referring_physician = Some(text.clone())
        }
        (tags::STUDY_ID, Pattern::Text(text)) => filter.study_id = Some(text.clone()),
        _ => return false,
    }
    true
}

/// The known attribute of a name: of the row itself, or as `a.b` in the items of a sequence.
fn known(name: &str) -> Option<&'static Attribute> {
    match name.split_once('.') {
        Some((sequence, name)) => attribute_within(Some(tag_of(sequence)?), tag_of(name)?),
        None => attribute(tag_of(name)?),
    }
}

/// The tag of a keyword or of eight hexadecimal digits.
fn tag_of(name: &str) -> Option<Tag> {
    if name.len() == 8 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        let both = u32::from_str_radix(name, 16).ok()?;
        return Some(Tag((both >> 16) as u16, (both & 0xFFFF) as u16));
    }
    StandardDataDictionary.by_name(name).map(|entry| entry.tag())
}

/// A name as far as it can be told back in a header and is no value by mistake.
fn plain(name: &str) -> String {
    let is_plain =
        name.len() <= NAME_CHARS_MAX && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    if is_plain { name.to_owned() } else { "an unreadable name".to_owned() }
}

fn number(name: &str, value: &str) -> Result<u32, Problem> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let malformed = || Problem::bad_request(format!("{} is a whole number.", plain(name)));
    digits.then(|| value.parse().unwrap_or(u32::MAX)).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, level: Level) -> Result<Search, Problem> {
        Search::read(&format!("/studies?{query}").parse().unwrap(), (level, level))
    }

    #[test]
    fn keys_come_by_keyword_and_by_tag() {
        for query in ["PatientID=A%2A", "00100020=A*", "PatientID=A*&limit=5&offset=2"] {
            let search = read(query, Level::Study).unwrap();
            assert_eq!(search.filter().patient_id.as_deref(), Some("A*"), "{query}");
            assert!(search.is_matched_by_the_catalog() && search.warnings.is_empty(), "{query}");
        }
    }

    #[test]
    fn what_ohif_asks_is_matched_by_the_catalog() {
        let search = read(
            "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060&PatientName=*DOE*\
             &StudyDate=20200101-20201231&ModalitiesInStudy=CT%5CMR&StudyDescription=*HEAD*\
             &AccessionNumber=*7*",
            Level::Study,
        )
        .unwrap();
        let filter = search.filter();
        assert!(search.is_matched_by_the_catalog());
        assert_eq!(filter.patient_name.as_deref(), Some("*DOE*"));
        assert_eq!(filter.modalities, ["CT", "MR"]);
        assert_eq!(filter.from, Some(jiff::civil::date(2020, 1, 1)));
        assert_eq!(filter.to, Some(jiff::civil::date(2020, 12, 31)));
        assert_eq!(search.limit, 101);
        assert_eq!(search.warnings, ["These attributes are not supported and are not returned: 00080060"]);
    }

    #[test]
    fn what_is_not_supported_is_named_without_values() {
        let search =
            read("Nonsense=SECRET&RequestAttributesSequence.StudyID=1&Rows=5&a%22b=c", Level::Study).unwrap();
        let warning = search.warnings.join(" ");
        for name in ["Nonsense", "RequestAttributesSequence.StudyID", "Rows", "an unreadable name"] {
            assert!(warning.contains(name), "{warning}");
        }
        assert!(!warning.contains("SECRET") && !warning.contains('"'));
        assert!(search.keys.is_empty());
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for query in [
            "limit=-1",
            "limit=x",
            "limit=",
            "offset=1.5",
            "fuzzymatching=maybe",
            "StudyDate=2020",
            "StudyDate=20200101-20199999",
            "StudyInstanceUID=1.2.x",
            "PatientID=1&PatientID=2",
            &"a=b&".repeat(gate::PARAMETERS_MAX + 1),
        ] {
            assert!(read(query, Level::Study).is_err(), "{query}");
        }
        assert!(read("InstanceNumber=one", Level::Instance).is_err());
    }

    #[test]
    fn keys_inside_sequences_come_by_path() {
        for query in [
            "RequestAttributesSequence.RequestedProcedureID=RP*",
            "00400275.00401001=RP*&includefield=00400275.00400009",
        ] {
            let search = read(query, Level::Series).unwrap();
            assert!(search.warnings.is_empty(), "{:?}", search.warnings);
            assert!(search.included.contains(&Tag(0x0040, 0x0275)));
            let (key, pattern) = &search.keys[0];
            assert_eq!((key.within, key.tag), (Some(Tag(0x0040, 0x0275)), Tag(0x0040, 0x1001)));
            assert_eq!(*pattern, Pattern::Text("RP*".to_owned()));
        }
        for query in ["RequestedProcedureID=1", "00400275.00100010=A", "00400275=1", "PatientID.00401001=1"] {
            assert_eq!(read(query, Level::Series).unwrap().warnings.len(), 1, "{query}");
        }
    }

    #[test]
    fn a_list_may_be_spread_over_parameters() {
        let search = read("StudyInstanceUID=1.2,1.3&StudyInstanceUID=1.4%5C1.5", Level::Study).unwrap();
        assert_eq!(search.filter().study_uids.len(), 4);
    }
}
