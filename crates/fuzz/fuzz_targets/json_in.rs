//! libFuzzer on `telerad_fuzz::targets::json_in`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| telerad_fuzz::targets::json_in(bytes));
