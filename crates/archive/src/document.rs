//! The form of a metadata document: DICOM JSON of the images of a series, compressed once, with holes where the address of this service
//! belongs. It does no I/O.
//!
//! Addresses of bulk data must be whole for clients to find them, and begin with the host that each client used. So they stand as
//! holes of one size, in a stream of deflate (RFC 1951) that is made for it: what stands in a hole never changes how the bytes around it
//! are coded. The first hole is a stored block, whose bytes are written over; those after it say "the same bytes again, so far back", and a
//! hole that is too far from the last one is stored again. A client that takes gzip gets the stream as it rests, with the holes filled
//! and the checksum moved on; another one gets it inflated. JSON allows blanks before a value, so that one size fits every address.
//!
//! An object is: eight bytes that name the form; then, little endian, the CRC-32 of the plain text with empty holes, the weight of the
//! holes in it, the bytes of the plain text (8), the number of stored holes, where each is in the stream; and the stream, which is not
//! ended.

use axum::http::{HeaderMap, header};
use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

/// Most bytes of a document as it rests: that of 1 200 slices has about 400 kB. A series beyond it is described anew each time.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Most bytes of a document's text: what a client has to take in anyhow.
const TEXT_BYTES_MAX: u64 = 1 << 30;
/// Bytes of a hole. An address of this service that has more leaves the documents aside.
const HOLE_BYTES: usize = 160;
/// The content of an empty hole: no text of JSON holds this byte, so nothing outside a hole is ever coded as a copy of one.
const EMPTY: [u8; HOLE_BYTES] = [1; HOLE_BYTES];
/// How far back deflate can point.
const DISTANCE_MAX: u64 = 32 << 10;
const MAGIC: &[u8; 8] = b"telerad\x01";
/// The beginning of an address in a text that is to become part of a document.
pub(crate) const BASE: &str = "telerad-base:";
/// What stands before a hole. Inside a text its quotes would be escaped.
const BEFORE_HOLE: &[u8] = b"\"BulkDataURI\":";
/// How much of a text is inflated at a time, in bytes.
const INFLATED_AT_A_TIME: usize = 256 << 10;
/// The head of a gzip member (RFC 1952): deflate, no name, no time.
const GZIP_HEAD: &[u8] = &[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];
/// The last block of a stream, an empty stored one.
const LAST_BLOCK: &[u8] = &[1, 0, 0, 0xFF, 0xFF];
/// The polynomial of CRC-32, reflected.
const POLYNOMIAL: u32 = 0xEDB8_8320;
/// One, among remainders by that polynomial.
const ONE: u32 = 1 << 31;

/// The address of this service as it fits into a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole([u8; HOLE_BYTES]);

impl Hole {
    /// An address for a hole; `None` when it is too long.
    pub(crate) fn of(base: &str) -> Option<Self> {
        let quoted = quoted(base);
        let blanks = HOLE_BYTES.checked_sub(quoted.len())?;
        let mut hole = [b' '; HOLE_BYTES];
        hole[blanks..].copy_from_slice(quoted.as_bytes());
        Some(Self(hole))
    }
}

/// The beginning of a JSON text: an address without its end.
fn quoted(base: &str) -> String {
    let mut quoted = serde_json::Value::from(base).to_string();
    quoted.pop();
    quoted
}

/// The places of addresses in an object as it was written for a document.
fn addresses(object: &[u8]) -> impl Iterator<Item = usize> {
    let pattern = [BEFORE_HOLE, quoted(BASE).as_bytes()].concat();
    let places: Vec<usize> = memchr::memmem::find_iter(object, &pattern).collect();
    places.into_iter().map(|place| place + BEFORE_HOLE.len())
}

/// An object that was written for a document, for one client.
pub(crate) fn addressed(object: &[u8], base: &str) -> Bytes {
    let (ours, theirs) = (quoted(BASE), quoted(base));
    let mut whole = BytesMut::with_capacity(object.len() + 2 * theirs.len());
    let mut done = 0;
    for place in addresses(object) {
        whole.extend_from_slice(&object[done..place]);
        whole.extend_from_slice(theirs.as_bytes());
        done = place + ours.len();
    }
    whole.extend_from_slice(&object[done..]);
    whole.freeze()
}

