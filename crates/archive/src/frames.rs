//! WADO-RS of frames (PS3.18 sections 8.7.3 and 10.4.1.1.6): the bytes of each as they are stored, compressed
//! or not, with the media type and the transfer syntax that they have; or decoded, or compressed without loss, for who asks for
//! that. Only the bytes of the frames that are asked for are read.

use std::{
    collections::{HashMap, VecDeque},
    io,
    ops::Range,
    sync::{Arc, PoisonError},
};

use axum::{
    body::Body,
    extract::State as Here,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use bytes::Bytes;
use domain::{
    audit::Action,
    digest::Sha256Digest,
    image::Instance,
    port::{Storage, StorageError},
};
use futures::{Stream, StreamExt as _, TryStreamExt as _, future, stream, stream::BoxStream};
use gate::Problem;
use imaging::{
    codec::Target,
    frames::{FramePlace, FramesError, LocateError, Shape, Wanted, locate},
    guard::HeaderEnd,
    layout::Layout,
    syntax::{EXPLICIT_LITTLE, Syntax, frame_media_type, is_uncompressed, pixel_encoding},
    tree,
};

use crate::{
    Shared, State,
    accept::{self, Accepted, OCTET_STREAM, Packaging, matches, not_acceptable},
    address::{self, instance_address},
    conversion::{self, HeaderError},
    fetch,
    multipart::{Content, Part},
    pixel,
    retrieve::{multipart_answer, single_answer},
    transcode,
    validator::{Kept, Validator},
};

/// Most frames of one request.
pub const FRAMES_MAX: usize = 256;

/// Largest frame that is worked on in memory, where its bytes or bits have to be moved.
const MOVED_BYTES_MAX: u64 = 256 << 20;
/// Most shapes of objects that are remembered, so that a film of a thousand frames is not described a
/// thousand times.
const SHAPES_MAX: usize = 20_000;

/// Frames of an instance.
pub(crate) async fn frames(
    Here(shared): Here<State>,
    target: address::Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let numbers = numbers(target.part("frames")?)?;
    let instance = target.known_instance(&shared).await?;
    let accepted = Accepted::of(&headers, &uri)?;
    let (form, packaging) = Form::choose(&instance, &accepted, numbers.len() == 1)?;
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(&target.study()?)).await?;
    let validator = Validator::new(form.state(&instance), Kept::Object);
    if let Some(response) = validator.not_modified(&headers) {
        return Ok(response);
    }
    let address = instance_address(&target.base, &instance);
    let answered = async |form: &Form, packaging| {
        let parts = parts(&shared, instance.clone(), &numbers, form.clone(), address.clone()).await?;
        let validator = Validator::new(form.state(&instance), Kept::Object);
        Ok(validator.put_on(answer(packaging, form, parts).await?))
    };
    let refused = match answered(&form, packaging).await {
        Ok(response) => return Ok(response),
        Err(problem) => problem,
    };
    // Whoever takes what is stored as well does not go without a picture because there is no room, or no way, to make the smaller form.
    match form.recoded.and_then(|_| Form::choose_stored(&instance, &accepted, numbers.len() == 1)) {
        Some((stored, packaging)) => answered(&stored, packaging).await,
        None => Err(refused),
    }
}

/// How frames leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form {
    /// Their media type.
    media_type: &'static str,
    /// Their transfer syntax. Native pixels are Explicit VR Little Endian here, whatever the syntax of the
    /// object says about its header.
    transfer_syntax: String,
    /// Samples stand with the highest byte first, and are turned.
    is_big_endian: bool,
    /// They are decoded or compressed on their way.
    recoded: Option<Target>,
}

impl Form {
    /// The frames of an instance as they are stored. Those of a deflated object have no places in it, and are taken out.
    fn stored(instance: &Instance) -> Self {
        let syntax = &instance.transfer_syntax;
        let is_native = is_uncompressed(syntax);
        Self {
            media_type: if is_native { OCTET_STREAM } else { frame_media_type(syntax) },
            transfer_syntax: if is_native { EXPLICIT_LITTLE.to_owned() } else { syntax.to_string() },
            is_big_endian: pixel_encoding(syntax).big_endian,
            recoded: Syntax::of(syntax).deflated.then_some(Target::Native),
        }
    }

