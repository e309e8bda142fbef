//! Well-formed C-STORE with hostile data sets: lengths, nesting, counts, deflated streams, order.

use std::io::Write as _;

use flate2::{Compression, write::DeflateEncoder};

use super::{
    Answer, Cases,
    Class::{self, Field, Flood, Inflate, Injection, LengthLie, Memory, Nesting, State},
    MISMATCH, NOT_UNDERSTOOD, Object, STORED, Sent,
    bytes::{CT, DataSet, Form, ITEM, ITEM_END, PIXELS, SEQUENCE_END, UNDEFINED, instance_uid},
};

const SEQUENCE: (u16, u16) = (0x0040, 0x0260);
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const TEXT: (u16, u16) = (0x0008, 0x1030);

/// Numbers the objects of one file of cases.
pub(super) struct Objects<'a> {
    pub(super) cases: &'a mut Cases,
    pub(super) next: u32,
}

impl Objects<'_> {
    /// Adds a case for a data set that is made for a number.
    pub(super) fn add(
        &mut self,
        class: Class,
        name: &str,
        form: Form,
        make: impl FnOnce(DataSet) -> DataSet,
        answers: &[Answer],
    ) {
        let bytes = make(DataSet::image(form, self.next)).bytes();
        self.bytes(class, name, form.uid(), bytes, answers);
    }

    /// Adds a case for bytes that claim a transfer syntax.
    pub(super) fn bytes(
        &mut self,
        class: Class,
        name: &str,
        syntax: &str,
        data_set: Vec<u8>,
        answers: &[Answer],
    ) {
        let object = Object {
            sop_class: CT.to_owned(),
            sop_instance: instance_uid(self.next),
            transfer_syntax: syntax.to_owned(),
            data_set,
        };
        self.next += 1;
        self.cases.add(class, format!("object: {name}"), Sent::Store(Box::new(object)), answers);
    }
}

pub(super) fn add(cases: &mut Cases) {
    let mut objects = Objects { cases, next: 1 };
    lengths(&mut objects);
    inner_lengths(&mut objects);
    undefined(&mut objects);
    nesting(&mut objects);
    counts(&mut objects);
    deflated(&mut objects);
    order(&mut objects);
    identity(&mut objects);
    syntaxes(&mut objects);
}

fn lengths(objects: &mut Objects<'_>) {
    let (no, yes) = (&[NOT_UNDERSTOOD][..], &[STORED][..]);
    for form in [Form::Implicit, Form::Explicit, Form::Big] {
        let name = |what: &str| format!("{what}, {form:?}");
        let e = form;
        objects.add(
            LengthLie,
            &name("the last value is cut off"),
            e,
            |set| set.tail(e.claiming((0x7FE1, 0x1001), "OB", 40_000, b"short")),
            yes,
        );
        objects.add(
            LengthLie,
            &name("a text reaches beyond the end"),
            e,
            |set| set.claiming(TEXT, "LO", 60_000, b"short").without(PIXELS),
            no,
        );
        objects.add(
            LengthLie,
            &name("half an element at the end"),
            e,
            |set| set.without(PIXELS).tail(vec![0x40, 0, 0]),
            no,
        );
        objects.add(
            Memory,
            &name("4 GiB among the identifiers"),
            e,
            |set| set.claiming((0x0008, 0x2112), "UN", u32::MAX - 1, b"x"),
            no,
        );
        objects.add(
            Memory,
            &name("2 GiB behind the identifiers"),
            e,
            |set| set.claiming((0x0029, 0x1010), "UN", 0x7FFF_FFFE, b"x"),
            &[STORED, NOT_UNDERSTOOD],
        );
        objects.add(
            Memory,
            &name("4 GiB of pixels declared"),
            e,
            |set| set.claiming(PIXELS, "OW", u32::MAX - 1, &[0; 64]),
            &[STORED, NOT_UNDERSTOOD],
        );
        objects.add(LengthLie, &name("an odd length"), e, |set| set.claiming(TEXT, "LO", 3, b"odd"), yes);
        objects.add(
            LengthLie,
            &name("every value empty"),
            e,
            |set| {
                set.with((0x0010, 0x0010), "PN", b"")
                    .with((0x0028, 0x0010), "US", b"")
                    .with(PIXELS, "OW", b"")
            },
            yes,
        );
    }
}