/// Writes a document, object by object.
pub(crate) struct Writer {
    deflate: Compress,
    stream: Vec<u8>,
    crc: Crc,
    /// Bytes of text so far, and where in it the holes begin.
    text: u64,
    holes: Vec<u64>,
    /// Where in the stream the stored holes are.
    stored: Vec<u32>,
    bytes_max: usize,
}

impl Writer {
    /// A document without objects.
    pub(crate) fn new() -> Self {
        Self {
            deflate: Compress::new(Compression::default(), false),
            stream: Vec::new(),
            crc: Crc::new(),
            text: 0,
            holes: Vec::new(),
            stored: Vec::new(),
            bytes_max: DOCUMENT_BYTES_MAX,
        }
    }

    /// Adds an object whose addresses begin with [`BASE`]; `false` when the document becomes too large, and is of no more use.
    pub(crate) fn add(&mut self, object: &[u8]) -> bool {
        if self.stream.len() + 4 * self.stored.len() > self.bytes_max || self.text > TEXT_BYTES_MAX {
            return false;
        }
        if self.text > 0 {
            self.write(b",\n");
        }
        let base_bytes = quoted(BASE).len();
        let mut done = 0;
        for place in addresses(object) {
            self.write(&object[done..place]);
            self.hole();
            done = place + base_bytes;
        }
        self.write(&object[done..]);
        true
    }

    /// The document as it rests.
    pub(crate) fn finish(self) -> Bytes {
        let end = |hole: &u64| power(self.text - hole - HOLE_BYTES as u64);
        let weight = self.holes.iter().map(end).fold(0, |sum, power| sum ^ power);
        let mut object = BytesMut::with_capacity(self.stream.len() + 4 * self.stored.len() + 32);
        object.extend_from_slice(MAGIC);
        object.put_u32_le(self.crc.sum());
        object.put_u32_le(weight);
        object.put_u64_le(self.text);
        object.put_u32_le(u32::try_from(self.stored.len()).unwrap_or(u32::MAX));
        for place in &self.stored {
            object.put_u32_le(*place);
        }
        object.extend_from_slice(&self.stream);
        object.freeze()
    }

    fn write(&mut self, text: &[u8]) {
        self.count(text);
        self.compress(text);
    }

    fn count(&mut self, text: &[u8]) {
        self.crc.update(text);
        self.text += text.len() as u64;
    }

    /// Compresses bytes up to the end of a byte of the stream.
    fn compress(&mut self, mut text: &[u8]) {
        loop {
            self.stream.reserve(text.len() / 2 + 64);
            let before = self.deflate.total_in();
            let sync = FlushCompress::Sync;
            self.deflate.compress_vec(text, &mut self.stream, sync).expect("memory can always be compressed");
            let taken = usize::try_from(self.deflate.total_in() - before).unwrap_or(usize::MAX);
            text = text.get(taken..).unwrap_or_default();
            if text.is_empty() && self.stream.len() < self.stream.capacity() {
                return;
            }
        }
    }

    fn hole(&mut self) {
        let stands = self.stream.len();
        // The compressor must know what stands here; how it would write it is of no interest.
        self.compress(&EMPTY);
        self.stream.truncate(stands);
        let distance = self.holes.last().map(|last| self.text - last);
        match distance.filter(|distance| *distance <= DISTANCE_MAX) {
            Some(distance) => self.stream.extend_from_slice(&repeated(distance)),
            None => {
                self.stream.extend_from_slice(&stored_head(HOLE_BYTES as u16));
                self.stored.push(u32::try_from(self.stream.len()).unwrap_or(u32::MAX));
                self.stream.extend_from_slice(&EMPTY);
            }
        }
        self.holes.push(self.text);
        self.count(&EMPTY);
    }
}

/// The head of a stored block that is not the last one.
const fn stored_head(bytes: u16) -> [u8; 5] {
    let [low, high] = bytes.to_le_bytes();
    [0, low, high, !low, !high]
}

