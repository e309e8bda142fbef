//! The guard: lets a data set in while it streams past, and keeps a bounded copy of its header. It stands before every other reader.
//!
//! It allocates nothing from declared lengths, does not recurse, and stops looking where the header ends: at the first element of
//! group 7FE0 (pixels), at a value too large to be a header's, or at the end. What is malformed or too deep is refused; what is
//! merely large ends the header. It reads no values and decodes no pixels.

use std::{
    fmt,
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use dicom_core::{Tag, VR};
use domain::{image::REQUESTS_MAX, uid::TransferSyntaxUid};
use flate2::{Decompress, FlushDecompress, Status};

use crate::{
    syntax::{Encoding, Syntax},
    walk::{Element, Event, Step, Walker},
};

/// Most sequences inside each other; real structured reports stay below 15.
pub const DEPTH_MAX: usize = 128;
/// Most bytes of one plain value in a header: what is larger is content, and ends the header.
pub const ELEMENT_BYTES_MAX: usize = 1 << 20;
/// Most elements and items of a header: an enhanced image of 2 000 frames has about 150 000.
pub const ELEMENTS_MAX: usize = 200_000;
/// Most bytes of a header kept in memory: an enhanced image of 4 000 frames has about 12 MiB.
pub const HEADER_BYTES_MAX: usize = 16 << 20;
/// Most bytes that one deflated byte may become; text and black pixels stay below 60.
pub const INFLATE_RATIO_MAX: u64 = 100;

/// Most bytes of large headers in the memory of the process at one time, for all guards together; see [`Flaw::Busy`].
pub const HEADERS_BYTES_MAX: usize = 64 << 20;

/// Most bytes behind a header that are kept with it: enough for the head of the element that ended it, which a sender may have cut.
pub const AFTER_BYTES: usize = 16;
/// Bytes of each header that count for nothing: nearly every header is smaller.
const HEADER_FREE_BYTES: usize = 256 << 10;
/// Bytes that a large header asks for at a time.
const LEASE_BYTES: usize = 1 << 20;
/// Inflated bytes below which the ratio does not count: a short run of zeros is no bomb.
const INFLATE_FREE_BYTES: u64 = 1 << 20;
/// Bytes taken into the copy at a time, so that pixels that come in one piece with the header are not copied.
const PIECE_BYTES: usize = 16 << 10;
/// Pixel Data and its kin (PS3.3 section C.7.6.3).
const PIXEL_GROUP: u16 = 0x7FE0;
/// The first group of data sets; below it are commands, file meta and what must not be used (PS3.5 section 7.1), but for directories.
const FIRST_GROUP: u16 = 0x0008;
/// Directory records (PS3.3 annex F).
const DIRECTORY_GROUP: u16 = 0x0004;
/// Request Attributes Sequence: the one whose items lists need to know.
const REQUESTS: Tag = Tag(0x0040, 0x0275);
/// Scheduled Procedure Step ID and Requested Procedure ID, of its items.
const REQUEST_ELEMENTS: [Tag; 2] = [Tag(0x0040, 0x0009), Tag(0x0040, 0x1001)];
/// The last group that identifies: large values up to here are kept, since a header without its UIDs is none.
const IDENTITY_GROUP: u16 = 0x0020;

/// The limits of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardLimits {
    /// Most sequences inside each other.
    pub depth: usize,
    /// Most bytes of one plain value in a header.
    pub element_bytes: usize,
    /// Most elements and items of a header.
    pub elements: usize,
    /// Most bytes of a header.
    pub header_bytes: usize,
    /// Most bytes that one deflated byte may become.
    pub inflate_ratio: u64,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self {
            depth: DEPTH_MAX,
            element_bytes: ELEMENT_BYTES_MAX,
            elements: ELEMENTS_MAX,
            header_bytes: HEADER_BYTES_MAX,
            inflate_ratio: INFLATE_RATIO_MAX,
        }
    }
}