fn inner_lengths(objects: &mut Objects<'_>) {
    let (no, yes) = (&[NOT_UNDERSTOOD][..], &[STORED][..]);
    for form in [Form::Implicit, Form::Explicit, Form::Big] {
        let name = |what: &str| format!("{what}, {form:?}");
        let e = form;
        objects.add(
            LengthLie,
            &name("an item beyond its sequence"),
            e,
            |set| set.claiming(SEQUENCE, "SQ", 16, &[e.item(ITEM, 100), vec![0; 100]].concat()),
            no,
        );
        objects.add(
            LengthLie,
            &name("an element beyond its item"),
            e,
            |set| {
                let inner = [e.item(ITEM, 10), e.claiming(TEXT, "LO", 50, &[b'a'; 50])].concat();
                set.claiming(SEQUENCE, "SQ", UNDEFINED, &inner)
            },
            no,
        );
        objects.add(
            LengthLie,
            &name("a header beyond its item"),
            e,
            |set| {
                let inner = [e.item(ITEM, 4), e.element(TEXT, "LO", b"ab")].concat();
                set.claiming(SEQUENCE, "SQ", UNDEFINED, &inner)
            },
            no,
        );
        objects.add(
            LengthLie,
            &name("a sequence of 4 GiB"),
            e,
            |set| set.claiming(SEQUENCE, "SQ", u32::MAX - 1, &e.item(ITEM, 0)),
            no,
        );
        objects.add(
            LengthLie,
            &name("an item of 4 GiB"),
            e,
            |set| set.claiming(SEQUENCE, "SQ", UNDEFINED, &e.item(ITEM, u32::MAX - 1)),
            no,
        );
        objects.add(
            LengthLie,
            &name("items of no length inside a sequence of no length"),
            e,
            |set| set.claiming(SEQUENCE, "SQ", 0, &[]),
            yes,
        );
    }
    objects.add(
        LengthLie,
        "numbers of three bytes",
        Form::Explicit,
        |set| set.claiming((0x0028, 0x0010), "US", 3, &[8, 0, 0]).claiming((0x0028, 0x0011), "US", 1, &[8]),
        &[STORED],
    );
    objects.add(
        LengthLie,
        "reserved bytes that are set",
        Form::Explicit,
        |set| {
            let mut pixels = Form::Explicit.element(PIXELS, "OW", &[7; 128]);
            pixels[6..8].copy_from_slice(&[0xFF; 2]);
            set.raw(PIXELS, pixels)
        },
        &[STORED],
    );
}

fn undefined(objects: &mut Objects<'_>) {
    let (no, yes) = (&[NOT_UNDERSTOOD][..], &[STORED][..]);
    let e = Form::Explicit;
    for (name, vr) in [("text", "UT"), ("short text", "LO"), ("number", "UL"), ("date", "DA"), ("name", "PN")]
    {
        let name = format!("a {name} of undefined length");
        objects.add(
            LengthLie,
            &name,
            e,
            |set| set.claiming((0x0008, 0x2111), vr, UNDEFINED, b"abcd"),
            &[NOT_UNDERSTOOD, STORED],
        );
    }
    for (name, inner) in [
        ("a sequence without end", e.item(ITEM, 0)),
        ("an item without end", e.item(ITEM, UNDEFINED)),
        ("an item end in a sequence", e.item(ITEM_END, 0)),
        ("an element in a sequence", e.element(TEXT, "LO", b"ab")),
        ("a sequence in a sequence without item", e.claiming(SEQUENCE, "SQ", 0, &[])),
        ("a sequence end in an item", [e.item(ITEM, UNDEFINED), e.item(SEQUENCE_END, 0)].concat()),
        ("an item in an item", [e.item(ITEM, UNDEFINED), e.item(ITEM, 0)].concat()),
    ] {
        objects.add(
            LengthLie,
            name,
            e,
            |set| set.without(PIXELS).claiming(SEQUENCE, "SQ", UNDEFINED, &inner),
            no,
        );
    }
    for (name, mark) in [("an item end", ITEM_END), ("a sequence end", SEQUENCE_END), ("an item", ITEM)] {
        let name = format!("{name} among elements");
        objects.add(State, &name, e, |set| set.without(PIXELS).tail(e.item(mark, 0)), no);
    }
    objects.add(
        LengthLie,
        "both length and delimiter",
        e,
        |set| set.claiming(SEQUENCE, "SQ", 16, &[e.item(ITEM, 0), e.item(SEQUENCE_END, 0)].concat()),
        yes,
    );
    objects.add(
        LengthLie,
        "a delimiter with a length",
        e,
        |set| {
            let inner = [e.item(ITEM, 0), e.item(SEQUENCE_END, 0x1000)].concat();
            set.claiming(SEQUENCE, "SQ", UNDEFINED, &inner)
        },
        &[STORED, NOT_UNDERSTOOD],
    );
    let implicit = Form::Implicit;
    let hidden = [
        implicit.item(ITEM, UNDEFINED),
        implicit.element(TEXT, "LO", b"inside"),
        implicit.item(ITEM_END, 0),
        implicit.item(SEQUENCE_END, 0),
    ];
    objects.add(
        State,
        "an implicit sequence in a UN of undefined length",
        e,
        |set| set.claiming((0x0029, 0x1010), "UN", UNDEFINED, &hidden.concat()),
        yes,
    );
    objects.add(
        State,
        "an explicit sequence in a UN of undefined length",
        e,
        |set| {
            let inner = [e.item(ITEM, UNDEFINED), e.element(TEXT, "LO", b"in"), e.closing(1)].concat();
            set.claiming((0x0029, 0x1010), "UN", UNDEFINED, &inner)
        },
        yes,
    );
    objects.add(
        LengthLie,
        "a UN of undefined length without end",
        e,
        |set| set.without(PIXELS).claiming((0x0029, 0x1010), "UN", UNDEFINED, &hidden[..2].concat()),
        no,
    );
}

