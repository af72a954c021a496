//! Redacted `Debug` output: `{:?}` writes only the length of data that a provider sent. A log line
//! must not hold personal data by mistake.

use std::fmt;

/// The number of bytes, written in place of the bytes.
pub(crate) struct Bytes(pub(crate) usize);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Delivery, Event, EventDraft, Identity, OwnTime, ParseError, Record, Timestamp};
    use serde_json::value::RawValue;
    use std::fmt::Debug;

    const SECRET: &str = "ada@example.com";

    fn delivery() -> Delivery {
        let arrival = Timestamp::from_epoch(1_795_255_200).unwrap();
        Delivery::new(
            format!(r#"{{"email":"{SECRET}"}}"#).into_bytes(),
            arrival,
            "r",
        )
    }

    fn draft(identity: Identity) -> EventDraft {
        EventDraft {
            source: "closer".to_owned(),
            r#type: "t".to_owned(),
            subject: "s/1".to_owned(),
            time: OwnTime::Missing,
            identity,
            index: 0,
            dataschema: None,
            originaltype: "T".to_owned(),
            apiversion: None,
            channel: None,
            eventid: None,
            data: RawValue::from_string(format!(r#"{{"email":"{SECRET}"}}"#)).unwrap(),
        }
    }

    fn identities() -> [Identity; 3] {
        let content = SECRET.as_bytes().to_vec();
        let text = || "x".to_owned();
        [
            Identity::Body {
                content: content.clone(),
            },
            Identity::Item {
                entity: text(),
                action: text(),
                content: content.clone(),
                beside: text(),
            },
            Identity::Named {
                event_id: text(),
                action: text(),
                entity: text(),
                entity_id: text(),
                merged_from_id: None,
                merged_to_id: None,
                content,
            },
        ]
    }

    fn event() -> Event {
        Event::new(
            &delivery(),
            draft(Identity::Body {
                content: Vec::new(),
            }),
        )
        .unwrap()
    }

    /// Asserts that `{:?}` writes the secret neither as text nor as a list of byte values.
    #[track_caller]
    fn assert_hidden(value: &impl Debug, bytes: usize) {
        let shown = format!("{value:?}");
        let numbers = format!("{:?}", SECRET.as_bytes());
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(!shown.contains(numbers.trim_matches(['[', ']'])), "{shown}");
        assert!(shown.contains(&format!("{bytes} bytes")), "{shown}");
    }

    #[test]
    fn debug_shows_the_length_of_what_a_provider_sent() {
        let bytes = delivery().body.len();
        assert_hidden(&delivery(), bytes);
        assert_hidden(&event(), bytes);
        for identity in identities() {
            assert_hidden(&identity, SECRET.len());
            assert_hidden(&draft(identity), bytes);
        }
        let other = Delivery {
            body: format!(" {SECRET}").into_bytes(),
            ..delivery()
        };
        for (delivery, parsed) in [
            (delivery(), Ok(vec![Ok(event())])),
            (other, Ok(vec![Ok(event())])),
            (delivery(), Ok(vec![Ok(event()), Ok(event())])),
            (delivery(), Ok(vec![Ok(event()), Err(ParseError::NoEvent)])),
            (delivery(), Err(ParseError::NoEvent)),
        ] {
            let bytes = delivery.body.len();
            let records = Record::from_delivery("closer", &delivery, parsed);
            assert_hidden(&records, bytes);
        }
    }
}
