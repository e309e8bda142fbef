//! Speak: DICOM data sets. The guard, headers in, frames and pictures out.