fn nesting(objects: &mut Objects<'_>) {
    let e = Form::Explicit;
    for depth in [127, 128] {
        let deep = [e.nested(SEQUENCE, "SQ", depth, UNDEFINED), e.closing(depth)].concat();
        objects.add(
            Nesting,
            &format!("nested {depth} deep, closed"),
            e,
            |set| set.raw(SEQUENCE, deep),
            &[STORED],
        );
    }
    for depth in [129, 1_000, 10_000, 100_000] {
        let deep = [e.nested(SEQUENCE, "SQ", depth, UNDEFINED), e.closing(depth)].concat();
        objects.add(
            Nesting,
            &format!("nested {depth} deep, closed"),
            e,
            |set| set.raw(SEQUENCE, deep),
            &[NOT_UNDERSTOOD],
        );
    }
    let unclosed = e.nested(SEQUENCE, "SQ", 100_000, UNDEFINED);
    objects.add(
        Nesting,
        "nested 100 000 deep, never closed",
        e,
        |set| set.raw(SEQUENCE, unclosed),
        &[NOT_UNDERSTOOD],
    );
    let implicit = Form::Implicit;
    let hidden = implicit.nested((0x0029, 0x1010), "SQ", 5_000, UNDEFINED);
    objects.add(
        Nesting,
        "nested 5 000 deep, implicit and private",
        implicit,
        |set| set.raw((0x0029, 0x1010), hidden),
        &[NOT_UNDERSTOOD],
    );
    let unknown = e.nested((0x0029, 0x1010), "UN", 5_000, UNDEFINED);
    objects.add(
        Nesting,
        "nested 5 000 deep in UN",
        e,
        |set| set.raw((0x0029, 0x1010), unknown),
        &[NOT_UNDERSTOOD],
    );
    // Lengths that fit into each other: the innermost is empty.
    let mut fitting = Vec::new();
    for _ in 0..200 {
        let item = [e.item(ITEM, fitting.len() as u32), fitting].concat();
        fitting = e.claiming(SEQUENCE, "SQ", item.len() as u32, &item);
    }
    objects.add(
        Nesting,
        "nested 200 deep with true lengths",
        e,
        |set| set.raw(SEQUENCE, fitting),
        &[NOT_UNDERSTOOD],
    );
    // Many siblings, each 100 deep: depth alone does not bound the work.
    let deep = [e.nested(SEQUENCE, "SQ", 100, UNDEFINED), e.closing(100)].concat();
    objects.add(
        Nesting,
        "500 sequences nested 100 deep",
        e,
        |mut set| {
            for number in 0..500 {
                let mut one = deep.clone();
                one[0..4].copy_from_slice(&[0x41, 0, (number % 256) as u8, 0x10 + (number / 256) as u8]);
                set = set.raw((0x0041, 0x1000 + number), one);
            }
            set
        },
        &[STORED, NOT_UNDERSTOOD],
    );
}

