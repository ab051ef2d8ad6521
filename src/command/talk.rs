//! `sealwax chat`, `send` and `recv`: one user's client on the loop, each with its task.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::cli::{Chat, Common, Recv, ScreenArgs, Send, TraceArgs, Until};
use super::front::{CLIENT_TIMER, ChatHandler, Task};
use super::inline::{self, ChatScreen};
use super::lines::InputForm;
use super::owner::{self, Owner};
use super::resolver::Threads;
use super::view::{Level, View};
use super::{Exit, Failure, Outcome, certificate, tracing};
use crate::address::Address;
use crate::client::{
    Channel, Client, FileLetters, FilePins, LetterBook, Parts, Settings, UnusableLetters,
};
use crate::crypto::IdentityVault;
use crate::home::Home;
use crate::limits::{END_WAIT, MAX_HISTORY_FILE};
use crate::reactor::{Config, Linux, Waker, block_signals, block_terminal_signals};
use crate::screen::Terminal;
use crate::tls::ClientTls;
use crate::trace::Trace;
use crate::wire::{RosterMode, TakeMode};

/// `sealwax chat [TO]`
pub(super) fn chat(arguments: &Chat) -> Outcome {
    let form = if arguments.common.json { InputForm::Json } else { InputForm::Chat };
    let task = Task {
        input: Some(form),
        to: arguments.to.clone(),
        is_typed: form == InputForm::Chat && std::io::stdin().is_terminal(),
        takes_letters: !arguments.common.no_letterbox,
        until_stored: arguments.until == Until::Stored,
        ..finishing(arguments.wait)
    };
    let how = How { roster: RosterMode::Delta, ..How::default() };
    let obstacle = obstacle(arguments, form);
    if let Some(why) = obstacle.filter(|_| arguments.screen.screen) {
        let why = format!("nothing can be drawn, as --screen asks: {why}; without it lines do");
        return Err(Failure::new(Exit::Usage, why));
    }
    let drawn = obstacle.is_none().then_some(&arguments.screen);
    talk(&arguments.common, how, task, &arguments.trace, drawn)
}

/// Why `chat` draws nothing.
fn obstacle(arguments: &Chat, form: InputForm) -> Option<&'static str> {
    if form == InputForm::Json {
        return Some("--json is for programs");
    }
    if arguments.screen.lines {
        return Some("--lines asks for none");
    }
    if arguments.trace.trace.is_some() {
        return Some("--trace writes to the terminal too");
    }
    Terminal::obstacle()
}

/// `sealwax send TO [TEXT]`
pub(super) fn send(arguments: &Send) -> Outcome {
    let form = if arguments.whole { InputForm::Whole } else { InputForm::Plain };
    let until_stored = arguments.until == Until::Stored;
    let task = Task {
        input: arguments.text.is_none().then_some(form),
        to: Some(arguments.to.clone()),
        text: arguments.text.clone(),
        until_stored,
        ..finishing(arguments.wait)
    };
    // What cannot be stored now is not stored later either, as long as the recipient is away.
    let waits_for_absent = !task.is_impatient && !until_stored;
    // Texts that wait for this user are not for a script that sends: it takes receipts only.
    let how = How { waits_for_absent, take: TakeMode::Receipts, ..How::default() };
    talk(&arguments.common, how, task, &TraceArgs::default(), None)
}

/// A task that waits as long as this for what was sent. With 0 nothing is waited for that is not
/// there; but what became of a text that was sent is still waited for.
fn finishing(wait: Duration) -> Task {
    let is_impatient = wait.is_zero();
    Task { is_impatient, wait: Some(if is_impatient { END_WAIT } else { wait }), ..Task::default() }
}

/// `sealwax recv`
pub(super) fn recv(arguments: &Recv) -> Outcome {
    let (count, wait) = (arguments.count, arguments.wait);
    let is_impatient = wait.is_some_and(|wait| wait.is_zero());
    let takes_letters = !arguments.common.no_letterbox;
    let task = Task { count, takes_letters, is_impatient, wait, ..Task::default() };
    talk(&arguments.common, How::default(), task, &TraceArgs::default(), None)
}

/// In what the clients of the three commands differ.
#[derive(Clone, Copy)]
struct How {
    roster: RosterMode,
    waits_for_absent: bool,
    take: TakeMode,
}

impl Default for How {
    fn default() -> Self {
        Self { roster: RosterMode::None, waits_for_absent: false, take: TakeMode::All }
    }
}

