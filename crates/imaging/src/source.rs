//! One frame of a stored object on its way to who works on pixels. Read through the caller; decodes nothing.

use std::{future::Future, ops::Range};

use bytes::Bytes;
use domain::{image::Instance, pixel::PixelSource};

use crate::{
    frames::{self, FramesError, LocateError, Shape, Wanted},
    picture::FRAME_BYTES_MAX,
    stored, tree,
};

/// Objects up to this size are read whole; of larger ones, header and frame.
const WHOLE_BYTES_MAX: u64 = 16 << 20;

/// Reads one frame, from 1, of an object that `read` gives ranges of. Why there is none is told in words.
///
/// # Errors
/// Those of `read`.
pub async fn frame<R, F, E>(
    instance: &Instance,
    number: u32,
    mut read: R,
) -> Result<Result<PixelSource, String>, E>
where
    R: FnMut(Range<u64>) -> F,
    F: Future<Output = Result<Bytes, E>>,
    E: std::error::Error + 'static,
{
    if instance.bytes <= WHOLE_BYTES_MAX {
        let file = read(0..instance.bytes).await?;
        return Ok(Ok(PixelSource::Object { file, number }));
    }
    if instance.attributes.header_bytes > stored::HEADER_BYTES_MAX {
        return Ok(Err("its header cannot be read".to_owned()));
    }
    let first = read(0..instance.attributes.header_bytes).await?;
    let Ok(header) = stored::header(&first, instance.bytes) else {
        return Ok(Err("its header cannot be read".to_owned()));
    };
    let shape = match tree::read(&header.header) {
        Ok(tree) => Shape::read(&tree),
        Err(refusal) => return Ok(Err(refusal.flaw.as_str().to_owned())),
    };
    let shape = match shape {
        Ok(shape) => shape,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let wanted = Wanted {
        shape,
        transfer_syntax: &header.transfer_syntax,
        header_end: header.header_end(),
        object_bytes: instance.bytes,
        frames: &[number],
    };
    let place = match frames::locate(&wanted, &mut read).await {
        Ok(places) => places.into_iter().next().ok_or(FramesError::NoPixels),
        Err(LocateError::Frames(error)) => Err(error),
        Err(LocateError::Read(error)) => return Err(error),
    };
    let place = match place {
        Ok(place) => place,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if place.bytes() > FRAME_BYTES_MAX {
        return Ok(Err("it has more than 256 MiB".to_owned()));
    }
    let mut parts = Vec::new();
    for part in place.parts {
        parts.push(read(part).await?);
    }
    let transfer_syntax = header.transfer_syntax;
    let header = Bytes::from(header.header.bytes);
    Ok(Ok(PixelSource::Frame { transfer_syntax, header, number, parts, skip_bits: place.skip_bits }))
}
