//! The objects of a retrieve: which ones, how they go out, and their bytes.

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use dicom_dictionary_std::tags;
use dimse::{Reply, Root, Status};
use domain::{
    id::CentreId,
    image::Instance,
    port::{Catalog, CatalogError, Storage, catalog::StudyFilter},
    study::{Study, StudyKey},
    uid::{SeriesInstanceUid, StudyInstanceUid, TransferSyntaxUid},
};
use futures::StreamExt as _;
use imaging::sniff::{self, Sniffed};

use super::{
    away,
    identifier::{Identifier, Level},
};
use crate::{fetch, multipart::Content, query::STUDIES_AT_A_TIME};

/// Objects of at most so many bytes are read and checked whole before the peer hears of them, so that a damaged one costs nothing but
/// itself. Larger ones stream; only the end of the association takes back one that turns out to be damaged.
pub const WHOLE_BYTES_MAX: u64 = 4 << 20;

/// How an object goes out to a peer that takes some transfer syntaxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As it rests.
    AsStored,
    /// The peer takes no transfer syntax that it can have.
    Cannot,
}

impl Way {
    /// The way of an object whose class the peer takes in these transfer syntaxes. What is made of objects beside this belongs here.
    pub(super) fn of<'a>(stored: &TransferSyntaxUid, mut taken: impl Iterator<Item = &'a str>) -> Self {
        if taken.any(|uid| uid == stored.as_str()) { Self::AsStored } else { Self::Cannot }
    }
}

/// The data set of an object.
pub(super) struct DataSet {
    /// Its first bytes, or all.
    pub(super) first: Bytes,
    /// The others.
    pub(super) rest: Option<Content>,
}

/// Opens the data set of an object.
///
/// # Errors
/// In words, when it cannot be read or is not what was stored.
pub(super) async fn open(storage: &dyn Storage, instance: &Instance) -> Result<DataSet, String> {
    let mut content = fetch::content(storage, instance, None).await.map_err(|error| error.to_string())?;
    let is_whole = instance.bytes <= WHOLE_BYTES_MAX;
    let mut first = BytesMut::new();
    let mut at = None;
    while is_whole || at.is_none() {
        let Some(piece) = content.next().await else { break };
        first.extend_from_slice(&piece.map_err(|error| error.to_string())?);
        if at.is_none() {
            at = place(&first, false)?;
        }
    }
    let Some(at) = at.or(place(&first, true)?) else { return Err("it has no data set".to_owned()) };
    Ok(DataSet { first: first.freeze().slice(at..), rest: (!is_whole).then_some(content) })
}

fn place(first: &[u8], whole: bool) -> Result<Option<usize>, String> {
    match sniff::part10(first, whole) {
        Sniffed::DataSet(place) => Ok(Some(place.at)),
        Sniffed::More => Ok(None),
        Sniffed::NotDicom(why) => Err(why.to_owned()),
    }
}

/// What the objects of a retrieve are looked up with.
pub(super) struct Lookup<'a> {
    pub(super) catalog: &'a dyn Catalog,
    pub(super) centre: &'a CentreId,
    pub(super) root: Root,
    pub(super) identifier: &'a Identifier,
    pub(super) objects_max: usize,
}

