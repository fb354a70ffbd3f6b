#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| redpoll_kit::fuzz::sessions::check_session(data));
