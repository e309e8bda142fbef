//! A bounded reader of ZIP archives (PKWARE APPNOTE.TXT 6.3.10, ISO/IEC 21320-1), for archives from outside that nobody trusts.
//!
//! No async, no catalog, no file names that become paths: bytes with a beginning and an end go in, entries come out one by one. Only the
//! central directory is believed about where entries are; they may not overlap, nothing is allocated from a declared length, and what
//! comes out is bounded in all, by ratio and by count. Stored and deflated entries are read; everything else is named and refused.

use std::{
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::DeflateDecoder;

/// Unpacked bytes below which the ratio does not count: a black image of 16 MiB is no bomb.
const RATIO_FREE_BYTES: u64 = 64 << 20;
/// Bytes read from the archive at a time.
const READ_BYTES: usize = 64 << 10;

const END_SIGNATURE: [u8; 4] = *b"PK\x05\x06";
const END_BYTES: usize = 22;
/// The longest comment that may follow the end record.
const COMMENT_BYTES_MAX: usize = u16::MAX as usize;
const LOCATOR_SIGNATURE: [u8; 4] = *b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;
const WIDE_END_SIGNATURE: [u8; 4] = *b"PK\x06\x06";
const WIDE_END_BYTES: usize = 56;
const CENTRAL_SIGNATURE: [u8; 4] = *b"PK\x01\x02";
const CENTRAL_BYTES: usize = 46;
const LOCAL_SIGNATURE: [u8; 4] = *b"PK\x03\x04";
const LOCAL_BYTES: usize = 30;
/// The extra field that holds sizes beyond 32 bits.
const WIDE_FIELD: u16 = 0x0001;
const FLAG_ENCRYPTED: u16 = 1;
const FLAG_STRONG_ENCRYPTION: u16 = 1 << 6;
const METHOD_STORED: u16 = 0;
const METHOD_DEFLATED: u16 = 8;
/// Stands for "encrypted with AES" in WinZip's form.
const METHOD_AES: u16 = 99;

/// What an archive may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Most entries, folders included.
    pub entries: usize,
    /// Most bytes that come out in all.
    pub unpacked_bytes: u64,
    /// Most bytes that one byte of the archive, and of an entry, may become.
    pub ratio: u64,
    /// Most bytes of the central directory, which is held in memory.
    pub directory_bytes: u64,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { entries: 100_000, unpacked_bytes: 20 << 30, ratio: 100, directory_bytes: 32 << 20 }
    }
}

/// What is wrong with an archive as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFlaw {
    /// It has no end record, or one that does not fit: cut off, or no ZIP.
    #[error("the archive has no readable directory")]
    NoDirectory,
    /// It is one part of several.
    #[error("the archive is a part of a split archive")]
    Split,
    /// Too many entries.
    #[error("the archive has more than {0} entries")]
    TooManyEntries(usize),
    /// Too large a directory.
    #[error("the archive's directory is larger than {0} bytes")]
    LargeDirectory(u64),
    /// Two entries share bytes, or one reaches into the directory.
    #[error("entries of the archive overlap")]
    Overlap,
    /// More comes out than may.
    #[error("the archive unpacks to more than {0} bytes")]
    TooLarge(u64),
    /// It is a bomb.
    #[error("the archive unpacks to more than {0} times its size")]
    Bomb(u64),
    /// It cannot be read now; trying again may help.
    #[error("the archive cannot be read now")]
    Unreadable(#[from] std::io::Error),
}

/// What is wrong with one entry; others may be fine.
#[derive(Debug, thiserror::Error)]
pub enum EntryFlaw {
    /// Protected by a password.
    #[error("the entry is encrypted")]
    Encrypted,
    /// Packed in a way that is not read.
    #[error("the entry is packed by method {0}")]
    Method(u16),
    /// Its bytes are not what the directory says.
    #[error("the entry is damaged")]
    Damaged,
    /// The archive as a whole must not be read further.
    #[error(transparent)]
    Archive(#[from] ArchiveFlaw),
}

/// One entry, as the central directory has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the directory.
    pub position: u32,
    /// Its name, for people; never a path of ours. Bytes that are no UTF-8 are replaced.
    pub name: String,
    /// Its size when unpacked, as declared.
    pub bytes: u64,
    packed_bytes: u64,
    method: u16,
    encrypted: bool,
    crc: u32,
    at: u64,
    /// Where the next entry or the directory begins.
    end: u64,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({}, {} bytes)", self.position, self.bytes)
    }
}

