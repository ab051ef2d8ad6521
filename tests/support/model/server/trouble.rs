//! Errors with which an engine refuses commands, and which commands.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sealwax::cluster::resp::Value;
use sealwax::cluster::script::Script;

use super::ModelServer;
use super::commands::{Command, error};

/// Why an engine refuses commands for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It reads its data.
    Loading,
    /// Its memory is full.
    OutOfMemory,
    /// It is a replica.
    ReadOnly,
    /// It cannot write to its disk.
    DiskFails,
    /// A script does not end.
    Busy,
}

impl Trouble {
    const fn text(self) -> &'static str {
        match self {
            Self::Loading => "LOADING Redis is loading the dataset in memory",
            Self::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Self::ReadOnly => "READONLY You can't write against a read only replica.",
            Self::DiskFails => "MISCONF Redis is configured to save RDB snapshots, but it cannot.",
            Self::Busy => "BUSY Redis is busy running a script.",
        }
    }

    fn refuses(self, command: &Command) -> bool {
        let script = match command {
            Command::Call { script, .. } => Some(*script),
            _ => None,
        };
        let appends = matches!(command, Command::Append(_));
        match self {
            Self::Loading => {
                !matches!(command, Command::Hello { .. } | Command::Select(_) | Command::Memory)
            }
            Self::Busy => !matches!(command, Command::Hello { .. }),
            Self::OutOfMemory => appends || script.is_some_and(|it| FLAGS[&it] == "#!lua"),
            Self::ReadOnly | Self::DiskFails => appends || script.is_some_and(changes),
        }
    }
}

/// What the first line of each script says of it.
static FLAGS: LazyLock<BTreeMap<Script, String>> = LazyLock::new(|| {
    let first = |source: &str| source.lines().next().unwrap_or_default().to_owned();
    Script::ALL.iter().map(|script| (*script, first(&script.source()))).collect()
});

/// Whether a script can change something.
pub(super) fn changes(script: Script) -> bool {
    FLAGS[&script] != "#!lua flags=no-writes"
}

impl ModelServer {
    /// Why a command is not done now.
    pub(super) fn refusal(&self, command: &Command, is_known: bool) -> Option<Value> {
        if !is_known && !matches!(command, Command::Hello { .. }) {
            return Some(error("NOAUTH Authentication required."));
        }
        let trouble = self.trouble.filter(|trouble| trouble.refuses(command));
        if let Command::Call { script, .. } = command
            && !self.loaded.contains(script.name())
            && !matches!(trouble, Some(Trouble::Loading | Trouble::Busy))
        {
            return Some(error("NOSCRIPT No matching script. Please use EVAL."));
        }
        trouble.map(|trouble| error(trouble.text()))
    }
}
