//! Where the frames of an object are, noted while its bytes stream past, so that a frame is later found without a look into the object.
//!
//! What is noted is what [`crate::frames::locate`] would find: the notes are given to it in the place of the object. It costs a look at
//! the heads of elements and fragments; what lies between them is skipped. Not here: deflated objects and films, whose frames have no
//! places, and objects of more fragments than are worth noting. Their frames are found by reading, as ever.

use std::{
    convert::Infallible,
    future::ready,
    ops::Range,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use domain::uid::TransferSyntaxUid;

use crate::{
    frames::{
        ELEMENTS_WALKED_MAX, FramePlace, FramesError, Head, Kind, LocateError, NativePixels, Shape, Wanted,
        element, fragment_head, locate, native, native_pixels,
    },
    guard::GuardedHeader,
    syntax::{Encoding, Syntax, is_video},
};

/// Most bytes of a layout as it is kept. One of a native image has 30; one of 3 000 frames that are compressed has about this.
pub const LAYOUT_BYTES_MAX: usize = 16 << 10;
/// Most fragments that are noted while an object streams past: 20 bytes each, for each object that is on its way in.
pub const FRAGMENTS_NOTED_MAX: usize = 4_096;
/// Most bytes of an offset table that are noted.
const TABLE_BYTES_MAX: u64 = 8 * FRAGMENTS_NOTED_MAX as u64;
/// The first byte of a layout as it is kept: native pixels, or fragments. Another form gets other ones.
const NATIVE: u8 = 1;
const FRAGMENTS: u8 = 2;

/// Where the frames of one object are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The shape of the pixels.
    pub shape: Shape,
    pixels: Pixels,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pixels {
    Native(NativePixels),
    /// The ranges of each frame, in order.
    Fragments(Vec<Vec<Range<u64>>>),
}

impl Layout {
    /// Where some frames are.
    ///
    /// # Errors
    /// [`FramesError::NoFrame`], or [`FramesError::Broken`] when there are fewer pixels than the shape says.
    pub fn places(&self, numbers: &[u32]) -> Result<Vec<FramePlace>, FramesError> {
        let frames = self.shape.frames;
        if let Some(number) = numbers.iter().copied().find(|number| !(1..=frames).contains(number)) {
            return Err(FramesError::NoFrame { number, frames });
        }
        match &self.pixels {
            Pixels::Native(pixels) => native(&self.shape, numbers, pixels),
            Pixels::Fragments(parts) => {
                let place = |number: u32| {
                    let parts = parts.get(number as usize - 1).cloned();
                    let parts = parts.ok_or(FramesError::NoFrame { number, frames })?;
                    Ok(FramePlace { number, parts, skip_bits: 0 })
                };
                numbers.iter().copied().map(place).collect()
            }
        }
    }

    /// The layout as it is kept; `None` when it has more than [`LAYOUT_BYTES_MAX`].
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let Shape { rows, columns, samples, bits_allocated, frames, halved_chroma } = self.shape;
        let mut bytes = vec![match &self.pixels {
            Pixels::Native(_) => NATIVE,
            Pixels::Fragments(_) => FRAGMENTS,
        }];
        for number in [rows, columns, samples, bits_allocated, frames, u32::from(halved_chroma)] {
            put(&mut bytes, u64::from(number));
        }
        match &self.pixels {
            Pixels::Native(NativePixels { at, length }) => {
                put(&mut bytes, *at);
                put(&mut bytes, *length);
            }
            Pixels::Fragments(frames) => {
                let mut last = 0;
                for parts in frames {
                    put(&mut bytes, parts.len() as u64);
                    for part in parts {
                        // Tables may name frames in any order that rises, so a part never stands before the one before it.
                        put(&mut bytes, part.start.checked_sub(last)?);
                        put(&mut bytes, part.end - part.start);
                        last = part.end;
                    }
                    if bytes.len() > LAYOUT_BYTES_MAX {
                        return None;
                    }
                }
            }
        }
        Some(bytes)
    }

    /// Reads a layout of an object of so many bytes; `None` when it is none, or reaches beyond the object.
    #[must_use]
    pub fn read(bytes: &[u8], object_bytes: u64) -> Option<Self> {
        let (form, mut rest) = bytes.split_first()?;
        let mut small = || u32::try_from(take(&mut rest)?).ok();
        let shape = Shape {
            rows: small()?,
            columns: small()?,
            samples: small()?,
            bits_allocated: small()?,
            frames: small()?,
            halved_chroma: small()? == 1,
        };
        shape.check().ok()?;
        let pixels = match *form {
            NATIVE => {
                let (at, length) = (take(&mut rest)?, take(&mut rest)?);
                (at.checked_add(length)? <= object_bytes).then_some(())?;
                Pixels::Native(NativePixels { at, length })
            }
            FRAGMENTS => Pixels::Fragments(fragments(&mut rest, shape.frames, object_bytes)?),
            _ => return None,
        };
        rest.is_empty().then_some(Self { shape, pixels })
    }
}

