//! Frames that a worker takes, and the worker of `examples/unruly-worker.rs`.

use std::path::PathBuf;

use bytes::Bytes;
use domain::{
    pixel::{PictureFormat, PixelSource, Showing},
    uid::TransferSyntaxUid,
};
use pixels::{Config, Pool};

pub const PNG: Showing = Showing { shading: None, viewport: None, format: PictureFormat::Png };

/// The worker that does what a frame asks of it.
pub fn unruly() -> PathBuf {
    let built = std::env::current_exe().unwrap();
    let program = built.ancestors().nth(2).unwrap().join("examples/unruly-worker");
    assert!(program.is_file(), "{} is built with the tests: cargo build --examples", program.display());
    program
}

pub fn config() -> Config {
    Config {
        program: Some(unruly()),
        workers: 1,
        seconds_max: 3,
        memory_bytes: 256 << 20,
        ..Config::default()
    }
}

pub fn pool() -> Pool {
    Pool::new(config())
}

/// A frame of 4 by 4 pixels of 8 bits that begins with so many bytes.
pub fn frame(beginning: &[u8]) -> PixelSource {
    let element = |element: u16, number: u16| {
        [&[0x28, 0][..], &element.to_le_bytes(), b"US\x02\0", &number.to_le_bytes()].concat()
    };
    let header = [element(0x02, 1), element(0x10, 4), element(0x11, 4), element(0x100, 8)].concat();
    let mut pixels = beginning.to_vec();
    pixels.resize(16, 0x7F);
    PixelSource::Frame {
        transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
        header: header.into(),
        number: 1,
        parts: vec![Bytes::from(pixels)],
        skip_bits: 0,
    }
}

/// A frame that asks the unruly worker for something.
pub fn asking(what: char) -> PixelSource {
    frame(format!("\0UNRULY{what}").as_bytes())
}