fn talk(
    common: &Common,
    how: How,
    task: Task,
    traced: &TraceArgs,
    drawn: Option<&ScreenArgs>,
) -> Outcome {
    let How { roster, waits_for_absent, take } = how;
    let kernel = |errno| Failure::new(Exit::Failed, format!("the event loop failed: {errno}"));
    let owner = Owner::open(common)?; // may ask for a passphrase: a signal ends that
    block_signals().map_err(kernel)?;
    let view = View {
        json: common.json,
        terminal: std::io::stdout().is_terminal(),
        keys: common.identity.keys_command(),
        level: Level::asked(common.verbosity.verbose, common.verbosity.quiet),
        clock: wall_clock,
    };
    if let Some(usual) = &owner.usual_relay {
        let (relay, keys) = (&owner.relay, common.identity.keys_command());
        let said = format!(
            "{relay} is your relay this once, in place of {usual}; '{keys} relay {relay}' makes it \
             yours"
        );
        eprint!("{}", view.talk(Level::Info, &said));
    }
    let relay = owner.relay;
    let settings = Settings {
        name: owner.name,
        relay: relay.to_string(),
        roster,
        strict: common.strict,
        waits_for_absent,
        letterbox: (!common.no_letterbox).then_some(take),
        every_warning: common.json,
        keys: common.identity.keys_command(),
        timer: CLIENT_TIMER,
    };
    let channel = channel(common.plain, &relay)?;
    let waker = Waker::new().map_err(kernel)?;
    let parts = Parts {
        vault: Box::new(IdentityVault::new(owner.identity)),
        peers: Box::new(FilePins::new(owner.home.clone(), owner::PEERS_FILE)),
        relays: Box::new(FilePins::new(owner.home.clone(), owner::RELAYS_FILE)),
        marks: Box::new(FilePins::new(owner.home.clone(), owner::MARKS_FILE)),
        letters: letters(&owner.home, owner.usual_relay.as_ref().unwrap_or(&relay)),
        channel,
        wall: Box::new(wall_clock),
        resolve: Box::new(Threads::new(waker.clone())),
    };
    let trace = tracing::open(traced)?;
    let recorder = tracing::recorder(trace.as_ref(), None);
    let mut front = ChatHandler::new(Client::new(settings, parts), view, task, recorder.clone());
    if let Some(screen) = drawn {
        let failed = |errno| Failure::new(Exit::Failed, terminal_refuses(errno));
        let history = if screen.history { history(&owner.home)? } else { Vec::new() };
        let terminal = Terminal::open(false).map_err(failed)?;
        block_terminal_signals().map_err(kernel)?;
        let look = inline::look(&screen.time, screen.notify);
        let mut drawing = ChatScreen::new(terminal, look, history);
        if screen.screen {
            drawing.toggle();
        }
        front = front.with_screen(drawing, std::io::stderr().is_terminal());
    }
    let linux = Linux::new().map_err(kernel)?;
    let ended = tracing::run(linux, &Config::default(), recorder, &mut front, |cx, front| {
        front.start(cx, waker);
    });
    trace.inspect(Trace::finish);
    ended.map_err(kernel)?;
    if drawn.is_some_and(|screen| screen.history) {
        let lines = front.history().collect::<Vec<_>>().join("\n");
        let kept = owner.home.replace(owner::HISTORY_FILE, lines.as_bytes());
        kept.map_err(|why| Failure::new(Exit::Failed, why.to_string()))?;
    }
    Ok(front.exit())
}

fn terminal_refuses(errno: nix::errno::Errno) -> String {
    format!("the terminal cannot be drawn on: {}; try --lines", errno.desc())
}

/// The lines of earlier runs.
fn history(home: &Home) -> Result<Vec<String>, Failure> {
    let read = home.read(owner::HISTORY_FILE, MAX_HISTORY_FILE);
    let bytes = read.map_err(|why| Failure::new(Exit::Failed, why.to_string()))?;
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(text.unwrap_or_default().lines().map(str::to_owned).collect())
}

/// What is kept of letters. A client goes on without them where the file cannot be used.
fn letters(home: &Home, usual_relay: &Address) -> Box<dyn LetterBook> {
    let usual_relay = usual_relay.to_string();
    match FileLetters::open(home, owner::LETTERS_FILE, Some(&usual_relay)) {
        Ok(letters) => Box::new(letters),
        Err(why) => Box::new(UnusableLetters(why)),
    }
}

/// What the bytes travel in: bound TLS, unless `--plain` or the address says otherwise.
fn channel(is_plain: bool, relay: &Address) -> Result<Channel, Failure> {
    let failed = |why| Failure::new(Exit::Relay, why);
    match (is_plain, relay.is_checked()) {
        (true, true) => {
            let why = format!("--plain cannot be had with {relay}: leave one of them away");
            Err(Failure::new(Exit::Usage, why))
        }
        (true, false) => Ok(Channel::plain()),
        (false, true) => {
            let roots = certificate::roots()?;
            let tls = ClientTls::checked(relay.host(), roots).map_err(failed)?;
            Ok(Channel::checked(Box::new(move || tls.engine())))
        }
        (false, false) => {
            let tls = ClientTls::bound().map_err(failed)?;
            Ok(Channel::bound(Box::new(move || tls.engine())))
        }
    }
}

/// Milliseconds since 1970. A clock before that counts as 1970.
pub(super) fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
