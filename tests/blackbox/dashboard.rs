//! SPEC section 11: the dashboard, as an operator uses it in a browser.

use crate::common::peers::Page;
use crate::common::*;

mod accessibility;
mod changes;
mod list;
mod overview;
mod views;

const TOKEN: &str = "correct-horse-battery-staple";

/// With a token that the API takes.
fn start(setup: &Setup) -> Equipoise {
    let dir = TempDir::new("dashboard");
    dir.write("token", &format!("{TOKEN}\n"));
    let setup = setup.clone();
    setup
        .top("admin: {bind: \"127.0.0.1:0\", token_file: \"@DIR@/token\"}")
        .start_in(dir)
}

/// The dashboard, once it shows the status.
#[track_caller]
fn open(lb: &Equipoise) -> Page {
    open_at(lb, "")
}

/// The same, at one of its views: `#events`.
#[track_caller]
fn open_at(lb: &Equipoise, view: &str) -> Page {
    let mut page = Page::open(&format!("http://{}/{view}", lb.admin()));
    page.wait_text("#link", "live");
    page
}

/// The texts of the rows that are shown, by their cells.
const ROWS: &str = "[...document.querySelectorAll('#rows [role=row]')].map((row) => row.querySelector('.name').textContent)";
