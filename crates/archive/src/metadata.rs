//! WADO-RS metadata (PS3.18 section 10.4.1.1.5) as DICOM JSON or XML: the headers of the objects, without their bulk
//! data.
//!
//! A series is read with a few ranged reads at a time and written while it is read. What was written is kept
//! within bounds, by the study's generation: an image that comes late makes another generation, so nothing
//! kept is ever stale.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, PoisonError},
};

use axum::{
    body::Body,
    extract::State as Here,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use domain::{
    audit::Action, image::Instance, port::StorageError, study::StudyKey, text::CharacterSetRule,
    uid::SeriesInstanceUid,
};
use futures::{Stream, StreamExt as _, TryStreamExt as _, future, stream, stream::BoxStream};
use gate::Problem;

use crate::{
    State,
    accept::{Accepted, Described},
    address::{Target, instance_address},
    conversion,
    fetch::broken_off,
    native,
    validator::{Kept, Validator},
};

/// One series may take up this part of the whole cache.
const SERIES_PART_OF_CACHE: usize = 4;
/// Changes when the same object would be written otherwise, so that no client keeps what an older release
/// wrote.
const FORM: &str = concat!("m", env!("CARGO_PKG_VERSION"));

type Written = Result<Bytes, StorageError>;

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
    body.extend_from_slice(&conversion::json(&shared, &instance, rule, &target.base).await?);
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
    // The generation is read before the instances: what is kept under it may hold more than it, never less.
    let study = target.known_study(shared).await?;
    let validator = Validator::new(format!("{FORM}-{}", study.generation), Kept::List);
    let instances = target.known_instances(shared, only).await?;
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(&study.key)).await?;
    if let Some(response) = validator.not_modified(headers) {
        return Ok(response);
    }
    let mut rules = rules(shared, &study.key).await?;
    let Described::Json(media_type) = described else {
        return Ok(validator.put_on(native(shared, target.base.clone(), instances, rules).await?));
    };
    let name = |series: &SeriesInstanceUid| Name {
        study: study.key.clone(),
        series: series.clone(),
        generation: study.generation,
        base: target.base.clone(),
    };
    let series: Vec<_> = instances
        .chunk_by(|a, b| a.series == b.series)
        .map(|series| (name(&series[0].series), rules.remove(&series[0].series), series.to_vec()))
        .collect();
    let written = {
        let shared = shared.clone();
        stream::iter(series)
            .flat_map(move |(name, rule, instances)| written(shared.clone(), name, rule, instances))
    };
    Ok(validator.put_on(array(media_type, written).await?))
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
                let written = object(shared, instance.clone(), rule, base).await?;
                Ok((location, native::parsed(&instance, &written)?))
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
    objects: impl Stream<Item = Written> + Send + 'static,
) -> Result<Response, Problem> {
    let mut objects = Box::pin(objects.enumerate().map(|(place, object)| (place > 0, object)));
    let first = match objects.next().await {
        Some((_, object)) => object?,
        None => Bytes::new(),
    };
    let piece = |text: &'static [u8]| stream::iter([Ok::<Bytes, io::Error>(Bytes::from_static(text))]);
    let rest = objects.flat_map(|(_, object)| {
        let comma = object.is_ok().then(|| Ok(Bytes::from_static(b",\n")));
        stream::iter(comma.into_iter().chain([object.map_err(broken_off)]))
    });
    // After an error nothing follows: a bracket would make a whole array of half a series.
    let end = rest.chain(piece(b"]")).scan(false, |is_broken, piece| {
        let goes_on = !std::mem::replace(is_broken, piece.is_err());
        future::ready(goes_on.then_some(piece))
    });
    let body = piece(b"[").chain(stream::iter([Ok(first)])).chain(end);
    Ok(([(header::CONTENT_TYPE, media_type)], Body::from_stream(body)).into_response())
}

/// The objects of a series, written one after another, or the whole series as it was written before.
fn written(
    shared: State,
    name: Name,
    rule: Option<CharacterSetRule>,
    instances: Vec<Instance>,
) -> BoxStream<'static, Written> {
    if let Some(known) = shared.metadata.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
        return stream::iter([Ok(known)]).boxed();
    }
    let (at_once, base) = (shared.config.objects_at_once.max(1), name.base.clone());
    let objects = stream::iter(instances)
        .map({
            let shared = shared.clone();
            move |instance| object(shared.clone(), instance, rule.clone(), base.clone())
        })
        .buffered(at_once);
    let gathering = Gathering {
        limit: shared.config.metadata_cache_bytes / SERIES_PART_OF_CACHE,
        bytes: Some(BytesMut::new()),
    };
    let state = (objects.boxed(), gathering, Some((shared, name)));
    stream::try_unfold(state, |(mut objects, mut gathering, keep)| async move {
        match objects.try_next().await? {
            Some(object) => {
                gathering.add(&object);
                Ok(Some((object, (objects, gathering, keep))))
            }
            None => {
                if let (Some((shared, name)), Some(bytes)) = (keep, gathering.bytes) {
                    shared.metadata.lock().unwrap_or_else(PoisonError::into_inner).put(name, bytes.freeze());
                }
                Ok(None)
            }
        }
    })
    .boxed()
}

