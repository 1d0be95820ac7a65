#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| equipoise_fuzz::targets::client_hello::run(data));
