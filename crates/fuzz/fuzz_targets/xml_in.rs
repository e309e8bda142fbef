//! libFuzzer on `telerad_fuzz::targets::xml_in`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| telerad_fuzz::targets::xml_in(bytes));