/// What a guard wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More bytes.
    Header,
    /// Nothing: the header is over. Further bytes may be pushed and are not looked at.
    HeaderEnded,
}

/// Why the header ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderEnd {
    /// Pixels begin.
    Pixels,
    /// An element too large for a header begins, or the header's own limits are reached.
    Large,
    /// The data set is over.
    DataSet,
}

/// Why a data set is not let in: what is wrong, at which element, at which byte of the (inflated) data set. Holds no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub flaw: Flaw,
    /// The element that was being read.
    pub tag: Tag,
    /// Where, counted from the first byte of the data set.
    pub offset: u64,
}

/// What is wrong with a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Sequences inside each other beyond the limit.
    TooDeep,
    /// Too many elements before the identifiers.
    TooManyElements,
    /// Too many bytes before the identifiers.
    TooLong,
    /// A length that reaches beyond the item or sequence around it.
    Overrun,
    /// An undefined length where none may stand.
    UndefinedLength,
    /// A delimiter that closes nothing.
    StrayDelimiter,
    /// Something else where an item must stand.
    NoItem,
    /// An element of a group that has no place in a data set: what reads it as file meta would read another object.
    ForeignGroup,
    /// Too many large headers are being read at this moment; later it may be let in.
    Busy,
    /// The data set ends in the middle of an element, item or sequence.
    Truncated,
    /// The deflated stream is broken.
    Inflate,
    /// The deflated stream grows beyond measure.
    InflateRatio,
    /// The transfer syntax is not known and the data set is not explicit little endian.
    UnknownSyntax,
}

impl Flaw {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooDeep => "sequences are nested too deeply",
            Self::TooManyElements => "there are too many elements before the identifiers",
            Self::TooLong => "there are too many bytes before the identifiers",
            Self::Overrun => "a length reaches beyond what contains it",
            Self::UndefinedLength => "an undefined length stands where none may",
            Self::StrayDelimiter => "a delimiter closes nothing",
            Self::NoItem => "an item is missing in a sequence",
            Self::ForeignGroup => "an element of a command or of file meta stands in the data set",
            Self::Busy => "too many large headers are being read at this moment",
            Self::Truncated => "the data set ends in the middle of an element",
            Self::Inflate => "the deflated data set is broken",
            Self::InflateRatio => "the deflated data set grows beyond measure",
            Self::UnknownSyntax => {
                "the transfer syntax is not known and the data set cannot be read as explicit little endian"
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at element {}, byte {} of the data set", self.flaw.as_str(), self.tag, self.offset)
    }
}

impl std::error::Error for Refusal {}

/// A plain element of the data set itself: where it stands in the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) tag: Tag,
    pub(crate) vr: VR,
    pub(crate) value: Range<usize>,
}

/// The header of a data set that was let in. Every other reader of this crate takes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedHeader {
    /// The header, inflated if the data set was deflated.
    pub bytes: Vec<u8>,
    /// Where it ends, counted from the first byte of the (inflated) data set: as many bytes as there are.
    pub ends_at: u64,
    /// Why it ends there.
    pub end: HeaderEnd,
    /// How its elements are written.
    pub encoding: Encoding,
    /// Whether the data set was deflated: then `ends_at` is no place in the stored bytes.
    pub deflated: bool,
    /// The first bytes behind the header, as far as they were taken in with it: at most [`AFTER_BYTES`].
    pub after: Vec<u8>,
    pub(crate) spans: Vec<Span>,
    /// Where [`REQUEST_ELEMENTS`] are in each item of the Request Attributes Sequence; at most [`REQUESTS_MAX`] items.
    pub(crate) requests: Vec<Vec<Span>>,
    _lease: Lease,
}

/// Bytes of large headers that are in memory.
static LEASED: AtomicUsize = AtomicUsize::new(0);

/// A header's part of [`HEADERS_BYTES_MAX`]; given back when dropped.
#[derive(Debug, Default, Eq)]
pub(crate) struct Lease(usize);

