//! `hookkeeper events history` without `--source`: the sources that it searches.

use super::{handles, put_late, site};
use snapbox::{assert_data_eq, str};
use std::time::Duration;
use testkit::{
    request::event,
    site::{Site, records},
};

const A_DAY: Duration = Duration::from_hours(24);

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_is_found_behind_any_number_of_newer_events() {
    let site = Site::start().await;
    site.put(
        &records(&providers::PIPEDRIVE, &event("pipedrive", 42)),
        None,
    )
    .await;
    for number in 0..1_500 {
        site.put(&records(&providers::CLOSER, &event("closer", number)), None)
            .await;
    }
    assert_eq!(
        handles(&site.run(&["events", "history", "deal/42"])).len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_is_found_whose_source_was_last_seen_days_ago() {
    let site = site().await;
    put_late(
        &site,
        &records(
            &providers::PIPEDRIVE,
            &event("pipedrive", 42).replace("\"7\"", "\"8\""),
        )[0],
        3 * A_DAY,
    )
    .await;
    assert_eq!(
        handles(&site.run(&["events", "history", "deal/42"])).len(),
        1
    );
    let (code, error) = site.fail(&["events", "history", "deal/42", "--since", "2d"]);
    assert!(
        code == 1 && error.contains("in the 3 sources since"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_the_searched_sources() {
    let site = site().await;
    put_late(
        &site,
        &records(&providers::CLOSER, &event("closer", 42))[0],
        29 * A_DAY,
    )
    .await;
    assert_data_eq!(
        site.fail(&["events", "history", "lead/43"]).1,
        str![[r#"
error: no events of lead/43 in the 3 sources since 20[..]Z: name a source with --source

"#]]
    );
    assert_data_eq!(
        site.fail(&["events", "history", "lead/43", "--source", "amocrm/1002"])
            .1,
        str![[r#"
error: no events of lead/43 in amocrm/1002

"#]]
    );
    assert_data_eq!(
        Site::start()
            .await
            .fail(&["events", "history", "lead/43", "--since", "1h"])
            .1,
        str![[r#"
error: no events of lead/43 in the 0 sources since 20[..]Z: name a source with --source

"#]]
    );
}
