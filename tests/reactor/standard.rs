//! Standard streams of the kernel that the tests run on: each test in a process whose streams it can choose.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use sealwax::reactor::Source;

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

/// Copies standard input to standard output, until either is over.
fn cat() {
    let mut real = Real::new();
    let (input, output) = (real.cx().open(Source::Input), real.cx().open(Source::Output));
    let mut handler = Recorder::new(|cx, told| match told {
        Told::Received(_, bytes) => {
            cx.send(output, &[bytes]);
            cx.pause(input);
        }
        Told::EndOfTick if cx.queued(output) == 0 => cx.resume(input),
        Told::Ended(..) => cx.close(output),
        _ => {}
    });
    real.until(&mut handler, |told| matches!(told, Told::Closed(id, _) if *id == output));
    eprintln!("{:?}", handler.told.last());
    eprintln!("{DONE}");
}

/// Runs [`cat`] with these streams in a child, and tells what it said on standard error.
fn cat_between(test: &str, streams: impl FnOnce(&mut Command) -> &mut Command) -> String {
    let mut child = child::start(test, streams);
    let said = child::report(&mut child);
    let _ = child.wait();
    assert!(said.contains(DONE), "{said}");
    said
}

fn is_blocking(file: impl AsFd) -> bool {
    let flags = fcntl(file, FcntlArg::F_GETFL).expect("it is open");
    !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
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
    cat_between(TEST, |command| command.stdin(input).stdout(output));
    let mut copied = Vec::new();
    to.rewind().unwrap();
    to.read_to_end(&mut copied).unwrap();
    assert!(copied.starts_with(b"before"));
    let text = String::from_utf8(copied).unwrap();
    assert!(text.contains(std::str::from_utf8(&bytes()).unwrap()), "{} bytes", text.len());
}

#[test]
fn a_pipe_is_copied_to_a_pipe_and_both_stay_blocking() {
    const TEST: &str = "pipes";
    if child::is_child(TEST) {
        return cat();
    }
    let (input, mut writer) = std::io::pipe().unwrap();
    let (mut reader, output) = std::io::pipe().unwrap();
    let shared = [input.try_clone().unwrap().into(), output.try_clone().unwrap().into()];
    let mut child = child::start(TEST, |command| command.stdin(input).stdout(output));
    let writing = std::thread::spawn(move || writer.write_all(&bytes()).unwrap());
    let mut copied = Vec::new();
    while !copied.ends_with(&bytes()) {
        let mut some = [0; 4096];
        let count = reader.read(&mut some).unwrap();
        copied.extend_from_slice(&some[..count]);
    }
    assert!(shared.iter().all(|end: &std::os::fd::OwnedFd| is_blocking(end)));
    writing.join().unwrap();
    assert!(child::report(&mut child).contains(DONE));
    assert!(shared.iter().all(is_blocking));
    child.wait().unwrap();
}

#[test]
fn a_socket_as_standard_stream_is_used_and_stays_blocking() {
    const TEST: &str = "socket";
    if child::is_child(TEST) {
        return cat();
    }
    let (ours, theirs) = UnixStream::pair().unwrap();
    let ends: [std::os::fd::OwnedFd; 2] = [theirs.try_clone().unwrap().into(), theirs.into()];
    let kept = ends[0].try_clone().unwrap();
    let [input, output] = ends;
    let mut child = child::start(TEST, |command| command.stdin(input).stdout(output));
    let mut writer = ours.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        writer.write_all(&bytes()).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut copied = Vec::new();
    while !copied.ends_with(&bytes()) {
        let mut some = [0; 4096];
        let count = (&ours).read(&mut some).unwrap();
        assert!(count > 0, "{} bytes", copied.len());
        copied.extend_from_slice(&some[..count]);
    }
    assert!(is_blocking(&kept));
    writing.join().unwrap();
    assert!(child::report(&mut child).contains(DONE));
    child.wait().unwrap();
}

#[test]
fn nothing_is_copied_from_the_null_device_and_nothing_to_the_full_one() {
    const TEST: &str = "devices";
    if child::is_child(TEST) {
        return cat();
    }
    let open = |path| File::options().read(true).write(true).open(path).unwrap();
    let said = cat_between(TEST, |command| command.stdin(Stdio::null()).stdout(Stdio::null()));
    assert!(said.contains("Closed)"), "{said}");
    let said =
        cat_between(TEST, |command| command.stdin(open("/dev/zero")).stdout(open("/dev/full")));
    assert!(said.contains("ENOSPC"), "{said}");
}

#[test]
fn a_reader_of_standard_output_that_left_is_told_although_nothing_is_written() {
    const TEST: &str = "left";
    if child::is_child(TEST) {
        return cat();
    }
    let (input, _never_writes) = std::io::pipe().unwrap();
    let (reader, output) = std::io::pipe().unwrap();
    drop(reader);
    let said = cat_between(TEST, |command| command.stdin(input).stdout(output));
    assert!(said.contains("EPIPE"), "{said}");
}

#[test]
fn a_paused_pipe_whose_writer_has_left_waits_without_a_spin() {
    const TEST: &str = "paused";
    if child::is_child(TEST) {
        let mut real = Real::new();
        let mut handler = silent();
        let id = real.cx().open(Source::Input);
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
    cat_between(TEST, |command| command.stdin(input));
}
