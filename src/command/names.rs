//! `sealwax names`: the operator's view of which names are bound in a relay's home.
//!
//! Works beside the running relay, which keeps the names that it knows until it is told to look
//! (`SIGHUP`) or starts again.

use std::io::{BufWriter, IsTerminal, Write};

use serde_json::json;

use super::cli::{Names, NamesCommand};
use super::serve::{self, KEY_FILE, LOCK_FILE, NAMES_FILE};
use super::{Exit, Failure, Outcome, cluster, owner};
use crate::home::{Home, HomeError};
use crate::relay::names::{BoundName, BoundNames, Day, ReleasedName};
use crate::wire::Fingerprint;

/// `sealwax names …`
pub(super) fn names(arguments: &Names) -> Outcome {
    let path = serve::home_path(arguments.home.as_ref())?;
    // What cannot be read is reported below, with the name of its owner.
    let is_missing = |file: &str| path.join(file).try_exists().is_ok_and(|exists| !exists);
    if is_missing(NAMES_FILE) && is_missing(KEY_FILE) {
        let message = format!(
            "no relay has kept names in '{}': give the relay's home with --home",
            path.display()
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    let home = Home::open(path).map_err(serve::unusable)?;
    if matches!(arguments.command, NamesCommand::Recreate) {
        return recreate(&home, arguments.json);
    }
    let failed = |error| Failure::new(Exit::Failed, error);
    let bound = BoundNames::open(&home.path(NAMES_FILE));
    let mut bound = bound.map_err(|error| failed(error.to_string()))?;
    match &arguments.command {
        NamesCommand::Recreate => {}
        NamesCommand::List => list(bound.all(), arguments.json)?,
        NamesCommand::Release { unused_since: Some(_), .. }
            if cluster::read_id(&home)?.is_some() =>
        {
            let message = "this relay is one of several, and its home knows only when names were \
                           used here: release names one by one";
            return Err(Failure::new(Exit::Usage, message));
        }
        NamesCommand::Release { unused_since: Some(day), yes: false, .. } => {
            let unused: Vec<_> = bound.unused_since(*day).cloned().collect();
            list(&unused, arguments.json)?;
            let count = unused.len();
            eprintln!("* {count} names unused since {day}: to release them, add --yes");
        }
        NamesCommand::Release { unused_since: Some(day), .. } => {
            released(&home, &bound.release_unused(*day).map_err(failed)?, arguments.json)?;
        }
        NamesCommand::Release { name, .. } => {
            let name = name.as_deref().unwrap_or_default();
            owner::check_name(name)?;
            let Some(name) = bound.release(name).map_err(failed)? else {
                let message = format!("{name} is bound to no key; `sealwax names list` names all");
                return Err(Failure::new(Exit::UnknownRecipient, message));
            };
            released(&home, &[name], arguments.json)?;
        }
    }
    Ok(Exit::Done)
}

/// Prints names, a line each; on a terminal in columns, under a head.
fn list(names: &[BoundName], json: bool) -> Result<(), Failure> {
    let stdout = std::io::stdout();
    let is_table = !json && stdout.is_terminal();
    let name = names.iter().map(|bound| bound.name.len()).max().unwrap_or_default();
    let key = Fingerprint([0; 32]).to_string().len();
    let date = "2026-02-28".len();
    let widths = if is_table { [name.max("name".len()), key, date, date] } else { [0; 4] };
    let row = |[name, key, bound, used, letters, bytes]: [&str; 6]| {
        let [a, b, c, d] = widths;
        format!("{name:a$} {key:b$} {bound:c$} {used:d$} {letters} {bytes}")
    };
    let mut out = BufWriter::new(stdout.lock());
    if is_table {
        let head = row(["name", "key", "bound", "last used", "letters", "bytes"]);
        writeln!(out, "{head}").map_err(unwritten)?;
    }
    for BoundName { name, fp, bound_day, used_day, letters, letter_bytes } in names {
        let date = |day: Option<u32>| day.map(|day| Day(day).to_string());
        let (fp, bound, used) = (fp.to_string(), date(*bound_day), date(*used_day));
        let line = if json {
            json!({
                "name": name,
                "fp": fp,
                "bound": bound,
                "last_used": used,
                "letters": letters,
                "letter_bytes": letter_bytes,
            })
            .to_string()
        } else {
            let date = |day: Option<String>| day.unwrap_or_else(|| "-".to_owned());
            let (bound, used) = (date(bound), date(used));
            row([name, &fp, &bound, &used, &letters.to_string(), &letter_bytes.to_string()])
        };
        writeln!(out, "{line}").map_err(unwritten)?;
    }
    out.flush().map_err(unwritten)
}

/// Says which names were released, and what is left to do.
fn released(home: &Home, names: &[ReleasedName], json: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for ReleasedName { name, fp, letters } in names {
        let line = if json {
            json!({"name": name, "fp": fp.to_string(), "letters": letters}).to_string()
        } else {
            let lost = match letters {
                0 => String::new(),
                1 => ", and the letter that waited for its user is deleted".to_owned(),
                count => format!(", and the {count} letters that waited for its user are deleted"),
            };
            format!("{name} is released: it was bound to {fp}{lost}")
        };
        writeln!(out, "{line}").map_err(unwritten)?;
    }
    out.flush().map_err(unwritten)?;
    if let Some(advice) = advice(home).filter(|_| !names.is_empty()) {
        eprintln!("* {advice}");
    }
    Ok(())
}

fn recreate(home: &Home, json: bool) -> Outcome {
    let Some(file) = serve::recreate(home)? else {
        let message = format!("nothing is missing in '{}'", home.path("").display());
        return Err(Failure::new(Exit::Failed, message));
    };
    let meaning = if file == NAMES_FILE {
        "every name is free"
    } else {
        "clients that knew the old one refuse the relay until they run 'sealwax keys untrust'"
    };
    let line = if json {
        json!({"made": file}).to_string()
    } else {
        format!("{file} is made anew: {meaning}")
    };
    writeln!(std::io::stdout(), "{line}").map_err(unwritten)?;
    Ok(Exit::Done)
}

/// What is left to do where a relay runs on this home.
fn advice(home: &Home) -> Option<String> {
    let Err(HomeError::Held { pid, .. }) = home.lock(LOCK_FILE) else { return None };
    let how = match pid {
        Some(pid) => format!("`kill -HUP {pid}`"),
        None => "a SIGHUP".to_owned(),
    };
    Some(format!("a relay is running: it forgets released names at {how}, or when it starts again"))
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it over
fn unwritten(error: std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("standard output: {error}"))
}
