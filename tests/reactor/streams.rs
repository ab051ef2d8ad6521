//! The process's own descriptors: standard streams that are pipes or files, signals, wake-ups.

use nix::errno::Errno;
use sealwax::reactor::limits::READ_SIZE;
use sealwax::reactor::{CloseReason, Opened, ProcessFd, Signal, Waker};

use crate::recorder::{Recorder, Sim, Told, lines, silent};
use crate::support::kernel::{Device, Fault, Op};

#[test]
fn a_pipe_on_standard_input_is_read_to_its_end() {
    let mut sim = Sim::new();
    let mut handler = silent();
    handler.consume = lines;
    let mut writer = sim.kernel.standard(0, Device::Pipe);
    let id = sim.cx().open(ProcessFd::Stdin);
    sim.settle(&mut handler);
    writer.send(b"one\ntwo");
    writer.close();
    assert!(sim.settle(&mut handler) < 4);
    let told = [
        Told::Opened(id, Opened::ProcessFd),
        Told::Received(id, b"one\n".to_vec()),
        Told::Ended(id, b"two".to_vec()),
        Told::Closed(id, CloseReason::Closed),
    ];
    assert_eq!(handler.take(), told);
    sim.assert_clean(&mut handler, 0);
}

#[test]
fn a_paused_pipe_whose_writer_has_left_neither_spins_nor_speaks_until_it_is_resumed() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let mut writer = sim.kernel.standard(0, Device::Pipe);
    let id = sim.cx().open(ProcessFd::Stdin);
    sim.settle(&mut handler);
    handler.take();
    sim.cx().pause(id);
    sim.settle(&mut handler);
    writer.send(b"last words");
    writer.close();
    assert!(sim.settle(&mut handler) < 3);
    assert_eq!(handler.take(), []);
    sim.cx().resume(id);
    sim.settle(&mut handler);
    let told = [
        Told::Received(id, b"last words".to_vec()),
        Told::Ended(id, Vec::new()),
        Told::Closed(id, CloseReason::Closed),
    ];
    assert_eq!(handler.take(), told);
    sim.assert_clean(&mut handler, 0);
}

#[test]
fn a_file_on_standard_input_is_read_to_its_end_and_can_be_paused() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let mut file = sim.kernel.standard(0, Device::File);
    file.send(&vec![7; 2 * READ_SIZE + 1]);
    let id = sim.cx().open(ProcessFd::Stdin);
    sim.tick(&mut handler);
    assert_eq!(handler.take(), [Told::Opened(id, Opened::ProcessFd)]);
    sim.tick(&mut handler);
    assert_eq!(handler.received_from(id).len(), READ_SIZE);
    sim.cx().pause(id);
    assert!(sim.settle(&mut handler) < 2);
    assert_eq!(handler.received_from(id).len(), READ_SIZE);
    sim.cx().resume(id);
    sim.settle(&mut handler);
    assert_eq!(handler.received_from(id).len(), 2 * READ_SIZE + 1);
    assert_eq!(handler.take().last(), Some(&Told::Closed(id, CloseReason::Closed)));
    sim.assert_clean(&mut handler, 0);
}

#[test]
fn a_file_on_standard_output_is_written_and_does_not_spin() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let mut file = sim.kernel.standard(1, Device::File);
    let id = sim.cx().open(ProcessFd::Stdout);
    sim.cx().send(id, &[b"said before it was opened, "]);
    assert!(sim.settle(&mut handler) < 3);
    sim.cx().send(id, &[b"and after"]);
    let mut short = Some(Fault::Short(4));
    sim.kernel.inject(move |op, _| short.take_if(|_| op == Op::Writev));
    assert!(sim.settle(&mut handler) < 4);
    assert_eq!(file.receive_all(), b"said before it was opened, and after");
    assert_eq!(handler.take(), [Told::Opened(id, Opened::ProcessFd), Told::Drained(id)]);
    sim.cx().send(id, &[b"."]);
    sim.cx().close(id);
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Closed(id, CloseReason::Closed)]);
    assert_eq!(file.receive_all(), b".");
    sim.assert_clean(&mut handler, 0);
}

