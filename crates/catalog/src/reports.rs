//! Drafts, working copies, signed versions.

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::{Action, Actor},
    digest::{ImageSetDigest, Sha256Digest},
    event::Event,
    id::PersonId,
    object::ObjectKey,
    port::catalog::{ChangeError, DraftOutcome, EditRefusal, Known, Reports, SignRefusal, SignRequest},
    report::{
        Draft, KeyImage, ReportContent, ReportVersion, SectionKind, Signature, SignedFacts, VersionKind,
        WorkingCopy, signed_bytes,
    },
    study::{ImageSet, StudyKey},
};
use sqlx::{AnyConnection, any::AnyRow};

use crate::{
    SqlCatalog,
    database::{Change, read, transact},
    directory,
    error::Problem,
    images::{image_set_of, row},
    outbox::{self, NewRow},
    sql::{Columns as _, Sql, json, kept},
    trail::audit_study,
    upkeep::{take_removed, was_removed},
    wire::{WireDraft, WireKeyImage},
};

async fn put_draft(change: &mut Change, draft: &Draft) -> Result<DraftOutcome, Problem> {
    let key = &draft.study;
    if row::lock(change, key).await?.is_none() {
        return Err(Problem::Missing("study"));
    }
    let latest = Sql::new("SELECT MAX(generation) AS latest FROM draft WHERE centre = $1 AND study = $2")
        .bind(&key.centre)
        .bind(&key.uid)
        .first(change)
        .await?;
    let latest: Option<u64> = latest.map_or(Ok(None), |row| row.number_maybe("latest"))?;
    if latest.is_some_and(|latest| latest >= draft.images.generation) {
        return Ok(DraftOutcome::AlreadyThere);
    }
    Sql::new(
        "INSERT INTO draft (centre, study, generation, image_digest, image_count, at, content)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&key.centre)
    .bind(&key.uid)
    .bind(draft.images.generation)
    .bind(draft.images.digest)
    .bind(draft.images.count)
    .bind(draft.at)
    .bind(json(&WireDraft::new(&draft.content)))
    .execute(change)
    .await?;
    let detail = format!("of {} images, generation {}", draft.images.count, draft.images.generation);
    let actor = Actor::Role("reporter");
    audit_study(change, &actor, Action::Drafted, key, &detail, draft.at).await?;
    Ok(DraftOutcome::Kept)
}

async fn latest_draft(connection: &mut AnyConnection, key: &StudyKey) -> Result<Option<Draft>, Problem> {
    let row =
        Sql::new("SELECT * FROM draft WHERE centre = $1 AND study = $2 ORDER BY generation DESC LIMIT 1")
            .bind(&key.centre)
            .bind(&key.uid)
            .first(connection)
            .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Draft {
        study: key.clone(),
        images: ImageSet {
            generation: row.number("generation")?,
            digest: row.parsed("image_digest", ImageSetDigest::parse)?,
            count: row.number("image_count")?,
        },
        at: row.time("at")?,
        content: row.json::<WireDraft>("content")?.read().ok_or(Problem::Unreadable { column: "content" })?,
    }))
}

async fn working_copy(
    connection: &mut AnyConnection,
    key: &StudyKey,
) -> Result<Option<WorkingCopy>, Problem> {
    let row = Sql::new("SELECT * FROM working_copy WHERE centre = $1 AND study = $2")
        .bind(&key.centre)
        .bind(&key.uid)
        .first(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(WorkingCopy {
        study: key.clone(),
        revision: row.number("revision")?,
        by: row.parsed("person", |text| PersonId::parse(text).ok())?,
        at: row.time("at")?,
        content: row.json("content")?,
    }))
}

