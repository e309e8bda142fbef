//! Writes a data set anew in implicit or explicit VR little endian, as it streams past, out of the other one, the deflated one, or the
//! retired big endian. Values stay what they are; only heads of elements are written anew, and numbers turned where the order of their
//! bytes differs. Sequences and items get undefined lengths; group lengths are left out.
//!
//! Not for encapsulated pixels, which need a codec; and nothing is written in big endian, in which nobody could read values of unknown
//! representation.

use dicom_core::{
    DataDictionary as _, Tag, VR,
    dictionary::{DataDictionaryEntry as _, VirtualVr},
};
use dicom_dictionary_std::StandardDataDictionary;
use domain::uid::TransferSyntaxUid;
use flate2::{Decompress, FlushDecompress, Status};

use crate::{
    guard::DEPTH_MAX,
    syntax::{DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, Encoding, IMPLICIT_LITTLE},
    walk::{
        ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, guess_inside_un, is_short, item_head, number_bytes,
        read_head,
    },
};

/// Whether samples of pixels are signed.
const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);
/// Bytes that are inflated at a time.
const INFLATED_AT_ONCE: usize = 64 * 1024;

/// Why a data set cannot be written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// It ends in the middle of something.
    #[error("the data set is cut")]
    Cut,
    /// Something stands where it may not.
    #[error("the data set is not well formed at byte {0}")]
    Malformed(u64),
    /// Sequences inside each other.
    #[error("more than {DEPTH_MAX} sequences inside each other")]
    TooDeep,
    /// It cannot be inflated.
    #[error("the data set cannot be inflated")]
    Deflate,
}

/// The plain encoding of a transfer syntax; `None` for others.
fn plain(uid: &str) -> Option<Encoding> {
    match uid {
        IMPLICIT_LITTLE => Some(Encoding::IMPLICIT_LITTLE),
        EXPLICIT_LITTLE => Some(Encoding::EXPLICIT_LITTLE),
        EXPLICIT_BIG => Some(Encoding::EXPLICIT_BIG),
        _ => None,
    }
}

/// Transfer syntaxes that an object in this one can be written in, the best first: explicit little endian keeps every value representation
/// that is known. None for encapsulated and unknown ones.
#[must_use]
pub fn targets(from: &TransferSyntaxUid) -> &'static [&'static str] {
    match from.as_str() {
        EXPLICIT_LITTLE => &[IMPLICIT_LITTLE],
        IMPLICIT_LITTLE => &[EXPLICIT_LITTLE],
        EXPLICIT_BIG | DEFLATED => &[EXPLICIT_LITTLE, IMPLICIT_LITTLE],
        _ => &[],
    }
}

/// What is open around an element.
#[derive(Debug, Clone, Copy)]
struct Level {
    is_item: bool,
    /// Where it ends; never by length, if a delimiter ends it.
    end: u64,
    from: Encoding,
    /// Whether value representations are written.
    explicit: bool,
    /// How items are written is seen at their first element.
    guess: bool,
}

/// What becomes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    Keep,
    Drop,
    /// Numbers of so many bytes are turned.
    Turn(usize),
}

/// A data set on its way into another encoding.
#[derive(Debug)]
pub struct Rewriter {
    inflate: Option<Decompress>,
    levels: Vec<Level>,
    /// Bytes that came and are part of nothing whole yet.
    held: Vec<u8>,
    /// Where `held` stands in the data set.
    at: u64,
    /// Bytes of a value that still come.
    left: u64,
    treatment: Treatment,
    is_signed: bool,
    is_signedness: bool,
}

impl Rewriter {
    /// A way from one transfer syntax to one of its [`targets`]; `None` when there is none.
    #[must_use]
    pub fn new(from: &TransferSyntaxUid, to: &str) -> Option<Self> {
        let is_deflated = from.as_str() == DEFLATED;
        let source = if is_deflated { Encoding::EXPLICIT_LITTLE } else { plain(from.as_str())? };
        let explicit = match to {
            EXPLICIT_LITTLE => true,
            IMPLICIT_LITTLE => false,
            _ => return None,
        };
        let root = Level { is_item: true, end: u64::MAX, from: source, explicit, guess: false };
        Some(Self {
            inflate: is_deflated.then(|| Decompress::new(false)),
            levels: vec![root],
            held: Vec::new(),
            at: 0,
            left: 0,
            treatment: Treatment::Keep,
            is_signed: false,
            is_signedness: false,
        })
    }