impl Entry {
    /// Whether it is a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.name.ends_with('/') || self.name.ends_with('\\')
    }
}

/// An archive's directory, checked as a whole. Clones count their unpacked bytes together.
#[derive(Debug, Clone)]
pub struct Archive {
    entries: Arc<[Entry]>,
    limits: ArchiveLimits,
    archive_bytes: u64,
    unpacked: Arc<AtomicU64>,
}

impl Archive {
    /// Reads and checks the directory.
    ///
    /// # Errors
    /// See [`ArchiveFlaw`].
    pub fn open(reader: &mut (impl Read + Seek), limits: ArchiveLimits) -> Result<Self, ArchiveFlaw> {
        let archive_bytes = reader.seek(SeekFrom::End(0))?;
        let directory = Directory::find(reader, archive_bytes)?;
        if directory.entries > limits.entries as u64 {
            return Err(ArchiveFlaw::TooManyEntries(limits.entries));
        }
        if directory.bytes > limits.directory_bytes {
            return Err(ArchiveFlaw::LargeDirectory(limits.directory_bytes));
        }
        reader.seek(SeekFrom::Start(directory.at))?;
        let mut from = BufReader::with_capacity(READ_BYTES, reader.take(directory.bytes));
        let mut entries = Vec::new();
        for position in 0..directory.entries {
            let position =
                u32::try_from(position).map_err(|_| ArchiveFlaw::TooManyEntries(limits.entries))?;
            entries.push(central_entry(&mut from, position, directory.shift)?);
        }
        if !from.fill_buf()?.is_empty() {
            // More headers than were declared: another reader would see other entries than we do.
            return Err(ArchiveFlaw::NoDirectory);
        }
        part(&mut entries, directory.at)?;
        let declared = entries.iter().try_fold(0_u64, |sum, entry| sum.checked_add(entry.bytes));
        if declared.is_none_or(|declared| declared > limits.unpacked_bytes) {
            return Err(ArchiveFlaw::TooLarge(limits.unpacked_bytes));
        }
        Ok(Self { entries: entries.into(), limits, archive_bytes, unpacked: Arc::default() })
    }

    /// The entries, in the order of the directory.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Opens an entry. `reader` is the same archive again.
    ///
    /// # Errors
    /// See [`EntryFlaw`].
    pub fn read<R: Read + Seek>(&self, entry: &Entry, mut reader: R) -> Result<EntryReader<R>, EntryFlaw> {
        if entry.encrypted || entry.method == METHOD_AES {
            return Err(EntryFlaw::Encrypted);
        }
        if !matches!(entry.method, METHOD_STORED | METHOD_DEFLATED) {
            return Err(EntryFlaw::Method(entry.method));
        }
        reader.seek(SeekFrom::Start(entry.at)).map_err(ArchiveFlaw::Unreadable)?;
        let mut head = [0; LOCAL_BYTES];
        exactly(&mut reader, &mut head)?;
        if head[..4] != LOCAL_SIGNATURE || u16_at(&head, 8) != entry.method {
            return Err(EntryFlaw::Damaged);
        }
        if u16_at(&head, 6) & FLAG_ENCRYPTED != 0 {
            return Err(EntryFlaw::Encrypted);
        }
        let names = u64::from(u16_at(&head, 26)) + u64::from(u16_at(&head, 28));
        let data = entry.at + LOCAL_BYTES as u64 + names;
        if data.checked_add(entry.packed_bytes).is_none_or(|end| end > entry.end) {
            return Err(EntryFlaw::Damaged);
        }
        reader.seek(SeekFrom::Start(data)).map_err(ArchiveFlaw::Unreadable)?;
        let packed = BufReader::with_capacity(READ_BYTES, reader.take(entry.packed_bytes));
        Ok(EntryReader {
            from: match entry.method {
                METHOD_STORED => Unpacking::Stored(packed),
                _ => Unpacking::Deflated(DeflateDecoder::new(packed)),
            },
            entry: entry.clone(),
            archive: self.clone(),
            done: 0,
            crc: crc32fast::Hasher::new(),
        })
    }

