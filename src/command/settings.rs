//! `serve --config FILE`: options in a file (TOML).
//!
//! Knows no option by its name: which keys there are, which type each has and what a value means is
//! asked of the definition of the command line (`cli/serve.rs`). What the file says becomes words
//! of a command line, behind those that were given, and all are parsed together.

mod told;

use std::any::TypeId;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::told::{Source, unknown, usage};
use super::Failure;
use super::certificate::read;
use super::cli::{Cli, Command};
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
            with_file(line, &file, Pass::Start { check }).map_err(NoCommand::File)
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
        let read = with_file(self.line.clone(), self.file.as_ref()?, Pass::Again);
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
            Self::Count => "a whole number from 0 to 255",
            Self::Whole => "a whole number",
            Self::Number => "a number",
            Self::Text => "a text in quotes",
            Self::Texts => "a text in quotes, or a list of them",
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
                let digits = i64::from_str_radix(&digits, number.radix())
                    .map_or(digits, |it| it.to_string());
                if self == Self::Count && digits.parse::<u8>().is_err() {
                    return None;
                }
                digits
            }
            (Self::Texts, DeValue::Array(all)) if !all.is_empty() => {
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
fn with_file(line: Vec<Setting>, file: &Path, pass: Pass) -> Result<Cli, Failure> {
    let program = program();
    let serve = definition(&program);
    let bytes = read(file, MAX_CONFIG_FILE)
        .map_err(|why| usage(format!("{why}: name a file of options (TOML) with --config")))?;
    let valid = std::str::from_utf8(&bytes);
    let text = valid.unwrap_or_else(|error| {
        std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default() // it is valid
    });
    let source = Source { serve, path: file, text };
    valid.map_err(|_| source.at(text.len(), "what is in this line is not UTF-8"))?;
    let in_file = read_file(source, pass)?;
    let kept = in_file.iter().filter(|(_, one)| !is_overruled(serve, one, &line));
    let mut settings: Vec<_> = line.iter().chain(kept.map(|(_, one)| one)).cloned().collect();
    if pass == Pass::Again {
        settings.retain(|setting| setting.key != LISTEN);
    }
    let options = settings.iter().flat_map(Setting::words);
    let check = (pass == Pass::Start { check: true }).then(|| OsString::from("--check"));
    let words = ["sealwax".into(), "serve".into()].into_iter().chain(check).chain(options);
    let place = |key: &str| in_file.iter().find(|(_, one)| one.key == key).map(|(place, _)| *place);
    let matches = Cli::command().try_get_matches_from(words);
    matches
        .and_then(|matches| complete(&matches, Some(file.to_owned()), line, settings))
        .map_err(|error| source.together(&error, place))
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

/// What a file says, checked key by key, with the places of the keys.
fn read_file(source: Source, pass: Pass) -> Result<Vec<(usize, Setting)>, Failure> {
    let table = DeTable::parse(source.text).map_err(|error| source.syntax(&error))?;
    let mut keys: Vec<_> = table.get_ref().iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    let settings = keys.into_iter().map(|(key, value)| {
        let place = key.span().start;
        let understood = understand(source, key.get_ref(), value, pass);
        understood.map(|setting| (place, setting)).map_err(|why| source.at(place, &why))
    });
    settings.collect()
}

/// One key and its value.
fn understand(
    source: Source,
    key: &str,
    value: &Spanned<DeValue>,
    pass: Pass,
) -> Result<Setting, String> {
    let Some(option) = options(source.serve).find(|option| option.get_long() == Some(key)) else {
        return Err(unknown(key, value.get_ref()));
    };
    let kind = Kind::of(option);
    let Some(values) = kind.values(value.get_ref()) else {
        return Err(source.of_another_type(option, value));
    };
    let setting = Setting { key: key.to_owned(), kind, values };
    if key == LISTEN && pass == Pass::Again {
        return Ok(setting);
    }
    let words = ["sealwax".into(), "serve".into()].into_iter().chain(setting.words());
    match Cli::command().try_get_matches_from(words) {
        // One that needs another is looked at together with it.
        Err(error) if error.kind() != ErrorKind::MissingRequiredArgument => {
            Err(source.refused(option, value, &error))
        }
        _ => Ok(setting),
    }
}

/// A text as TOML has it. Escapes of JSON are escapes of TOML; only DEL has to be one besides.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\x7f', "\\u007f")
}

#[cfg(test)]
mod tests;
