//! The documents, cut into what can be checked.

use std::fs;
use std::path::{Path, PathBuf};

/// A document.
pub(crate) struct Document {
    /// From the root of the repository.
    pub(crate) path: PathBuf,
    pub(crate) paragraphs: Vec<Paragraph>,
    pub(crate) blocks: Vec<Block>,
}

/// Lines of prose, or a row of a table: pieces of text and of code in turn, text first.
pub(crate) struct Paragraph {
    pub(crate) line: usize,
    pub(crate) pieces: Vec<String>,
}

/// A fenced block.
pub(crate) struct Block {
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) lines: Vec<String>,
    /// What the comment behind it says.
    pub(crate) mark: Option<String>,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` with one of these endings, without what is built.
pub(crate) fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with(".git") {
            found.extend(files(&path, endings));
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn documents() -> Vec<Document> {
    let mut paths = files(&root().join("docs"), &[".md"]);
    paths.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    assert!(paths.len() > 15, "the documents were not found");
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Document {
    let text = fs::read_to_string(path).expect("a document is readable");
    let path = path.strip_prefix(root()).expect("below the root").to_owned();
    let mut document = Document { path, paragraphs: Vec::new(), blocks: Vec::new() };
    let mut prose = (0, String::new());
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let comment = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
        let marks = ["same as ", "change from "];
        let is_mark = |it: &&str| *it == "runs" || marks.iter().any(|mark| it.starts_with(mark));
        if let Some(mark) = comment.filter(is_mark) {
            let block = document.blocks.last_mut().expect("a mark stands behind a block");
            block.mark = Some(mark.to_owned());
            continue;
        }
        if let Some(language) = line.strip_prefix("```") {
            let lines = lines.by_ref().map(|(_, line)| line.to_owned());
            let lines = lines.take_while(|line| !line.starts_with("```")).collect();
            let language = language.to_owned();
            document.blocks.push(Block { line: number + 1, language, lines, mark: None });
        }
        let is_row = line.starts_with('|');
        if (line.is_empty() || line.starts_with("```") || is_row) && !prose.1.is_empty() {
            document.paragraphs.push(paragraph(&prose));
            prose.1.clear();
        }
        if is_row {
            document.paragraphs.push(paragraph(&(number + 1, line.to_owned())));
        } else if !line.is_empty() && !line.starts_with("```") {
            if prose.1.is_empty() {
                prose.0 = number + 1;
            }
            prose.1 += line;
            prose.1.push('\n');
        }
    }
    if !prose.1.is_empty() {
        document.paragraphs.push(paragraph(&prose));
    }
    document
}

fn paragraph((line, text): &(usize, String)) -> Paragraph {
    // Two backticks around one that is meant: nothing of ours to check.
    let text = text.replace("``", "");
    let pieces = text.split('`').map(|piece| piece.replace('\n', " ")).collect();
    Paragraph { line: *line, pieces }
}