/// A block of fixed codes that repeats [`HOLE_BYTES`] bytes from so far back, and an empty stored block, which ends at the end of a byte.
fn repeated(distance: u64) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(0b010, 3);
    // RFC 1951, section 3.2.5: code 281 is for 131 to 162 bytes, with five bits more; its fixed code has eight.
    bits.push_code(0b1100_0001, 8);
    bits.push(HOLE_BYTES as u32 - 131, 5);
    let (code, base, extra) = distance_code(distance);
    bits.push_code(code, 5);
    bits.push((distance - base) as u32, extra);
    // The end of the block, code 256.
    bits.push_code(0, 7);
    bits.push(0, 3);
    let mut bytes = bits.bytes;
    bytes.extend_from_slice(&[0, 0, 0xFF, 0xFF]);
    bytes
}

/// The code of a distance, the first distance of the code, and how many bits say which one it is.
fn distance_code(distance: u64) -> (u32, u64, u32) {
    // Codes come in pairs, each pair twice as wide as the one before: 1 2 3 4, 5-6 7-8, 9-12 13-16 …
    let mut code = (0, 1, 0);
    for next in 0..30_u32 {
        let extra = if next < 4 { 0 } else { next / 2 - 1 };
        let base = if next < 4 { u64::from(next) + 1 } else { (2 + u64::from(next % 2)) * (1 << extra) + 1 };
        if base > distance {
            break;
        }
        code = (next, base, extra);
    }
    code
}

/// Bits, the lowest of each byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: u32,
}

impl Bits {
    fn push(&mut self, value: u32, bits: u32) {
        for bit in 0..bits {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (self.count % 8);
            }
            self.count += 1;
        }
    }

    /// A code stands with its highest bit first.
    fn push_code(&mut self, code: u32, bits: u32) {
        self.push(code.reverse_bits() >> (32 - bits), bits);
    }
}

/// A document as it rests.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    crc: u32,
    weight: u32,
    text: u64,
    stored: Vec<usize>,
    stream: Bytes,
}

/// A document for one client.
#[derive(Debug, Clone)]
pub(crate) struct Filled {
    crc: u32,
    text: u64,
    stream: Bytes,
}

impl Document {
    /// Reads an object; `None` when it is no document of this form.
    pub(crate) fn read(mut object: Bytes) -> Option<Self> {
        let number = |object: &mut Bytes, bytes: usize| {
            (object.len() >= bytes).then(|| {
                let bytes = object.split_to(bytes);
                bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
            })
        };
        (object.len() >= MAGIC.len() && object.split_to(MAGIC.len()) == MAGIC[..]).then_some(())?;
        let crc = u32::try_from(number(&mut object, 4)?).ok()?;
        let weight = u32::try_from(number(&mut object, 4)?).ok()?;
        let text = number(&mut object, 8)?;
        let holes = usize::try_from(number(&mut object, 4)?).ok()?;
        (object.len() / 4 >= holes).then_some(())?;
        let mut stored = Vec::with_capacity(holes);
        for _ in 0..holes {
            stored.push(usize::try_from(number(&mut object, 4)?).ok()?);
        }
        let fits = |place: &usize| place.checked_add(HOLE_BYTES).is_some_and(|end| end <= object.len());
        stored.iter().all(fits).then_some(Self { crc, weight, text, stored, stream: object })
    }

    /// The document with an address in its holes.
    pub(crate) fn filled(&self, Hole(hole): &Hole) -> Filled {
        let mut stream = BytesMut::from(&self.stream[..]);
        for place in &self.stored {
            stream[*place..*place + HOLE_BYTES].copy_from_slice(hole);
        }
        let sum = |bytes: &[u8]| {
            let mut crc = Crc::new();
            crc.update(bytes);
            crc.sum()
        };
        // CRC is linear: what changes in a hole changes the sum by itself, moved on by what stands behind the hole.
        let change = product(self.weight, sum(hole) ^ sum(&EMPTY));
        Filled { crc: self.crc ^ change, text: self.text, stream: stream.freeze() }
    }
}

impl Filled {
    /// Bytes of its text.
    pub(crate) const fn text_bytes(&self) -> u64 {
        self.text
    }

    /// Its text, in pieces; what cannot be inflated ends them with an error.
    pub(crate) fn pieces(self) -> Pieces {
        Pieces { stream: self.stream, inflate: Decompress::new(false), left: self.text }
    }
}

/// The text of a document, piece by piece.
pub(crate) struct Pieces {
    stream: Bytes,
    inflate: Decompress,
    left: u64,
}

