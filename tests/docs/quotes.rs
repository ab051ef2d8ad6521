//! What is quoted stands where it is said to stand.

use std::fs;
use std::path::Path;

use crate::text::{documents, root};

/// A line as it is compared: without the indentation and the marks of a comment. What is left out
/// says so (`// …`), and may be any number of lines.
fn bare(line: &str) -> &str {
    let line = line.trim();
    line.strip_prefix("//!").or_else(|| line.strip_prefix("///")).unwrap_or(line).trim()
}

/// Whether `quoted` stands in `lines`, in this order, with gaps only where it says so.
fn stands_in(quoted: &[&str], lines: &[&str]) -> bool {
    let runs: Vec<_> = quoted.split(|line| *line == "// …").filter(|run| !run.is_empty()).collect();
    (0..lines.len()).any(|start| {
        let mut rest = &lines[start..];
        runs.iter().enumerate().all(|(number, run)| {
            let mut places = rest.windows(run.len());
            let place = if number == 0 {
                places.next().and_then(|window| (window == *run).then_some(0))
            } else {
                places.position(|window| window == *run)
            };
            place.is_some_and(|place| {
                rest = &rest[place + run.len()..];
                true
            })
        })
    })
}

#[test]
fn what_is_quoted_from_a_file_stands_in_it() {
    let (mut found, mut faults) = (0, Vec::new());
    for document in documents() {
        for block in &document.blocks {
            let Some(of) = block.mark.as_ref().and_then(|mark| mark.strip_prefix("same as "))
            else {
                continue;
            };
            let at = format!("{}:{}", document.path.display(), block.line);
            let text = fs::read_to_string(root().join(of)).unwrap_or_else(|_| panic!("{at}: {of}"));
            let lines: Vec<_> = text.lines().map(bare).filter(|line| !line.is_empty()).collect();
            let quoted = block.lines.iter().map(|line| bare(line));
            let quoted: Vec<_> = quoted.filter(|line| !line.is_empty()).collect();
            if !stands_in(&quoted, &lines) {
                faults.push(format!("{at}: this does not stand in {of}"));
            }
            found += 1;
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(found > 20, "the quotes were not found");
}

/// The lines of a file as they are compared.
fn bare_lines(file: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(file)).unwrap_or_else(|_| panic!("no {file}"));
    text.lines().map(|line| bare(line).to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn what_changes_between_two_files_stands_in_them() {
    let (mut found, mut faults) = (0, Vec::new());
    for document in documents() {
        for block in &document.blocks {
            let files = block.mark.as_ref().and_then(|mark| mark.strip_prefix("change from "));
            let Some((from, to)) = files.and_then(|files| files.split_once(" to ")) else {
                continue;
            };
            for (file, other) in [(from, '+'), (to, '-')] {
                let lines = bare_lines(file);
                let lines: Vec<_> = lines.iter().map(String::as_str).collect();
                let mine = block.lines.iter().filter(|line| !line.starts_with(other));
                let mine = mine.map(|line| bare(line.get(1..).unwrap_or_default()));
                let mine: Vec<_> = mine.filter(|line| !line.is_empty()).collect();
                if !stands_in(&mine, &lines) {
                    let at = format!("{}:{}", document.path.display(), block.line);
                    faults.push(format!("{at}: this does not stand in {file}"));
                }
            }
            found += 1;
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(found > 4, "the changes were not found");
}

/// The states of a connection and the way of a message are drawn once in the code and once in the
/// text.
#[test]
fn the_two_diagrams_are_quoted() {
    for (chapter, of) in [
        ("docs/loop/10-ending.md", "same as src/reactor/connection.rs"),
        ("docs/loop/02-tick.md", "same as src/lib.rs"),
    ] {
        let document = documents().into_iter().find(|it| it.path == Path::new(chapter)).unwrap();
        let is_it = |mark: &Option<String>| mark.as_deref() == Some(of);
        let mut blocks = document.blocks.iter();
        assert!(blocks.any(|block| block.language == "text" && is_it(&block.mark)), "{chapter}");
    }
}

#[test]
fn each_chapter_of_the_tour_quotes_its_function_and_has_a_picture_and_the_next_call() {
    let tour = documents().into_iter().filter(|document| {
        let name = document.path.file_name().unwrap_or_default().to_string_lossy();
        document.path.starts_with("docs/loop")
            && name.starts_with(|first: char| first.is_ascii_digit())
    });
    let mut chapters = 0;
    for document in tour {
        let name = document.path.display();
        let has_picture = document
            .blocks
            .iter()
            .any(|block| matches!(&*block.language, "" | "text") && block.lines.len() > 3);
        assert!(has_picture, "{name}: no picture");
        let headings = document.paragraphs.iter().map(|paragraph| paragraph.pieces[0].trim());
        let has = |heading| headings.clone().any(|it| it.starts_with(heading));
        let compares = name.to_string().contains("others");
        assert!(has("## The next call"), "{name}: no next call");
        let text = fs::read_to_string(root().join(&document.path)).expect("readable");
        let (_, next) = text.split_once("## The next call").expect("it has it");
        assert!(next.contains("<details><summary>"), "{name}: its answers are not folded");
        let quotes = document.blocks.iter().any(|block| block.mark.is_some());
        assert!(compares || quotes, "{name}: no function");
        chapters += 1;
    }
    assert_eq!(chapters, 15);
}

#[test]
fn a_quote_may_leave_out_only_where_it_says_so() {
    let lines = ["a", "b", "c", "d"];
    assert!(stands_in(&["b", "c"], &lines));
    assert!(stands_in(&["a", "// …", "d"], &lines));
    assert!(!stands_in(&["a", "c"], &lines));
    assert!(!stands_in(&["c", "// …", "b"], &lines));
}
