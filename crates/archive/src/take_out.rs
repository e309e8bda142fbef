//! `DELETE` of a study, which DICOMweb does not have: for administrators, in two steps (decision 19).
//!
//! The first request, without a body, takes nothing out: it is answered with 428 (RFC 6585 section 3), what would go, and a confirmation
//! that holds for a while and for these images. The same request with that confirmation and a reason in its body takes the study out. So a
//! client that knows nothing of this is never told that something was deleted.

use axum::{
    Json,
    body::Bytes,
    extract::State as Here,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use domain::{
    Duration, Timestamp,
    audit::Action,
    digest::{ImageSetDigest, Sha256Digest},
    person::{Role, Scope},
    port::{
        ChangeError,
        catalog::{BringBackRefusal, REASON_CHARS_MAX, TakeOut, TakeOutRefusal},
    },
    study::StudyKey,
};
use gate::{Caller, Problem};
use serde::Deserialize;
use serde_json::json;

use crate::{State, address::Target};

/// How long a confirmation holds: long enough to read what would go and to write a reason.
pub(crate) const CONFIRMATION_MINUTES: i64 = 10;

/// Most studies that are listed, the latest; of older ones the audit tells.
const LISTED_MAX: u32 = 1_000;

/// The body of the second request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmed {
    confirmation: String,
    reason: String,
}

/// Looks at a study that is to go, or takes it out.
pub(crate) async fn study(
    Here(shared): Here<State>,
    target: Target,
    body: Bytes,
) -> Result<Response, Problem> {
    target.caller.require_role(&[Role::Admin])?;
    let key = target.study()?;
    let now = shared.clock.now();
    let (study, images) = shared.catalog.before_take_out(&key, now).await.map_err(refused)?;
    let until = now + Duration::from_hours(24 * i64::from(shared.config.taken_out_days));
    if body.is_empty() {
        let expires = now + Duration::from_mins(CONFIRMATION_MINUTES);
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "confirmation_needed",
            "Nothing was taken out. This study goes only with a confirmation and a reason.",
        )
        .next_step(format!(
            "Look at what would go. To take it out, send the same request within {CONFIRMATION_MINUTES} minutes with the JSON body \
             {{\"confirmation\": \"…\", \"reason\": \"…\"}}."
        ))
        .with("confirmation", confirmation(&target.caller, &key, images.digest, expires.as_second()))
        .with("confirmation_expires", expires.to_string())
        .with("series", study.series_count)
        .with("instances", study.instance_count)
        .with("bytes", study.bytes)
        .with("signed", false)
        .with("until", until.to_string()));
    }
    let Confirmed { confirmation: given, reason } = serde_json::from_slice(&body).map_err(|_| {
        Problem::bad_request("The body is not {\"confirmation\": \"…\", \"reason\": \"…\"} as JSON.")
            .next_step("Send the request without a body first; its answer has a confirmation.")
    })?;
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "reason_missing",
            format!("A reason has 1 to {REASON_CHARS_MAX} characters."),
        )
        .next_step("Say in a sentence why the study goes."));
    }
    if !is_good(&given, &target.caller, &key, images.digest, now) {
        return Err(changed());
    }
    let wanted = TakeOut {
        study: key,
        image_set: images.digest,
        by: target.caller.actor(),
        reason: reason.to_owned(),
        until,
    };
    let out = shared.catalog.take_out(&wanted, now).await.map_err(refused)?;
    Ok(Json(json!({
        "series": out.study.series_count,
        "instances": out.study.instance_count,
        "bytes": out.study.bytes,
        "until": out.until.to_string(),
    }))
    .into_response())
}

