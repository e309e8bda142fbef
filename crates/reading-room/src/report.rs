//! Claim, save, sign.

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    digest::ImageSetDigest,
    port::{
        ChangeError,
        catalog::{EditRefusal, SignRefusal, SignRequest},
    },
    reading::{Claim, ClaimChange, ClaimRefusal},
    report::{KEY_IMAGES_MAX, KeyImage},
    study::StudyKey,
};
use gate::{ClientAddress, Confirmation, ErrorBody, JsonBody, PathPart, Problem, Reader, SignedInPerson};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    marks::MarkedImageInput,
    people::Names,
    pictures::{draft_picture, picture_with},
    room::Room,
    views::{ClaimView, SectionInput, VersionView, content},
};

/// What to do with the claim.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimInput {
    action: ClaimAction,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ClaimAction {
    /// Take it, or renew it. Of a signed study it opens an addendum.
    Take,
    /// Give it back.
    Release,
    /// Take it from whoever holds it.
    TakeOver,
}

/// Who holds the reading now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClaimAnswer {
    claim: Option<ClaimView>,
}

/// A working copy to be saved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportInput {
    /// The revision that was edited; 0 for the first.
    based_on: u64,
    sections: Vec<SectionInput>,
}

/// The working copy was saved.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SavedView {
    revision: u64,
    at: String,
}

/// A signature.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInput {
    /// The signer's own, typed again: a signature has two components (21 CFR 11.200).
    password: String,
    sections: Vec<SectionInput>,
    /// Key images of the draft.
    #[serde(default)]
    key_images: Vec<PictureName>,
    /// Images that were marked in a viewer; they stand before those of the draft.
    #[serde(default)]
    marked_images: Vec<MarkedImageInput>,
    /// The latest version that was on screen; 0 for none.
    after_version: u32,
    /// Digest of the images that were on screen.
    image_set: String,
}

/// Names a picture of the draft.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum PictureName {
    /// By its index, which holds until the draft is renewed.
    Index(u64),
    /// By its SHA-256: also that of a renewed draft, when it has the same picture.
    Digest(String),
}

/// Takes, renews, takes over or gives back a reading.
#[utoipa::path(post, path = "/api/v1/studies/{centre}/{study}/claim", tag = "reading", request_body = ClaimInput,
    params(("centre" = String, Path), ("study" = String, Path)), responses(
    (status = 200, body = ClaimAnswer), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody, description = "held_by_other with by_name, since, until; not_yours")))]
pub(crate) async fn claim(
    State(room): State<Room>,
    Reader(person): Reader,
    PathPart((centre, study)): PathPart<(String, String)>,
    JsonBody(ClaimInput { action }): JsonBody<ClaimInput>,
) -> Result<Json<ClaimAnswer>, Problem> {
    let study = room.study(&person, &centre, &study).await?;
    let change = match action {
        ClaimAction::Take => ClaimChange::Take,
        ClaimAction::Release => ClaimChange::Release,
        ClaimAction::TakeOver => ClaimChange::TakeOver,
    };
    let (me, now) = (person.person.id, room.clock.now());
    let mut names = Names::new(&*room.catalog);
    let reading = match room.catalog.change_claim(&study.key, change, me, now).await {
        Ok(reading) => reading,
        Err(ChangeError::Refused(ClaimRefusal::HeldBy(claim))) => {
            return Err(held_by_other(&claim, names.of(claim.by).await?));
        }
        Err(ChangeError::Refused(ClaimRefusal::NotYours)) => return Err(not_yours()),
        Err(ChangeError::Catalog(error)) => return Err(error.into()),
    };
    let claim = match reading.claim(now) {
        Some(claim) => Some(ClaimView::new(claim, names.of(claim.by).await?, me)),
        None => None,
    };
    Ok(Json(ClaimAnswer { claim }))
}

/// Saves the working copy.
#[utoipa::path(put, path = "/api/v1/studies/{centre}/{study}/report", tag = "reading", request_body = ReportInput,
    params(("centre" = String, Path), ("study" = String, Path)), responses(
    (status = 200, body = SavedView), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody, description = "not_yours; changed_elsewhere with revision"),
    (status = 422, body = ErrorBody)))]
pub(crate) async fn save(
    State(room): State<Room>,
    Reader(person): Reader,
    PathPart((centre, study)): PathPart<(String, String)>,
    JsonBody(ReportInput { based_on, sections }): JsonBody<ReportInput>,
) -> Result<Json<SavedView>, Problem> {
    let study = room.study(&person, &centre, &study).await?;
    let (me, now, text) = (person.person.id, room.clock.now(), content(sections));
    let saved = room.catalog.save_working_copy(&study.key, based_on, me, &text, now).await;
    let copy = saved.map_err(|error| match error {
        ChangeError::Refused(EditRefusal::NotYours) => not_yours(),
        ChangeError::Refused(EditRefusal::Changed { revision }) => {
            Problem::new(StatusCode::CONFLICT, "changed_elsewhere", "The text was changed in another window.")
                .next_step("Compare both texts and save the one that counts.")
                .with("revision", revision)
        }
        ChangeError::Refused(EditRefusal::Content(invalid)) => bad_content(&format!("{invalid}.")),
        ChangeError::Catalog(error) => error.into(),
    })?;
    Ok(Json(SavedView { revision: copy.revision, at: copy.at.to_string() }))
}

