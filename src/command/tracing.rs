//! `--trace` and `--trace-file`: runs a loop, with or without a trace.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::cli::{TraceArgs, TraceForm};
use super::{Exit, Failure};
use crate::limits::TRACE_PATIENCE;
use crate::reactor::{Config, Context, Handler, Linux, ProcessFd, Reactor, monotonic};
use crate::trace::{Form, Recorder, Stream, Taker, Trace, TracedHandler, TracedSys};

/// What the options ask for; none where they ask for nothing.
pub(super) fn open(arguments: &TraceArgs) -> Result<Option<Trace>, Failure> {
    open_with_player(arguments, None)
}

/// The same, with a page that plays the trace, where one is asked for.
pub(super) fn open_with_player(
    arguments: &TraceArgs,
    player: Option<&Path>,
) -> Result<Option<Trace>, Failure> {
    if arguments.trace.is_none() && arguments.trace_file.is_none() && player.is_none() {
        return Ok(None);
    }
    let told = match arguments.trace {
        None => None,
        Some(form) => {
            let form = match form {
                TraceForm::Text => Form::Text,
                TraceForm::Json => Form::Json,
            };
            let stream = standard_error().map_err(|errno| {
                Failure::new(
                    Exit::Failed,
                    format!("the trace cannot be written to standard error: {errno}"),
                )
            })?;
            Some((form, Box::new(stream) as Box<dyn Taker + Send>))
        }
    };
    let file = match &arguments.trace_file {
        None => None,
        Some(path) => Some(create(path, "--trace-file")?),
    };
    let player = player.map(|path| create(path, "--player")).transpose()?;
    let trace = Trace::new(told, file, complain);
    Ok(Some(match player {
        Some(page) => trace.with_player(page),
        None => trace,
    }))
}

/// Makes the file that `option` names, or empties it.
fn create(path: &Path, option: &str) -> Result<Box<dyn Taker + Send>, Failure> {
    // A named pipe is opened only where somebody reads it, and its reader is not waited for. On a
    // regular file the flag does nothing (open(2), O_NONBLOCK).
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // If somebody truncates the file meanwhile, `O_APPEND` leaves no NULs in it.
    options.custom_flags(libc::O_NONBLOCK | libc::O_APPEND);
    let file: File = options.open(path).map_err(|error| {
        Failure::new(Exit::Failed, refused(&format!("{}: {error}", path.display()), option))
    })?;
    Ok(Box::new(file))
}

/// The file of a trace cannot be opened, and what to do.
pub(super) fn refused(why: &str, option: &str) -> String {
    format!("the trace cannot go to {why}; choose another file with {option}")
}

/// Notes the loop that [`run`] runs on this thread, which is called `name` where there are several.
pub(super) fn recorder(trace: Option<&Trace>, name: Option<&'static str>) -> Option<Recorder> {
    trace.map(|trace| trace.recorder(name, monotonic))
}

/// Runs `handler` on a loop of its own over `sys`; `start` asks for its first sources. With a
/// `recorder` the loop is another type, which notes its calls; without one, no code of the trace
/// runs.
pub(super) fn run<H: Handler>(
    sys: Linux,
    config: &Config,
    recorder: Option<Recorder>,
    handler: &mut H,
    start: impl FnOnce(&mut Context, &mut H),
) -> nix::Result<()> {
    let Some(recorder) = recorder else {
        let mut reactor = Reactor::new(sys, config);
        start(reactor.context(), handler);
        return reactor.run(handler);
    };
    let mut reactor = Reactor::new(TracedSys::new(sys, recorder.clone()), config);
    start(reactor.context(), handler);
    let ended = run_noting(&mut reactor, handler, &recorder);
    drop(reactor); // closes what is left
    recorder.finish();
    ended
}

/// As [`Reactor::run`], with a look at the sources after each tick.
fn run_noting<H: Handler>(
    reactor: &mut Reactor<TracedSys<Linux>>,
    handler: &mut H,
    recorder: &Recorder,
) -> nix::Result<()> {
    let mut handler = TracedHandler::new(handler, recorder.clone());
    while !reactor.context().is_stopping() {
        reactor.tick(&mut handler, None)?;
        recorder.ticked(reactor.context());
    }
    Ok(())
}

fn standard_error() -> nix::Result<Stream> {
    Stream::open(Linux::new()?, &ProcessFd::Stderr)
}

/// One line, where it can be written.
fn complain(why: &str) {
    if let Ok(mut stream) = standard_error() {
        let _ = stream.take(format!("sealwax: {why}\n").as_bytes(), TRACE_PATIENCE);
    }
}
