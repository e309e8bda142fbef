//! How a pack looks inside: a head, then records that begin at multiples of [`BLOCK_BYTES`].
//!
//! A record is a head of [`HEAD_BYTES`], the object's bytes, and zeros up to the next block. Its head names the pack by the random id that
//! the pack's own head carries, so nothing inside an object can pass for a record. What was being written when the power went is a
//! gap; whoever walks a pack steps over it.

use domain::{digest::Sha256Digest, object::ObjectKey};
use uuid::Uuid;

use super::OBJECT_BYTES_MAX;
use crate::file::sums::{SUM_BYTES, Sums};

/// What records are aligned to: the block of the filesystems and disks that direct writes meet.
pub(super) const BLOCK_BYTES: u64 = 4096;

/// Bytes of a record before its object.
pub(super) const HEAD_BYTES: usize = 512;

const MAGIC: &[u8; 8] = b"TLRDREC1";
const KEY_AT: usize = 42;
/// The head's own checksum is its end.
const SEAL_AT: usize = HEAD_BYTES - 8;
/// Most sums of a record: those of the largest object and its head.
const SUMS_MAX: usize = (HEAD_BYTES + OBJECT_BYTES_MAX).div_ceil(SUM_BYTES);
const SUMS_AT: usize = SEAL_AT - 4 * SUMS_MAX;
/// Says that sums follow. Records without them, which were written before there were any, have zeros here.
const SUMS_MARK: &[u8; 2] = b"C1";
const SUMS_MARK_AT: usize = SUMS_AT - SUMS_MARK.len();

/// The head of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the object.
    pub object_bytes: u64,
    /// Which object.
    pub key: ObjectKey,
    /// The sums of the record behind its head, where it has some.
    pub sums: Option<Sums>,
}

impl Head {
    /// Bytes from the start of the record to the next one.
    pub(super) const fn record_bytes(&self) -> u64 {
        (HEAD_BYTES as u64 + self.object_bytes).next_multiple_of(BLOCK_BYTES)
    }

    /// The head's bytes, at a place in a pack; `None` when the key is too long, which no key is.
    pub(super) fn to_bytes(&self, pack: Uuid, at: u64) -> Option<[u8; HEAD_BYTES]> {
        let key = self.key.as_str().as_bytes();
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(pack.as_bytes());
        bytes[24..32].copy_from_slice(&at.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.object_bytes.to_le_bytes());
        bytes[40..42].copy_from_slice(&u16::try_from(key.len()).ok()?.to_le_bytes());
        bytes[KEY_AT..SUMS_MARK_AT].get_mut(..key.len())?.copy_from_slice(key);
        if let Some(Sums(sums)) = &self.sums {
            bytes[SUMS_MARK_AT..SUMS_AT].copy_from_slice(SUMS_MARK);
            let places = bytes[SUMS_AT..SEAL_AT].chunks_exact_mut(4);
            places.zip(sums).for_each(|(place, sum)| place.copy_from_slice(&sum.to_le_bytes()));
        }
        let seal = seal(&bytes);
        bytes[SEAL_AT..].copy_from_slice(&seal);
        Some(bytes)
    }

    /// Reads a head; `None` when there is none at this place of this pack.
    pub(super) fn read(bytes: &[u8; HEAD_BYTES], pack: Uuid, at: u64) -> Option<Self> {
        let number = |from: usize| bytes[from..from + 8].try_into().map_or(0, u64::from_le_bytes);
        if &bytes[..8] != MAGIC
            || bytes[8..24] != *pack.as_bytes()
            || number(24) != at
            || bytes[SEAL_AT..] != seal(bytes)
        {
            return None;
        }
        let length = usize::from(u16::from_le_bytes([bytes[40], bytes[41]]));
        let key = bytes[KEY_AT..SUMS_MARK_AT].get(..length)?;
        let key = std::str::from_utf8(key).ok().and_then(ObjectKey::parse)?;
        let object_bytes = number(32);
        let is_summed = bytes[SUMS_MARK_AT..SUMS_AT] == *SUMS_MARK;
        let count = usize::try_from(Sums::count(HEAD_BYTES as u64 + object_bytes)).unwrap_or(usize::MAX);
        let sum = |place: &[u8]| place.try_into().map_or(0, u32::from_le_bytes);
        let sums =
            is_summed.then(|| Sums(bytes[SUMS_AT..SEAL_AT].chunks_exact(4).take(count).map(sum).collect()));
        Some(Self { object_bytes, key, sums })
    }
}

