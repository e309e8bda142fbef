//! WADO-RS metadata (PS3.18 section 10.4.1.1.5) as DICOM JSON or XML: the headers of the objects, without their bulk
//! data.
//!
//! What a series says rests as its document ([`crate::documents`]), made for a generation of the study: an image that comes late makes
//! another generation, so nothing kept is ever stale. A series without a current document is read with a few ranged reads at a time and
//! written while it is read, and what was written is kept as its document.

use std::{collections::HashMap, io, sync::PoisonError};

use axum::{
    body::Body,
    extract::State as Here,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use domain::{
    audit::Action,
    document::{DocumentOf, SeriesDocument, StudyDocuments},
    image::Instance,
    object::ObjectKey,
    port::{CatalogError, StorageError},
    study::StudyKey,
    text::CharacterSetRule,
    uid::SeriesInstanceUid,
};
use futures::{Stream, StreamExt as _, TryStreamExt as _, future, stream, stream::BoxStream};
use gate::Problem;

use crate::{
    Documents, Shared, State,
    accept::{Accepted, Described},
    address::{Target, instance_address},
    cache, conversion,
    document::{Document, Gzip, Hole, addressed, takes_gzip},
    documents::{self, Draft, FORM, Fresh, is_current},
    fetch::broken_off,
    native,
    validator::{Kept, Validator},
};

/// Most bytes of documents that go out in one answer as they rest; of more, the texts go out one after another.
const PACKED_BYTES_MAX: u64 = 64 << 20;

/// Metadata of a study.
pub(crate) async fn study(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    of_series(&shared, &target, None, &headers, &uri).await
}

/// Metadata of a series.
pub(crate) async fn series(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    of_series(&shared, &target, Some(&target.series()?), &headers, &uri).await
}

/// Metadata of an instance.
pub(crate) async fn instance(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instance = target.known_instance(&shared).await?;
    let described = Accepted::of(&headers, &uri)?.described()?;
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(&target.study()?)).await?;
    let validator = Validator::new(format!("{FORM}-{}", instance.file_sha256), Kept::Object);
    if let Some(response) = validator.not_modified(&headers) {
        return Ok(response);
    }
    let mut rules = rules(&shared, &target.study()?).await?;
    let Described::Json(media_type) = described else {
        return Ok(validator.put_on(native(&shared, target.base, vec![instance], rules).await?));
    };
    let mut body = BytesMut::from(&b"["[..]);
    let rule = rules.remove(&instance.series);
    body.extend_from_slice(&conversion::json(&*shared.storage, &instance, rule, &target.base).await?.json);
    body.extend_from_slice(b"]");
    Ok(validator.put_on(([(header::CONTENT_TYPE, media_type)], body.freeze()).into_response()))
}

async fn of_series(
    shared: &State,
    target: &Target,
    only: Option<&SeriesInstanceUid>,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, Problem> {
    let described = Accepted::of(headers, uri)?.described()?;
    let study = target.study()?;
    let known = shared.catalog.documents(&study, only).await?.ok_or_else(Problem::unknown)?;
    if known.series.is_empty() {
        return Err(Problem::unknown());
    }
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(&study)).await?;
    let validator = Validator::new(format!("{FORM}-{}", known.generation), Kept::List);
    if let Some(response) = validator.not_modified(headers) {
        return Ok(response);
    }
    let Described::Json(media_type) = described else {
        let instances = target.known_instances(shared, only).await?;
        let rules = known.series.into_iter().filter_map(|of| Some((of.series, of.character_set?))).collect();
        return Ok(validator.put_on(native(shared, target.base.clone(), instances, rules).await?));
    };
    let hole = Hole::of(&target.base);
    if let Some(hole) = hole.as_ref().filter(|_| takes_gzip(headers))
        && let Some(body) = packed(shared, &known, hole).await?
    {
        let headers = [(header::CONTENT_TYPE, media_type), (header::CONTENT_ENCODING, "gzip")];
        return Ok(validator.put_on((headers, body).into_response()));
    }
    let (shared, base, generation) = (shared.clone(), target.base.clone(), known.generation);
    let written = stream::iter(known.series).then(move |of| {
        let asked = Asked { study: study.clone(), generation, base: base.clone(), hole: hole.clone() };
        written(shared.clone(), asked, of)
    });
    let response = array(media_type, written.try_flatten()).await?;
    Ok(validator.put_on(response))
}

