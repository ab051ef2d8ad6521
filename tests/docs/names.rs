//! Files, functions, constants and tests that the text names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::foreign::{FOREIGN_FILES, FOREIGN_NAMES};
use crate::text::{Document, Paragraph, documents, files, root};

/// The repository as the text may refer to it: Rust, what the tests have in Python, and patches.
struct Sources(Vec<Source>);

struct Source {
    path: PathBuf,
    words: BTreeSet<String>,
    /// What it defines: functions, types, constants, and what its enums may be.
    defined: BTreeSet<String>,
}

impl Sources {
    fn read() -> Self {
        let paths = ["src", "tests", "benches", "examples", "fuzz", "docs"]
            .iter()
            .flat_map(|folder| files(&root().join(folder), &[".rs", ".py", ".patch"]));
        let sources = paths.filter(|path| !path.starts_with(root().join("tests/docs")));
        Self(sources.map(|path| Source::read(&path)).collect())
    }

    fn define(&self, name: &str) -> bool {
        self.0.iter().any(|source| source.defined.contains(name))
    }

    /// Those of the file, or in the folder, that `named` names.
    fn below(&self, named: &Path) -> impl Iterator<Item = &Source> {
        self.0.iter().filter(move |source| source.path.starts_with(named))
    }
}

impl Source {
    fn read(path: &Path) -> Self {
        const KINDS: [&str; 10] =
            ["fn", "struct", "enum", "trait", "const", "static", "type", "mod", "def", "class"];
        let text = fs::read_to_string(path).expect("a source is readable");
        let mut defined = BTreeSet::new();
        for line in text.lines() {
            let words: Vec<_> = words(line).collect();
            let named = words.windows(2).filter(|pair| KINDS.contains(&pair[0]));
            defined.extend(named.map(|pair| pair[1].to_owned()));
            // A variant begins its line.
            if let Some(first) = words.first().filter(|it| it.starts_with(char::is_uppercase))
                && line.trim_start().starts_with(first)
            {
                defined.insert((*first).to_owned());
            }
        }
        Self {
            path: path.strip_prefix(root()).expect("below the root").to_owned(),
            words: words(&text).map(str::to_owned).collect(),
            defined,
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn is_identifier(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// `Type::name` or `name`, with or without brackets: the last name of it.
fn last_name(span: &str) -> Option<&str> {
    let span = span.strip_suffix("()").unwrap_or(span);
    let last = span.rsplit("::").next()?;
    span.split("::").all(is_identifier).then_some(last)
}

fn is_path(span: &str) -> bool {
    let endings = [".rs", ".md", ".toml", ".json", ".py", ".patch", ".c", ".sqlite", ".lock"];
    let shaped = span.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    shaped
        && !span.starts_with(['/', '-', '.'])
        && (span.contains('/') || endings.iter().any(|ending| span.ends_with(ending)))
}

/// The file or folder that `span` means, in a document of this folder.
fn find(span: &str, folder: &Path, sources: &Sources) -> Option<PathBuf> {
    let from_root = PathBuf::from(span.trim_end_matches('/'));
    let beside = folder.join(&from_root);
    let kept = Path::new("fuzz/corpus").join(&from_root);
    let by_name = sources.0.iter().map(|it| &it.path).find(|path| path.ends_with(&from_root));
    let places = [&from_root, &beside, &kept].into_iter().chain(by_name);
    let mut there = places.filter(|at| root().join(at).exists());
    there.next().cloned()
}

/// The spans before the one at `index` that the text says are in it: "`a`, `b` and `c` in `FILE`",
/// "`a` (`FILE`)", "`a`, `FILE`".
fn said_to_be_in(paragraph: &Paragraph, index: usize) -> Vec<&str> {
    let mut names = Vec::new();
    let mut at = index;
    while at >= 2 {
        let between = paragraph.pieces[at - 1].trim_end();
        let joins = if names.is_empty() {
            matches!(between, " in" | "," | " (" | ", in" | " of")
        } else {
            matches!(between, "," | " and")
        };
        let span = &*paragraph.pieces[at - 2];
        if !joins || last_name(span).is_none() {
            break;
        }
        names.push(span);
        at -= 2;
    }
    names
}

fn check(document: &Document, paragraph: &Paragraph, sources: &Sources, faults: &mut Vec<String>) {
    let mut fault = |what: String| {
        faults.push(format!("{}:{}: {what}", document.path.display(), paragraph.line));
    };
    let folder = document.path.parent().unwrap_or(Path::new(""));
    for (index, span) in paragraph.pieces.iter().enumerate().skip(1).step_by(2) {
        if FOREIGN_FILES.contains(&&**span) || FOREIGN_NAMES.contains(&&**span) {
            continue;
        }
        if is_path(span) {
            let Some(path) = find(span, folder, sources) else {
                fault(format!("there is no `{span}`"));
                continue;
            };
            for name in said_to_be_in(paragraph, index) {
                let name = last_name(name).unwrap_or(name);
                if sources.below(&path).next().is_some()
                    && !sources.below(&path).any(|source| source.defined.contains(name))
                {
                    fault(format!("`{span}` does not define `{name}`"));
                }
            }
            continue;
        }
        let Some(name) = last_name(span) else { continue };
        // `refused_CODE` stands for several.
        let stands_for_several = name.starts_with(char::is_lowercase)
            && name.split('_').any(|part| part.starts_with(char::is_uppercase));
        if stands_for_several {
            continue;
        }
        let parts = name.split('_').count();
        if let Some(of) = span.strip_suffix("()").unwrap_or(span).rsplit("::").nth(1) {
            let there = |it: &Source| it.words.contains(of) && it.defined.contains(name);
            if !sources.0.iter().any(there) {
                fault(format!("there is no `{span}`"));
            }
        } else if parts > 4 && name.starts_with(char::is_lowercase) {
            if !sources.define(name) {
                fault(format!("there is no function or test `{name}`"));
            }
        } else if parts > 1 && !sources.0.iter().any(|it| it.words.contains(name)) {
            fault(format!("nothing is called `{name}`"));
        }
    }
}

#[test]
fn what_the_text_names_exists() {
    let sources = Sources::read();
    let mut faults = Vec::new();
    for document in documents() {
        for paragraph in &document.paragraphs {
            check(&document, paragraph, &sources, &mut faults);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A link to a file of ours leads somewhere.
#[test]
fn links_lead_somewhere() {
    for document in documents() {
        let folder = document.path.parent().unwrap_or(Path::new(""));
        for piece in document.paragraphs.iter().flat_map(|paragraph| &paragraph.pieces) {
            for rest in piece.split("](").skip(1) {
                let to = rest.split([')', '#']).next().unwrap_or_default();
                let is_ours = !to.is_empty() && !to.contains("://");
                // Written by `benches/measure` and `benches/plot`, where somebody has.
                let is_ours = is_ours && !to.starts_with("measurements/");
                let leads = root().join(folder).join(to).exists();
                assert!(!is_ours || leads, "{}: {to}", document.path.display());
            }
        }
    }
}

#[test]
fn what_is_not_ours_is_still_named() {
    let all: Vec<_> = documents();
    let paragraphs = all.iter().flat_map(|document| &document.paragraphs);
    let spans: BTreeSet<_> =
        paragraphs.flat_map(|it| it.pieces.iter().skip(1).step_by(2)).collect();
    for name in FOREIGN_FILES.iter().chain(FOREIGN_NAMES) {
        assert!(spans.iter().any(|span| **span == *name), "{name}: take it off the list");
    }
}

/// Each answer of a chapter ends with the functions that decide it, in brackets: `a`, `b`; `c` in
/// `FILE`. Where no file is named, they are those of the tick. (Chapter 14 asks about others too.)
#[test]
fn each_answer_of_a_chapter_names_its_functions() {
    let sources = Sources::read();
    let (mut answers, mut faults) = (0, Vec::new());
    for path in files(&root().join("docs/loop"), &[".md"]) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with(|c: char| c.is_ascii_digit()) || name.starts_with("14") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a document is readable");
        let (_, asked) = text.split_once("## The next call").expect("each chapter asks");
        for answer in asked.split("<details><summary>").skip(1) {
            let (answer, _) = answer.split_once("</details>").expect("it is closed");
            let mut fault = |what: &str| faults.push(format!("{name}: {what}: {answer}"));
            answers += 1;
            let end = answer.trim_end().strip_suffix(')').and_then(|it| it.rsplit_once('('));
            let Some((_, functions)) = end else {
                fault("it names no function");
                continue;
            };
            for part in functions.split(';') {
                let spans: Vec<_> = part.split('`').skip(1).step_by(2).collect();
                let (names, file) = match &spans[..] {
                    [names @ .., file] if is_path(file) => (names, *file),
                    names => (names, "src/reactor/tick.rs"),
                };
                let mut there = sources.below(Path::new(file));
                let defines = |it: &Source| names.iter().all(|&name| it.defined.contains(name));
                if names.is_empty() || !there.any(defines) {
                    fault(part);
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(answers >= 70, "{answers} answers were found");
}

/// What goes wrong with epoll is told where it matters: each test of it stands in a chapter.
#[test]
fn each_pitfall_is_told_in_a_chapter() {
    let all = documents();
    let tour = all.iter().filter(|document| document.path.starts_with("docs/loop"));
    let spans: BTreeSet<_> = tour
        .flat_map(|document| &document.paragraphs)
        .flat_map(|paragraph| paragraph.pieces.iter().skip(1).step_by(2))
        .collect();
    let mut pitfalls = 0;
    for path in files(&root().join("tests/pitfalls"), &[".rs"]) {
        let text = fs::read_to_string(path).expect("a source is readable");
        for test in text.split("#[test]\nfn ").skip(1) {
            let name = words(test).next().expect("a name");
            assert!(spans.iter().any(|span| **span == name), "no chapter tells of {name}");
            pitfalls += 1;
        }
    }
    assert!(pitfalls >= 13, "the pitfalls were not found");
}
