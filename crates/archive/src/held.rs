//! Both objects of a conflict: a picture of each for those who may see it, and the object itself for administrators. One of them is what
//! no other address gives: it was refused, or set aside. Not part of DICOMweb.

use axum::{
    body::Body,
    extract::State as Here,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::Response,
};
use domain::{
    audit::Action,
    conflict::{ConflictId, Matter},
    image::Instance,
    person::Role,
    study::StudyKey,
};
use gate::{Caller, Problem};

use crate::{
    Shared, State,
    address::Target,
    fetch,
    rendered::{self, Pick, Wish},
    retrieve,
};

/// Longest side of a picture, in pixels: two stand side by side.
const EDGE: u32 = 512;

/// A picture of one of both objects.
pub(crate) async fn picture(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let (instance, study) = side(&shared, &target).await?;
    let wish = Wish::read(&headers, &uri, Some(EDGE))?;
    rendered::show(&shared, &target, &study, Pick { instance, number: 1 }, &headers, wish).await
}

/// One of both objects, as it is stored.
pub(crate) async fn file(Here(shared): Here<State>, target: Target) -> Result<Response, Problem> {
    let (instance, study) = side(&shared, &target).await?;
    target.caller.require_role(&[Role::Admin])?;
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(&study)).await?;
    let content = fetch::content(&*shared.storage, &instance, None).await?;
    let media_type = retrieve::dicom_media_type(&instance);
    let mut response = retrieve::single_answer(&media_type, Some(instance.bytes), Body::from_stream(content));
    let name = format!("attachment; filename=\"{}.dcm\"", instance.sop_instance);
    if let Ok(name) = HeaderValue::try_from(name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// The object that a path names, and the study in which people look for it. Programs have no conflicts to look at.
async fn side(shared: &Shared, target: &Target) -> Result<(Instance, StudyKey), Problem> {
    match &target.caller {
        Caller::Person(_) => {}
        Caller::Program(_) => return Err(Problem::forbidden()),
    }
    let id = ConflictId::parse(target.part("conflict")?).ok_or_else(Problem::unknown)?;
    let conflict = shared.catalog.conflict(&target.centre, &id).await?.ok_or_else(Problem::unknown)?;
    let study = StudyKey { centre: target.centre.clone(), uid: conflict.study().clone() };
    let (first, second) = match conflict.matter {
        Matter::Contents(contents) => (Some(contents.first), Some(contents.second)),
        Matter::Patient(other) => other.samples,
    };
    let instance = match target.part("side")? {
        "first" => first,
        "second" => second,
        _ => None,
    };
    Ok((instance.ok_or_else(Problem::unknown)?, study))
}
