//! Tests that need a process to themselves: for its limits, its descriptors, its standard streams.
//!
//! The test binary starts itself again, to run the same test and nothing else.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use sealwax::reactor::end_with_parent;

/// How long a test waits for what has to come, before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Set in the child; names the test that started it.
const IN_CHILD: &str = "SEALWAX_TEST_CHILD";

/// Runs `body` in a process of its own, on the test's thread there.
///
/// # Panics
/// If `body` does.
pub(crate) fn run(name: &str, body: impl FnOnce()) {
    if is_child(name) {
        return body();
    }
    let mut child = start(name, |command| command.stdin(Stdio::null()));
    let output = report(&mut child);
    assert!(child.wait().expect("it was started").success(), "{output}");
}

/// Whether this is the child that `name` started. It ends after a while, whatever blocks it.
pub(crate) fn is_child(name: &str) -> bool {
    let is_it = std::env::var(IN_CHILD).is_ok_and(|of| of == name);
    if is_it {
        thread::spawn(|| {
            thread::sleep(PATIENCE);
            eprintln!("it hangs");
            std::process::exit(1);
        });
    }
    is_it
}

/// Starts the child of this test; `streams` says what its standard input and output are.
pub(crate) fn start(name: &str, streams: impl FnOnce(&mut Command) -> &mut Command) -> Child {
    let test = thread::current().name().expect("the test's own").to_owned();
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args([&test, "--exact", "--nocapture"]).env(IN_CHILD, name);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    end_with_parent(streams(&mut command)).spawn().expect("this binary starts")
}

/// What the child says on standard error, to its end.
pub(crate) fn report(child: &mut Child) -> String {
    let mut said = String::new();
    let stream = child.stderr.as_mut().expect("is piped");
    stream.read_to_string(&mut said).expect("it speaks UTF-8");
    said
}
