//! Where the frames of a stored object are (PS3.5 section A.4, PS3.3 section C.7.6.3), so that one can be served or
//! decoded without reading the
//! others. Reads a few short ranges through the caller; decodes nothing.

use std::{
    future::Future,
    ops::Range,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use dicom_core::{Tag, VR};
use domain::uid::TransferSyntaxUid;

use crate::{
    syntax::{Encoding, Syntax, is_video},
    tree::{self, Tree},
    walk::{PIXEL_DATA, is_short},
};

/// Bytes read at a time to see headers of elements and fragments.
const WINDOW_BYTES: u64 = 4096;
/// Most frames of an object: a second of film at 60 Hz for half an hour.
pub const FRAMES_MAX: u32 = 108_000;
/// Most fragments of an object that are walked.
const FRAGMENTS_MAX: usize = 250_000;
/// Most elements walked between header and pixels.
pub(crate) const ELEMENTS_WALKED_MAX: usize = 1_000;
/// Most bytes of an offset table.
const TABLE_BYTES_MAX: u64 = 8 * FRAMES_MAX as u64;
/// Largest side of an image.
const SIDE_MAX: u32 = 65_535;

const EXTENDED_OFFSETS: Tag = Tag(0x7FE0, 0x0001);
const EXTENDED_LENGTHS: Tag = Tag(0x7FE0, 0x0002);
const FLOAT_PIXELS: Tag = Tag(0x7FE0, 0x0008);
const DOUBLE_PIXELS: Tag = Tag(0x7FE0, 0x0009);
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// What a header says about the shape of the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// (0028,0010).
    pub rows: u32,
    /// (0028,0011).
    pub columns: u32,
    /// (0028,0002).
    pub samples: u32,
    /// (0028,0100).
    pub bits_allocated: u32,
    /// (0028,0008); 1 when it is not there.
    pub frames: u32,
    /// Whether each frame has half as many chroma samples (`YBR_FULL_422`, stored natively).
    pub halved_chroma: bool,
}

/// Where the bytes of one frame are in the stored object: one range when native, one per fragment when encapsulated. A native frame of
/// one bit a pixel may begin within a byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePlace {
    /// Which frame, from 1.
    pub number: u32,
    /// Its bytes, in order.
    pub parts: Vec<Range<u64>>,
    /// How many bits of the first byte belong to the frame before.
    pub skip_bits: u8,
}

impl FramePlace {
    /// How many bytes the frame has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.end - part.start).sum()
    }
}

