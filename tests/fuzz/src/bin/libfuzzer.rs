//! A target under libFuzzer: built and run by `cargo xtask fuzz`.
#![no_main]
#![allow(unsafe_code, missing_docs, reason = "how libFuzzer calls a function")]

libfuzzer_sys::fuzz_target!(init: fuzz::commands::obey(), |data: &[u8]| fuzz::check::under_libfuzzer(data));
