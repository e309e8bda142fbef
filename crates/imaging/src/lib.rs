//! DICOM data sets: what is let in ([`guard`]), what a header says ([`header`], [`acquisition`]), and what goes out again
//! ([`json`], [`xml`], [`frames`], [`source`], [`layout`], [`picture`], [`rewrite`], [`header_out`]); what slices form a volume
//! ([`geometry`]), what dose was given ([`dose`]) and which images somebody marked ([`key_objects`]). Data sets that come as text
//! ([`json_in`], [`xml_in`]) are made into bytes ([`compose`]) and then go the way of all.
//!
//! No I/O: bytes and places in, values out. One bounded walker reads every byte that comes from outside; the object model, the
//! JSON model and the decoders of dicom-rs are only given what that walker passed.

pub mod acquisition;
pub mod codec;
pub mod codestream;
pub mod compose;
pub mod dose;
pub mod frames;
pub mod geometry;
pub mod guard;
pub mod header;
pub mod header_out;
pub mod json;
pub mod json_in;
pub mod key_objects;
pub mod layout;
pub mod picture;
pub mod rewrite;
pub mod sniff;
pub mod source;
pub mod stored;
pub mod syntax;
pub mod text;
pub mod tree;
pub mod work;
pub mod xml;
pub mod xml_in;

mod format;
mod shade;
mod value;
mod walk;

pub use dicom_core::{Tag, VR};
