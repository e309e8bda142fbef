//! Do: images go out, over DICOMweb.