fn counts(objects: &mut Objects<'_>) {
    let e = Form::Explicit;
    let tiny: Vec<u8> = (0..250_000_u32)
        .flat_map(|n| {
            e.claiming((0x0009 + 2 * (n / 60_000) as u16, 0x1000 + (n % 60_000) as u16 / 2), "SH", 0, &[])
        })
        .collect();
    objects.add(
        Flood,
        "250 000 empty elements behind the first group",
        e,
        |set| set.raw((0x0009, 0x1000), tiny),
        &[NOT_UNDERSTOOD, STORED],
    );
    let items = e.item(ITEM, 0).repeat(250_000);
    let sequence = e.claiming(SEQUENCE, "SQ", items.len() as u32, &items);
    objects.add(Flood, "a sequence of 250 000 empty items", e, |set| set.raw(SEQUENCE, sequence), &[STORED]);
    let early = e.claiming((0x0008, 0x1140), "SQ", items.len() as u32, &items);
    objects.add(
        Flood,
        "250 000 empty items before the identifiers",
        e,
        |set| set.raw((0x0008, 0x1140), early),
        &[NOT_UNDERSTOOD],
    );
    let large = vec![b'x'; 2 << 20];
    objects.add(
        Memory,
        "a comment of 2 MiB behind the identifiers",
        e,
        |set| set.with((0x0032, 0x4000), "UT", &large),
        &[STORED],
    );
    objects.add(
        Memory,
        "a comment of 2 MiB before the identifiers",
        e,
        |set| set.with((0x0008, 0x2111), "UT", &large),
        &[STORED, NOT_UNDERSTOOD],
    );
    objects.add(
        Memory,
        "20 MiB before the identifiers",
        e,
        |set| set.with((0x0008, 0x2111), "UT", &vec![b'x'; 20 << 20]),
        &[NOT_UNDERSTOOD],
    );
    objects.add(
        Memory,
        "30 comments of 1 MiB",
        e,
        |mut set| {
            for number in 0..30 {
                set = set.with((0x0033, 0x1000 + number), "UT", &vec![b'x'; 1 << 20]);
            }
            set
        },
        &[STORED],
    );
    objects.add(
        Flood,
        "200 private blocks",
        e,
        |mut set| {
            for block in 0x10..0xD8_u16 {
                set = set.with((0x0029, block), "LO", format!("HOSTILE {block}").as_bytes()).with(
                    (0x0029, block << 8),
                    "OB",
                    &[0xA5; 64],
                );
            }
            set
        },
        &[STORED],
    );
    objects.add(
        Flood,
        "one text of 60 000 values",
        e,
        |set| set.claiming((0x0008, 0x0008), "CS", 60_000, &b"A\\".repeat(30_000)),
        &[STORED],
    );
}

fn deflated(objects: &mut Objects<'_>) {
    let deflate = |bytes: &[u8]| {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
    };
    let whole = |objects: &Objects<'_>| DataSet::image(Form::Explicit, objects.next);
    let good = deflate(&whole(objects).bytes());
    objects.bytes(Inflate, "deflated, and sound", DEFLATED, good.clone(), &[STORED]);
    let zeros = whole(objects).with((0x0009, 0x1001), "OB", &vec![0; 100 << 20]).bytes();
    objects.bytes(
        Inflate,
        "100 MiB of zeros before the identifiers, deflated",
        DEFLATED,
        deflate(&zeros),
        &[NOT_UNDERSTOOD],
    );
    let many = whole(objects)
        .raw((0x0009, 0x1001), Form::Explicit.element((9, 0x1001), "SH", b"").repeat(4_000_000));
    objects.bytes(
        Inflate,
        "4 million elements, deflated",
        DEFLATED,
        deflate(&many.bytes()),
        &[NOT_UNDERSTOOD],
    );
    let pixels = whole(objects).with(PIXELS, "OW", &vec![0; 200 << 20]).bytes();
    objects.bytes(Inflate, "200 MiB of black pixels, deflated", DEFLATED, deflate(&pixels), &[STORED]);
    objects.bytes(
        Inflate,
        "a deflated stream cut off",
        DEFLATED,
        good[..good.len() / 2].to_vec(),
        &[NOT_UNDERSTOOD],
    );
    objects.bytes(Inflate, "no deflated stream at all", DEFLATED, vec![0xA5; 4_000], &[NOT_UNDERSTOOD]);
    let bare = whole(objects).bytes();
    objects.bytes(Inflate, "deflated in name only", DEFLATED, bare, &[NOT_UNDERSTOOD]);
    let zlib = [&[0x78, 0x9C][..], &good].concat();
    objects.bytes(Inflate, "a zlib header before the stream", DEFLATED, zlib, &[NOT_UNDERSTOOD]);
    let twice = deflate(&good);
    objects.bytes(Inflate, "deflated twice", DEFLATED, twice, &[NOT_UNDERSTOOD]);
    let behind = [whole(objects).bytes()].concat();
    let behind = [deflate(&behind), vec![0xFF; 100_000]].concat();
    objects.bytes(Inflate, "100 kB behind the deflated stream", DEFLATED, behind, &[STORED, NOT_UNDERSTOOD]);
    let deep = Form::Explicit.nested(SEQUENCE, "SQ", 100_000, UNDEFINED);
    let deep = whole(objects).raw(SEQUENCE, deep).bytes();
    objects.bytes(Nesting, "nested 100 000 deep, deflated", DEFLATED, deflate(&deep), &[NOT_UNDERSTOOD]);
}

