//! The objects of a retrieve: which ones, how they go out, and their bytes.

use std::{collections::HashSet, io, sync::Arc};

use bytes::{Bytes, BytesMut};
use dicom_dictionary_std::tags;
use dimse::{Reply, Root, Status};
use domain::{
    id::CentreId,
    image::Instance,
    port::{Catalog, CatalogError, Pixels, Storage, catalog::StudyFilter, storage::PIECE_BYTES_MAX},
    study::{Study, StudyKey},
    uid::{SeriesInstanceUid, StudyInstanceUid, TransferSyntaxUid},
};
use futures::{StreamExt as _, stream};
use imaging::{
    codec::Target,
    rewrite::{self, Rewriter},
    sniff::{self, Sniffed},
    syntax::{EXPLICIT_LITTLE, Syntax},
};

use super::{
    away,
    identifier::{Identifier, Level},
};
use crate::{fetch, multipart::Content, query::STUDIES_AT_A_TIME, transcode};

/// Objects of at most so many bytes are read and checked whole before the peer hears of them, so that a damaged one costs nothing but
/// itself. Larger ones stream; only the end of the association takes back one that turns out to be damaged.
pub const WHOLE_BYTES_MAX: u64 = 4 << 20;
/// Most bytes that such an object may become when it is written anew: a deflated one grows.
pub const REWRITTEN_BYTES_MAX: usize = 64 << 20;
/// Stored bytes that are written anew at a time. The guard let nothing in that grows more than a hundredfold.
const REWRITTEN_AT_ONCE: usize = 16 * 1024;

/// How an object goes out to a peer that takes some transfer syntaxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As it rests.
    AsStored,
    /// In another plain transfer syntax, values as they are.
    Rewritten(&'static str),
    /// With its pixels decoded, in explicit VR little endian.
    Decoded,
    /// The peer takes no transfer syntax that it can have.
    Cannot,
}

impl Way {
    /// The way of an object whose class the peer takes in these transfer syntaxes. `decodes` when its pixels can be decoded.
    pub(super) fn of<'a>(
        stored: &TransferSyntaxUid,
        decodes: bool,
        taken: impl Iterator<Item = &'a str>,
    ) -> Self {
        let taken: Vec<&str> = taken.collect();
        if taken.contains(&stored.as_str()) {
            return Self::AsStored;
        }
        match rewrite::targets(stored).iter().find(|target| taken.contains(target)) {
            Some(target) => Self::Rewritten(target),
            None if decodes && taken.contains(&EXPLICIT_LITTLE) => Self::Decoded,
            None => Self::Cannot,
        }
    }
}

/// Whether an object can go out with its pixels decoded.
pub(super) fn decodes(instance: &Instance) -> bool {
    Syntax::of(&instance.transfer_syntax).encapsulated && transcode::reaches(instance, Target::Native)
}

/// The data set of an object, as it goes out.
pub(super) struct DataSet {
    /// How it is written.
    pub(super) transfer_syntax: String,
    /// Its first bytes, or all.
    first: Bytes,
    /// The others.
    rest: Option<Content>,
}