impl Iterator for Pieces {
    type Item = std::io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(INFLATED_AT_A_TIME);
        let mut piece = Vec::with_capacity(wanted);
        while piece.len() < wanted {
            let (before, had) = (self.inflate.total_in(), piece.len());
            let status = self.inflate.decompress_vec(&self.stream, &mut piece, FlushDecompress::None);
            let taken = usize::try_from(self.inflate.total_in() - before).unwrap_or(usize::MAX);
            let stands = taken == 0 && piece.len() == had;
            if !matches!(status, Ok(Status::Ok | Status::BufError)) || stands {
                self.left = 0;
                return Some(Err(std::io::ErrorKind::InvalidData.into()));
            }
            self.stream = self.stream.split_off(taken.min(self.stream.len()));
        }
        self.left -= piece.len() as u64;
        Some(Ok(piece.into()))
    }
}

/// A body of texts and documents as one member of gzip.
pub(crate) struct Gzip {
    pieces: Vec<Bytes>,
    crc: u32,
    bytes: u64,
}

impl Gzip {
    /// An empty body.
    pub(crate) fn new() -> Self {
        Self { pieces: vec![Bytes::from_static(GZIP_HEAD)], crc: 0, bytes: 0 }
    }

    /// Goes on with a short text.
    pub(crate) fn text(&mut self, text: &'static str) {
        let mut crc = Crc::new();
        crc.update(text.as_bytes());
        let bytes = u16::try_from(text.len()).expect("texts here are brackets and commas");
        let block = [&stored_head(bytes), text.as_bytes()].concat();
        self.add(block.into(), crc.sum(), u64::from(bytes));
    }

    /// Goes on with a document.
    pub(crate) fn document(&mut self, Filled { crc, text, stream }: Filled) {
        self.add(stream, crc, text);
    }

    fn add(&mut self, piece: Bytes, crc: u32, bytes: u64) {
        self.pieces.push(piece);
        self.crc = product(power(bytes), self.crc) ^ crc;
        self.bytes += bytes;
    }

    /// The pieces of the whole.
    pub(crate) fn finish(mut self) -> Vec<Bytes> {
        let mut end = BytesMut::from(LAST_BLOCK);
        end.put_u32_le(self.crc);
        // Modulo 2 to the 32 (RFC 1952 section 2.3.1).
        end.put_u32_le(self.bytes as u32);
        self.pieces.push(end.freeze());
        self.pieces
    }
}

/// Whether a client takes gzip (RFC 9110 section 12.5.3).
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let quality = |coding: &str| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality =
            parts.find_map(|part| part.strip_prefix("q=")).and_then(|text| text.parse::<f32>().ok());
        (name, quality.unwrap_or(1.0))
    };
    let codings: Vec<(String, f32)> = lines.flat_map(|line| line.split(',')).map(quality).collect();
    let of = |name: &str| codings.iter().find(|(known, _)| known == name).map(|(_, quality)| *quality);
    of("gzip").or_else(|| of("x-gzip")).or_else(|| of("*")).is_some_and(|quality| quality > 0.0)
}

/// The product of two remainders, both reflected.
fn product(a: u32, mut b: u32) -> u32 {
    let mut sum = 0;
    for bit in (0..32).rev() {
        if a >> bit & 1 == 1 {
            sum ^= b;
        }
        b = if b & 1 == 1 { b >> 1 ^ POLYNOMIAL } else { b >> 1 };
    }
    sum
}

