//! Images that are stored, since intake decodes nothing, and then are to break whoever looks at them.

use super::{
    Cases,
    Class::{Decoder, LengthLie, Memory},
    NOT_UNDERSTOOD, STORED,
    bytes::{DataSet, Form, ITEM, PIXELS, SEQUENCE_END, UNDEFINED},
    data_set::Objects,
};

const RLE: &str = "1.2.840.10008.1.2.5";
const JPEG: &str = "1.2.840.10008.1.2.4.50";
const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";

pub(super) fn add(cases: &mut Cases) {
    let mut objects = Objects { cases, next: 2_000 };
    shapes(&mut objects);
    values(&mut objects);
    fragments(&mut objects);
    codecs(&mut objects);
}

fn shapes(objects: &mut Objects<'_>) {
    let e = Form::Explicit;
    for (name, rows, columns, allocated) in [
        ("65 535 by 65 535", 65_535, 65_535, 16),
        ("no rows", 0, 8, 16),
        ("no columns", 8, 0, 16),
        ("1 by 65 535", 1, 65_535, 16),
        ("no bits", 8, 8, 0),
        ("1 bit", 8, 8, 1),
        ("7 bits", 8, 8, 7),
        ("64 bits", 8, 8, 64),
        ("65 535 bits", 8, 8, 65_535),
    ] {
        objects.add(
            Decoder,
            &format!("pixels: {name}"),
            e,
            |set| {
                set.short((0x0028, 0x0010), rows)
                    .short((0x0028, 0x0011), columns)
                    .short((0x0028, 0x0100), allocated)
            },
            &[STORED],
        );
    }
    for (name, samples, kind) in [
        ("no samples", 0, "MONOCHROME2"),
        ("65 535 samples", 65_535, "RGB"),
        ("a palette without tables", 1, "PALETTE COLOR"),
        ("a kind that does not exist", 1, "ULTRAVIOLET"),
        ("YBR with odd columns", 3, "YBR_FULL_422"),
    ] {
        objects.add(
            Decoder,
            &format!("pixels: {name}"),
            e,
            |set| set.short((0x0028, 0x0002), samples).with((0x0028, 0x0004), "CS", kind.as_bytes()),
            &[STORED],
        );
    }
}

fn values(objects: &mut Objects<'_>) {
    let e = Form::Explicit;
    objects.add(
        Decoder,
        "pixels: a palette that points beyond itself",
        e,
        |set| {
            set.with((0x0028, 0x0004), "CS", b"PALETTE COLOR")
                .with((0x0028, 0x1101), "US", &[0, 0, 0, 0, 16, 0])
                .with((0x0028, 0x1201), "OW", &[1, 2])
                .with(PIXELS, "OW", &[0xFF; 128])
        },
        &[STORED],
    );
    objects.add(
        Memory,
        "pixels: 2 147 483 647 frames of 65 535 by 65 535",
        e,
        |set| {
            set.with((0x0028, 0x0008), "IS", b"2147483647")
                .short((0x0028, 0x0010), 65_535)
                .short((0x0028, 0x0011), 65_535)
        },
        &[STORED],
    );
    objects.add(
        Decoder,
        "pixels: fewer bytes than the shape says",
        e,
        |set| set.with(PIXELS, "OW", &[1; 10]),
        &[STORED],
    );
    objects.add(
        Decoder,
        "pixels: an odd number of bytes for 16 bits",
        e,
        |set| set.claiming(PIXELS, "OW", 127, &[1; 127]),
        &[STORED],
    );
    objects.add(
        Decoder,
        "pixels: a window of no width",
        e,
        |set| set.with((0x0028, 0x1050), "DS", b"NaN").with((0x0028, 0x1051), "DS", b"-0"),
        &[STORED],
    );
    objects.add(
        Decoder,
        "pixels: a slope of infinity",
        e,
        |set| set.with((0x0028, 0x1052), "DS", b"-1E308").with((0x0028, 0x1053), "DS", b"1E308"),
        &[STORED],
    );
    objects.add(
        Decoder,
        "pixels: the high bit beyond what is stored",
        e,
        |set| set.short((0x0028, 0x0101), 40).short((0x0028, 0x0102), 200),
        &[STORED],
    );
    objects.add(
        LengthLie,
        "pixels: fragments in an uncompressed syntax",
        e,
        |set| {
            let inner = [e.item(ITEM, 0), e.item(ITEM, 4), vec![1; 4], e.item(SEQUENCE_END, 0)].concat();
            set.claiming(PIXELS, "OB", UNDEFINED, &inner)
        },
        &[STORED],
    );
}

/// An image whose pixels are these fragments, without the delimiter behind them.
fn encapsulated(number: u32, fragments: &[u8]) -> Vec<u8> {
    DataSet::image(Form::Explicit, number)
        .short((0x0028, 0x0100), 8)
        .short((0x0028, 0x0101), 8)
        .short((0x0028, 0x0102), 7)
        .claiming(PIXELS, "OB", UNDEFINED, fragments)
        .bytes()
}