impl Lookup<'_> {
    /// The objects that are wanted, in the order of studies, series and instance numbers. What does not exist is not among them.
    ///
    /// # Errors
    /// The reply that says why there are none to be had.
    pub(super) async fn objects(&self) -> Result<Vec<Instance>, Reply> {
        let wanted = self.identifier.wanted()?;
        let found = match self.identifier.level {
            Level::Patient => self.of_patient(&wanted).await,
            Level::Study => self.of_studies(&wanted).await,
            Level::Series => self.of_series(&wanted).await,
            Level::Image => self.images(&wanted).await,
        };
        let found = found.map_err(|error| away(&error, Status::CANNOT_COUNT_MATCHES))?;
        found.ok_or_else(|| {
            Reply::of(Status::CANNOT_COUNT_MATCHES)
                .saying("more objects than one retrieve gives; ask for less")
        })
    }

    /// `None` when there are too many.
    async fn of_patient(&self, wanted: &[String]) -> Result<Option<Vec<Instance>>, CatalogError> {
        let mut filter = StudyFilter {
            centres: vec![self.centre.clone()],
            patient_id: wanted.first().cloned(),
            limit: STUDIES_AT_A_TIME,
            ..StudyFilter::default()
        };
        let mut objects = Vec::new();
        loop {
            let studies = self.catalog.studies(&filter).await?;
            for study in studies.iter().filter(|study| self.is_of_patient(study)) {
                if !self.add(&mut objects, &study.key, None).await? {
                    return Ok(None);
                }
            }
            if studies.len() < STUDIES_AT_A_TIME as usize {
                return Ok(Some(objects));
            }
            filter.offset = filter.offset.saturating_add(STUDIES_AT_A_TIME);
        }
    }

    async fn of_studies(&self, wanted: &[String]) -> Result<Option<Vec<Instance>>, CatalogError> {
        let mut objects = Vec::new();
        for uid in unique(wanted) {
            let Some(study) = self.study(uid).await? else { continue };
            if !self.add(&mut objects, &study.key, None).await? {
                return Ok(None);
            }
        }
        Ok(Some(objects))
    }

    async fn of_series(&self, wanted: &[String]) -> Result<Option<Vec<Instance>>, CatalogError> {
        let mut objects = Vec::new();
        let Some(study) = self.study_above().await? else { return Ok(Some(objects)) };
        for uid in unique(wanted) {
            let Ok(series) = SeriesInstanceUid::parse(uid) else { continue };
            if !self.add(&mut objects, &study.key, Some(&series)).await? {
                return Ok(None);
            }
        }
        Ok(Some(objects))
    }

    async fn images(&self, wanted: &[String]) -> Result<Option<Vec<Instance>>, CatalogError> {
        let mut objects = Vec::new();
        let series = self.identifier.text(tags::SERIES_INSTANCE_UID).unwrap_or_default();
        let (Some(study), Ok(series)) = (self.study_above().await?, SeriesInstanceUid::parse(&series)) else {
            return Ok(Some(objects));
        };
        if !self.add(&mut objects, &study.key, Some(&series)).await? {
            return Ok(None);
        }
        let wanted: HashSet<&str> = wanted.iter().map(String::as_str).collect();
        objects.retain(|instance| wanted.contains(instance.sop_instance.as_str()));
        Ok(Some(objects))
    }

    async fn study_above(&self) -> Result<Option<Study>, CatalogError> {
        self.study(&self.identifier.text(tags::STUDY_INSTANCE_UID).unwrap_or_default()).await
    }

    async fn study(&self, uid: &str) -> Result<Option<Study>, CatalogError> {
        let Ok(uid) = StudyInstanceUid::parse(uid) else { return Ok(None) };
        let study = self.catalog.study(&StudyKey { centre: self.centre.clone(), uid }).await?;
        Ok(study.filter(|study| self.is_of_patient(study)))
    }

    /// Whether a study is of the patient that is named, where the model has one.
    fn is_of_patient(&self, study: &Study) -> bool {
        match self.root {
            Root::Study => true,
            Root::Patient => {
                let known = study.attributes.patient_id.as_ref().map(|id| id.as_str());
                known.is_some() && known == self.identifier.text(tags::PATIENT_ID).as_deref()
            }
        }
    }

    /// Whether the objects of a study or series still fit.
    async fn add(
        &self,
        objects: &mut Vec<Instance>,
        study: &StudyKey,
        series: Option<&SeriesInstanceUid>,
    ) -> Result<bool, CatalogError> {
        objects.extend(self.catalog.instances(study, series).await?);
        Ok(objects.len() <= self.objects_max)
    }
}

/// Values without repetition, in their order.
fn unique(values: &[String]) -> impl Iterator<Item = &str> {
    let mut seen = HashSet::new();
    values.iter().map(String::as_str).filter(move |value| seen.insert(*value))
}