/// Why frames cannot be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FramesError {
    /// The object has no pixels.
    #[error("the object has no pixels")]
    NoPixels,
    /// The header does not say how large the frames are, or says something that cannot be.
    #[error("the header does not describe its pixels: {0}")]
    Shape(&'static str),
    /// There is no such frame.
    #[error("there is no frame {number}: the object has {frames}")]
    NoFrame {
        /// The number asked for.
        number: u32,
        /// How many there are.
        frames: u32,
    },
    /// The object is deflated: its frames have no places until it is inflated.
    #[error("the object is deflated")]
    Deflated,
    /// The pixels are a film, whose frames cannot be cut apart.
    #[error("the pixels are a film")]
    Film,
    /// The pixels do not stand as they should.
    #[error("the pixels are broken: {0}")]
    Broken(&'static str),
}

/// Why frames cannot be located: they cannot be found, or the object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LocateError<E: std::error::Error + 'static> {
    /// They cannot be found.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// The object cannot be read.
    #[error("the object could not be read")]
    Read(#[source] E),
}

impl Shape {
    /// Reads a header.
    ///
    /// # Errors
    /// [`FramesError::Shape`] when it does not describe pixels.
    pub fn read(header: &Tree) -> Result<Self, FramesError> {
        let value = |tag, what| tree::count(header, tag).ok_or(FramesError::Shape(what));
        let shape = Self {
            rows: value(Tag(0x0028, 0x0010), "Rows is missing")?,
            columns: value(Tag(0x0028, 0x0011), "Columns is missing")?,
            samples: tree::count(header, Tag(0x0028, 0x0002)).unwrap_or(1),
            bits_allocated: value(Tag(0x0028, 0x0100), "BitsAllocated is missing")?,
            frames: tree::count(header, Tag(0x0028, 0x0008)).unwrap_or(1).max(1),
            halved_chroma: tree::text(header, Tag(0x0028, 0x0004)).as_deref() == Some("YBR_FULL_422"),
        };
        shape.check()?;
        Ok(shape)
    }

    /// Whether it can be that of pixels.
    pub(crate) fn check(&self) -> Result<(), FramesError> {
        if !(1..=SIDE_MAX).contains(&self.rows) || !(1..=SIDE_MAX).contains(&self.columns) {
            return Err(FramesError::Shape("Rows or Columns is out of range"));
        }
        if !(1..=4).contains(&self.samples) {
            return Err(FramesError::Shape("SamplesPerPixel is out of range"));
        }
        if !matches!(self.bits_allocated, 1 | 8 | 16 | 32 | 64) {
            return Err(FramesError::Shape("BitsAllocated is out of range"));
        }
        if self.frames > FRAMES_MAX {
            return Err(FramesError::Shape("NumberOfFrames is out of range"));
        }
        Ok(())
    }

    /// Bits of one native frame.
    #[must_use]
    pub fn frame_bits(&self) -> u64 {
        let samples = if self.halved_chroma && self.samples == 3 { 2 } else { self.samples };
        u64::from(self.rows) * u64::from(self.columns) * u64::from(samples) * u64::from(self.bits_allocated)
    }
}

/// What is being located.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The shape of the pixels.
    pub shape: Shape,
    /// How the object is written.
    pub transfer_syntax: &'a TransferSyntaxUid,
    /// Where the header ends in the object: the place of the first element of group 7FE0
    /// ([`domain::image::InstanceAttributes::header_bytes`]).
    pub header_end: u64,
    /// Size of the object.
    pub object_bytes: u64,
    /// Which frames, from 1.
    pub frames: &'a [u32],
}

/// Finds frames in an object that `read` gives ranges of. Native frames cost one read; frames with an offset table, one or two more;
/// frames
/// without a table, about one per fragment.
///
/// # Errors
/// See [`LocateError`].
pub async fn locate<R, F, E>(wanted: &Wanted<'_>, read: R) -> Result<Vec<FramePlace>, LocateError<E>>
where
    R: FnMut(Range<u64>) -> F,
    F: Future<Output = Result<Bytes, E>>,
    E: std::error::Error + 'static,
{
    let syntax = Syntax::of(wanted.transfer_syntax);
    if syntax.deflated {
        return Err(FramesError::Deflated.into());
    }
    if is_video(wanted.transfer_syntax) {
        return Err(FramesError::Film.into());
    }
    let frames = wanted.shape.frames;
    if let Some(number) = wanted.frames.iter().copied().find(|number| !(1..=frames).contains(number)) {
        return Err(FramesError::NoFrame { number, frames }.into());
    }
    let mut window = Window { read, object_bytes: wanted.object_bytes, at: 0, bytes: Bytes::new() };
    let pixels = window.pixels(wanted.header_end, syntax.encoding).await?;
    match pixels.length {
        Some(length) => Ok(native(&wanted.shape, wanted.frames, &NativePixels { at: pixels.at, length })?),
        None => encapsulated(wanted, &pixels, &mut window).await,
    }
}

/// Native pixels as one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeValue {
    /// Pixel Data, or that of floating point numbers.
    pub tag: Tag,
    /// Its value representation.
    pub vr: VR,
    /// Where the value stands in the object.
    pub value: Range<u64>,
}

