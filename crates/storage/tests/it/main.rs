//! The conformance suite of the storage port, against both adapters.

mod file;
mod s3;
