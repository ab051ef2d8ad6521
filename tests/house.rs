//! Holds the source to the rules of the house: which layer may know which, how long a line and a
//! file may be, where `unsafe` may stand. `docs/architecture.md` gives the reasons.

#![allow(clippy::expect_used)] // a test says what it expects

use std::fs;
use std::path::{Path, PathBuf};

/// What each layer may import, besides itself. Downwards only.
const LAYERS: [(&str, &[&str]); 16] = [
    ("limits", &[]),
    ("address", &["limits"]),
    ("reactor", &[]),
    ("tokens", &["reactor"]),
    ("wire", &["limits"]),
    ("tls", &["limits", "reactor"]),
    ("cluster", &["limits", "wire"]),
    ("home", &["limits"]),
    ("crypto", &["limits", "wire"]),
    ("relay", &["limits", "reactor", "tokens", "wire", "tls", "crypto", "cluster"]),
    ("admin", &["reactor", "tokens", "wire", "relay"]),
    ("trace", &["limits", "reactor", "wire"]),
    ("screen", &["reactor", "wire"]),
    ("load", &["limits", "address", "reactor", "wire", "tls", "crypto"]),
    ("client", &["limits", "address", "reactor", "tokens", "wire", "tls", "crypto", "home"]),
    (
        "command",
        &[
            "limits", "address", "reactor", "wire", "tls", "crypto", "home", "relay", "load",
            "client", "trace", "screen", "admin", "cluster",
        ],
    ),
];
const MAX_COLUMNS: usize = 100;
const MAX_LINES: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file is readable");
        (path.strip_prefix(root()).expect("below the root").to_path_buf(), text)
    };
    let found: Vec<_> = files(&root().join("src"), "rs").into_iter().map(read).collect();
    assert!(found.len() > 30, "the sources were not found");
    found
}

/// The first component below `src`, without its ending.
fn layer(path: &Path) -> String {
    let first =
        path.components().nth(1).expect("below src").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file without its tests, which may look anywhere.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

/// The crate-wide modules that a text names: `crate::NAME`.
fn named_modules(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut found = Vec::new();
    for line in code {
        for rest in line.split("crate::").skip(1) {
            let names = rest
                .strip_prefix('{')
                .map_or(rest, |group| group.split('}').next().unwrap_or(group));
            let grouped = rest.starts_with('{');
            for part in names.split(',').take(if grouped { usize::MAX } else { 1 }) {
                let word: String =
                    part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                found.push(word);
            }
        }
    }
    found
}

#[test]
fn imports_run_downwards_only() {
    for (path, text) in sources() {
        let layer = layer(&path);
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            assert!(layer == "lib" || layer == "main", "{}: which layer is this?", path.display());
            continue;
        };
        for module in named_modules(without_tests(&text)) {
            let fine = module == layer || allowed.contains(&module.as_str());
            assert!(fine, "{}: the layer `{layer}` may not know `{module}`", path.display());
        }
    }
}

#[test]
fn unsafe_stands_in_one_file() {
    for (path, text) in sources() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let unsafe_lines =
            code.filter(|line| line.contains("unsafe {") || line.contains("unsafe fn")).count();
        let allowed = path == Path::new("src/reactor/linux.rs");
        assert!(unsafe_lines == 0 || allowed, "{}: unsafe", path.display());
    }
}

/// A process that was started and is forgotten when its parent is killed runs for ever.
#[test]
fn every_child_ends_with_its_parent() {
    const SPAWN: &str = concat!(".spawn", "()");
    let places = ["src", "tests", "benches", "examples"];
    for path in places.iter().flat_map(|place| files(&root().join(place), "rs")) {
        let text = fs::read_to_string(&path).expect("a source file is readable");
        for line in text.lines().filter(|line| line.contains(SPAWN)) {
            let ends = line.contains("end_with_parent(");
            assert!(ends, "{}: a child that outlives us: {line}", path.display());
        }
    }
}

#[test]
fn files_and_lines_stay_readable() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(
            lines <= MAX_LINES,
            "{}: {lines} lines; does it still hold one idea?",
            path.display()
        );
        for (number, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            assert!(columns <= MAX_COLUMNS, "{}:{}: {columns} columns", path.display(), number + 1);
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{}: no head", path.display());
    }
}

#[test]
fn only_the_reactor_asks_the_kernel_about_readiness() {
    for (path, text) in sources() {
        let names_calls = path == Path::new("src/trace/record.rs"); // and makes none
        let outside = !path.starts_with("src/reactor") && !names_calls;
        let asks = ["epoll_", "sys::epoll", "poll::poll", "set_nonblocking"];
        let found = asks.iter().find(|call| {
            without_tests(&text)
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(**call))
        });
        assert!(!(outside && found.is_some()), "{}: {found:?} outside the reactor", path.display());
    }
}

