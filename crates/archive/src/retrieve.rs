//! WADO-RS of whole objects (PS3.18 section 10.4): study, series, instance, as they are stored, or in the transfer syntax that is asked
//! for.

use std::{io, sync::Arc};

use axum::{
    body::Body,
    extract::State as Here,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::{audit::Action, image::Instance};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use gate::Problem;
use imaging::codec;

use crate::{
    Shared, State,
    accept::{Accepted, DICOM, Packaging},
    address::{Target, instance_address},
    fetch,
    multipart::{self, Part},
    transcode,
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
    let (packaging, target_syntax) =
        Accepted::of(&headers, &uri)?.objects(std::iter::once(&instance), true)?;
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(&target.study()?)).await?;
    let validator = Validator::new(transcode::state(&instance, target_syntax), Kept::Object);
    if let Some(response) = validator.not_modified(&headers) {
        return Ok(response);
    }
    match packaging {
        Packaging::Multipart => {
            let parts = parts(&shared, vec![instance], target.base, target_syntax);
            Ok(validator.put_on(multipart_answer(DICOM, parts).await?))
        }
        Packaging::Single => {
            let part = part(&shared, &instance, &target.base, target_syntax).await?;
            Ok(validator.put_on(single_answer(&part.media_type, part.bytes, Body::from_stream(part.content))))
        }
    }
}

async fn many(
    shared: &State,
    target: &Target,
    instances: Vec<Instance>,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, Problem> {
    let (_, target_syntax) = Accepted::of(headers, uri)?.objects(instances.iter(), false)?;
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(&target.study()?)).await?;
    let parts = parts(shared, instances, target.base.clone(), target_syntax);
    let mut response = multipart_answer(DICOM, parts).await?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

/// An answer of parts. It waits for the first one, so that a store that is away, and an image that cannot be decoded, is said by the
/// status.
///
/// # Errors
/// When the first part cannot be had.
pub(crate) async fn multipart_answer(
    payload: &str,
    parts: impl Stream<Item = Result<Part, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let mut parts = Box::pin(parts);
    let first = parts.next().await.transpose()?;
    let parts = stream::iter(first.map(Ok::<Part, io::Error>)).chain(parts.map_err(fetch::ended));
    let boundary = multipart::boundary();
    let body = Body::from_stream(multipart::write(&boundary, parts));
    let media_type = multipart::media_type(payload, &boundary);
    Ok(([(header::CONTENT_TYPE, media_type)], body).into_response())
}

/// An answer of one payload; without a length where that is not known yet.
pub(crate) fn single_answer(media_type: &str, bytes: Option<u64>, body: Body) -> Response {
    let mut response = ([(header::CONTENT_TYPE, media_type.to_owned())], body).into_response();
    if let Some(bytes) = bytes {
        response.headers_mut().insert(header::CONTENT_LENGTH, bytes.into());
    }
    response
}

fn parts(
    shared: &State,
    instances: Vec<Instance>,
    base: String,
    target: Option<codec::Target>,
) -> impl Stream<Item = Result<Part, Problem>> + Send + use<> {
    let shared = Arc::clone(shared);
    stream::iter(instances).then(move |instance| {
        let (shared, base) = (Arc::clone(&shared), base.clone());
        async move { part(&shared, &instance, &base, target).await }
    })
}

/// One object, as it is stored or written in another transfer syntax.
async fn part(
    shared: &Shared,
    instance: &Instance,
    base: &str,
    target: Option<codec::Target>,
) -> Result<Part, Problem> {
    let location = instance_address(base, instance);
    let other = target.filter(|target| target.uid() != instance.transfer_syntax.as_str());
    let Some(target) = other else {
        let content = fetch::content(&*shared.storage, instance, None).await?;
        let media_type = dicom_media_type(instance);
        return Ok(Part { media_type, location, bytes: Some(instance.bytes), content });
    };
    let made = async {
        let made = transcode::data_set(&shared.storage, &shared.pixels, instance, target).await?;
        let meta = transcode::file_meta(instance, &made.transfer_syntax)?;
        Ok((made, meta))
    };
    let (made, meta) = made.await.map_err(|error| transcode::not_transcoded(error, instance))?;
    let bytes = made.bytes.map(|bytes| bytes + meta.len() as u64);
    let media_type = format!("{DICOM}; transfer-syntax={}", made.transfer_syntax);
    let content = stream::iter([Ok(meta)]).chain(made.content).boxed();
    Ok(Part { media_type, location, bytes, content })
}

/// The media type of an object as it is stored.
pub(crate) fn dicom_media_type(instance: &Instance) -> String {
    format!("{DICOM}; transfer-syntax={}", instance.transfer_syntax)
}
