//! What is wrong with a file of options, in words: what, where, and what is accepted instead.

use std::error::Error;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, CommandFactory};
use toml::Spanned;
use toml::de::DeValue;

use super::{Kind, NOT_IN_A_FILE, options, quoted};
use crate::admin::limits::SHOWN_VALUE;
use crate::command::cli::{Cli, EXAMPLES};
use crate::command::{Exit, Failure};

/// A file of options that was read.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) serve: &'a clap::Command,
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// The byte at `start` is in this line, which is counted from 1.
    fn line(&self, start: usize) -> usize {
        self.text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1
    }

    /// What is wrong with the line of a byte.
    pub(super) fn at(&self, start: usize, what: &str) -> Failure {
        usage(format!("{}, line {}: {what}", self.path.display(), self.line(start)))
    }

    /// What is wrong with the file as a whole.
    fn as_a_whole(&self, what: &str) -> Failure {
        usage(format!("{}: {what}", self.path.display()))
    }

    /// What is no TOML.
    pub(super) fn syntax(&self, error: &toml::de::Error) -> Failure {
        let start = error.span().map_or(0, |span| span.start);
        let before = self.text.get(..start).unwrap_or_default();
        let begin = before.rfind('\n').map_or(0, |place| place + 1);
        let column = before[begin..].chars().count() + 1;
        let line = self.text[begin..].lines().next().unwrap_or_default();
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let key = key.split_whitespace().next().unwrap_or_default();
        let what = syntax_in_words(error.message(), value.trim());
        let help = self.option(key).filter(|_| !what.contains("second")).map(help);
        let help = help.unwrap_or_default();
        let (path, line) = (self.path.display(), self.line(start));
        usage(format!("{path}, line {line}, column {column}: {what}{help}"))
    }

    fn option(&self, key: &str) -> Option<&Arg> {
        options(self.serve).find(|option| option.get_long() == Some(key))
    }

    /// A value as it stands in the file.
    fn raw(&self, value: &Spanned<DeValue>) -> String {
        match value.get_ref() {
            DeValue::Table(_) => "a table".to_owned(),
            DeValue::Array(all) if all.is_empty() => "an empty list".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            _ => shortened(self.text.get(value.span()).unwrap_or_default()),
        }
    }

    /// The value is of another type than the option has.
    pub(super) fn of_another_type(&self, option: &Arg, value: &Spanned<DeValue>) -> String {
        let key = option.get_long().unwrap_or_default();
        let kind = Kind::of(option);
        let is = match value.get_ref() {
            DeValue::Array(all) if kind == Kind::Texts => {
                let other = all.iter().find(|one| one.get_ref().as_str().is_none());
                other.map_or_else(|| self.raw(value), |it| format!("a list with {}", self.raw(it)))
            }
            _ => self.raw(value),
        };
        format!("'{key}' has to be {}, and not {is}{}", kind.name(), help(option))
    }

    /// The value is of the right type, and not accepted.
    pub(super) fn refused(
        &self,
        option: &Arg,
        value: &Spanned<DeValue>,
        error: &clap::Error,
    ) -> String {
        let key = option.get_long().unwrap_or_default();
        let raw = match (value.get_ref(), error.get(ContextKind::InvalidValue)) {
            (DeValue::Array(_), Some(ContextValue::String(one))) => shortened(&quoted(one)),
            _ => self.raw(value),
        };
        if let Some(why) = error.source() {
            return format!("'{key}' cannot be {raw}: {why}");
        }
        match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(all)) if !all.is_empty() => {
                let all: Vec<_> = all.iter().map(|one| quoted(one)).collect();
                format!("'{key}' has to be one of {}, and not {raw}", all.join(", "))
            }
            _ => format!("'{key}' cannot be {raw}{}", help(option)),
        }
    }

    /// Options that are right one by one are not together. `place` tells where an option stands, if
    /// it does in this file.
    pub(super) fn together(
        &self,
        error: &clap::Error,
        place: impl Fn(&str) -> Option<usize>,
    ) -> Failure {
        let named = |kind| match error.get(kind) {
            Some(ContextValue::String(one)) => vec![key_of(one)],
            Some(ContextValue::Strings(all)) => all.iter().map(|one| key_of(one)).collect(),
            _ => Vec::new(),
        };
        let first = named(ContextKind::InvalidArg);
        match (error.kind(), &first[..], &named(ContextKind::PriorArg)[..]) {
            (ErrorKind::ArgumentConflict, [one], [other, ..]) => {
                let what = format!("'{one}' and '{other}' exclude each other: set only one");
                match place(one).max(place(other)) {
                    Some(start) => self.at(start, &what),
                    None => self.as_a_whole(&what),
                }
            }
            (ErrorKind::MissingRequiredArgument, [missing, ..], _) => {
                let help = self.option(missing).map(help).unwrap_or_default();
                self.as_a_whole(&format!("'{missing}' is missing: another option needs it{help}"))
            }
            _ => self.as_a_whole(&sentence(error)),
        }
    }
}

