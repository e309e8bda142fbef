//! WADO-RS of bulk data (PS3.18 section 10.4.1.1.5): binary values that metadata name by address, and the
//! pixels as a whole.

use axum::{
    body::Body,
    extract::State as Here,
    http::{HeaderMap, Uri},
    response::Response,
};
use bytes::Bytes;
use domain::audit::Action;
use futures::{StreamExt as _, future, stream};
use gate::Problem;
use imaging::json;

use crate::{
    State,
    accept::{Accepted, OCTET_STREAM, Packaging},
    address::{Target, instance_address},
    conversion::{self, HeaderError},
    frames::{self, Form},
    multipart::Part,
    retrieve::{multipart_answer, single_answer},
    validator::{Kept, Validator},
};

/// The address of the pixels below that of an instance's bulk data.
const PIXELS: &str = "7FE00010";
/// Deepest place of a value: sequences in each other as deep as the guard lets in.
const PLACE_CHARS_MAX: usize = 16 * imaging::guard::DEPTH_MAX;

/// A binary value of an instance, or its pixels.
pub(crate) async fn bulk_data(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let place = target.part("place")?.to_owned();
    if place.len() > PLACE_CHARS_MAX {
        return Err(Problem::unknown());
    }
    let instance = target.known_instance(&shared).await?;
    let accepted = Accepted::of(&headers, &uri)?;
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(&target.study()?)).await?;
    let validator = Validator::new(instance.file_sha256.to_string(), Kept::Object);
    if let Some(response) = validator.not_modified(&headers) {
        return Ok(response);
    }
    let address = instance_address(&target.base, &instance);
    if place.eq_ignore_ascii_case(PIXELS) {
        let count = instance.attributes.frames.unwrap_or(1).clamp(1, imaging::frames::FRAMES_MAX);
        let (form, packaging) = Form::choose(&instance, &accepted, count == 1)?;
        let numbers: Vec<u32> = (1..=count).collect();
        let parts = frames::parts(&shared, instance, &numbers, form.clone(), address).await?;
        return Ok(validator.put_on(frames::answer(packaging, &form, parts).await?));
    }
    let packaging = frames::choose_bytes(&accepted)?;
    let header = conversion::beginning(&*shared.storage, &instance).await?.header;
    let location = format!("{address}/bulkdata/{place}");
    let value = conversion::with_header(header.bytes.len(), move || json::bulk(&header, &place));
    let value = value.await?.map_err(HeaderError::Refused)?.ok_or_else(Problem::unknown)?;
    let bytes = value.len() as u64;
    let content = stream::once(future::ready(Ok(Bytes::from(value)))).boxed();
    let part = Part { media_type: OCTET_STREAM.to_owned(), location, bytes: Some(bytes), content };
    Ok(validator.put_on(match packaging {
        Packaging::Multipart => multipart_answer(OCTET_STREAM, stream::iter([Ok(part)])).await?,
        Packaging::Single => single_answer(OCTET_STREAM, Some(bytes), Body::from_stream(part.content)),
    }))
}
