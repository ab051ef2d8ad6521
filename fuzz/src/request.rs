//! What a client sends, as the relay reads it; and what it passes on of it.

use sealwax::wire::{
    Body, CommonFrame, CommonFrames, Forward, Incoming, Letter, Reply, Request, Scan, Scanner,
    letter_end, scan_common,
};

use super::json::Members;

/// The sender's name, as JSON.
const SENDER: &str = r#""JG""#;

/// The input is a frame.
pub fn request(frame: &[u8]) {
    if let Some((end, fast)) = scan_common(frame, frame.len()) {
        assert_eq!(Request::parse(frame[..end].trim_ascii_start()).as_ref(), Ok(&fast));
        // Nor does it matter that one like it, or one that begins like it, was read before.
        let mut frames = CommonFrames::default();
        let mut scan = |bytes| {
            let mut frame = CommonFrame::default();
            frames.scan(&mut frame, bytes, bytes.len(), SENDER.as_bytes()).then_some(frame)
        };
        let Some(first) = scan(frame) else { panic!("found, and not found by its shape") };
        assert_eq!((first.end, first.request()), (end, fast));
        let body = frame[..end].iter().rposition(|&byte| byte == b':').unwrap_or(end);
        let shorter = [&frame[..body], b":\"\"}"].concat();
        for frame in [frame, &shorter] {
            let alone = scan_common(frame, frame.len());
            let scanned = scan(frame);
            assert_eq!(scanned.map(|frame| (frame.end, frame.request())), alone);
            let repeated = first.repeated(frame, frame.len());
            assert!(repeated.is_none() || repeated == alone.map(|(end, _)| end));
        }
    }
    let request = match Request::parse(frame) {
        Ok(request) => request,
        Err(refusal) => {
            let answer = Reply::from(&refusal).encode();
            assert!(Incoming::parse(answer.trim_ascii_end()).is_ok(), "refused in no frame");
            return;
        }
    };
    let members = Members::of(frame);
    assert_eq!(request.id.as_deref(), members.text("id").as_deref());
    assert_eq!(request.version2, members.raw("v").is_some_and(|v| v == "2"));
    let action = match &request.body {
        Body::Register(register) => {
            assert_eq!(Some(&*register.name), members.text("name").as_deref());
            assert_eq!(Some(&*register.pubkey), members.text("pubkey").as_deref());
            assert_eq!(register.v2.is_some(), request.version2);
            "register"
        }
        Body::Prove { .. } => "prove",
        Body::Prekey(_) => "prekey",
        Body::Lookup { target, .. } => {
            assert_eq!(Some(&**target), members.text("target").as_deref());
            "get_pubkey"
        }
        Body::Forward(forward) => {
            assert_eq!(Some(&*forward.to), members.text("to").as_deref());
            passed_on(&request, forward, &members);
            forward.kind.action()
        }
        Body::Letterbox(_) => "letterbox",
        Body::Letter(letter) => {
            assert_eq!(Some(&*letter.to), members.text("to").as_deref());
            kept(letter);
            "letter"
        }
        Body::Take(_) => "letters",
        Body::Ack { .. } => "ack",
        Body::Ping => "ping",
    };
    assert_eq!(Some(action), members.text("action").as_deref());
}

/// What is kept of a letter is delivered as one frame that a client reads.
fn kept(letter: &Letter) {
    let delivered = [letter.to_keep(SENDER.as_bytes()), letter_end(u64::MAX).into_bytes()].concat();
    let Some(frame) = delivered.strip_suffix(b"\n") else { panic!("no line end") };
    // One without `"v":2` is an error; no relay keeps it.
    if let Ok(read) = Incoming::parse(frame) {
        let Incoming::Letter(read) = read else { panic!("no letter: {read:?}") };
        assert_eq!((&read.to, read.number), (&letter.to, u64::MAX));
    }
}

/// What the addressee gets is one frame, equal but for `from`, and it can be read.
fn passed_on(request: &Request, forward: &Forward, sent: &Members) {
    let bytes = forward.bytes.parts(SENDER.as_bytes()).concat();
    let Some(frame) = bytes.strip_suffix(b"\n") else { panic!("no line end") };
    let found = Scanner::default().scan(&bytes, bytes.len());
    assert_eq!(found, Scan::Frame(0..frame.len()));

    let passed = Members::of(frame);
    let mut expected = sent.all();
    expected.insert("from", SENDER);
    assert_eq!(passed.all(), expected);

    let Ok(Incoming::Forwarded(received)) = Incoming::parse(frame) else {
        panic!("the addressee cannot read it");
    };
    assert_eq!((received.kind, &*received.from), (forward.kind, "JG"));
    assert_eq!((&received.to, received.version2), (&forward.to, request.version2));
    let body = ["key", "content"][usize::from(forward.kind.action() == "message")];
    assert_eq!(Some(received.body.into_owned()), passed.text(body));
}
