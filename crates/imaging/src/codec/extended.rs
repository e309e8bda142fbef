//! JPEG Extended with 12 bits (ISO/IEC 10918-1 processes 2 and 4; PS3.5 section 8.2.1): sequential DCT, Huffman coded. Written here,
//! since no
//! kept crate decodes it. Everything that it allocates is bounded by the size that the header gives; it reads no other process of JPEG.
//!
//! Section numbers are those of ISO/IEC 10918-1.

use std::{
    f32::consts::{FRAC_1_SQRT_2, PI},
    sync::LazyLock,
};

use crate::{format::Format, picture::PictureError};

/// Where the coefficients of a block stand in the order of the stream (figure A.6).
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];
/// The middle of twelve bits.
const MIDDLE: f32 = 2048.0;
/// The largest value of twelve bits.
const LARGEST: f32 = 4095.0;

/// Decodes a frame to samples of two bytes, little endian, pixel by pixel.
pub(super) fn decode(frame: &[u8], format: &Format) -> Result<Vec<u8>, PictureError> {
    let mut decoder = Decoder::default();
    decoder.read(frame, format).ok_or(PictureError::Mismatch("the 12-bit JPEG is broken"))?;
    let planes: Option<Vec<Vec<u16>>> =
        decoder.components.iter().map(|component| decoder.plane(component, format)).collect();
    let planes = planes.ok_or(PictureError::Mismatch("the 12-bit JPEG is broken"))?;
    let mut out = Vec::with_capacity(format.samples() * 2);
    for pixel in 0..format.pixels() {
        planes.iter().for_each(|plane| out.extend_from_slice(&plane[pixel].to_le_bytes()));
    }
    Ok(out)
}

#[derive(Default)]
struct Decoder {
    quantization: [Option<[f32; 64]>; 4],
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    components: Vec<Component>,
    restart_interval: usize,
    across_max: usize,
    down_max: usize,
}

/// One component of the frame (section B.2.2).
struct Component {
    id: u8,
    /// Horizontal and vertical sampling factors.
    across: usize,
    down: usize,
    table: usize,
    /// Blocks in a row of `samples`, padded to whole units.
    blocks: usize,
    samples: Vec<u16>,
    /// Whether its scan has been read.
    is_read: bool,
}

impl Decoder {
    /// Reads marker segments up to the end of the image (section B.2).
    fn read(&mut self, frame: &[u8], format: &Format) -> Option<()> {
        let mut at = 2;
        loop {
            while frame.get(at..at + 2)? == [0xFF, 0xFF] {
                at += 1;
            }
            let [0xFF, marker] = *frame.get(at..at + 2)? else { return None };
            if marker == 0xD9 {
                break;
            }
            let length = usize::from(u16::from_be_bytes(*frame.get(at + 2..)?.first_chunk()?));
            let segment = frame.get(at + 4..at + 2 + length)?;
            at += 2 + length;
            match marker {
                0xC0 | 0xC1 => self.frame_header(segment, format)?,
                0xC4 => self.huffman_tables(segment)?,
                0xDB => self.quantization_tables(segment)?,
                0xDD => self.restart_interval = usize::from(u16::from_be_bytes(*segment.first_chunk()?)),
                0xDA => at += self.scan(segment, frame.get(at..)?, format)?,
                _ => {}
            }
            let is_whole =
                !self.components.is_empty() && self.components.iter().all(|component| component.is_read);
            if is_whole {
                break;
            }
        }
        self.components.iter().all(|component| component.is_read).then_some(())
    }

