#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| redpoll::sim::datagrams::check_datagrams(data));