impl DataSet {
    /// The next bytes: few enough that also a slow peer takes them within its time. An error says that the object is damaged.
    pub(super) async fn next(&mut self) -> Option<io::Result<Bytes>> {
        while self.first.is_empty() {
            match self.rest.as_mut()?.next().await? {
                Ok(piece) => self.first = piece,
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(self.first.split_to(self.first.len().min(PIECE_BYTES_MAX))))
    }
}

/// Opens the data set of an object.
///
/// # Errors
/// In words, when it cannot be read, is not what was stored, or cannot go out this way.
pub(super) async fn open(
    storage: &Arc<dyn Storage>,
    pixels: &Arc<dyn Pixels>,
    instance: &Instance,
    way: Way,
) -> Result<DataSet, String> {
    let target = match way {
        Way::AsStored => return as_stored(&**storage, instance).await,
        Way::Rewritten(target) => target,
        Way::Decoded => {
            // What is damaged is found before the peer hears of it.
            if instance.bytes <= WHOLE_BYTES_MAX {
                as_stored(&**storage, instance).await?;
            }
            let made = transcode::data_set(storage, pixels, instance, Target::Native).await;
            let made = made.map_err(|error| error.to_string())?;
            return Ok(DataSet {
                transfer_syntax: made.transfer_syntax.as_str().to_owned(),
                first: Bytes::new(),
                rest: Some(made.content),
            });
        }
        Way::Cannot => {
            return Err("the peer does not take it in a transfer syntax that it can have".to_owned());
        }
    };
    let stored = as_stored(&**storage, instance).await?;
    let rewriter = Rewriter::new(&instance.transfer_syntax, target).ok_or("it cannot be written anew")?;
    let transfer_syntax = target.to_owned();
    let mut rewriting = Rewriting { rewriter: Some(rewriter), rest: stored.rest, pending: stored.first };
    if rewriting.rest.is_some() {
        let rest = stream::unfold(rewriting, |mut rewriting| async move {
            let piece = rewriting.next().await?;
            Some((piece, rewriting))
        });
        return Ok(DataSet { transfer_syntax, first: Bytes::new(), rest: Some(rest.boxed()) });
    }
    let mut whole = BytesMut::new();
    while let Some(piece) = rewriting.next().await {
        whole.extend_from_slice(&piece.map_err(|error| error.to_string())?);
        if whole.len() > REWRITTEN_BYTES_MAX {
            return Err("it becomes too large when it is inflated".to_owned());
        }
    }
    Ok(DataSet { transfer_syntax, first: whole.freeze(), rest: None })
}

/// A data set that is written anew piece by piece.
struct Rewriting {
    /// None once it has ended.
    rewriter: Option<Rewriter>,
    rest: Option<Content>,
    pending: Bytes,
}

impl Rewriting {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let mut out = Vec::new();
        while out.is_empty() {
            if self.pending.is_empty()
                && let Some(rest) = &mut self.rest
            {
                match rest.next().await {
                    Some(Ok(piece)) => self.pending = piece,
                    Some(Err(error)) => return Some(Err(error)),
                    None => self.rest = None,
                }
            }
            let piece = self.pending.split_to(self.pending.len().min(REWRITTEN_AT_ONCE));
            let written = if piece.is_empty() && self.rest.is_none() {
                self.rewriter.take()?.finish(&mut out)
            } else {
                self.rewriter.as_mut()?.push(&piece, &mut out)
            };
            if let Err(error) = written {
                self.rewriter = None;
                return Some(Err(io::Error::other(error)));
            }
        }
        Some(Ok(out.into()))
    }
}

async fn as_stored(storage: &dyn Storage, instance: &Instance) -> Result<DataSet, String> {
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
    Ok(DataSet {
        transfer_syntax: instance.transfer_syntax.as_str().to_owned(),
        first: first.freeze().slice(at..),
        rest: (!is_whole).then_some(content),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_better_than_what_is_written_anew() {
        const IMPLICIT: &str = "1.2.840.10008.1.2";
        const EXPLICIT: &str = "1.2.840.10008.1.2.1";
        const BIG: &str = "1.2.840.10008.1.2.2";
        const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
        for (stored, taken, expected) in [
            (EXPLICIT, &[IMPLICIT, EXPLICIT][..], Way::AsStored),
            (JPEG_LS, &[IMPLICIT, JPEG_LS], Way::AsStored),
            (EXPLICIT, &[IMPLICIT], Way::Rewritten(IMPLICIT)),
            (IMPLICIT, &[BIG, EXPLICIT], Way::Rewritten(EXPLICIT)),
            (IMPLICIT, &[BIG], Way::Cannot),
            (BIG, &[IMPLICIT], Way::Rewritten(IMPLICIT)),
            ("1.2.840.10008.1.2.1.99", &[IMPLICIT, EXPLICIT], Way::Rewritten(EXPLICIT)),
            (JPEG_LS, &[IMPLICIT, EXPLICIT], Way::Decoded),
            (JPEG_LS, &[IMPLICIT], Way::Cannot),
            (EXPLICIT, &[JPEG_LS], Way::Cannot),
            (EXPLICIT, &[], Way::Cannot),
        ] {
            let (stored, decodes) = (TransferSyntaxUid::parse(stored).unwrap(), stored == JPEG_LS);
            assert_eq!(Way::of(&stored, decodes, taken.iter().copied()), expected, "{stored} {taken:?}");
        }
        let unknown = TransferSyntaxUid::parse("1.2.3").unwrap();
        assert_eq!(Way::of(&unknown, false, [EXPLICIT].into_iter()), Way::Cannot);
    }
}