    fn frame_header(&mut self, segment: &[u8], format: &Format) -> Option<()> {
        let count = usize::from(*segment.get(5)?);
        if !self.components.is_empty() || count != format.shape.samples as usize {
            return None;
        }
        let specified = segment.get(6..6 + 3 * count)?.chunks_exact(3);
        let mut parts: Vec<(u8, usize, usize, usize)> = Vec::new();
        for part in specified {
            let (across, down) = (usize::from(part[1] >> 4), usize::from(part[1] & 15));
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) || part[2] > 3 {
                return None;
            }
            parts.push((part[0], across, down, usize::from(part[2])));
        }
        self.across_max = parts.iter().map(|part| part.1).max()?;
        self.down_max = parts.iter().map(|part| part.2).max()?;
        let (units_across, units_down) = self.units(format);
        for (id, across, down, table) in parts {
            let blocks = units_across * across;
            let samples = vec![0; blocks * 8 * units_down * down * 8];
            self.components.push(Component { id, across, down, table, blocks, samples, is_read: false });
        }
        Some(())
    }

    /// Interleaved units across and down (section A.2.4).
    fn units(&self, format: &Format) -> (usize, usize) {
        let (columns, rows) = (format.shape.columns as usize, format.shape.rows as usize);
        (columns.div_ceil(8 * self.across_max.max(1)), rows.div_ceil(8 * self.down_max.max(1)))
    }

    fn quantization_tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [head, rest @ ..] = segment {
            let wide = usize::from(head >> 4 != 0) + 1;
            let values = rest.get(..64 * wide)?;
            let mut table = [0.0; 64];
            for (place, value) in ZIGZAG.iter().zip(values.chunks_exact(wide)) {
                table[*place] = value.iter().fold(0.0, |sum, byte| sum * 256.0 + f32::from(*byte));
            }
            *self.quantization.get_mut(usize::from(head & 15))? = Some(table);
            segment = rest.get(64 * wide..)?;
        }
        Some(())
    }

    fn huffman_tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [head, rest @ ..] = segment {
            let lengths: &[u8; 16] = rest.first_chunk()?;
            let count = lengths.iter().map(|length| usize::from(*length)).sum::<usize>();
            let values = rest.get(16..16 + count)?;
            let tables = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *tables.get_mut(usize::from(head & 15))? = Some(Huffman::new(lengths, values)?);
            segment = rest.get(16 + count..)?;
        }
        Some(())
    }

    /// Decodes a scan (section B.2.3); gives the bytes that its entropy-coded segments took.
    fn scan(&mut self, segment: &[u8], data: &[u8], format: &Format) -> Option<usize> {
        let count = usize::from(*segment.first()?);
        let mut parts = Vec::new();
        for part in segment.get(1..1 + 2 * count)?.chunks_exact(2) {
            let index = self.components.iter().position(|component| component.id == part[0])?;
            let (dc, ac) = (usize::from(part[1] >> 4), usize::from(part[1] & 15));
            if self.components[index].is_read || dc > 3 || ac > 3 {
                return None;
            }
            parts.push((index, dc, ac));
        }
        let mut bits = Bits { data, at: 0, held: 0, count: 0 };
        let mut last_dc = [0_i32; 4];
        let (units, blocks_across) = self.scan_units(&parts, format)?;
        for unit in 0..units {
            if self.restart_interval > 0 && unit > 0 && unit % self.restart_interval == 0 {
                bits.restart()?;
                last_dc = [0; 4];
            }
            let (row, column) = (unit / blocks_across, unit % blocks_across);
            for &(index, dc, ac) in &parts {
                let (across, down) = match parts.len() {
                    1 => (1, 1),
                    _ => (self.components[index].across, self.components[index].down),
                };
                for block in 0..across * down {
                    let place = (row * down + block / across, column * across + block % across);
                    self.block(&mut bits, index, (dc, ac), &mut last_dc[index], place)?;
                }
            }
        }
        parts.iter().for_each(|(index, ..)| self.components[*index].is_read = true);
        Some(bits.at)
    }

    /// How many units a scan has, and how many stand in a row: of one component, blocks that hold pixels (section A.2.2).
    fn scan_units(&self, parts: &[(usize, usize, usize)], format: &Format) -> Option<(usize, usize)> {
        let first = self.components.get(parts.first()?.0)?;
        if parts.len() > 1 {
            let (across, down) = self.units(format);
            return Some((across * down, across));
        }
        let blocks =
            |pixels: u32, factor: usize, most: usize| (pixels as usize * factor).div_ceil(most).div_ceil(8);
        let across = blocks(format.shape.columns, first.across, self.across_max);
        let down = blocks(format.shape.rows, first.down, self.down_max);
        Some((across * down, across))
    }

    /// Decodes one block (sections F.2.1 and F.2.2) into its place, by row and column of blocks.
    fn block(
        &mut self,
        bits: &mut Bits<'_>,
        index: usize,
        (dc, ac): (usize, usize),
        last_dc: &mut i32,
        (row, column): (usize, usize),
    ) -> Option<()> {
        let component = self.components.get_mut(index)?;
        let quantization = self.quantization.get(component.table)?.as_ref()?;
        let (dc, ac) = (self.dc[dc].as_ref()?, self.ac[ac].as_ref()?);
        let mut coefficients = [0.0_f32; 64];
        let size = dc.decode(bits)?;
        *last_dc = last_dc.wrapping_add(bits.extended(size)?);
        coefficients[0] = *last_dc as f32 * quantization[0];
        let mut k = 1;
        while k < 64 {
            let run = ac.decode(bits)?;
            let (zeros, size) = (usize::from(run >> 4), run & 15);
            if size == 0 {
                if zeros < 15 {
                    break;
                }
                k += 16;
                continue;
            }
            k += zeros;
            let place = *ZIGZAG.get(k)?;
            coefficients[place] = bits.extended(size)? as f32 * quantization[place];
            k += 1;
        }
        let stride = component.blocks * 8;
        for (y, line) in inverse(&coefficients).chunks_exact(8).enumerate() {
            let start = (row * 8 + y) * stride + column * 8;
            component.samples.get_mut(start..start + 8)?.copy_from_slice(line);
        }
        Some(())
    }

    /// The samples of a component, one for each pixel; fewer ones are repeated.
    fn plane(&self, component: &Component, format: &Format) -> Option<Vec<u16>> {
        let (columns, rows) = (format.shape.columns as usize, format.shape.rows as usize);
        let stride = component.blocks * 8;
        let mut plane = Vec::with_capacity(columns * rows);
        for y in 0..rows {
            let line = component.samples.get(y * component.down / self.down_max * stride..)?;
            for x in 0..columns {
                plane.push(*line.get(x * component.across / self.across_max)?);
            }
        }
        Some(plane)
    }
}