fn fragments(rest: &mut &[u8], frames: u32, object_bytes: u64) -> Option<Vec<Vec<Range<u64>>>> {
    let mut all = Vec::new();
    let mut last = 0_u64;
    for _ in 0..frames {
        let count = take(rest)?;
        let mut parts = Vec::new();
        for _ in 0..count {
            let start = last.checked_add(take(rest)?)?;
            let end = start.checked_add(take(rest)?)?;
            (end <= object_bytes).then_some(())?;
            parts.push(start..end);
            last = end;
        }
        all.push(parts);
    }
    Some(all)
}

/// Appends a number, seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Notes the layout of one object while the bytes of its data set stream past, from the end of its header on.
#[derive(Debug)]
pub struct Follower {
    shape: Shape,
    transfer_syntax: TransferSyntaxUid,
    encoding: Encoding,
    /// Where the header ends; offsets count from the first byte of the data set.
    header_end: u64,
    step: Step,
    /// Where the piece that is wanted next begins, and its bytes so far.
    at: u64,
    held: Vec<u8>,
    elements: usize,
    notes: Vec<(u64, Bytes)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The head of an element of the data set.
    Element,
    /// An extended offset table of so many bytes.
    Table(u64),
    /// The head of an item, and of one that is not empty its first two bytes. The first one holds the offset table.
    Item { is_table: bool },
    /// A basic offset table with its head, of so many bytes.
    ItemTable(u64),
    /// Nothing: everything is noted.
    Done,
    /// Nothing: it cannot be noted.
    GivenUp,
}

impl Follower {
    /// Follows an object whose header was let in and says this of its pixels. `None` when there is nothing to note.
    #[must_use]
    pub fn new(header: &GuardedHeader, shape: Shape, transfer_syntax: &TransferSyntaxUid) -> Option<Self> {
        let syntax = Syntax::of(transfer_syntax);
        let has_places = !syntax.deflated && !header.deflated && !is_video(transfer_syntax);
        let mut follower = has_places.then(|| Self {
            shape,
            transfer_syntax: transfer_syntax.clone(),
            encoding: syntax.encoding,
            header_end: header.ends_at,
            step: Step::Element,
            at: header.ends_at,
            held: Vec::new(),
            elements: 0,
            notes: Vec::new(),
        })?;
        follower.push(header.ends_at, &header.after);
        Some(follower)
    }

    /// Looks at bytes of the data set that begin at an offset. They may begin before what is wanted; what is missing before them is
    /// not found again.
    pub fn push(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        while let Some(wanted) = self.wanted() {
            let next = self.at + self.held.len() as u64;
            if next >= end {
                return;
            }
            let Some(from) = next.checked_sub(offset) else {
                self.give_up();
                return;
            };
            let until = (self.at + wanted).min(end) - offset;
            let range = usize::try_from(from).ok().zip(usize::try_from(until).ok());
            let Some(some) = range.and_then(|(from, until)| bytes.get(from..until)) else {
                self.give_up();
                return;
            };
            self.held.extend_from_slice(some);
            if self.held.len() as u64 == wanted {
                self.look();
            }
        }
    }

    /// The layout, once the data set of so many bytes is over; `prefix_bytes` stand before it in the object. `None` when it could not be
    /// noted: then frames are looked for in the object.
    #[must_use]
    pub fn finish(self, prefix_bytes: u64, data_set_bytes: u64) -> Option<Layout> {
        if self.step != Step::Done {
            return None;
        }
        let wanted = Wanted {
            shape: self.shape,
            transfer_syntax: &self.transfer_syntax,
            header_end: self.header_end,
            object_bytes: data_set_bytes,
            frames: &[],
        };
        let mut pixels = match at_once(native_pixels(&wanted, |range| ready(Ok(self.noted(range)))))? {
            Some(native) => Pixels::Native(native),
            None => {
                let all: Vec<u32> = (1..=self.shape.frames).collect();
                let wanted = Wanted { frames: &all, ..wanted };
                let places = at_once(locate(&wanted, |range| ready(Ok(self.noted(range)))))?;
                Pixels::Fragments(places.into_iter().map(|place| place.parts).collect())
            }
        };
        match &mut pixels {
            Pixels::Native(native) => native.at += prefix_bytes,
            Pixels::Fragments(frames) => {
                for part in frames.iter_mut().flatten() {
                    *part = part.start + prefix_bytes..part.end + prefix_bytes;
                }
            }
        }
        Some(Layout { shape: self.shape, pixels })
    }