fn order(objects: &mut Objects<'_>) {
    let e = Form::Explicit;
    let number = objects.next;
    let mut pieces = DataSet::image(e, number).pieces();
    pieces.reverse();
    objects.bytes(State, "elements from the last to the first", e.uid(), pieces.concat(), &[NOT_UNDERSTOOD]);
    objects.add(
        Field,
        "two patients in one object",
        e,
        |set| {
            let twice =
                [e.element((0x10, 0x20), "LO", b"FIRST"), e.element((0x10, 0x20), "LO", b"SECOND")].concat();
            set.raw((0x0010, 0x0020), twice)
        },
        &[STORED],
    );
    objects.add(
        Field,
        "two SOP instances in one object",
        e,
        |set| {
            let twice = [
                e.element((8, 0x18), "UI", b"2.25.7700.1.2.3"),
                e.element((8, 0x18), "UI", b"2.25.7700.1.2.4"),
            ];
            set.raw((0x0008, 0x0018), twice.concat())
        },
        &[MISMATCH, NOT_UNDERSTOOD],
    );
    objects.add(
        Field,
        "two studies in one object",
        e,
        |set| {
            let twice =
                [e.element((0x20, 0xD), "UI", b"2.25.7700.1"), e.element((0x20, 0xD), "UI", b"2.25.7700.2")];
            set.raw((0x0020, 0x000D), twice.concat())
        },
        &[STORED, NOT_UNDERSTOOD],
    );
    objects.add(
        State,
        "a command element in the data set",
        e,
        |set| set.raw((0, 0x0100), e.element((0, 0x0100), "US", &[1, 0])),
        &[NOT_UNDERSTOOD],
    );
    objects.add(
        State,
        "file meta in the data set",
        e,
        |set| set.raw((2, 0x0010), e.element((2, 0x0010), "UI", b"1.2.840.10008.1.2.2")),
        &[NOT_UNDERSTOOD],
    );
    objects.add(
        State,
        "a whole file in place of the data set",
        e,
        |set| {
            let mut file = vec![0; 128];
            file.extend(b"DICM");
            set.raw((0, 0), file)
        },
        &[NOT_UNDERSTOOD],
    );
    objects.add(
        State,
        "group FFFFH",
        e,
        |set| set.tail(e.element((0xFFFF, 0xFFFF), "UN", &[0; 8])),
        &[STORED],
    );
    objects.add(State, "pixels twice", e, |set| set.tail(e.element(PIXELS, "OW", &[9; 128])), &[STORED]);
    objects.add(
        State,
        "identifiers behind the pixels",
        e,
        |set| {
            let study = e.element((0x20, 0xD), "UI", b"2.25.7700.3");
            set.without((0x0020, 0x000D)).tail(study)
        },
        &[NOT_UNDERSTOOD],
    );
    objects.add(State, "100 kB of zeros behind the data set", e, |set| set.tail(vec![0; 100_000]), &[STORED]);
    objects.add(
        State,
        "another data set behind the data set",
        e,
        |set| {
            let other = DataSet::image(e, 8_000).bytes();
            set.without(PIXELS).tail(other)
        },
        &[STORED, MISMATCH, NOT_UNDERSTOOD],
    );
}

