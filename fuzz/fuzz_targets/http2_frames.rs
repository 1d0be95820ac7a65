#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| equipoise_fuzz::targets::http2_frames::run(data));
