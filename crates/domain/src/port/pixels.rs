//! Pixel work: decoding, showing and recoding of frames that came from outside. Behind this port a decoder may crash, hang or ask for all
//! memory, and one request fails.

use async_trait::async_trait;

use super::Cause;
use crate::{
    pixel::{PixelSource, Recoded, Showing, Shown},
    uid::TransferSyntaxUid,
};

/// Works on pixels. A call that is dropped is given up.
#[async_trait]
pub trait Pixels: Send + Sync + 'static {
    /// Makes a picture of a frame.
    ///
    /// # Errors
    /// See [`PixelsError`].
    async fn show(&self, source: PixelSource, how: Showing) -> Result<Shown, PixelsError>;

    /// Writes a frame in another transfer syntax, without loss: Explicit VR Little Endian, JPEG-LS Lossless, or RLE Lossless.
    ///
    /// # Errors
    /// See [`PixelsError`].
    async fn recode(&self, source: PixelSource, to: TransferSyntaxUid) -> Result<Recoded, PixelsError>;
}

/// Why no work was done.
#[derive(Debug, thiserror::Error)]
pub enum PixelsError {
    /// Too much work waits; later it may be taken.
    #[error("too many pictures are being made")]
    Busy,
    /// There is no codec for it, or it is not this kind of image.
    #[error("this kind of image cannot be worked on: {0}")]
    Unsupported(String),
    /// The pixels are broken, or are not what the header says.
    #[error("the pixels cannot be decoded: {0}")]
    Broken(String),
    /// The decoder broke down on it: it crashed, or asked for more memory than it may have.
    #[error("the decoder broke down: {0}")]
    BrokeDown(String),
    /// The decoder took longer than it may.
    #[error("the decoder took longer than {seconds} s")]
    TooSlow {
        /// Its limit.
        seconds: u64,
    },
    /// There is nobody to do the work.
    #[error("nobody works on pixels")]
    Away(#[source] Cause),
}

impl PixelsError {
    /// Whether trying again may help: it says nothing about the image.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Busy | Self::Away(_) => true,
            Self::Unsupported(_) | Self::Broken(_) | Self::BrokeDown(_) | Self::TooSlow { .. } => false,
        }
    }
}