/// Studies of the centre that were taken out, the latest first. Administrators alone see them, since a reason may name a patient.
pub(crate) async fn list(Here(shared): Here<State>, target: Target) -> Result<Response, Problem> {
    target.caller.require_role(&[Role::Admin])?;
    target.require_centre(&shared).await?;
    let scope = Scope::Centres(vec![target.centre.clone()]);
    let found = shared.catalog.taken_out(&scope, LISTED_MAX).await?;
    let now = shared.clock.now();
    shared.note(&target.caller, Action::ListViewed, &target.centre, None).await?;
    let studies = found.iter().map(|out| {
        let attributes = &out.study.attributes;
        json!({
            "study": out.study.key.uid.as_str(),
            "patient_id": attributes.patient_id.as_ref().map(|id| id.as_str()),
            "patient_name": attributes.patient_name.as_ref().map(|name| name.as_str()),
            "study_date": attributes.study_date.map(|date| date.to_string()),
            "description": attributes.description,
            "series": out.study.series_count,
            "instances": out.study.instance_count,
            "bytes": out.study.bytes,
            "taken_out": out.at.to_string(),
            "by": out.by,
            "reason": out.reason,
            "until": out.until.to_string(),
            "can_come_back": !out.is_over && out.until > now,
            "refused_since": out.refused_count,
            "last_refused": out.last_refused.map(|at| at.to_string()),
        })
    });
    Ok(Json(json!({"studies": studies.collect::<Vec<_>>()})).into_response())
}

/// Brings a study back.
pub(crate) async fn bring_back(Here(shared): Here<State>, target: Target) -> Result<StatusCode, Problem> {
    target.caller.require_role(&[Role::Admin])?;
    let now = shared.clock.now();
    let back = shared.catalog.bring_back(&target.study()?, &target.caller.actor(), now).await;
    back.map(|()| StatusCode::NO_CONTENT).map_err(|error| match error {
        ChangeError::Catalog(error) => error.into(),
        ChangeError::Refused(BringBackRefusal::Unknown) => Problem::unknown(),
        ChangeError::Refused(BringBackRefusal::Over) => Problem::new(
            StatusCode::GONE,
            "time_over",
            "The time in which this study could come back is over.",
        )
        .next_step("Have it sent again from its source, once it has left this list."),
        ChangeError::Refused(BringBackRefusal::ImageElsewhere) => conflict(
            "image_elsewhere",
            "An image of this study came again since, in another study, and an image is in one study only.",
        )
        .next_step("Take that other study out first, if it is the wrong one."),
    })
}

/// A text that says who saw which images, and until when it counts. It is no secret: who may use it may also ask for it. It makes sure
/// that somebody has seen what goes.
fn confirmation(caller: &Caller, key: &StudyKey, images: ImageSetDigest, expires: i64) -> String {
    let StudyKey { centre, uid } = key;
    let words = format!("take out\n{}\n{centre}\n{uid}\n{images}\n{expires}", caller.actor().text());
    format!("{expires}-{}", Sha256Digest::of(words.as_bytes()).short())
}

fn is_good(given: &str, caller: &Caller, key: &StudyKey, images: ImageSetDigest, now: Timestamp) -> bool {
    let Some(expires) = given.split_once('-').and_then(|(expires, _)| expires.parse::<i64>().ok()) else {
        return false;
    };
    (now.as_second()..=now.as_second() + CONFIRMATION_MINUTES * 60).contains(&expires)
        && given == confirmation(caller, key, images, expires)
}

fn conflict(code: &'static str, message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, message)
}

fn changed() -> Problem {
    conflict(
        "confirmation_stale",
        "Nothing was taken out. The confirmation is too old, or is not for these images.",
    )
    .next_step("Send the request without a body again, and look at what would go.")
}

fn refused(error: ChangeError<TakeOutRefusal>) -> Problem {
    match error {
        ChangeError::Catalog(error) => error.into(),
        ChangeError::Refused(TakeOutRefusal::Unknown) => Problem::unknown(),
        ChangeError::Refused(TakeOutRefusal::Changed) => changed(),
        ChangeError::Refused(TakeOutRefusal::Signed) => conflict(
            "report_signed",
            "A report is signed on this study. The report stands on its images, so they stay.",
        )
        .next_step("If the report is wrong, sign a correction."),
        ChangeError::Refused(TakeOutRefusal::Held { until }) => {
            conflict("study_held", "A reader holds this study.")
                .next_step("Ask them to give it back, or wait until their claim ends.")
                .with("held_until", until.to_string())
        }
        ChangeError::Refused(TakeOutRefusal::InConflict) => conflict(
            "conflict_open",
            "A conflict of this study is open, or was decided between this study and another one.",
        )
        .next_step(
            "Look at its conflicts. One that is open is decided first; images that two studies share stay.",
        ),
    }
}