fn identity(objects: &mut Objects<'_>) {
    let e = Form::Explicit;
    let empty = |objects: &mut Objects<'_>, name: &str, bytes: &[u8]| {
        objects.bytes(Field, name, e.uid(), bytes.to_vec(), &[NOT_UNDERSTOOD]);
    };
    empty(objects, "nothing at all", b"");
    empty(objects, "one byte", b"\0");
    empty(objects, "zeros", &[0; 5_000]);
    empty(objects, "a ZIP archive", b"PK\x03\x04\x14\0\0\0\x08\0 and so on, a whole archive of it");
    empty(objects, "a program", &[&b"\x7FELF\x02\x01\x01"[..], &[0; 500]].concat());
    for (name, tag) in [
        ("SOP class", (0x0008, 0x0016)),
        ("SOP instance", (0x0008, 0x0018)),
        ("study", (0x0020, 0x000D)),
        ("series", (0x0020, 0x000E)),
    ] {
        objects.add(Field, &format!("no {name}"), e, |set| set.without(tag), &[NOT_UNDERSTOOD]);
        objects.add(Field, &format!("an empty {name}"), e, |set| set.with(tag, "UI", b""), &[NOT_UNDERSTOOD]);
        let (no, first) = (&[NOT_UNDERSTOOD][..], &[NOT_UNDERSTOOD, MISMATCH, STORED][..]);
        for (what, uid, answers) in [
            ("a path", &b"../../../../../../tmp/telerad-was-here"[..], no),
            ("zero bytes inside", b"1.2\0\0.3", no),
            ("line ends", b"1.2\r\n3", no),
            ("65 digits", b"1.23456789012345678901234567890123456789012345678901234567890123456", no),
            ("two values", b"1.2.3\\1.2.4", first),
        ] {
            objects.add(
                Injection,
                &format!("{name} with {what}"),
                e,
                |set| set.with(tag, "UI", uid),
                answers,
            );
        }
    }
    objects.add(
        State,
        "another SOP instance than announced",
        e,
        |set| set.with((0x0008, 0x0018), "UI", b"2.25.7700.42"),
        &[MISMATCH],
    );
    objects.add(
        State,
        "another SOP class than announced",
        e,
        |set| set.with((0x0008, 0x0016), "UI", b"1.2.840.10008.5.1.4.1.1.4"),
        &[MISMATCH],
    );
}

fn syntaxes(objects: &mut Objects<'_>) {
    for (told, written) in [
        (Form::Implicit, Form::Explicit),
        (Form::Implicit, Form::Big),
        (Form::Explicit, Form::Implicit),
        (Form::Explicit, Form::Big),
        (Form::Big, Form::Implicit),
        (Form::Big, Form::Explicit),
    ] {
        let bytes = DataSet::image(written, objects.next).bytes();
        let name = format!("written {written:?}, announced {told:?}");
        objects.bytes(State, &name, told.uid(), bytes, &[NOT_UNDERSTOOD, STORED]);
    }
    let bytes = DataSet::image(Form::Explicit, objects.next).bytes();
    objects.bytes(State, "a private transfer syntax, explicit after all", "1.2.3.4.5.6", bytes, &[STORED]);
    objects.bytes(
        State,
        "a private transfer syntax, garbage",
        "1.2.3.4.5.7",
        vec![0x5A; 4_000],
        &[NOT_UNDERSTOOD],
    );
    let e = Form::Explicit;
    for (name, letters) in
        [("letters that are none", "??"), ("lower case", "lo"), ("an unknown VR", "ZZ"), ("zeros", "\0\0")]
    {
        objects.add(
            Field,
            &format!("a VR of {name}"),
            e,
            |set| {
                let mut bytes = e.claiming(TEXT, "UN", 4, b"text");
                bytes[4..6].copy_from_slice(letters.as_bytes());
                set.raw(TEXT, bytes)
            },
            &[STORED, NOT_UNDERSTOOD],
        );
    }
    objects.add(
        Field,
        "every VR wrong",
        e,
        |set| {
            set.with((0x0010, 0x0010), "FD", b"NotANumb").with((0x0028, 0x0010), "PN", b"Eight").with(
                (0x0008, 0x0060),
                "SQ",
                b"",
            )
        },
        &[STORED],
    );
}
