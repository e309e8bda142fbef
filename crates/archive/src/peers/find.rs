//! C-FIND (PS3.4 section C.4.1): the catalog is asked page by page, and each match goes out before the next page is asked for.
//! What is matched and how is that of QIDO-RS ([`crate::query`]).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dimse::{
    Reply, Status,
    identifier::{self, Element, Value},
};
use domain::{
    audit::{Action, Actor},
    port::catalog::StudyFilter,
    study::{Series, Study, StudyKey},
    uid::{SeriesInstanceUid, StudyInstanceUid},
};
use serde_json::{Map, Value as Json};

use super::{
    Gone, Inner, Request, away,
    identifier::{Identifier, Level},
};
use crate::{
    audit::Noting,
    query::{
        STUDIES_AT_A_TIME,
        attributes::{self, Attribute, Row, attribute, attribute_within},
        matching::Pattern,
        request::Search,
    },
};

/// Most studies looked at for one query, where the catalog cannot match all that was asked for.
pub const SCANNED_STUDIES_MAX: u32 = 100_000;

/// Keys that say how to ask, and are no attributes to match.
const CONTROLS: [Tag; 3] =
    [tags::SPECIFIC_CHARACTER_SET, tags::QUERY_RETRIEVE_LEVEL, tags::QUERY_RETRIEVE_VIEW];
/// Keys that are known, and answered by whoever answers.
const OF_THE_ANSWER: [Tag; 2] = [tags::RETRIEVE_AE_TITLE, tags::INSTANCE_AVAILABILITY];

/// A query that has been understood.
struct Question {
    identifier: Identifier,
    search: Search,
    /// Some keys are none that can be matched or returned here.
    lacks_keys: bool,
}

