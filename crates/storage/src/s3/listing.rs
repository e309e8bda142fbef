//! Keys in the order of their text.
//!
//! Amazon lists keys in that order; servers that keep folders inside list `1.2/` before `1.2.3/`, though `.` stands before `/`. So the
//! order is made here: centres, then studies, each read whole and sorted, then the keys of one study, read flat and sorted.
//! A pass over everything costs one request per study, and as many as it has thousands of studies per centre.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{
    Timestamp,
    object::{ObjectKey, ObjectRef},
    port::{Listed, StorageError},
};

use aws_sdk_s3::types::Object;

use super::{Shared, errors::unavailable};

/// How long the studies of a centre are remembered, so that a pass by pages does not read them for each page.
const STUDIES_FRESH: Duration = Duration::from_secs(60);

/// The studies of the centre that was listed last.
#[derive(Debug, Default)]
pub(super) struct Studies(Mutex<Option<Remembered>>);

#[derive(Debug, Clone)]
struct Remembered {
    centre: String,
    studies: Arc<Vec<String>>,
    read: Instant,
}

/// What one listing below a prefix gave, without the settings' prefix.
#[derive(Default)]
struct Below {
    keys: Vec<(String, Option<Timestamp>)>,
    folders: Vec<String>,
}

impl Shared {
    /// At most `limit` keys after `after`.
    pub(super) async fn list(
        &self,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<Listed>, StorageError> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        let after = after.map_or("", ObjectKey::as_str);
        for centre in self.folders("").await? {
            if is_passed(&centre, after) {
                continue;
            }
            for study in self.studies(&centre, after).await?.iter().filter(|study| !is_passed(study, after)) {
                let mut objects: Vec<Listed> = self
                    .below(study, false)
                    .await?
                    .keys
                    .iter()
                    .filter(|(key, _)| key.as_str() > after)
                    .filter_map(|(key, written)| {
                        let object = ObjectRef::from(ObjectKey::parse(key)?);
                        Some(Listed { object, written: *written })
                    })
                    .collect();
                objects.sort_unstable_by(|a, b| a.object.cmp(&b.object));
                found.extend(objects);
                if found.len() >= limit {
                    found.truncate(limit);
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    async fn studies(&self, centre: &str, after: &str) -> Result<Arc<Vec<String>>, StorageError> {
        // A pass that begins with the centre wants to see it as it is now.
        if after.starts_with(centre) {
            let remembered = self.studies.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let fresh = remembered.filter(|remembered| {
                remembered.centre == centre && remembered.read.elapsed() < STUDIES_FRESH
            });
            if let Some(remembered) = fresh {
                return Ok(remembered.studies);
            }
        }
        let studies = Arc::new(self.folders(centre).await?);
        let remembered =
            Remembered { centre: centre.to_owned(), studies: Arc::clone(&studies), read: Instant::now() };
        *self.studies.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(remembered);
        Ok(studies)
    }

    async fn folders(&self, below: &str) -> Result<Vec<String>, StorageError> {
        let mut folders = self.below(below, true).await?.folders;
        folders.sort_unstable();
        Ok(folders)
    }

    /// Everything below a prefix, or only its next level.
    async fn below(&self, prefix: &str, level: bool) -> Result<Below, StorageError> {
        let mut below = Below::default();
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(format!("{}{prefix}", self.prefix))
            .set_delimiter(level.then(|| "/".to_owned()))
            .into_paginator()
            .send();
        let ours = |name: &str| name.strip_prefix(&self.prefix).map(str::to_owned);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| unavailable("listing objects", error))?;
            let written =
                |object: &Object| Timestamp::from_nanosecond(object.last_modified()?.as_nanos()).ok();
            below.keys.extend(
                page.contents().iter().filter_map(|object| Some((ours(object.key()?)?, written(object)))),
            );
            below.folders.extend(page.common_prefixes().iter().filter_map(|folder| ours(folder.prefix()?)));
        }
        Ok(below)
    }
}

/// Whether everything below a folder stands before `after`.
fn is_passed(folder: &str, after: &str) -> bool {
    folder < after && !after.starts_with(folder)
}