    /// The frames of an instance in another transfer syntax.
    fn recoded(target: Target) -> Self {
        let media_type = match target {
            Target::Native => OCTET_STREAM,
            Target::JpegLs => "image/jls",
            Target::Rle => "image/dicom-rle",
        };
        let transfer_syntax = target.uid().to_owned();
        Self { media_type, transfer_syntax, is_big_endian: false, recoded: Some(target) }
    }

    /// Every form in which the frames of an instance can leave, as they are stored first.
    fn all(instance: &Instance) -> Vec<Self> {
        let stored = Self::stored(instance);
        let targets = Target::ALL.into_iter().filter(|target| {
            target.uid() != stored.transfer_syntax && transcode::reaches_frames(instance, *target)
        });
        let recoded: Vec<Self> = targets.map(Self::recoded).collect();
        std::iter::once(stored).chain(recoded).collect()
    }

    /// The media type with its parameter.
    pub(crate) fn media_type(&self) -> String {
        format!("{}; transfer-syntax={}", self.media_type, self.transfer_syntax)
    }

    /// What names this state of the frames of an instance.
    pub(crate) fn state(&self, instance: &Instance) -> String {
        transcode::state(instance, self.recoded)
    }

    /// How they are put into an answer, and in which form.
    ///
    /// A client that asks for `application/octet-stream; transfer-syntax=*` takes what is stored, and is told
    /// what that is by the media type of the parts. One that asks for `application/octet-stream` and no more
    /// wants plain samples (PS3.18 table 8.7.3-4), and gets them, decoded where they are compressed.
    ///
    /// # Errors
    /// 406.
    pub(crate) fn choose(
        instance: &Instance,
        accepted: &Accepted,
        is_one: bool,
    ) -> Result<(Self, Packaging), Problem> {
        Self::choose_of(Self::all(instance), accepted, is_one)
    }

    /// The same of what is stored alone; `None` when the client does not take it, or when it cannot be had without being worked on.
    fn choose_stored(instance: &Instance, accepted: &Accepted, is_one: bool) -> Option<(Self, Packaging)> {
        let stored = Some(Self::stored(instance)).filter(|stored| stored.recoded.is_none())?;
        Self::choose_of(vec![stored], accepted, is_one).ok()
    }

    fn choose_of(forms: Vec<Self>, accepted: &Accepted, is_one: bool) -> Result<(Self, Packaging), Problem> {
        let offer = |wanted: &accept::Wanted<'_>| {
            let is_packaged = is_one || wanted.packaging == Packaging::Multipart;
            let fits = |(index, form): &(usize, &Self)| {
                let is_stored = *index == 0;
                let said = wanted.transfer_syntax;
                let is_syntax = said.is_none_or(|syntax| syntax == form.transfer_syntax)
                    || (is_stored && said == Some("*"));
                let is_any = is_stored && said.is_some() && matches(wanted.payload, OCTET_STREAM);
                // What is not stored is made for who names it, not for who takes anything.
                let is_named = is_stored || !wanted.payload.contains('*');
                is_syntax && is_named && (matches(wanted.payload, form.media_type) || is_any)
            };
            let found = forms.iter().enumerate().find(fits).map(|(_, form)| form.clone());
            found.filter(|_| is_packaged).map(|form| (form, wanted.packaging))
        };
        accepted.choose(offer).ok_or_else(|| {
            let offer = |form: &Self| {
                let Self { media_type, transfer_syntax, .. } = form;
                format!("multipart/related; type=\"{media_type}\"; transfer-syntax={transfer_syntax}")
            };
            not_acceptable(&forms.iter().map(offer).collect::<Vec<_>>())
        })
    }
}

