//! Key images: of a draft and of a signed version.

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use domain::{
    digest::Sha256Digest,
    object::{ObjectKey, ObjectName},
    port::{Storage, StorageError},
    report::{Draft, KEY_IMAGES_MAX, KeyImage},
};
use gate::{ErrorBody, PathPart, Problem, Reader, SignedInPerson};

use crate::room::Room;

/// Most bytes of one picture; a PNG of 1024 x 1024 grey pixels stays far below.
pub(crate) const PICTURE_BYTES_MAX: usize = 16 << 20;

/// Indices of one draft; larger than any draft has pictures.
const INDICES: u64 = 100;
const _: () = assert!(KEY_IMAGES_MAX < 100);

/// The index of a draft's picture. It names the draft too, so that a renewed draft never puts another picture behind an index that a
/// reader saw and chose to sign.
pub(crate) fn draft_index(draft: &Draft, place: usize) -> u64 {
    draft.images.generation.saturating_mul(INDICES).saturating_add(place as u64)
}

/// The picture of a draft with an index; `None` when there is none, or the index is of another draft. A bare place (less than
/// 100) means the draft there is.
pub(crate) fn draft_picture(draft: &Draft, index: u64) -> Option<&KeyImage> {
    let place = index % INDICES;
    if index >= INDICES && index / INDICES != draft.images.generation {
        return None;
    }
    draft.content.key_images.get(usize::try_from(place).ok()?)
}

/// The picture of a draft with a digest.
pub(crate) fn picture_with<'a>(draft: &'a Draft, digest: &str) -> Option<&'a KeyImage> {
    let digest_of = |image: &KeyImage| image.object.name().map(|name| name.sha256().to_string());
    draft.content.key_images.iter().find(|image| digest_of(image).as_deref() == Some(digest))
}

/// Reads a picture and compares it with the digest in its name.
pub(crate) async fn read_picture(storage: &dyn Storage, image: &KeyImage) -> Result<Vec<u8>, StorageError> {
    read_object(storage, &image.object, PICTURE_BYTES_MAX).await
}

/// An object that is named by its digest, checked against it.
pub(crate) async fn read_object(
    storage: &dyn Storage,
    object: &ObjectKey,
    bytes_max: usize,
) -> Result<Vec<u8>, StorageError> {
    let bytes = storage.read(&object.clone().into(), None).await?.collect(bytes_max).await?;
    let promised = object.name().map(|name: ObjectName| name.sha256());
    if promised != Some(Sha256Digest::of(&bytes)) {
        return Err(StorageError::Corrupt(object.clone()));
    }
    Ok(bytes)
}

/// A picture of the latest draft.
#[utoipa::path(get, path = "/api/v1/studies/{centre}/{study}/key-images/{index}", tag = "reading",
    params(("centre" = String, Path), ("study" = String, Path), ("index" = u64, Path)), responses(
    (status = 200, content_type = "image/png"), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn of_draft(
    State(room): State<Room>,
    Reader(person): Reader,
    PathPart((centre, study, index)): PathPart<(String, String, u64)>,
) -> Result<Response, Problem> {
    let study = room.study(&person, &centre, &study).await?;
    room.note_study_viewed(&person, &study.key).await?;
    let draft = room.catalog.draft(&study.key).await?.ok_or_else(Problem::unknown)?;
    let image = draft_picture(&draft, index).ok_or_else(Problem::unknown)?;
    Ok(png(read_picture(&*room.storage, image).await?))
}

/// A picture of a signed version.
#[utoipa::path(get, path = "/api/v1/studies/{centre}/{study}/versions/{number}/key-images/{index}", tag = "reading",
    params(("centre" = String, Path), ("study" = String, Path), ("number" = u32, Path), ("index" = u64, Path)), responses(
    (status = 200, content_type = "image/png"), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn of_version(
    State(room): State<Room>,
    person: SignedInPerson,
    PathPart((centre, study, number, index)): PathPart<(String, String, u32, usize)>,
) -> Result<Response, Problem> {
    let study = room.study(&person, &centre, &study).await?;
    room.note_study_viewed(&person, &study.key).await?;
    let versions = room.catalog.versions(&study.key).await?;
    let version = versions.iter().find(|version| version.number == number);
    let image = version.and_then(|version| version.key_images.get(index)).ok_or_else(Problem::unknown)?;
    Ok(png(read_picture(&*room.storage, image).await?))
}

fn png(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "image/png")], Body::from(bytes)).into_response()
}
