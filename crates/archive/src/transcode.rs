//! Objects in another transfer syntax than they rest in (PS3.18 section 8.7.3.5, PS3.4 section C.5.1): the header written anew, pixels
//! decoded or compressed without loss, a frame at a time, so that memory does not grow with the object. The SOP Instance UID stays, since
//! nothing is lost. What lost something before says so (PS3.3 section C.7.6.1.1.5).
//!
//! Elements behind the pixels (digital signatures, padding) are left out: they belong to the bytes that rest.

use std::{io, ops::Range, sync::Arc};

use bytes::{BufMut as _, Bytes, BytesMut};
use dicom_core::{Tag, VR};
use dimse::FileMeta;
use domain::{
    image::Instance,
    pixel::{PixelSource, Recoded},
    port::{Pixels, PixelsError, Storage, StorageError},
    uid::TransferSyntaxUid,
};
use futures::{StreamExt as _, TryStreamExt as _, future, stream, stream::BoxStream};
use gate::Problem;
use imaging::{
    codec::{self, Target},
    compose,
    frames::{self, FramePlace, FramesError, LocateError, NativeValue, Shape, Wanted},
    guard::{self, GuardedHeader, HeaderEnd, Refusal},
    header_out::{self, Change},
    picture::{FRAME_BYTES_MAX, INFLATED_BYTES_MAX},
    sniff::{self, Sniffed},
    syntax::{Syntax, is_uncompressed, is_video},
    tree,
};

use crate::{
    conversion::{self, HeaderError},
    fetch,
    pixel::{description, not_done, syntax_of},
};

const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);
/// An empty Basic Offset Table: where frames stand is not known before they are made.
const NO_OFFSETS: [u8; 8] = [0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0];
const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
const SEQUENCE_END: [u8; 8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];
/// Longest native Pixel Data: its length is even, in 32 bits, and the last one means something else.
const NATIVE_BYTES_MAX: u64 = 0xFFFF_FFFE;

/// An object in another transfer syntax, as it is being made.
pub struct Transcoded {
    /// In which; Explicit VR Little Endian for an object without pixels, whatever was asked for.
    pub transfer_syntax: TransferSyntaxUid,
    /// How many bytes its data set has, where that is known before it is made.
    pub bytes: Option<u64>,
    /// The data set, in pieces.
    pub content: BoxStream<'static, io::Result<Bytes>>,
}