    /// Counts bytes that came out.
    fn count(&self, bytes: u64) -> Result<(), ArchiveFlaw> {
        let unpacked = self.unpacked.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if unpacked > self.limits.unpacked_bytes {
            return Err(ArchiveFlaw::TooLarge(self.limits.unpacked_bytes));
        }
        if unpacked > self.archive_bytes.saturating_mul(self.limits.ratio).max(RATIO_FREE_BYTES) {
            return Err(ArchiveFlaw::Bomb(self.limits.ratio));
        }
        Ok(())
    }
}

enum Unpacking<R> {
    Stored(BufReader<std::io::Take<R>>),
    Deflated(DeflateDecoder<BufReader<std::io::Take<R>>>),
}

/// The bytes of one entry.
pub struct EntryReader<R> {
    from: Unpacking<R>,
    entry: Entry,
    archive: Archive,
    done: u64,
    crc: crc32fast::Hasher,
}

impl<R: Read> EntryReader<R> {
    /// The next bytes; 0 at the end, which is only said when size and check sum are right.
    ///
    /// # Errors
    /// See [`EntryFlaw`].
    pub fn next(&mut self, buffer: &mut [u8]) -> Result<usize, EntryFlaw> {
        let read = match &mut self.from {
            Unpacking::Stored(from) => from.read(buffer),
            Unpacking::Deflated(from) => from.read(buffer),
        };
        let read = match read {
            Ok(read) => read,
            Err(error) if is_damage(&error) => return Err(EntryFlaw::Damaged),
            Err(error) => return Err(ArchiveFlaw::Unreadable(error).into()),
        };
        if read == 0 {
            let is_whole = self.done == self.entry.bytes && self.crc.clone().finalize() == self.entry.crc;
            return if is_whole { Ok(0) } else { Err(EntryFlaw::Damaged) };
        }
        self.done += read as u64;
        if self.done > self.entry.bytes {
            return Err(EntryFlaw::Damaged);
        }
        let ratio = self.archive.limits.ratio;
        if self.done > self.entry.packed_bytes.saturating_mul(ratio).max(RATIO_FREE_BYTES) {
            return Err(ArchiveFlaw::Bomb(ratio).into());
        }
        self.archive.count(read as u64)?;
        self.crc.update(&buffer[..read]);
        Ok(read)
    }
}

/// Each entry's name, and its size or what is wrong with it.
pub type Contents = Vec<(String, Result<u64, EntryFlaw>)>;

/// Reads an archive that is in memory to its end, for tests and fuzzing.
///
/// # Errors
/// See [`ArchiveFlaw`].
pub fn contents(bytes: &[u8], limits: ArchiveLimits) -> Result<Contents, ArchiveFlaw> {
    let archive = Archive::open(&mut std::io::Cursor::new(bytes), limits)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut found = Vec::new();
    for entry in archive.entries() {
        let mut size = 0;
        let outcome = archive.read(entry, std::io::Cursor::new(bytes)).and_then(|mut from| {
            loop {
                match from.next(&mut buffer)? {
                    0 => return Ok(size),
                    read => size += read as u64,
                }
            }
        });
        match outcome {
            Err(EntryFlaw::Archive(flaw)) => return Err(flaw),
            outcome => found.push((entry.name.clone(), outcome)),
        }
    }
    Ok(found)
}

/// Where the central directory is.
struct Directory {
    at: u64,
    bytes: u64,
    entries: u64,
    /// Bytes before the archive, as a self-extracting program has them.
    shift: u64,
}

