//! The terminal of this process: raw while we draw on it, and as it was afterwards, however that
//! ends.
//!
//! Raw (`termios(3)`) means: each byte comes when it is typed, nothing is shown by itself, and no
//! key sends a signal. The terminal belongs to whoever started us, so it is put back when
//! [`Terminal`] is dropped and by the hook of a panic, which runs before the panic's own words are
//! printed. Of the signals that end or stop us the loop tells (`ProcessFd::TerminalSignals`), and
//! who draws ends or calls [`Terminal::suspend`]. SIGKILL and SIGSTOP leave no time for that.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, Once, PoisonError};

use nix::fcntl::{OFlag, open};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, raise};
use nix::sys::stat::Mode;
use nix::sys::termios::{self, OutputFlags, SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};

use super::limits::{MAX_SIZE, USUAL_SIZE};
use crate::reactor::window_size;

/// Bracketed paste on: what is pasted comes between marks.
const ENTER: &str = "\x1b[?2004h";
/// Bracketed paste off, the cursor shown, plain letters.
const LEAVE: &str = "\x1b[?2004l\x1b[?25h\x1b[0m";
/// The alternate screen, which keeps what was on the terminal before; cleared. Neither of these
/// moves the cursor to its begin.
const ENTER_WHOLE: &str = "\x1b[?1049h\x1b[2J\x1b[H";
/// Back to what was on the terminal before.
const LEAVE_WHOLE: &str = "\x1b[?1049l";

/// What is put back: by whoever comes first, a drop or a panic.
static BEFORE: Mutex<Option<Before>> = Mutex::new(None);

struct Before {
    settings: Termios,
    whole: bool,
}

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Cells in a row; at least 1.
    pub columns: u16,
    /// Rows; at least 1.
    pub rows: u16,
}

/// A raw terminal. One at a time in a process.
#[derive(Debug)]
pub struct Terminal {
    /// The whole screen is drawn on.
    whole: bool,
}

impl Terminal {
    /// Why nothing can be drawn: standard input and output have to be a terminal that understands
    /// more than lines. None: it can.
    pub fn obstacle() -> Option<&'static str> {
        let name = std::env::var_os("TERM").unwrap_or_default();
        if !io::stdin().is_terminal() {
            return Some("standard input is no terminal");
        }
        if !io::stdout().is_terminal() {
            return Some("standard output is no terminal");
        }
        match name.to_str() {
            Some("") => Some("TERM is not set"),
            Some("dumb") => Some("TERM is dumb, a terminal that knows lines only"),
            _ => None,
        }
    }

    /// Whether this terminal is known to wrap its rows anew when it has another width. Its names in
    /// the environment tell, as far as they do: over `ssh(1)` only `TERM` comes along.
    pub fn rewraps() -> bool {
        rewraps(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// Whether the terminal knows UTF-8, as far as the locale says (`locale(7)`); where no variable
    /// says anything it is believed to, as nearly all do.
    pub fn knows_utf8() -> bool {
        knows_utf8(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// Makes the terminal raw. `whole`: the alternate screen is drawn on, and what was on the
    /// terminal comes back afterwards.
    ///
    /// # Errors
    /// Standard input is no terminal, or it does not take the settings (`tcsetattr(3)`).
    pub fn open(whole: bool) -> nix::Result<Self> {
        restore_on_panic();
        let mut terminal = Self { whole };
        terminal.resume()?;
        Ok(terminal)
    }

    /// How large the terminal is now.
    pub fn size() -> Size {
        let (columns, rows) = window_size(io::stdout().as_fd()).unwrap_or((0, 0));
        let known = |told: u16, usual| if told == 0 { usual } else { told.min(MAX_SIZE) };
        Size { columns: known(columns, USUAL_SIZE.0), rows: known(rows, USUAL_SIZE.1) }
    }

    /// Whether the terminal is raw now.
    pub fn is_raw(&self) -> bool {
        before().is_some()
    }

    /// Makes the terminal raw again after [`suspend`](Self::suspend), or after a SIGCONT that came
    /// from elsewhere. While other programs are in the foreground it is theirs, and we are stopped
    /// again, as every program is that sets a terminal from the background (SIGTTOU): a shell sends
    /// SIGCONT only to what it has seen stop. Then the terminal may be ours, which the next SIGCONT
    /// tells; it stays as it is until then.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn resume(&mut self) -> nix::Result<()> {
        if !is_in_foreground() {
            return raise(Signal::SIGTTOU); // without effect in an orphaned process group
        }
        let mut before = before();
        let settings = match before.take() {
            Some(before) => before.settings,
            None => tcgetattr(io::stdin())?,
        };
        let mut raw = settings.clone();
        termios::cfmakeraw(&mut raw);
        // A line feed goes to the begin of the next line, as whatever else writes here expects.
        raw.output_flags.insert(OutputFlags::OPOST | OutputFlags::ONLCR);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        *before = Some(Before { settings, whole: self.whole });
        write(ENTER);
        if self.whole {
            write(ENTER_WHOLE);
        }
        Ok(())
    }

    /// Draws on the whole screen from now on, or does not any more. Returns what is to be sent to
    /// the terminal for it, behind what was sent before.
    pub fn set_whole(&mut self, whole: bool) -> &'static str {
        self.whole = whole;
        if let Some(before) = &mut *before() {
            before.whole = whole;
        }
        if whole { ENTER_WHOLE } else { LEAVE_WHOLE }
    }

    /// Puts the terminal back and stops this process until somebody continues it, which SIGCONT
    /// tells; [`resume`](Self::resume) follows then. What was drawn has to have left.
    ///
    /// It is stopped by the default action of SIGTSTP, and so only where somebody can continue it:
    /// the kernel drops that signal in a process group that is orphaned (`setpgid(2)`), such as
    /// that of a program that a terminal was opened for, without a shell. SIGSTOP would stop it
    /// there for good. Then SIGCONT is told all the same.
    pub fn suspend(&mut self) {
        restore();
        stop_by_default_action();
        // Somebody else's SIGCONT that is told already and this one are one (`signal(7)`): none of
        // these signals is queued.
        let _ = kill(Pid::this(), Signal::SIGCONT); // never fails for ourselves
    }

    /// What Ctrl-Z does where the terminal is not raw: SIGTSTP to all of our process group
    /// (`kill(2)`), which tells us too.
    pub fn ask_to_stop() {
        let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Terminals that wrap their rows anew, by the begin of `TERM`.
const REWRAPPING: [&str; 6] =
    ["tmux", "xterm-kitty", "xterm-ghostty", "foot", "alacritty", "wezterm"];
/// The same where `TERM` begins with `xterm`: each sets one of these variables.
const REWRAPPING_XTERMS: [&str; 6] = [
    "VTE_VERSION",
    "KONSOLE_VERSION",
    "ALACRITTY_WINDOW_ID",
    "WEZTERM_PANE",
    "WT_SESSION",
    "ITERM_SESSION_ID",
];

fn rewraps(variable: impl Fn(&str) -> Option<String>) -> bool {
    let name = variable("TERM").unwrap_or_default();
    let begins = |begin: &&str| name.starts_with(begin);
    let is_set = |name: &&str| variable(name).is_some();
    // A terminal may have been started in another one, and have that one's variables too: xterm
    // sets one of its own, and of GNU screen and tmux only the second sets TMUX.
    REWRAPPING.iter().any(begins)
        || name.starts_with("screen") && is_set(&"TMUX")
        || name.starts_with("xterm")
            && !is_set(&"XTERM_VERSION")
            && REWRAPPING_XTERMS.iter().any(is_set)
}

fn knows_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let Some(locale) = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable) else {
        return true;
    };
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

fn before() -> std::sync::MutexGuard<'static, Option<Before>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the terminal back as it was; once.
fn restore() {
    let Some(Before { settings, whole }) = before().take() else { return };
    // Somebody else's turn: what they have set stays, and SIGTTOU would stop us (`tcsetattr(3)`).
    if !is_in_foreground() {
        return;
    }
    write(if whole { LEAVE_WHOLE } else { "" });
    write(LEAVE);
    let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &settings); // the terminal may be gone
}

/// SIGTSTP to this thread alone, which takes it as if nobody told it. It is blocked all the other
/// time, so it waits until it is let through.
fn stop_by_default_action() {
    let one = SigSet::from_iter([Signal::SIGTSTP]);
    let _ = raise(Signal::SIGTSTP); // never fails for ourselves (`raise(3)`)
    if let Ok(before) = one.thread_swap_mask(SigmaskHow::SIG_UNBLOCK) {
        let _ = before.thread_set_mask(); // fails for no mask that was one
    }
}

fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            next(panic);
        }));
    });
}

