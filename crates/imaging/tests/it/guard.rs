//! The guard against bytes that lie.

use std::io::Write as _;

use domain::image::REQUESTS_MAX;
use imaging::{
    Tag,
    guard::{Flaw, Guard, GuardLimits, GuardedHeader, HeaderEnd, Progress},
    header::{Header, HeaderError},
    syntax::{DEFLATED, EXPLICIT_LITTLE, IMPLICIT_LITTLE},
};
use proptest::prelude::*;

use crate::support::{
    ITEM, ITEM_END, SEQUENCE_END, Sample, UNDEFINED, element, element_claiming, identifiers, item, syntax,
};

const SEQUENCE: Tag = Tag(0x0040, 0x0260);
const PIXELS: Tag = Tag(0x7FE0, 0x0010);

fn flaw(data_set: &[u8]) -> Option<Flaw> {
    GuardedHeader::of(data_set, &syntax(EXPLICIT_LITTLE)).err().map(|refusal| refusal.flaw)
}

fn nested(depth: usize, length: u32) -> Vec<u8> {
    let mut bytes = identifiers();
    for _ in 0..depth {
        bytes.extend(element_claiming(SEQUENCE, "SQ", length, &[]));
        bytes.extend(item(ITEM, length));
    }
    bytes
}

#[test]
fn lies_are_refused() {
    let lo = |length, value: &[u8]| element_claiming(Tag(0x0008, 0x1030), "LO", length, value);
    let sequence =
        |length, content: &[u8]| [identifiers(), element_claiming(SEQUENCE, "SQ", length, content)].concat();
    for (name, bytes, expected) in [
        ("a value beyond the end", lo(40_000, b"short"), Some(Flaw::Truncated)),
        ("half a header", vec![0x08, 0, 0x05], Some(Flaw::Truncated)),
        ("half a long header", element(Tag(8, 1), "UN", b"")[..9].to_vec(), Some(Flaw::Truncated)),
        (
            "4 GiB among the identifiers",
            element_claiming(Tag(8, 1), "UN", 0xFFFF_FFFE, b"x"),
            Some(Flaw::TooLong),
        ),
        (
            "a text without end",
            element_claiming(Tag(8, 1), "UT", UNDEFINED, b""),
            Some(Flaw::UndefinedLength),
        ),
        (
            "an item beyond its sequence",
            sequence(16, &[item(ITEM, 100), vec![0; 100]].concat()),
            Some(Flaw::Overrun),
        ),
        (
            "an element beyond its item",
            sequence(UNDEFINED, &[item(ITEM, 10), lo(50, &[0; 50])].concat()),
            Some(Flaw::Overrun),
        ),
        (
            "a header beyond its item",
            sequence(UNDEFINED, &[item(ITEM, 4), lo(2, b"ab")].concat()),
            Some(Flaw::Overrun),
        ),
        ("no item in a sequence", sequence(UNDEFINED, &lo(2, b"ab")), Some(Flaw::NoItem)),
        ("a sequence without end", sequence(UNDEFINED, &item(ITEM, 0)), Some(Flaw::Truncated)),
        ("an item without end", sequence(UNDEFINED, &item(ITEM, UNDEFINED)), Some(Flaw::Truncated)),
        (
            "a sequence end among elements",
            [identifiers(), item(SEQUENCE_END, 0)].concat(),
            Some(Flaw::StrayDelimiter),
        ),
        ("an item among elements", [identifiers(), item(ITEM, 0)].concat(), Some(Flaw::StrayDelimiter)),
        ("an item end in a sequence", sequence(UNDEFINED, &item(ITEM_END, 0)), Some(Flaw::NoItem)),
        ("an empty sequence", sequence(0, b""), None),
        ("both length and delimiter", sequence(16, &[item(ITEM, 0), item(SEQUENCE_END, 0)].concat()), None),
        ("nothing at all", Vec::new(), None),
        ("a few zeros at the end", [identifiers(), vec![0; 6]].concat(), None),
        ("text that could be a private giant", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), None),
    ] {
        assert_eq!(flaw(&bytes), expected, "{name}");
    }
}