/// A body of documents alone, as they rest; `None` when one of them is missing or all are too many.
async fn packed(shared: &State, known: &StudyDocuments, hole: &Hole) -> Result<Option<Body>, Problem> {
    let current = |of: &DocumentOf| of.document.clone().filter(|one| is_current(one, known.generation));
    let Some(all) = known.series.iter().map(current).collect::<Option<Vec<_>>>() else { return Ok(None) };
    if all.iter().map(|document| document.bytes).sum::<u64>() > PACKED_BYTES_MAX {
        return Ok(None);
    }
    let mut gzip = Gzip::new();
    for (place, document) in all.iter().enumerate() {
        gzip.text(if place == 0 { "[" } else { ",\n" });
        let Some(document) = shared.document(&document.object).await? else { return Ok(None) };
        gzip.document(document.filled(hole));
    }
    gzip.text("]");
    let pieces = gzip.finish();
    let bytes = pieces.iter().map(Bytes::len).sum();
    let mut body = BytesMut::with_capacity(bytes);
    pieces.iter().for_each(|piece| body.extend_from_slice(piece));
    Ok(Some(body.freeze().into()))
}

/// Who asks for the metadata of a series.
struct Asked {
    study: StudyKey,
    generation: u64,
    base: String,
    /// The base for a document, if it fits.
    hole: Option<Hole>,
}

/// A piece of metadata, and whether an object begins with it.
type Piece = (bool, Bytes);

/// The objects of a series: out of its document, or written anew, and then kept as its document.
async fn written(
    shared: State,
    asked: Asked,
    of: DocumentOf,
) -> Result<BoxStream<'static, Result<Piece, StorageError>>, StorageError> {
    let Asked { study, generation, base, hole } = asked;
    let DocumentOf { series, character_set, document } = of;
    if let (Some(document), Some(hole)) = (&document, &hole)
        && is_current(document, generation)
        && let Some(text) = shared.text(&document.object, &base, hole).await?
    {
        return Ok(text);
    }
    let instances = shared.catalog.instances(&study, Some(&series)).await.map_err(away)?;
    let fresh = Fresh::of(study, series, generation, &instances, character_set);
    // The study has moved on, but this series has not.
    if let (Some(document), Some(hole)) = (document, &hole)
        && document.contents == fresh.contents
        && let Some(text) = shared.text(&document.object, &base, hole).await?
    {
        let (documents, again) = (shared.documents(), SeriesDocument { generation, ..document });
        tokio::spawn(async move { documents.note(&again).await });
        return Ok(text);
    }
    Ok(described(shared, fresh, instances, base).boxed())
}

/// The objects of a series, written one after another, and kept as its document once all are written.
fn described(
    shared: State,
    fresh: Fresh,
    instances: Vec<Instance>,
    base: String,
) -> impl Stream<Item = Result<Piece, StorageError>> + Send {
    let (documents, rule) = (shared.documents(), fresh.character_set.clone());
    let objects = documents.objects(instances, rule);
    let state = (objects.boxed(), Some(Draft::new(fresh)), documents);
    stream::try_unfold(state, move |(mut objects, mut draft, documents)| {
        let base = base.clone();
        async move {
            let Some(described) = objects.try_next().await? else {
                if let Some(draft) = draft.take() {
                    tokio::spawn(async move { documents.keep(draft).await });
                }
                return Ok(None);
            };
            draft = draft.and_then(|draft| draft.with(&described));
            let piece = (true, addressed(&described.json, &base));
            Ok(Some((piece, (objects, draft, documents))))
        }
    })
}

fn away(error: CatalogError) -> StorageError {
    StorageError::Unavailable { operation: "asking the catalog for a series", source: Box::new(error) }
}

impl Shared {
    /// A document, from memory or from the store; `None` when it is lost or not what was stored.
    async fn document(&self, object: &ObjectKey) -> Result<Option<Document>, StorageError> {
        let name = Name { object: object.clone(), base: None };
        let known = self.metadata.lock().unwrap_or_else(PoisonError::into_inner).get(&name);
        let bytes = match known {
            Some(bytes) => bytes,
            None => match documents::read(&*self.storage, object).await? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
        };
        let document = Document::read(bytes.clone());
        if document.is_some() {
            self.metadata.lock().unwrap_or_else(PoisonError::into_inner).put(name, bytes);
        }
        Ok(document)
    }

