//! Images that people marked in a viewer, as pictures that a report may carry: what the Key Object Selection documents of a study name.
//!
//! A picture is made when it is looked at, and made again when it is signed: what goes out is the one that was shown, or nothing. Nothing
//! is kept before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use domain::{
    digest::Sha256Digest,
    image::Instance,
    object::ObjectName,
    pixel::{PictureFormat, Showing, Shown, Viewport},
    port::{Storage, storage::keep_bytes},
    report::{KEY_IMAGES_MAX, KeyImage},
    study::{Series, StudyKey},
    uid::SopInstanceUid,
};
use gate::{ErrorBody, PathPart, Problem, Reader, SignedInPerson};
use imaging::{
    key_objects::{self, KEY_OBJECT_SELECTION, KeyObjects},
    picture::EDGE_MAX,
    source, stored, tree,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{report::bad_content, room::Room, views::study_path};

/// Most documents of a study that are read: the latest.
const DOCUMENTS_MAX: usize = 50;
/// Most bytes of a document; one of 500 images has 200 KiB.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;
/// Most marks of a study that are looked at; people seldom make more than a dozen.
const MARKS_MAX: usize = 1_000;

/// Images that people marked in a viewer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MarkedImagesView {
    /// The caller's own first.
    images: Vec<MarkedImageView>,
    /// How many marked images cannot be shown, or are more than a report carries.
    left_out: usize,
}

/// A picture of a marked image.
#[derive(Debug, Serialize, ToSchema)]
struct MarkedImageView {
    instance: String,
    frame: u32,
    /// SHA-256 of the picture.
    digest: String,
    caption: String,
    url: String,
    width: u32,
    height: u32,
    /// The caller marked it.
    mine: bool,
    /// Who marked it, where the document says so.
    by: Option<String>,
}

/// A marked image that goes into a report, as it was shown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkedImageInput {
    instance: String,
    frame: u32,
    /// SHA-256 of the picture.
    digest: String,
}

/// A mark, whoever made it.
struct Mark {
    instance: Instance,
    frame: u32,
    mine: bool,
    by: Option<String>,
}