/// Reads a list of frame numbers.
///
/// # Errors
/// 400 when it is none.
pub(crate) fn numbers(list: &str) -> Result<Vec<u32>, Problem> {
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0);
    let numbers: Option<Vec<u32>> = list.split(',').take(FRAMES_MAX + 1).map(number).collect();
    match numbers {
        Some(numbers) if numbers.len() <= FRAMES_MAX => Ok(numbers),
        Some(_) => Err(Problem::bad_request(format!("At most {FRAMES_MAX} frames can be had at once."))),
        None => Err(Problem::bad_request("Frames are a list of numbers from 1, parted by commas.")),
    }
}

/// An answer of frames.
pub(crate) async fn answer(
    packaging: Packaging,
    form: &Form,
    parts: impl Stream<Item = Result<Part, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    match packaging {
        Packaging::Multipart => multipart_answer(&form.media_type(), parts).await,
        Packaging::Single => {
            let part = Box::pin(parts).next().await.transpose()?.ok_or_else(Problem::unknown)?;
            Ok(single_answer(&part.media_type, part.bytes, Body::from_stream(part.content)))
        }
    }
}

/// Where frames are.
///
/// # Errors
/// 404 when there are no such ones, 406 when they cannot be had one by one.
pub(crate) async fn places(
    shared: &Shared,
    instance: &Instance,
    numbers: &[u32],
) -> Result<(Shape, Vec<FramePlace>), Problem> {
    if let Some(layout) = layout(instance) {
        let places = layout.places(numbers).map_err(|error| no_frames(&error))?;
        return Ok((layout.shape, places));
    }
    let known = shared.shapes.lock().unwrap_or_else(PoisonError::into_inner).get(&instance.file_sha256);
    let (shape, beginning) = match known {
        Some(shape) => (shape, Bytes::new()),
        None => described(shared, instance).await?,
    };
    let wanted = Wanted {
        shape,
        transfer_syntax: &instance.transfer_syntax,
        header_end: instance.attributes.header_bytes,
        object_bytes: instance.bytes,
        frames: numbers,
    };
    let read = |range: Range<u64>| {
        let (storage, beginning) = (&*shared.storage, &beginning);
        async move {
            let place = |at: u64| usize::try_from(at).ok();
            let known = place(range.start).zip(place(range.end)).filter(|(_, end)| *end <= beginning.len());
            if let Some((start, end)) = known {
                return Ok(beginning.slice(start..end));
            }
            let bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            fetch::bytes(storage, instance, range, bytes).await
        }
    };
    match locate(&wanted, read).await {
        Ok(places) => Ok((shape, places)),
        Err(LocateError::Read(error)) => Err(error.into()),
        Err(LocateError::Frames(error)) => Err(no_frames(&error)),
    }
}

/// What was noted of an object's frames when it came.
fn layout(instance: &Instance) -> Option<Layout> {
    Layout::read(&instance.attributes.frame_index.as_ref()?.0, instance.bytes)
}

/// The shape of the frames of an object, and the bytes that were read to see it.
async fn described(shared: &Shared, instance: &Instance) -> Result<(Shape, Bytes), Problem> {
    let conversion::Beginning { header, bytes } = conversion::beginning(&*shared.storage, instance).await?;
    if header.end == HeaderEnd::DataSet {
        return Err(no_frames(&FramesError::NoPixels));
    }
    let shape = conversion::with_header(header.bytes.len(), move || {
        let tree = tree::read(&header).map_err(HeaderError::Refused)?;
        Ok::<_, HeaderError>(Shape::read(&tree))
    })
    .await??
    .map_err(|error| no_frames(&error))?;
    shared.shapes.lock().unwrap_or_else(PoisonError::into_inner).put(instance.file_sha256, shape);
    Ok((shape, bytes))
}

/// Frames as parts, opened one after another.
///
/// # Errors
/// As [`places`].
pub(crate) async fn parts(
    shared: &State,
    instance: Instance,
    numbers: &[u32],
    form: Form,
    address: String,
) -> Result<BoxStream<'static, Result<Part, Problem>>, Problem> {
    if let Some(target) = form.recoded {
        return recoded_parts(shared, instance, numbers, &form, target, address).await;
    }
    let in_words = transcode::bytes_in_words(&*shared.storage, &instance).await;
    if in_words.map_err(|error| transcode::not_transcoded(error, &instance))? {
        return Err(no_frames(&FramesError::Broken("bytes stand in words with the highest byte first")));
    }
    let (shape, places) = places(shared, &instance, numbers).await?;
    let (storage, instance) = (Arc::clone(&shared.storage), Arc::new(instance));
    Ok(stored_parts(storage, instance, shape, places, form, address).map_err(Problem::from).boxed())
}