    /// Takes the next bytes and appends what they become.
    ///
    /// # Errors
    /// See [`Unwritable`].
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let Some(mut inflate) = self.inflate.take() else { return self.take(bytes, out) };
        let mut rest = bytes;
        let mut piece = vec![0; INFLATED_AT_ONCE];
        loop {
            let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(rest, &mut piece, FlushDecompress::None);
            let status = status.map_err(|_| Unwritable::Deflate)?;
            let (read, made) = (inflate.total_in() - before_in, inflate.total_out() - before_out);
            rest = &rest[read as usize..];
            self.take(&piece[..made as usize], out)?;
            // Behind the end stands at most a byte of padding (PS3.5 section A.5).
            if status == Status::StreamEnd || (read == 0 && made == 0) {
                break;
            }
        }
        self.inflate = Some(inflate);
        Ok(())
    }

    /// There are no more bytes.
    ///
    /// # Errors
    /// When it ends too early.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        self.close_ended(out);
        let is_whole = self.held.is_empty() && self.left == 0 && self.levels.len() == 1;
        if is_whole { Ok(()) } else { Err(Unwritable::Cut) }
    }

    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let mut rest = bytes;
        loop {
            rest = self.value(rest, out);
            if self.left > 0 {
                return Ok(());
            }
            self.close_ended(out);
            if rest.is_empty() && self.held.is_empty() {
                return Ok(());
            }
            // A head has at most 12 bytes; what is behind it goes back.
            let before = self.held.len();
            let wanted = rest.len().min(12 - before.min(12));
            self.held.extend_from_slice(&rest[..wanted]);
            let Some(used) = self.head(out)? else {
                rest = &rest[wanted..];
                if rest.is_empty() {
                    return Ok(());
                }
                return Err(Unwritable::Malformed(self.at));
            };
            // What was held before was no whole head, so that a head always ends in what came now.
            self.at += used as u64;
            rest = &rest[used - before..];
            self.held.clear();
        }
    }

    /// Gives on what belongs to the value under way; gives back what is behind it.
    fn value<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let (mut now, later) = bytes.split_at(here);
        self.left -= here as u64;
        self.at += here as u64;
        if self.is_signedness {
            // 0 or 1 in two bytes, whatever their order.
            self.is_signed |= now.contains(&1);
            self.is_signedness = self.left > 0;
        }
        match self.treatment {
            _ if here == 0 => {}
            Treatment::Drop => {}
            Treatment::Keep => out.extend_from_slice(now),
            Treatment::Turn(size) => {
                while !self.held.is_empty() && !now.is_empty() {
                    self.held.push(now[0]);
                    now = &now[1..];
                    if self.held.len() == size {
                        out.extend(self.held.drain(..).rev());
                    }
                }
                let numbers = now.chunks_exact(size);
                self.held.extend_from_slice(numbers.remainder());
                numbers.for_each(|number| out.extend(number.iter().rev()));
                if self.left == 0 {
                    // What is no whole number stays as it is.
                    out.append(&mut self.held);
                }
            }
        }
        later
    }

    fn level(&self) -> Level {
        *self.levels.last().expect("the root is never closed")
    }

    /// Closes what ends here by its length.
    fn close_ended(&mut self, out: &mut Vec<u8>) {
        while self.levels.len() > 1 && self.held.is_empty() && self.left == 0 && self.at >= self.level().end {
            self.close(out);
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(level) = self.levels.pop() else { return };
        let end = if level.is_item { ITEM_END } else { SEQUENCE_END };
        put_tag(end, out);
        out.extend_from_slice(&[0; 4]);
    }

    /// Reads a head out of what is held, and writes it; gives its length, none when it is not whole.
    fn head(&mut self, out: &mut Vec<u8>) -> Result<Option<usize>, Unwritable> {
        let Some(head) = self.held.first_chunk::<8>().copied() else { return Ok(None) };
        let mut level = self.level();
        let (tag, length) = item_head(level.from, &head);
        if tag.group() == 0xFFFE {
            return self.mark(tag, length, level, out).map(Some);
        }
        if !level.is_item {
            return Err(Unwritable::Malformed(self.at));
        }
        if level.guess {
            level.from = guess_inside_un(&head);
            level.guess = false;
            *self.levels.last_mut().expect("the root is never closed") = level;
        }
        let tag = item_head(level.from, &head).0;
        let Some((vr, length, used)) = read_head(level.from, tag, &head, &self.held) else { return Ok(None) };
        self.element(tag, vr, length, used, level, out)?;
        Ok(Some(used))
    }

    /// An item, or the end of an item or a sequence.
    fn mark(&mut self, tag: Tag, length: u32, level: Level, out: &mut Vec<u8>) -> Result<usize, Unwritable> {
        let malformed = Unwritable::Malformed(self.at);
        match (tag, level.is_item) {
            (ITEM, false) => {
                put_tag(ITEM, out);
                out.extend_from_slice(&u32::to_le_bytes(UNDEFINED));
                let end = self.end_of(length, 8);
                self.levels.push(Level { is_item: true, end, ..level });
            }
            (SEQUENCE_END, false) | (ITEM_END, true) if self.levels.len() > 1 => {
                if level.end == u64::MAX {
                    self.close(out);
                } else if self.at + 8 != level.end {
                    return Err(malformed);
                }
            }
            _ => return Err(malformed),
        }
        Ok(8)
    }

    fn end_of(&self, length: u32, head: u64) -> u64 {
        if length == UNDEFINED { u64::MAX } else { self.at + head + u64::from(length) }
    }

    fn element(
        &mut self,
        tag: Tag,
        vr: VR,
        length: u32,
        used: usize,
        level: Level,
        out: &mut Vec<u8>,
    ) -> Result<(), Unwritable> {
        let vr = if level.from.explicit { vr } else { self.meant(tag, vr) };
        if length == UNDEFINED || vr == VR::SQ {
            return self.sequence(tag, vr, self.end_of(length, used as u64), level, out);
        }
        self.left = u64::from(length);
        self.is_signedness = tag == PIXEL_REPRESENTATION && length == 2;
        if tag.element() == 0 {
            self.treatment = Treatment::Drop;
            return Ok(());
        }
        // A value that is too long for its VR has none (PS3.5 section 6.2.2).
        let vr = if is_short(vr) && length > u32::from(u16::MAX) { VR::UN } else { vr };
        self.treatment = match number_bytes(vr) {
            Some(size) if level.from.big_endian => Treatment::Turn(size),
            Some(_) | None => Treatment::Keep,
        };
        put_tag(tag, out);
        if level.explicit {
            out.extend_from_slice(vr.to_string().as_bytes());
            if is_short(vr) {
                out.extend_from_slice(&u16::to_le_bytes(length as u16));
                return Ok(());
            }
            out.extend_from_slice(&[0, 0]);
        }
        out.extend_from_slice(&u32::to_le_bytes(length));
        Ok(())
    }

    fn sequence(
        &mut self,
        tag: Tag,
        vr: VR,
        end: u64,
        level: Level,
        out: &mut Vec<u8>,
    ) -> Result<(), Unwritable> {
        if self.levels.len() > 2 * DEPTH_MAX {
            return Err(Unwritable::TooDeep);
        }
        // Of other value representations an undefined length means fragments, which no plain encoding has.
        let is_unknown = vr == VR::UN && level.from.explicit;
        if !is_unknown && vr != VR::SQ && level.from.explicit {
            return Err(Unwritable::Malformed(self.at));
        }
        put_tag(tag, out);
        if level.explicit {
            out.extend_from_slice(if is_unknown { b"UN\0\0" } else { b"SQ\0\0" });
        }
        out.extend_from_slice(&u32::to_le_bytes(UNDEFINED));
        // PS3.5 section 6.2.2, note 4: what is inside an unknown one is implicit little endian.
        let (from, explicit, guess) = match is_unknown {
            true => (Encoding::IMPLICIT_LITTLE, false, true),
            false => (level.from, level.explicit, level.guess),
        };
        self.levels.push(Level { is_item: false, end, from, explicit, guess });
        Ok(())
    }

    /// The value representation of an element that does not say it, where the dictionary leaves a choice.
    fn meant(&self, tag: Tag, vr: VR) -> VR {
        let virtual_vr = StandardDataDictionary.by_tag(tag).map(|entry| entry.vr());
        match virtual_vr {
            Some(VirtualVr::Xs) if self.is_signed => VR::SS,
            Some(_) | None => vr,
        }
    }
}

