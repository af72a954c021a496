//! Tables of the authenticator: which credentials it accepts, and under which label.

use base64::{Engine, engine::general_purpose::STANDARD};
use ingest::{Authenticator, CredentialsError, Request};
use lambda_http::{
    aws_lambda_events::apigw::ApiGatewayV2httpRequest,
    http::{HeaderValue, header::AUTHORIZATION},
};
use providers::{Provider, Scheme};
use testkit::request::{accepted, basic};

/// A provider that supports URL keys, and one that does not.
fn providers() -> [Provider; 2] {
    [true, false].map(|with_keys| {
        let mut all = providers::ALL.into_iter();
        all.find(|provider| provider.supports(Scheme::UrlKey) == with_keys)
            .unwrap()
    })
}

fn list(secrets: &[(&str, &str)]) -> String {
    let entries: Vec<_> = secrets
        .iter()
        .map(|(label, secret)| accepted(label, secret))
        .collect();
    entries.join(", ")
}

/// The label under which an authenticator accepts a request with this header and this query.
fn label(gate: &Authenticator, authorization: Option<&str>, query: &str) -> Option<String> {
    let mut event = ApiGatewayV2httpRequest::default();
    event.body = Some("body".to_owned());
    event.raw_query_string = Some(query.to_owned());
    if let Some(value) = authorization {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        event.headers.insert(AUTHORIZATION, value);
    }
    let authenticated = gate.authenticate(Request::from_event(event, None))?;
    assert_eq!(authenticated.delivery().body, b"body");
    Some(authenticated.delivery().origin.credential.clone().unwrap())
}

#[test]
fn a_header_authenticates_only_listed_credentials() {
    let credentials = list(&[
        ("old", "user:first"),
        ("new", "user:second"),
        ("colons", "user:a:b:"),
        ("utf8", "usér:wörd"),
    ]);
    let gate = Authenticator::new(&providers()[1], &credentials, "").unwrap();
    let first = STANDARD.encode("user:first");
    let table = [
        (basic("user:first"), Some("old")),
        (basic("user:second"), Some("new")),
        (basic("user:a:b:"), Some("colons")),
        (basic("usér:wörd"), Some("utf8")),
        (["basic ", &first].concat(), Some("old")),
        (["BASIC ", &first].concat(), Some("old")),
        (["bAsIc    ", &first].concat(), Some("old")),
        ([" Basic ", &first].concat(), Some("old")),
        (format!("Basic {first}  \t"), Some("old")),
        (
            format!("Basic {}", first.trim_end_matches('=')),
            Some("old"),
        ),
        (String::new(), None),
        ("Basic".to_owned(), None),
        ("Basic ".to_owned(), None),
        (first.clone(), None),
        (["Basic", &first].concat(), None),
        (["Bearer ", &first].concat(), None),
        (["Digest ", &first].concat(), None),
        (["Basic ", "user:first"].concat(), None),
        (["Basic ", "%%%%"].concat(), None),
        (["Basic ", "é"].concat(), None),
        (basic("userfirst"), None),
        (basic(":"), None),
        (basic("user:"), None),
        (basic(":first"), None),
        (basic("user:First"), None),
        (basic("user:first "), None),
        (basic("user:first\n"), None),
        (basic("user:firs"), None),
        (basic("user:firstuser:first"), None),
        // Two headers, joined as API Gateway does.
        (format!("{0},{0}", basic("user:first")), None),
        (format!("{}, Bearer x", basic("user:first")), None),
    ];
    for (header, expected) in table {
        assert_eq!(
            label(&gate, Some(&header), "").as_deref(),
            expected,
            "{header:?}"
        );
    }
    assert_eq!(label(&gate, None, ""), None);
}

