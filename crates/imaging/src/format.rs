//! How the samples of a frame are to be read (PS3.3 section C.7.6.3): their shape, which bits count, and what they stand for. Bounds
//! what a
//! decoder may produce before it runs.

use dicom_core::Tag;

use crate::{
    frames::Shape,
    picture::{FRAME_BYTES_MAX, PictureError},
    syntax::Encoding,
    tree::{self, Tree},
};

/// Photometric Interpretation (0028,0004).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Photometric {
    Monochrome1,
    Monochrome2,
    Palette,
    Rgb,
    YbrFull,
    YbrFull422,
    YbrIct,
    YbrRct,
}

impl Photometric {
    fn of(text: &str, samples: u32) -> Result<Self, PictureError> {
        Ok(match (text, samples) {
            ("MONOCHROME1", 1) => Self::Monochrome1,
            ("PALETTE COLOR", 1) => Self::Palette,
            (_, 1) => Self::Monochrome2,
            ("YBR_FULL", 3) => Self::YbrFull,
            ("YBR_FULL_422", 3) => Self::YbrFull422,
            ("YBR_ICT", 3) => Self::YbrIct,
            ("YBR_RCT", 3) => Self::YbrRct,
            ("YBR_PARTIAL_420" | "YBR_PARTIAL_422", 3) => {
                return Err(PictureError::Unsupported("its colours are of a partial range"));
            }
            (_, 3) => Self::Rgb,
            _ => return Err(PictureError::Unsupported("it has neither one nor three samples a pixel")),
        })
    }

    /// The defined term.
    pub(crate) const fn term(self) -> &'static str {
        match self {
            Self::Monochrome1 => "MONOCHROME1",
            Self::Monochrome2 => "MONOCHROME2",
            Self::Palette => "PALETTE COLOR",
            Self::Rgb => "RGB",
            Self::YbrFull => "YBR_FULL",
            Self::YbrFull422 => "YBR_FULL_422",
            Self::YbrIct => "YBR_ICT",
            Self::YbrRct => "YBR_RCT",
        }
    }
}

/// How samples are to be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Format {
    pub(crate) shape: Shape,
    /// (0028,0101).
    pub(crate) stored: u32,
    /// (0028,0102).
    pub(crate) high_bit: u32,
    /// (0028,0103).
    pub(crate) signed: bool,
    /// (0028,0006): all of one sample, then all of the next.
    pub(crate) planar: bool,
    pub(crate) photometric: Photometric,
}

impl Format {
    pub(crate) fn read(header: &Tree) -> Result<Self, PictureError> {
        let shape = Shape::read(header)?;
        if shape.frame_bits() / 8 > FRAME_BYTES_MAX {
            return Err(PictureError::TooLarge);
        }
        let stored = tree::count(header, Tag(0x0028, 0x0101));
        // PS3.3 sections C.7.6.24 and C.7.6.25: floating point pixels have no BitsStored.
        if stored.is_none() && shape.bits_allocated >= 32 {
            return Err(PictureError::Unsupported("its samples are floating point numbers"));
        }
        let stored = stored.unwrap_or(shape.bits_allocated);
        let high_bit = tree::count(header, Tag(0x0028, 0x0102)).unwrap_or(stored.saturating_sub(1));
        if stored == 0
            || stored > shape.bits_allocated
            || high_bit >= shape.bits_allocated
            || high_bit + 1 < stored
        {
            return Err(PictureError::Mismatch("BitsStored and HighBit do not fit BitsAllocated"));
        }
        let photometric = tree::text(header, Tag(0x0028, 0x0004)).unwrap_or_default();
        Ok(Self {
            shape,
            stored,
            high_bit,
            signed: tree::count(header, Tag(0x0028, 0x0103)) == Some(1),
            planar: tree::count(header, Tag(0x0028, 0x0006)) == Some(1),
            photometric: Photometric::of(&photometric, shape.samples)?,
        })
    }

    /// Pixels of a frame; bounded by [`FRAME_BYTES_MAX`].
    pub(crate) const fn pixels(&self) -> usize {
        self.shape.rows as usize * self.shape.columns as usize
    }

    /// Samples of a frame whose colours are not halved.
    pub(crate) const fn samples(&self) -> usize {
        self.pixels() * self.shape.samples as usize
    }

    /// Bytes of one sample of at least eight bits.
    pub(crate) const fn sample_bytes(&self) -> usize {
        self.shape.bits_allocated as usize / 8
    }

    /// What a frame of one sample a pixel is read by.
    pub(crate) fn words(&self, encoding: Encoding) -> Result<Words, PictureError> {
        let size = self.sample_bytes().max(1);
        if size > 4 {
            return Err(PictureError::Unsupported("its samples have 64 bits"));
        }
        let mask = if self.stored >= 32 { u32::MAX } else { (1_u32 << self.stored) - 1 };
        Ok(Words { size, encoding, shift: self.high_bit + 1 - self.stored, mask })
    }

    /// The number that stored bits stand for.
    pub(crate) fn value(&self, bits: u32) -> i64 {
        let sign = 1_i64 << (self.stored - 1);
        let value = i64::from(bits);
        if self.signed && value & sign != 0 { value - (sign << 1) } else { value }
    }
}

/// Takes the stored bits out of samples of one, two or four bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) size: usize,
    encoding: Encoding,
    shift: u32,
    mask: u32,
}

impl Words {
    /// What a table has for the stored bits of each sample, of at most sixteen bits.
    pub(crate) fn look_up(&self, bytes: &[u8], table: &[u8]) -> Vec<u8> {
        let Self { size, encoding, shift, mask } = *self;
        if size != 2 || encoding.big_endian {
            let mut found = Vec::with_capacity(bytes.len() / size);
            self.each(bytes, |bits| found.push(table[bits as usize]));
            return found;
        }
        // As long as every index of sixteen bits can be: the loop then needs no look at its end.
        let mut all = vec![0; 1 << 16];
        all[..table.len()].copy_from_slice(table);
        let all: &[u8; 1 << 16] = all[..].try_into().expect("it was made so long");
        let (shift, mask) = (shift as u16, mask as u16);
        bytes
            .chunks_exact(2)
            .map(|b| all[usize::from(u16::from_le_bytes([b[0], b[1]]) >> shift & mask)])
            .collect()
    }

    /// The stored bits of each sample, as an index. The match stands outside of the loop, since this runs for every pixel.
    pub(crate) fn each(&self, bytes: &[u8], mut take: impl FnMut(u32)) {
        let Self { size, encoding, shift, mask } = *self;
        match size {
            1 => bytes.iter().for_each(|byte| take(u32::from(*byte) >> shift & mask)),
            2 if encoding.big_endian => bytes
                .chunks_exact(2)
                .for_each(|b| take(u32::from(u16::from_be_bytes([b[0], b[1]])) >> shift & mask)),
            2 => bytes
                .chunks_exact(2)
                .for_each(|b| take(u32::from(u16::from_le_bytes([b[0], b[1]])) >> shift & mask)),
            _ => bytes
                .chunks_exact(4)
                .for_each(|b| take(encoding.u32([b[0], b[1], b[2], b[3]]) >> shift & mask)),
        }
    }
}
