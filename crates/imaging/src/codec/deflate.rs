//! Deflated Image Frame Compression (PS3.5 section A.4.13): each frame is a raw deflated stream of its plain samples.

use flate2::{Decompress, FlushDecompress, Status};

use crate::{format::Format, picture::PictureError};

/// Inflates a frame into the bytes that the header says, and no more.
pub(super) fn decode(frame: &[u8], format: &Format) -> Result<Vec<u8>, PictureError> {
    let bytes = usize::try_from(format.shape.frame_bits().div_ceil(8)).map_err(|_| PictureError::TooLarge)?;
    let mut out = vec![0; bytes];
    let mut inflate = Decompress::new(false);
    let status = inflate.decompress(frame, &mut out, FlushDecompress::Finish);
    match status {
        Ok(Status::StreamEnd | Status::BufError | Status::Ok) if inflate.total_out() == bytes as u64 => {
            Ok(interleaved(out, format))
        }
        _ => Err(PictureError::Mismatch("the compressed image does not hold what the header says")),
    }
}

fn interleaved(bytes: Vec<u8>, format: &Format) -> Vec<u8> {
    if format.planar && format.shape.samples == 3 { super::pixel_by_pixel(&bytes, format) } else { bytes }
}
