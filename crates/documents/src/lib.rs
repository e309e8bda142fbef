//! Speak: a report version as PDF.
