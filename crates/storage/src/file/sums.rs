//! Sums of a record in a pack: CRC-32C of each run of [`SUM_BYTES`], made while an object arrives and compared whenever it is read.
//!
//! They find what a disk, a cable or memory changed, in any part of an object that is read, for a tenth of what SHA-256 costs. They are no
//! proof against a person: that is the SHA-256 in the object's key, which commitment, scrub and `telerad verify` compare (decision 22).

use std::ops::Range;

use crc_fast::{CrcAlgorithm, Digest};

/// Bytes that one sum covers, counted from the start of a record. The first covers fewer: not the record's own head.
pub(super) const SUM_BYTES: usize = 128 * 1024;

/// CRC-32C, with the polynomial of iSCSI (RFC 3720 section 12.1).
const ALGORITHM: CrcAlgorithm = CrcAlgorithm::Crc32Iscsi;

/// Sums as bytes arrive, however they are cut.
#[derive(Debug)]
pub(super) struct Summing {
    done: Vec<u32>,
    running: Digest,
    /// Where the next byte stands, counted from the start of the record.
    at: usize,
}

/// The sums of a record, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sums(pub(super) Vec<u32>);

impl Summing {
    /// Begins at the first byte behind a record's head.
    pub(super) fn new(head_bytes: usize) -> Self {
        Self { done: Vec::new(), running: Digest::new(ALGORITHM), at: head_bytes }
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(SUM_BYTES - self.at % SUM_BYTES));
            self.running.update(now);
            self.at += now.len();
            if self.at.is_multiple_of(SUM_BYTES) {
                self.done.push(low(self.running.finalize_reset()));
            }
            bytes = later;
        }
    }

    /// The sums of what came.
    pub(super) fn finish(mut self) -> Sums {
        if !self.at.is_multiple_of(SUM_BYTES) {
            self.done.push(low(self.running.finalize()));
        }
        Sums(self.done)
    }
}

impl Sums {
    /// How many sums a record has whose head and object are so long.
    pub(super) const fn count(record_bytes: u64) -> u64 {
        record_bytes.div_ceil(SUM_BYTES as u64)
    }

    /// The smallest range of an object that has a given range of it and that sums cover, of an object behind a head.
    pub(super) fn covering(range: Range<u64>, head_bytes: u64, object_bytes: u64) -> Range<u64> {
        let step = SUM_BYTES as u64;
        let start = (range.start + head_bytes) / step * step;
        let end = (range.end + head_bytes).next_multiple_of(step) - head_bytes;
        start.saturating_sub(head_bytes)..end.min(object_bytes)
    }

    /// Whether bytes are those that were summed: they begin at `start` of the object and are covered, as [`Self::covering`] says.
    pub(super) fn hold(&self, start: u64, head_bytes: u64, bytes: &[u8]) -> bool {
        let step = SUM_BYTES as u64;
        let mut at = start + head_bytes;
        let mut rest = bytes;
        while !rest.is_empty() {
            let Ok(number) = usize::try_from(at / step) else { return false };
            let run = usize::try_from(step - at % step).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(run);
            if self.0.get(number) != Some(&low(crc_fast::checksum(ALGORITHM, now))) {
                return false;
            }
            at += run as u64;
            rest = later;
        }
        true
    }
}

/// A sum of 32 bits, out of the 64 that the library gives.
fn low(sum: u64) -> u32 {
    u32::try_from(sum & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: u64 = 512;

    fn object(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
    }

    fn sums(bytes: &[u8], piece: usize) -> Sums {
        let mut summing = Summing::new(512);
        bytes.chunks(piece).for_each(|piece| summing.push(piece));
        summing.finish()
    }

    #[test]
    fn the_sum_is_the_one_of_the_standard() {
        // RFC 3720 appendix B.4: 32 bytes of zeros, and of 0 to 31.
        assert_eq!(crc_fast::checksum(ALGORITHM, &[0; 32]), 0x8A91_36AA);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc_fast::checksum(ALGORITHM, &rising), 0x46DD_794E);
    }

    #[test]
    fn sums_do_not_depend_on_the_cut_and_find_every_change() {
        for length in [1, 100, SUM_BYTES - 512, SUM_BYTES - 511, 3 * SUM_BYTES + 7] {
            let mut bytes = object(length);
            let sums = sums(&bytes, 1 << 20);
            assert_eq!(sums.0.len() as u64, Sums::count(512 + length as u64), "{length}");
            assert_eq!(sums, self::sums(&bytes, 4_097), "{length}");
            assert!(sums.hold(0, HEAD, &bytes), "{length}");
            for at in [0, length / 2, length - 1] {
                bytes[at] ^= 0x10;
                assert!(!sums.hold(0, HEAD, &bytes), "{length}, byte {at}");
                bytes[at] ^= 0x10;
            }
        }
    }

    #[test]
    fn a_range_is_widened_to_what_sums_cover() {
        let bytes = object(3 * SUM_BYTES + 7);
        let (sums, all) = (sums(&bytes, 999), bytes.len() as u64);
        let step = SUM_BYTES as u64;
        for (range, expected) in [
            (0..1, 0..step - HEAD),
            (step - HEAD - 1..step - HEAD, 0..step - HEAD),
            (step - HEAD..step - HEAD + 1, step - HEAD..2 * step - HEAD),
            (10..step, 0..2 * step - HEAD),
            (3 * step..all, 3 * step - HEAD..all),
        ] {
            let covering = Sums::covering(range.clone(), HEAD, all);
            assert_eq!(covering, expected, "{range:?}");
            let part = &bytes[covering.start as usize..covering.end as usize];
            assert!(sums.hold(covering.start, HEAD, part), "{range:?}");
            assert!(!sums.hold(covering.start, HEAD, &part[1..]), "{range:?}");
        }
        assert!(!sums.hold(4 * step, HEAD, b"more than was summed"));
    }
}
