//! The report in a real browser: Chromium without a window, driven through its driver (WebDriver over HTTP).
//!
//! It runs with the feature `browser`; `.ci/run` installs what it needs. Screenshots go to the folder that
//! `STRIATE_SCREENSHOTS` names, to be looked at.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::Folder;
use serde_json::{Value, json};

const CHECKS: &str = include_str!("browser/checks.js");
const SCREENS: [(&str, [u32; 2], &str); 4] = [
    ("phone-light", [360, 800], "light"),
    ("phone-dark", [360, 800], "dark"),
    ("desk-light", [1280, 900], "light"),
    ("desk-dark", [1280, 900], "dark"),
];

/// A browser that ends with the value.
struct Browser {
    driver: Child,
    session: String,
}

impl Browser {
    fn start() -> Self {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().expect("chromedriver: on Debian, apt-get install chromium chromium-driver");
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port =
            lines.filter_map(|l| l.split_once("started successfully on port ").map(|(_, p)| p.to_string())).next();
        let port = port.expect("chromedriver says its port");
        let base = format!("http://127.0.0.1:{}/session", port.trim_end_matches('.'));
        let args = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": { "args": args }, "goog:loggingPrefs": { "browser": "ALL" } } } });
        let started = post(&base, &wanted);
        let id = started["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {started}")).to_string();
        Self { driver, session: format!("{base}/{id}") }
    }

    fn ask(&self, what: &str, body: &Value) -> Value {
        post(&format!("{}/{what}", self.session), body)
    }

    /// A command of the protocol of Chromium's own tools.
    fn tool(&self, cmd: &str, params: &Value) -> Value {
        self.ask("goog/cdp/execute", &json!({ "cmd": cmd, "params": params }))
    }

    fn script(&self, script: &str) -> Value {
        self.ask("execute/sync", &json!({ "script": script, "args": [] }))
    }

    fn open(&self, page: &Path, [width, height]: [u32; 2], scheme: &str) {
        self.tool(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 }),
        );
        self.tool(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
        );
        self.ask("url", &json!({ "url": format!("file://{}", page.display()) }));
    }

    fn wrong(&self) -> Vec<String> {
        let found = self.script(CHECKS);
        let found = found.as_array().unwrap_or_else(|| panic!("the checks did not run: {found}"));
        found.iter().map(|line| line.as_str().unwrap().to_string()).collect()
    }

    fn screenshot(&self, name: &str) {
        let Ok(folder) = std::env::var("STRIATE_SCREENSHOTS") else { return };
        let picture = self.tool("Page.captureScreenshot", &json!({ "captureBeyondViewport": true, "format": "png" }));
        let data = picture["data"].as_str().unwrap().to_string();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), base64(&data)).unwrap();
    }

    fn press(&self, key: &str) {
        let keys = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.ask("actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": keys }] }));
    }

    /// What the browser has to say about the page.
    fn console(&self) -> Vec<String> {
        let all = self.ask("se/log", &json!({ "type": "browser" }));
        all.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap().to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn post(url: &str, body: &Value) -> Value {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.post(url).header("content-type", "application/json").send(body.to_string()).unwrap();
    let text = answer.body_mut().with_config().limit(200_000_000).read_to_string().unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    let value = &answer["value"];
    assert!(value["error"].is_null(), "{url}: {} {}", value["error"], value["message"]);
    value.clone()
}

// Source: RFC 4648, section 4.
fn base64(text: &str) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = text.bytes().filter(|b| *b != b'=').map(|b| u32::from(digit(b))).collect();
    let three = |four: &[u32]| {
        let word = four.iter().enumerate().fold(0, |w, (i, d)| w | d << (18 - 6 * i));
        [(word >> 16) as u8, (word >> 8) as u8, word as u8].into_iter().take(four.len() - 1)
    };
    digits.chunks(4).flat_map(three).collect()
}

fn reported(folder: &Folder) -> std::path::PathBuf {
    folder.ok(&["train", "mnist", "--limit", "3000", "--epochs", "2", "--validate", "0.1", "--quiet", "--out", "run"]);
    folder.ok(&["report", "run", "--quiet"]);
    folder.file("run/report.html")
}

