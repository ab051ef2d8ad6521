//! Standard streams of the kernel that the tests run on: each test in a process whose streams it
//! can choose.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, dup2_stdin, dup2_stdout};
use sealwax::reactor::ProcessFd;

use crate::child;
use crate::real::Real;
use crate::recorder::{Recorder, Told, silent};

/// What the child says when it is done, on standard error.
const DONE: &str = "done";

/// More than a pipe holds.
const LENGTH: usize = 300_000;

fn bytes() -> Vec<u8> {
    b"0123456789abcdef\n".repeat(LENGTH / 17)
}

/// Copies standard input to standard output, until either is over, and says how that came.
fn cat() {
    let mut real = Real::new();
    let (input, output) = (real.cx().open(ProcessFd::Stdin), real.cx().open(ProcessFd::Stdout));
    let mut handler = Recorder::new(|cx, told| match told {
        Told::Received(_, bytes) => cx.send(output, &[bytes]),
        Told::EndOfTick if cx.has_backlog(output) => cx.pause(input),
        Told::EndOfTick => cx.resume(input),
        Told::Ended(..) => cx.close(output),
        _ => {}
    });
    real.until(&mut handler, |told| matches!(told, Told::Closed(id, _) if *id == output));
    assert!(is_blocking(std::io::stdin()) && is_blocking(std::io::stdout()), "as they were");
    eprintln!("{:?} {DONE}", handler.told.last());
}

fn is_blocking(file: impl AsFd) -> bool {
    let flags = fcntl(file, FcntlArg::F_GETFL).expect("it is open");
    !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

/// Waits for a child, and tells what it said on standard error.
fn finish(mut child: Child) -> String {
    let said = child::report(&mut child);
    child.wait().expect("it was started");
    assert!(said.contains(DONE), "{said}");
    said
}

/// Writes what is to be copied to one end, and asserts that it comes back at the other.
fn assert_copied(mut writer: impl Write + Send + 'static, mut reader: impl Read) {
    let writing = std::thread::spawn(move || writer.write_all(&bytes()).unwrap());
    let mut copied = Vec::new();
    reader.read_to_end(&mut copied).unwrap();
    writing.join().unwrap();
    assert_contains(copied);
}

/// Around it stands what the child's test harness says.
fn assert_contains(copied: Vec<u8>) {
    let (text, expected) =
        (String::from_utf8(copied).unwrap(), String::from_utf8(bytes()).unwrap());
    assert!(text.contains(&expected), "{} bytes", text.len());
}

#[test]
fn a_file_is_copied_to_a_file_from_where_it_stood_and_to_where_it_stood() {
    const TEST: &str = "files";
    if child::is_child(TEST) {
        return cat();
    }
    let (mut from, mut to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    from.write_all(b"skipped").unwrap();
    from.write_all(&bytes()).unwrap();
    from.seek(SeekFrom::Start(7)).unwrap();
    to.write_all(b"before").unwrap();
    let (input, output) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    finish(child::start(TEST, |command| command.stdin(input).stdout(output)));
    let mut copied = Vec::new();
    to.rewind().unwrap();
    to.read_to_end(&mut copied).unwrap();
    assert!(copied.starts_with(b"before"));
    assert_contains(copied);
}

#[test]
fn a_pipe_is_copied_to_a_pipe_and_both_stay_blocking() {
    const TEST: &str = "pipes";
    if child::is_child(TEST) {
        return cat();
    }
    let (input, writer) = std::io::pipe().unwrap();
    let (reader, output) = std::io::pipe().unwrap();
    let child = child::start(TEST, |command| command.stdin(input).stdout(output));
    assert_copied(writer, reader);
    finish(child);
}

#[test]
fn a_socket_as_standard_stream_is_used_and_stays_blocking() {
    const TEST: &str = "socket";
    if child::is_child(TEST) {
        return cat();
    }
    let (input, writer) = UnixStream::pair().unwrap();
    let (output, reader) = UnixStream::pair().unwrap();
    let [input, output] = [input, output].map(OwnedFd::from);
    let child = child::start(TEST, |command| command.stdin(input).stdout(output));
    assert_copied(writer, reader);
    finish(child);
}

#[test]
fn a_reader_of_standard_output_that_left_is_told_although_nothing_is_written() {
    const TEST: &str = "left";
    if child::is_child(TEST) {
        let (_, without_reader) = std::io::pipe().unwrap();
        // Only now: the test harness has something to say first.
        dup2_stdout(without_reader).unwrap();
        return cat();
    }
    let (input, _never_writes) = std::io::pipe().unwrap();
    let said = finish(child::start(TEST, |command| command.stdin(input)));
    assert!(said.contains("EPIPE"), "{said}");
}

/// Writes more than anything holds to a standard output that nobody reads.
fn flood() -> ! {
    let mut real = Real::new();
    let mut handler = silent();
    let output = real.cx().open(ProcessFd::Stdout);
    real.cx().send(output, &[&bytes()]);
    real.until(&mut handler, |told| matches!(told, Told::Opened(..)));
    real.assert_rest(&mut handler);
    assert!(real.cx().has_backlog(output));
    eprintln!("{DONE}");
    std::process::exit(0); // without what the test harness would like to say there
}

#[test]
fn a_standard_output_that_nobody_reads_does_not_block_the_loop() {
    const TEST: &str = "unread";
    if child::is_child(TEST) {
        flood();
    }
    let (_reader, pipe) = std::io::pipe().unwrap();
    let (_other_end, socket) = UnixStream::pair().unwrap();
    for output in [OwnedFd::from(pipe), OwnedFd::from(socket)] {
        finish(child::start(TEST, |command| command.stdout(output)));
    }
}

/// Waits until all threads of a process are in this state (`proc_pid_stat(5)`): `S`, asleep, or
/// `T`, stopped.
fn await_state(id: Pid, state: &str) {
    let state = format!(") {state} ");
    let is_in_it = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("stat")).is_ok_and(|stat| stat.contains(&state))
    };
    let tasks = || std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
    while !tasks().all(|task| is_in_it(task.unwrap())) {
        std::thread::yield_now();
    }
}