/// Finds native pixels as the one value that they are, in an object that `read` gives ranges of: `header_end` is the place of the first
/// element of group 7FE0.
///
/// # Errors
/// When there are none, or they are in fragments.
pub async fn native_value<R, F, E>(
    transfer_syntax: &TransferSyntaxUid,
    header_end: u64,
    object_bytes: u64,
    read: R,
) -> Result<NativeValue, LocateError<E>>
where
    R: FnMut(Range<u64>) -> F,
    F: Future<Output = Result<Bytes, E>>,
    E: std::error::Error + 'static,
{
    let encoding = Syntax::of(transfer_syntax).encoding;
    let mut window = Window { read, object_bytes, at: 0, bytes: Bytes::new() };
    let mut at = header_end;
    let (head, found) = loop {
        let head = window.get(at, 12).await?.to_vec();
        let Some(found) = element(&head, encoding) else { return Err(FramesError::NoPixels.into()) };
        // A group length may stand before them.
        match found.length {
            Some(length) if found.tag == Tag(PIXEL_DATA.group(), 0) => at += found.bytes + length,
            _ => break (head, found),
        }
    };
    let vr = match found.tag {
        _ if encoding.explicit => head.get(4..6).and_then(|two| VR::from_binary([two[0], two[1]])),
        PIXEL_DATA => Some(VR::OW),
        FLOAT_PIXELS => Some(VR::OF),
        DOUBLE_PIXELS => Some(VR::OD),
        _ => None,
    };
    let is_pixels = matches!(found.tag, PIXEL_DATA | FLOAT_PIXELS | DOUBLE_PIXELS);
    let (true, Some(vr), Some(length)) = (is_pixels, vr, found.length) else {
        return Err(FramesError::Broken("they do not stand as one value").into());
    };
    let start = at + found.bytes;
    if start + length > object_bytes {
        return Err(FramesError::Broken("the object is shorter than its pixels").into());
    }
    Ok(NativeValue { tag: found.tag, vr, value: start..start + length })
}

/// Finds frames in an object in memory.
///
/// # Errors
/// See [`FramesError`].
pub fn locate_in(object: &Bytes, wanted: &Wanted<'_>) -> Result<Vec<FramePlace>, FramesError> {
    let read = |range: Range<u64>| {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(object.len());
        let range = place(range.start)..place(range.end);
        std::future::ready(Ok::<_, std::convert::Infallible>(object.slice(range)))
    };
    let located = pin!(locate(wanted, read));
    match located.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(places)) => Ok(places),
        Poll::Ready(Err(LocateError::Frames(error))) => Err(error),
        Poll::Ready(Err(LocateError::Read(never))) => match never {},
        Poll::Pending => Err(FramesError::Broken("the reader waited")),
    }
}

/// Where the pixels are.
struct Pixels {
    /// Their first byte (native) or first item (encapsulated).
    at: u64,
    /// Bytes of native pixels; `None` for fragments.
    length: Option<u64>,
    /// The extended offset table.
    offsets: Option<Range<u64>>,
}

/// One fragment.
struct Fragment {
    /// Its bytes.
    bytes: Range<u64>,
    /// Its first two bytes.
    first: [u8; 2],
}

/// A short run of the object's bytes.
struct Window<R> {
    read: R,
    object_bytes: u64,
    at: u64,
    bytes: Bytes,
}

