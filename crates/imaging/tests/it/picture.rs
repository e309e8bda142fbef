//! Frames and pictures of every kind of object in the collection.

use bytes::Bytes;
use domain::pixel::{PictureFormat, Viewport};
use imaging::{
    Tag,
    frames::{self, FramesError, Shape, Wanted},
    guard::{GuardedHeader, HeaderEnd},
    picture::{self, PictureError, Window},
    tree,
};

use crate::support::{
    ITEM, SEQUENCE_END, Sample, UNDEFINED, element, element_claiming, identifiers, item, manifest, syntax,
};

fn small_place() -> Viewport {
    Viewport { width: 100, height: 100, enlarge: false, region: None }
}

/// Files that no decoder here can show, and why.
const UNSHOWN: [(&str, &str); 0] = [];

#[test]
fn every_sample_with_pixels_has_a_picture() {
    for row in manifest() {
        let Some((rows, columns)) = row.get("rows_x_cols").split_once('x') else { continue };
        let sample = Sample::open(row.bytes()).unwrap();
        // Two files of the collection describe pixels and have none.
        if GuardedHeader::of(sample.data_set(), &sample.syntax).unwrap().end == HeaderEnd::DataSet {
            assert!(row.file().starts_with("charset/chr"), "{}", row.file());
            continue;
        }
        let expected = (columns.parse::<u32>().unwrap(), rows.parse::<u32>().unwrap());
        let shown = picture::of_object(&Bytes::from(row.bytes()), 1);
        match (shown, UNSHOWN.iter().find(|(file, _)| *file == row.file())) {
            (Ok(picture), None) => {
                assert_eq!((picture.width, picture.height), expected, "{}", row.file());
                let rendered = picture.render(None, Some(small_place())).unwrap();
                assert!(rendered.size().0.max(rendered.size().1) <= 100, "{}", row.file());
                let png = rendered.write(PictureFormat::Png).unwrap();
                assert!(png.starts_with(b"\x89PNG"));
                let (width, height) = rendered.size();
                let shades: std::collections::BTreeSet<_> =
                    (0..width * height).filter_map(|i| rendered.grey_at(i % width, i / width)).collect();
                assert!(shades.len() > 1, "{} is all one shade", row.file());
            }
            (Err(error), Some((_, why))) => assert_eq!(error.to_string(), *why, "{}", row.file()),
            (Err(error), None) => panic!("{}: {error:?}", row.file()),
            (Ok(_), Some(_)) => panic!("{} can be shown after all", row.file()),
        }
    }
}

#[test]
fn lossless_syntaxes_give_the_same_values() {
    let folder = "transfer-syntaxes/ct1-ge";
    let values = |name: &str| {
        Sample::named(&format!("{folder}/{name}")).map(|sample| {
            picture::of_object(&Bytes::from(sample.bytes), 1).unwrap().values().unwrap().to_vec()
        })
    };
    let Some(reference) = values("CT1_UNC") else { return };
    for name in [
        "CT1_J2KR",
        "CT1_JLSL",
        "CT1_JPLL",
        "CT1_RLE",
        "CT1_UNC.explicit_big_endian.dcm",
        "CT1_UNC.implicit_little_endian.dcm",
        "CT1_UNC.fragmented_bot_jpeg_ls.80.dcm",
        "CT1_UNC.fragmented_no_bot_jpeg_ls.80.dcm",
    ] {
        assert!(values(name).unwrap() == reference, "{name} differs");
    }
    let near = values("CT1_JLSN").unwrap();
    assert!(near.iter().zip(&reference).all(|(a, b)| (a - b).abs() <= 12.0));
}

#[test]
fn frames_of_every_encapsulation_are_the_same() {
    let decode = |name: &str, frame| {
        let sample = Sample::named(name)?;
        Some(picture::of_object(&Bytes::from(sample.bytes), frame).unwrap().values().unwrap().to_vec())
    };
    let Some(first) = decode("enhanced/CT0012.explicit_little_endian.dcm", 1) else { return };
    let second = decode("enhanced/CT0012.explicit_little_endian.dcm", 2).unwrap();
    assert!(first != second);
    for name in [
        "enhanced/CT0012.fragmented_no_bot_jpeg_lossless.57.dcm",
        "enhanced/CT0012.fragmented_no_bot_jpeg_ls.80.dcm",
        "enhanced/CT0012.not_fragmented_bot_rle.dcm",
    ] {
        assert!(decode(name, 1).unwrap() == first, "{name} 1");
        assert!(decode(name, 2).unwrap() == second, "{name} 2");
    }
    let rle = decode("edge/emri_small_RLE.dcm", 7).unwrap();
    assert!(decode("edge/emri_small.dcm", 7).unwrap() == rle);
    let sample = Sample::named("edge/emri_small.dcm").unwrap();
    let beyond = picture::of_object(&Bytes::from(sample.bytes), 11).unwrap_err();
    assert!(matches!(beyond, PictureError::Frames(FramesError::NoFrame { number: 11, frames: 10 })));
}