impl Lease {
    /// Makes room for a header of so many bytes, if there is some.
    pub(crate) fn cover(&mut self, bytes: usize) -> bool {
        while bytes.saturating_sub(HEADER_FREE_BYTES) > self.0 {
            if LEASED.fetch_add(LEASE_BYTES, Relaxed) + LEASE_BYTES > HEADERS_BYTES_MAX {
                LEASED.fetch_sub(LEASE_BYTES, Relaxed);
                return false;
            }
            self.0 += LEASE_BYTES;
        }
        true
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        LEASED.fetch_add(self.0, Relaxed);
        Self(self.0)
    }
}

impl PartialEq for Lease {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        LEASED.fetch_sub(self.0, Relaxed);
    }
}

/// Bytes of large headers that are in memory now, out of [`HEADERS_BYTES_MAX`].
#[must_use]
pub fn headers_bytes() -> usize {
    LEASED.load(Relaxed)
}

impl GuardedHeader {
    /// Guards bytes that are all there: a whole data set, or its beginning up to where its header ends.
    ///
    /// # Errors
    /// When the data set is not let in.
    pub fn of(data_set: &[u8], transfer_syntax: &TransferSyntaxUid) -> Result<Self, Refusal> {
        let mut guard = Guard::new(transfer_syntax, GuardLimits::default());
        guard.push(data_set)?;
        guard.finish()
    }

    /// Guards the beginning of a data set that was let in before. Where it is cut inside an element, the header ended before that.
    ///
    /// # Errors
    /// When the data set is not let in.
    pub fn of_beginning(data_set: &[u8], transfer_syntax: &TransferSyntaxUid) -> Result<Self, Refusal> {
        let mut guard = Guard::new(transfer_syntax, GuardLimits::default());
        guard.push(data_set)?;
        guard.scan.end_where_cut();
        guard.finish()
    }

    /// How many bytes of the stored file hold the header: file meta and header, or the whole file when the data set is deflated.
    #[must_use]
    pub const fn stored_bytes(&self, meta_bytes: u64, file_bytes: u64) -> u64 {
        if self.deflated { file_bytes } else { meta_bytes + self.ends_at }
    }
}

/// Guards one data set as it streams past.
pub struct Guard {
    limits: GuardLimits,
    known: bool,
    inflate: Option<Inflate>,
    scan: Scan,
}

impl Guard {
    /// A guard for a data set in a transfer syntax.
    #[must_use]
    pub fn new(transfer_syntax: &TransferSyntaxUid, limits: GuardLimits) -> Self {
        let syntax = Syntax::of(transfer_syntax);
        Self {
            limits,
            known: syntax.known,
            inflate: syntax.deflated.then(Inflate::new),
            scan: Scan::new(syntax.encoding, limits),
        }
    }

    /// Takes the next bytes of the data set, however they are cut.
    ///
    /// # Errors
    /// When the data set is not let in; every further push says the same.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Progress, Refusal> {
        let ended = match &mut self.inflate {
            None => self.scan.push(bytes),
            Some(inflate) => inflate.push(bytes, self.limits.inflate_ratio, &mut self.scan),
        };
        match ended {
            Ok(true) => Ok(Progress::HeaderEnded),
            Ok(false) => Ok(Progress::Header),
            Err(refusal) => Err(self.explain(refusal)),
        }
    }

    /// The header. Before [`Progress::HeaderEnded`] this says that the data set is over.
    ///
    /// # Errors
    /// When the data set was refused, or ends where it must not.
    pub fn finish(self) -> Result<GuardedHeader, Refusal> {
        let deflated = self.inflate.is_some();
        let known = self.known;
        let refusal = |refusal: Refusal| if known { refusal } else { unknown(refusal) };
        if self.inflate.as_ref().is_some_and(|inflate| !inflate.over) && self.scan.end.is_none() {
            return Err(refusal(self.scan.refuse(Flaw::Truncated)));
        }
        let mut header = self.scan.finish().map_err(refusal)?;
        if !known && header.spans.is_empty() && header.end == HeaderEnd::Large {
            return Err(Refusal { flaw: Flaw::UnknownSyntax, tag: Tag(0, 0), offset: 0 });
        }
        header.deflated = deflated;
        Ok(header)
    }

    fn explain(&self, refusal: Refusal) -> Refusal {
        if self.known { refusal } else { unknown(refusal) }
    }
}

