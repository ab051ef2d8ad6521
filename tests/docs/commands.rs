//! Commands and options that the text names, and blocks that are said to run.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::text::{Document, documents, root};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sealwax");
/// How long a block or an example may run, in seconds (`timeout(1)`), before it has failed.
pub(crate) const PATIENCE: &str = "120";
/// Options of `cargo` and others that the text names.
const FOREIGN_OPTIONS: &[&str] = &["--test"];

/// What the program says of itself: the help of each command, by its words.
pub(crate) struct Program(pub(crate) Vec<(Vec<String>, String)>);

impl Program {
    pub(crate) fn ask() -> Self {
        let mut program = Self(Vec::new());
        program.ask_about(&[]);
        assert!(program.0.len() > 15, "the commands were not found");
        program
    }

    fn ask_about(&mut self, command: &[String]) {
        let output = Command::new(PROGRAM).args(command).arg("--help").output().expect("it starts");
        assert!(output.status.success(), "{command:?} --help");
        let help = String::from_utf8(output.stdout).expect("help is UTF-8");
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let listed = listed.take_while(|line| line.starts_with(' ')).filter(|line| {
            line.starts_with("  ") && line.chars().nth(2).is_some_and(|first| first != ' ')
        });
        let listed = listed.filter_map(|line| line.split_whitespace().next());
        let below: Vec<_> = listed.filter(|name| *name != "help").map(str::to_owned).collect();
        self.0.push((command.to_vec(), help));
        for name in below {
            self.ask_about(&[command, &[name]].concat());
        }
    }

    /// The options of the commands that begin with these words.
    fn options(&self, command: &[&str]) -> BTreeSet<&str> {
        let begins = |words: &[String]| {
            words.len() <= command.len() && words.iter().zip(command).all(|(a, b)| a == b)
                || command.len() <= words.len() && command.iter().zip(words).all(|(a, b)| a == b)
        };
        let helps = self.0.iter().filter(|(words, _)| begins(words)).map(|(_, help)| help);
        let words = helps.flat_map(|help| help.split([' ', '\n', ',', '[', '`', '=']));
        words.filter(|word| word.starts_with("--")).collect()
    }

    /// What is wrong with a line that starts this program.
    fn fault(&self, line: &str) -> Option<String> {
        let line = line.split(['#', '|', '&', ';', '<']).next().unwrap_or(line);
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
        let mut command: Vec<_> = words.iter().copied().take_while(is_word).take(2).collect();
        while !self.0.iter().any(|(known, _)| known.iter().eq(command.iter())) {
            command.pop();
        }
        if command.is_empty() && words.first().is_some_and(is_word) {
            return Some(format!("no such command: {line}"));
        }
        let options = self.options(&command);
        let named = words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
        let mut named = named.take_while(|word| **word != "--").map(|word| option(word));
        named.find(|named| !options.contains(named)).map(|named| format!("no {named}: {line}"))
    }
}

/// The option of `--option=value`, `--option,`.
fn option(word: &str) -> &str {
    let end = word.find(|c: char| c != '-' && !c.is_ascii_lowercase() && !c.is_ascii_digit());
    &word[..end.unwrap_or(word.len())]
}

/// The places in a block of commands where `sealwax` is started.
pub(crate) fn starts(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("sealwax ").filter_map(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| " /|'(".contains(c)).then(|| &line[at..])
    })
}

fn spans(document: &Document) -> impl Iterator<Item = (usize, &str)> {
    let pieces = |it: &'_ crate::text::Paragraph| it.line;
    document.paragraphs.iter().flat_map(move |it| {
        it.pieces.iter().skip(1).step_by(2).map(move |span| (pieces(it), &**span))
    })
}

#[test]
fn commands_and_options_are_known_to_the_program() {
    let program = Program::ask();
    let all = program.options(&[]);
    let mut faults = Vec::new();
    for document in documents() {
        let mut fault = |line: usize, what: String| {
            faults.push(format!("{}:{line}: {what}", document.path.display()));
        };
        for (line, span) in spans(&document) {
            if span.starts_with("sealwax ") {
                program.fault(span).into_iter().for_each(|what| fault(line, what));
            }
            if span.starts_with("--") && span.len() > 2 {
                let named = option(span);
                if !all.contains(named) && !FOREIGN_OPTIONS.contains(&named) {
                    fault(line, format!("no command has {named}"));
                }
            }
        }
        for block in document.blocks.iter().filter(|block| block.language == "sh") {
            for text in block.lines.iter().flat_map(|line| starts(line)) {
                program.fault(text).into_iter().for_each(|what| fault(block.line, what));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// `--test NAME` and `--example NAME` of cargo, wherever they stand.
#[test]
fn tests_and_examples_that_cargo_is_to_run_exist() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("it is there");
    let examples: BTreeSet<_> = manifest
        .split("[[example]]")
        .skip(1)
        .filter_map(|rest| rest.trim().strip_prefix("name = \"")?.split('"').next())
        .collect();
    for document in documents() {
        let lines = document.blocks.iter().flat_map(|block| &block.lines).map(String::as_str);
        let all: Vec<_> = lines.chain(spans(&document).map(|(_, span)| span)).collect();
        for line in all.into_iter().filter(|line| line.contains("cargo ")) {
            let words: Vec<_> = line.split_whitespace().collect();
            for pair in words.windows(2) {
                let is_name = pair[1]
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
                let exists = match pair[0] {
                    "--test" => ["tests/NAME.rs", "tests/NAME/main.rs"]
                        .iter()
                        .any(|path| root().join(path.replace("NAME", pair[1])).exists()),
                    "--example" => examples.contains(pair[1]),
                    _ => true,
                };
                assert!(exists || !is_name, "{}: {line}", document.path.display());
            }
        }
    }
}

#[test]
fn blocks_that_are_said_to_run_do() {
    let mut run = 0;
    for document in documents() {
        let is_runnable = |mark: &Option<String>| mark.as_deref() == Some("runs");
        for block in document.blocks.iter().filter(|block| is_runnable(&block.mark)) {
            let at = format!("{}:{}", document.path.display(), block.line);
            let home = tempfile::tempdir().expect("a folder");
            for folder in ["docs", "tests"] {
                symlink(root().join(folder), home.path().join(folder)).expect("a new folder");
            }
            let programs = std::path::Path::new(PROGRAM).parent().expect("it lies in a folder");
            let path = std::env::var("PATH").unwrap_or_default();
            // What hangs has failed: a relay that does not start, say, and is waited for.
            let output = Command::new("timeout")
                .args([
                    "--kill-after=5",
                    PATIENCE,
                    "bash",
                    "-euo",
                    "pipefail",
                    "-c",
                    &block.lines.join("\n"),
                ])
                .current_dir(home.path())
                .env("HOME", home.path())
                .env_remove("XDG_DATA_HOME")
                .env("PATH", format!("{}:{path}", programs.display()))
                .stdin(Stdio::null())
                .output()
                .expect("bash starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{at}: {}\n{said}", output.status);
            run += 1;
        }
    }
    assert!(run > 0, "the blocks were not found");
}