#[test]
fn the_report_is_sound_on_a_phone_and_on_a_desk_in_light_and_dark() {
    let folder = Folder::new();
    let page = reported(&folder);
    let browser = Browser::start();
    for (name, size, scheme) in SCREENS {
        browser.open(&page, size, scheme);
        let back = browser.script("return getComputedStyle(document.body).backgroundColor");
        assert_eq!(back, if scheme == "dark" { "rgb(20, 24, 29)" } else { "rgb(255, 255, 255)" }, "{name}");
        browser.screenshot(name);
        assert_eq!(browser.wrong(), Vec::<String>::new(), "{name}");
        browser.script("for (const d of document.querySelectorAll('details')) d.open = true");
        browser.screenshot(&format!("{name}-open"));
        assert_eq!(browser.wrong(), Vec::<String>::new(), "{name}, all opened");
        // The matrix is wider than a phone: it scrolls, and the page does not.
        let scrolls = "const m = document.querySelector('.matrix').parentElement; return m.scrollWidth > m.clientWidth";
        assert_eq!(browser.script(scrolls), size[0] < 500, "{name}");
    }
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn keys_reach_everything_and_every_picture_is_told() {
    let folder = Folder::new();
    let page = reported(&folder);
    let browser = Browser::start();
    browser.open(&page, [360, 800], "light");
    browser.press("\u{e004}");
    assert_eq!(browser.script("return document.activeElement.className"), "skip");
    let top = "return document.activeElement.getBoundingClientRect().top";
    assert!(browser.script(top).as_f64().unwrap() >= 0.0, "the link is seen when it has the focus");
    browser.press("\u{e007}");
    assert_eq!(browser.script("return document.activeElement.id"), "main");
    // From the top, each stop in its order, until the keys leave the page or begin anew.
    browser.open(&page, [360, 800], "light");
    let stops = "[...document.querySelectorAll('a[href], summary, .scroll')].filter((e) => e.checkVisibility())";
    let count = browser.script(&format!("return {stops}.length")).as_i64().unwrap();
    let mut seen = Vec::new();
    for _ in 0..count + 1 {
        browser.press("\u{e004}");
        let at = browser.script(&format!("return {stops}.indexOf(document.activeElement)")).as_i64().unwrap();
        if at < 0 || seen.contains(&at) {
            break;
        }
        seen.push(at);
    }
    assert_eq!(seen, (0..count).collect::<Vec<_>>());
    assert!(count > 15, "only {count} stops");

    let tree = browser.tool("Accessibility.getFullAXTree", &json!({}));
    let nodes = tree["nodes"].as_array().unwrap();
    let role = |n: &Value| n["role"]["value"].as_str().unwrap_or_default().to_string();
    let mut told = 0;
    for node in nodes.iter().filter(|n| n["ignored"] == false) {
        if ["image", "link", "region", "heading", "navigation", "table"].contains(&role(node).as_str()) {
            assert!(!node["name"]["value"].as_str().unwrap_or_default().trim().is_empty(), "{node}");
            told += 1;
        }
    }
    assert!(told > 80, "only {told} pictures, links, regions, headings and tables");
    for wanted in ["main", "banner", "navigation", "contentinfo"] {
        assert!(nodes.iter().any(|n| role(n) == wanted), "no landmark '{wanted}'");
    }
}

const WRONG: &str = "<!DOCTYPE html><html lang=\"en\"><style>:focus{outline:none!important}.scroll{overflow:auto;width:9em}</style>
<div style=\"width:3000px\">wide</div><img src=\"data:,\"><p style=\"color:#aaa\">pale</p><p style=\"font-size:5px\">small</p>
<svg role=\"img\" viewBox=\"0 0 9 9\"></svg><a href=\"#x\"></a><div class=\"scroll\"><pre>0123456789012345678901234567890123456789</pre></div></html>";

#[test]
fn the_checks_see_what_is_wrong() {
    let folder = Folder::new();
    let page = folder.write("wrong.html", WRONG);
    let browser = Browser::start();
    browser.open(&page, [360, 800], "light");
    let found = browser.wrong().join("\n");
    let all = [
        "pixels wide",
        "sticks out",
        "not loaded",
        "without words",
        "an SVG without a name",
        "contrast 2.3",
        "text 5.0",
        "focus without a name",
        "focus cannot be seen",
        "scrolls, but not by keys",
    ];
    for wanted in all {
        assert!(found.contains(wanted), "'{wanted}' is not in:\n{found}");
    }
}