fn seal(head: &[u8; HEAD_BYTES]) -> [u8; 8] {
    let digest = Sha256Digest::of(&head[..SEAL_AT]);
    let mut seal = [0; 8];
    seal.copy_from_slice(&digest.as_bytes()[..8]);
    seal
}

/// The first block of a pack, which says to a person what it is.
pub(super) fn pack_head(pack: Uuid) -> Vec<u8> {
    let text = format!(
        "telerad pack 1 {}\nEach record begins at a multiple of {BLOCK_BYTES} bytes: a head of {HEAD_BYTES} bytes with the\n\
         object's name and size, then the object, a DICOM file. `telerad rebuild` reads packs.\n",
        pack.simple()
    );
    let mut block = text.into_bytes();
    block.resize(usize::try_from(BLOCK_BYTES).unwrap_or_default(), 0);
    block
}

/// Whether a pack's first block is that of this pack.
pub(super) fn is_head_of(block: &[u8], pack: Uuid) -> bool {
    block.starts_with(format!("telerad pack 1 {}\n", pack.simple()).as_bytes())
}

#[cfg(test)]
mod tests {
    use domain::{
        id::CentreId,
        object::ObjectName,
        uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid},
    };

    use super::*;

    fn head() -> Head {
        let long = format!("1.{}", "2".repeat(62));
        let name = ObjectName::Instance {
            centre: CentreId::parse(&"c".repeat(40)).unwrap(),
            study: StudyInstanceUid::parse(&long).unwrap(),
            series: SeriesInstanceUid::parse(&long).unwrap(),
            instance: SopInstanceUid::parse(&long).unwrap(),
            sha256: Sha256Digest::of(b"x"),
        };
        Head { object_bytes: 4000, key: name.key(), sums: None }
    }

    #[test]
    fn the_longest_key_fits_and_reads_back() {
        let (head, pack) = (head(), Uuid::from_u128(7));
        let bytes = head.to_bytes(pack, 8192).unwrap();
        assert_eq!(Head::read(&bytes, pack, 8192), Some(head.clone()));
        assert_eq!(head.record_bytes(), 8192);
        assert_eq!(Head { object_bytes: 4096 - 512, ..head.clone() }.record_bytes(), 4096);
        for object_bytes in [1, SUM_BYTES as u64 - 512, SUM_BYTES as u64, OBJECT_BYTES_MAX as u64] {
            let count = u32::try_from(Sums::count(512 + object_bytes)).unwrap();
            let sums = Some(Sums((0..count).map(|number| u32::MAX - number).collect()));
            let head = Head { object_bytes, sums, ..head.clone() };
            assert_eq!(Head::read(&head.to_bytes(pack, 4096).unwrap(), pack, 4096), Some(head));
        }
    }

    #[test]
    fn a_head_belongs_to_its_place_and_every_bit_counts() {
        let (head, pack) = (head(), Uuid::from_u128(7));
        let bytes = head.to_bytes(pack, 8192).unwrap();
        assert_eq!(Head::read(&bytes, pack, 4096), None);
        assert_eq!(Head::read(&bytes, Uuid::from_u128(8), 8192), None);
        for at in 0..HEAD_BYTES {
            let mut wrong = bytes;
            wrong[at] ^= 1;
            assert_eq!(Head::read(&wrong, pack, 8192), None, "byte {at}");
        }
        assert_eq!(Head::read(&[0; HEAD_BYTES], pack, 8192), None);
    }

    #[test]
    fn a_pack_says_which_one_it_is() {
        let pack = Uuid::from_u128(7);
        let block = pack_head(pack);
        assert_eq!(block.len() as u64, BLOCK_BYTES);
        assert!(is_head_of(&block, pack) && !is_head_of(&block, Uuid::from_u128(8)));
    }
}
