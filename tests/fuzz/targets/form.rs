//! Fuzzes amoCRM's form decoder: it takes any body with bounded memory, and a decoded form can be
//! encoded and decoded again.

#![no_main]

use fuzz::{corpus, stretch};
use libfuzzer_sys::{Corpus, fuzz_target};
use models::ParseError;
use providers::amocrm::form::{self, Decoded, Form};

fuzz_target!(|input: &[u8]| -> Corpus {
    let body = stretch(input);
    if let Ok(Decoded { form, .. }) = form::decode(&body) {
        is_had_back(&form);
    }
    if let Ok(Decoded { form, .. }) = form::read(&body) {
        let json = serde_json::to_vec(&form).expect("a form is JSON");
        let read = form::read(&json).map(|decoded| decoded.form);
        assert_eq!(read, Ok(form), "its JSON reads as the form");
    }
    corpus(&body)
});

fn is_had_back(form: &Form) {
    let written = form::encode(form);
    match form::decode(written.as_bytes()) {
        // A bracket that never closes is one more when it is written.
        Err(ParseError::TooDeep { .. }) => {}
        read => assert_eq!(
            read.map(|decoded| decoded.form).as_ref(),
            Ok(form),
            "what is written reads as the form"
        ),
    }
}