#[test]
fn a_full_disk_is_told() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let _file = sim.kernel.standard(2, Device::File);
    let id = sim.cx().open(ProcessFd::Stderr);
    sim.cx().send(id, &[b"a line"]);
    sim.kernel.inject(|op, _| (op == Op::Writev).then_some(Fault::Fail(Errno::ENOSPC)));
    sim.settle(&mut handler);
    let failed = CloseReason::Failed(Errno::ENOSPC);
    assert_eq!(handler.take(), [Told::Opened(id, Opened::ProcessFd), Told::Closed(id, failed)]);
    sim.assert_clean(&mut handler, 0);
}

#[test]
fn standard_output_whose_reader_left_is_told_also_when_nothing_is_written() {
    for queued in [0, 1, 1000] {
        let mut sim = Sim::new();
        sim.kernel.set_buffer(10);
        let mut handler = silent();
        let reader = sim.kernel.standard(1, Device::Pipe);
        let id = sim.cx().open(ProcessFd::Stdout);
        sim.settle(&mut handler);
        handler.take();
        sim.cx().send(id, &[&vec![0; queued]]);
        sim.settle(&mut handler);
        reader.close();
        assert!(sim.settle(&mut handler) < 3);
        let failed = CloseReason::Failed(Errno::EPIPE);
        assert_eq!(handler.take(), [Told::Closed(id, failed)]);
        sim.assert_clean(&mut handler, 0);
    }
}

#[test]
fn what_was_queued_for_an_output_leaves_although_it_was_closed_before_it_was_opened() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let mut reader = sim.kernel.standard(1, Device::Pipe);
    let id = sim.cx().open(ProcessFd::Stdout);
    sim.cx().send(id, &[b"famous last words"]);
    sim.cx().close(id);
    sim.settle(&mut handler);
    assert_eq!(reader.receive_all(), b"famous last words");
    assert_eq!(handler.take(), [Told::Closed(id, CloseReason::Closed)]);
    sim.assert_clean(&mut handler, 0);
}

#[test]
fn what_was_queued_late_in_a_tick_for_an_output_leaves_when_it_is_open() {
    let mut sim = Sim::new();
    let mut reader = sim.kernel.standard(1, Device::Pipe);
    let mut opened = false;
    let mut handler = Recorder::new(move |cx, told| {
        if *told == Told::EndOfTick && !std::mem::replace(&mut opened, true) {
            let id = cx.open(ProcessFd::Stdout);
            cx.send(id, &[b"hello"]);
        }
    });
    sim.tick(&mut handler);
    sim.settle(&mut handler);
    assert_eq!(reader.receive_all(), b"hello");
}

#[test]
fn an_output_that_was_aborted_before_it_was_opened_is_not_opened() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let mut reader = sim.kernel.standard(1, Device::Pipe);
    let id = sim.cx().open(ProcessFd::Stdout);
    sim.cx().send(id, &[b"never mind"]);
    sim.cx().abort(id);
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Closed(id, CloseReason::Aborted { unsent: 10 })]);
    assert_eq!(reader.receive(100), Err(Errno::EAGAIN));
    sim.assert_clean(&mut handler, 0);
}

#[test]
fn signals_and_wake_ups_are_told_and_then_the_loop_sleeps() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let signals = sim.cx().open(ProcessFd::Signals);
    let wake = sim.cx().open(ProcessFd::Wake(Waker::new().unwrap()));
    sim.settle(&mut handler);
    handler.take();
    for number in [libc::SIGTERM, libc::SIGUSR2, libc::SIGINT] {
        sim.kernel.signal(u8::try_from(number).unwrap());
    }
    sim.kernel.wake();
    assert!(sim.settle(&mut handler) < 3);
    let told = handler.take();
    assert!(matches!(told[0], Told::Received(id, _) if id == wake), "{told:?}");
    assert_eq!(told[1..], [Told::Signal(Signal::Terminate), Told::Signal(Signal::Interrupt)]);
    sim.cx().close(signals);
    sim.cx().close(wake);
    sim.assert_clean(&mut handler, 0);
}
