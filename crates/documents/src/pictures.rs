//! Key images before they meet the page: decoded here, as PNG and nothing else, into plain 8 bit samples, so
//! that no other decoder sees bytes from outside. Not a scaler: the page decides the size.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader, Limits};

use crate::renderer::RenderError;
use crate::sheet::KeyImage;

/// Most key images on one sheet.
pub const MAX_KEY_IMAGES: usize = 24;
/// Largest PNG file, in bytes: a screenful of noise stays below.
pub const MAX_KEY_IMAGE_BYTES: usize = 16 << 20;
/// Longest side of a key image, in pixels: four times what the column shows at 300 dpi.
pub const MAX_KEY_IMAGE_SIDE: u32 = 4_096;
/// Most pixels of all key images together: about 200 MB of samples at three bytes each.
pub const MAX_KEY_IMAGES_PIXELS: u64 = 64 << 20;

/// Memory that the decoder of one image may take, in bytes: the largest image at 16 bit RGBA.
const MAX_DECODER_BYTES: u64 = 8 * (MAX_KEY_IMAGE_SIDE as u64) * (MAX_KEY_IMAGE_SIDE as u64);

/// A decoded picture: rows from the top, no padding.
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) samples: Samples,
}

/// 8 bit samples.
pub(crate) enum Samples {
    /// One byte per pixel.
    Grey(Vec<u8>),
    /// Three bytes per pixel.
    Colour(Vec<u8>),
}

/// Decodes all, within the limits.
pub(crate) fn decode_all(images: &[KeyImage]) -> Result<Vec<Picture>, RenderError> {
    if images.len() > MAX_KEY_IMAGES {
        return Err(RenderError::TooMany { what: "key images", limit: MAX_KEY_IMAGES });
    }
    let mut pixels = 0;
    let mut pictures = Vec::with_capacity(images.len());
    for (index, image) in images.iter().enumerate() {
        let number = index + 1;
        if image.png.len() > MAX_KEY_IMAGE_BYTES {
            return Err(RenderError::KeyImageTooLarge { number, limit: MAX_KEY_IMAGE_BYTES });
        }
        let (width, height) = reader(&image.png)
            .into_dimensions()
            .map_err(|source| RenderError::DecodeKeyImage { number, source })?;
        pixels += u64::from(width) * u64::from(height);
        if pixels > MAX_KEY_IMAGES_PIXELS {
            return Err(RenderError::TooManyPixels { limit: MAX_KEY_IMAGES_PIXELS });
        }
        let decoded =
            reader(&image.png).decode().map_err(|source| RenderError::DecodeKeyImage { number, source })?;
        pictures.push(flatten(decoded));
    }
    Ok(pictures)
}

fn reader(png: &[u8]) -> ImageReader<Cursor<&[u8]>> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_KEY_IMAGE_SIDE);
    limits.max_image_height = Some(MAX_KEY_IMAGE_SIDE);
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(png), ImageFormat::Png);
    reader.limits(limits);
    reader
}

/// Transparent pixels fall on black, as they do in a viewer.
fn flatten(decoded: DynamicImage) -> Picture {
    let (width, height) = (decoded.width(), decoded.height());
    let colour = decoded.color().has_color();
    let samples = match (colour, decoded.color().has_alpha()) {
        (false, false) => Samples::Grey(decoded.into_luma8().into_raw()),
        (true, false) => Samples::Colour(decoded.into_rgb8().into_raw()),
        (false, true) => {
            let pixels = decoded.into_luma_alpha8();
            Samples::Grey(pixels.pixels().map(|pixel| on_black(pixel.0[0], pixel.0[1])).collect())
        }
        (true, true) => {
            let pixels = decoded.into_rgba8();
            Samples::Colour(
                pixels
                    .pixels()
                    .flat_map(|pixel| {
                        let [red, green, blue, alpha] = pixel.0;
                        [on_black(red, alpha), on_black(green, alpha), on_black(blue, alpha)]
                    })
                    .collect(),
            )
        }
    };
    Picture { width, height, samples }
}

fn on_black(sample: u8, alpha: u8) -> u8 {
    let scaled = u32::from(sample) * u32::from(alpha) + 127;
    u8::try_from(scaled / 255).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(picture: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).expect("encoded");
        bytes.into_inner()
    }

    fn key(png: Vec<u8>) -> KeyImage {
        KeyImage { png, caption: String::new() }
    }

    #[test]
    fn sixteen_bit_grey_keeps_its_upper_byte_and_transparency_falls_on_black() {
        let deep = DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(2, 1, image::Luma([0xFFFF])));
        let clear =
            DynamicImage::ImageRgba8(image::RgbaImage::from_pixel(1, 1, image::Rgba([200, 100, 50, 0])));
        let pictures = decode_all(&[key(png(&deep)), key(png(&clear))]).expect("decoded");
        assert!(matches!(&pictures[0].samples, Samples::Grey(samples) if samples == &[255, 255]));
        assert!(matches!(&pictures[1].samples, Samples::Colour(samples) if samples == &[0, 0, 0]));
        assert_eq!((pictures[0].width, pictures[0].height), (2, 1));
    }

    #[test]
    fn blending_is_exact_at_both_ends() {
        assert_eq!(
            [on_black(0, 255), on_black(255, 255), on_black(255, 0), on_black(255, 128)],
            [0, 255, 0, 128]
        );
    }

    #[test]
    fn another_format_is_refused_even_if_the_library_could_read_it() {
        let picture = DynamicImage::new_rgb8(8, 8);
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Jpeg).expect("encoded");
        let outcome = decode_all(&[key(bytes.into_inner())]);
        assert!(matches!(outcome, Err(RenderError::DecodeKeyImage { number: 1, .. })));
    }

    #[test]
    fn count_size_and_side_are_bounded() {
        let small = png(&DynamicImage::new_luma8(1, 1));
        let many = vec![key(small.clone()); MAX_KEY_IMAGES + 1];
        assert!(matches!(decode_all(&many), Err(RenderError::TooMany { .. })));
        assert!(decode_all(&many[..MAX_KEY_IMAGES]).is_ok());
        let heavy = [key(vec![0; MAX_KEY_IMAGE_BYTES + 1])];
        assert!(matches!(decode_all(&heavy), Err(RenderError::KeyImageTooLarge { number: 1, .. })));
        let wide = [key(small), key(png(&DynamicImage::new_luma8(MAX_KEY_IMAGE_SIDE + 1, 1)))];
        assert!(matches!(decode_all(&wide), Err(RenderError::DecodeKeyImage { number: 2, .. })));
        let flat = png(&DynamicImage::new_luma8(MAX_KEY_IMAGE_SIDE, MAX_KEY_IMAGE_SIDE));
        assert!(matches!(decode_all(&vec![key(flat); 5]), Err(RenderError::TooManyPixels { .. })));
    }
}
