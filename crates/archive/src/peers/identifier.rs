//! Identifiers of queries and retrieves: what level, which keys, and whether that is one that can be answered (PS3.4 sections C.3, C.4 and
//! C.6). Only the hierarchical way of asking is taken; relational queries are negotiated, and not here.

use std::collections::BTreeMap;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dimse::{
    NoticeSyntax, Reply, Root, Status,
    identifier::{self, Element, SHORT_VALUE_BYTES_MAX, Value},
};
use imaging::text::CharacterSets;

/// Longest value of a key, in bytes: a list of UIDs of a whole study.
const VALUE_BYTES_MAX: usize = 4 << 20;

/// Levels of the information models, from the top down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Patient,
    Study,
    Series,
    Image,
}

impl Level {
    const ALL: [Self; 4] = [Self::Patient, Self::Study, Self::Series, Self::Image];

    /// As (0008,0052) has it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Patient => "PATIENT",
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Image => "IMAGE",
        }
    }

    /// Its unique key.
    pub(super) const fn unique_key(self) -> Tag {
        match self {
            Self::Patient => tags::PATIENT_ID,
            Self::Study => tags::STUDY_INSTANCE_UID,
            Self::Series => tags::SERIES_INSTANCE_UID,
            Self::Image => tags::SOP_INSTANCE_UID,
        }
    }
}

/// An identifier whose level fits its information model, with one value for each unique key above it.
#[derive(Debug)]
pub(super) struct Identifier {
    pub(super) level: Level,
    /// What is asked of what; none for sequences.
    pub(super) keys: BTreeMap<Tag, Option<Vec<u8>>>,
    /// What is asked of what in the items of which sequence: first the sequence, then the tag.
    pub(super) inner: BTreeMap<(Tag, Tag), Vec<u8>>,
    /// How its texts are written.
    pub(super) sets: CharacterSets,
    /// The character set that it names, as it stands.
    pub(super) named_set: Option<String>,
    pub(super) syntax: NoticeSyntax,
}

impl Identifier {
    /// Reads an identifier.
    ///
    /// # Errors
    /// The reply that says why it is none of the model.
    pub(super) fn read(bytes: &[u8], syntax: NoticeSyntax, root: Root) -> Result<Self, Reply> {
        let unreadable = |error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "an identifier cannot be read");
            Reply::of(Status::UNABLE_TO_PROCESS).saying("the identifier cannot be read")
        };
        let keys = identifier::read(bytes, syntax).map_err(unreadable)?;
        let tag = |(group, element)| Tag(group, element);
        let inner: BTreeMap<_, _> = keys
            .iter()
            .filter_map(|key| Some(((tag(key.within?), tag(key.tag)), key.value.clone()?)))
            .collect();
        let keys: BTreeMap<_, _> = keys
            .into_iter()
            .filter(|key| key.within.is_none())
            .map(|key| (tag(key.tag), key.value))
            .collect();
        if keys.values().flatten().chain(inner.values()).any(|value| value.len() > VALUE_BYTES_MAX) {
            return Err(Reply::of(Status::OUT_OF_RESOURCES).saying("a value of the identifier is too long"));
        }
        let named = keys.get(&tags::SPECIFIC_CHARACTER_SET).and_then(Option::as_deref);
        let named_set =
            named.map(|value| String::from_utf8_lossy(value).trim_matches([' ', '\0']).to_owned());
        let sets = CharacterSets::parse(named.unwrap_or_default());
        let word = keys.get(&tags::QUERY_RETRIEVE_LEVEL).and_then(Option::as_deref).unwrap_or_default();
        let word = String::from_utf8_lossy(word);
        let word = word.trim_matches([' ', '\0']);
        let level = Level::ALL.into_iter().find(|level| level.word() == word);
        let level = level.filter(|level| root == Root::Patient || *level != Level::Patient);
        let Some(level) = level else {
            return Err(unfit(tags::QUERY_RETRIEVE_LEVEL, "the level is none of the information model"));
        };
        let read =
            Self { level, keys, inner, sets, named_set: named_set.filter(|set| !set.is_empty()), syntax };
        let above = Level::ALL.into_iter().filter(|above| *above < level);
        let is_in_model = |above: &Level| root == Root::Patient || *above != Level::Patient;
        for above in above.filter(is_in_model) {
            let is_single = |text: &String| !text.is_empty() && !text.contains(['*', '?', '\\']);
            if !read.text(above.unique_key()).as_ref().is_some_and(is_single) {
                return Err(unfit(
                    above.unique_key(),
                    "one value is needed of each unique key above the level",
                ));
            }
        }
        Ok(read)
    }

    /// The value of a key as UTF-8 without padding; `None` when it is not there or a sequence. Numbers of VR US become digits.
    pub(super) fn text(&self, tag: Tag) -> Option<String> {
        Some(self.decoded(tag, self.keys.get(&tag)?.as_deref()?))
    }

    /// A value as UTF-8 without padding.
    pub(super) fn decoded(&self, tag: Tag, value: &[u8]) -> String {
        let delimiters: &[u8] = if is_name(tag) { b"^=" } else { b"" };
        self.sets.decode(value, delimiters).trim_matches([' ', '\0']).to_owned()
    }

    /// The value of a key of VR US, as digits.
    pub(super) fn number(&self, tag: Tag) -> Option<String> {
        let value = self.keys.get(&tag)?.as_deref()?;
        let text = |number: u16| number.to_string();
        Some(value.try_into().map(|bytes| text(self.syntax.read_u16(bytes))).unwrap_or_default())
    }

    /// The values of the unique key at the level, of which there must be some; wild cards are none.
    pub(super) fn wanted(&self) -> Result<Vec<String>, Reply> {
        let tag = self.level.unique_key();
        let text = self.text(tag).unwrap_or_default();
        let values: Vec<String> = text.split('\\').map(|value| value.trim().to_owned()).collect();
        let is_one = |value: &String| !value.is_empty() && !value.contains(['*', '?']);
        // One patient at a time (PS3.4 section C.4.2.1.4.1).
        if !values.iter().all(is_one) || (self.level == Level::Patient && values.len() > 1) {
            return Err(unfit(tag, "the unique key of the level has no value that names what is wanted"));
        }
        Ok(values)
    }
}