/// Saves a working copy. It is saved while somebody types, so the audit has a line for the first save and for every change of hands.
async fn save(
    change: &mut Change,
    copy: WorkingCopy,
    based_on: u64,
) -> Result<Result<WorkingCopy, EditRefusal>, Problem> {
    let key = &copy.study;
    let row = row::lock(change, key).await?;
    let holds = row.is_some_and(|row| row.reading.claim(copy.at).is_some_and(|claim| claim.by == copy.by));
    if !holds {
        return Ok(Err(EditRefusal::NotYours));
    }
    let before = working_copy(change, key).await?;
    let revision = before.as_ref().map_or(0, |before| before.revision);
    if revision != based_on {
        return Ok(Err(EditRefusal::Changed { revision }));
    }
    let copy = WorkingCopy { revision: revision + 1, ..copy };
    Sql::new(
        "INSERT INTO working_copy (centre, study, revision, person, at, content) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (centre, study) DO UPDATE SET revision = excluded.revision, person = excluded.person,
             at = excluded.at, content = excluded.content",
    )
    .bind(&copy.study.centre)
    .bind(&copy.study.uid)
    .bind(copy.revision)
    .bind(copy.by)
    .bind(copy.at)
    .bind(json(&copy.content))
    .execute(change)
    .await?;
    if before.is_none_or(|before| before.by != copy.by) {
        let actor = Actor::Person(copy.by);
        audit_study(change, &actor, Action::Edited, &copy.study, "working copy begun", copy.at).await?;
    }
    Ok(Ok(copy))
}

fn version_of(row: &AnyRow) -> Result<ReportVersion, Problem> {
    let key_images: Vec<WireKeyImage> = row.json("key_images")?;
    let key_images: Option<Vec<KeyImage>> = key_images.into_iter().map(WireKeyImage::read).collect();
    Ok(ReportVersion {
        study: StudyKey { centre: row.centre("centre")?, uid: row.study_uid("study")? },
        number: row.number("number")?,
        kind: row.parsed("kind", VersionKind::parse)?,
        content: row.json("content")?,
        key_images: key_images.ok_or(Problem::Unreadable { column: "key_images" })?,
        signature: Signature {
            signer: row.parsed("signer", |text| PersonId::parse(text).ok())?,
            signer_name: row.text("signer_name")?,
            signer_credentials: row.text_maybe("signer_credentials")?,
            at: row.time("at")?,
            images: ImageSet {
                generation: row.number("image_generation")?,
                digest: row.parsed("image_digest", ImageSetDigest::parse)?,
                count: row.number("image_count")?,
            },
            hash: row.digest("hash")?,
        },
    })
}

async fn versions(connection: &mut AnyConnection, key: &StudyKey) -> Result<Vec<ReportVersion>, Problem> {
    let rows = Sql::new("SELECT * FROM report_version WHERE centre = $1 AND study = $2 ORDER BY number")
        .bind(&key.centre)
        .bind(&key.uid)
        .all(connection)
        .await?;
    rows.iter().map(version_of).collect()
}

async fn numbered_version(
    connection: &mut AnyConnection,
    key: &StudyKey,
    number: u32,
) -> Result<Option<ReportVersion>, Problem> {
    let row = Sql::new("SELECT * FROM report_version WHERE centre = $1 AND study = $2 AND number = $3")
        .bind(&key.centre)
        .bind(&key.uid)
        .bind(number)
        .first(connection)
        .await?;
    row.as_ref().map(version_of).transpose()
}

async fn pdf(
    connection: &mut AnyConnection,
    key: &StudyKey,
    version: u32,
) -> Result<Option<ObjectKey>, Problem> {
    let row = Sql::new("SELECT object FROM report_pdf WHERE centre = $1 AND study = $2 AND number = $3")
        .bind(&key.centre)
        .bind(&key.uid)
        .bind(version)
        .first(connection)
        .await?;
    row.map(|row| row.parsed("object", ObjectKey::parse)).transpose()
}

async fn put_pdf(
    change: &mut Change,
    key: &StudyKey,
    version: u32,
    object: &ObjectKey,
) -> Result<Option<ObjectKey>, Problem> {
    if numbered_version(change, key, version).await?.is_none() {
        return Ok(None);
    }
    Sql::new(
        "INSERT INTO report_pdf (centre, study, number, object) VALUES ($1, $2, $3, $4)
         ON CONFLICT (centre, study, number) DO NOTHING",
    )
    .bind(&key.centre)
    .bind(&key.uid)
    .bind(version)
    .bind(object)
    .execute(change)
    .await?;
    pdf(change, key, version).await
}