#[test]
fn nesting_is_bounded() {
    assert_eq!(flaw(&nested(100_000, UNDEFINED)), Some(Flaw::TooDeep));
    assert_eq!(flaw(&nested(129, UNDEFINED)), Some(Flaw::TooDeep));
    // 128 are let in, and then lack their ends.
    assert_eq!(flaw(&nested(128, UNDEFINED)), Some(Flaw::Truncated));
    // Unknown elements of undefined length are sequences too, and so are known ones in implicit syntax.
    let mut unknown = identifiers();
    let mut implicit = Vec::new();
    for _ in 0..1_000 {
        unknown.extend(element_claiming(Tag(0x0041, 0x1001), "UN", UNDEFINED, &item(ITEM, UNDEFINED)));
        implicit.extend([0x40, 0, 0x60, 0x02, 0xFF, 0xFF, 0xFF, 0x0F]);
        implicit.extend(item(ITEM, 0x0FFF_FFF0));
    }
    assert_eq!(flaw(&unknown), Some(Flaw::TooDeep));
    let refusal = GuardedHeader::of(&implicit, &syntax(IMPLICIT_LITTLE)).unwrap_err();
    assert_eq!(refusal.flaw, Flaw::Overrun);
}

#[test]
fn what_is_large_ends_the_header() {
    let large = element(Tag(0x0029, 0x1010), "OB", &vec![7; (1 << 20) + 2]);
    let just = element(Tag(0x0029, 0x1010), "OB", &vec![7; 1 << 20]);
    let pixels = element_claiming(PIXELS, "OW", 0xFFFF_FFF0, &[1; 64]);
    let inside = [
        element_claiming(Tag(0x5400, 0x0100), "SQ", UNDEFINED, &item(ITEM, UNDEFINED)),
        large.clone(),
        item(ITEM_END, 0),
        item(SEQUENCE_END, 0),
    ]
    .concat();
    let start = identifiers().len() as u64;
    for (name, rest, ends_at, end) in [
        ("pixels", pixels.clone(), start, HeaderEnd::Pixels),
        (
            "1 MiB and pixels",
            [just.clone(), pixels.clone()].concat(),
            start + just.len() as u64,
            HeaderEnd::Pixels,
        ),
        ("more than 1 MiB", [large.clone(), pixels].concat(), start, HeaderEnd::Large),
        ("more than 1 MiB in a sequence", inside, start, HeaderEnd::Large),
        ("fragments", element_claiming(PIXELS, "OB", UNDEFINED, b"rubbish"), start, HeaderEnd::Pixels),
        ("float pixels", element(Tag(0x7FE0, 0x0008), "OF", &[0; 8]), start, HeaderEnd::Pixels),
        ("the end", Vec::new(), start, HeaderEnd::DataSet),
    ] {
        let header = GuardedHeader::of(&[identifiers(), rest].concat(), &syntax(EXPLICIT_LITTLE)).unwrap();
        assert_eq!(
            (header.ends_at, header.end, header.bytes.len() as u64),
            (ends_at, end, ends_at),
            "{name}"
        );
        assert!(Header::read(&header).is_ok(), "{name}");
    }
    // Before the identifiers a large private value is kept: without them there is no image.
    let early = [element(Tag(0x0009, 0x1010), "OB", &vec![7; 2 << 20]), identifiers()].concat();
    let header = GuardedHeader::of(&early, &syntax(EXPLICIT_LITTLE)).unwrap();
    assert!(Header::read(&header).is_ok());
}

#[test]
fn counts_and_sizes_are_bounded() {
    let limits = GuardLimits { elements: 50, header_bytes: 4_000, ..GuardLimits::default() };
    let guard = |data_set: &[u8]| {
        let mut guard = Guard::new(&syntax(EXPLICIT_LITTLE), limits);
        guard.push(data_set)?;
        guard.finish()
    };
    let few = element(Tag(0x0008, 0x1030), "LO", b"ab").repeat(60);
    assert_eq!(guard(&few).unwrap_err().flaw, Flaw::TooManyElements);
    let many = [identifiers(), element(Tag(0x0028, 0x0010), "US", &[0, 2]).repeat(60)].concat();
    let header = guard(&many).unwrap();
    assert_eq!((header.end, header.bytes.len()), (HeaderEnd::Large, identifiers().len() + 46 * 10));
    let long = [identifiers(), element(Tag(0x0029, 0x1010), "OB", &[7; 900]).repeat(6)].concat();
    let header = guard(&long).unwrap();
    assert_eq!((header.end, header.bytes.len()), (HeaderEnd::Large, identifiers().len() + 4 * 912));
    let early = element(Tag(0x0009, 0x1010), "OB", &[7; 900]).repeat(6);
    assert_eq!(guard(&early).unwrap_err().flaw, Flaw::TooLong);
}

