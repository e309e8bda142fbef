//! The PDF of a signed version: made once, stored, never made again. Another machine has other fonts, and a signed version never
//! changes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use documents::{
    MAX_KEY_IMAGE_BYTES, RenderError, Renderer, ReportSheet,
    signed::{SignedReport, sheet},
};
use domain::{
    digest::Sha256Digest,
    object::{ObjectKey, ObjectName},
    port::{Catalog, CatalogError, Storage, StorageError, storage::store_bytes},
    report::KeyImage,
};
use tokio::sync::Semaphore;

use crate::facts::Facts;

/// PDFs that are set at one time: each takes a whole processor and some hundred MB.
const RENDERINGS_AT_ONCE: usize = 2;

/// Makes PDFs.
pub(crate) struct PdfMaker {
    renderer: Arc<Renderer>,
    time_max: Duration,
    places: Arc<Semaphore>,
}

/// Why there is no PDF yet. Displayed texts hold no patient data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PdfError {
    /// The version is not what was signed.
    #[error("version {number} of the report does not match its signature")]
    NotIntact {
        /// Which.
        number: u32,
    },
    /// A key image cannot be read.
    #[error("a key image of the report cannot be read")]
    ReadKeyImage(#[source] StorageError),
    /// A key image is not the one that was signed.
    #[error("a key image of the report does not match its digest")]
    KeyImageChanged,
    /// It took too long, or those before it did.
    #[error("the PDF was not ready within {0:?}")]
    TooSlow(Duration),
    /// The renderer broke down.
    #[error("the PDF renderer broke down")]
    Broken(#[source] tokio::task::JoinError),
    /// The sheet cannot be set.
    #[error("the PDF cannot be made")]
    Render(#[source] RenderError),
    /// The PDF cannot be stored.
    #[error("the PDF cannot be stored")]
    Store(#[source] StorageError),
    /// The version is gone.
    #[error("the report has no version {number} any more")]
    NoVersion {
        /// Which.
        number: u32,
    },
    /// The catalog could not.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl PdfMaker {
    /// Makes PDFs with a renderer, each within a time.
    pub(crate) fn new(renderer: Arc<Renderer>, time_max: Duration) -> Self {
        Self { renderer, time_max, places: Arc::new(Semaphore::new(RENDERINGS_AT_ONCE)) }
    }

    /// Makes the PDF of a version, unless there is one.
    pub(crate) async fn make(
        &self,
        catalog: &dyn Catalog,
        storage: &dyn Storage,
        facts: &Facts,
    ) -> Result<(), PdfError> {
        let (study, number) = (&facts.study.key, facts.version.number);
        if catalog.pdf(study, number).await?.is_some() {
            return Ok(());
        }
        if !facts.is_intact() {
            return Err(PdfError::NotIntact { number });
        }
        let mut key_images = Vec::with_capacity(facts.version.key_images.len());
        for image in &facts.version.key_images {
            key_images.push(key_image(storage, image).await?);
        }
        let physician = facts.physician_name();
        let sheet = sheet(&SignedReport {
            study: &facts.study,
            centre: &facts.centre,
            order: facts.order.as_ref(),
            physician: physician.as_deref(),
            version: &facts.version,
            earlier: &facts.earlier,
            key_images,
        });
        let bytes = Bytes::from(self.render(sheet).await?);
        let key = ObjectName::ReportPdf {
            centre: study.centre.clone(),
            study: study.uid.clone(),
            version: number,
            sha256: Sha256Digest::of(&bytes),
        }
        .key();
        store_bytes(storage, &key, bytes).await.map_err(PdfError::Store)?;
        let kept = catalog.put_pdf(study, number, &key).await?.ok_or(PdfError::NoVersion { number })?;
        if kept != key {
            tracing::info!(version = number, "another notifier had made the PDF");
            storage.remove(&key.into()).await.map_err(PdfError::Store)?;
        }
        Ok(())
    }

    /// Rendering cannot be interrupted: one that overruns its time keeps its place until it ends.
    async fn render(&self, sheet: ReportSheet) -> Result<Vec<u8>, PdfError> {
        let (renderer, places) = (Arc::clone(&self.renderer), Arc::clone(&self.places));
        let rendering = async move {
            let place = places.acquire_owned().await.expect("nobody closes it");
            let rendered = tokio::task::spawn_blocking(move || {
                let rendered = renderer.render(&sheet);
                drop(place);
                rendered
            });
            rendered.await.map_err(PdfError::Broken)?.map_err(PdfError::Render)
        };
        let pdf = tokio::time::timeout(self.time_max, rendering)
            .await
            .map_err(|_| PdfError::TooSlow(self.time_max))??;
        if !pdf.warnings.is_empty() {
            tracing::warn!(
                warnings = pdf.warnings.len(),
                "the PDF of a report shows marks in place of some characters"
            );
        }
        Ok(pdf.bytes)
    }
}

/// The PNG of a key image, checked against the digest in its key.
pub(crate) async fn key_image(storage: &dyn Storage, image: &KeyImage) -> Result<Vec<u8>, PdfError> {
    let reader = storage.read(&image.object.clone().into(), None).await.map_err(PdfError::ReadKeyImage)?;
    let png = reader.collect(MAX_KEY_IMAGE_BYTES).await.map_err(PdfError::ReadKeyImage)?;
    if is_named_by_digest(&image.object, &png) { Ok(png) } else { Err(PdfError::KeyImageChanged) }
}

/// Whether bytes are what an object's name promises.
pub(crate) fn is_named_by_digest(key: &ObjectKey, bytes: &[u8]) -> bool {
    key.name().is_some_and(|name| name.sha256() == Sha256Digest::of(bytes))
}
