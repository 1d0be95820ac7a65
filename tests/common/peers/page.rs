//! A page in Chromium that is looked at and worked with: the DevTools protocol over pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::chromium::{end, headless};
use crate::common::temp::TempDir;
use crate::common::wait::eventually;

/// Far longer than a loaded machine needs until something is on a page.
const SHOWN: Duration = Duration::from_secs(60);

/// An open page, ended with its browser when dropped.
pub struct Page {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: String,
    last: u64,
    complaints: Vec<String>,
    _profile: TempDir,
}

impl Page {
    /// Opens a page of 1440 by 900 pixels.
    #[track_caller]
    pub fn open(url: &str) -> Self {
        let profile = TempDir::new("page");
        // Chromium reads commands from descriptor 3 and writes answers to 4.
        let mut command = headless(
            profile.path(),
            &[
                "sh",
                "-c",
                "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null",
                "sh",
            ],
        );
        command
            .args(["--remote-debugging-pipe", "about:blank"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e} (run `make setup`)"));
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut page = Self {
            child,
            input,
            output: BufReader::new(output),
            session: String::new(),
            last: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = page.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = page.ask("Target.attachToTarget", attach);
        attached["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut page.session);
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            page.ask(domain, json!({}));
        }
        page.resize(1440, 900);
        page.ask("Page.navigate", json!({"url": url}));
        page.wait("document.readyState === 'complete'");
        page
    }

    /// Changes the size of the window.
    pub fn resize(&mut self, width: u32, height: u32) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Has the system be dark, or light.
    pub fn set_dark(&mut self, is_dark: bool) {
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.ask("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// What a script says, in the page; promises are waited for.
    #[track_caller]
    pub fn eval(&mut self, script: &str) -> Value {
        let evaluate = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", evaluate);
        let failure = &answer["exceptionDetails"];
        assert!(failure.is_null(), "{script}: {failure}");
        answer["result"]["value"].clone()
    }

    /// Waits until a script says something that is true, and gives it.
    #[track_caller]
    pub fn wait(&mut self, script: &str) -> Value {
        eventually(SHOWN, || {
            let value = self.eval(script);
            match value {
                Value::Null | Value::Bool(false) => Err(format!("{script}: {value}")),
                value => Ok(value),
            }
        })
    }

    /// Waits until an element's text has this in it.
    #[track_caller]
    pub fn wait_text(&mut self, selector: &str, wanted: &str) {
        let (selector, wanted) = (json!(selector), json!(wanted));
        eventually(SHOWN, || {
            let text = self.eval(&format!(
                "[...document.querySelectorAll({selector})].map((node) => node.textContent).join('\\n')"
            ));
            let text = text.as_str().unwrap_or_default();
            if text.contains(wanted.as_str().unwrap()) {
                Ok(())
            } else {
                Err(format!("{selector} has no {wanted}: {text:?}"))
            }
        });
    }

    /// Clicks the first element with this selector whose text begins so.
    #[track_caller]
    pub fn click(&mut self, selector: &str, begins: &str) {
        let script = format!(
            "(() => {{ const node = [...document.querySelectorAll({})].find((node) => node.textContent.trim().startsWith({}) && !node.disabled); \
             if (node) node.click(); return Boolean(node); }})()",
            json!(selector),
            json!(begins)
        );
        self.wait(&script);
    }

    /// Writes into the first field with this selector.
    #[track_caller]
    pub fn write(&mut self, selector: &str, text: &str) {
        let script = format!(
            "(() => {{ const field = document.querySelector({}); if (!field) return false; field.value = {}; \
             field.dispatchEvent(new Event('input', {{bubbles: true}})); field.dispatchEvent(new Event('change', {{bubbles: true}})); return true; }})()",
            json!(selector),
            json!(text)
        );
        self.wait(&script);
    }

    /// Has the pointer be on the first element with this selector.
    #[track_caller]
    pub fn point_at(&mut self, selector: &str) {
        let place = self.eval(&format!(
            "(() => {{ const node = document.querySelector({}); node.scrollIntoView({{block: 'center'}}); \
             const box = node.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        ));
        let moved = json!({"type": "mouseMoved", "x": place[0], "y": place[1]});
        self.ask("Input.dispatchMouseEvent", moved);
        self.wait(&format!(
            "document.querySelector({}).matches(':hover')",
            json!(selector)
        ));
    }

    /// Presses a key, by its name in the UI Events specification.
    pub fn press(&mut self, key: &str) {
        for kind in ["rawKeyDown", "keyUp"] {
            self.ask("Input.dispatchKeyEvent", json!({"type": kind, "key": key}));
        }
    }

    /// Errors of scripts, and what the page's policy forbade, so far.
    pub fn complaints(&mut self) -> &[String] {
        // What came before is read with the answer.
        self.eval("0");
        &self.complaints
    }

    #[track_caller]
    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).expect("Chromium listens");
        loop {
            let mut answer = Vec::new();
            self.output
                .read_until(0, &mut answer)
                .expect("Chromium answers");
            assert_eq!(answer.pop(), Some(0), "Chromium ended");
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        let entry = &event["params"]["entry"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(event["params"].to_string()),
            // Answers that aren't 200 are told as errors of the network: some are meant.
            Some("Log.entryAdded") if entry["level"] == "error" && entry["source"] != "network" => {
                self.complaints.push(entry.to_string());
            }
            _ => {}
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
