//! The echo server on `io_uring`, held to what the other echo servers do. Where the kernel forbids
//! it, its tests say why and are over.

use super::*;

/// What it ends with where there is no `io_uring`.
const UNAVAILABLE: i32 = 69;

/// The program; none where this kernel forbids `io_uring`.
fn allowed() -> Option<PathBuf> {
    let program = example("uring", &root().join("examples/uring.rs"), &["--features", "io-uring"]);
    // Where io_uring is there, it is the address that it does not like.
    let ended = Process::spawn(Command::new(&program).arg("nowhere")).end();
    if ended.code == Some(UNAVAILABLE) {
        println!("not run: {}", ended.transcript);
        return None;
    }
    assert_eq!(ended.with_code(1).transcript, "nowhere: invalid socket address");
    Some(program)
}

fn start() -> Option<Stage> {
    Some(Stage::of(&mut Command::new(allowed()?), &[]))
}

impl Stage {
    /// Waits until it waits, if this system tells that.
    fn waits(&self) {
        self.sleeps_in(&[libc::SYS_io_uring_enter]);
    }
}

#[test]
fn it_serves_all_with_one_thread_and_keeps_nothing_of_those_who_left() {
    const COUNT: usize = 600; // more than its queue holds
    let Some(stage) = start() else { return };
    let descriptors = || fs::read_dir(stage.proc("fd")).unwrap().count();
    stage.waits();
    let before = descriptors();
    let mut clients: Vec<_> = (0..COUNT).map(|_| stage.meet(b"here")).collect();
    for _ in 0..3 {
        stage.process.signal(Signal::SIGSTOP);
        until(|| (stage.state() == 'T').then_some(()));
        for client in &mut clients {
            client.say(b"all at once");
        }
        stage.process.signal(Signal::SIGCONT);
        for client in &mut clients {
            client.hear(b"all at once");
        }
    }
    assert_eq!(stage.threads(), 1);
    for (number, client) in clients.into_iter().enumerate() {
        if number % 2 == 0 { client.reset() } else { drop(client) }
    }
    until(|| (descriptors() == before).then_some(()));
    stage.meet(b"still here");
}

#[test]
fn a_client_that_does_not_read_waits_alone_and_gets_all_that_it_sent() {
    let Some(stage) = start() else { return };
    let bob = stage.meet(b"I am bob");
    bob.0.set_nonblocking(true).unwrap();
    let said: Vec<u8> = (0..=250).cycle().take(1 << 26).collect(); // 64 MiB: no buffers take that
    let mut count = 0;
    // Until nothing moves any more: it is written to as long as the kernel takes something.
    loop {
        let before = count;
        while let Ok(more) = (&bob.0).write(&said[count..]) {
            count += more;
        }
        stage.waits();
        if count == before {
            break;
        }
    }
    assert!(count < said.len(), "it reads although nobody takes the echo");
    stage.meet(b"I am carol");
    bob.0.set_nonblocking(false).unwrap();
    let mut heard = vec![0; count];
    (&bob.0).read_exact(&mut heard).unwrap();
    assert!(heard == said[..count]);
}

#[test]
fn without_a_descriptor_it_waits_and_accepts_when_one_is_free() {
    const DESCRIPTORS: usize = 16;
    let Some(program) = allowed() else { return };
    let stage = Stage::of(&mut with_descriptors(&program, DESCRIPTORS), &[]);
    let clients: Vec<_> = (0..2 * DESCRIPTORS)
        .map(|_| {
            let mut client = stage.connect();
            client.say(b"here");
            client
        })
        .collect();
    stage.waits();
    for mut client in clients {
        client.hear(b"here"); // each that leaves makes room for the next
    }
}

#[test]
fn what_it_cannot_have_is_told() {
    let Some(stage) = start() else { return };
    let mut second = Command::new(allowed().unwrap());
    let ended = Process::spawn(second.arg(stage.at.to_string())).end().with_code(1);
    assert!(ended.transcript.contains("in use"), "{}", ended.transcript);

    let program = allowed().unwrap();
    let arguments = |errno: i32| [errno.to_string(), program.display().to_string()];
    for (errno, reason) in [(libc::EPERM, "forbids it"), (libc::ENOSYS, "the kernel has none")] {
        let [errno, program] = &arguments(errno);
        let ended = python("without_io_uring.py", &[errno, program]).end();
        let ended = ended.with_code(UNAVAILABLE);
        assert!(ended.transcript.starts_with("io_uring_setup: "), "{}", ended.transcript);
        assert!(ended.transcript.contains(reason), "{}", ended.transcript);
    }
}
