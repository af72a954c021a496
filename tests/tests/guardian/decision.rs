//! The rows of the decision table, without an API.

use guardian::{Creation, Decision, Facts, Finding};
use models::Timestamp;
use providers::{
    api::{Basic, Wanted, Webhook},
    pipedrive::api::API,
};
use std::collections::BTreeSet;

const URL: &str = "https://hooks.example.com/pipedrive";

fn wanted() -> Wanted {
    let basic = Basic {
        user: "hookkeeper".to_owned(),
        password: "password".to_owned(),
    };
    (API.wanted)(URL.to_owned(), Some(basic))
}

/// A webhook of ours, as it is wanted and alive.
fn ours(id: u64) -> Webhook {
    Webhook {
        id,
        url: URL.to_owned(),
        kind: "*.* 2.0".to_owned(),
        topics: BTreeSet::new(),
        user: Some("hookkeeper".to_owned()),
        name: None,
        dead: None,
        created: None,
        last_delivery: None,
        last_status: None,
    }
}

fn dead(id: u64) -> Webhook {
    Webhook {
        dead: Some("inactive".to_owned()),
        ..ours(id)
    }
}

fn with_user(id: u64, user: &str) -> Webhook {
    Webhook {
        user: Some(user.to_owned()),
        ..ours(id)
    }
}

fn delivered(id: u64, time: &str) -> Webhook {
    Webhook {
        last_delivery: Timestamp::parse(time),
        ..ours(id)
    }
}

/// Why a webhook is created, or which ones are deleted and why.
#[derive(Debug, PartialEq)]
enum Decided {
    Create(Finding, Option<u64>),
    Delete(Vec<(Finding, u64)>),
}

fn decide(listed: &[Webhook]) -> Decided {
    let facts = Facts {
        listed,
        wanted: &wanted(),
        known: &[90, 91].into(),
    };
    match facts.decide() {
        Decision::Create(Creation { finding, replaces }) => {
            Decided::Create(finding, replaces.map(|webhook| webhook.id))
        }
        Decision::Keep(deletions) => {
            let deletions = deletions.iter();
            Decided::Delete(
                deletions
                    .map(|deletion| (deletion.finding, deletion.webhook.id))
                    .collect(),
            )
        }
    }
}

#[test]
fn one_with_our_url_as_wanted_and_alive_stays() {
    assert_eq!(decide(&[ours(1)]), Decided::Delete(vec![]));
}

#[test]
fn a_user_that_the_list_does_not_show_is_taken_for_ours() {
    let shown = Webhook {
        user: None,
        ..ours(1)
    };
    assert_eq!(decide(&[shown]), Decided::Delete(vec![]));
}

#[test]
fn of_several_the_one_that_delivered_last_stays() {
    let listed = [
        ours(1),
        delivered(2, "2026-11-21T10:00:00Z"),
        delivered(3, "2026-11-21T09:00:00Z"),
    ];
    let deleted = vec![(Finding::Duplicate, 1), (Finding::Duplicate, 3)];
    assert_eq!(decide(&listed), Decided::Delete(deleted));
}

#[test]
fn of_several_that_delivered_at_the_same_time_the_lowest_id_stays() {
    let at = "2026-11-21T10:00:00Z";
    for listed in [
        [ours(6), ours(5)],
        [ours(5), ours(6)],
        [delivered(5, at), delivered(6, at)],
    ] {
        let deleted = vec![(Finding::Duplicate, 6)];
        assert_eq!(decide(&listed), Decided::Delete(deleted));
    }
}

#[test]
fn none_is_created() {
    assert_eq!(decide(&[]), Decided::Create(Finding::Missing, None));
}

#[test]
fn ours_dead_is_created_and_not_deleted_yet() {
    assert_eq!(decide(&[dead(1)]), Decided::Create(Finding::Dead, Some(1)));
}

#[test]
fn ours_dead_is_deleted_when_the_list_has_its_successor() {
    let deleted = vec![(Finding::Dead, 1)];
    assert_eq!(decide(&[dead(1), ours(2)]), Decided::Delete(deleted));
}

#[test]
fn ours_with_another_user_is_created_and_not_deleted_yet() {
    for user in ["old", ""] {
        assert_eq!(
            decide(&[with_user(1, user)]),
            Decided::Create(Finding::Superseded, Some(1))
        );
    }
}

#[test]
fn ours_with_another_user_is_deleted_when_the_list_has_its_successor() {
    let deleted = vec![(Finding::Superseded, 1)];
    let listed = [with_user(1, "old"), ours(2)];
    assert_eq!(decide(&listed), Decided::Delete(deleted));
}

#[test]
fn ours_of_another_kind_is_left_alone() {
    for kind in ["*.* 1.0", "change.deal 2.0", "create.* 2.0"] {
        let other = Webhook {
            kind: kind.to_owned(),
            ..ours(1)
        };
        let listed = [other.clone(), ours(2)];
        assert_eq!(decide(&listed), Decided::Delete(vec![]), "{kind}");
        let missing = Decided::Create(Finding::Missing, None);
        assert_eq!(decide(&[other]), missing, "{kind}");
    }
}

#[test]
fn another_s_webhook_is_left_alone() {
    for url in [
        "https://hooks.example.com/pipedrive/",
        "https://hooks.example.com/Pipedrive",
        "https://hooks.example.com/pipedrive?key=1",
        "https://hooks.example.com/pipedrive2",
        "http://hooks.example.com/pipedrive",
        "https://hooks.example.com:443/pipedrive",
        "https://crm.example.org/",
    ] {
        for webhook in [ours(1), dead(1)] {
            let other = Webhook {
                url: url.to_owned(),
                ..webhook
            };
            let listed = [other, ours(2)];
            assert_eq!(decide(&listed), Decided::Delete(vec![]), "{url}");
        }
    }
}

#[test]
fn a_known_webhook_with_another_key_is_ours() {
    let other_key = |id| Webhook {
        url: format!("{URL}?key=old"),
        ..ours(id)
    };
    let deleted = vec![(Finding::Superseded, 90)];
    assert_eq!(decide(&[other_key(90), ours(2)]), Decided::Delete(deleted));
    let moved = Webhook {
        url: "https://other.example.com/pipedrive".to_owned(),
        ..ours(91)
    };
    assert_eq!(decide(&[moved, ours(2)]), Decided::Delete(vec![]));
}
