//! A browser without a window, steered through its own protocol: JSON over two pipes, each message with a zero behind it.

use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, fs, process};

use serde_json::{Value, json};

/// A browser, and one page in it at a time.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    profile: PathBuf,
    calls: u64,
    page: Option<String>,
    /// What the pages have complained about.
    pub(crate) complaints: Vec<Value>,
}

impl Browser {
    /// `None`: there is none here, and it has been said that a test skips.
    pub(crate) fn start() -> Option<Browser> {
        let is_there =
            |name: &&&str| Command::new(name).arg("--version").output().is_ok_and(|said| said.status.success());
        let Some(name) = ["chromium", "chromium-browser", "google-chrome"].iter().find(is_there) else {
            // Past the test harness, which hides what tests that pass print.
            let _ = writeln!(io::stderr(), "SKIPPED: chromium: not installed");
            return None;
        };
        let profile = env::temp_dir().join(format!("corio-browser-{}", process::id()));
        // It reads from descriptor 3 and writes to 4, which a shell can make of the first two.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >&2"#, "sh", name])
            .args(["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-dev-shm-usage", "--disable-background-networking", "--window-size=1280,800"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell starts");
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Browser { child, input, output, profile, calls: 0, page: None, complaints: Vec::new() })
    }

    /// Opens a page of its own, and waits until it is loaded.
    pub(crate) fn open(&mut self, address: &str) {
        self.page = None;
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = self.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        self.page = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.call(domain, json!({}));
        }
        self.call("Page.navigate", json!({ "url": address }));
        while self.read()["method"] != "Page.loadEventFired" {}
    }

    /// Does something to the page, in the protocol's words.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(page) = &self.page {
            message["sessionId"] = json!(page);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).expect("the browser listens");
        loop {
            let answer = self.read();
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        self.output.read_until(0, &mut message).expect("the browser speaks");
        assert_eq!(message.pop(), Some(0), "the browser is gone");
        let message: Value = serde_json::from_slice(&message).expect("JSON");
        if ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"]
            .contains(&message["method"].as_str().unwrap_or(""))
        {
            self.complaints.push(message["params"].clone());
        }
        message
    }

    /// What an expression of the page's language is; a promise is waited for.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until the page has drawn what it was told to: that of a frame is done when the next one comes.
    pub(crate) fn draw(&mut self) {
        self.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
    }

    /// The text of an element, by its id.
    pub(crate) fn text(&mut self, id: &str) -> String {
        let text = self.value(&format!("document.getElementById({id:?}).innerText"));
        text.as_str().unwrap_or_else(|| panic!("{id} has no text")).to_owned()
    }

    /// Presses a key and lets go of it.
    pub(crate) fn press(&mut self, key: &str) {
        let text = if key.chars().count() == 1 { key } else { "" };
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyDown", "key": key, "text": text }));
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked, it ends its helpers as well, which write to the directory.
        let _ = self.input.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}
