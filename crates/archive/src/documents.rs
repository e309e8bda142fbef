//! Metadata documents of series: made once a study is quiet, behind everything else, or by whoever asks first; kept as objects; made again
//! when they are lost. Their form is [`crate::document`]'s (decision 16).
//!
//! Which studies wait stands in the catalog, written in the transaction that decided that a study is quiet. A process that dies with one in
//! hand leaves it to the next; one that cannot be made is given up after some tries, and made when it is asked for.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    Duration,
    digest::Sha256Digest,
    document::SeriesDocument,
    image::Instance,
    object::{ObjectKey, ObjectName},
    port::{Catalog, CatalogError, Clock, Storage, StorageError, catalog::DocumentDue, storage::store_bytes},
    study::StudyKey,
    text::CharacterSetRule,
    uid::SeriesInstanceUid,
};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    Archive,
    conversion::{self, Described},
    document::{BASE, DOCUMENT_BYTES_MAX, Writer},
};

/// Changes when the same image would be described otherwise, so that nobody keeps what an older release wrote.
pub(crate) const FORM: &str = concat!("m", env!("CARGO_PKG_VERSION"));
/// How often a study is tried.
pub const TRIES_MAX: u32 = 4;
/// How often it is looked whether a study waits.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a process may work on a study before another one takes it.
const LEASE: Duration = Duration::from_mins(5);

/// What makes documents; clones are the same.
#[derive(Clone)]
pub struct Documents {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) objects_at_once: usize,
}