/// The reactor is the only loop. The bound to measure against has to do without it, and nothing
/// else may. (Tracing looks at the seam from outside, and writes a stream of its own through it; the
/// load generator counts the bytes that pass it.)
#[test]
fn only_the_bound_has_a_loop_of_its_own() {
    for (path, text) in sources() {
        let places = [
            "src/reactor",
            "src/load/floor.rs",
            "src/trace",
            "src/command/tracing.rs",
            "src/command/load/traffic.rs",
        ];
        let may = places.iter().any(|place| path.starts_with(place));
        let code = without_tests(&text).lines().filter(|line| !line.trim_start().starts_with("//"));
        let mut words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric()));
        assert!(may || !words.any(|word| word == "Sys"), "{}: a second loop", path.display());
    }
}

/// Runs a script of `tests` that keeps patches, to see whether they still apply.
fn check_patches(script: &str) {
    let run = root().join(script);
    let checked = std::process::Command::new(run).arg("--check").output().expect("the script runs");
    let told = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{told}");
}

#[test]
fn planted_faults_still_apply() {
    check_patches("tests/faults/run");
}

/// And each touches as few files as `CONTRIBUTING.md` says. `.ci/run` builds and tests them.
#[test]
fn recipes_still_apply() {
    check_patches("tests/recipes/run");
}

/// The tests that a command of `docs/promises.md` runs: the words behind `--test` or `--lib`, and
/// what a name has to contain. `… words` stands for the command before with other words.
fn commands(text: &str) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    for command in text.split('`').skip(1).step_by(2) {
        let mut words = command.split(' ').skip_while(|word| word.contains('=')).peekable();
        let place = match (words.next(), words.next()) {
            (Some("cargo"), Some("test")) => {
                let place = words.find(|word| *word == "--test" || *word == "--lib");
                let named = if place == Some("--test") { words.next() } else { Some("--lib") };
                named.expect("a test has a name").to_owned()
            }
            (Some("…"), Some(filter)) => {
                let before = found.last().expect("a command stands before").0.clone();
                found.push((before, Some(filter.to_owned())));
                continue;
            }
            _ => continue,
        };
        let filter = words.next().filter(|word| *word != "--").map(str::to_owned);
        found.push((place, filter));
    }
    found
}

#[test]
fn every_command_of_the_promises_runs_a_test() {
    let text = fs::read_to_string(root().join("docs/promises.md")).expect("it is there");
    let commands = commands(&text);
    assert!(commands.len() > 40, "{} commands were found", commands.len());
    for (place, filter) in commands {
        let (folder, file) = if place == "--lib" {
            (root().join("src"), root().join("src/lib.rs"))
        } else {
            (root().join("tests").join(&place), root().join(format!("tests/{place}.rs")))
        };
        let mut sources = files(&folder, "rs");
        sources.extend(file.exists().then_some(file));
        assert!(!sources.is_empty(), "there is no test {place}");
        let Some(filter) = filter else { continue };
        let last = filter.trim_end_matches("::").rsplit("::").next().unwrap_or_default().to_owned();
        let is_module = sources.iter().any(|path| path.file_stem().is_some_and(|it| *it == *last));
        let is_test = sources.iter().any(|path| {
            let text = fs::read_to_string(path).expect("a source file is readable");
            text.lines().any(|line| {
                line.trim_start().strip_prefix("fn ").is_some_and(|name| {
                    name.split('(').next().is_some_and(|name| name.contains(&last))
                })
            })
        });
        assert!(is_module || is_test, "`{place} {filter}` runs nothing");
    }
}

/// What is left out on several relays is left out by its name and for a reason (`tests/held`).
#[test]
fn each_test_that_needs_one_relay_is_there_and_has_a_reason() {
    let text = fs::read_to_string(root().join("tests/held/one-relay")).expect("it is there");
    for line in text.lines() {
        let words: Vec<_> = line.splitn(3, ' ').collect();
        let [suite, name, reason] = words[..] else { panic!("{line}: suite, test, reason") };
        assert!(reason.len() > 10, "{line}");
        let mut sources = files(&root().join("tests").join(suite), "rs");
        sources.push(root().join(format!("tests/{suite}.rs")));
        let function = format!("fn {}()", name.rsplit("::").next().unwrap_or_default());
        let texts = sources.iter().filter_map(|path| fs::read_to_string(path).ok());
        assert_eq!(texts.map(|text| text.matches(&function).count()).sum::<usize>(), 1, "{line}");
    }
}