/// In an unknown transfer syntax a flaw of form only says that the syntax is another one than was supposed.
fn unknown(refusal: Refusal) -> Refusal {
    match refusal.flaw {
        Flaw::Overrun
        | Flaw::UndefinedLength
        | Flaw::StrayDelimiter
        | Flaw::NoItem
        | Flaw::ForeignGroup
        | Flaw::Truncated => Refusal { flaw: Flaw::UnknownSyntax, ..refusal },
        Flaw::TooDeep
        | Flaw::TooManyElements
        | Flaw::TooLong
        | Flaw::Inflate
        | Flaw::InflateRatio
        | Flaw::Busy
        | Flaw::UnknownSyntax => refusal,
    }
}

/// The walk over the copy of the header.
struct Scan {
    limits: GuardLimits,
    encoding: Encoding,
    bytes: Vec<u8>,
    walker: Walker,
    spans: Vec<Span>,
    requests: Vec<Vec<Span>>,
    /// How deep inside the Request Attributes Sequence the walk is; 1 is between its items and inside them, 0 is outside.
    in_requests: usize,
    /// Where the element of the data set itself that is being read begins, and its group.
    top: (usize, u16),
    end: Option<(usize, HeaderEnd)>,
    refusal: Option<Refusal>,
    lease: Lease,
}

impl Scan {
    fn new(encoding: Encoding, limits: GuardLimits) -> Self {
        Self {
            limits,
            encoding,
            bytes: Vec::new(),
            walker: Walker::new(encoding, limits.depth),
            spans: Vec::new(),
            requests: Vec::new(),
            in_requests: 0,
            top: (0, 0),
            end: None,
            refusal: None,
            lease: Lease::default(),
        }
    }

    /// The bytes are over in the middle of the data set: the header ends before the element that is cut.
    fn end_where_cut(&mut self) {
        if self.end.is_none() && self.end_of_data().is_err() {
            let at = if self.walker.is_top() && self.walker.position() <= self.bytes.len() {
                self.walker.position()
            } else {
                self.spans.pop_if(|span| span.value.end > self.bytes.len());
                self.top.0
            };
            self.end = Some((at, HeaderEnd::Large));
        }
    }

