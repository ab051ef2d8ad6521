//! The nine servers of `docs/loop/stages.md`, and what its tables say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use sealwax::reactor::limits;

use crate::text::{Document, documents, files, root};

/// Lines of a server, as the page promises; the last is the chat.
const MAX_LINES: [usize; 9] = [150, 150, 150, 150, 150, 150, 150, 150, 300];
const MAX_COLUMNS: usize = 100;

fn servers() -> Vec<(PathBuf, String)> {
    let paths = files(&root().join("examples/stages"), &[".rs"]);
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(path).expect("readable"));
    paths.into_iter().map(read).collect()
}

fn page(path: &str) -> Document {
    documents().into_iter().find(|it| it.path == Path::new(path)).expect("the page is there")
}

/// The rows of tables, each in cells.
fn rows(document: &Document) -> impl Iterator<Item = (usize, Vec<String>)> {
    document.paragraphs.iter().filter_map(|paragraph| {
        let text = paragraph.pieces.join("`");
        let row = text.trim().strip_prefix('|')?.strip_suffix('|')?;
        Some((paragraph.line, row.split('|').map(|cell| cell.trim().to_owned()).collect()))
    })
}

/// The rows of the tables of words: the line, a word (or two), and its meaning.
fn words(document: &Document) -> Vec<(usize, String, String)> {
    let (mut found, mut next) = (Vec::new(), 0);
    for (line, cells) in rows(document) {
        match &cells[..] {
            [word, meaning] if word == "word" && meaning == "meaning" => next = line + 2,
            [word, meaning] if line == next => {
                found.push((line, word.clone(), meaning.clone()));
                next += 1;
            }
            _ => {}
        }
    }
    found
}

/// How many lines `diff` adds and removes: those outside a longest common subsequence.
fn changes(from: &str, to: &str) -> (usize, usize) {
    let (from, to): (Vec<_>, Vec<_>) = (from.lines().collect(), to.lines().collect());
    let mut common = vec![0; to.len() + 1];
    for old in &from {
        let mut diagonal = 0;
        for (at, new) in to.iter().enumerate() {
            let above = common[at + 1];
            common[at + 1] = if old == new { diagonal + 1 } else { above.max(common[at]) };
            diagonal = above;
        }
    }
    (to.len() - common[to.len()], from.len() - common[to.len()])
}

#[test]
fn each_server_is_short_and_stands_alone() {
    let servers = servers();
    assert_eq!(servers.len(), MAX_LINES.len());
    for (number, ((path, text), most)) in servers.iter().zip(MAX_LINES).enumerate() {
        let name = path.display();
        let number = number + 1;
        assert!(text.lines().count() <= most, "{name}: more than {most} lines");
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(MAX_COLUMNS), "{name}: {widest:?} columns");
        assert!(text.starts_with(&format!("//! Stage {number} of 9: ")), "{name}: its head");
        assert!(text.contains(&format!("cargo run --example stage{number} ")), "{name}: its start");
        let uses = text.lines().filter_map(|line| line.strip_prefix("use "));
        for used in uses {
            let of = used.split("::").next().unwrap_or_default();
            assert!(["std", "nix"].contains(&of), "{name}: it uses {of}");
        }
    }
}

#[test]
fn the_table_of_the_servers_counts_their_lines() {
    let servers = servers();
    let page = page("docs/loop/stages.md");
    let table: Vec<_> = rows(&page).filter(|(_, cells)| cells.len() == 6).skip(2).collect();
    assert_eq!(table.len(), servers.len());
    for (number, (line, cells)) in table.iter().enumerate() {
        let (path, text) = &servers[number];
        let file = path.file_name().expect("a file").to_string_lossy();
        assert!(cells[1].contains(&format!("examples/stages/{file})")), "line {line}: {file}");
        let lines = text.lines().count().to_string();
        let (added, removed) = match number.checked_sub(1) {
            Some(before) => {
                let (added, removed) = changes(&servers[before].1, text);
                (added.to_string(), removed.to_string())
            }
            None => (String::new(), String::new()),
        };
        assert_eq!(cells[2..5], [lines, added, removed], "line {line}: lines, added, removed");
    }
}

