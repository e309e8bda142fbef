//! RLE Lossless (PS3.5 annex G): one frame to its samples, and back. Bounded by the shape that the header gives, whatever the stream
//! says.

use crate::{format::Format, picture::PictureError};

/// Bytes of the header of a frame: the number of segments and fifteen places (PS3.5 section G.5).
const HEADER_BYTES: usize = 64;
/// Most segments of a frame.
const SEGMENTS_MAX: usize = 15;
/// Most bytes that one control byte stands for.
const RUN_MAX: usize = 128;

/// Decodes a frame to samples, pixel by pixel.
pub(super) fn decode(frame: &[u8], format: &Format) -> Result<Vec<u8>, PictureError> {
    unpacked(frame, format.pixels(), format.shape.samples as usize, format.sample_bytes())
        .ok_or(PictureError::Mismatch("the compressed image does not hold what the header says"))
}

/// Encodes a frame of plain samples, pixel by pixel. Each row of each segment is packed alone (PS3.5 section G.3.1).
pub(super) fn encode(native: &[u8], format: &Format) -> Result<Vec<u8>, PictureError> {
    let (bytes, samples) = (format.sample_bytes(), format.shape.samples as usize);
    let (segments, columns) = (bytes * samples, format.shape.columns as usize);
    if segments == 0 || segments > SEGMENTS_MAX {
        return Err(PictureError::Unsupported("its samples have too many bits for RLE"));
    }
    let mut head = vec![u32::try_from(segments).unwrap_or(0)];
    let mut packed = Vec::new();
    let mut row = Vec::with_capacity(columns);
    for segment in 0..segments {
        head.push(u32::try_from(HEADER_BYTES + packed.len()).map_err(|_| PictureError::TooLarge)?);
        // Segments go from the most significant byte of the first sample on (PS3.5 section G.2).
        let place = segment / bytes * bytes + (bytes - 1 - segment % bytes);
        for line in native.chunks_exact(columns * segments) {
            row.clear();
            row.extend(line.iter().skip(place).step_by(segments));
            pack(&row, &mut packed);
        }
        if packed.len() % 2 == 1 {
            packed.push(0);
        }
    }
    head.resize(HEADER_BYTES / 4, 0);
    let mut out: Vec<u8> = head.into_iter().flat_map(u32::to_le_bytes).collect();
    out.append(&mut packed);
    Ok(out)
}

/// Packs a row: runs of two and more as such, everything else literally (PS3.5 section G.3.1).
fn pack(row: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < row.len() {
        let run = row[at..].iter().take(RUN_MAX).take_while(|value| **value == row[at]).count();
        if run > 1 {
            out.extend([(257 - run) as u8, row[at]]);
            at += run;
            continue;
        }
        let rest = &row[at..];
        // A literal ends where a run of three begins: shorter ones cost as much alone.
        let ends =
            rest.windows(3).take(RUN_MAX).position(|three| three[0] == three[1] && three[1] == three[2]);
        let literal = ends.unwrap_or(rest.len()).clamp(1, RUN_MAX);
        out.push((literal - 1) as u8);
        out.extend_from_slice(&rest[..literal]);
        at += literal;
    }
}

/// Decodes a frame of `pixels` pixels with `samples` samples of `bytes` bytes each. Gives samples little endian, by pixel; `None` when
/// the
/// stream does not hold them.
fn unpacked(frame: &[u8], pixels: usize, samples: usize, bytes: usize) -> Option<Vec<u8>> {
    let segments = samples.checked_mul(bytes)?;
    let entry = |index: usize| {
        let four = frame.get(index * 4..index * 4 + 4)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*four)).ok()
    };
    if segments == 0 || segments > SEGMENTS_MAX || entry(0)? != segments {
        return None;
    }
    let mut out = vec![0; pixels.checked_mul(segments)?];
    for segment in 0..segments {
        let start = entry(segment + 1)?;
        let end = if segment + 1 == segments { frame.len() } else { entry(segment + 2)? };
        if start < HEADER_BYTES || end < start {
            return None;
        }
        // Segments go from the most significant byte of the first sample on (PS3.5 section G.2).
        let (sample, byte) = (segment / bytes, bytes - 1 - segment % bytes);
        let places = out.iter_mut().skip(sample * bytes + byte).step_by(segments);
        unpack(frame.get(start..end)?, places, pixels)?;
    }
    Some(out)
}

/// Writes what a segment stands for into as many places; what it holds beyond them is padding.
fn unpack<'a>(segment: &[u8], mut places: impl Iterator<Item = &'a mut u8>, mut left: usize) -> Option<()> {
    let mut at = 0;
    while left > 0 {
        let control = *segment.get(at)?;
        at += 1;
        match control {
            0..=127 => {
                let run = usize::from(control) + 1;
                let literal = segment.get(at..at + run.min(left))?;
                literal.iter().zip(&mut places).for_each(|(value, place)| *place = *value);
                left -= literal.len();
                at += run;
            }
            128 => {}
            129..=255 => {
                let run = (257 - usize::from(control)).min(left);
                let value = *segment.get(at)?;
                places.by_ref().take(run).for_each(|place| *place = value);
                left -= run;
                at += 1;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(segments: &[&[u8]]) -> Vec<u8> {
        let mut head = vec![segments.len() as u32];
        let mut at = HEADER_BYTES as u32;
        for segment in segments {
            head.push(at);
            at += segment.len() as u32;
        }
        head.resize(16, 0);
        [head.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>(), segments.concat()].concat()
    }

    #[test]
    fn samples_come_little_endian_and_by_pixel() {
        // The encoded example of a run of three and a literal of two, in 16 bits: high bytes first.
        let sixteen = frame(&[&[0xFE, 0x01, 0x01, 0x02, 0x03], &[0x04, 1, 2, 3, 4, 5, 0]]);
        assert_eq!(unpacked(&sixteen, 5, 1, 2).unwrap(), [1, 1, 2, 1, 3, 1, 4, 2, 5, 3]);
        let colour = frame(&[&[0xFF, 9, 128, 0], &[0x01, 7, 8, 0], &[0xFF, 5]]);
        assert_eq!(unpacked(&colour, 2, 3, 1).unwrap(), [9, 7, 5, 9, 8, 5]);
    }

    #[test]
    fn what_the_stream_does_not_hold_is_refused() {
        let literal_beyond = frame(&[&[0x7F, 1]]);
        let run_without_value = frame(&[&[0xFE]]);
        let mut backwards = frame(&[&[0xFF, 1], &[0xFF, 1]]);
        backwards[8..12].copy_from_slice(&10_u32.to_le_bytes());
        for (name, frame, samples, bytes) in [
            ("a literal beyond the end", literal_beyond.as_slice(), 1, 1),
            ("a run without its value", &run_without_value, 1, 1),
            ("no header", &[1, 0, 0], 1, 1),
            ("another number of segments", &frame(&[&[0xFF, 1]]), 1, 2),
            ("segments that run backwards", &backwards, 1, 2),
            ("sixteen segments", &frame(&[&[0xFF, 1]]), 4, 4),
        ] {
            assert_eq!(unpacked(frame, 2, samples, bytes), None, "{name}");
        }
        assert_eq!(unpacked(&frame(&[&[0xFF, 1]]), 2, 1, 1).unwrap(), [1, 1]);
    }
}
