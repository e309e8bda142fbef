//! Speak: DICOM conversations over the upper layer. No sockets, no clock.