/// Each object in a task of its own, so that several processors write.
async fn object(shared: State, instance: Instance, rule: Option<CharacterSetRule>, base: String) -> Written {
    let task = tokio::spawn(async move { conversion::json(&shared, &instance, rule, &base).await });
    task.await.unwrap_or_else(|error| {
        Err(StorageError::Unavailable { operation: "writing metadata", source: Box::new(error) })
    })
}

/// Objects of a series as far as they fit into the cache.
struct Gathering {
    limit: usize,
    bytes: Option<BytesMut>,
}

impl Gathering {
    fn add(&mut self, object: &Bytes) {
        let Some(bytes) = &mut self.bytes else { return };
        if bytes.len() + object.len() + 2 > self.limit {
            self.bytes = None;
            return;
        }
        if !bytes.is_empty() {
            bytes.extend_from_slice(b",\n");
        }
        bytes.extend_from_slice(object);
    }
}

/// Names what was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    study: StudyKey,
    series: SeriesInstanceUid,
    generation: u64,
    /// Addresses of bulk data begin with it.
    base: String,
}

/// Metadata of series that were asked for lately, within a number of bytes.
pub(crate) struct Cache {
    bytes_max: usize,
    bytes: usize,
    turn: u64,
    entries: HashMap<Arc<Name>, (Bytes, u64)>,
}

impl Cache {
    /// An empty one.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, turn: 0, entries: HashMap::new() }
    }

    fn get(&mut self, name: &Name) -> Option<Bytes> {
        self.turn += 1;
        let (bytes, turn) = self.entries.get_mut(name)?;
        *turn = self.turn;
        Some(bytes.clone())
    }

    fn put(&mut self, name: Name, bytes: Bytes) {
        if bytes.len() > self.bytes_max / SERIES_PART_OF_CACHE {
            return;
        }
        self.turn += 1;
        self.bytes += bytes.len();
        if let Some((old, _)) = self.entries.insert(Arc::new(name), (bytes, self.turn)) {
            self.bytes -= old.len();
        }
        while self.bytes > self.bytes_max {
            let oldest = self.entries.iter().min_by_key(|(_, (_, turn))| *turn).map(|(name, _)| name.clone());
            let Some((old, _)) = oldest.and_then(|name| self.entries.remove(&name)) else { return };
            self.bytes -= old.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{id::CentreId, uid::StudyInstanceUid};

    use super::*;

    fn name(generation: u64) -> Name {
        let (centre, uid) = (CentreId::parse("c1").unwrap(), StudyInstanceUid::parse("1.2").unwrap());
        let series = SeriesInstanceUid::parse("1.2.3").unwrap();
        Name { study: StudyKey { centre, uid }, series, generation, base: String::new() }
    }

    #[test]
    fn the_cache_stays_within_its_bytes_and_drops_what_was_not_used() {
        let mut cache = Cache::new(100);
        for generation in 0..4 {
            cache.put(name(generation), Bytes::from(vec![0; 25]));
        }
        assert!(cache.get(&name(0)).is_some());
        cache.put(name(4), Bytes::from(vec![0; 25]));
        let kept: Vec<bool> = (0..5).map(|generation| cache.get(&name(generation)).is_some()).collect();
        assert_eq!(kept, [true, false, true, true, true]);
        assert_eq!(cache.bytes, 100);
        cache.put(name(0), Bytes::from(vec![0; 5]));
        assert_eq!(cache.bytes, 80);
        cache.put(name(9), Bytes::from(vec![0; 26]));
        assert!(cache.get(&name(9)).is_none());
    }

    #[tokio::test]
    async fn a_broken_array_does_not_close() {
        let broken = || StorageError::Unavailable { operation: "reading", source: "gone".into() };
        let objects = [Ok(Bytes::from_static(b"{}")), Err(broken()), Ok(Bytes::from_static(b"{}"))];
        let response = array("a/b", stream::iter(objects)).await.unwrap();
        let pieces: Vec<Result<Bytes, _>> = response.into_body().into_data_stream().collect().await;
        let text: Vec<u8> =
            pieces.iter().filter_map(|piece| piece.as_ref().ok()).flatten().copied().collect();
        assert_eq!((text.as_slice(), pieces.last().unwrap().is_err()), (&b"[{}"[..], true));
        assert!(array("a/b", stream::iter([Err(broken())])).await.is_err());
        let response =
            array("a/b", stream::iter([Ok(Bytes::from_static(b"{}")), Ok(Bytes::from_static(b"{}"))]));
        let body = axum::body::to_bytes(response.await.unwrap().into_body(), 100).await.unwrap();
        assert_eq!(body.as_ref(), b"[{},\n{}]");
    }
}
