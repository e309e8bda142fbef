//! The built-in drafter: rules, no model.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    port::{DraftError, DraftInput, Drafter, Pixels, Storage},
    report::DraftContent,
};

use crate::{
    key_images::{self, KeyImagesError},
    quality, sections, survey,
};

/// Who wrote it.
const AUTHOR: &str = concat!("telerad rules ", env!("CARGO_PKG_VERSION"));

/// Writes drafts by rules over headers, order and earlier reports. Every sentence carries its origin; findings are headings without
/// content, the impression is empty.
pub struct RuleDrafter {
    storage: Arc<dyn Storage>,
    pixels: Arc<dyn Pixels>,
}

impl RuleDrafter {
    /// A drafter that reads images from, and keeps key images in, a store, and has somebody make them.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, pixels: Arc<dyn Pixels>) -> Self {
        Self { storage, pixels }
    }
}

#[async_trait]
impl Drafter for RuleDrafter {
    async fn draft(&self, input: DraftInput) -> Result<DraftContent, DraftError> {
        let survey = survey::survey(&self.storage, &input).await.map_err(DraftError::Images)?;
        let found = sections::region(&input);
        let modality = sections::modality(&input);
        let key = &input.study.key;
        let made =
            key_images::make(&self.storage, &self.pixels, key, &survey, &modality, &found.region).await;
        let made = made.map_err(|error| match error {
            KeyImagesError::Storage(error) => DraftError::Images(error),
            KeyImagesError::Pixels(error) => {
                DraftError::Failed { operation: "making key images", source: Box::new(error) }
            }
        })?;
        let mut quality = quality::notes(&survey);
        quality.extend(made.notes);
        Ok(DraftContent {
            author: AUTHOR.to_owned(),
            sections: sections::write(&input, &survey, &found),
            quality,
            key_images: made.images,
        })
    }
}