/// Whether a version is what this request made when it came before.
fn is_answered_by(request: &SignRequest, version: &ReportVersion) -> bool {
    version.number == request.after_version.saturating_add(1)
        && version.signature.signer == request.signer
        && version.content == request.content
        && version.key_images == request.key_images
        && version.signature.images.digest == request.image_set
}

fn refusal_of_content(content: &ReportContent) -> Option<SignRefusal> {
    if let Err(invalid) = content.check() {
        return Some(SignRefusal::Content(invalid));
    }
    content.text(SectionKind::Impression).trim().is_empty().then_some(SignRefusal::NoImpression)
}

async fn sign(
    change: &mut Change,
    request: &SignRequest,
    at: Timestamp,
) -> Result<Result<ReportVersion, SignRefusal>, Problem> {
    let Some(row) = row::lock(change, &request.study).await? else {
        return Ok(Err(SignRefusal::Unknown));
    };
    let latest = numbered_version(change, &request.study, row.signed_version()).await?;
    if let Some(version) = latest.as_ref().filter(|version| is_answered_by(request, version)) {
        return Ok(Ok(version.clone()));
    }
    if let Some(refusal) = refusal_of_content(&request.content) {
        return Ok(Err(refusal));
    }
    if row.signed_version() != request.after_version {
        return Ok(Err(SignRefusal::VersionChanged));
    }
    if row.reading.claim(at).is_none_or(|claim| claim.by != request.signer) {
        return Ok(Err(SignRefusal::NotYours));
    }
    let images = image_set_of(change, &row.study).await?;
    if images.digest != request.image_set {
        return Ok(Err(SignRefusal::ImagesChanged));
    }
    let Some(signer) = directory::signer(change, request.signer).await? else {
        return Ok(Err(SignRefusal::NotYours));
    };
    let previous = latest.map(|version| version.signature.hash);
    let version = signed_version(request, images, signer, previous, at);
    write_version(change, &version).await?;
    end_reading(change, &version).await?;
    let detail = format!("version {}, {} images", version.number, version.signature.images.count);
    let actor = Actor::Person(request.signer);
    audit_study(change, &actor, Action::Signed, &request.study, &detail, at).await?;
    let event = Event::ReportSignedV1 {
        centre: request.study.centre.to_string(),
        study: request.study.uid.to_string(),
        version: version.number,
    };
    let (centre, study, lane) = (&request.study.centre, &request.study.uid, row.study.priority);
    outbox::write(change, NewRow { centre, study: Some(study), lane, event, due: at }).await?;
    Ok(Ok(version))
}

fn signed_version(
    request: &SignRequest,
    images: ImageSet,
    (signer_name, signer_credentials): (String, Option<String>),
    previous: Option<Sha256Digest>,
    at: Timestamp,
) -> ReportVersion {
    let kind = if request.after_version == 0 { VersionKind::Final } else { VersionKind::Addendum };
    let number = request.after_version + 1;
    let facts = SignedFacts {
        study: &request.study,
        number,
        kind,
        content: &request.content,
        key_images: &request.key_images,
        signer: request.signer,
        signer_name: &signer_name,
        at,
        image_set: images.digest,
        previous,
    };
    let hash = Sha256Digest::of(&signed_bytes(&facts));
    ReportVersion {
        study: request.study.clone(),
        number,
        kind,
        content: request.content.clone(),
        key_images: request.key_images.clone(),
        signature: Signature { signer: request.signer, signer_name, signer_credentials, at, images, hash },
    }
}