    /// Takes bytes; whether the header is over.
    fn push(&mut self, mut bytes: &[u8]) -> Result<bool, Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        while self.end.is_none() && !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(PIECE_BYTES));
            bytes = rest;
            if !self.lease.cover(self.bytes.len() + piece.len()) {
                let refusal = self.refuse(Flaw::Busy);
                self.refusal = Some(refusal);
                return Err(refusal);
            }
            self.bytes.extend_from_slice(piece);
            // Where a value ends beyond what came, there is nothing to see yet.
            if self.walker.position() <= self.bytes.len() {
                self.walk().inspect_err(|refusal| self.refusal = Some(*refusal))?;
            }
        }
        Ok(self.end.is_some())
    }

    fn walk(&mut self) -> Result<(), Refusal> {
        while self.end.is_none() {
            let is_top = self.walker.is_top();
            let event = match self.walker.next(&self.bytes)? {
                Step::NeedMore => return Ok(()),
                Step::Event(event) => event,
            };
            if is_top {
                self.at_top(&event)?;
            }
            if self.walker.elements() > self.limits.elements {
                self.end_before_large(Flaw::TooManyElements)?;
            }
            self.look(event, is_top)?;
        }
        Ok(())
    }

    /// An element of the data set itself begins: is the header over?
    fn at_top(&mut self, event: &Event) -> Result<(), Refusal> {
        let (tag, start) = match event {
            Event::Value(element) => (element.tag, element.start),
            Event::Sequence { tag, start } | Event::Fragments { tag, start, .. } => (*tag, *start),
            Event::Item | Event::ItemEnd | Event::Fragment(_) | Event::SequenceEnd => return Ok(()),
        };
        self.top = (start, tag.group());
        if tag.group() < FIRST_GROUP && tag.group() != DIRECTORY_GROUP {
            return Err(self.refuse(Flaw::ForeignGroup));
        }
        if tag.group() == PIXEL_GROUP {
            self.end = Some((start, HeaderEnd::Pixels));
        } else if matches!(event, Event::Fragments { .. }) {
            self.end = Some((start, HeaderEnd::Large));
        }
        Ok(())
    }

    fn look(&mut self, event: Event, is_top: bool) -> Result<(), Refusal> {
        if self.end.is_some() {
            return Ok(());
        }
        let length = match &event {
            Event::Value(Element { value, .. }) | Event::Fragment(value) => value.len(),
            Event::Sequence { .. }
            | Event::Fragments { .. }
            | Event::Item
            | Event::ItemEnd
            | Event::SequenceEnd => 0,
        };
        let over = self.walker.position() > self.limits.header_bytes;
        if over || (length > self.limits.element_bytes && self.top.1 > IDENTITY_GROUP) {
            return self.end_before_large(Flaw::TooLong);
        }
        if is_top || self.in_requests > 0 {
            self.keep(event, is_top);
        }
        Ok(())
    }

    /// Keeps where plain elements stand: of the data set itself, and of the items of its requests.
    fn keep(&mut self, event: Event, is_top: bool) {
        match event {
            Event::Value(Element { tag, vr, value, .. }) if is_top => {
                self.spans.push(Span { tag, vr, value })
            }
            Event::Value(Element { tag, vr, value, .. }) => {
                let is_wanted = self.in_requests == 1 && REQUEST_ELEMENTS.contains(&tag);
                if let Some(request) = self.requests.last_mut().filter(|_| is_wanted) {
                    request.push(Span { tag, vr, value });
                }
            }
            Event::Sequence { tag, .. } if is_top => self.in_requests = usize::from(tag == REQUESTS),
            Event::Sequence { .. } | Event::Fragments { .. } if !is_top => self.in_requests += 1,
            Event::SequenceEnd => self.in_requests = self.in_requests.saturating_sub(1),
            // One more than are kept takes in what comes behind them.
            Event::Item if self.in_requests == 1 && self.requests.len() <= REQUESTS_MAX => {
                self.requests.push(Vec::new());
            }
            Event::Sequence { .. }
            | Event::Fragments { .. }
            | Event::Item
            | Event::ItemEnd
            | Event::Fragment(_) => {}
        }
    }

    /// Ends the header before the element of the data set itself that is being read, if the identifiers have been passed.
    fn end_before_large(&mut self, flaw: Flaw) -> Result<(), Refusal> {
        if self.end.is_none() && self.top.1 <= IDENTITY_GROUP {
            let refusal = self.refuse(flaw);
            self.refusal = Some(refusal);
            return Err(refusal);
        }
        self.end.get_or_insert((self.top.0, HeaderEnd::Large));
        Ok(())
    }

    fn refuse(&self, flaw: Flaw) -> Refusal {
        Refusal { flaw, tag: self.walker.tag(), offset: self.walker.position() as u64 }
    }

    fn finish(mut self) -> Result<GuardedHeader, Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let (ends_at, end) = match self.end {
            Some(end) => end,
            None => (self.end_of_data()?, HeaderEnd::DataSet),
        };
        let seen = self.bytes.len().min(ends_at + AFTER_BYTES);
        let after = self.bytes[ends_at..seen].to_vec();
        self.bytes.truncate(ends_at);
        self.requests.truncate(REQUESTS_MAX);
        Ok(GuardedHeader {
            bytes: self.bytes,
            ends_at: ends_at as u64,
            end,
            encoding: self.encoding,
            deflated: false,
            after,
            spans: self.spans,
            requests: self.requests,
            _lease: self.lease,
        })
    }

    /// The data set is over here: at the end of an element, perhaps padded with zeros.
    fn end_of_data(&self) -> Result<usize, Refusal> {
        let position = self.walker.position();
        match self.bytes.get(position..) {
            Some(rest) if self.walker.is_top() && rest.len() < 8 && rest.iter().all(|byte| *byte == 0) => {
                Ok(self.bytes.len())
            }
            Some(_) | None => Err(self.refuse(Flaw::Truncated)),
        }
    }
}