/// Frames that are decoded or compressed on their way, one after another.
async fn recoded_parts(
    shared: &State,
    instance: Instance,
    numbers: &[u32],
    form: &Form,
    target: Target,
    address: String,
) -> Result<BoxStream<'static, Result<Part, Problem>>, Problem> {
    let frames = pixel::Frames::open(shared, instance, numbers).await?;
    let media_type = form.media_type();
    let (frames, shared) = (Arc::new(frames), Arc::clone(shared));
    let numbered = stream::iter(0..frames.count());
    let parts = numbered.then(move |index| {
        let (frames, shared) = (Arc::clone(&frames), Arc::clone(&shared));
        let (media_type, location) =
            (media_type.clone(), format!("{address}/frames/{}", frames.number(index)));
        async move {
            let bytes = frames.recoded(&shared, index, target).await?;
            let count = Some(bytes.len() as u64);
            let content = stream::once(future::ready(Ok(bytes))).boxed();
            Ok(Part { media_type, location, bytes: count, content })
        }
    });
    Ok(parts.boxed())
}

fn stored_parts(
    storage: Arc<dyn Storage>,
    instance: Arc<Instance>,
    shape: Shape,
    places: Vec<FramePlace>,
    form: Form,
    address: String,
) -> impl Stream<Item = Result<Part, StorageError>> + Send + 'static {
    stream::iter(places).then(move |place| {
        let (storage, instance) = (storage.clone(), instance.clone());
        let (media_type, location) = (form.media_type(), format!("{address}/frames/{}", place.number));
        let turned =
            (form.is_big_endian && shape.bits_allocated > 8).then_some(shape.bits_allocated as usize / 8);
        async move {
            if place.skip_bits > 0 || turned.is_some() {
                let mut bytes = in_memory(&*storage, &instance, &place).await?.concat();
                move_bits(&mut bytes, place.skip_bits, shape.frame_bits());
                bytes.chunks_exact_mut(turned.unwrap_or(1)).for_each(<[u8]>::reverse);
                let count = Some(bytes.len() as u64);
                let content = stream::once(future::ready(Ok(Bytes::from(bytes)))).boxed();
                return Ok(Part { media_type, location, bytes: count, content });
            }
            let bytes = Some(place.bytes());
            Ok(Part { media_type, location, bytes, content: content(storage, instance, place.parts).await? })
        }
    })
}

/// The bytes of the ranges of a frame, one after another. Between them are only the heads of its fragments: all is one read, and these are
/// left out. The store is asked before this returns.
async fn content(
    storage: Arc<dyn Storage>,
    instance: Arc<Instance>,
    ranges: Vec<Range<u64>>,
) -> Result<Content, StorageError> {
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return Ok(stream::empty().boxed());
    };
    let whole = first.start..last.end;
    let mut at = whole.start;
    let pieces = fetch::content(&*storage, &instance, Some(whole)).await?;
    let wanted = move |piece: io::Result<Bytes>| {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return stream::iter(vec![Err(error)]),
        };
        let here = at..at + piece.len() as u64;
        at = here.end;
        let within = |range: &Range<u64>| {
            let (from, until) = (range.start.max(here.start), range.end.min(here.end));
            let place = |offset: u64| usize::try_from(offset - here.start).unwrap_or(usize::MAX);
            (from < until).then(|| Ok(piece.slice(place(from)..place(until))))
        };
        stream::iter(ranges.iter().filter_map(within).collect::<Vec<_>>())
    };
    Ok(pieces.flat_map(wanted).boxed())
}