impl Directory {
    fn find(reader: &mut (impl Read + Seek), archive_bytes: u64) -> Result<Self, ArchiveFlaw> {
        let tail_bytes = archive_bytes.min((END_BYTES + COMMENT_BYTES_MAX) as u64);
        let tail_at = archive_bytes - tail_bytes;
        reader.seek(SeekFrom::Start(tail_at))?;
        let mut tail = Vec::new();
        reader.take(tail_bytes).read_to_end(&mut tail)?;
        let is_end = |at: &usize| {
            let record = &tail[*at..];
            record.starts_with(&END_SIGNATURE)
                && record.len() >= END_BYTES
                && record.len() - END_BYTES >= usize::from(u16_at(record, 20))
        };
        let last = tail.len().checked_sub(END_BYTES).ok_or(ArchiveFlaw::NoDirectory)?;
        let found = (0..=last).rev().find(is_end).ok_or(ArchiveFlaw::NoDirectory)?;
        let record = &tail[found..];
        let end_at = tail_at + found as u64;
        let narrow = Self {
            at: u64::from(u32_at(record, 16)),
            bytes: u64::from(u32_at(record, 12)),
            entries: u64::from(u16_at(record, 10)),
            shift: 0,
        };
        let disks = (u16_at(record, 4), u16_at(record, 6));
        let is_wide = narrow.at == u64::from(u32::MAX)
            || narrow.bytes == u64::from(u32::MAX)
            || narrow.entries == u64::from(u16::MAX);
        let wide = if is_wide { Self::find_wide(reader, end_at)? } else { None };
        match wide {
            Some((directory, wide_at)) => directory.placed(wide_at),
            None if disks != (0, 0) || u16_at(record, 8) != u16_at(record, 10) => Err(ArchiveFlaw::Split),
            None => narrow.placed(end_at),
        }
    }

    /// The end record for large archives, and where it is.
    fn find_wide(reader: &mut (impl Read + Seek), end_at: u64) -> Result<Option<(Self, u64)>, ArchiveFlaw> {
        let Some(locator_at) = end_at.checked_sub(LOCATOR_BYTES as u64) else { return Ok(None) };
        let mut locator = [0; LOCATOR_BYTES];
        reader.seek(SeekFrom::Start(locator_at))?;
        reader.read_exact(&mut locator)?;
        if locator[..4] != LOCATOR_SIGNATURE {
            return Ok(None);
        }
        // Bytes may stand before the archive, so the place that is named is tried, and then the place where the record must be.
        let named = u64_at(&locator, 8);
        let supposed = locator_at.checked_sub(WIDE_END_BYTES as u64);
        for at in [Some(named), supposed].into_iter().flatten() {
            if at.checked_add(WIDE_END_BYTES as u64).is_none_or(|end| end > locator_at) {
                continue;
            }
            let mut record = [0; WIDE_END_BYTES];
            reader.seek(SeekFrom::Start(at))?;
            reader.read_exact(&mut record)?;
            if record[..4] != WIDE_END_SIGNATURE {
                continue;
            }
            if (u32_at(&record, 16), u32_at(&record, 20)) != (0, 0)
                || u64_at(&record, 24) != u64_at(&record, 32)
            {
                return Err(ArchiveFlaw::Split);
            }
            let directory = Self {
                at: u64_at(&record, 48),
                bytes: u64_at(&record, 40),
                entries: u64_at(&record, 32),
                shift: 0,
            };
            return Ok(Some((directory, at)));
        }
        Err(ArchiveFlaw::NoDirectory)
    }

    /// The directory ends where its end record begins; what it says of its beginning may be off by the bytes before the archive.
    fn placed(self, end_at: u64) -> Result<Self, ArchiveFlaw> {
        let at = end_at.checked_sub(self.bytes).ok_or(ArchiveFlaw::NoDirectory)?;
        let shift = at.checked_sub(self.at).ok_or(ArchiveFlaw::NoDirectory)?;
        Ok(Self { at, shift, ..self })
    }
}