/// Why an object is not sent in another transfer syntax.
#[derive(Debug, thiserror::Error)]
pub enum TranscodeError {
    /// The object cannot be read.
    #[error("the object cannot be read")]
    Storage(#[from] StorageError),
    /// Its header cannot be read.
    #[error("the header cannot be read: {0}")]
    Header(String),
    /// Its frames cannot be found.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// Its pixels cannot be worked on.
    #[error(transparent)]
    Pixels(#[from] PixelsError),
    /// It can only be sent as it is stored.
    #[error("it can only be sent as it is stored: {0}")]
    OnlyStored(&'static str),
}

/// What names the state of an object, or of its frames: as it rests, or in another transfer syntax.
pub(crate) fn state(instance: &Instance, target: Option<Target>) -> String {
    match target {
        Some(target) => format!("{}-{}", instance.file_sha256, target.uid()),
        None => instance.file_sha256.to_string(),
    }
}

/// Whether an object can be sent in a transfer syntax, as far as the catalog knows.
#[must_use]
pub fn reaches(instance: &Instance, target: Target) -> bool {
    let syntax = &instance.transfer_syntax;
    if is_video(syntax) || !Syntax::of(syntax).known {
        return false;
    }
    match instance.attributes.rows {
        None => true,
        Some(_) if Syntax::of(syntax).deflated => target == Target::Native,
        Some(_) => codec::decodes(syntax) && (is_plain(syntax, target) || takes(instance, target)),
    }
}

/// Whether the frames of an object can be sent in a transfer syntax, as far as the catalog knows.
pub(crate) fn reaches_frames(instance: &Instance, target: Target) -> bool {
    let syntax = &instance.transfer_syntax;
    instance.attributes.rows.is_some()
        && !is_video(syntax)
        && codec::decodes(syntax)
        && takes(instance, target)
}

fn takes(instance: &Instance, target: Target) -> bool {
    target.takes(instance.attributes.bits_allocated.map_or(16, u32::from))
}

/// Whether nothing is to be decoded: plain samples stay plain samples.
fn is_plain(syntax: &TransferSyntaxUid, target: Target) -> bool {
    target == Target::Native && is_uncompressed(syntax) && !Syntax::of(syntax).encapsulated
}

/// The file meta of an object in a transfer syntax, made as those that rest are.
///
/// # Errors
/// When the UIDs are too long for one, which those of stored objects are not.
pub fn file_meta(instance: &Instance, transfer_syntax: &TransferSyntaxUid) -> Result<Bytes, TranscodeError> {
    let meta = FileMeta {
        sop_class_uid: instance.sop_class.to_string(),
        sop_instance_uid: instance.sop_instance.to_string(),
        transfer_syntax_uid: transfer_syntax.to_string(),
    };
    meta.to_prefix().map(Bytes::from).map_err(|error| TranscodeError::Header(error.to_string()))
}

/// The data set of an object in a transfer syntax. The first frame is worked on before this returns, so that what cannot be done is
/// said in
/// time.
///
/// # Errors
/// See [`TranscodeError`].
pub async fn data_set(
    storage: &Arc<dyn Storage>,
    pixels: &Arc<dyn Pixels>,
    instance: &Instance,
    target: Target,
) -> Result<Transcoded, TranscodeError> {
    let syntax = &instance.transfer_syntax;
    if Syntax::of(syntax).deflated {
        return inflated(storage, instance).await;
    }
    let header = match conversion::beginning(&**storage, instance).await {
        Ok(beginning) => beginning.header,
        Err(HeaderError::Storage(error)) => return Err(error.into()),
        Err(error) => return Err(TranscodeError::Header(error.to_string())),
    };
    match header.end {
        HeaderEnd::DataSet => {
            let bytes = rewritten(&header, &[])?;
            return Ok(of_pieces(Target::Native, vec![bytes.into()]));
        }
        HeaderEnd::Large => {
            return Err(TranscodeError::OnlyStored(
                "a value too large for a header stands before its pixels",
            ));
        }
        HeaderEnd::Pixels => {}
    }
    if is_plain(syntax, target) {
        return plain(storage, instance, &header).await;
    }
    let work = Work::open(storage, pixels, instance, &header, target).await?;
    let first = work.frame(0).await?;
    let changes = work.changes(&first);
    let head = rewritten(&header, &changes)?;
    match target {
        Target::Native => work.native(head, first),
        Target::JpegLs | Target::Rle => Ok(work.encapsulated(head, first)),
    }
}

fn rewritten(header: &GuardedHeader, changes: &[Change]) -> Result<Vec<u8>, TranscodeError> {
    header_out::explicit_little(header, changes)
        .map_err(|refusal: Refusal| TranscodeError::Header(refusal.to_string()))
}

fn of_pieces(target: Target, pieces: Vec<Bytes>) -> Transcoded {
    Transcoded {
        transfer_syntax: syntax_of(target),
        bytes: Some(pieces.iter().map(|piece| piece.len() as u64).sum()),
        content: stream::iter(pieces.into_iter().map(Ok)).boxed(),
    }
}

/// A deflated data set is explicit VR little endian once it is inflated.
async fn inflated(storage: &Arc<dyn Storage>, instance: &Instance) -> Result<Transcoded, TranscodeError> {
    let file = fetch::bytes(&**storage, instance, 0..instance.bytes, INFLATED_BYTES_MAX).await?;
    let work = move || {
        let Sniffed::DataSet(place) = sniff::part10(&file, true) else {
            return Err(TranscodeError::Header("it is no DICOM file".to_owned()));
        };
        guard::inflate(&file[place.at..], INFLATED_BYTES_MAX)
            .map_err(|refusal| TranscodeError::Header(refusal.to_string()))
    };
    let bytes = tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| TranscodeError::Header("inflating it was broken off".to_owned()))??;
    Ok(of_pieces(Target::Native, vec![bytes.into()]))
}

/// Plain samples: the value is copied, turned where its highest bytes stand first.
async fn plain(
    storage: &Arc<dyn Storage>,
    instance: &Instance,
    header: &GuardedHeader,
) -> Result<Transcoded, TranscodeError> {
    let read = |range: Range<u64>| async move {
        let bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        fetch::bytes(&**storage, instance, range, bytes).await
    };
    let (at, all) = (instance.attributes.header_bytes, instance.bytes);
    let found = frames::native_value(&instance.transfer_syntax, at, all, read).await;
    let NativeValue { tag, vr, value } = found.map_err(of_locating)?;
    let length = value.end - value.start;
    let odd = length % 2;
    let declared = u32::try_from(length + odd).map_err(|_| TranscodeError::OnlyStored("it is too large"))?;
    let mut head = BytesMut::from(rewritten(header, &[])?.as_slice());
    head.put_slice(&compose::long_head(tag, vr, declared));
    let width = if imaging::syntax::pixel_encoding(&instance.transfer_syntax).big_endian {
        width(vr, instance.attributes.bits_allocated)
    } else {
        1
    };
    let bytes = head.len() as u64 + length + odd;
    let content = fetch::content(&**storage, instance, Some(value)).await?;
    let padding = (odd == 1).then(|| Ok(Bytes::from_static(&[0])));
    let content =
        stream::iter([Ok(head.freeze())]).chain(turned(content, width)).chain(stream::iter(padding)).boxed();
    Ok(Transcoded { transfer_syntax: syntax_of(Target::Native), bytes: Some(bytes), content })
}

/// Whether samples of a byte or a bit stand in words with the highest byte first (PS3.5 section 8.1.2, retired): frames cannot be cut
/// out of
/// those without looking at their neighbours. Only objects that may be so are looked at.
///
/// # Errors
/// When the object cannot be read.
pub(crate) async fn bytes_in_words(
    storage: &dyn Storage,
    instance: &Instance,
) -> Result<bool, TranscodeError> {
    let syntax = &instance.transfer_syntax;
    let is_small = instance.attributes.bits_allocated.is_some_and(|bits| bits <= 8);
    if !is_small || !imaging::syntax::pixel_encoding(syntax).big_endian {
        return Ok(false);
    }
    let read = |range: Range<u64>| async move {
        let bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        fetch::bytes(storage, instance, range, bytes).await
    };
    let found = frames::native_value(syntax, instance.attributes.header_bytes, instance.bytes, read).await;
    Ok(found.map_err(of_locating)?.vr == VR::OW)
}

/// Bytes of a number that stands in big endian: of a sample, but for bytes that were written as words.
fn width(vr: VR, bits_allocated: Option<u16>) -> usize {
    match vr {
        VR::OW => usize::from(bits_allocated.unwrap_or(16) / 8).max(2),
        VR::OF | VR::OL => 4,
        VR::OD | VR::OV => 8,
        _ => 1,
    }
}

/// Turns each number of a stream around, wherever it is cut.
fn turned(
    content: BoxStream<'static, io::Result<Bytes>>,
    width: usize,
) -> BoxStream<'static, io::Result<Bytes>> {
    if width == 1 {
        return content;
    }
    content
        .map(Some)
        .chain(stream::once(future::ready(None)))
        .scan(BytesMut::new(), move |rest, piece| {
            let turned = match piece {
                Some(Ok(piece)) => {
                    rest.put_slice(&piece);
                    let whole = rest.len() / width * width;
                    let mut whole = rest.split_to(whole);
                    whole.chunks_exact_mut(width).for_each(<[u8]>::reverse);
                    Ok(whole.freeze())
                }
                Some(Err(error)) => Err(error),
                None => Ok(rest.split().freeze()),
            };
            future::ready(Some(turned))
        })
        .boxed()
}

fn of_locating(error: LocateError<StorageError>) -> TranscodeError {
    match error {
        LocateError::Frames(error) => error.into(),
        LocateError::Read(error) => error.into(),
    }
}

/// The frames of an object that are worked on, one after another.
struct Work {
    storage: Arc<dyn Storage>,
    pixels: Arc<dyn Pixels>,
    instance: Instance,
    description: Bytes,
    places: Vec<FramePlace>,
    shape: Shape,
    target: Target,
}

impl Work {
    async fn open(
        storage: &Arc<dyn Storage>,
        pixels: &Arc<dyn Pixels>,
        instance: &Instance,
        header: &GuardedHeader,
        target: Target,
    ) -> Result<Self, TranscodeError> {
        let tree = tree::read(header).map_err(|refusal| TranscodeError::Header(refusal.to_string()))?;
        let shape = Shape::read(&tree)?;
        let numbers: Vec<u32> = (1..=shape.frames).collect();
        let wanted = Wanted {
            shape,
            transfer_syntax: &instance.transfer_syntax,
            header_end: instance.attributes.header_bytes,
            object_bytes: instance.bytes,
            frames: &numbers,
        };
        if bytes_in_words(&**storage, instance).await? {
            return Err(TranscodeError::OnlyStored("its bytes stand in words with the highest byte first"));
        }
        let read = |range: Range<u64>| async move {
            let bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            fetch::bytes(&**storage, instance, range, bytes).await
        };
        let places = frames::locate(&wanted, read).await.map_err(of_locating)?;
        Ok(Self {
            storage: Arc::clone(storage),
            pixels: Arc::clone(pixels),
            instance: instance.clone(),
            description: description(header),
            places,
            shape,
            target,
        })
    }