/// A table of codes (section C.2 and figure F.16).
struct Huffman {
    /// For each length: the first code, one past the last, and where their values begin.
    codes: [(i32, i32, usize); 17],
    values: Vec<u8>,
}

impl Huffman {
    fn new(lengths: &[u8; 16], values: &[u8]) -> Option<Self> {
        let mut codes = [(0, 0, 0); 17];
        let (mut code, mut at) = (0_i32, 0);
        for (length, count) in (1..=16).zip(lengths) {
            let count = usize::from(*count);
            codes[length] = (code, code + count as i32, at);
            code += count as i32;
            at += count;
            if code > 1 << length {
                return None;
            }
            code <<= 1;
        }
        Some(Self { codes, values: values.to_vec() })
    }

    fn decode(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let mut code = 0;
        for (first, end, at) in &self.codes[1..] {
            code = code << 1 | bits.take(1)?;
            if code < *end && code >= *first {
                return self.values.get(at + (code - first) as usize).copied();
            }
        }
        None
    }
}

/// The bits of an entropy-coded segment (section F.2.2.5).
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    held: u32,
    count: u32,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<i32> {
        while self.count < count {
            let byte = match self.data.get(self.at..)? {
                [0xFF, 0x00, ..] => {
                    self.at += 2;
                    0xFF
                }
                // A marker: the segment is over.
                [0xFF, ..] | [] => return None,
                [byte, ..] => {
                    self.at += 1;
                    *byte
                }
            };
            self.held = self.held << 8 | u32::from(byte);
            self.count += 8;
        }
        self.count -= count;
        Some((self.held >> self.count & ((1 << count) - 1)) as i32)
    }

    /// A number of so many bits, with its sign (figures F.12 and F.17).
    fn extended(&mut self, size: u8) -> Option<i32> {
        if size == 0 {
            return Some(0);
        }
        if size > 16 {
            return None;
        }
        let value = self.take(u32::from(size))?;
        Some(if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value })
    }

    /// Steps over a restart marker (section F.2.2.5).
    fn restart(&mut self) -> Option<()> {
        (self.held, self.count) = (0, 0);
        let ahead = self.data.get(self.at..)?;
        let marker = ahead.windows(2).position(|two| two[0] == 0xFF && matches!(two[1], 0xD0..=0xD7))?;
        self.at += marker + 2;
        Some(())
    }
}

/// cos((2x + 1) u pi / 16), with C(u) and the half of each direction, by x and u.
static BASIS: LazyLock<[[f32; 8]; 8]> = LazyLock::new(|| {
    let basis = |x: usize, u: usize| {
        let scale = if u == 0 { FRAC_1_SQRT_2 } else { 1.0 };
        0.5 * scale * ((2 * x + 1) as f32 * u as f32 * PI / 16.0).cos()
    };
    std::array::from_fn(|x| std::array::from_fn(|u| basis(x, u)))
});

/// The inverse transform (section A.3.3), with the middle of the range put back.
fn inverse(coefficients: &[f32; 64]) -> [u16; 64] {
    let table = &*BASIS;
    let mut rows = [0.0_f32; 64];
    for v in 0..8 {
        let line = &coefficients[v * 8..v * 8 + 8];
        for x in 0..8 {
            rows[v * 8 + x] = line.iter().zip(&table[x]).map(|(value, basis)| value * basis).sum();
        }
    }
    std::array::from_fn(|at| {
        let (x, y) = (at % 8, at / 8);
        let sum: f32 = (0..8).map(|v| rows[v * 8 + x] * table[y][v]).sum();
        (sum + MIDDLE).round().clamp(0.0, LARGEST) as u16
    })
}