fn central_entry(from: &mut impl Read, position: u32, shift: u64) -> Result<Entry, ArchiveFlaw> {
    let mut head = [0; CENTRAL_BYTES];
    directory_bytes(from, &mut head)?;
    if head[..4] != CENTRAL_SIGNATURE {
        return Err(ArchiveFlaw::NoDirectory);
    }
    let mut rest = |bytes: u16| {
        let mut part = vec![0; usize::from(bytes)];
        directory_bytes(from, &mut part).map(|()| part)
    };
    let name = rest(u16_at(&head, 28))?;
    let extra = rest(u16_at(&head, 30))?;
    rest(u16_at(&head, 32))?;
    let flags = u16_at(&head, 8);
    let mut wide = Wide::of(&extra);
    // The order in the field is fixed; each value stands there only if its own place is full.
    let bytes = wide.instead_of(u32_at(&head, 24))?;
    let packed_bytes = wide.instead_of(u32_at(&head, 20))?;
    let at = wide.instead_of(u32_at(&head, 42))?;
    Ok(Entry {
        position,
        name: String::from_utf8_lossy(&name).into_owned(),
        bytes,
        packed_bytes,
        method: u16_at(&head, 10),
        encrypted: flags & (FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION) != 0,
        crc: u32_at(&head, 16),
        at: at.checked_add(shift).ok_or(ArchiveFlaw::NoDirectory)?,
        end: 0,
    })
}

/// The values of a ZIP64 extra field, taken one after the other.
struct Wide<'a> {
    values: &'a [u8],
}

impl<'a> Wide<'a> {
    fn of(extra: &'a [u8]) -> Self {
        let mut rest = extra;
        while let Some(head) = rest.first_chunk::<4>() {
            let length = usize::from(u16_at(head, 2));
            let Some(values) = rest.get(4..4 + length) else { break };
            if u16_at(head, 0) == WIDE_FIELD {
                return Self { values };
            }
            rest = &rest[4 + length..];
        }
        Self { values: &[] }
    }

    fn instead_of(&mut self, narrow: u32) -> Result<u64, ArchiveFlaw> {
        if narrow != u32::MAX {
            return Ok(u64::from(narrow));
        }
        let Some((value, rest)) = self.values.split_first_chunk::<8>() else {
            return Err(ArchiveFlaw::NoDirectory);
        };
        self.values = rest;
        Ok(u64::from_le_bytes(*value))
    }
}

/// Checks that no two entries share bytes and none reaches into the directory, and notes where each must end.
fn part(entries: &mut [Entry], directory_at: u64) -> Result<(), ArchiveFlaw> {
    let mut by_place: Vec<(u64, usize)> =
        entries.iter().enumerate().map(|(index, entry)| (entry.at, index)).collect();
    by_place.sort_unstable();
    let ends: Vec<u64> =
        by_place.iter().skip(1).map(|(at, _)| *at).chain(std::iter::once(directory_at)).collect();
    for ((at, index), end) in by_place.into_iter().zip(ends) {
        let entry = &mut entries[index];
        let least = at.checked_add(LOCAL_BYTES as u64).and_then(|at| at.checked_add(entry.packed_bytes));
        if least.is_none_or(|least| least > end) {
            return Err(ArchiveFlaw::Overlap);
        }
        entry.end = end;
    }
    Ok(())
}

fn directory_bytes(from: &mut impl Read, bytes: &mut [u8]) -> Result<(), ArchiveFlaw> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => ArchiveFlaw::NoDirectory,
        _ => ArchiveFlaw::Unreadable(error),
    })
}

fn exactly(from: &mut impl Read, bytes: &mut [u8]) -> Result<(), EntryFlaw> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => EntryFlaw::Damaged,
        _ => ArchiveFlaw::Unreadable(error).into(),
    })
}

