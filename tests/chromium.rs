//! Chromium, which tests control as its user does.
//!
//! A test fails if the browser is not installed, and says what to install.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fantoccini::{Client, ClientBuilder, Locator, cookies::Cookie};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{folder::temporary_folder, servers::dying_with_us};

/// How long a page may take to show what a test expects. The machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// The data of one user: cookies, cache and history, which outlast a restart of the browser.
#[derive(Debug)]
pub struct Profile {
    folder: Option<TempDir>,
}

impl Default for Profile {
    fn default() -> Self {
        Self { folder: Some(temporary_folder()) }
    }
}

impl Profile {
    fn folder(&self) -> &Path {
        self.folder.as_ref().expect("it is taken on drop only").path()
    }

    /// Starts the browser.
    pub async fn open(&self) -> Chromium {
        self.open_as(json!({}), &[]).await
    }

    /// Starts the browser as one of a phone, 360 pixels wide, whose user likes dark pages.
    pub async fn open_dark_phone(&self) -> Chromium {
        let phone = json!({ "deviceMetrics": { "width": 360, "height": 740, "pixelRatio": 2 } });
        self.open_as(phone, &["--blink-settings=preferredColorScheme=0"]).await
    }

    /// `device` is what Chromium calls `mobileEmulation`.
    async fn open_as(&self, device: Value, more: &[&str]) -> Chromium {
        let driver = Driver::start(self.folder());
        let mut options = json!({
            "goog:chromeOptions": {
                "binary": Path::new(env!("CARGO_MANIFEST_DIR")).join("bin/chromium"),
                "args": [
                    format!("--user-data-dir={}", self.folder().join("profile").display()),
                    "--headless=new",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--disable-dev-shm-usage",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--window-size=900,700",
                    // Hosts that are not this machine's own, as the browser sees it.
                    "--host-resolver-rules=MAP *.test 127.0.0.1",
                ],
                // Some builds of Chromium block all third-party cookies; other browsers do not.
                "prefs": { "profile": { "cookie_controls_mode": 0, "block_third_party_cookies": false } },
            },
        });
        let chromium = &mut options["goog:chromeOptions"];
        chromium["args"].as_array_mut().expect("a list").extend(more.iter().map(|it| json!(it)));
        if device != json!({}) {
            chromium["mobileEmulation"] = device;
        }
        let Value::Object(options) = options else { unreachable!("it is written as an object") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(options)
            .connect(&driver.url)
            .await;
        match client {
            Ok(client) => Chromium { client, _driver: driver },
            Err(error) => panic!(
                "Chromium does not start: {error}\nIf it is missing: apt-get install chromium\n{}",
                fs::read_to_string(self.folder().join("log")).unwrap_or_default()
            ),
        }
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        let folder = self.folder.take().expect("it is dropped once");
        let start = Instant::now();
        // A browser that was killed may still write into it for a moment.
        while fs::remove_dir_all(folder.path()).is_err() && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A running chromedriver. Dropping it kills it, and the browser that it started.
#[derive(Debug)]
struct Driver {
    child: Child,
    url: String,
    /// Kept open, because it may print more.
    _output: BufReader<ChildStdout>,
}

/// How often to start a driver whose port was taken.
const STARTS: usize = 5;

impl Driver {
    fn start(folder: &Path) -> Self {
        assert!(
            Command::new("chromedriver").arg("--version").stdout(Stdio::null()).status().is_ok(),
            "`chromedriver` is missing: apt-get install chromium chromium-driver"
        );
        let mut printed = String::new();
        for _ in 0..STARTS {
            match Self::try_start(folder) {
                Ok(started) => return started,
                // It picks a port that is free on IPv6, which may be taken on IPv4.
                Err(why) if why.contains("port not available") => printed = why,
                Err(why) => panic!("chromedriver does not start: {why}"),
            }
        }
        panic!("chromedriver does not start: {printed}")
    }

    /// The error is what it printed before it ended.
    fn try_start(folder: &Path) -> Result<Self, String> {
        let log = File::create(folder.join("log")).expect("a writable folder");
        let mut child = dying_with_us(Path::new("chromedriver"))
            .arg("--port=0")
            .env("TMPDIR", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("`setpriv` comes with every Debian");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut printed = String::new();
        let port: u16 = loop {
            let mut line = String::new();
            let length = output.read_line(&mut line).expect("text");
            if length == 0 {
                child.wait().expect("our own child");
                return Err(printed);
            }
            let port = line
                .split_once("on port ")
                .and_then(|(_, port)| port.trim_end().trim_end_matches('.').parse().ok());
            match port {
                // The first line has the port that was asked for, 0.
                Some(port) if port != 0 => break port,
                _ => printed += &line,
            }
        };
        Ok(Self { child, url: format!("http://127.0.0.1:{port}"), _output: output })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }
}

/// A running browser.
#[derive(Debug)]
pub struct Chromium {
    client: Client,
    _driver: Driver,
}

impl Chromium {
    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.expect("the page opens");
    }

    /// Goes back to the page before.
    pub async fn back(&self) {
        self.client.back().await.expect("there is a page before");
    }

    /// Opens a tab and goes there.
    pub async fn new_tab(&self) {
        let tab = self.client.new_window(true).await.expect("a new tab");
        self.client.switch_to_window(tab.handle).await.expect("the new tab");
    }

    /// Types into the input of this name.
    pub async fn type_into(&self, name: &str, text: &str) {
        let input = format!("input[name={name}]");
        let input = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(&input)).await;
        let input = input.unwrap_or_else(|error| panic!("no input `{name}`: {error}"));
        input.send_keys(text).await.expect("an input takes text");
    }

    /// Clicks into the box of this name.
    pub async fn tick(&self, name: &str) {
        let input = format!("input[name={name}]");
        let input = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(&input)).await;
        let input = input.unwrap_or_else(|error| panic!("no box `{name}`: {error}"));
        input.click().await.expect("a box can be clicked");
    }

    /// Clicks the first button or link that says this.
    pub async fn click(&self, label: &str) {
        let path = format!("//*[self::button or self::a][normalize-space()='{label}']");
        let button = self.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await;
        let button = button.unwrap_or_else(|error| panic!("no button `{label}`: {error}"));
        button.click().await.expect("a button can be clicked");
    }

    /// The text of the page.
    pub async fn text(&self) -> String {
        let text = self.client.execute("return document.body?.innerText ?? ''", Vec::new()).await;
        // Between two pages the document has no body.
        text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Waits until the page has this text. Returns all of its text.
    pub async fn wait_for(&self, what: &str) -> String {
        self.wait_until(what, |text| text.contains(what)).await
    }

    /// Waits until the text of the page is as the test expects. Returns the text.
    pub async fn wait_until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let text = self.text().await;
            if is(&text) {
                return text;
            }
            assert!(start.elapsed() < PATIENCE, "the page should say {what:?}, but says: {text}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the page at this address is there.
    pub async fn wait_for_address(&self, url: &str) {
        let start = Instant::now();
        loop {
            let address = self.client.current_url().await.expect("every page has an address");
            if address.as_str() == url {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "the browser is at {address}, not at {url}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs the body of an async function in the page. Returns its value.
    pub async fn run(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; (async () => {{ {script} }})()\
             .then(done, (error) => done(`failed: ${{error}}`));"
        );
        self.client.execute_async(&script, Vec::new()).await.expect("the script runs")
    }

    /// The cookies that the browser sends to the page.
    pub async fn cookies(&self) -> Vec<Cookie<'static>> {
        self.client.get_all_cookies().await.expect("cookies")
    }

    /// The only cookie.
    pub async fn cookie(&self) -> Cookie<'static> {
        let mut cookies = self.cookies().await;
        assert_eq!(cookies.len(), 1, "one cookie");
        cookies.remove(0)
    }

    /// Saves a picture of the page as `target/browser/<name>.png`.
    pub async fn picture(&self, name: &str) {
        let picture = self.client.screenshot().await.expect("a picture");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/browser");
        fs::create_dir_all(&folder).expect("a writable folder");
        fs::write(folder.join(name).with_extension("png"), picture).expect("a writable folder");
    }

    /// Closes the browser as its user does, so that it saves its profile.
    pub async fn close(self) {
        self.client.close().await.expect("it closes");
    }
}