/// A reply to an identifier that does not fit.
pub(super) fn unfit(tag: Tag, why: &str) -> Reply {
    let offending = Some((tag.group(), tag.element()));
    Reply { offending, ..Reply::of(Status::DATA_SET_DOES_NOT_MATCH).saying(why) }
}

fn is_name(tag: Tag) -> bool {
    matches!(tag, tags::PATIENT_NAME | tags::REFERRING_PHYSICIAN_NAME)
}

/// The list of instances that failed (0008,0058), as an identifier (PS3.4 section C.4.2.1.4.2). It has as many as its length can say.
pub(super) fn failed_list<'a>(uids: impl Iterator<Item = &'a str>, syntax: NoticeSyntax) -> Vec<u8> {
    let mut list = Vec::new();
    for uid in uids {
        if list.len() + 1 + uid.len() > SHORT_VALUE_BYTES_MAX {
            tracing::warn!("not every instance that failed fits into the answer; the counts are right");
            break;
        }
        if !list.is_empty() {
            list.push(b'\\');
        }
        list.extend_from_slice(uid.as_bytes());
    }
    let tag = tags::FAILED_SOP_INSTANCE_UID_LIST;
    let element = Element { tag: (tag.group(), tag.element()), vr: *b"UI", value: Value::Text(list) };
    identifier::write(&[element], syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNTAX: NoticeSyntax = NoticeSyntax::ExplicitLittleEndian;

    fn bytes(keys: &[(Tag, &str, &str)]) -> Vec<u8> {
        let element = |(tag, vr, value): &(Tag, &str, &str)| Element {
            tag: (tag.group(), tag.element()),
            vr: vr.as_bytes().try_into().unwrap(),
            value: Value::Text(value.as_bytes().to_vec()),
        };
        let mut elements: Vec<_> = keys.iter().map(element).collect();
        elements.sort_by_key(|element| element.tag);
        identifier::write(&elements, SYNTAX)
    }

    #[test]
    fn levels_need_the_unique_keys_above() {
        let (id, study, series) = (
            (tags::PATIENT_ID, "LO", "P1"),
            (tags::STUDY_INSTANCE_UID, "UI", "1.2"),
            (tags::SERIES_INSTANCE_UID, "UI", "1.3"),
        );
        let level = |word: &'static str| (tags::QUERY_RETRIEVE_LEVEL, "CS", word);
        let list = (tags::STUDY_INSTANCE_UID, "UI", "1.2\\1.3");
        for (root, keys, expected) in [
            (Root::Study, vec![level("STUDY")], Ok(Level::Study)),
            (Root::Study, vec![level("PATIENT")], Err(tags::QUERY_RETRIEVE_LEVEL)),
            (Root::Study, vec![level("FRAME")], Err(tags::QUERY_RETRIEVE_LEVEL)),
            (Root::Study, vec![], Err(tags::QUERY_RETRIEVE_LEVEL)),
            (Root::Study, vec![level("SERIES")], Err(tags::STUDY_INSTANCE_UID)),
            (Root::Study, vec![level("SERIES"), list], Err(tags::STUDY_INSTANCE_UID)),
            (Root::Study, vec![level("SERIES"), study], Ok(Level::Series)),
            (Root::Study, vec![level("IMAGE"), study], Err(tags::SERIES_INSTANCE_UID)),
            (Root::Study, vec![level("IMAGE"), study, series], Ok(Level::Image)),
            (Root::Patient, vec![level("PATIENT")], Ok(Level::Patient)),
            (Root::Patient, vec![level("STUDY")], Err(tags::PATIENT_ID)),
            (Root::Patient, vec![level("STUDY"), (tags::PATIENT_ID, "LO", "P*")], Err(tags::PATIENT_ID)),
            (Root::Patient, vec![level("STUDY"), id], Ok(Level::Study)),
            (Root::Patient, vec![level("IMAGE"), study, series], Err(tags::PATIENT_ID)),
            (Root::Patient, vec![level("IMAGE"), id, study, series], Ok(Level::Image)),
        ] {
            let read = Identifier::read(&bytes(&keys), SYNTAX, root);
            let found = read.map(|read| read.level).map_err(|reply| {
                assert_eq!(reply.status, Status::DATA_SET_DOES_NOT_MATCH);
                let (group, element) = reply.offending.unwrap();
                Tag(group, element)
            });
            assert_eq!(found, expected, "{root:?} {keys:?}");
        }
    }

    #[test]
    fn what_is_retrieved_is_named() {
        let wanted = |root, keys: &[(Tag, &str, &str)]| {
            Identifier::read(&bytes(keys), SYNTAX, root).unwrap().wanted().ok()
        };
        let level = |word: &'static str| (tags::QUERY_RETRIEVE_LEVEL, "CS", word);
        let studies = |uids: &'static str| [level("STUDY"), (tags::STUDY_INSTANCE_UID, "UI", uids)];
        assert_eq!(wanted(Root::Study, &studies("1.2\\1.3")), Some(vec!["1.2".to_owned(), "1.3".to_owned()]));
        assert_eq!(wanted(Root::Study, &studies("")), None);
        assert_eq!(wanted(Root::Study, &studies("1.2\\")), None);
        assert_eq!(wanted(Root::Study, &[level("STUDY")]), None);
        let patient = |id: &'static str| [level("PATIENT"), (tags::PATIENT_ID, "LO", id)];
        assert_eq!(wanted(Root::Patient, &patient("P1")), Some(vec!["P1".to_owned()]));
        assert_eq!(wanted(Root::Patient, &patient("*")), None, "nobody gets everything");
        assert_eq!(wanted(Root::Patient, &patient("P1\\P2")), None);
    }

    #[test]
    fn a_list_of_failures_keeps_whole_uids() {
        let uid = "1".repeat(64);
        let list = failed_list(std::iter::repeat_n(uid.as_str(), 2000), SYNTAX);
        assert!(list.len() <= 8 + SHORT_VALUE_BYTES_MAX);
        let keys = identifier::read(&list, SYNTAX).unwrap();
        let value = String::from_utf8(keys[0].value.clone().unwrap()).unwrap();
        assert!(value.trim_end_matches('\0').split('\\').all(|one| one == uid));
        assert_eq!(failed_list(std::iter::empty(), SYNTAX).len(), 8);
    }
}
