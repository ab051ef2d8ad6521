//! A headless Chromium, told what to do over its `DevTools` protocol: objects of JSON, each with a
//! zero byte behind it, to its descriptor 3 and from its descriptor 4.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use sealwax::reactor::end_with_parent;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A test that waits longer than this for one answer or event has failed.
const PATIENCE: Duration = Duration::from_mins(2);
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// What the tests ask of a page, as functions of its `window.test`.
const QUESTIONS: &str = include_str!("questions.js");

pub(crate) struct Browser {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<Value>,
    /// Of the one page; empty as long as the browser itself is told.
    session: String,
    orders_given: u64,
    /// What was told and not asked for, in its order.
    events: Vec<Value>,
    address: String,
    profile: TempDir,
}

impl Browser {
    /// Starts it with a profile of its own; `None`, and a line, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = installed() else {
            println!("not run: none of {NAMES:?} is installed");
            return None;
        };
        let profile = TempDir::new().expect("a temporary directory");
        let errors = File::create(profile.path().join("errors")).expect("a file");
        // A shell, because it can give the pipes other numbers. No sandbox: it is refused to root,
        // and the pages are ours. No name can be looked up.
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg(program)
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run"])
            .args(["--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"])
            .args(["--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut child = end_with_parent(&mut command).spawn().expect("a shell");
        let orders = child.stdin.take().expect("piped");
        let answers = answers(BufReader::new(child.stdout.take().expect("piped")));
        let (session, address) = (String::new(), String::new());
        let (orders_given, events) = (0, Vec::new());
        let mut it =
            Self { child, orders, answers, session, orders_given, events, address, profile };
        let page = it.order("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let attached = it.order("Target.attachToTarget", &attach);
        attached["sessionId"].as_str().expect("text").clone_into(&mut it.session);
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            it.order(&format!("{domain}.enable"), &json!({}));
        }
        it.order("Page.setLifecycleEventsEnabled", &json!({"enabled": true}));
        Some(it)
    }

    /// Gives one order, and returns its answer.
    pub(crate) fn order(&mut self, method: &str, parameters: &Value) -> Value {
        self.orders_given += 1;
        let mut order = json!({"id": self.orders_given, "method": method, "params": parameters});
        if !self.session.is_empty() {
            order["sessionId"] = json!(self.session);
        }
        self.orders.write_all(format!("{order}\0").as_bytes()).expect("the browser takes orders");
        loop {
            let mut answer = self.next(method);
            if answer["id"] == self.orders_given {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    fn next(&self, what: &str) -> Value {
        self.answers.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            let said = fs::read_to_string(self.profile.path().join("errors"));
            panic!("{what}: {error}; the browser says: {}", said.unwrap_or_default())
        })
    }

    /// Waits for an event that was not waited for before, and of which this is true.
    pub(crate) fn event(&mut self, method: &str, fits: impl Fn(&Value) -> bool) {
        let fits = |it: &Value| it["method"] == method && fits(&it["params"]);
        loop {
            if let Some(at) = self.events.iter().position(fits) {
                self.events.remove(at);
                return;
            }
            let event = self.next(method);
            self.events.push(event);
        }
    }

    /// Opens a page, and waits until it is loaded.
    pub(crate) fn open(&mut self, file: &Path) {
        self.address = format!("file://{}", file.display());
        let loader = self.order("Page.navigate", &json!({"url": self.address}))["loaderId"].take();
        self.event("Page.lifecycleEvent", |it| it["name"] == "load" && it["loaderId"] == loader);
        self.ask(QUESTIONS);
    }

    /// The value of an expression; a promise is waited for.
    pub(crate) fn ask(&mut self, expression: &str) -> Value {
        let order = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.order("Runtime.evaluate", &order);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// The same, as text.
    pub(crate) fn text(&mut self, expression: &str) -> String {
        let value = self.ask(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression}: {value} is no text")).to_owned()
    }

    /// What a user must not see in the console, and what was fetched besides the page.
    pub(crate) fn complaints(&self) -> Vec<String> {
        const KINDS: [&str; 4] = [
            "Runtime.exceptionThrown",
            "Runtime.consoleAPICalled",
            "Log.entryAdded",
            "Page.javascriptDialogOpening",
        ];
        let is_bad = |it: &&Value| {
            let fetched = &it["params"]["request"]["url"];
            KINDS.iter().any(|kind| it["method"] == *kind)
                || it["method"] == "Network.requestWillBeSent" && *fetched != self.address
        };
        self.events.iter().filter(is_bad).map(Value::to_string).collect()
    }

    /// Presses a key, and lets it go; a key of one letter types it.
    pub(crate) fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            " " => 32,
            "PageUp" => 33,
            "PageDown" => 34,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let mut order = json!({"type": "rawKeyDown", "key": key, "windowsVirtualKeyCode": code});
        if key.chars().count() == 1 || key == "Enter" {
            order["type"] = json!("keyDown");
            order["text"] = json!(if key == "Enter" { "\r" } else { key });
        }
        self.order("Input.dispatchKeyEvent", &order);
        order["type"] = json!("keyUp");
        order.as_object_mut().expect("an object").remove("text");
        self.order("Input.dispatchKeyEvent", &order);
    }

    pub(crate) fn type_text(&mut self, text: &str) {
        text.chars().for_each(|letter| self.press(&letter.to_string()));
    }

    /// Clicks into the middle of what is found so; it must not lie below something else.
    pub(crate) fn click(&mut self, selector: &str) {
        self.click_at(selector, 0.5);
    }

    /// Clicks at this part of its width.
    pub(crate) fn click_at(&mut self, selector: &str, part: f64) {
        let at = self.ask(&format!("test.place({selector:?}, {part})"));
        for kind in ["mousePressed", "mouseReleased"] {
            let order =
                json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
            self.order("Input.dispatchMouseEvent", &order);
        }
    }

    /// Gives a file to the page's chooser.
    pub(crate) fn choose(&mut self, file: &Path) {
        let order = json!({"expression": "document.getElementById('file')"});
        let chooser = self.order("Runtime.evaluate", &order)["result"]["objectId"].take();
        self.ask("test.expectFile()");
        self.order("DOM.setFileInputFiles", &json!({"files": [file], "objectId": chooser}));
        self.ask("test.fileRead");
    }

    /// Drops a file on the page, as from a window of files.
    pub(crate) fn drop_file(&mut self, file: &Path) {
        self.ask("test.expectFile()");
        for kind in ["dragEnter", "dragOver", "drop"] {
            let data = json!({"items": [], "files": [file], "dragOperationsMask": 1});
            let order = json!({"type": kind, "x": 99, "y": 99, "data": data});
            self.order("Input.dispatchDragEvent", &order);
        }
        self.ask("test.fileRead");
    }

    /// From now on time passes in the page only when it is told to.
    pub(crate) fn hold_clock(&mut self) {
        self.order("Emulation.setVirtualTimePolicy", &json!({"policy": "pause"}));
    }

    /// Lets so many milliseconds pass in the page.
    pub(crate) fn pass(&mut self, millis: u32) {
        let order = json!({"policy": "advance", "budget": millis});
        self.order("Emulation.setVirtualTimePolicy", &order);
        self.event("Emulation.virtualTimeBudgetExpired", |_| true);
    }

    /// The size of the window, in CSS pixels.
    pub(crate) fn size(&mut self, width: u32, height: u32) {
        let order = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.order("Emulation.setDeviceMetricsOverride", &order);
    }

    /// What the user has chosen for all pages, such as `prefers-color-scheme`.
    pub(crate) fn prefer(&mut self, name: &str, value: &str) {
        let order = json!({"features": [{"name": name, "value": value}]});
        self.order("Emulation.setEmulatedMedia", &order);
    }
}

/// Ends in order, so that nothing is written into the profile any more when it is deleted.
impl Drop for Browser {
    fn drop(&mut self) {
        let order = json!({"id": self.orders_given + 1, "method": "Browser.close"});
        if self.orders.write_all(format!("{order}\0").as_bytes()).is_ok() {
            while self.answers.recv_timeout(Duration::from_secs(10)).is_ok() {}
        }
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

fn installed() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut all =
        NAMES.iter().flat_map(|name| env::split_paths(&path).map(move |it| it.join(name)));
    all.find(|it| it.is_file())
}

/// Reads objects in a thread, so that one that does not come cannot hold the test up.
fn answers(mut from: BufReader<std::process::ChildStdout>) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut object = Vec::new();
        while from.read_until(0, &mut object).is_ok_and(|read| read > 1) {
            object.pop();
            let Ok(value) = serde_json::from_slice(&object) else { break };
            if sender.send(value).is_err() {
                break;
            }
            object.clear();
        }
    });
    receiver
}
