//! `sealwax top`: a running relay, as its admin socket tells it.

mod figures;
mod json;
mod link;
mod log;
mod model;
mod screen;
mod users;
mod view;
mod words;

use std::path::PathBuf;

use nix::errno::Errno;

use self::json::JsonTop;
use self::link::Link;
use self::screen::ScreenTop;
use super::cli::Top;
use super::{Exit, Failure, Outcome, tracing, watch};
use crate::reactor::{Config, Linux, block_signals, block_terminal_signals};
use crate::screen::Terminal;

/// `sealwax top`
pub(super) fn top(arguments: &Top) -> Outcome {
    let path = match &arguments.admin {
        Some(path) => path.clone(),
        None => watch::default_path(arguments.home.as_ref())?,
    };
    if arguments.json || arguments.once || Terminal::obstacle().is_some() {
        return json(path, arguments.once);
    }
    block_signals().and_then(|_| block_terminal_signals()).map_err(kernel)?;
    let linux = Linux::new().map_err(kernel)?;
    let mut top = ScreenTop::new(Link::new(path), super::is_without_colours())?;
    let ended = tracing::run(linux, &Config::default(), None, &mut top, |cx, top| top.start(cx));
    let exit = top.exit();
    drop(top); // puts the terminal back, before anything is said on it
    ended.map_err(kernel)?;
    Ok(exit)
}

fn json(path: PathBuf, is_once: bool) -> Outcome {
    block_signals().map_err(kernel)?;
    let mut top = JsonTop::new(Link::new(path), is_once);
    let linux = Linux::new().map_err(kernel)?;
    let ended = tracing::run(linux, &Config::default(), None, &mut top, |cx, top| top.start(cx));
    ended.map_err(kernel)?;
    match top.exit() {
        Exit::Relay => Err(Failure::new(Exit::Relay, top.fault().unwrap_or_default())),
        Exit::Done => Ok(Exit::Done),
        exit => Err(Failure::new(exit, "standard output cannot be written")),
    }
}

fn kernel(errno: Errno) -> Failure {
    Failure::new(Exit::Failed, format!("the event loop failed: {errno}"))
}