    /// The text of a document for a client; `None` when it cannot be had.
    async fn text(
        &self,
        object: &ObjectKey,
        base: &str,
        hole: &Hole,
    ) -> Result<Option<BoxStream<'static, Result<Piece, StorageError>>>, StorageError> {
        let name = Name { object: object.clone(), base: Some(base.to_owned()) };
        let known = self.metadata.lock().unwrap_or_else(PoisonError::into_inner).get(&name);
        if let Some(text) = known {
            return Ok(Some(stream::iter([Ok((true, text))]).boxed()));
        }
        let Some(document) = self.document(object).await? else { return Ok(None) };
        let filled = document.filled(hole);
        let broken = {
            let object = object.clone();
            move |_| StorageError::Corrupt(object.clone())
        };
        let bytes_max = self.config.metadata_cache_bytes / cache::PART_MAX;
        if filled.text_bytes() > bytes_max as u64 {
            let pieces = filled.pieces().enumerate();
            let pieces = pieces.map(move |(place, piece)| Ok((place == 0, piece.map_err(&broken)?)));
            return Ok(Some(stream::iter(pieces).boxed()));
        }
        let mut text = BytesMut::with_capacity(usize::try_from(filled.text_bytes()).unwrap_or_default());
        for piece in filled.pieces() {
            text.extend_from_slice(&piece.map_err(&broken)?);
        }
        let text = text.freeze();
        self.metadata.lock().unwrap_or_else(PoisonError::into_inner).put(name, text.clone());
        Ok(Some(stream::iter([Ok((true, text))]).boxed()))
    }

    fn documents(&self) -> Documents {
        Documents {
            catalog: self.catalog.clone(),
            storage: self.storage.clone(),
            clock: self.clock.clone(),
            objects_at_once: self.config.objects_at_once,
        }
    }
}

/// The objects as XML.
async fn native(
    shared: &State,
    base: String,
    instances: Vec<Instance>,
    rules: HashMap<SeriesInstanceUid, CharacterSetRule>,
) -> Result<Response, Problem> {
    let (shared, at_once) = (shared.clone(), shared.config.objects_at_once.max(1));
    let described = stream::iter(instances)
        .map(move |instance| {
            let (shared, base, rule) = (shared.clone(), base.clone(), rules.get(&instance.series).cloned());
            async move {
                let location = format!("{}/metadata", instance_address(&base, &instance));
                let written =
                    documents::described(shared.storage.clone(), instance.clone(), rule, base).await?;
                Ok((location, native::parsed(&instance, &written.json)?))
            }
        })
        .buffered(at_once);
    native::answer(described).await
}

/// How texts of the series of a study are read, where a rule says so.
async fn rules(
    shared: &State,
    study: &StudyKey,
) -> Result<HashMap<SeriesInstanceUid, CharacterSetRule>, Problem> {
    let series = shared.catalog.series(study).await?;
    Ok(series.into_iter().filter_map(|series| Some((series.uid, series.attributes.character_set?))).collect())
}

/// A JSON array. It waits for the first of its objects, so that a store that is away is said by the status.
async fn array(
    media_type: &'static str,
    objects: impl Stream<Item = Result<Piece, StorageError>> + Send + 'static,
) -> Result<Response, Problem> {
    let mut objects = Box::pin(objects);
    let first = match objects.next().await {
        Some(object) => object?.1,
        None => Bytes::new(),
    };
    let piece = |text: &'static [u8]| stream::iter([Ok::<Bytes, io::Error>(Bytes::from_static(text))]);
    let rest = objects.flat_map(|piece| {
        let comma = matches!(piece, Ok((true, _))).then(|| Ok(Bytes::from_static(b",\n")));
        stream::iter(comma.into_iter().chain([piece.map(|(_, bytes)| bytes).map_err(broken_off)]))
    });
    // After an error nothing follows: a bracket would make a whole array of half a series.
    let end = rest.chain(piece(b"]")).scan(false, |is_broken, piece| {
        let goes_on = !std::mem::replace(is_broken, piece.is_err());
        future::ready(goes_on.then_some(piece))
    });
    let body = piece(b"[").chain(stream::iter([Ok(first)])).chain(end);
    Ok(([(header::CONTENT_TYPE, media_type)], Body::from_stream(body)).into_response())
}

/// Names what is in memory: a document as it rests, or its text with addresses that begin so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    object: ObjectKey,
    base: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_broken_array_does_not_close() {
        let broken = || StorageError::Unavailable { operation: "reading", source: "gone".into() };
        let whole = || Ok((true, Bytes::from_static(b"{}")));
        let objects = [whole(), Err(broken()), whole()];
        let response = array("a/b", stream::iter(objects)).await.unwrap();
        let pieces: Vec<Result<Bytes, _>> = response.into_body().into_data_stream().collect().await;
        let text: Vec<u8> =
            pieces.iter().filter_map(|piece| piece.as_ref().ok()).flatten().copied().collect();
        assert_eq!((text.as_slice(), pieces.last().unwrap().is_err()), (&b"[{}"[..], true));
        assert!(array("a/b", stream::iter([Err(broken())])).await.is_err());
        let response = array(
            "a/b",
            stream::iter([whole(), Ok((true, Bytes::from_static(b"{"))), Ok((false, b"}"[..].into()))]),
        );
        let body = axum::body::to_bytes(response.await.unwrap().into_body(), 100).await.unwrap();
        assert_eq!(body.as_ref(), b"[{},\n{}]");
    }
}
