//! Fuzzes Closer's parser with any body.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|input: &[u8]| -> Corpus { fuzz::reading::holds(&providers::CLOSER, input) });