/// Whether our process group is the one that the terminal belongs to (`tcgetpgrp(3)`). A terminal
/// that is not our controlling one has none, and nobody to take it from.
fn is_in_foreground() -> bool {
    tcgetpgrp(io::stdin()).map_or(true, |group| group == getpgrp())
}

/// Writes to the terminal at once, beside the loop; a terminal that takes nothing is not waited
/// for.
fn write(text: &str) {
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    if let Ok(terminal) = open("/proc/self/fd/1", flags, Mode::empty()) {
        let _ = File::from(terminal).write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_says_whether_the_terminal_knows_utf8() {
        for (variables, expected) in [
            (&[("LANG", "de_DE.UTF-8")][..], true),
            (&[("LANG", "C.utf8")], true),
            (&[("LANG", "C")], false),
            (&[("LANG", "de_DE")], false),
            (&[("LANG", "C"), ("LC_CTYPE", "en_US.UTF-8")], true),
            (&[("LANG", "en_US.UTF-8"), ("LC_ALL", "POSIX")], false),
            (&[], true),
        ] {
            assert_eq!(knows_utf8(among(variables)), expected, "{variables:?}");
        }
    }

    fn among<'a>(variables: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn a_terminal_rewraps_where_its_names_say_so() {
        for (variables, expected) in [
            (&[("TERM", "xterm-256color")][..], false),
            (&[("TERM", "xterm-256color"), ("VTE_VERSION", "7600")], true),
            (&[("TERM", "xterm"), ("VTE_VERSION", "7600"), ("XTERM_VERSION", "XTerm(390)")], false),
            (&[("TERM", "st-256color"), ("VTE_VERSION", "7600")], false),
            (&[("TERM", "tmux-256color")], true),
            (&[("TERM", "screen-256color"), ("TMUX", "/tmp/tmux-0/default,1,0")], true),
            (&[("TERM", "screen-256color")], false),
            (&[("TERM", "xterm-kitty")], true),
            (&[("TERM", "linux")], false),
            (&[], false),
        ] {
            assert_eq!(rewraps(among(variables)), expected, "{variables:?}");
        }
    }
}
