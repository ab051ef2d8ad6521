//! `serve --config FILE`: options in a file (TOML).
//!
//! Knows no option by its name: which keys there are, which type each has and what a value means is
//! asked of the definition of the command line (`cli/serve.rs`). What the file says becomes words
//! of a command line, behind those that were given, and all are parsed together.

use std::any::TypeId;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::certificate::read;
use super::cli::{Cli, Command};
use super::{Exit, Failure};
use crate::limits::MAX_CONFIG_FILE;

/// Options that are about the file itself.
const NOT_IN_A_FILE: [&str; 3] = ["config", "check", "help"];
/// Reading this option again could take long: it may name a host (`getaddrinfo(3)`).
const LISTEN: &str = "listen";

/// The options of one start, with where each comes from.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    file: Option<PathBuf>,
    /// Given on the command line.
    line: Vec<Setting>,
    /// In force: from the command line, from the file, or by default.
    all: Vec<Setting>,
    /// The options that were given, here or there.
    given: Vec<String>,
}

/// An option and its values, as words of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    key: String,
    kind: Kind,
    values: Vec<OsString>,
}

/// What a value is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flag,
    /// How often a flag is given (`-vv`).
    Count,
    Whole,
    Number,
    Text,
    Texts,
}

/// When the options are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// At the start, for the command line has `--check` or not.
    Start { check: bool },
    /// While the relay runs: without [`LISTEN`].
    Again,
}

/// Why there is no command to carry out.
pub(super) enum NoCommand {
    /// The command line was not understood, or asks for help.
    Line(clap::Error),
    /// The file was not.
    File(Failure),
}

/// Understands a command line, and the file that it names.
pub(super) fn parse(words: Vec<OsString>) -> Result<Cli, NoCommand> {
    let matches = Cli::command().try_get_matches_from(words).map_err(NoCommand::Line)?;
    let Some(serve) = matches.subcommand_matches("serve") else {
        return Cli::from_arg_matches(&matches).map_err(NoCommand::Line);
    };
    let line = given(serve, |source| source == ValueSource::CommandLine);
    match serve.get_one::<PathBuf>("config").cloned() {
        None => complete(&matches, None, line.clone(), line).map_err(NoCommand::Line),
        Some(file) => {
            let check = serve.get_flag("check");
            with_file(line, file, Pass::Start { check }).map_err(NoCommand::File)
        }
    }
}

impl Settings {
    /// Reads the file again. Addresses to listen at are left out, for they take effect at a start
    /// only. None where there is no file.
    ///
    /// # Errors
    /// What is wrong with the file, in words.
    pub(super) fn read_again(&self) -> Option<Result<Cli, String>> {
        let read = with_file(self.line.clone(), self.file.clone()?, Pass::Again);
        Some(read.map_err(|failure| failure.message))
    }

    /// Whether an option was given, on the command line or in the file.
    pub(super) fn gives(&self, key: &str) -> bool {
        self.given.iter().any(|given| given == key)
    }

    /// The options that have other values in `new`, but for addresses to listen at.
    pub(super) fn changed<'a>(&'a self, new: &'a Self) -> impl Iterator<Item = &'a str> {
        let all = self.all.iter().chain(new.all.iter().filter(|it| self.value(&it.key).is_none()));
        let other = |setting: &&Setting| self.value(&setting.key) != new.value(&setting.key);
        all.filter(|it| it.key != LISTEN).filter(other).map(|setting| setting.key.as_str())
    }

    fn value(&self, key: &str) -> Option<&Setting> {
        self.all.iter().find(|setting| setting.key == key)
    }

    /// All options that have a value, as a file for `--config`.
    pub(super) fn to_toml(&self) -> String {
        let mut text = String::new();
        for Setting { key, kind, values } in &self.all {
            let texts: Option<Vec<&str>> = values.iter().map(|value| value.to_str()).collect();
            // Writing to a text cannot fail.
            let _ = match (kind, texts.as_deref()) {
                (_, None) => writeln!(text, "# {key} is no UTF-8: it can be given as --{key} only"),
                (Kind::Texts, Some(all)) => {
                    let all: Vec<_> = all.iter().map(|one| quoted(one)).collect();
                    writeln!(text, "{key} = [{}]", all.join(", "))
                }
                (Kind::Text, Some([one])) => writeln!(text, "{key} = {}", quoted(one)),
                (_, Some(all)) => writeln!(text, "{key} = {}", all.join("")),
            };
        }
        text
    }
}

