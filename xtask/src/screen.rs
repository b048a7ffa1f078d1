//! What a command shows while it works: steps, bars and spinners on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Prints the heading of a part.
pub fn heading(text: &str) {
    println!("\n== {text}");
}

/// A bar over `total` things, with a message behind it.
pub fn bar(what: &str, total: u64) -> ProgressBar {
    announce(what);
    let style = ProgressStyle::with_template("   {prefix} {bar:30} {pos}/{len} {elapsed} {msg}");
    let bar = ProgressBar::new(total).with_prefix(what.to_owned());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Something that turns while one waits, with the time that it takes.
pub fn spinner(what: &str) -> ProgressBar {
    announce(what);
    let style = ProgressStyle::with_template("   {spinner} {prefix} {elapsed}");
    let spinner = ProgressBar::new_spinner().with_prefix(what.to_owned());
    let spinner = spinner.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// Bars are not drawn where there is no terminal: one line stands for them.
fn announce(what: &str) {
    if !stderr().is_terminal() {
        println!("   {what}");
    }
}
