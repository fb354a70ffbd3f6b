#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| redpoll::sim::names::check_name(data));