impl Setting {
    /// The words that say it on a command line.
    fn words(&self) -> Vec<OsString> {
        let number = |value: &OsString| value.to_str().and_then(|it| it.parse().ok()).unwrap_or(0);
        let flags = match self.kind {
            Kind::Flag => usize::from(self.values.iter().any(|value| value == "true")),
            Kind::Count => self.values.first().map_or(0, number),
            _ => {
                let word = |value| {
                    let mut word = OsString::from(format!("--{}=", self.key));
                    word.push(value);
                    word
                };
                return self.values.iter().map(word).collect();
            }
        };
        vec![format!("--{}", self.key).into(); flags]
    }
}

impl Kind {
    fn of(option: &Arg) -> Self {
        let is = |id| option.get_value_parser().type_id() == id;
        let whole = [TypeId::of::<usize>(), TypeId::of::<u32>(), TypeId::of::<u64>()];
        match option.get_action() {
            ArgAction::SetTrue => Self::Flag,
            ArgAction::Count => Self::Count,
            ArgAction::Append => Self::Texts,
            _ if whole.into_iter().any(is) => Self::Whole,
            _ if is(TypeId::of::<Duration>()) => Self::Number,
            _ => Self::Text,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Count | Self::Whole => "a whole number",
            Self::Number => "a number",
            Self::Text => "a text in quotes",
            Self::Texts => "a text in quotes, or several of them in [ ]",
        }
    }

    /// The words of a value; none where it is of another type.
    fn values(self, value: &DeValue) -> Option<Vec<OsString>> {
        let one = match (self, value) {
            (Self::Flag, DeValue::Boolean(yes)) => yes.to_string(),
            (Self::Text | Self::Texts, DeValue::String(text)) => text.to_string(),
            (Self::Number, DeValue::Float(number)) => number.as_str().replace('_', ""),
            (Self::Count | Self::Whole | Self::Number, DeValue::Integer(number)) => {
                let digits = number.as_str().replace('_', "");
                i64::from_str_radix(&digits, number.radix()).map_or(digits, |it| it.to_string())
            }
            (Self::Texts, DeValue::Array(all)) => {
                let texts = all.iter().map(|one| one.get_ref().as_str().map(OsString::from));
                return texts.collect();
            }
            _ => return None,
        };
        Some(vec![one.into()])
    }
}

/// The options of `serve` that may stand in a file.
fn options(serve: &clap::Command) -> impl Iterator<Item = &Arg> {
    serve
        .get_arguments()
        .filter(|option| option.get_long().is_some_and(|name| !NOT_IN_A_FILE.contains(&name)))
}

fn program() -> clap::Command {
    let mut program = Cli::command();
    program.build();
    program
}

fn definition(program: &clap::Command) -> &clap::Command {
    program.find_subcommand("serve").unwrap_or(program) // it is there: a test finds its options
}

/// The options whose values come from where `wanted` says.
fn given(matches: &ArgMatches, wanted: impl Fn(ValueSource) -> bool) -> Vec<Setting> {
    let program = program();
    let known = options(definition(&program)).filter_map(|option| {
        let id = option.get_id().as_str();
        matches.value_source(id).filter(|source| wanted(*source))?;
        let values = matches.get_raw(id)?.map(ToOwned::to_owned).collect();
        let key = option.get_long()?.to_owned();
        Some(Setting { key, kind: Kind::of(option), values })
    });
    known.collect()
}

/// The command for what was given on the command line and what `file` says besides.
fn with_file(line: Vec<Setting>, file: PathBuf, pass: Pass) -> Result<Cli, Failure> {
    let program = program();
    let serve = definition(&program);
    let text = read(&file, MAX_CONFIG_FILE).map_err(usage)?;
    let text = std::str::from_utf8(&text)
        .map_err(|_| usage(format!("{}: this is no text in UTF-8", file.display())))?;
    let in_file = read_file(serve, &file, text, pass)?;
    let in_file = in_file.into_iter().filter(|one| !is_overruled(serve, one, &line));
    let mut settings: Vec<_> = line.iter().cloned().chain(in_file).collect();
    if pass == Pass::Again {
        settings.retain(|setting| setting.key != LISTEN);
    }
    let options = settings.iter().flat_map(Setting::words);
    let check = (pass == Pass::Start { check: true }).then(|| OsString::from("--check"));
    let words = ["sealwax".into(), "serve".into()].into_iter().chain(check).chain(options);
    let matches = Cli::command().try_get_matches_from(words);
    let path = file.clone();
    matches
        .and_then(|matches| complete(&matches, Some(file), line, settings))
        .map_err(|error| usage(format!("{}: {}", path.display(), sentence(&error))))
}