impl<R, F, E> Window<R>
where
    R: FnMut(Range<u64>) -> F,
    F: Future<Output = Result<Bytes, E>>,
    E: std::error::Error + 'static,
{
    /// The bytes from a place on: `N` of them, or as many as the object still has.
    async fn get(&mut self, at: u64, bytes: u64) -> Result<&[u8], LocateError<E>> {
        if at >= self.object_bytes {
            return Ok(&[]);
        }
        let end = at.saturating_add(bytes).min(self.object_bytes);
        if at < self.at || end > self.at + self.bytes.len() as u64 {
            let until = at.saturating_add(bytes.max(WINDOW_BYTES)).min(self.object_bytes);
            self.bytes = (self.read)(at..until).await.map_err(LocateError::Read)?;
            self.at = at;
        }
        let from = usize::try_from(at - self.at).unwrap_or(usize::MAX).min(self.bytes.len());
        let count = usize::try_from(bytes).unwrap_or(usize::MAX);
        let rest = &self.bytes[from..];
        Ok(&rest[..rest.len().min(count)])
    }

    /// Walks the elements up to the pixels: those of group 7FE0, and before them values too large for a header.
    async fn pixels(&mut self, mut at: u64, encoding: Encoding) -> Result<Pixels, LocateError<E>> {
        let mut offsets = None;
        for _ in 0..ELEMENTS_WALKED_MAX {
            let Some(head) = element(self.get(at, 12).await?, encoding) else {
                return Err(FramesError::NoPixels.into());
            };
            let value = at + head.bytes;
            match head.kind() {
                Kind::Fragments => return Ok(Pixels { at: value, length: None, offsets }),
                Kind::Native(length) => {
                    if value + length > self.object_bytes {
                        return Err(FramesError::Broken("the object is shorter than its pixels").into());
                    }
                    return Ok(Pixels { at: value, length: Some(length), offsets });
                }
                Kind::Table(length) => {
                    offsets = (length > 0).then_some(value..value + length);
                    at = value + length;
                }
                Kind::Other(length) => at = value + length,
                Kind::NoPixels => return Err(FramesError::NoPixels.into()),
            }
        }
        Err(FramesError::NoPixels.into())
    }

    /// The item at a place: `None` at the end of the fragments.
    async fn fragment(&mut self, at: u64) -> Result<Option<Fragment>, LocateError<E>> {
        let object_bytes = self.object_bytes;
        let head = self.get(at, 10).await?;
        let Some(item) = head.first_chunk::<8>() else {
            return Err(FramesError::Broken("the fragments do not end").into());
        };
        match fragment_head(item) {
            Some(None) => Ok(None),
            Some(Some(length)) if at + 8 + length <= object_bytes => Ok(Some(Fragment {
                bytes: at + 8..at + 8 + length,
                first: head.get(8..10).and_then(|two| two.try_into().ok()).unwrap_or_default(),
            })),
            Some(Some(_)) => Err(FramesError::Broken("a fragment is longer than the object").into()),
            None => {
                Err(FramesError::Broken("something that is no fragment stands among the fragments").into())
            }
        }
    }

    /// The fragments from a place up to another, or up to their end.
    async fn fragments(&mut self, mut at: u64, until: Option<u64>) -> Result<Vec<Fragment>, LocateError<E>> {
        let mut found = Vec::new();
        while until.is_none_or(|until| at < until) {
            let Some(fragment) = self.fragment(at).await? else { break };
            at = fragment.bytes.end;
            if found.len() >= FRAGMENTS_MAX {
                return Err(FramesError::Broken("there are too many fragments").into());
            }
            found.push(fragment);
        }
        Ok(found)
    }
}

/// The head of an element.
pub(crate) struct Head {
    tag: Tag,
    /// `None` when undefined.
    length: Option<u64>,
    /// How many bytes it has.
    pub(crate) bytes: u64,
}

/// What an element between the header and the pixels is, with the bytes of its value.
pub(crate) enum Kind {
    /// Pixels in fragments.
    Fragments,
    /// Pixels in one run.
    Native(u64),
    /// The extended offset table.
    Table(u64),
    /// Something else, with the pixels still to come.
    Other(u64),
    /// A place behind where pixels stand.
    NoPixels,
}

impl Head {
    pub(crate) fn kind(&self) -> Kind {
        match (self.tag, self.length) {
            (PIXEL_DATA, None) => Kind::Fragments,
            (PIXEL_DATA | FLOAT_PIXELS | DOUBLE_PIXELS, Some(length)) => Kind::Native(length),
            (EXTENDED_OFFSETS, Some(length)) => Kind::Table(length),
            (EXTENDED_LENGTHS, Some(length)) => Kind::Other(length),
            (tag, Some(length)) if tag.group() <= PIXEL_DATA.group() => Kind::Other(length),
            _ => Kind::NoPixels,
        }
    }
}