pub(super) fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}

/// What cannot be read as TOML, by what the library says of it; `value` is the rest of that line.
fn syntax_in_words(message: &str, value: &str) -> String {
    let word = value.split([' ', '\t', '#']).next().unwrap_or_default();
    let said = message.split([',', '\n']).next().unwrap_or_default();
    let said = match said {
        "key with no value" => "'=' is missing behind the name of the option",
        "unquoted keys cannot be empty" => "the name of the option is missing in front of '='",
        "duplicate key" => "this option is set a second time: leave one line away",
        "unexpected key or value" => "each option needs a line of its own",
        "missing escaped value" => {
            "there is no such escape; a text in single quotes needs none for its backslashes"
        }
        "cannot recurse further; max recursion depth met" => "too many lists are in each other",
        "unclosed array" => "the list does not end: ']' is missing",
        _ if word.is_empty() => "the value is missing",
        _ if said.ends_with(" string") => "the text does not end: its closing quote is missing",
        "string values must be quoted" | "invalid boolean" | "invalid float" => {
            let word = shortened(word);
            return format!(
                "'{word}' is no value: a text is in quotes, a flag is true or false, a number has \
                 no unit"
            );
        }
        other => return format!("this is not TOML: {other}"),
    };
    said.to_owned()
}

/// There is no such key.
pub(super) fn unknown(key: &str, value: &DeValue) -> String {
    let shown = shortened(key);
    if NOT_IN_A_FILE.contains(&key) {
        return format!("'{shown}' can be given on the command line only");
    }
    match (nearest(key), value) {
        (Some(option), _) => {
            format!("there is no option '{shown}'; the nearest one is '{option}'")
        }
        (None, DeValue::Table(_)) => {
            format!("there is no table [{shown}]: write the options without such a line")
        }
        (None, _) => {
            format!("there is no option '{shown}': 'sealwax serve --help' lists them all")
        }
    }
}

/// What could be written.
fn help(option: &Arg) -> String {
    let key = option.get_long().unwrap_or_default();
    let by_default = option.get_default_values().first().and_then(|value| value.to_str());
    let example = EXAMPLES.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
    let value = by_default.or(example).unwrap_or_default();
    let value = match Kind::of(option) {
        Kind::Flag => "true".to_owned(),
        Kind::Count => "1".to_owned(),
        Kind::Whole | Kind::Number => value.to_owned(),
        Kind::Text => quoted(value),
        Kind::Texts => format!("[{}]", quoted(value)),
    };
    format!("; write for example {key} = {value}")
}

/// The option that is most like `key`.
fn nearest(key: &str) -> Option<String> {
    let asked = Cli::command().try_get_matches_from(["sealwax", "serve", &format!("--{key}")]);
    let suggested = asked.err().and_then(|error| match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(option)) => Some(option.trim_start_matches('-').to_owned()),
        _ => None,
    });
    suggested.filter(|option| !NOT_IN_A_FILE.contains(&option.as_str()))
}

/// The key of what clap calls `--home <DIR>`.
fn key_of(argument: &str) -> &str {
    let name = argument.trim_start_matches('-');
    let end = name.find(|c: char| c != '-' && !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    &name[..end]
}

/// What clap says, in one line and without the usage.
fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let parts = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let parts = parts.filter(|line| !line.is_empty() && !line.starts_with("For more"));
    parts.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}

/// The beginning of a text, in one line and printable.
fn shortened(text: &str) -> String {
    let mut shown = String::new();
    for (number, letter) in text.chars().enumerate() {
        if number == SHOWN_VALUE {
            return shown + "…";
        }
        match letter {
            '"' | '\'' | '\\' => shown.push(letter),
            other => shown.extend(other.escape_debug()),
        }
    }
    shown
}