    async fn frame(&self, index: usize) -> Result<Recoded, TranscodeError> {
        let place = &self.places[index];
        if place.bytes() > FRAME_BYTES_MAX {
            return Err(TranscodeError::OnlyStored("a frame has more than 256 MiB"));
        }
        let mut parts = Vec::new();
        for range in place.parts.iter().cloned() {
            let bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            parts.push(fetch::bytes(&*self.storage, &self.instance, range, bytes).await?);
        }
        let source = PixelSource::Frame {
            transfer_syntax: self.instance.transfer_syntax.clone(),
            header: self.description.clone(),
            number: place.number,
            parts,
            skip_bits: place.skip_bits,
        };
        Ok(self.pixels.recode(source, syntax_of(self.target)).await?)
    }

    /// What the header says otherwise once the pixels are written otherwise.
    fn changes(&self, first: &Recoded) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some(photometric) = &first.photometric {
            changes.push(Change::text(Tag(0x0028, 0x0004), VR::CS, photometric));
        }
        if self.shape.samples > 1 {
            // Colours by plane are what RLE holds (PS3.5 section G.2); the others hold them by pixel.
            let planar = u16::from(self.target == Target::Rle);
            changes.push(Change::number(Tag(0x0028, 0x0006), planar));
        }
        let stored = self.places.first().map_or(1, FramePlace::bytes).max(1);
        let plain = self.shape.frame_bits() / 8;
        changes
            .extend(header_out::lossy_changes(&self.instance.transfer_syntax, plain as f64 / stored as f64));
        changes
    }