#[test]
fn a_process_that_was_stopped_goes_on() {
    const TEST: &str = "stopped";
    if child::is_child(TEST) {
        return cat();
    }
    let (input, writer) = std::io::pipe().unwrap();
    let (mut reader, output) = std::io::pipe().unwrap();
    let child = child::start(TEST, |command| command.stdin(input).stdout(output));
    writer.try_clone().unwrap().write_all(b"it runs").unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"it runs") {
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        said.extend(byte);
    }
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
    await_state(id, "S");
    kill(id, Signal::SIGSTOP).unwrap();
    await_state(id, "T");
    kill(id, Signal::SIGCONT).unwrap(); // its wait was interrupted (signal(7))
    assert_copied(writer, reader);
    finish(child);
}

#[test]
fn a_full_disk_and_an_empty_input_are_told() {
    const TEST: &str = "devices";
    if child::is_child(TEST) {
        cat();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let zeroes = File::open("/dev/zero").unwrap();
        dup2_stdin(zeroes).unwrap();
        dup2_stdout(full).unwrap();
        return cat();
    }
    let said = finish(child::start(TEST, |command| command.stdin(Stdio::null())));
    assert!(said.contains("Closed)") && said.contains("ENOSPC"), "{said}");
}

#[test]
fn a_paused_pipe_whose_writer_has_left_waits_without_a_spin() {
    const TEST: &str = "paused";
    if child::is_child(TEST) {
        let mut real = Real::new();
        let mut handler = silent();
        let id = real.cx().open(ProcessFd::Stdin);
        real.cx().pause(id);
        real.until(&mut handler, |told| matches!(told, Told::Opened(..)));
        real.assert_rest(&mut handler);
        real.cx().resume(id);
        real.until(&mut handler, |told| matches!(told, Told::Closed(..)));
        assert_eq!(handler.received_from(id), b"last words");
        return eprintln!("{DONE}");
    }
    let (input, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"last words").unwrap();
    drop(writer);
    finish(child::start(TEST, |command| command.stdin(input)));
}
