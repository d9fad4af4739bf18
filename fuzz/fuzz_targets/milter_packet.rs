//! cargo-fuzz: `milter_packet` of `tests/fuzz/targets.rs`.

#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| targets::milter_packet(octets));
