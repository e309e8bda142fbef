//! WADO-RS of whole objects (PS3.18 section 10.4): study, series, instance, as they are stored.

use std::{io, sync::Arc};

use axum::{
    body::Body,
    extract::State as Here,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::{
    audit::Action,
    image::Instance,
    port::{Storage, StorageError},
};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use gate::Problem;

use crate::{
    Shared, State,
    accept::{Accepted, DICOM, Packaging},
    address::{Target, instance_address},
    fetch,
    multipart::{self, Part},
    validator::{Kept, Validator},
};

/// All objects of a study.
pub(crate) async fn study(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instances = target.known_instances(&shared, None).await?;
    many(&shared, &target, instances, &headers, &uri).await
}

/// All objects of a series.
pub(crate) async fn series(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instances = target.known_instances(&shared, Some(&target.series()?)).await?;
    many(&shared, &target, instances, &headers, &uri).await
}

/// One object.
pub(crate) async fn instance(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instance = target.known_instance(&shared).await?;
    let stored = std::iter::once(&instance.transfer_syntax);
    let packaging = Accepted::of(&headers, &uri)?.objects(stored, true)?;
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(&target.study()?)).await?;
    let validator = Validator::new(instance.file_sha256.to_string(), Kept::Object);
    if let Some(response) = validator.not_modified(&headers) {
        return Ok(response);
    }
    match packaging {
        Packaging::Multipart => {
            let parts = parts(&shared.storage, vec![instance], target.base);
            Ok(validator.put_on(multipart_answer(DICOM, parts).await?))
        }
        Packaging::Single => {
            let media_type = dicom_media_type(&instance);
            let content = fetch::content(&*shared.storage, &instance, None).await?;
            Ok(validator.put_on(single_answer(&media_type, instance.bytes, Body::from_stream(content))))
        }
    }
}

async fn many(
    shared: &Shared,
    target: &Target,
    instances: Vec<Instance>,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, Problem> {
    let stored = instances.iter().map(|instance| &instance.transfer_syntax);
    Accepted::of(headers, uri)?.objects(stored, false)?;
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(&target.study()?)).await?;
    let parts = parts(&shared.storage, instances, target.base.clone());
    let mut response = multipart_answer(DICOM, parts).await?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

/// An answer of parts. It waits for the first one, so that a store that is away is said by the status.
///
/// # Errors
/// When the first part cannot be had.
pub(crate) async fn multipart_answer(
    payload: &str,
    parts: impl Stream<Item = Result<Part, StorageError>> + Send + 'static,
) -> Result<Response, Problem> {
    let mut parts = Box::pin(parts);
    let first = parts.next().await.transpose()?;
    let parts = stream::iter(first.map(Ok::<Part, io::Error>)).chain(parts.map_err(fetch::broken_off));
    let boundary = multipart::boundary();
    let body = Body::from_stream(multipart::write(&boundary, parts));
    let media_type = multipart::media_type(payload, &boundary);
    Ok(([(header::CONTENT_TYPE, media_type)], body).into_response())
}

/// An answer of one payload.
pub(crate) fn single_answer(media_type: &str, bytes: u64, body: Body) -> Response {
    let headers =
        [(header::CONTENT_TYPE, media_type.to_owned()), (header::CONTENT_LENGTH, bytes.to_string())];
    (headers, body).into_response()
}

fn parts(
    storage: &Arc<dyn Storage>,
    instances: Vec<Instance>,
    base: String,
) -> impl Stream<Item = Result<Part, StorageError>> + Send + use<> {
    let storage = storage.clone();
    stream::iter(instances).then(move |instance| {
        let storage = storage.clone();
        let location = instance_address(&base, &instance);
        async move {
            let content = fetch::content(&*storage, &instance, None).await?;
            Ok(Part { media_type: dicom_media_type(&instance), location, bytes: instance.bytes, content })
        }
    })
}

/// The media type of an object as it is stored.
pub(crate) fn dicom_media_type(instance: &Instance) -> String {
    format!("{DICOM}; transfer-syntax={}", instance.transfer_syntax)
}