fn put_tag(tag: Tag, out: &mut Vec<u8>) {
    out.extend_from_slice(&tag.group().to_le_bytes());
    out.extend_from_slice(&tag.element().to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written anew, in pieces of a size.
    fn rewritten(bytes: &[u8], from: &str, to: &str, piece: usize) -> Result<Vec<u8>, Unwritable> {
        let from = TransferSyntaxUid::parse(from).unwrap();
        let mut rewriter = Rewriter::new(&from, to).unwrap();
        let mut out = Vec::new();
        for piece in bytes.chunks(piece) {
            rewriter.push(piece, &mut out)?;
        }
        rewriter.finish(&mut out)?;
        Ok(out)
    }

    /// A text, a sequence with an item, an unknown sequence, numbers, samples.
    const EXPLICIT: &[&[u8]] = &[
        b"\x08\0\x60\0CS\x02\0CT",
        b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff",
        b"\x20\0\x0d\0UI\x04\x001.2\0",
        b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
        b"\x28\0\x10\0US\x02\0\x02\x01",
        b"\x28\0\x03\x01US\x02\0\x01\0",
        b"\x28\0\x06\x01SS\x02\0\xfe\xff",
        b"\xe0\x7f\x10\0OW\0\0\x04\0\0\0\x01\x02\x03\x04",
    ];
    const IMPLICIT: &[&[u8]] = &[
        b"\x08\0\x60\0\x02\0\0\0CT",
        b"\x08\0\x15\x11\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff",
        b"\x20\0\x0d\0\x04\0\0\x001.2\0",
        b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
        b"\x28\0\x10\0\x02\0\0\0\x02\x01",
        b"\x28\0\x03\x01\x02\0\0\0\x01\0",
        b"\x28\0\x06\x01\x02\0\0\0\xfe\xff",
        b"\xe0\x7f\x10\0\x04\0\0\0\x01\x02\x03\x04",
    ];
    const BIG: &[&[u8]] = &[
        b"\0\x08\0\x60CS\0\x02CT",
        b"\0\x08\x11\x15SQ\0\0\xff\xff\xff\xff\xff\xfe\xe0\0\xff\xff\xff\xff",
        b"\0\x20\0\x0dUI\0\x041.2\0",
        b"\xff\xfe\xe0\x0d\0\0\0\0\xff\xfe\xe0\xdd\0\0\0\0",
        b"\0\x28\0\x10US\0\x02\x01\x02",
        b"\0\x28\x01\x03US\0\x02\0\x01",
        b"\0\x28\x01\x06SS\0\x02\xff\xfe",
        b"\x7f\xe0\0\x10OW\0\0\0\0\0\x04\x02\x01\x04\x03",
    ];

    #[test]
    fn each_is_written_as_each_other_whatever_the_pieces() {
        let all = [(EXPLICIT_LITTLE, EXPLICIT), (IMPLICIT_LITTLE, IMPLICIT), (EXPLICIT_BIG, BIG)];
        for (from, bytes) in all {
            for (to, expected) in &all[..2] {
                for piece in [1, 2, 3, 7, 11, 1000] {
                    let found = rewritten(&bytes.concat(), from, to, piece);
                    assert_eq!(found, Ok(expected.concat()), "{from} {to} {piece}");
                }
            }
        }
    }

    #[test]
    fn a_deflated_one_is_inflated() {
        use std::io::Write as _;
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        deflate.write_all(&EXPLICIT.concat()).unwrap();
        let mut bytes = deflate.finish().unwrap();
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        for piece in [1, 5, 1000] {
            assert_eq!(rewritten(&bytes, DEFLATED, EXPLICIT_LITTLE, piece), Ok(EXPLICIT.concat()));
            assert_eq!(rewritten(&bytes, DEFLATED, IMPLICIT_LITTLE, piece), Ok(IMPLICIT.concat()));
        }
        assert!(rewritten(b"no such thing", DEFLATED, EXPLICIT_LITTLE, 100).is_err());
    }

    #[test]
    fn lengths_and_group_lengths_go() {
        let defined = [
            &b"\x08\0\0\0UL\x04\0\x63\0\0\0"[..],
            EXPLICIT[0],
            b"\x08\0\x15\x11SQ\0\0\x14\0\0\0\xfe\xff\0\xe0\x0c\0\0\0",
            EXPLICIT[2],
            b"\x28\0\x10\0US\x02\0\x02\x01",
        ];
        let found = rewritten(&defined.concat(), EXPLICIT_LITTLE, IMPLICIT_LITTLE, 1000);
        assert_eq!(found, Ok(IMPLICIT[..5].concat()));
        let empty = b"\x08\0\x15\x11SQ\0\0\0\0\0\0";
        let found = rewritten(empty, EXPLICIT_LITTLE, IMPLICIT_LITTLE, 3);
        assert_eq!(found, Ok(b"\x08\0\x15\x11\xff\xff\xff\xff\xfe\xff\xdd\xe0\0\0\0\0".to_vec()));
    }

    #[test]
    fn what_is_unknown_stays_implicit_inside() {
        let unknown = b"\x09\0\x10\x10UN\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff\x20\0\x0d\0\x04\0\0\x001.2\0\
            \xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0";
        assert_eq!(rewritten(unknown, EXPLICIT_LITTLE, EXPLICIT_LITTLE, 5), Ok(unknown.to_vec()));
        let implicit = rewritten(unknown, EXPLICIT_LITTLE, IMPLICIT_LITTLE, 5).unwrap();
        assert_eq!(implicit[8..], unknown[12..], "only the element's own head changes");
        // A private value without a known representation, and one too long for its own.
        let private = [&b"\x09\0\x10\x10\x02\0\0\0ab\x10\0\0\x40\0\0\x01\0"[..], &[b'x'; 65_536]].concat();
        let found = rewritten(&private, IMPLICIT_LITTLE, EXPLICIT_LITTLE, 999).unwrap();
        assert!(found.starts_with(b"\x09\0\x10\x10UN\0\0\x02\0\0\0ab\x10\0\0\x40UN\0\0\0\0\x01\0x"));
    }

    #[test]
    fn what_is_cut_or_odd_is_refused() {
        let whole = EXPLICIT.concat();
        for cut in [4, 9, 20, 35, whole.len() - 1] {
            let found = rewritten(&whole[..cut], EXPLICIT_LITTLE, IMPLICIT_LITTLE, 1000);
            assert_eq!(found, Err(Unwritable::Cut), "{cut}");
        }
        for odd in
            [&b"\xfe\xff\xdd\xe0\0\0\0\0"[..], b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\0"]
        {
            let found = rewritten(odd, EXPLICIT_LITTLE, IMPLICIT_LITTLE, 1000);
            assert!(matches!(found, Err(Unwritable::Malformed(_))), "{found:?}");
        }
        let deep = b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff".repeat(200);
        assert_eq!(rewritten(&deep, EXPLICIT_LITTLE, IMPLICIT_LITTLE, 1000), Err(Unwritable::TooDeep));
    }

    #[test]
    fn only_plain_ones_have_targets() {
        for (from, expected) in [
            (EXPLICIT_LITTLE, 1),
            (IMPLICIT_LITTLE, 1),
            (EXPLICIT_BIG, 2),
            (DEFLATED, 2),
            ("1.2.840.10008.1.2.4.80", 0),
            ("1.2.840.113619.5.2", 0),
            ("1.2.840.10008.1.2.4.95", 0),
        ] {
            let from = TransferSyntaxUid::parse(from).unwrap();
            assert_eq!(targets(&from).len(), expected, "{from}");
            assert!(targets(&from).iter().all(|to| Rewriter::new(&from, to).is_some()), "{from}");
        }
        let encapsulated = TransferSyntaxUid::parse("1.2.840.10008.1.2.4.80").unwrap();
        assert!(Rewriter::new(&encapsulated, EXPLICIT_LITTLE).is_none());
        let implicit = TransferSyntaxUid::parse(IMPLICIT_LITTLE).unwrap();
        assert!(Rewriter::new(&implicit, EXPLICIT_BIG).is_none());
    }
}