/// The command, with where its options come from.
fn complete(
    matches: &ArgMatches,
    file: Option<PathBuf>,
    line: Vec<Setting>,
    given: Vec<Setting>,
) -> Result<Cli, clap::Error> {
    let mut cli = Cli::from_arg_matches(matches)?;
    if let (Command::Serve(serve), Some(matches)) =
        (&mut cli.command, matches.subcommand_matches("serve"))
    {
        let given = given.into_iter().map(|setting| setting.key).collect();
        serve.config.clone_from(&file);
        serve.settings = Settings { file, line, all: self::given(matches, |_| true), given };
    }
    Ok(cli)
}

/// Whether the command line says something else.
fn is_overruled(serve: &clap::Command, one: &Setting, line: &[Setting]) -> bool {
    let option = |key: &str| options(serve).find(|option| option.get_long() == Some(key));
    let forbids = |a: &Arg, b: &Arg| {
        serve.get_arg_conflicts_with(a).iter().any(|other| other.get_id() == b.get_id())
    };
    let Some(here) = option(&one.key) else { return false };
    line.iter().filter_map(|setting| option(&setting.key)).any(|there| {
        here.get_id() == there.get_id() || forbids(here, there) || forbids(there, here)
    })
}

/// What a file says, checked key by key.
fn read_file(
    serve: &clap::Command,
    path: &Path,
    text: &str,
    pass: Pass,
) -> Result<Vec<Setting>, Failure> {
    let at = |start: usize, what: &str| {
        let line = text.as_bytes().iter().take(start).filter(|byte| **byte == b'\n').count() + 1;
        usage(format!("{}, line {line}: {what}", path.display()))
    };
    let table = DeTable::parse(text).map_err(|error| {
        at(error.span().map_or(0, |span| span.start), &error.message().replace('\n', ", "))
    })?;
    let mut found = Vec::new();
    for (key, value) in table.get_ref() {
        let setting = understand(serve, key.get_ref(), value, pass);
        found.push((key.span().start, setting.map_err(|why| at(key.span().start, &why))?));
    }
    found.sort_by_key(|(place, _)| *place);
    Ok(found.into_iter().map(|(_, setting)| setting).collect())
}

/// One key and its value.
fn understand(
    serve: &clap::Command,
    key: &str,
    value: &Spanned<DeValue>,
    pass: Pass,
) -> Result<Setting, String> {
    let Some(option) = options(serve).find(|option| option.get_long() == Some(key)) else {
        return Err(format!("there is no option '{}'{}", key.escape_debug(), nearest(key)));
    };
    let kind = Kind::of(option);
    let values = kind.values(value.get_ref()).ok_or_else(|| {
        let is = value.get_ref().type_str();
        format!("the value of '{key}' is {}, and not of the type '{is}'", kind.name())
    })?;
    let setting = Setting { key: key.to_owned(), kind, values };
    if key == LISTEN && pass == Pass::Again {
        return Ok(setting);
    }
    let words = ["sealwax".into(), "serve".into()].into_iter().chain(setting.words());
    match Cli::command().try_get_matches_from(words) {
        // One that needs another is looked at together with it.
        Err(error) if error.kind() != clap::error::ErrorKind::MissingRequiredArgument => {
            Err(sentence(&error))
        }
        _ => Ok(setting),
    }
}

/// The option that is most like `key`, or where all are listed.
fn nearest(key: &str) -> String {
    let asked = Cli::command().try_get_matches_from(["sealwax", "serve", &format!("--{key}")]);
    let suggested = asked.err().and_then(|error| match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(option)) => Some(option.trim_start_matches('-').to_owned()),
        _ => None,
    });
    match suggested.filter(|option| !NOT_IN_A_FILE.contains(&option.as_str())) {
        Some(option) => format!("; the nearest one is '{option}'"),
        None => ": 'sealwax serve --help' lists them all".to_owned(),
    }
}

/// What clap says, in one line and without the usage.
fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let parts = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let parts = parts.filter(|line| !line.is_empty() && !line.starts_with("For more"));
    parts.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}