/// How the inflater says that its bytes are no deflate stream; everything else is the disk's.
fn is_damage(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::InvalidInput
            | std::io::ErrorKind::InvalidData
            | std::io::ErrorKind::UnexpectedEof
    )
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|two| two.first_chunk()).map_or(0, |two| u16::from_le_bytes(*two))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.first_chunk()).map_or(0, |eight| u64::from_le_bytes(*eight))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// One entry of an archive that is made for a test.
    struct Made {
        name: &'static str,
        packed: Vec<u8>,
        bytes: u32,
        crc: u32,
        method: u16,
        flags: u16,
    }

    fn stored(name: &'static str, content: &[u8]) -> Made {
        Made {
            name,
            packed: content.to_vec(),
            bytes: content.len() as u32,
            crc: crc32fast::hash(content),
            method: METHOD_STORED,
            flags: 0,
        }
    }

    fn deflated(name: &'static str, content: &[u8]) -> Made {
        let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(content).unwrap();
        Made { packed: packer.finish().unwrap(), method: METHOD_DEFLATED, ..stored(name, content) }
    }

    fn numbers(values: &[(u64, usize)]) -> Vec<u8> {
        values.iter().flat_map(|(value, bytes)| value.to_le_bytes()[..*bytes].to_vec()).collect()
    }

    fn local(made: &Made) -> Vec<u8> {
        let head = numbers(&[
            (20, 2),
            (made.flags.into(), 2),
            (made.method.into(), 2),
            (0, 4),
            (made.crc.into(), 4),
            (made.packed.len() as u64, 4),
            (made.bytes.into(), 4),
            (made.name.len() as u64, 2),
            (0, 2),
        ]);
        [&LOCAL_SIGNATURE[..], &head, made.name.as_bytes(), &made.packed].concat()
    }

    fn central(made: &Made, at: u64) -> Vec<u8> {
        let head = numbers(&[
            (20, 2),
            (20, 2),
            (made.flags.into(), 2),
            (made.method.into(), 2),
            (0, 4),
            (made.crc.into(), 4),
            (made.packed.len() as u64, 4),
            (made.bytes.into(), 4),
            (made.name.len() as u64, 2),
            (0, 2),
            (0, 2),
            (0, 2),
            (0, 2),
            (0, 4),
            (at, 4),
        ]);
        [&CENTRAL_SIGNATURE[..], &head, made.name.as_bytes()].concat()
    }

    fn end(entries: u64, bytes: u64, at: u64) -> Vec<u8> {
        let record = numbers(&[(0, 2), (0, 2), (entries, 2), (entries, 2), (bytes, 4), (at, 4), (0, 2)]);
        [&END_SIGNATURE[..], &record].concat()
    }

    fn archive(entries: &[Made]) -> Vec<u8> {
        let (mut bytes, mut directory) = (Vec::new(), Vec::new());
        for made in entries {
            directory.extend(central(made, bytes.len() as u64));
            bytes.extend(local(made));
        }
        let at = bytes.len() as u64;
        let end = end(entries.len() as u64, directory.len() as u64, at);
        [bytes, directory, end].concat()
    }

    fn read(bytes: &[u8]) -> Result<Contents, ArchiveFlaw> {
        contents(bytes, ArchiveLimits::default())
    }

    #[test]
    fn entries_come_out_as_they_went_in() {
        let bytes = archive(&[stored("a", b"abc"), deflated("d/b", &[7; 1000]), stored("d/", b"")]);
        let found: Vec<_> =
            read(&bytes).unwrap().into_iter().map(|(name, bytes)| (name, bytes.unwrap())).collect();
        assert_eq!(found, [("a".to_owned(), 3), ("d/b".to_owned(), 1000), ("d/".to_owned(), 0)]);
        let program = [b"MZ a program that unpacks itself".to_vec(), bytes.clone()].concat();
        assert_eq!(read(&program).unwrap().len(), 3, "bytes before the archive are passed over");
        assert_eq!(read(&archive(&[])).unwrap().len(), 0);
    }

    #[test]
    fn every_cut_and_every_changed_byte_ends() {
        let bytes = archive(&[stored("a", b"abc"), deflated("b", &[7; 1000])]);
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err(), "{cut}");
        }
        for at in 0..bytes.len() {
            for value in [0, 0x7F, 0xFF] {
                let mut changed = bytes.clone();
                changed[at] = value;
                // Whatever it says, it says it without panic and within its limits.
                let _ = read(&changed);
            }
        }
        let mut changed = bytes;
        changed[31] ^= 1;
        assert!(matches!(read(&changed).unwrap()[0].1, Err(EntryFlaw::Damaged)), "a wrong byte is seen");
    }

    #[test]
    fn what_is_not_read_is_named() {
        let encrypted = Made { flags: FLAG_ENCRYPTED, ..stored("a", b"abc") };
        assert!(matches!(read(&archive(&[encrypted])).unwrap()[0].1, Err(EntryFlaw::Encrypted)));
        let aes = Made { method: METHOD_AES, ..stored("a", b"abc") };
        assert!(matches!(read(&archive(&[aes])).unwrap()[0].1, Err(EntryFlaw::Encrypted)));
        let other = Made { method: 14, ..stored("a", b"abc") };
        assert!(matches!(read(&archive(&[other])).unwrap()[0].1, Err(EntryFlaw::Method(14))));
        assert!(matches!(read(b"PK\x03\x04"), Err(ArchiveFlaw::NoDirectory)));
    }

    #[test]
    fn overlaps_are_refused() {
        let made = stored("a", b"abc");
        let body = local(&made);
        for second in [0_u64, 5] {
            let directory = [central(&made, 0), central(&made, second)].concat();
            let end = end(2, directory.len() as u64, body.len() as u64);
            let bytes = [body.clone(), directory, end].concat();
            assert!(matches!(read(&bytes), Err(ArchiveFlaw::Overlap)), "{second}");
        }
        let reaching = Made { packed: vec![0; 300], ..stored("a", b"abc") };
        let directory = central(&reaching, 0);
        let bytes =
            [body.clone(), directory.clone(), end(1, directory.len() as u64, body.len() as u64)].concat();
        assert!(matches!(read(&bytes), Err(ArchiveFlaw::Overlap)));
        let hidden = [central(&made, 0), central(&made, 0)].concat();
        let bytes = [body.clone(), hidden.clone(), end(1, hidden.len() as u64, body.len() as u64)].concat();
        assert!(matches!(read(&bytes), Err(ArchiveFlaw::NoDirectory)), "more entries than are told");
    }

    #[test]
    fn limits_hold() {
        let limits = ArchiveLimits { entries: 2, unpacked_bytes: 5000, ..ArchiveLimits::default() };
        let three = archive(&[stored("a", b""), stored("b", b""), stored("c", b"")]);
        assert!(matches!(contents(&three, limits), Err(ArchiveFlaw::TooManyEntries(2))));
        let large = archive(&[deflated("a", &[0; 5001])]);
        assert!(matches!(contents(&large, limits), Err(ArchiveFlaw::TooLarge(5000))));
        let lying = Made { bytes: 10, ..deflated("a", &[0; 5001]) };
        assert!(matches!(contents(&archive(&[lying]), limits).unwrap()[0].1, Err(EntryFlaw::Damaged)));
        let wide = ArchiveLimits { directory_bytes: 60, ..ArchiveLimits::default() };
        assert!(matches!(contents(&three, wide), Err(ArchiveFlaw::LargeDirectory(60))));
    }

    #[test]
    fn bombs_are_seen_while_they_go_off() {
        let megabytes = 80_u32 << 20;
        let zeros = vec![0; megabytes as usize];
        assert!(matches!(read(&archive(&[deflated("a", &zeros)])), Err(ArchiveFlaw::Bomb(100))));
        let small = vec![0; 8 << 20];
        let many: Vec<_> = (0..10).map(|_| deflated("a", &small)).collect();
        assert!(matches!(read(&archive(&many)), Err(ArchiveFlaw::Bomb(100))), "also in small pieces");
        assert!(read(&archive(&[deflated("black", &small)])).unwrap()[0].1.is_ok(), "a black image is none");
    }
}
