//! Bytes of stored objects, as streams of pieces or, where they are bounded, in one.

use std::{io, ops::Range};

use bytes::Bytes;
use domain::{
    digest::Sha256Digest,
    image::Instance,
    port::{ObjectReader, Storage, StorageError},
};
use futures::{StreamExt as _, stream};
use gate::Problem;
use sha2::{Digest as _, Sha256};

use crate::multipart::Content;

/// The bytes of an object, or of a range of them that lies within it. The store is asked before this returns.
pub(crate) async fn content(
    storage: &dyn Storage,
    instance: &Instance,
    range: Option<Range<u64>>,
) -> Result<Content, StorageError> {
    let expected = range.as_ref().map_or(instance.bytes, |range| range.end - range.start);
    let is_whole = range.is_none();
    let reader = storage.read(&instance.object, range).await?;
    let promised = (is_whole && !reader.is_checked).then_some(instance.file_sha256);
    if reader.object_bytes != instance.bytes {
        return Err(StorageError::Corrupt(instance.object.key.clone()));
    }
    Ok(pieces(reader, expected, promised))
}

/// A range of an object in one piece of memory.
pub(crate) async fn bytes(
    storage: &dyn Storage,
    instance: &Instance,
    range: Range<u64>,
    bytes_max: usize,
) -> Result<Bytes, StorageError> {
    let expected = range.end - range.start;
    let reader = storage.read(&instance.object, Some(range)).await?;
    if reader.object_bytes != instance.bytes {
        return Err(StorageError::Corrupt(instance.object.key.clone()));
    }
    let all = reader.collect(bytes_max).await?;
    if all.len() as u64 != expected {
        return Err(StorageError::Corrupt(instance.object.key.clone()));
    }
    Ok(all.into())
}

/// A range of an object as the pieces that it is read in, without copying them together.
pub(crate) async fn in_pieces(
    storage: &dyn Storage,
    instance: &Instance,
    range: Range<u64>,
) -> Result<Vec<Bytes>, StorageError> {
    let expected = range.end - range.start;
    let mut reader = storage.read(&instance.object, Some(range)).await?;
    let (mut all, mut bytes) = (Vec::new(), 0);
    while let Some(piece) = reader.pieces.next().await? {
        bytes += piece.len() as u64;
        all.push(piece);
    }
    if reader.object_bytes != instance.bytes || bytes != expected {
        return Err(StorageError::Corrupt(instance.object.key.clone()));
    }
    Ok(all)
}

/// What a broken store means to a body that is on its way already.
pub(crate) fn broken_off(error: StorageError) -> io::Error {
    tracing::error!(error = &error as &dyn std::error::Error, "an answer breaks off");
    io::Error::other(error)
}

/// What a part that cannot be had means to a body that is on its way already.
pub(crate) fn ended(problem: Problem) -> io::Error {
    tracing::error!(status = %problem.status(), code = problem.code(), "an answer breaks off");
    io::Error::other(problem.code())
}

/// The pieces of an object. The store says of most that they are what they were; of a whole object of which it does not, the last one is
/// held back when the bytes are not those that were stored: nobody gets changed images and believes that all is well.
fn pieces(reader: ObjectReader, expected: u64, promised: Option<Sha256Digest>) -> Content {
    let state = (Some((reader.pieces, Sha256::new())), expected);
    stream::unfold(state, move |(reading, left)| async move {
        let (mut pieces, mut digest) = reading?;
        match pieces.next().await {
            Ok(Some(piece)) if piece.len() as u64 <= left => {
                let left = left - piece.len() as u64;
                if let Some(promised) = promised {
                    digest.update(&piece);
                    if left == 0 && Sha256Digest::from_bytes(digest.clone().finalize().into()) != promised {
                        tracing::error!(%promised, "an answer breaks off: an object's bytes are not those that were stored");
                        return Some((Err(io::ErrorKind::InvalidData.into()), (None, 0)));
                    }
                }
                Some((Ok(piece), (Some((pieces, digest)), left)))
            }
            Ok(None) if left == 0 => None,
            Ok(Some(_) | None) => {
                tracing::error!("an answer breaks off: an object has not as many bytes as it should");
                Some((Err(io::ErrorKind::UnexpectedEof.into()), (None, 0)))
            }
            Err(error) => Some((Err(broken_off(error)), (None, 0))),
        }
    })
    .boxed()
}