/// The bytes of one frame in memory: as they were read where they are one run, else put together.
pub(crate) async fn in_memory(
    storage: &dyn Storage,
    instance: &Instance,
    place: &FramePlace,
) -> Result<Vec<Bytes>, StorageError> {
    let (Some(first), Some(last)) = (place.parts.first(), place.parts.last()) else { return Ok(Vec::new()) };
    let whole = first.start..last.end;
    if whole.end - whole.start > MOVED_BYTES_MAX {
        let bytes_max = usize::try_from(MOVED_BYTES_MAX).unwrap_or(usize::MAX);
        return Err(StorageError::TooLarge { bytes_max });
    }
    let pieces = fetch::in_pieces(storage, instance, whole.clone()).await?;
    if place.parts.len() == 1 {
        return Ok(pieces);
    }
    let mut all = Vec::with_capacity(usize::try_from(place.bytes()).unwrap_or_default());
    let mut at = whole.start;
    let mut parts = place.parts.iter().cloned().peekable();
    for piece in pieces {
        let end = at + piece.len() as u64;
        while let Some(part) = parts.peek_mut() {
            let (from, until) = (part.start.max(at), part.end.min(end));
            if from < until {
                let inside = |offset: u64| usize::try_from(offset - at).unwrap_or(usize::MAX);
                all.extend_from_slice(&piece[inside(from)..inside(until)]);
            }
            if part.end > end {
                break;
            }
            parts.next();
        }
        at = end;
    }
    Ok(vec![all.into()])
}

/// Moves a frame that begins within a byte to the beginning of one. The first pixel is the lowest bit (PS3.5
/// section 8.1.1).
fn move_bits(bytes: &mut Vec<u8>, skip: u8, frame_bits: u64) {
    if skip == 0 {
        return;
    }
    let next: Vec<u8> = bytes.iter().skip(1).copied().chain([0]).collect();
    for (byte, next) in bytes.iter_mut().zip(next) {
        *byte = *byte >> skip | next << (8 - skip);
    }
    bytes.truncate(usize::try_from(frame_bits.div_ceil(8)).unwrap_or(usize::MAX));
    if let (Some(last), 1..) = (bytes.last_mut(), frame_bits % 8) {
        *last &= (1 << (frame_bits % 8)) - 1;
    }
}

