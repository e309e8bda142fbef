//! ZIP archives (APPNOTE 6.3.10) for seeds and tests. Not a writer for anybody else: no ZIP64, no folders, no times.

use std::io::Write as _;

use flate2::{Compression, Crc, write::DeflateEncoder};

/// An archive of named files, each deflated or as it is.
///
/// # Panics
/// When a name or a file is too large for an archive without ZIP64.
#[must_use]
pub fn zip(files: &[(&str, &[u8])], deflated: bool) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, file) in files {
        let mut crc = Crc::new();
        crc.update(file);
        let packed = if deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(file).and_then(|()| encoder.finish()).expect("memory takes everything")
        } else {
            file.to_vec()
        };
        let small = |length: usize| u32::try_from(length).expect("small").to_le_bytes();
        let mut common = vec![20, 0, 0, 8, if deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
        common.extend(crc.sum().to_le_bytes());
        common.extend(small(packed.len()));
        common.extend(small(file.len()));
        common.extend(u16::try_from(name.len()).expect("short").to_le_bytes());
        common.extend([0, 0]);
        let at = small(bytes.len());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(at);
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(files.len()).expect("few").to_le_bytes();
    let (at, length) = (bytes.len(), directory.len());
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count, count].concat());
    for number in [length, at] {
        bytes.extend(u32::try_from(number).expect("small").to_le_bytes());
    }
    bytes.extend([0, 0]);
    bytes
}