/// An image of 2 rows and 3 columns of 16 bits.
fn small(extra: &[Vec<u8>], photometric: &[u8], pixels: Vec<u8>) -> Vec<u8> {
    [
        identifiers(),
        element(Tag(0x0028, 0x0002), "US", &[1, 0]),
        element(Tag(0x0028, 0x0004), "CS", photometric),
        extra.concat(),
        element(Tag(0x0028, 0x0010), "US", &[2, 0]),
        element(Tag(0x0028, 0x0011), "US", &[3, 0]),
        element(Tag(0x0028, 0x0100), "US", &[16, 0]),
        element(Tag(0x0028, 0x0101), "US", &[12, 0]),
        element(Tag(0x0028, 0x0102), "US", &[11, 0]),
        element(Tag(0x0028, 0x0103), "US", &[1, 0]),
        element(Tag(0x0028, 0x1052), "DS", b"-10 "),
        element(Tag(0x0028, 0x1053), "DS", b"2 "),
        pixels,
    ]
    .concat()
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn picture_of(data_set: &[u8], uid: &str) -> Result<picture::Picture, PictureError> {
    let meta = element(Tag(0x0002, 0x0010), "UI", &padded(uid));
    picture::of_object(&Bytes::from([&[0; 128][..], b"DICM", &meta, data_set].concat()), 1)
}

fn padded(uid: &str) -> Vec<u8> {
    let mut bytes = uid.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

const EXPLICIT: &str = "1.2.840.10008.1.2.1";

#[test]
fn values_are_stored_bits_signed_and_rescaled() {
    // The upper four bits belong to something else.
    let pixels = element(Tag(0x7FE0, 0x0010), "OW", &words(&[0, 1, 0x0FFF, 0xF7FF, 0x0800, 0xA005]));
    let picture = picture_of(&small(&[], b"MONOCHROME2 ", pixels.clone()), EXPLICIT).unwrap();
    assert_eq!(picture.values().unwrap(), [-10.0, -8.0, -12.0, 4084.0, -4106.0, 0.0]);

    // PS3.3 section C.11.2.1.2.1 with centre 0 and width 101: black up to -50.5, white above 49.5.
    let grey = |picture: &picture::Picture| {
        let rendered = picture.render(Some(Window { centre: 0.0, width: 101.0 }.into()), None).unwrap();
        [(0, 0), (2, 0), (0, 1), (1, 1), (2, 1)].map(|(x, y)| rendered.grey_at(x, y).unwrap())
    };
    assert_eq!(grey(&picture), [103, 98, 255, 0, 129]);
    let inverted = picture_of(&small(&[], b"MONOCHROME1 ", pixels), EXPLICIT).unwrap();
    assert_eq!(grey(&inverted), [152, 157, 0, 255, 126]);
}

#[test]
fn large_values_before_the_pixels_are_stepped_over() {
    let pixels = element(Tag(0x7FE0, 0x0010), "OW", &words(&[0, 1, 2, 3, 4, 5]));
    let large = element(Tag(0x0029, 0x1010), "OB", &vec![7; 2 << 20]);
    let between = [large, element(Tag(0x0040, 0x0254), "LO", b"CT"), pixels].concat();
    let data_set = small(&[], b"MONOCHROME2 ", between);
    let picture = picture_of(&data_set, EXPLICIT).unwrap();
    assert_eq!(picture.values().unwrap()[5], 0.0);
    let header = GuardedHeader::of(&data_set, &syntax(EXPLICIT)).unwrap();
    assert_eq!(header.end, HeaderEnd::Large);
    assert!(imaging::json::metadata(&header, "b").unwrap().contains_key("7FE00010"));
}

#[test]
fn what_cannot_be_shown_is_an_error() {
    let short = element(Tag(0x7FE0, 0x0010), "OW", &words(&[0; 4]));
    let lie = element_claiming(Tag(0x7FE0, 0x0010), "OW", 0xFFFF_FFF0, &words(&[0; 6]));
    let fragment = |bytes: &[u8]| {
        let item =
            [item(ITEM, 0), item(ITEM, bytes.len() as u32), bytes.to_vec(), item(SEQUENCE_END, 0)].concat();
        element_claiming(Tag(0x7FE0, 0x0010), "OB", UNDEFINED, &item)
    };
    // A JPEG that says 65 500 by 65 500.
    let bomb =
        fragment(&[0xFF, 0xD8, 0xFF, 0xC0, 0, 11, 8, 0xFF, 0xDC, 0xFF, 0xDC, 1, 1, 0x11, 0, 0xFF, 0xD9, 0]);
    let noise = fragment(&[0x55; 100]);
    let j2k = fragment(&[&[0xFF, 0x4F, 0xFF, 0x51][..], &[0; 100]].concat());
    let endless = element_claiming(Tag(0x7FE0, 0x0010), "OB", UNDEFINED, &item(ITEM, 0));
    let long = element_claiming(
        Tag(0x7FE0, 0x0010),
        "OB",
        UNDEFINED,
        &[item(ITEM, 0), item(ITEM, 1 << 30)].concat(),
    );
    let (jpeg, rle, jls, jp2) =
        ("1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90");
    let sizeless = "the pixels do not fit the header: the compressed image does not say how large it is";
    for (name, pixels, uid, expected) in [
        ("too few pixels", short, EXPLICIT, "the frame could not be found"),
        ("more pixels than bytes", lie, EXPLICIT, "the frame could not be found"),
        ("no pixels", Vec::new(), EXPLICIT, "the frame could not be found"),
        (
            "a giant in the codestream",
            bomb,
            jpeg,
            "the pixels do not fit the header: the compressed image has another size than the header says",
        ),
        ("noise for JPEG", noise.clone(), jpeg, sizeless),
        (
            "noise for RLE",
            noise.clone(),
            rle,
            "the pixels do not fit the header: the compressed image does not hold what the header says",
        ),
        ("noise for JPEG-LS", noise.clone(), jls, sizeless),
        ("noise for JPEG 2000", noise.clone(), jp2, sizeless),
        (
            "an empty JPEG 2000",
            j2k,
            jp2,
            "the pixels do not fit the header: the compressed image has another size than the header says",
        ),
        ("noise for 12 bit JPEG", noise.clone(), "1.2.840.10008.1.2.4.51", sizeless),
        ("a film", noise, "1.2.840.10008.1.2.4.102", "the frame could not be found"),
        ("fragments without end", endless, jpeg, "the frame could not be found"),
        ("a fragment beyond the object", long, jpeg, "the frame could not be found"),
    ] {
        let error = picture_of(&small(&[], b"MONOCHROME2 ", pixels), uid).unwrap_err();
        assert_eq!(error.to_string(), expected, "{name}: {error:?}");
    }
    let huge = small(&[element(Tag(0x0028, 0x0008), "IS", b"1 ")], b"MONOCHROME2 ", Vec::new());
    let huge = [
        huge,
        element(Tag(0x0028, 0x0010), "US", &[0xFF, 0xFF]),
        element(Tag(0x0028, 0x0011), "US", &[0xFF, 0xFF]),
    ]
    .concat();
    let tree = tree::read(&GuardedHeader::of(&huge, &syntax(EXPLICIT)).unwrap()).unwrap();
    let error = picture::decode(&tree, &syntax(EXPLICIT), 1, Vec::new(), 0).unwrap_err();
    assert!(matches!(error, PictureError::TooLarge), "{error:?}");
}

#[test]
fn native_frames_are_arithmetic() {
    let shape = Shape { rows: 3, columns: 5, samples: 1, bits_allocated: 1, frames: 3, halved_chroma: false };
    let object = Bytes::from(element(Tag(0x7FE0, 0x0010), "OB", &[0xAA; 6]));
    let uid = syntax(EXPLICIT);
    let wanted = Wanted {
        shape,
        transfer_syntax: &uid,
        header_end: 0,
        object_bytes: object.len() as u64,
        frames: &[3, 1, 2],
    };
    let places = frames::locate_in(&object, &wanted).unwrap();
    let found: Vec<_> = places.iter().map(|p| (p.number, p.parts.clone(), p.skip_bits)).collect();
    // Frames of 15 bits: they begin at bits 0, 15 and 30.
    let range = |range: std::ops::Range<u64>| std::iter::once(range).collect::<Vec<_>>();
    assert_eq!(found, [(3, range(12 + 3..12 + 6), 6), (1, range(12..14), 0), (2, range(12 + 1..12 + 4), 7)]);
}