/// A query that ends early, and how.
enum End {
    Gone,
    Reply(Reply),
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<domain::port::CatalogError> for End {
    fn from(error: domain::port::CatalogError) -> Self {
        Self::Reply(away(&error, Status::OUT_OF_RESOURCES))
    }
}

impl Inner {
    /// Gives every match, and the last reply.
    pub(super) async fn find(&self, request: &Request) -> Result<Reply, Gone> {
        let asked = &request.asked;
        let question = Identifier::read(&asked.identifier, asked.syntax, asked.root).and_then(Question::new);
        let question = match question {
            Ok(question) => question,
            Err(reply) => return Ok(reply),
        };
        let mut finding = Finding { inner: self, request, question, given: 0, known: HashSet::new() };
        match finding.run().await {
            Ok(()) => Ok(Reply::of(Status::SUCCESS)),
            Err(End::Reply(reply)) => Ok(reply),
            Err(End::Gone) => Err(Gone),
        }
    }
}

impl Question {
    fn new(identifier: Identifier) -> Result<Self, Reply> {
        let level = match identifier.level {
            Level::Patient | Level::Study => attributes::Level::Study,
            Level::Series => attributes::Level::Series,
            Level::Image => attributes::Level::Instance,
        };
        let mut search = Search {
            level,
            from: level,
            keys: Vec::new(),
            included: BTreeSet::from([identifier.level.unique_key()]),
            all: false,
            limit: u32::MAX,
            offset: 0,
            warnings: Vec::new(),
        };
        let mut lacks_keys = false;
        let mut asked: Vec<(&'static Attribute, String)> = Vec::new();
        for tag in identifier.keys.keys().copied() {
            if CONTROLS.contains(&tag) || OF_THE_ANSWER.contains(&tag) || tag.element() == 0 {
                continue;
            }
            let Some(attribute) = known(tag, identifier.level) else {
                lacks_keys = true;
                continue;
            };
            search.included.insert(tag);
            let value = if attribute.vr == "US" { identifier.number(tag) } else { identifier.text(tag) };
            let value = value.unwrap_or_default();
            // An offset from UTC says how dates are meant (PS3.4 section C.2.2.2.5), which is not adjusted to here.
            if !attribute.is_key || tag == tags::TIMEZONE_OFFSET_FROM_UTC {
                lacks_keys |= !value.is_empty();
                continue;
            }
            asked.push((attribute, value));
        }
        for ((sequence, tag), value) in &identifier.inner {
            let attribute = attribute_within(Some(*sequence), *tag);
            match attribute.filter(|_| search.included.contains(sequence)) {
                Some(attribute) => asked.push((attribute, identifier.decoded(*tag, value))),
                None => lacks_keys = true,
            }
        }
        for (attribute, value) in asked {
            match Pattern::read(attribute, &value) {
                Some(Pattern::Any) => {}
                Some(pattern) => search.keys.push((attribute, pattern)),
                None => {
                    let offending = Some((attribute.tag.group(), attribute.tag.element()));
                    let reply =
                        Reply::of(Status::UNABLE_TO_PROCESS).saying("the value of a key cannot be read");
                    return Err(Reply { offending, ..reply });
                }
            }
        }
        Ok(Self { identifier, search, lacks_keys })
    }

    /// The study above the level, if there is one.
    fn study(&self) -> Option<StudyInstanceUid> {
        let is_below = self.identifier.level > Level::Study;
        let text = self.identifier.text(tags::STUDY_INSTANCE_UID).filter(|_| is_below)?;
        StudyInstanceUid::parse(&text).ok()
    }

    /// A match as an identifier (PS3.4 section C.4.1.1.3.2).
    fn answer(&self, row: &Row, ae_title: &str) -> Vec<u8> {
        let mut values: Answer<'_> = BTreeMap::new();
        for tag in &self.search.included {
            let Some(attribute) = attribute(*tag) else { continue };
            let said = |value| said(attribute.vr, value);
            values.insert(*tag, (attribute.vr, row.values(*tag).iter().map(said).collect()));
        }
        let word = |text: &str| vec![Said::Text(text.to_owned())];
        values.insert(tags::QUERY_RETRIEVE_LEVEL, ("CS", word(self.identifier.level.word())));
        values.insert(tags::RETRIEVE_AE_TITLE, ("AE", word(ae_title)));
        values.insert(tags::INSTANCE_AVAILABILITY, ("CS", word("ONLINE")));
        let named = self.identifier.named_set.as_ref();
        let named = named.and_then(|set| Some((set.clone(), self.encoded(&values, true)?)));
        let (set, encoded) = named
            .unwrap_or_else(|| ("ISO_IR 192".to_owned(), self.encoded(&values, false).unwrap_or_default()));
        let set = Element {
            tag: (tags::SPECIFIC_CHARACTER_SET.group(), tags::SPECIFIC_CHARACTER_SET.element()),
            vr: *b"CS",
            value: Value::Text(set.into_bytes()),
        };
        let mut elements = vec![set];
        elements.extend(encoded);
        elements.sort_by_key(|element| element.tag);
        identifier::write(&elements, self.identifier.syntax)
    }

    /// The elements of an answer, in UTF-8 or in the character set of the request; `None` when that cannot say all.
    fn encoded(&self, values: &Answer<'_>, as_asked: bool) -> Option<Vec<Element>> {
        let element = |(tag, (vr, values)): (&Tag, &(&str, Vec<Said>))| {
            let texts: Vec<&str> = values.iter().filter_map(Said::text).collect();
            let value = if *vr == "US" {
                Value::Numbers(texts.iter().filter_map(|value| value.parse().ok()).collect())
            } else if *vr == "SQ" {
                let items = values.iter().filter_map(Said::item);
                Value::Items(
                    items
                        .map(|item| self.encoded(&self.inner(*tag, item), as_asked))
                        .collect::<Option<_>>()?,
                )
            } else if as_asked {
                Value::Text(self.identifier.sets.encode(&texts.join("\\"))?)
            } else {
                Value::Text(texts.join("\\").into_bytes())
            };
            let vr = vr.as_bytes().first_chunk::<2>().copied().unwrap_or(*b"UN");
            Some(Element { tag: (tag.group(), tag.element()), vr, value })
        };
        values.iter().map(element).collect()
    }

    /// What is said of an item of a sequence: the keys that the query has in it, or all that is known when it has none.
    fn inner<'a>(&self, sequence: Tag, item: &'a Map<String, Json>) -> Answer<'a> {
        let asked: BTreeSet<Tag> = self
            .identifier
            .inner
            .keys()
            .filter(|(within, _)| *within == sequence)
            .map(|(_, tag)| *tag)
            .collect();
        let known =
            attributes::all_within(sequence).filter(|known| asked.is_empty() || asked.contains(&known.tag));
        let values =
            |tag| item.get(&attributes::hexadecimal(tag)).and_then(|element| element["Value"].as_array());
        known
            .map(|known| {
                let said = |value| said(known.vr, value);
                (known.tag, (known.vr, values(known.tag).into_iter().flatten().map(said).collect()))
            })
            .collect()
    }
}

/// What an answer says: of each attribute its value representation and its values.
type Answer<'a> = BTreeMap<Tag, (&'static str, Vec<Said<'a>>)>;

/// A value of an answer.
enum Said<'a> {
    Text(String),
    /// An item as DICOM JSON.
    Item(&'a Map<String, Json>),
}

impl<'a> Said<'a> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Item(_) => None,
        }
    }

    const fn item(&self) -> Option<&'a Map<String, Json>> {
        match self {
            Self::Text(_) => None,
            Self::Item(item) => Some(*item),
        }
    }
}

/// The attribute that a key stands for at a level.
fn known(tag: Tag, level: Level) -> Option<&'static Attribute> {
    let attribute = attribute(tag)?;
    let is_here = match level {
        // There are no patients in the catalog, only what studies say about theirs.
        Level::Patient => tag.group() == 0x0010,
        Level::Study => attribute.level <= attributes::Level::Study,
        Level::Series => attribute.level <= attributes::Level::Series,
        Level::Image => true,
    };
    // An address of the web.
    (is_here && tag != tags::RETRIEVE_URL).then_some(attribute)
}

/// A value of a row, of a value representation, as DICOM has it.
fn said<'a>(vr: &str, value: &'a Json) -> Said<'a> {
    match value {
        Json::Object(item) if vr == "SQ" => Said::Item(item),
        other => Said::Text(text(other)),
    }
}