/// Reads the head of an element; `None` when it has not come in full.
pub(crate) fn element(bytes: &[u8], encoding: Encoding) -> Option<Head> {
    let head = bytes.first_chunk::<8>()?;
    let tag = Tag(encoding.u16([head[0], head[1]]), encoding.u16([head[2], head[3]]));
    let (length, size) = if !encoding.explicit {
        (encoding.u32([head[4], head[5], head[6], head[7]]), 8)
    } else if VR::from_binary([head[4], head[5]]).is_none_or(|vr| !is_short(vr)) {
        let long = bytes.first_chunk::<12>()?;
        (encoding.u32([long[8], long[9], long[10], long[11]]), 12)
    } else {
        (u32::from(encoding.u16([head[6], head[7]])), 8)
    };
    Some(Head { tag, length: (length != u32::MAX).then_some(u64::from(length)), bytes: size })
}

/// The length of a fragment by the head of its item: `Some(None)` at the end of all, `None` when it is no item.
pub(crate) fn fragment_head(item: &[u8]) -> Option<Option<u64>> {
    let item = item.first_chunk::<8>()?;
    let tag = Tag(u16::from_le_bytes([item[0], item[1]]), u16::from_le_bytes([item[2], item[3]]));
    let length = u64::from(u32::from_le_bytes([item[4], item[5], item[6], item[7]]));
    match tag {
        SEQUENCE_END => Some(None),
        ITEM => Some(Some(length)),
        _ => None,
    }
}

/// Pixels that are not compressed: their first byte and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NativePixels {
    pub(crate) at: u64,
    pub(crate) length: u64,
}

/// Native pixels of an object; `None` when they are in fragments.
pub(crate) async fn native_pixels<R, F, E>(
    wanted: &Wanted<'_>,
    read: R,
) -> Result<Option<NativePixels>, LocateError<E>>
where
    R: FnMut(Range<u64>) -> F,
    F: Future<Output = Result<Bytes, E>>,
    E: std::error::Error + 'static,
{
    let encoding = Syntax::of(wanted.transfer_syntax).encoding;
    let mut window = Window { read, object_bytes: wanted.object_bytes, at: 0, bytes: Bytes::new() };
    let Pixels { at, length, .. } = window.pixels(wanted.header_end, encoding).await?;
    Ok(length.map(|length| NativePixels { at, length }))
}

/// Where native frames are.
///
/// # Errors
/// [`FramesError::Broken`] when there are fewer pixels than the shape says.
pub(crate) fn native(
    shape: &Shape,
    numbers: &[u32],
    pixels: &NativePixels,
) -> Result<Vec<FramePlace>, FramesError> {
    let bits = shape.frame_bits();
    if (bits * u64::from(shape.frames)).div_ceil(8) > pixels.length {
        return Err(FramesError::Broken("there are fewer pixels than the header says"));
    }
    let place = |number: u32| {
        let (from, until) = (bits * u64::from(number - 1), bits * u64::from(number));
        FramePlace {
            number,
            parts: std::iter::once(pixels.at + from / 8..pixels.at + until.div_ceil(8)).collect(),
            skip_bits: (from % 8) as u8,
        }
    };
    Ok(numbers.iter().copied().map(place).collect())
}

async fn encapsulated<R, F, E>(
    wanted: &Wanted<'_>,
    pixels: &Pixels,
    window: &mut Window<R>,
) -> Result<Vec<FramePlace>, LocateError<E>>
where
    R: FnMut(Range<u64>) -> F,
    F: Future<Output = Result<Bytes, E>>,
    E: std::error::Error + 'static,
{
    let Some(table) = window.fragment(pixels.at).await? else {
        return Err(FramesError::Broken("there are no fragments").into());
    };
    let first = table.bytes.end;
    if wanted.shape.frames == 1 {
        let fragments = window.fragments(first, None).await?;
        if fragments.is_empty() {
            return Err(FramesError::Broken("there are no fragments").into());
        }
        let place = |number| FramePlace { number, parts: parts(&fragments), skip_bits: 0 };
        return Ok(wanted.frames.iter().copied().map(place).collect());
    }
    match offsets(wanted, pixels, &table, window).await? {
        Some(offsets) => indexed(wanted, first, &offsets, window).await,
        None => Ok(guessed(wanted, &window.fragments(first, None).await?)?),
    }
}