/// A word has one meaning: that of the tour's list of words. It is explained before it is used.
#[test]
fn each_word_is_that_of_the_tour_and_is_explained_first() {
    let tour = page("docs/loop/README.md");
    let meanings: BTreeMap<_, _> =
        words(&tour).into_iter().map(|(_, word, meaning)| (word, meaning)).collect();
    for (_, word, meaning) in words(&page("docs/loop/page.md")) {
        assert_eq!(meanings.get(&word), Some(&meaning), "{word}");
    }
    let stages = page("docs/loop/stages.md");
    let begin = stages.paragraphs.iter().find(|it| it.pieces[0].starts_with("## 1."));
    let begin = begin.expect("the first section").line;
    let (mut found, mut faults) = (0, Vec::new());
    for (line, words, meaning) in words(&stages) {
        found += 1;
        if meanings.get(&words) != Some(&meaning) {
            faults.push(format!("line {line}: {words}: this is not its meaning in the tour"));
        }
        // What a link leads to is no use of a word.
        let words_of = |text: &str| -> String {
            let parts = text.split("](").enumerate().map(|(at, part)| match part.find(')') {
                Some(end) if at > 0 => &part[end..],
                _ => part,
            });
            parts.collect()
        };
        for word in words.split(", ").map(|word| word.trim_matches('`')) {
            let uses = |text: &str| {
                let text = words_of(text);
                let is_part = |c: char| c.is_alphanumeric() || c == '_';
                text.split(|c| !is_part(c) && c != ' ').any(|part| {
                    let part = format!(" {part} ");
                    part.contains(&format!(" {word} ")) || part.contains(&format!(" {word}s "))
                })
            };
            let before = stages.paragraphs.iter().filter(|it| it.line >= begin && it.line < line);
            for paragraph in before.filter(|it| it.pieces.iter().any(|piece| uses(piece))) {
                faults.push(format!("line {}: {word} is explained later", paragraph.line));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(found >= 14, "{found} words were found");
}

/// The functions that make the calls of the page to print, and the step of the tick of each.
const STEPS: [(&str, &str); 16] = [
    ("establish", "dispatch"),
    ("dispatch_event", "dispatch"),
    ("dispatch_event", "dispatch"),
    ("dispatch_event", "dispatch"),
    ("read", "dispatch"),
    ("dispatch_ready", "dispatch"),
    ("back_off", "accept"),
    ("accept_one", "accept"),
    ("open_asked", "open_asked"),
    ("tell_deadlines", "tell_deadlines"),
    ("tell_signals", "tell_signals"),
    ("finish_if_flushed", "flush"),
    ("flush", "flush"),
    ("rearm", "rearm"),
    ("reap", "reap"),
    ("time_to_wait", "time_to_wait"),
];

/// The page to print: the bits that the loop knows, its functions in the order of the tick, and its
/// limits.
#[test]
fn the_page_to_print_is_that_of_the_loop() {
    let page = page("docs/loop/page.md");
    let cells: Vec<_> = rows(&page).map(|(_, cells)| cells).collect();
    let read = |file: &str| fs::read_to_string(root().join(file)).expect("readable");

    let is_bit = |word: &&str| word.starts_with("EPOLL") && !word.contains('_');
    let linux = read("src/reactor/linux.rs");
    let code = linux.split(|c: char| !c.is_ascii_uppercase() && c != '_').filter(is_bit);
    let code: BTreeSet<_> = code.filter(|word| *word != "EPOLL").collect();
    let bits = cells.iter().filter(|row| row.len() == 3);
    let bits: BTreeSet<_> = bits.map(|row| row[0].trim_matches('`')).filter(is_bit).collect();
    assert_eq!(bits, code);

    let source = read("src/reactor/tick.rs");
    let calls = cells.iter().filter(|row| row.len() == 4).skip(2);
    let calls: Vec<_> = calls.map(|row| (row[0].clone(), row[3].trim_matches('`'))).collect();
    let expected = STEPS.iter().zip(1..).map(|((name, _), row)| (row.to_string(), *name));
    assert!(expected.eq(calls), "the rows of the table of calls");
    assert!(STEPS.iter().all(|(name, _)| source.contains(&format!("fn {name}("))));
    let (_, tick) = source.split_once("pub fn tick(").expect("the tick");
    let place = |step: &str| tick.find(&format!("self.{step}(")).expect("a step of the tick");
    assert!(STEPS[..15].is_sorted_by_key(|(_, step)| place(step)), "another order");

    for (name, value) in [
        ("EVENTS_PER_TICK", limits::EVENTS_PER_TICK),
        ("ACCEPTS_PER_TICK", limits::ACCEPTS_PER_TICK),
        ("TURNED_AWAY_PER_TICK", limits::TURNED_AWAY_PER_TICK),
        ("TIMEOUTS_PER_TICK", limits::TIMEOUTS_PER_TICK),
        ("READ_SIZE", limits::READ_SIZE),
        ("SLICES_PER_WRITE", limits::SLICES_PER_WRITE),
    ] {
        let row = cells.iter().find(|row| row[0].contains(&format!("`{name}`")));
        let told = row.unwrap_or_else(|| panic!("{name}"))[1].replace(',', "");
        assert_eq!(told, value.to_string(), "{name}");
    }
}

/// Each section but the last shows the fault first, in a terminal; then it says why, names the
/// next stage, quotes it, and asks.
#[test]
fn each_section_shows_says_why_and_asks() {
    let page = fs::read_to_string(root().join("docs/loop/stages.md")).expect("readable");
    let sections: Vec<_> = page.split("\n## ").skip(1).collect();
    assert_eq!(sections.len(), 9);
    for (number, section) in sections[..8].iter().enumerate() {
        let number = number + 1;
        assert!(section.starts_with(&format!("{number}. ")), "section {number}");
        let next = format!("**Stage {}**", number + 1);
        let mut rest = *section;
        for part in ["**See it.**", "```sh\n", "**Why.**", &next, "<!-- ", "<details>"] {
            let (_, after) = rest.split_once(part).unwrap_or_else(|| panic!("{number}: {part}"));
            rest = after;
        }
        let questions = section.matches("<details><summary>").count();
        assert!((2..=4).contains(&questions), "section {number}: {questions} questions");
    }
}

/// The problems are numbered, each has one folded answer, and each answer names its test.
#[test]
fn each_problem_has_a_folded_answer_and_a_test() {
    let page = fs::read_to_string(root().join("docs/loop/problems.md")).expect("readable");
    let answers: Vec<_> = page.split("<details><summary>").collect();
    assert_eq!(answers.len(), 20 + 1);
    for (number, answer) in answers.iter().enumerate() {
        let next = format!("\n**{}. ", number + 1);
        assert!(number == 20 || answer.contains(&next), "no problem {}", number + 1);
        if number > 0 {
            let (answer, _) = answer.split_once("</details>").expect("it is closed");
            assert!(
                answer.contains("\nTest: ") || answer.contains("\nTests: "),
                "{number}: no test"
            );
        }
    }
}
