//! Fuzzes the parsers of all providers with any body.

#![no_main]

use fuzz::{corpus, parser, stretch};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|input: &[u8]| -> Corpus {
    let body = stretch(input);
    for provider in providers::ALL {
        parser::check(&provider, &body);
    }
    corpus(&body)
});