async fn write_version(change: &mut Change, version: &ReportVersion) -> Result<(), Problem> {
    let signature = &version.signature;
    Sql::new(
        "INSERT INTO report_version (centre, study, number, kind, content, key_images, signer, signer_name,
             signer_credentials, at, image_generation, image_digest, image_count, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(&version.study.centre)
    .bind(&version.study.uid)
    .bind(version.number)
    .bind(version.kind.as_str())
    .bind(json(&version.content))
    .bind(json(&version.key_images.iter().map(WireKeyImage::new).collect::<Vec<_>>()))
    .bind(signature.signer)
    .bind(&signature.signer_name)
    .bind(&signature.signer_credentials)
    .bind(signature.at)
    .bind(signature.images.generation)
    .bind(signature.images.digest)
    .bind(signature.images.count)
    .bind(signature.hash)
    .execute(change)
    .await?;
    Ok(())
}

/// The reading is signed: claim and working copy end.
async fn end_reading(change: &mut Change, version: &ReportVersion) -> Result<(), Problem> {
    Sql::new(
        "UPDATE study SET signed_version = $3, signed_at = $4, signed_generation = $5,
             claim_by = NULL, claim_since = NULL, claim_until = NULL
         WHERE centre = $1 AND study = $2",
    )
    .bind(&version.study.centre)
    .bind(&version.study.uid)
    .bind(version.number)
    .bind(version.signature.at)
    .bind(version.signature.images.generation)
    .execute(change)
    .await?;
    Sql::new("DELETE FROM working_copy WHERE centre = $1 AND study = $2")
        .bind(&version.study.centre)
        .bind(&version.study.uid)
        .execute(change)
        .await?;
    Ok(())
}

#[async_trait]
impl Reports for SqlCatalog {
    async fn put_draft(&self, draft: &Draft) -> Known<DraftOutcome> {
        let objects = || draft.content.key_images.iter().map(|image| image.object.to_string());
        let kept = transact!(self, "keeping a draft", |change| async {
            if !take_removed(change, objects()).await?.is_empty() {
                return Ok(None);
            }
            put_draft(change, draft).await.map(Some)
        })?;
        kept.ok_or_else(|| was_removed("keeping a draft"))
    }

    async fn draft(&self, study: &StudyKey) -> Known<Option<Draft>> {
        read!(self, "looking up a draft", |connection| latest_draft(connection, study))
    }

    async fn save_working_copy(
        &self,
        study: &StudyKey,
        based_on: u64,
        by: PersonId,
        content: &ReportContent,
        at: Timestamp,
    ) -> Result<WorkingCopy, ChangeError<EditRefusal>> {
        if let Err(invalid) = content.check() {
            return Err(ChangeError::Refused(EditRefusal::Content(invalid)));
        }
        let copy =
            || WorkingCopy { study: study.clone(), revision: 0, by, at: kept(at), content: content.clone() };
        let saved = transact!(self, "saving a working copy", |change| save(change, copy(), based_on));
        saved.map_err(ChangeError::Catalog)?.map_err(ChangeError::Refused)
    }

    async fn working_copy(&self, study: &StudyKey) -> Known<Option<WorkingCopy>> {
        read!(self, "looking up a working copy", |connection| working_copy(connection, study))
    }

    async fn sign(
        &self,
        request: &SignRequest,
        at: Timestamp,
    ) -> Result<ReportVersion, ChangeError<SignRefusal>> {
        let objects = || request.key_images.iter().map(|image| image.object.to_string());
        let signed = transact!(self, "signing a report", |change| async {
            if !take_removed(change, objects()).await?.is_empty() {
                return Ok(None);
            }
            sign(change, request, kept(at)).await.map(Some)
        });
        let signed = signed.map_err(ChangeError::Catalog)?;
        let signed = signed.ok_or_else(|| ChangeError::Catalog(was_removed("signing a report")))?;
        signed.map_err(ChangeError::Refused)
    }

    async fn versions(&self, study: &StudyKey) -> Known<Vec<ReportVersion>> {
        read!(self, "listing report versions", |connection| versions(connection, study))
    }

    async fn put_pdf(&self, study: &StudyKey, version: u32, object: &ObjectKey) -> Known<Option<ObjectKey>> {
        let noted = transact!(self, "noting a report's PDF", |change| async {
            if !take_removed(change, [object.to_string()]).await?.is_empty() {
                return Ok(None);
            }
            put_pdf(change, study, version, object).await.map(Some)
        })?;
        noted.ok_or_else(|| was_removed("noting a report's PDF"))
    }

    async fn pdf(&self, study: &StudyKey, version: u32) -> Known<Option<ObjectKey>> {
        read!(self, "looking up a report's PDF", |connection| pdf(connection, study, version))
    }
}