/// The remainder of x to the power of the bits of so many bytes: by it a checksum is multiplied when so many zeros follow.
fn power(bytes: u64) -> u32 {
    // x to the power of 8.
    let mut square = ONE >> 8;
    let mut power = ONE;
    let mut left = bytes;
    while left > 0 {
        if left & 1 == 1 {
            power = product(power, square);
        }
        square = product(square, square);
        left >>= 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn object(number: usize, addresses: usize, filler: usize) -> Vec<u8> {
        // A text that pretends to be an address stays what it is.
        let mut map = serde_json::Map::new();
        map.insert("00080018".into(), serde_json::json!({"vr": "UI", "Value": [format!("1.2.{number}")]}));
        let lie = format!("\"BulkDataURI\":\"{BASE}/lie\"");
        map.insert("00081030".into(), serde_json::json!({"vr": "LO", "Value": [lie, "\u{1}"]}));
        let noise: String = (0..filler).map(|n| char::from(b'a' + (n * n * 7 % 23) as u8)).collect();
        map.insert("00081080".into(), serde_json::json!({"vr": "LT", "Value": [noise]}));
        for address in 0..addresses {
            let uri = format!("{BASE}/studies/1/instances/1.2.{number}/bulkdata/{address}");
            map.insert(format!("7FE0{address:04}"), serde_json::json!({"vr": "OW", "BulkDataURI": uri}));
        }
        serde_json::Value::Object(map).to_string().into_bytes()
    }

    fn text_of(document: &Document, base: &str) -> Vec<u8> {
        let pieces = document.filled(&Hole::of(base).unwrap()).pieces();
        pieces.map(Result::unwrap).flat_map(Vec::from).collect()
    }

    #[test]
    fn a_document_has_the_same_objects_for_every_host_plain_and_packed() {
        for (objects, addresses, filler) in
            [(1, 0, 0), (1, 1, 9), (40, 1, 3_000), (3, 2, 40_000), (90, 7, 300)]
        {
            let objects: Vec<Vec<u8>> = (0..objects).map(|n| object(n, addresses, filler)).collect();
            let mut writer = Writer::new();
            assert!(objects.iter().all(|object| writer.add(object)));
            let document = Document::read(writer.finish()).unwrap();
            assert_eq!(document.stored.is_empty(), addresses == 0);
            for base in ["http://a", "https://images.example:8443/dicomweb/centres/north"] {
                let expected: Vec<serde_json::Value> = objects
                    .iter()
                    .map(|object| serde_json::from_slice(&addressed(object, base)).unwrap())
                    .collect();
                let text = [b"[", text_of(&document, base).as_slice(), b"]"].concat();
                assert_eq!(serde_json::from_slice::<Vec<serde_json::Value>>(&text).unwrap(), expected);
                let mut gzip = Gzip::new();
                let filled = document.filled(&Hole::of(base).unwrap());
                gzip.text("[");
                gzip.document(filled.clone());
                gzip.text(",");
                gzip.document(filled);
                gzip.text("]");
                let packed: Vec<u8> = gzip.finish().into_iter().flatten().collect();
                let mut unpacked = Vec::new();
                GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
                let twice: Vec<serde_json::Value> = serde_json::from_slice(&unpacked).unwrap();
                assert_eq!(twice, [expected.clone(), expected].concat());
                assert!(addresses == 0 || String::from_utf8(unpacked).unwrap().contains("/lie"));
            }
        }
    }

    #[test]
    fn what_is_no_document_is_none() {
        let mut writer = Writer::new();
        writer.add(&object(1, 1, 10));
        let good = writer.finish();
        assert!(Document::read(good.clone()).is_some());
        for bytes in 0..40 {
            assert!(Document::read(good.slice(..bytes)).is_none(), "{bytes}");
        }
        let mut wrong = good.to_vec();
        wrong[7] = 2;
        assert!(Document::read(wrong.into()).is_none());
        let mut beyond = good.to_vec();
        beyond[28..32].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Document::read(beyond.into()).is_none());
    }

    #[test]
    fn a_long_address_has_no_hole() {
        assert!(Hole::of(&"x".repeat(HOLE_BYTES - 1)).is_some());
        assert!(Hole::of(&"x".repeat(HOLE_BYTES)).is_none());
    }

    #[test]
    fn distances_have_the_codes_of_the_standard() {
        // RFC 1951, section 3.2.5.
        for (distance, code) in [
            (1, (0, 1, 0)),
            (4, (3, 4, 0)),
            (5, (4, 5, 1)),
            (8, (5, 7, 1)),
            (193, (15, 193, 6)),
            (24_576, (28, 16_385, 13)),
            (32_768, (29, 24_577, 13)),
        ] {
            assert_eq!(distance_code(distance), code, "{distance}");
        }
    }

    #[test]
    fn who_takes_gzip() {
        for (accept, takes) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0, *", false),
            ("br, *;q=0.1", true),
            ("identity", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accept.parse().unwrap())]);
            assert_eq!(takes_gzip(&headers), takes, "{accept}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