    /// How many bytes are wanted from `at` on.
    const fn wanted(&self) -> Option<u64> {
        match self.step {
            Step::Element => Some(if self.encoding.explicit { 12 } else { 8 }),
            Step::Table(bytes) | Step::ItemTable(bytes) => Some(bytes),
            // The length of an item stands in its first eight bytes.
            Step::Item { .. } => Some(if self.held.len() < 8 || self.item_is_short() { 8 } else { 10 }),
            Step::Done | Step::GivenUp => None,
        }
    }

    /// Whether an item whose head is held has no two bytes of its own, or is the end of all items.
    const fn item_is_short(&self) -> bool {
        let is_item = self.held.as_slice()[2] == 0x00;
        let length = u32::from_le_bytes([
            self.held.as_slice()[4],
            self.held.as_slice()[5],
            self.held.as_slice()[6],
            self.held.as_slice()[7],
        ]);
        !is_item || length < 2
    }

    /// What was wanted is there.
    fn look(&mut self) {
        let next = match self.step {
            Step::Element => element(&self.held, self.encoding).and_then(|head| self.after_element(&head)),
            Step::Table(bytes) => Some((Step::Element, self.at + bytes)),
            Step::Item { is_table } => self.after_item(is_table),
            Step::ItemTable(bytes) => Some((Step::Item { is_table: false }, self.at + bytes)),
            Step::Done | Step::GivenUp => return,
        };
        let Some((step, at)) = next.filter(|_| self.notes.len() <= FRAGMENTS_NOTED_MAX) else {
            self.give_up();
            return;
        };
        if let (Step::Item { is_table: true }, Step::ItemTable(_)) = (self.step, step) {
            // Its head is held already and belongs to what is noted.
            self.step = step;
            return;
        }
        let held = std::mem::take(&mut self.held);
        self.notes.push((self.at, held.into()));
        (self.step, self.at) = (step, at);
    }

    fn after_element(&mut self, head: &Head) -> Option<(Step, u64)> {
        self.elements += 1;
        (self.elements <= ELEMENTS_WALKED_MAX).then_some(())?;
        let value = self.at + head.bytes;
        match head.kind() {
            Kind::Fragments => Some((Step::Item { is_table: true }, value)),
            Kind::Native(_) => Some((Step::Done, value)),
            Kind::Table(length) if length > TABLE_BYTES_MAX => None,
            Kind::Table(length) if length > 0 => Some((Step::Table(length), value)),
            Kind::Table(length) | Kind::Other(length) => Some((Step::Element, value.checked_add(length)?)),
            Kind::NoPixels => None,
        }
    }

    fn after_item(&self, is_table: bool) -> Option<(Step, u64)> {
        let length = match fragment_head(&self.held)? {
            Some(length) => length,
            None => return Some((Step::Done, self.at + 8)),
        };
        if is_table && length > 0 {
            return (length <= TABLE_BYTES_MAX).then_some((Step::ItemTable(8 + length), self.at));
        }
        Some((Step::Item { is_table: false }, self.at + 8 + length))
    }

    fn give_up(&mut self) {
        self.step = Step::GivenUp;
        self.held = Vec::new();
        self.notes = Vec::new();
    }

    /// The noted bytes that begin a range.
    fn noted(&self, range: Range<u64>) -> Bytes {
        let place = self.notes.partition_point(|(at, _)| *at <= range.start);
        let Some((at, bytes)) = place.checked_sub(1).and_then(|place| self.notes.get(place)) else {
            return Bytes::new();
        };
        let within = |offset: u64| usize::try_from(offset - at).unwrap_or(usize::MAX).min(bytes.len());
        bytes.slice(within(range.start)..within(range.end))
    }
}

/// The outcome of a future that never waits.
fn at_once<T>(future: impl Future<Output = Result<T, LocateError<Infallible>>>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.ok(),
        Poll::Pending => None,
    }
}