/// A text as TOML has it. Escapes of JSON are escapes of TOML; only DEL has to be one besides.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\x7f', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn start(line: &str, text: &str) -> Result<Box<super::super::cli::Serve>, String> {
        let file = file(text);
        let mut words = words(line);
        words.extend(["--config".into(), file.path().into()]);
        match parse(words) {
            Ok(Cli { command: Command::Serve(serve) }) => Ok(serve),
            Ok(_) => panic!("another command"),
            Err(NoCommand::Line(error)) => panic!("{error}"),
            Err(NoCommand::File(failure)) => {
                assert_eq!(failure.exit, Exit::Usage);
                let path = file.path().display().to_string();
                Err(failure.message.replace(&path, "FILE"))
            }
        }
    }

    const FILE: &str = "listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nmax-connections = 1_000\n\
                        drain-time = 2.5\nregister-timeout = 3\nrates-loopback = true\n\
                        verbose = 2\n\
                        tls = \"require\"\nlog-file = '/var/log/sealwax/\"relay\".log'\n";

    #[test]
    fn a_file_says_what_a_command_line_can_say_and_the_command_line_wins() {
        let serve = start("sealwax serve --max-connections 7 -q", FILE).unwrap();
        assert_eq!(serve.addresses().len(), 2);
        assert_eq!(serve.max_connections, 7);
        assert_eq!(serve.drain_time, Duration::from_millis(2_500));
        assert_eq!(serve.register_timeout, Duration::from_secs(3));
        assert!(serve.rates_loopback && serve.tls == super::super::cli::TlsOption::Require);
        assert_eq!((serve.verbosity.verbose, serve.verbosity.quiet), (0, 1), "-q forbids -v");
        assert!(serve.settings.gives("listen") && !serve.settings.gives("max-frame"));
        let serve = start("sealwax serve --ephemeral", "home = \"/srv/relay\"\n").unwrap();
        assert!(serve.ephemeral && serve.home.is_none());
        let serve = start("sealwax serve", "listen = \"127.0.0.1:3\"\ntrace = \"json\"").unwrap();
        assert_eq!(serve.addresses(), ["127.0.0.1:3".parse().unwrap()]);
        assert!(serve.trace.trace.is_some());
    }

    #[test]
    fn what_is_printed_is_a_file_that_says_the_same() {
        let serve = start("sealwax serve --spin 5 --home /tmp/\u{7f}\"x", FILE).unwrap();
        let printed = serve.settings.to_toml();
        let again = start("sealwax serve", &printed).unwrap();
        assert_eq!(again.settings.to_toml(), printed);
        assert_eq!(serve.settings.changed(&again.settings).count(), 0);
        assert!(printed.contains("max-frame = 65536\n"), "{printed}");
        assert_eq!(again.home, serve.home);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_told_with_its_line() {
        let wrong = |text: &str| start("sealwax serve", text).unwrap_err();
        for (text, expected) in [
            (
                "\nmax_conections = 5",
                "line 2: there is no option 'max_conections'; the nearest one \
              is 'max-connections'",
            ),
            ("config = \"x\"", "line 1: there is no option 'config'"),
            ("zzz = 1", "lists them all"),
            (
                "spin = 1\nmax-frame = \"64k\"",
                "line 2: the value of 'max-frame' is a whole number, \
              and not of the type 'string'",
            ),
            ("listen = [1]", "line 1: the value of 'listen' is a text in quotes, or several"),
            ("tls = true", "'tls' is a text in quotes, and not of the type 'boolean'"),
            ("ephemeral = 1", "'ephemeral' is true or false, and not of the type 'integer'"),
            ("[tls]\ncert = 1", "line 1: the value of 'tls' is a text in quotes, and not of the"),
            ("max-frame = 3", "line 1: invalid value '3' for '--max-frame <BYTES>': not"),
            (
                "tls = \"no\"",
                "line 1: invalid value 'no' for '--tls <TLS>' [possible values: offer",
            ),
            ("max-frame = ", "line 1: "),
            ("spin = 1\nspin = 2", "line 2: duplicate key"),
            ("tls-cert = \"x\"", "FILE: the following required arguments were not provided"),
            ("ephemeral = true\nhome = \"x\"", "FILE: the argument '--ephemeral' cannot be used"),
        ] {
            let told = wrong(text);
            assert!(told.contains(expected) && !told.contains('\n'), "{text:?}: {told}");
        }
    }

    #[test]
    fn read_again_it_tells_what_has_changed() {
        let file = file("max-connections = 5\noutbox-soft = 2000\n");
        let mut words = words("sealwax serve --spin 1 --listen 127.0.0.1:1 --config");
        words.push(file.path().into());
        let serve = |cli: Cli| match cli.command {
            Command::Serve(serve) => serve,
            _ => panic!("another command"),
        };
        let Ok(old) = parse(words) else { panic!("it is understood") };
        let old = serve(old);
        let text = "spin = 9\noutbox-soft = 3000\nhome = \"/x\"\nlisten = \"no.such.host:1\"\n";
        std::fs::write(file.path(), text).unwrap();
        let new = serve(old.settings.read_again().unwrap().unwrap());
        let changed: Vec<_> = old.settings.changed(&new.settings).collect();
        assert_eq!(changed, ["max-connections", "outbox-soft", "home"]);
        assert_eq!(new.outbox_soft, 3_000);
    }
}