#[test]
fn a_key_authenticates_only_where_the_provider_allows_keys() {
    let [with_keys, without] = providers();
    let (credentials, keys) = (
        list(&[("basic", "user:password")]),
        list(&[("old", "k-1_a"), ("new", "key+two")]),
    );
    let gate = Authenticator::new(&with_keys, &credentials, &keys).unwrap();
    let table = [
        ("key=k-1_a", Some("old")),
        ("key=%6B%2D1_a", Some("old")),
        ("%6Bey=k-1_a", Some("old")),
        ("a=b&key=k-1_a&&c", Some("old")),
        ("key=key%2Btwo", Some("new")),
        ("key=key+two", None),
        ("key=k-1_a&key=k-1_a", None),
        ("key=k-1_a&key=", None),
        ("key=wrong", None),
        ("key=K-1_a", None),
        ("key=k-1_a%00", None),
        ("key=", None),
        ("key", None),
        ("Key=k-1_a", None),
        ("key=user:password", None),
        ("key=%", None),
        ("key=%FF<\" \u{1}", None),
        ("", None),
    ];
    for (query, expected) in table {
        assert_eq!(label(&gate, None, query).as_deref(), expected, "{query:?}");
        assert_eq!(
            label(&gate, Some("Basic eA=="), query).as_deref(),
            expected,
            "{query:?}, a wrong header too"
        );
        assert_eq!(
            label(&gate, Some(&basic("user:password")), query).as_deref(),
            Some("basic"),
            "{query:?}"
        );
    }
    assert_eq!(
        label(&gate, Some(&basic("k-1_a")), ""),
        None,
        "a key is no password"
    );

    let gate = Authenticator::new(&without, &credentials, "").unwrap();
    assert_eq!(label(&gate, None, "key=k-1_a"), None);
    assert_eq!(label(&gate, None, "key=user:password"), None);
}

/// If two entries match, the second one counts: the comparison does not stop at the first match.
#[test]
fn every_entry_is_compared() {
    let twice = list(&[
        ("first", "user:password"),
        ("other", "x"),
        ("last", "user:password"),
        ("more", "y"),
    ]);
    let gate = Authenticator::new(&providers()[0], &twice, &twice).unwrap();
    assert_eq!(
        label(&gate, Some(&basic("user:password")), "").as_deref(),
        Some("last")
    );
    assert_eq!(
        label(&gate, None, "key=user:password").as_deref(),
        Some("last")
    );
}

#[test]
fn a_malformed_credential_list_is_rejected() {
    let [with_keys, without] = providers();
    let good = accepted("label", "secret");
    let digest = good.trim_start_matches("label:");
    let malformed = |entry| CredentialsError::Malformed {
        variable: "AMOCRM_CREDENTIALS".to_owned(),
        entry,
    };
    let table = [
        (good.clone(), None),
        (format!(" {good} ,, {good},"), None),
        (format!("a-1:{}", digest.to_uppercase()), None),
        (
            String::new(),
            Some(CredentialsError::NoCredential(
                "AMOCRM_CREDENTIALS or AMOCRM_KEYS".to_owned(),
            )),
        ),
        (
            " , ".to_owned(),
            Some(CredentialsError::NoCredential(
                "AMOCRM_CREDENTIALS or AMOCRM_KEYS".to_owned(),
            )),
        ),
        (digest.to_owned(), Some(malformed(1))),
        (format!(":{digest}"), Some(malformed(1))),
        (format!("Label:{digest}"), Some(malformed(1))),
        (format!("a label:{digest}"), Some(malformed(1))),
        (format!("label:{}", &digest[1..]), Some(malformed(1))),
        (format!("label:{digest}0"), Some(malformed(1))),
        (format!("label:{}", "g".repeat(64)), Some(malformed(1))),
        (format!("label:{}", "+f".repeat(32)), Some(malformed(1))),
        (format!("label:{}", "é".repeat(32)), Some(malformed(1))),
        (format!("label: {}", &digest[1..]), Some(malformed(1))),
        (format!("{good},{good},user:password"), Some(malformed(3))),
        (format!("{good};{good}"), Some(malformed(1))),
    ];
    for (list, expected) in table {
        assert_eq!(
            Authenticator::new(&with_keys, &list, "").err(),
            expected,
            "{list:?}"
        );
    }
    assert!(Authenticator::new(&with_keys, "", &good).is_ok());
    assert_eq!(
        Authenticator::new(&without, &good, &good).unwrap_err(),
        CredentialsError::KeysNotAllowed("PIPEDRIVE_KEYS".to_owned())
    );
}