#[test]
fn a_refusal_is_remembered_and_says_where() {
    let mut guard = Guard::new(&syntax(EXPLICIT_LITTLE), GuardLimits::default());
    let bytes = [identifiers(), item(SEQUENCE_END, 0)].concat();
    let refusal = guard.push(&bytes).unwrap_err();
    assert_eq!(refusal.offset, identifiers().len() as u64);
    assert_eq!(guard.push(b"anything"), Err(refusal));
    assert_eq!(
        refusal.to_string(),
        format!(
            "a delimiter closes nothing at element (0020,000E), byte {} of the data set",
            identifiers().len()
        )
    );
    assert_eq!(guard.finish().unwrap_err(), refusal);
}

#[test]
fn unknown_syntaxes_are_tried_as_explicit() {
    let private = syntax("1.3.6.1.4.1.99999.1");
    assert!(GuardedHeader::of(&identifiers(), &private).is_ok());
    let noise: Vec<u8> = (0..4_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_eq!(GuardedHeader::of(&noise[..100], &private).unwrap_err().flaw, Flaw::UnknownSyntax);
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn deflated_data_sets_are_inflated_within_bounds() {
    let deflated = syntax(DEFLATED);
    let plain = [identifiers(), element(PIXELS, "OW", &[0; 5_000])].concat();
    let header = GuardedHeader::of(&deflate(&plain), &deflated).unwrap();
    assert!(header.deflated);
    assert_eq!(header.bytes, identifiers());
    assert_eq!(header.stored_bytes(300, 9_000), 9_000);

    // 12 MiB of zeros in a private element: a thousand to one.
    let bomb = [identifiers(), element(Tag(0x0019, 0x1010), "OB", &vec![0; 12 << 20])].concat();
    assert_eq!(GuardedHeader::of(&deflate(&bomb), &deflated).unwrap_err().flaw, Flaw::InflateRatio);
    let cut = deflate(&identifiers());
    assert_eq!(GuardedHeader::of(&cut[..cut.len() / 2], &deflated).unwrap_err().flaw, Flaw::Truncated);
    assert_eq!(GuardedHeader::of(&[0xFF; 64], &deflated).unwrap_err().flaw, Flaw::Inflate);
    assert_eq!(imaging::guard::inflate(&deflate(&plain), 1 << 20).unwrap(), plain);
    assert_eq!(imaging::guard::inflate(&deflate(&plain), 1_000).unwrap_err().flaw, Flaw::TooLong);
    let bomb = deflate(&vec![0; 4 << 20]);
    assert_eq!(imaging::guard::inflate(&bomb, 1 << 30).unwrap_err().flaw, Flaw::InflateRatio);
}

#[test]
fn an_instance_must_say_which_it_is() {
    let read = |bytes: &[u8]| Header::read(&GuardedHeader::of(bytes, &syntax(EXPLICIT_LITTLE)).unwrap());
    assert_eq!(read(b"").unwrap_err(), HeaderError::Missing("StudyInstanceUID"));
    let no_series =
        [element(Tag(0x0020, 0x000D), "UI", b"1.2"), element(Tag(0x0020, 0x000E), "UI", b"\0\0")].concat();
    assert_eq!(read(&no_series).unwrap_err(), HeaderError::Missing("SeriesInstanceUID"));
    let path = [element(Tag(0x0020, 0x000D), "UI", b"../../etc/passwd")].concat();
    assert_eq!(read(&path).unwrap_err().to_string(), "StudyInstanceUID is not made of digits and dots");
}

/// A sequence of defined or undefined length, with items of the same kind.
fn sequence(tag: Tag, items: &[Vec<u8>], is_defined: bool) -> Vec<u8> {
    let of_item = |content: &Vec<u8>| match is_defined {
        true => [item(ITEM, u32::try_from(content.len()).unwrap()), content.clone()].concat(),
        false => [item(ITEM, UNDEFINED), content.clone(), item(ITEM_END, 0)].concat(),
    };
    let items: Vec<u8> = items.iter().flat_map(of_item).collect();
    match is_defined {
        true => element(tag, "SQ", &items),
        false => [element_claiming(tag, "SQ", UNDEFINED, &items), item(SEQUENCE_END, 0)].concat(),
    }
}

#[test]
fn the_requests_of_a_series_are_read_and_nothing_else_inside_sequences() {
    let (requests, step, procedure) = (Tag(0x0040, 0x0275), Tag(0x0040, 0x0009), Tag(0x0040, 0x1001));
    let request = |number: usize| element(step, "SH", format!("S{number:03}").as_bytes());
    for is_defined in [true, false] {
        let inner = sequence(
            Tag(0x0040, 0x0008),
            &[[request(9), element(procedure, "SH", b"no")].concat()],
            is_defined,
        );
        let one = [request(1), inner, element(procedure, "SH", b"R1")].concat();
        let bytes = [
            identifiers(),
            sequence(SEQUENCE, &[request(8)], is_defined),
            sequence(requests, &[one, Vec::new(), request(2)], is_defined),
            sequence(Tag(0x0040, 0xA730), &[request(7)], is_defined),
            element(PIXELS, "OW", &[0; 8]),
        ]
        .concat();
        let header = Header::read(&GuardedHeader::of(&bytes, &syntax(EXPLICIT_LITTLE)).unwrap()).unwrap();
        let read: Vec<(Option<&str>, Option<&str>)> = header
            .series
            .requests
            .iter()
            .map(|request| (request.scheduled_step.as_deref(), request.requested_procedure.as_deref()))
            .collect();
        assert_eq!(read, [(Some("S001"), Some("R1")), (None, None), (Some("S002"), None)]);
    }
    let many: Vec<Vec<u8>> = (0..REQUESTS_MAX + 5).map(request).collect();
    let bytes = [identifiers(), sequence(requests, &many, false)].concat();
    let header = Header::read(&GuardedHeader::of(&bytes, &syntax(EXPLICIT_LITTLE)).unwrap()).unwrap();
    assert_eq!(header.series.requests.len(), REQUESTS_MAX);
    assert_eq!(header.series.requests[REQUESTS_MAX - 1].scheduled_step.as_deref(), Some("S015"));
}

/// Pushes in pieces of the given sizes, over and over.
fn in_pieces(sample: &Sample, sizes: &[usize]) -> Result<GuardedHeader, imaging::guard::Refusal> {
    let mut guard = Guard::new(&sample.syntax, GuardLimits::default());
    let mut rest = sample.data_set();
    for size in sizes.iter().cycle() {
        if rest.is_empty() || guard.push(&rest[..rest.len().min(*size)])? == Progress::HeaderEnded {
            break;
        }
        rest = &rest[rest.len().min(*size)..];
    }
    guard.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_cut_of_the_bytes_does_not_matter(
        sizes in prop::collection::vec(1_usize..3_000, 1..20),
        which in 0_usize..6,
    ) {
        let names = [
            "ct-head-ge-28/01.dcm",
            "ct-abdomen-ge-3/01.dcm",
            "transfer-syntaxes/deflated/image_dfl",
            "transfer-syntaxes/ct1-ge/CT1_UNC.explicit_big_endian.dcm",
            "enhanced/CT0012.not_fragmented_bot_rle.dcm",
            "sr/test-SR.dcm",
        ];
        if let Some(sample) = Sample::named(names[which]) {
            let mut whole = GuardedHeader::of(sample.data_set(), &sample.syntax).unwrap();
            let pieces = in_pieces(&sample, &sizes).unwrap();
            // What lies behind the header comes as far as it was taken in with it: that much depends on the cut.
            prop_assert!(whole.after.starts_with(&pieces.after));
            whole.after.clone_from(&pieces.after);
            prop_assert_eq!(pieces, whole);
        }
    }

    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((0_usize..6_000, any::<u8>()), 1..40)) {
        if let Some(mut sample) = Sample::named("sr/test-SR.dcm") {
            let at = sample.at;
            for (place, byte) in flips {
                if let Some(target) = sample.bytes.get_mut(at + place) {
                    *target = byte;
                }
            }
            if let Ok(header) = GuardedHeader::of(sample.data_set(), &sample.syntax) {
                let _ = Header::read(&header);
            }
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2_000), implicit in any::<bool>()) {
        let uid = syntax(if implicit { IMPLICIT_LITTLE } else { EXPLICIT_LITTLE });
        if let Ok(header) = GuardedHeader::of(&bytes, &uid) {
            prop_assert!(header.bytes.len() <= bytes.len());
            let _ = Header::read(&header);
        }
    }
}