/// Inflates what a scan wants to see, and no more.
struct Inflate {
    stream: Decompress,
    out: Vec<u8>,
    over: bool,
}

impl Inflate {
    fn new() -> Self {
        Self { stream: Decompress::new(false), out: vec![0; PIECE_BYTES], over: false }
    }

    fn push(&mut self, mut bytes: &[u8], ratio: u64, scan: &mut Scan) -> Result<bool, Refusal> {
        // Asked with nothing, the scan says how it stands.
        let mut ended = scan.push(&[])?;
        while !ended && !self.over {
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(bytes, &mut self.out, FlushDecompress::None);
            let fail = |scan: &mut Scan, flaw| {
                let refusal = scan.refuse(flaw);
                scan.refusal = Some(refusal);
                refusal
            };
            let Ok(status) = status else { return Err(fail(scan, Flaw::Inflate)) };
            let read = usize::try_from(self.stream.total_in() - read).unwrap_or(bytes.len());
            let written = usize::try_from(self.stream.total_out() - written).unwrap_or(self.out.len());
            bytes = &bytes[read..];
            let (total_in, total_out) = (self.stream.total_in(), self.stream.total_out());
            if total_out > INFLATE_FREE_BYTES && total_out / ratio > total_in {
                return Err(fail(scan, Flaw::InflateRatio));
            }
            ended = scan.push(&self.out[..written])?;
            self.over = status == Status::StreamEnd;
            if read == 0 && written == 0 {
                return Ok(ended);
            }
        }
        Ok(ended)
    }
}

/// Inflates a whole deflated data set, within the ratio and a size.
///
/// # Errors
/// When the stream is broken, grows beyond measure, or beyond `bytes_max`.
pub fn inflate(deflated: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refusal> {
    let refuse = |flaw, offset| Refusal { flaw, tag: Tag(0, 0), offset };
    let mut stream = Decompress::new(false);
    let mut all = Vec::new();
    let mut out = vec![0; PIECE_BYTES];
    loop {
        let read = usize::try_from(stream.total_in()).unwrap_or(usize::MAX).min(deflated.len());
        let before = stream.total_out();
        let status = stream.decompress(&deflated[read..], &mut out, FlushDecompress::None);
        let status = status.map_err(|_| refuse(Flaw::Inflate, before))?;
        let (total_in, total_out) = (stream.total_in(), stream.total_out());
        if total_out > INFLATE_FREE_BYTES && total_out / INFLATE_RATIO_MAX > total_in {
            return Err(refuse(Flaw::InflateRatio, total_out));
        }
        let written = usize::try_from(total_out - before).unwrap_or(out.len());
        if all.len() + written > bytes_max {
            return Err(refuse(Flaw::TooLong, total_out));
        }
        all.extend_from_slice(&out[..written]);
        if status == Status::StreamEnd {
            return Ok(all);
        }
        if written == 0 && total_in as usize == read {
            return Err(refuse(Flaw::Truncated, total_out));
        }
    }
}