fn parts(fragments: &[Fragment]) -> Vec<Range<u64>> {
    fragments.iter().map(|fragment| fragment.bytes.clone()).filter(|bytes| !bytes.is_empty()).collect()
}

/// The offset table that has an entry for each frame, the extended one first.
async fn offsets<R, F, E>(
    wanted: &Wanted<'_>,
    pixels: &Pixels,
    basic: &Fragment,
    window: &mut Window<R>,
) -> Result<Option<Vec<u64>>, LocateError<E>>
where
    R: FnMut(Range<u64>) -> F,
    F: Future<Output = Result<Bytes, E>>,
    E: std::error::Error + 'static,
{
    let frames = u64::from(wanted.shape.frames);
    for (range, size) in [(pixels.offsets.as_ref(), 8), (Some(&basic.bytes), 4)] {
        let Some(range) = range else { continue };
        let length = range.end - range.start;
        if length / size < frames || length > TABLE_BYTES_MAX {
            continue;
        }
        let bytes = window.get(range.start, frames * size).await?;
        let number =
            |entry: &[u8]| entry.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let offsets: Vec<u64> = bytes.chunks_exact(if size == 8 { 8 } else { 4 }).map(number).collect();
        let rises = offsets.first() == Some(&0) && offsets.windows(2).all(|pair| pair[0] < pair[1]);
        if offsets.len() as u64 == frames && rises {
            return Ok(Some(offsets));
        }
    }
    Ok(None)
}

async fn indexed<R, F, E>(
    wanted: &Wanted<'_>,
    first: u64,
    offsets: &[u64],
    window: &mut Window<R>,
) -> Result<Vec<FramePlace>, LocateError<E>>
where
    R: FnMut(Range<u64>) -> F,
    F: Future<Output = Result<Bytes, E>>,
    E: std::error::Error + 'static,
{
    let mut places = Vec::with_capacity(wanted.frames.len());
    for number in wanted.frames.iter().copied() {
        let place = |index: u32| {
            offsets
                .get(index as usize)
                .map(|offset| first.saturating_add(*offset))
                .filter(|at| *at < window.object_bytes)
        };
        let Some(from) = place(number - 1) else {
            return Err(FramesError::Broken("the offset table points beyond the object").into());
        };
        let until = place(number);
        let fragments = window.fragments(from, until).await?;
        if fragments.is_empty() {
            return Err(FramesError::Broken("the offset table points at no fragment").into());
        }
        places.push(FramePlace { number, parts: parts(&fragments), skip_bits: 0 });
    }
    Ok(places)
}

/// Frames without an offset table: one fragment each, or each fragment that begins a new image begins a frame.
fn guessed(wanted: &Wanted<'_>, fragments: &[Fragment]) -> Result<Vec<FramePlace>, FramesError> {
    let frames = wanted.shape.frames as usize;
    let starts: Vec<usize> = if fragments.len() == frames {
        (0..frames).collect()
    } else {
        // SOI of JPEG and JPEG-LS, SOC of JPEG 2000.
        let begins = |fragment: &Fragment| matches!(fragment.first, [0xFF, 0xD8 | 0x4F]);
        fragments
            .iter()
            .enumerate()
            .filter(|(_, fragment)| begins(fragment))
            .map(|(index, _)| index)
            .collect()
    };
    if starts.len() != frames {
        return Err(FramesError::Broken("the fragments cannot be told apart into frames"));
    }
    let place = |number: u32| {
        let index = number as usize - 1;
        let until = starts.get(index + 1).copied().unwrap_or(fragments.len());
        FramePlace { number, parts: parts(&fragments[starts[index]..until]), skip_bits: 0 }
    };
    Ok(wanted.frames.iter().copied().map(place).collect())
}