    fn native(self, head: Vec<u8>, first: Recoded) -> Result<Transcoded, TranscodeError> {
        let frame = first.bytes.len();
        let length = (frame as u64).saturating_mul(self.places.len() as u64);
        if length > NATIVE_BYTES_MAX {
            return Err(TranscodeError::OnlyStored("its pixels have more than 4 GiB"));
        }
        let odd = length % 2;
        let vr = if self.shape.bits_allocated > 8 { VR::OW } else { VR::OB };
        let mut head = BytesMut::from(head.as_slice());
        head.put_slice(&compose::long_head(PIXEL_DATA, vr, (length + odd) as u32));
        let bytes = Some(head.len() as u64 + length + odd);
        let same = move |recoded: Recoded| match recoded.bytes.len() == frame {
            true => Ok(recoded.bytes),
            false => Err(io::Error::from(io::ErrorKind::InvalidData)),
        };
        let padding = (odd == 1).then(|| Ok(Bytes::from_static(&[0])));
        let content = stream::iter([Ok(head.freeze()), Ok(first.bytes)])
            .chain(self.rest().map(move |recoded| recoded.and_then(same)))
            .chain(stream::iter(padding))
            .boxed();
        Ok(Transcoded { transfer_syntax: syntax_of(Target::Native), bytes, content })
    }

