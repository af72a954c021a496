//! What a person does on the page.

use super::{Browser, Page, Site, json};
use testkit::{
    dev::Dev,
    request::event,
    sink::Sink,
    site::{quarantined, records},
};

const STATUS: &str = "document.getElementById('status').textContent";

#[tokio::test(flavor = "multi_thread")]
async fn quarantined_deliveries_are_replayed_and_dropped() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let site = Site::start().await;
    for number in 1..=3 {
        let event = event("closer", number);
        site.put(&[quarantined(&providers::CLOSER, &event)], None)
            .await;
    }
    site.put(&records(&providers::CLOSER, "{"), None).await;
    let only_reads = Page::start(&site);
    browser
        .open(&only_reads, "/quarantine?since=2026-11-01")
        .await;
    browser
        .wait_for_number("[data-testid=quarantine-row]", 4)
        .await;
    browser.wait_for_number("form", 0).await;

    let page = Page::start_with(&site, &["--write"]);
    browser.open(&page, "/quarantine?since=2026-11-01").await;
    let row = "[data-testid=quarantine-row]";
    browser
        .click(&format!("{row} form[data-post$=replay] button"))
        .await;
    browser
        .wait_for(STATUS, &json!("1 replayed, 0 still in quarantine."))
        .await;
    browser.wait_for_number(row, 3).await;
    assert_eq!(page.handles("").len(), 1);

    browser
        .click(&format!("{row}:last-child form[data-post$=replay] button"))
        .await;
    browser
        .wait_for(&format!("{STATUS}.startsWith('It stays: ')"), &json!(true))
        .await;

    let drop = format!("{row}:last-child form[data-post$=drop] button");
    browser.click(&drop).await;
    browser.driver.dismiss_alert().await.unwrap();
    browser.wait_for_number(row, 3).await;
    browser.click(&drop).await;
    browser.driver.accept_alert().await.unwrap();
    browser.wait_for_number(row, 2).await;

    browser.click("main > form[data-post$=replay] button").await;
    browser
        .wait_for(STATUS, &json!("2 replayed, 0 still in quarantine."))
        .await;
    browser.wait_for_number(row, 0).await;
    assert_eq!(page.handles("").len(), 3);
    assert!(
        page.html("/quarantine?since=2026-11-01")
            .contains("There are none")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_sent_again_to_a_url() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let site = Site::start().await;
    super::super::put(&site, "closer", 1).await;
    let page = Page::start(&site);
    let handle = page.handles("").remove(0);
    let sink = Sink::answering(&[204, 418]).await;
    browser.open(&page, &format!("/events/{handle}")).await;
    browser
        .find("input[name=url]")
        .await
        .send_keys(sink.url("hook"))
        .await
        .unwrap();
    browser
        .find("input[name=header]")
        .await
        .send_keys("X-Key: 42")
        .await
        .unwrap();
    browser.click("form[data-post$=send] button").await;
    browser
        .wait_for(
            &format!("{STATUS}.startsWith('Sent: the server answered 204')"),
            &json!(true),
        )
        .await;
    let taken = sink.taken().remove(0);
    assert_eq!(taken.body, event("closer", 1).into_bytes());
    assert_eq!(
        (
            &*taken.headers["x-key"],
            &*taken.headers["hookkeeper-handle"]
        ),
        ("42", &*handle)
    );
    browser.click("form[data-post$=send] button").await;
    browser
        .wait_for(STATUS, &json!("the server answered 418"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_dev_sends_a_sample_and_shows_it() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let dev = Dev::start("memory");
    let url = dev.page_url();
    browser.driver.goto(&url).await.unwrap();
    let choose = "document.querySelector('select[name=sample]').value = 'amocrm/leads_status'";
    browser.value(choose).await;
    browser.click("form[data-post$=send] button").await;
    browser
        .wait_for(&format!("{STATUS}.startsWith('200 in ')"), &json!(true))
        .await;
    browser.wait_for_number("[data-testid=event-row]", 1).await;
    let row = browser.text("[data-testid=event-row] .type").await;
    assert_eq!(row, "lead.status_changed");
}