fn no_frames(error: &FramesError) -> Problem {
    let status = match error {
        FramesError::NoPixels | FramesError::NoFrame { .. } => StatusCode::NOT_FOUND,
        FramesError::Deflated | FramesError::Film => StatusCode::NOT_ACCEPTABLE,
        FramesError::Shape(_) | FramesError::Broken(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let mut message = error.to_string();
    if let Some(first) = message.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Problem::new(status, "no_frames", message + ".").next_step("Retrieve the instance as application/dicom.")
}

/// Shapes of objects that were asked for lately.
#[derive(Default)]
pub(crate) struct Shapes {
    known: HashMap<Sha256Digest, Shape>,
    order: VecDeque<Sha256Digest>,
}

impl Shapes {
    fn get(&self, object: &Sha256Digest) -> Option<Shape> {
        self.known.get(object).copied()
    }

    fn put(&mut self, object: Sha256Digest, shape: Shape) {
        if self.known.insert(object, shape).is_none() {
            self.order.push_back(object);
        }
        if self.order.len() > SHAPES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// Whether a client takes a binary value that is no frame.
pub(crate) fn choose_bytes(accepted: &Accepted) -> Result<Packaging, Problem> {
    let offer = |wanted: &accept::Wanted<'_>| {
        let is_stored =
            wanted.transfer_syntax.is_none_or(|syntax| syntax == "*" || syntax == EXPLICIT_LITTLE);
        (is_stored && matches(wanted.payload, OCTET_STREAM)).then_some(wanted.packaging)
    };
    accepted.choose(offer).ok_or_else(|| not_acceptable(&[OCTET_STREAM.to_owned()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_frames() {
        assert_eq!(numbers("1,2, 7").unwrap(), [1, 2, 7]);
        let many = vec!["1"; FRAMES_MAX].join(",");
        assert_eq!(numbers(&many).unwrap().len(), FRAMES_MAX);
        for bad in ["", "0", "1,,2", "-1", "a", "1,", &format!("{many},1"), "4294967296"] {
            assert!(numbers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_frame_of_bits_moves_to_its_first_byte() {
        // Two frames of nine pixels, all ones in the second: bits 9 to 17.
        let mut bytes = vec![0b1111_1110, 0b1111_1111];
        bytes.push(0b0000_0011);
        let mut second = bytes[1..].to_vec();
        second[0] &= 0b1111_1110;
        move_bits(&mut second, 1, 9);
        assert_eq!(second, [0b1111_1111, 0b0000_0001]);
    }

    fn choose(form: &Form, accept: &str, is_one: bool) -> Option<Packaging> {
        let headers = HeaderMap::from_iter([(axum::http::header::ACCEPT, accept.parse().unwrap())]);
        let accepted = Accepted::of(&headers, &Uri::from_static("/")).unwrap();
        Form::choose_of(vec![form.clone()], &accepted, is_one).ok().map(|(_, packaging)| packaging)
    }

    #[test]
    fn what_is_named_is_made() {
        let forms = || {
            let stored = Form { recoded: None, ..Form::recoded(Target::JpegLs) };
            vec![stored, Form::recoded(Target::Native), Form::recoded(Target::Rle)]
        };
        let choose = |accept: &str| {
            let headers = HeaderMap::from_iter([(axum::http::header::ACCEPT, accept.parse().unwrap())]);
            let accepted = Accepted::of(&headers, &Uri::from_static("/")).unwrap();
            Form::choose_of(forms(), &accepted, true).ok().map(|(form, _)| form.recoded)
        };
        for (accept, expected) in [
            ("multipart/related; type=application/octet-stream; transfer-syntax=*", Some(None)),
            ("*/*", Some(None)),
            ("multipart/related; type=application/octet-stream", Some(Some(Target::Native))),
            (
                "multipart/related; type=application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
                Some(Some(Target::Native)),
            ),
            ("multipart/related; type=image/dicom-rle", Some(Some(Target::Rle))),
            ("multipart/related; type=image/jls", Some(None)),
            ("multipart/related; type=image/jp2", None),
            ("multipart/related; type=application/octet-stream; transfer-syntax=1.2.840.10008.1.2.2", None),
        ] {
            assert_eq!(choose(accept), expected, "{accept}");
        }
    }

    #[test]
    fn what_viewers_ask_for_is_given_as_it_is_stored() {
        let jls = Form {
            media_type: "image/jls",
            transfer_syntax: "1.2.840.10008.1.2.4.80".to_owned(),
            is_big_endian: false,
            recoded: None,
        };
        let native = Form {
            media_type: OCTET_STREAM,
            transfer_syntax: EXPLICIT_LITTLE.to_owned(),
            is_big_endian: false,
            recoded: None,
        };
        let (multipart, single) = (Some(Packaging::Multipart), Some(Packaging::Single));
        for (accept, of_jls, of_native) in [
            ("multipart/related; type=application/octet-stream; transfer-syntax=*", multipart, multipart),
            ("multipart/related; type=\"application/octet-stream\"; transfer-syntax=*", multipart, multipart),
            ("multipart/related; type=\"application/octet-stream\"", None, multipart),
            (
                "multipart/related; type=application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
                None,
                multipart,
            ),
            ("multipart/related; type=image/jls; transfer-syntax=1.2.840.10008.1.2.4.80", multipart, None),
            ("multipart/related; type=image/jls", multipart, None),
            ("multipart/related; type=\"image/*\"", multipart, None),
            ("multipart/related; type=image/jp2, multipart/related; type=image/jls", multipart, None),
            ("*/*", multipart, multipart),
            ("image/jls", single, None),
            ("application/octet-stream; transfer-syntax=*", single, single),
            ("text/html", None, None),
        ] {
            assert_eq!(
                (choose(&jls, accept, true), choose(&native, accept, true)),
                (of_jls, of_native),
                "{accept}"
            );
        }
        assert_eq!(choose(&jls, "image/jls", false), None);
    }
}
