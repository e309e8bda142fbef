//! The built-in drafter: rules, no model.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    port::{DraftError, DraftInput, Drafter, Storage},
    report::DraftContent,
};

use crate::{key_images, quality, sections, survey};

/// Who wrote it.
const AUTHOR: &str = concat!("telerad rules ", env!("CARGO_PKG_VERSION"));

/// Writes drafts by rules over headers, order and earlier reports. Every sentence carries its origin; findings are headings without
/// content, the impression is empty.
pub struct RuleDrafter {
    storage: Arc<dyn Storage>,
}

impl RuleDrafter {
    /// A drafter that reads images from, and keeps key images in, a store.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage }
    }
}

#[async_trait]
impl Drafter for RuleDrafter {
    async fn draft(&self, input: DraftInput) -> Result<DraftContent, DraftError> {
        let survey = survey::survey(&self.storage, &input).await.map_err(DraftError::Images)?;
        let found = sections::region(&input);
        let modality = sections::modality(&input);
        let made = key_images::make(&self.storage, &input.study.key, &survey, &modality, &found.region)
            .await
            .map_err(DraftError::Images)?;
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
