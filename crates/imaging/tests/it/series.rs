//! Geometry of real series.

use imaging::{
    acquisition::{Acquisition, Contrast},
    geometry::{self, Plane, Slice, Stack},
    guard::GuardedHeader,
    header::Header,
    tree,
};

use crate::support::{Sample, manifest};

/// Stacks and acquisitions of the files of a folder, in the order of the manifest.
fn series(folder: &str) -> Option<(Vec<Stack>, Vec<Acquisition>)> {
    let rows = manifest();
    let samples: Vec<Sample> = rows
        .iter()
        .filter(|row| row.file().starts_with(folder))
        .map(|row| Sample::open(row.bytes()).unwrap())
        .collect();
    if samples.is_empty() {
        return None;
    }
    let guarded = |sample: &Sample| GuardedHeader::of(sample.data_set(), &sample.syntax).unwrap();
    let slice = |(index, sample): (usize, &Sample)| {
        let attributes = Header::read(&guarded(sample)).unwrap().instance;
        Slice { index, position: attributes.position, orientation: attributes.orientation }
    };
    let slices: Vec<Slice> = samples.iter().enumerate().map(slice).collect();
    let acquisitions = samples.iter().map(|sample| Acquisition::read(&tree::read(&guarded(sample)).unwrap()));
    Some((geometry::arrange(&slices).stacks, acquisitions.collect()))
}

#[test]
fn a_tilted_head_in_two_blocks() {
    let Some((stacks, acquisitions)) = series("ct-head-ge-28/") else { return };
    let [stack] = stacks.as_slice() else { panic!("{stacks:?}") };
    assert_eq!((stack.plane, stack.places, stack.slices.len()), (Plane::Axial, 28, 28));
    assert_eq!(stack.slices, (0..28).collect::<Vec<_>>());
    assert!((stack.tilt_degrees - 18.5).abs() < 0.1, "{}", stack.tilt_degrees);
    let blocks: Vec<_> = stack.blocks.iter().map(|b| (b.first, b.last, (b.spacing * 10.0).round())).collect();
    assert_eq!(blocks, [(1, 14, 40.0), (15, 28, 70.0)]);
    assert_eq!((stack.gaps.len(), stack.displaced.len()), (0, 0));
    let first = &acquisitions[0];
    assert_eq!(
        (first.kvp, first.kernel.as_deref(), first.gantry_tilt),
        (Some(120.0), Some("STD+"), Some(18.5))
    );
    assert_eq!((first.slice_thickness, acquisitions[27].slice_thickness), (Some(4.0), Some(7.0)));
    assert_eq!(first.contrast, Contrast::NotRecorded);
    assert!(!first.is_localizer() && !first.is_capture() && !first.is_derived());
}

#[test]
fn a_tilted_gantry_is_even() {
    let Some((stacks, _)) = series("ct-siemens-gantrytilt-4/") else { return };
    let [stack] = stacks.as_slice() else { panic!("{stacks:?}") };
    assert!(stack.is_even());
    assert!((stack.tilt_degrees - 14.0).abs() < 0.1, "{}", stack.tilt_degrees);
}

#[test]
fn a_bolus_timing_is_no_volume() {
    let Some((stacks, _)) = series("ct-siemens-notavolume-4/") else { return };
    let [stack] = stacks.as_slice() else { panic!("{stacks:?}") };
    assert_eq!((stack.places, stack.slices.len(), stack.spacing()), (1, 4, None));
}

#[test]
fn a_plain_helical_abdomen() {
    let Some((stacks, acquisitions)) = series("ct-abdomen-ge-3/") else { return };
    let [stack] = stacks.as_slice() else { panic!("{stacks:?}") };
    // Numbered from head to feet, placed from feet to head.
    assert_eq!(stack.slices, [2, 1, 0]);
    assert!(stack.is_even() && stack.tilt_degrees < 0.01);
    assert_eq!(acquisitions[0].is_helical(), Some((true, "ScanOptions")));
}

#[test]
fn scouts_and_captures_are_told() {
    let Some((stacks, acquisitions)) = series("ct-localizer-and-sc-philips/") else { return };
    assert!(acquisitions.iter().all(Acquisition::is_localizer));
    assert_eq!(acquisitions.iter().map(Acquisition::is_capture).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(stacks[0].plane, Plane::Sagittal);
}

#[test]
fn enhanced_images_say_it_in_functional_groups() {
    let Some(sample) = Sample::named("enhanced/CT0012.explicit_little_endian.dcm") else { return };
    let header = GuardedHeader::of(sample.data_set(), &sample.syntax).unwrap();
    let acquisition = Acquisition::read(&tree::read(&header).unwrap());
    assert!(acquisition.slice_thickness.is_some(), "{acquisition:?}");
    assert!(acquisition.pixel_spacing.is_some() && acquisition.window.is_some(), "{acquisition:?}");
}
