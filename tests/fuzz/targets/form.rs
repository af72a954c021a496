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
        assert_restored(&form);
    }
    if let Ok(Decoded { form, .. }) = form::read(&body) {
        let json = serde_json::to_vec(&form).expect("a form is JSON");
        let read = form::read(&json).map(|decoded| decoded.form);
        assert_eq!(read, Ok(form), "JSON changes the form");
    }
    corpus(&body)
});

/// Asserts that a form can be encoded and decoded again.
fn assert_restored(form: &Form) {
    match form::decode(form::encode(form).as_bytes()) {
        // An unclosed bracket is one more level when it is encoded.
        Err(ParseError::TooDeep { .. }) => {}
        decoded => {
            let decoded = decoded.map(|decoded| decoded.form);
            assert_eq!(decoded.as_ref(), Ok(form), "encoding changes the form");
        }
    }
}