/// A value that is no item; a name in its groups.
fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Object(groups) => {
            let group = |name| groups.get(name).and_then(Json::as_str).unwrap_or_default();
            let name = ["Alphabetic", "Ideographic", "Phonetic"].map(group).join("=");
            name.trim_end_matches('=').to_owned()
        }
        Json::Null => String::new(),
        Json::Bool(_) | Json::Number(_) | Json::Array(_) => value.to_string(),
    }
}

/// A query while it is answered.
struct Finding<'a> {
    inner: &'a Inner,
    request: &'a Request,
    question: Question,
    given: u32,
    /// Patients or studies that were given already: a patient comes once, however many studies they have, and a study once, though pages
    /// shift when another one arrives.
    known: HashSet<String>,
}

impl Finding<'_> {
    async fn run(&mut self) -> Result<(), End> {
        self.note().await?;
        let centres = vec![self.request.peer.centre.clone()];
        let mut filter = StudyFilter { centres, limit: STUDIES_AT_A_TIME, ..self.question.search.filter() };
        let by_catalog = self.question.search.is_matched_by_the_catalog();
        loop {
            if !by_catalog && filter.offset >= SCANNED_STUDIES_MAX {
                return Err(too_many());
            }
            let studies = self.inner.catalog.studies(&filter).await?;
            for study in &studies {
                self.check_cancel()?;
                self.study(study).await?;
            }
            let found = u32::try_from(studies.len()).unwrap_or(u32::MAX);
            if found < filter.limit {
                return Ok(());
            }
            filter.offset = filter.offset.saturating_add(found);
        }
    }

    /// Writes down who asks, before anything is seen.
    async fn note(&self) -> Result<(), End> {
        let (inner, peer) = (self.inner, &self.request.peer);
        let study = self.question.study().map(|uid| StudyKey { centre: peer.centre.clone(), uid });
        let noting = Noting { catalog: &*inner.catalog, seen: &inner.seen, now: inner.clock.now() };
        let actor = Actor::Peer(peer.ae.clone());
        Ok(noting.note(&actor, Action::ListViewed, &peer.centre, study.as_ref(), "C-FIND").await?)
    }

    fn check_cancel(&self) -> Result<(), End> {
        if self.request.cancel.is_cancelled() {
            Err(End::Reply(Reply::of(Status::CANCELLED)))
        } else {
            Ok(())
        }
    }

    async fn study(&mut self, study: &Study) -> Result<(), End> {
        let row = Row::of_study(study, "");
        if !row.matches(&self.question.search, attributes::Level::Study) {
            return Ok(());
        }
        match self.question.identifier.level {
            Level::Patient => self.patient(&row).await,
            Level::Study if self.known.insert(study.key.uid.as_str().to_owned()) => self.give(&row).await,
            Level::Study => Ok(()),
            Level::Series => self.series(study, &row).await,
            Level::Image => self.images(study, &row).await,
        }
    }

    /// A patient is known by the Patient ID; what else is told of them is that of their latest study.
    async fn patient(&mut self, row: &Row) -> Result<(), End> {
        let Some(id) = row.values(tags::PATIENT_ID).first().map(text) else { return Ok(()) };
        if self.known.insert(id) { self.give(row).await } else { Ok(()) }
    }

    async fn series(&mut self, study: &Study, row: &Row) -> Result<(), End> {
        for series in self.inner.catalog.series(&study.key).await? {
            self.check_cancel()?;
            self.offer(&row.clone().with_series(&series, "")).await?;
        }
        Ok(())
    }

    async fn images(&mut self, study: &Study, row: &Row) -> Result<(), End> {
        let uid = self.question.identifier.text(tags::SERIES_INSTANCE_UID).unwrap_or_default();
        let Ok(uid) = SeriesInstanceUid::parse(&uid) else { return Ok(()) };
        let all: Vec<Series> = self.inner.catalog.series(&study.key).await?;
        let Some(series) = all.iter().find(|series| series.uid == uid) else { return Ok(()) };
        let row = row.clone().with_series(series, "");
        for instance in self.inner.catalog.instances(&study.key, Some(&uid)).await? {
            self.check_cancel()?;
            self.offer(&row.clone().with_instance(&instance, "")).await?;
        }
        Ok(())
    }

    async fn offer(&mut self, row: &Row) -> Result<(), End> {
        let is_match = row.matches(&self.question.search, self.question.search.level);
        if is_match { self.give(row).await } else { Ok(()) }
    }

    async fn give(&mut self, row: &Row) -> Result<(), End> {
        if self.given >= self.inner.settings.answers_max {
            return Err(too_many());
        }
        self.given += 1;
        let status = match self.question.lacks_keys {
            true => Status::PENDING_WITHOUT_SOME_KEYS,
            false => Status::PENDING,
        };
        let identifier = Some(self.question.answer(row, &self.inner.ae_title));
        self.request.reply(Reply { identifier, ..Reply::of(status) }).await?;
        self.check_cancel()
    }
}

fn too_many() -> End {
    End::Reply(Reply::of(Status::OUT_OF_RESOURCES).saying("more match than are given; ask for less"))
}
