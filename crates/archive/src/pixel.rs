//! Frames of stored objects on their way to who works on pixels, and what comes back. Decodes nothing here.

use axum::http::StatusCode;
use bytes::Bytes;
use domain::{image::Instance, pixel::PixelSource, port::PixelsError, uid::TransferSyntaxUid};
use gate::Problem;
use imaging::{codec::Target, frames::FramePlace, header_out, picture::INFLATED_BYTES_MAX, syntax::Syntax};

use crate::{Shared, conversion, fetch, frames, transcode};

/// Seconds after which a client that was told to come back may do so.
const RETRY_AFTER_SECONDS: u32 = 2;

/// Frames of one instance.
pub(crate) struct Frames {
    instance: Instance,
    of: Of,
}

enum Of {
    /// A deflated object: the whole of it.
    Object { file: Bytes, numbers: Vec<u32> },
    /// Frames that have places, and the header that goes along with each.
    Places { header: Bytes, places: Vec<FramePlace> },
}

impl Frames {
    /// Finds frames.
    ///
    /// # Errors
    /// 404 when there are no such ones, 406 when they cannot be had one by one.
    pub(crate) async fn open(shared: &Shared, instance: Instance, numbers: &[u32]) -> Result<Self, Problem> {
        if Syntax::of(&instance.transfer_syntax).deflated {
            let file =
                fetch::bytes(&*shared.storage, &instance, 0..instance.bytes, INFLATED_BYTES_MAX).await?;
            return Ok(Self { instance, of: Of::Object { file, numbers: numbers.to_vec() } });
        }
        let in_words = transcode::bytes_in_words(&*shared.storage, &instance).await;
        if in_words.map_err(|error| transcode::not_transcoded(error, &instance))? {
            let why =
                PixelsError::Unsupported("its bytes stand in words with the highest byte first".to_owned());
            return Err(not_done(&why, &instance));
        }
        let (_, places) = frames::places(shared, &instance, numbers).await?;
        let header = conversion::unguarded(&*shared.storage, &instance).await?;
        Ok(Self { instance, of: Of::Places { header, places } })
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        match &self.of {
            Of::Object { numbers, .. } => numbers.len(),
            Of::Places { places, .. } => places.len(),
        }
    }

    /// The number of one of them, in its instance.
    pub(crate) fn number(&self, index: usize) -> u32 {
        match &self.of {
            Of::Object { numbers, .. } => numbers[index],
            Of::Places { places, .. } => places[index].number,
        }
    }

    /// One of them, read.
    pub(crate) async fn source(&self, shared: &Shared, index: usize) -> Result<PixelSource, Problem> {
        Ok(match &self.of {
            Of::Object { file, numbers } => {
                PixelSource::Object { file: file.clone(), number: numbers[index] }
            }
            Of::Places { header, places } => {
                let place = &places[index];
                let parts = frames::in_memory(&*shared.storage, &self.instance, place).await?;
                PixelSource::Frame {
                    transfer_syntax: self.instance.transfer_syntax.clone(),
                    header: header.clone(),
                    number: place.number,
                    parts,
                    skip_bits: place.skip_bits,
                }
            }
        })
    }

    /// One of them in another transfer syntax.
    pub(crate) async fn recoded(
        &self,
        shared: &Shared,
        index: usize,
        target: Target,
    ) -> Result<Bytes, Problem> {
        let source = self.source(shared, index).await?;
        let recoded = shared.pixels.recode(source, syntax_of(target)).await;
        Ok(recoded.map_err(|error| not_done(&error, &self.instance))?.bytes)
    }
}

/// The transfer syntax of a target.
pub(crate) fn syntax_of(target: Target) -> TransferSyntaxUid {
    TransferSyntaxUid::parse(target.uid()).expect("a constant UID")
}

/// What goes along with each frame of an object: what describes its pixels, where that can be said alone, else its header.
pub(crate) fn description(header: &imaging::guard::GuardedHeader) -> Bytes {
    header_out::describing(header).unwrap_or_else(|| header.bytes.clone()).into()
}

/// Why there are no pixels, to who asked for them. The log names the object.
pub(crate) fn not_done(error: &PixelsError, instance: &Instance) -> Problem {
    if error.is_passing() {
        return match error {
            PixelsError::Busy => busy("Too many pictures are being made."),
            _ => Problem::unavailable(error),
        };
    }
    let (sha256, cause) = (&instance.file_sha256, error as &dyn std::error::Error);
    tracing::warn!(%sha256, error = cause, "the pixels of an object are not decoded");
    let message = match error {
        PixelsError::BrokeDown(_) => "The decoder broke down on this image.",
        PixelsError::TooSlow { .. } => "This image takes the decoder too long.",
        PixelsError::Unsupported(_) => "There is no codec for this kind of image.",
        PixelsError::Broken(_) | PixelsError::Busy | PixelsError::Away(_) => {
            "The pixels of this image are broken, or are not what its header says."
        }
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_shown", message)
        .next_step("Retrieve the instance as it is stored: application/dicom; transfer-syntax=*.")
}

/// There is no room; later there may be.
pub(crate) fn busy(message: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
        .next_step("Wait a moment and try again.")
        .retry_after(RETRY_AFTER_SECONDS)
}