/// Images that people marked: of each person's documents the latest counts.
#[utoipa::path(get, path = "/api/v1/studies/{centre}/{study}/marked-images", tag = "reading",
    params(("centre" = String, Path), ("study" = String, Path)), responses(
    (status = 200, body = MarkedImagesView), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn marked(
    State(room): State<Room>,
    Reader(person): Reader,
    PathPart((centre, study)): PathPart<(String, String)>,
) -> Result<Json<MarkedImagesView>, Problem> {
    let study = room.study(&person, &centre, &study).await?;
    room.note_study_viewed(&person, &study.key).await?;
    let (marks, left_out) = room.marks(&person, &study.key).await?;
    let series = room.catalog.series(&study.key).await?;
    let base = format!("{}/marked-images", study_path(&study.key));
    let mut view = MarkedImagesView { images: Vec::new(), left_out };
    for mark in marks {
        let Some(shown) = room.shown(&mark.instance, mark.frame).await? else {
            view.left_out += 1;
            continue;
        };
        view.images.push(MarkedImageView {
            digest: Sha256Digest::of(&shown.file).to_string(),
            caption: caption(&series, &mark.instance, mark.frame),
            url: format!("{base}/{}/{}", mark.instance.sop_instance, mark.frame),
            instance: mark.instance.sop_instance.to_string(),
            frame: mark.frame,
            width: shown.width,
            height: shown.height,
            mine: mark.mine,
            by: mark.by,
        });
    }
    Ok(Json(view))
}

/// A picture of an image as a report would carry it.
#[utoipa::path(get, path = "/api/v1/studies/{centre}/{study}/marked-images/{instance}/{frame}", tag = "reading",
    params(("centre" = String, Path), ("study" = String, Path), ("instance" = String, Path), ("frame" = u32, Path)), responses(
    (status = 200, content_type = "image/png"), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn picture(
    State(room): State<Room>,
    Reader(person): Reader,
    PathPart((centre, study, instance, frame)): PathPart<(String, String, String, u32)>,
) -> Result<Response, Problem> {
    let study = room.study(&person, &centre, &study).await?;
    room.note_study_viewed(&person, &study.key).await?;
    let instance = room.instance_of(&study.key, &instance).await?.ok_or_else(Problem::unknown)?;
    let shown = room.shown(&instance, frame).await?.ok_or_else(Problem::unknown)?;
    Ok(([(header::CONTENT_TYPE, "image/png")], Body::from(shown.file)).into_response())
}

impl Room {
    /// The pictures of marked images that were chosen, kept now. Each is made again and must be the one that was shown.
    pub(crate) async fn chosen_marks(
        &self,
        study: &StudyKey,
        chosen: &[MarkedImageInput],
    ) -> Result<Vec<KeyImage>, Problem> {
        let series = if chosen.is_empty() { Vec::new() } else { self.catalog.series(study).await? };
        let mut images: Vec<KeyImage> = Vec::with_capacity(chosen.len());
        for input in chosen {
            if images.iter().any(|one| one.instance.as_str() == input.instance && one.frame == input.frame) {
                return Err(bad_content("A marked image is chosen twice."));
            }
            let instance = self.instance_of(study, &input.instance).await?.ok_or_else(changed)?;
            let shown = self.shown(&instance, input.frame).await?.ok_or_else(changed)?;
            let sha256 = Sha256Digest::of(&shown.file);
            if sha256.to_string() != input.digest {
                return Err(changed());
            }
            let name =
                ObjectName::KeyImage { centre: study.centre.clone(), study: study.uid.clone(), sha256 };
            let object = name.key();
            keep_bytes(&*self.storage, &object, shown.file).await?;
            images.push(KeyImage {
                object,
                caption: caption(&series, &instance, input.frame),
                series: instance.series,
                instance: instance.sop_instance,
                frame: input.frame,
                size: (shown.width, shown.height),
            });
        }
        Ok(images)
    }

    async fn instance_of(&self, study: &StudyKey, instance: &str) -> Result<Option<Instance>, Problem> {
        let Ok(uid) = SopInstanceUid::parse(instance) else { return Ok(None) };
        let instance = self.catalog.instance(&study.centre, &uid).await?;
        Ok(instance.filter(|instance| instance.study == study.uid))
    }

    /// What is marked in a study, the person's own first, every image once: as many as a report carries, and how many more there are.
    async fn marks(&self, person: &SignedInPerson, study: &StudyKey) -> Result<(Vec<Mark>, usize), Problem> {
        let instances = self.catalog.instances(study, None).await?;
        let mut documents = self.documents(&instances).await?;
        let login = person.person.login.as_str();
        let mine = |document: &KeyObjects| document.login.as_deref() == Some(login);
        documents.sort_by_key(|document| !mine(document));
        let by_uid: BTreeMap<&str, &Instance> =
            instances.iter().map(|instance| (instance.sop_instance.as_str(), instance)).collect();
        let mut seen: BTreeSet<(&str, u32)> = BTreeSet::new();
        let mut marks: Vec<Mark> = Vec::new();
        for document in &documents {
            for reference in &document.images {
                let Some(&instance) = by_uid.get(reference.instance.as_str()) else { continue };
                // All frames of a film are no pictures for a report: its first stands for it.
                let frames = if reference.frames.is_empty() { &[1][..] } else { &reference.frames };
                for &frame in frames {
                    let is_new = seen.len() < MARKS_MAX && seen.insert((&reference.instance, frame));
                    if is_new && marks.len() < KEY_IMAGES_MAX {
                        let by = document.observer.as_deref().map(|name| name.replace('^', " "));
                        marks.push(Mark { instance: instance.clone(), frame, mine: mine(document), by });
                    }
                }
            }
        }
        let left_out = seen.len() - marks.len();
        Ok((marks, left_out))
    }

    /// The documents that count, the latest first: of those that one person made, the latest.
    async fn documents(&self, instances: &[Instance]) -> Result<Vec<KeyObjects>, Problem> {
        let mut found: Vec<&Instance> = instances
            .iter()
            .filter(|instance| instance.sop_class.as_str() == KEY_OBJECT_SELECTION)
            .filter(|instance| instance.bytes <= DOCUMENT_BYTES_MAX)
            .collect();
        found.sort_by_key(|instance| std::cmp::Reverse(instance.received));
        let mut documents = Vec::new();
        for instance in found.into_iter().take(DOCUMENTS_MAX) {
            let most = usize::try_from(instance.bytes).unwrap_or(usize::MAX);
            let bytes = self.storage.read(&instance.object, None).await?.collect(most).await?;
            let header = stored::header(&bytes, instance.bytes).ok();
            let tree = header.and_then(|header| tree::read(&header.header).ok());
            documents.extend(tree.and_then(|tree| key_objects::read(&tree)));
        }
        documents.sort_by(|a, b| b.at.cmp(&a.at));
        let mut people: Vec<String> = Vec::new();
        documents.retain(|document| match &document.login {
            Some(login) if people.contains(login) => false,
            Some(login) => {
                people.push(login.clone());
                true
            }
            None => true,
        });
        Ok(documents)
    }

    /// An image in its own window, as a report carries it; `None` when it cannot be shown.
    async fn shown(&self, instance: &Instance, frame: u32) -> Result<Option<Shown>, Problem> {
        let storage: &Arc<dyn Storage> = &self.storage;
        let read = |range: std::ops::Range<u64>| async move {
            let most = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            storage.read(&instance.object, Some(range)).await?.collect(most).await.map(Bytes::from)
        };
        let Ok(source) = source::frame(instance, frame, read).await? else { return Ok(None) };
        let how = Showing {
            shading: None,
            viewport: Some(Viewport { width: EDGE_MAX, height: EDGE_MAX, enlarge: false, region: None }),
            format: PictureFormat::Png,
        };
        match self.pixels.show(source, how).await {
            Ok(shown) => Ok(Some(shown)),
            Err(error) if error.is_passing() => Err(Problem::unavailable(&error)),
            Err(error) => {
                tracing::warn!(object = %instance.object, error = &error as &dyn std::error::Error, "a marked image is not shown");
                Ok(None)
            }
        }
    }
}

/// What a picture shows: `Series 2, image 14`.
fn caption(series: &[Series], instance: &Instance, frame: u32) -> String {
    let attributes =
        series.iter().find(|series| series.uid == instance.series).map(|series| &series.attributes);
    let number = attributes.and_then(|attributes| attributes.number);
    let series =
        number.map_or_else(|| "Series without number".to_owned(), |number| format!("Series {number}"));
    let image = instance.attributes.number.map_or_else(String::new, |number| format!(", image {number}"));
    let frame = match instance.attributes.frames {
        Some(frames) if frames > 1 => format!(", frame {frame} of {frames}"),
        _ => String::new(),
    };
    format!("{series}{image}{frame}")
}

fn changed() -> Problem {
    Problem::new(StatusCode::CONFLICT, "images_changed", "A marked image is not what was shown any more.")
        .next_step("Look at the key images again, then sign.")
}
