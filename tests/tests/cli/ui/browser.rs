//! The page in a real browser. The environment variable `CHROMEDRIVER` names the driver of Chromium, and
//! `AXE` the file `axe.min.js` of axe-core, as `.ci/run` sets them. Without them these tests do nothing.

mod actions;
mod hostile;
mod live;
mod views;

use super::Page;
use crate::process::Killed;
use serde_json::{Value, json};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};
use testkit::site::{Site, encoded, records};
use thirtyfour::prelude::*;
use tokio::{
    sync::{Mutex, MutexGuard},
    task::block_in_place,
    time::{sleep, timeout},
};

/// One browser at a time: each of them keeps a core busy.
static TURN: Mutex<()> = Mutex::const_new(());

/// How long the page may take to show something.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser and its driver. They are dropped in this order: a session that is dropped lets its driver
/// end the browser.
struct Browser {
    driver: WebDriver,
    _process: Killed,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts a browser. `None` if this machine has none for the tests.
    async fn start() -> Option<Self> {
        let chromedriver = env::var_os("CHROMEDRIVER")?;
        let turn = TURN.lock().await;
        let mut process = Command::new(chromedriver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        let started = "was started successfully on port ";
        let port = block_in_place(|| {
            let mut lines = stdout.by_ref().map(Result::unwrap);
            let line = lines.find(|line| line.contains(started)).unwrap();
            line.split(started)
                .last()
                .unwrap()
                .trim_end_matches('.')
                .to_owned()
        });
        let mut capabilities = DesiredCapabilities::chrome();
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
        ] {
            capabilities.add_arg(argument).unwrap();
        }
        let url = format!("http://127.0.0.1:{port}");
        let driver = WebDriver::new(&url, capabilities).await.unwrap();
        Some(Self {
            driver,
            _process: Killed(process),
            _turn: turn,
        })
    }

    async fn open(&self, page: &Page, path: &str) {
        let url = format!("http://{}{path}", page.address);
        self.driver.goto(url).await.unwrap();
    }

    /// The value of an expression on the page.
    async fn value(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        let value = self.driver.execute(&script, Vec::new()).await.unwrap();
        value.json().clone()
    }

    /// Waits until an expression has a value.
    async fn wait_for(&self, expression: &str, wanted: &Value) {
        let mut last = Value::Null;
        let waiting = async {
            loop {
                last = self.value(expression).await;
                if last == *wanted {
                    break;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let outcome = timeout(PATIENCE, waiting).await;
        assert!(outcome.is_ok(), "{expression} is {last}, and not {wanted}");
    }

    async fn wait_for_number(&self, selector: &str, number: usize) {
        let expression = format!("document.querySelectorAll({}).length", json!(selector));
        self.wait_for(&expression, &json!(number)).await;
    }

    async fn text(&self, selector: &str) -> String {
        self.find(selector).await.text().await.unwrap()
    }

    async fn find(&self, selector: &str) -> WebElement {
        self.driver.find(By::Css(selector)).await.unwrap()
    }

    async fn click(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap();
    }

    async fn press(&self, keys: impl Into<TypingData>) {
        let body = self.driver.active_element().await.unwrap();
        body.send_keys(keys).await.unwrap();
    }

    /// The handle of the list's row that has the focus.
    async fn focused(&self) -> Value {
        self.value("document.activeElement.closest('tr')?.dataset.handle ?? null")
            .await
    }

    /// Shows pages of this size, light or dark.
    async fn emulate(&self, width: u32, scheme: &str) {
        let tools = self.driver.cdp();
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1,
            "mobile": width < 500 });
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        for (command, parameters) in [
            ("Emulation.setDeviceMetricsOverride", metrics),
            ("Emulation.setEmulatedMedia", media),
        ] {
            tools.send_raw(command, parameters).await.unwrap();
        }
    }

    /// The rules of axe-core that the page breaks, with the elements that do.
    async fn broken_rules(&self) -> Value {
        let axe = fs::read_to_string(env::var_os("AXE").expect("AXE names axe.min.js")).unwrap();
        self.driver.execute(&axe, Vec::new()).await.unwrap();
        let script = "const done = arguments[0];
            axe.run().then(({ violations }) => done(violations.map(({ id, impact, nodes }) =>
                ({ id, impact, nodes: nodes.map(({ html }) => html) }))));";
        let broken = self.driver.execute_async(script, Vec::new()).await.unwrap();
        broken.json().clone()
    }
}

/// Records a delivery as if it had arrived some time ago.
async fn put_ago(site: &Site, provider: &str, body: &str, ago: Duration) {
    let recorded = site.table.now().before(ago);
    for record in records(&testkit::provider(provider), body) {
        for item in encoded(&record) {
            site.table.put(item, recorded).await.unwrap();
        }
    }
}

/// A Pipedrive webhook of a deal, as v2 sends it.
fn deal(id: u32, second: u32, data: &Value) -> String {
    let mut deal = json!({ "id": id, "title": format!("Deal {id}") });
    for (key, value) in data.as_object().unwrap() {
        deal[key] = value.clone();
    }
    let action = if second == 0 { "create" } else { "change" };
    let meta = json!({ "action": action, "entity": "deal", "entity_id": id.to_string(),
        "company_id": "7", "id": format!("9b3c1d52-52a8-45c8-9f6e-{id:06}{second:06}"),
        "version": "2.0", "timestamp": format!("2026-11-21T10:18:{second:02}.417Z") });
    json!({ "data": deal, "previous": {}, "meta": meta }).to_string()
}
