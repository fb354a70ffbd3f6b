#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| redpoll_kit::fuzz::hubs::check_hub(data));
