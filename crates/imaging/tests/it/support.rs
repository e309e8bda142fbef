//! Samples, and data sets made by hand.

use std::path::{Path, PathBuf};

use domain::uid::TransferSyntaxUid;
use imaging::{
    Tag,
    sniff::{self, Sniffed},
};

/// The collection of sample files; said loudly when it is not there.
pub fn collection() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let folder =
        std::env::var_os("TELERAD_SAMPLES").map_or_else(|| workspace.join("../shared/dicom"), PathBuf::from);
    if folder.join("MANIFEST.tsv").is_file() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no sample collection (set TELERAD_SAMPLES to a folder with a MANIFEST.tsv)");
    None
}

/// Every file of the manifest, with its columns by name.
pub fn manifest() -> Vec<Row> {
    let Some(folder) = collection() else { return Vec::new() };
    let text = std::fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    let mut lines = text.lines();
    let names: Vec<String> = lines.next().unwrap().split('\t').map(str::to_owned).collect();
    lines
        .map(|line| {
            let cells = line.split('\t').map(str::to_owned);
            Row { folder: folder.clone(), cells: names.iter().cloned().zip(cells).collect() }
        })
        .collect()
}

/// A line of the manifest.
pub struct Row {
    folder: PathBuf,
    cells: Vec<(String, String)>,
}

impl Row {
    pub fn get(&self, name: &str) -> &str {
        self.cells.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub fn file(&self) -> &str {
        self.get("file")
    }

    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.folder.join(self.file())).unwrap()
    }
}

/// A file of the collection.
pub struct Sample {
    pub bytes: Vec<u8>,
    pub at: usize,
    pub syntax: TransferSyntaxUid,
}

impl Sample {
    pub fn open(bytes: Vec<u8>) -> Option<Self> {
        match sniff::part10(&bytes, true) {
            Sniffed::DataSet(place) => Some(Self { at: place.at, syntax: place.transfer_syntax, bytes }),
            Sniffed::More | Sniffed::NotDicom(_) => None,
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        let path = collection()?.join(name);
        Some(Self::open(std::fs::read(path).unwrap()).unwrap())
    }

    pub fn data_set(&self) -> &[u8] {
        &self.bytes[self.at..]
    }
}

pub fn syntax(text: &str) -> TransferSyntaxUid {
    TransferSyntaxUid::parse(text).unwrap()
}

/// An element in explicit little endian, with whatever length is claimed.
pub fn element_claiming(tag: Tag, vr: &str, length: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(tag.group().to_le_bytes());
    bytes.extend(tag.element().to_le_bytes());
    bytes.extend(vr.bytes());
    if ["OB", "OW", "SQ", "UN", "UT", "OF", "OD"].contains(&vr) {
        bytes.extend([0, 0]);
        bytes.extend(length.to_le_bytes());
    } else {
        bytes.extend(u16::try_from(length).unwrap().to_le_bytes());
    }
    bytes.extend(value);
    bytes
}

/// An element in explicit little endian.
pub fn element(tag: Tag, vr: &str, value: &[u8]) -> Vec<u8> {
    element_claiming(tag, vr, u32::try_from(value.len()).unwrap(), value)
}

/// An item, a delimiter.
pub fn item(element: u16, length: u32) -> Vec<u8> {
    [&[0xFE, 0xFF][..], &element.to_le_bytes(), &length.to_le_bytes()].concat()
}

pub const UNDEFINED: u32 = u32::MAX;
pub const ITEM: u16 = 0xE000;
pub const ITEM_END: u16 = 0xE00D;
pub const SEQUENCE_END: u16 = 0xE0DD;

/// The four identifiers.
pub fn identifiers() -> Vec<u8> {
    [
        element(Tag(0x0008, 0x0016), "UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        element(Tag(0x0008, 0x0018), "UI", b"1.2.3\0"),
        element(Tag(0x0020, 0x000D), "UI", b"1.2.1\0"),
        element(Tag(0x0020, 0x000E), "UI", b"1.2.2\0"),
    ]
    .concat()
}