/// Why documents were not made.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The catalog is away.
    #[error("the catalog could not be asked or changed")]
    Catalog(#[from] CatalogError),
    /// The store is away.
    #[error("the object store could not be read or written")]
    Storage(#[from] StorageError),
}

/// A series whose document is to be made.
pub(crate) struct Fresh {
    study: StudyKey,
    series: SeriesInstanceUid,
    generation: u64,
    /// How its texts are read, where a rule says so.
    pub(crate) character_set: Option<CharacterSetRule>,
    /// Digest over all that it is made of.
    pub(crate) contents: Sha256Digest,
}

impl Fresh {
    /// A series with its instances, in their order, at a generation of the study that is not later than these.
    pub(crate) fn of(
        study: StudyKey,
        series: SeriesInstanceUid,
        generation: u64,
        instances: &[Instance],
        character_set: Option<CharacterSetRule>,
    ) -> Self {
        let mut digest = Sha256::new();
        digest.update(FORM);
        digest.update(character_set.as_ref().map(ToString::to_string).unwrap_or_default());
        for instance in instances {
            digest.update(format!("\n{} {}", instance.sop_instance, instance.file_sha256));
        }
        let contents = Sha256Digest::from_bytes(digest.finalize().into());
        Self { study, series, generation, character_set, contents }
    }
}

/// A document while it is written.
pub(crate) struct Draft {
    fresh: Fresh,
    writer: Writer,
}

impl Draft {
    pub(crate) fn new(fresh: Fresh) -> Self {
        Self { fresh, writer: Writer::new() }
    }

    /// Goes on with the next image; `None` when no document can be kept any more.
    pub(crate) fn with(mut self, described: &Described) -> Option<Self> {
        (described.is_lasting && self.writer.add(&described.json)).then_some(self)
    }
}

/// Whether a document can be given out at a generation of its study.
pub(crate) fn is_current(document: &SeriesDocument, generation: u64) -> bool {
    document.generation == generation && document.form == FORM
}

/// Reads the object of a document; `None` when it is lost or is not what was stored, and is then out of the way of a new one.
pub(crate) async fn read(storage: &dyn Storage, object: &ObjectKey) -> Result<Option<Bytes>, StorageError> {
    let found = match storage.read(&object.clone().into(), None).await {
        Ok(reader) => reader.collect(2 * DOCUMENT_BYTES_MAX).await,
        Err(error) => Err(error),
    };
    let promised = object.name().map(|name| name.sha256());
    match found {
        Ok(bytes) if Some(Sha256Digest::of(&bytes)) == promised => return Ok(Some(bytes.into())),
        Ok(_) | Err(StorageError::Corrupt(_) | StorageError::TooLarge { .. }) => {
            warn!(%object, "a document is not what was stored; it is made again");
            storage.remove(&object.clone().into()).await?;
        }
        Err(StorageError::NotFound(_)) => warn!(%object, "a document is lost; it is made again"),
        Err(error) => return Err(error),
    }
    Ok(None)
}

impl Documents {
    /// Makes documents with what an archive has.
    #[must_use]
    pub fn of(archive: &Archive) -> Self {
        Self {
            catalog: archive.catalog.clone(),
            storage: archive.storage.clone(),
            clock: archive.clock.clone(),
            objects_at_once: archive.config.objects_at_once,
        }
    }

    /// Makes what is due until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let work = async {
            loop {
                match self.make_due().await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => {
                        warn!(
                            error = &error as &dyn std::error::Error,
                            "documents were not made; they are tried again"
                        );
                    }
                }
                self.clock.sleep(LOOK_EVERY).await;
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    /// Makes the documents of the study that waits longest; `false` when none waits.
    ///
    /// # Errors
    /// When catalog or store are away; the study is tried again later.
    pub async fn make_due(&self) -> Result<bool, DocumentError> {
        let now = self.clock.now();
        let Some(due) = self.catalog.take_document_due(now, now + LEASE).await? else { return Ok(false) };
        let made = self.make(&due.study).await;
        if let Err(error) = made {
            if due.tries < TRIES_MAX {
                return Err(error);
            }
            let DocumentDue { study, tries, .. } = &due;
            warn!(
                study = %study.uid, tries, error = &error as &dyn std::error::Error,
                "documents of a study are given up; they are made when they are asked for"
            );
        }
        self.catalog.document_done(&due).await?;
        Ok(true)
    }

    /// Makes the documents of a study that are missing or not current.
    ///
    /// # Errors
    /// When catalog or store are away.
    pub async fn make(&self, study: &StudyKey) -> Result<(), DocumentError> {
        let Some(known) = self.catalog.documents(study, None).await? else { return Ok(()) };
        for of in known.series {
            if of.document.as_ref().is_some_and(|document| is_current(document, known.generation)) {
                continue;
            }
            let instances = self.catalog.instances(study, Some(&of.series)).await?;
            let fresh = Fresh::of(study.clone(), of.series, known.generation, &instances, of.character_set);
            if let Some(document) = of.document.filter(|document| document.contents == fresh.contents) {
                self.note(&SeriesDocument { generation: known.generation, ..document }).await;
                continue;
            }
            let rule = fresh.character_set.clone();
            let mut objects = Box::pin(self.objects(instances, rule));
            let mut draft = Some(Draft::new(fresh));
            while let Some(described) = objects.try_next().await? {
                draft = draft.and_then(|draft| draft.with(&described));
            }
            if let Some(draft) = draft {
                self.store(draft).await?;
            }
        }
        Ok(())
    }

    /// Images as DICOM JSON whose addresses begin with [`BASE`], in their order.
    pub(crate) fn objects(
        &self,
        instances: Vec<Instance>,
        rule: Option<CharacterSetRule>,
    ) -> impl Stream<Item = Result<Described, StorageError>> + Send + use<> {
        let storage = self.storage.clone();
        stream::iter(instances)
            .map(move |instance| described(storage.clone(), instance, rule.clone(), BASE.to_owned()))
            .buffered(self.objects_at_once.max(1))
    }

    /// Keeps a document that was written for somebody who waits for no more.
    pub(crate) async fn keep(&self, draft: Draft) {
        if let Err(error) = self.store(draft).await {
            warn!(error = &error as &dyn std::error::Error, "a document was not kept; it is made again");
        }
    }

    /// Notes that a document is still right at a later generation.
    pub(crate) async fn note(&self, document: &SeriesDocument) {
        if let Err(error) = self.catalog.put_document(document, self.clock.now()).await {
            warn!(error = &error as &dyn std::error::Error, "that a document is still right was not noted");
        }
    }

    async fn store(&self, Draft { fresh, writer }: Draft) -> Result<(), DocumentError> {
        let Fresh { study, series, generation, contents, .. } = fresh;
        let bytes = writer.finish();
        let name = ObjectName::SeriesDocument {
            centre: study.centre.clone(),
            study: study.uid.clone(),
            series: series.clone(),
            sha256: Sha256Digest::of(&bytes),
        };
        let (object, size) = (name.key(), bytes.len() as u64);
        store_bytes(&*self.storage, &object, bytes).await?;
        let form = FORM.to_owned();
        let document = SeriesDocument { study, series, generation, form, contents, object, bytes: size };
        if self.catalog.put_document(&document, self.clock.now()).await? {
            metrics::counter!("telerad_documents_made_total").increment(1);
            info!(object = %document.object, bytes = size, "a document was made");
        }
        Ok(())
    }
}

/// An object as DICOM JSON whose addresses begin with a base, in a task of its own, so that several processors write.
pub(crate) async fn described(
    storage: Arc<dyn Storage>,
    instance: Instance,
    rule: Option<CharacterSetRule>,
    base: String,
) -> Result<Described, StorageError> {
    let task = tokio::spawn(async move { conversion::json(&*storage, &instance, rule, &base).await });
    task.await.unwrap_or_else(|error| {
        Err(StorageError::Unavailable { operation: "writing metadata", source: Box::new(error) })
    })
}
