//! What is noted of frames while an object streams past is what a look into it finds.

use std::path::Path;

use bytes::Bytes;
use imaging::{
    frames::{Shape, Wanted, locate_in},
    guard::{Guard, GuardLimits},
    header::Header,
    layout::{Follower, LAYOUT_BYTES_MAX, Layout},
    tree,
};

use crate::support::{Sample, manifest};

/// The layout of a data set that comes in pieces of so many bytes.
fn followed(sample: &Sample, piece_bytes: usize) -> Option<Layout> {
    let data_set = sample.data_set();
    let mut guard = Some(Guard::new(&sample.syntax, GuardLimits::default()));
    let mut follower: Option<Follower> = None;
    let mut offset = 0;
    for piece in data_set.chunks(piece_bytes) {
        if let Some(mut watching) = guard.take() {
            if watching.push(piece).ok()? == imaging::guard::Progress::Header {
                guard = Some(watching);
            } else {
                let header = watching.finish().ok()?;
                let shape = Header::read(&header).ok()?.shape?;
                follower = Follower::new(&header, shape, &sample.syntax);
            }
        }
        if let Some(follower) = &mut follower {
            follower.push(offset, piece);
        }
        offset += piece.len() as u64;
    }
    follower?.finish(1_000, offset)
}

/// Files of `fixtures/`, and of the collection where it is there.
fn files() -> Vec<(String, Vec<u8>)> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let folder = std::fs::read_dir(workspace.join("fixtures/formats")).unwrap();
    let fixtures = folder.map(|entry| entry.unwrap().path());
    let fixtures = fixtures.map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()));
    fixtures.chain(manifest().iter().map(|row| (row.file().to_owned(), row.bytes()))).collect()
}

#[test]
fn what_was_noted_is_what_a_look_finds_however_the_bytes_were_cut() {
    let mut noted = 0;
    for (file, bytes) in files() {
        let Some(sample) = Sample::open(bytes) else { continue };
        let layout = followed(&sample, usize::MAX);
        for piece_bytes in [17, 1_000, 16_384] {
            if sample.data_set().len() < 4_000_000 || piece_bytes > 17 {
                assert_eq!(followed(&sample, piece_bytes), layout, "{file} {piece_bytes}");
            }
        }
        let Some(layout) = layout else { continue };
        noted += 1;
        let header = imaging::guard::GuardedHeader::of(sample.data_set(), &sample.syntax).unwrap();
        let shape = Shape::read(&tree::read(&header).unwrap()).unwrap();
        assert_eq!(layout.shape, shape, "{file}");
        let all: Vec<u32> = (1..=shape.frames).collect();
        let object = Bytes::copy_from_slice(sample.data_set());
        let wanted = Wanted {
            shape,
            transfer_syntax: &sample.syntax,
            header_end: header.ends_at,
            object_bytes: object.len() as u64,
            frames: &all,
        };
        let mut expected = locate_in(&object, &wanted);
        for part in expected.iter_mut().flatten().flat_map(|place| &mut place.parts) {
            *part = part.start + 1_000..part.end + 1_000;
        }
        assert_eq!(layout.places(&all), expected, "{file}");
        if expected.is_err() {
            continue;
        }
        assert!(layout.places(&[0]).is_err() && layout.places(&[shape.frames + 1]).is_err());
        let bytes = layout.to_bytes().unwrap();
        assert!(bytes.len() <= LAYOUT_BYTES_MAX);
        let object_bytes = object.len() as u64 + 1_000;
        assert_eq!(Layout::read(&bytes, object_bytes).as_ref(), Some(&layout));
        assert_eq!(Layout::read(&bytes, layout_end(&layout, &all) - 1), None, "it reaches beyond the object");
        for cut in 0..bytes.len() {
            assert_eq!(Layout::read(&bytes[..cut], object_bytes), None);
        }
    }
    assert!(noted >= 10, "only {noted} were noted");
}

fn layout_end(layout: &Layout, all: &[u32]) -> u64 {
    let places = layout.places(all).unwrap();
    places.iter().flat_map(|place| &place.parts).map(|part| part.end).max().unwrap()
}

#[test]
fn an_object_that_ends_early_has_no_layout() {
    let (_, bytes) = files().into_iter().find(|(file, _)| file.ends_with("MR_small_RLE.dcm")).unwrap();
    let sample = Sample::open(bytes).unwrap();
    let data_set = sample.data_set();
    let header = imaging::guard::GuardedHeader::of(data_set, &sample.syntax).unwrap();
    let shape = Header::read(&header).unwrap().shape.unwrap();
    let whole = followed(&sample, usize::MAX).unwrap();
    let end = usize::try_from(layout_end(&whole, &[1]) - 1_000).unwrap();
    for end in [end + 7, end, end - 1, end - 100] {
        let mut follower = Follower::new(&header, shape, &sample.syntax).unwrap();
        follower.push(0, &data_set[..end]);
        assert_eq!(follower.finish(0, end as u64), None, "{end}");
    }
    let mut gap = Follower::new(&header, shape, &sample.syntax).unwrap();
    gap.push(header.ends_at + 500, &data_set[header.ends_at as usize + 500..]);
    assert_eq!(gap.finish(0, data_set.len() as u64), None, "bytes are missing in between");
}
