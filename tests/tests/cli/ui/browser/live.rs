//! The list: events appear, filters are in the URL, bars are links, and keys move.

use super::{Browser, Page, Site, deal, json, put_ago};
use std::time::Duration;
use testkit::request::event;
use thirtyfour::Key;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_event_appears_without_moving_what_is_read() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let site = Site::start().await;
    for number in 0..40 {
        put_ago(
            &site,
            "closer",
            &event("closer", number),
            Duration::from_secs(100),
        )
        .await;
    }
    let page = Page::start(&site);
    browser.emulate(1280, "light").await;
    browser.open(&page, "/").await;
    browser.wait_for_number("#activity .bar", 24).await;
    browser.value("window.scrollTo(0, 600)").await;
    let place = "Math.round(document.querySelectorAll('[data-testid=event-row]')\
        [arguments.length ? 0 : document.querySelectorAll('[data-testid=event-row]').length - 5]\
        .getBoundingClientRect().top)";
    let before = browser.value(place).await;
    super::super::put(&site, "pipedrive", 1).await;
    browser.wait_for_number("[data-testid=event-row]", 41).await;
    assert_eq!(
        browser.value(place).await,
        before,
        "a row that is read has moved"
    );
    let newest = browser.text("[data-testid=event-row] .source").await;
    assert_eq!(newest, "pipedrive/7");

    // As the server renders it.
    let html = "document.querySelector('[data-testid=event-row]').outerHTML";
    let by_script = browser.value(html).await;
    browser.open(&page, "/").await;
    assert_eq!(browser.value(html).await, by_script);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_in_the_url_and_bars_are_links_to_them() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let site = Site::start().await;
    let ago = |hours: u64| Duration::from_secs(3_600 * hours + 5);
    put_ago(&site, "pipedrive", &deal(1, 0, &json!({})), ago(0)).await;
    put_ago(&site, "pipedrive", &deal(1, 1, &json!({})), ago(2)).await;
    put_ago(&site, "closer", &event("closer", 1), ago(2)).await;
    let page = Page::start(&site);
    browser.open(&page, "/?provider=closer").await;
    browser.wait_for_number("[data-testid=event-row]", 1).await;
    browser.open(&page, "/").await;
    browser
        .find("input[name=type]")
        .await
        .send_keys("deal.updated")
        .await
        .unwrap();
    browser.click("form.filter button").await;
    browser
        .wait_for("location.search", &json!("?type=deal.updated"))
        .await;
    browser.wait_for_number("[data-testid=event-row]", 1).await;

    browser.open(&page, "/").await;
    browser.wait_for_number("#activity .bar", 24).await;
    let of_two =
        "[...document.querySelectorAll('.bar')].find((bar) => bar.title.includes('2 events'))";
    browser.value(&format!("{of_two}.click()")).await;
    browser
        .wait_for("location.search.startsWith('?since=')", &json!(true))
        .await;
    browser.wait_for_number("[data-testid=event-row]", 2).await;
    browser.open(&page, "/").await;
    browser.wait_for_number("#activity .kinds a", 3).await;
    browser
        .driver
        .find(thirtyfour::By::LinkText("pipedrive deal.created"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    browser
        .wait_for(
            "location.search",
            &json!("?provider=pipedrive&type=deal.created"),
        )
        .await;
    browser.wait_for_number("[data-testid=event-row]", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_move_between_rows_and_views() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let site = Site::start().await;
    for number in 0..3 {
        super::super::put(&site, "closer", number).await;
    }
    let handles = super::super::listed(&site, &[]);
    let page = Page::start(&site);
    browser.open(&page, "/?since=1h").await;
    browser.wait_for_number("[data-testid=event-row]", 3).await;
    for (key, row) in [("j", 0), ("j", 1), ("j", 2), ("j", 2), ("k", 1)] {
        browser.press(key).await;
        assert_eq!(browser.focused().await, json!(handles[row]), "{key}");
    }
    browser.press(Key::Enter).await;
    let event = format!("/events/{}", handles[1]);
    browser.wait_for("location.pathname", &json!(event)).await;
    browser.press(Key::Escape).await;
    browser
        .wait_for("location.pathname + location.search", &json!("/?since=1h"))
        .await;
    browser
        .wait_for(
            "document.activeElement.closest('tr')?.dataset.handle",
            &json!(handles[1]),
        )
        .await;
    browser.press("/").await;
    browser
        .wait_for("document.activeElement.name", &json!("q"))
        .await;
}