/// Signs. The same request again gives the version that it made.
#[utoipa::path(post, path = "/api/v1/studies/{centre}/{study}/sign", tag = "reading", request_body = SignInput,
    params(("centre" = String, Path), ("study" = String, Path)), responses(
    (status = 200, body = VersionView), (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody, description = "wrong_password"), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody, description = "not_yours, images_changed, version_changed"),
    (status = 422, body = ErrorBody, description = "no_impression, content"), (status = 429, body = ErrorBody)))]
pub(crate) async fn sign(
    State(room): State<Room>,
    Reader(person): Reader,
    address: ClientAddress,
    PathPart((centre, study)): PathPart<(String, String)>,
    JsonBody(input): JsonBody<SignInput>,
) -> Result<Json<VersionView>, Problem> {
    let study = room.study(&person, &centre, &study).await?;
    room.confirm_signer(&person, &input.password, address).await?;
    let image_set = ImageSetDigest::parse(&input.image_set)
        .ok_or_else(|| bad_content("The digest of the images is none."))?;
    if input.key_images.len() + input.marked_images.len() > KEY_IMAGES_MAX {
        return Err(bad_content("There are too many key images."));
    }
    let mut key_images = room.chosen_marks(&study.key, &input.marked_images).await?;
    key_images.extend(room.chosen_pictures(&study.key, &input.key_images).await?);
    let request = SignRequest {
        key_images,
        study: study.key,
        signer: person.person.id,
        content: content(input.sections),
        after_version: input.after_version,
        image_set,
    };
    let version = room.catalog.sign(&request, room.clock.now()).await.map_err(|error| match error {
        ChangeError::Refused(refusal) => refused(&refusal),
        ChangeError::Catalog(error) => error.into(),
    })?;
    let versions = room.catalog.versions(&request.study).await?;
    let before = versions.iter().find(|before| before.number + 1 == version.number);
    Ok(Json(VersionView::new(&version, before)))
}

impl Room {
    /// The second component of a signature: the signer's own password.
    async fn confirm_signer(
        &self,
        person: &SignedInPerson,
        password: &str,
        address: ClientAddress,
    ) -> Result<(), Problem> {
        match self.gate.confirm(&person.person.login, password, address).await? {
            Confirmation::Right(signer) if signer.id == person.person.id => Ok(()),
            Confirmation::Right(_) | Confirmation::Wrong => {
                Err(Problem::new(StatusCode::FORBIDDEN, "wrong_password", "This is not your password.")
                    .next_step("Type the password that you sign in with; nothing was signed."))
            }
            Confirmation::TooMany(rest) => Err(rest.problem(self.clock.now())),
        }
    }

    async fn chosen_pictures(
        &self,
        study: &StudyKey,
        chosen: &[PictureName],
    ) -> Result<Vec<KeyImage>, Problem> {
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let draft = self.catalog.draft(study).await?;
        let picture = |name: &PictureName| {
            let draft = draft.as_ref()?;
            match name {
                PictureName::Index(index) => draft_picture(draft, *index),
                PictureName::Digest(digest) => picture_with(draft, digest),
            }
        };
        let pictures: Option<Vec<&KeyImage>> = chosen.iter().map(picture).collect();
        let pictures = pictures.ok_or_else(|| {
            Problem::new(StatusCode::CONFLICT, "images_changed", "The draft and its key images were renewed.")
                .next_step("Look at the key images again, then sign.")
        })?;
        let is_twice = |(place, picture): (usize, &&KeyImage)| pictures[..place].contains(picture);
        if pictures.iter().enumerate().any(is_twice) {
            return Err(bad_content("A key image is chosen twice."));
        }
        Ok(pictures.into_iter().cloned().collect())
    }
}

fn refused(refusal: &SignRefusal) -> Problem {
    let conflict = |code, message| Problem::new(StatusCode::CONFLICT, code, message);
    match refusal {
        SignRefusal::Unknown => Problem::unknown(),
        SignRefusal::NotYours => not_yours(),
        SignRefusal::ImagesChanged => {
            conflict("images_changed", "New images have come since you opened the study.")
                .next_step("Look at them, then sign; your text is kept.")
        }
        SignRefusal::VersionChanged => {
            conflict("version_changed", "Another version was signed since you opened the report.")
                .next_step("Read it, then decide whether an addendum is still needed.")
        }
        SignRefusal::Content(invalid) => bad_content(&format!("{invalid}.")),
        SignRefusal::NoImpression => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_impression", "The impression is empty.")
                .next_step("Write what the images mean, then sign.")
        }
    }
}

fn held_by_other(claim: &Claim, by_name: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, "held_by_other", format!("{by_name} holds this reading."))
        .next_step("Wait, ask them, or take it over.")
        .with("by_name", by_name)
        .with("since", claim.since.to_string())
        .with("until", claim.until.to_string())
}

fn not_yours() -> Problem {
    Problem::new(StatusCode::CONFLICT, "not_yours", "You do not hold this reading.")
        .next_step("Claim it first; your text stays on this page.")
}

pub(crate) fn bad_content(what: &str) -> Problem {
    let mut letters = what.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "content", format!("{first}{}", letters.as_str()))
}