fn fragments(objects: &mut Objects<'_>) {
    let e = Form::Explicit;
    let piece = |bytes: &[u8]| [e.item(ITEM, bytes.len() as u32), bytes.to_vec()].concat();
    let end = e.item(SEQUENCE_END, 0);
    let table = |offsets: &[u32]| piece(&offsets.iter().flat_map(|at| at.to_le_bytes()).collect::<Vec<_>>());
    for (name, bytes) in [
        ("without end", [piece(b""), piece(&[0xA5; 500])].concat()),
        ("none at all", end.clone()),
        ("only an offset table", [piece(b""), end.clone()].concat()),
        ("a fragment of 4 GiB", [piece(b""), e.item(ITEM, u32::MAX - 1), vec![1; 64]].concat()),
        (
            "a fragment of undefined length",
            [piece(b""), e.item(ITEM, UNDEFINED), vec![1; 64], end.clone()].concat(),
        ),
        (
            "an element in place of a fragment",
            [piece(b""), e.element((0x7FE0, 0x10), "OB", b"ab"), end.clone()].concat(),
        ),
        (
            "an offset table that points beyond the end",
            [table(&[0, u32::MAX]), piece(&[1; 64]), end.clone()].concat(),
        ),
        (
            "an offset table that runs backwards",
            [table(&[500, 100, 0]), piece(&[1; 64]), end.clone()].concat(),
        ),
        ("an offset table of three bytes", [piece(&[1, 2, 3]), piece(&[1; 64]), end.clone()].concat()),
        ("an offset table of 100 000 frames", [table(&[0; 100_000]), piece(&[1; 64]), end.clone()].concat()),
        ("300 000 empty fragments", [e.item(ITEM, 0).repeat(300_000), end.clone()].concat()),
        ("fragments of one byte", [piece(b""), piece(&[7]).repeat(5_000), end.clone()].concat()),
    ] {
        let bytes = encapsulated(objects.next, &bytes);
        objects.bytes(LengthLie, &format!("fragments: {name}"), RLE, bytes, &[STORED, NOT_UNDERSTOOD]);
    }
}

fn codecs(objects: &mut Objects<'_>) {
    let e = Form::Explicit;
    let with = |number: u32, stream: &[u8]| {
        let stream =
            [e.item(ITEM, 0), e.item(ITEM, stream.len() as u32), stream.to_vec(), e.item(SEQUENCE_END, 0)];
        encapsulated(number, &stream.concat())
    };
    let rle = |segments: u32, first: u32, data: &[u8]| {
        let mut head = vec![segments, first];
        head.resize(16, 0);
        [head.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>(), data.to_vec()].concat()
    };
    let size = |rows: u16, columns: u16| [rows.to_be_bytes(), columns.to_be_bytes()].concat();
    let jpeg = |marker: u8, rows: u16, columns: u16| {
        [
            &[0xFF, 0xD8, 0xFF, marker, 0, 11, 8][..],
            &size(rows, columns),
            &[1, 1, 0x11, 0],
            &[0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0],
            &[0x55; 400],
        ]
        .concat()
    };
    let siz = |rows: u32, columns: u32| {
        let numbers =
            [columns, rows, 0, 0, 1, 1, 0, 0].iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>();
        [
            &[0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0][..],
            &numbers,
            &[0, 1, 7, 1, 1],
            &[0xFF, 0x90, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1],
        ]
        .concat()
    };
    for (name, syntax, stream) in [
        ("RLE: segments beyond the stream", RLE, rle(1, u32::MAX, &[0; 16])),
        ("RLE: 4 billion segments", RLE, rle(u32::MAX, 64, &[0; 16])),
        ("RLE: runs that never stop", RLE, rle(1, 64, &[0x81, 0xFF].repeat(50_000))),
        ("RLE: literals beyond the end", RLE, rle(1, 64, &[0x7F, 1])),
        ("RLE: header cut off", RLE, vec![1, 0, 0]),
        ("JPEG: 65 535 by 65 535", JPEG, jpeg(0xC0, 65_535, 65_535)),
        ("JPEG: no rows", JPEG, jpeg(0xC0, 0, 8)),
        ("JPEG: cut behind its first marker", JPEG, vec![0xFF, 0xD8, 0xFF]),
        ("JPEG: garbage", JPEG, vec![0xA5; 3_000]),
        ("JPEG: markers alone", JPEG, [0xFF, 0xD8].into_iter().chain([0xFF; 5_000]).collect()),
        ("JPEG lossless: 65 535 by 65 535", JPEG_LOSSLESS, jpeg(0xC3, 65_535, 65_535)),
        ("JPEG lossless: garbage", JPEG_LOSSLESS, vec![0x5A; 3_000]),
        ("JPEG-LS: 65 535 by 65 535", JPEG_LS, jpeg(0xF7, 65_535, 65_535)),
        ("JPEG-LS: garbage", JPEG_LS, vec![0x5A; 3_000]),
        ("JPEG 2000: 4 billion by 4 billion", JPEG_2000, siz(u32::MAX, u32::MAX)),
        ("JPEG 2000: 60 000 by 60 000", JPEG_2000, siz(60_000, 60_000)),
        ("JPEG 2000: garbage", JPEG_2000, vec![0x5A; 3_000]),
        ("JPEG 2000: nothing", JPEG_2000, vec![]),
    ] {
        let bytes = with(objects.next, &stream);
        objects.bytes(Decoder, &format!("codec: {name}"), syntax, bytes, &[STORED]);
    }
}