    fn encapsulated(self, head: Vec<u8>, first: Recoded) -> Transcoded {
        let target = self.target;
        let mut head = BytesMut::from(head.as_slice());
        head.put_slice(&compose::long_head(PIXEL_DATA, VR::OB, u32::MAX));
        head.put_slice(&NO_OFFSETS);
        let one = self.places.len() == 1;
        let first = fragment(&first.bytes);
        let bytes = one.then(|| (head.len() + first.len() + SEQUENCE_END.len()) as u64);
        let content = stream::iter([Ok(head.freeze()), Ok(first)])
            .chain(self.rest().map_ok(|recoded| fragment(&recoded.bytes)))
            .chain(stream::iter([Ok(Bytes::from_static(&SEQUENCE_END))]))
            .boxed();
        Transcoded { transfer_syntax: syntax_of(target), bytes, content }
    }

    /// The frames behind the first. One that cannot be made breaks the stream off.
    fn rest(self) -> BoxStream<'static, io::Result<Recoded>> {
        let work = Arc::new(self);
        let indices = stream::iter(1..work.places.len());
        indices
            .then(move |index| {
                let work = Arc::clone(&work);
                async move {
                    work.frame(index).await.map_err(|error| {
                        let sha256 = &work.instance.file_sha256;
                        let cause = &error as &dyn std::error::Error;
                        tracing::error!(%sha256, frame = index + 1, error = cause, "an answer breaks off");
                        io::Error::other(error)
                    })
                }
            })
            .boxed()
    }
}

/// A frame as one fragment, of even length.
fn fragment(bytes: &Bytes) -> Bytes {
    let odd = bytes.len() % 2;
    let mut fragment = BytesMut::with_capacity(bytes.len() + 9);
    fragment.put_slice(&ITEM);
    // A frame has less than 4 GiB.
    fragment.put_u32_le((bytes.len() + odd) as u32);
    fragment.put_slice(bytes);
    fragment.put_bytes(0, odd);
    fragment.freeze()
}

/// Why an object is not sent otherwise, to who asked for it. The log names the object.
pub(crate) fn not_transcoded(error: TranscodeError, instance: &Instance) -> Problem {
    use axum::http::StatusCode;

    let status = match error {
        TranscodeError::Storage(error) => return error.into(),
        TranscodeError::Pixels(error) => return not_done(&error, instance),
        TranscodeError::OnlyStored(_) | TranscodeError::Frames(FramesError::Film) => {
            StatusCode::NOT_ACCEPTABLE
        }
        TranscodeError::Header(_) | TranscodeError::Frames(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let (sha256, cause) = (&instance.file_sha256, &error as &dyn std::error::Error);
    tracing::warn!(%sha256, error = cause, "an object is not sent in another transfer syntax");
    Problem::new(status, "not_transcoded", "This object cannot be sent in another transfer syntax.")
        .next_step("Retrieve it as it is stored: application/dicom; transfer-syntax=*.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn numbers_are_turned_wherever_they_are_cut() {
        for cuts in [vec![&b"abcdef"[..]], vec![b"a", b"bcd", b"", b"ef"]] {
            let pieces: Vec<io::Result<Bytes>> =
                cuts.into_iter().map(|cut| Ok(Bytes::from_static(cut))).collect();
            let turned: Vec<Bytes> = turned(stream::iter(pieces).boxed(), 2).try_collect().await.unwrap();
            assert_eq!(turned.concat(), b"badcfe");
        }
    }
}
