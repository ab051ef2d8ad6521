//! `sealwax names`: the operator's view of which names are bound in a relay's home.
//!
//! Works beside the running relay, which keeps what it knows until it is told to look (`SIGHUP`) or
//! starts again.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::cli::{Names, NamesCommand};
use super::serve::{self, LOCK_FILE, NAMES_FILE};
use super::{Exit, Failure, Outcome, owner};
use crate::home::{Home, HomeError};
use crate::relay::names::BoundNames;
use crate::wire::Fingerprint;

/// `sealwax names …`
pub(super) fn names(arguments: &Names) -> Outcome {
    let path = serve::home_path(arguments.home.as_ref())?;
    if !path.join(NAMES_FILE).exists() {
        let message = format!(
            "no relay has kept names in '{}': give the relay's home with --home",
            path.display()
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    let home = Home::open(path).map_err(serve::unusable)?;
    let file: PathBuf = home.path(NAMES_FILE);
    let failed = |error| Failure::new(Exit::Failed, error);
    let mut bound = BoundNames::open(&file).map_err(|error| failed(error.to_string()))?;
    match &arguments.command {
        NamesCommand::List => {
            let mut out = std::io::stdout().lock();
            for (name, fp) in bound.all() {
                let line = line(arguments.json, name, fp, format!("{name} {fp}"));
                writeln!(out, "{line}").map_err(unwritten)?;
            }
        }
        NamesCommand::Release { name } => {
            owner::check_name(name)?;
            let Some(fp) = bound.release(name).map_err(failed)? else {
                let message = format!("{name} is bound to no key; `sealwax names list` names all");
                return Err(Failure::new(Exit::UnknownRecipient, message));
            };
            let said = format!("{name} is released: it was bound to {fp}");
            let line = line(arguments.json, name, &fp, said);
            writeln!(std::io::stdout(), "{line}").map_err(unwritten)?;
            if let Some(advice) = advice(&home) {
                eprintln!("* {advice}");
            }
        }
    }
    Ok(Exit::Done)
}

fn line(json: bool, name: &str, fp: &Fingerprint, sentence: String) -> String {
    if json { json!({"name": name, "fp": fp.to_string()}).to_string() } else { sentence }
}

/// What is left to do where a relay runs on this home.
fn advice(home: &Home) -> Option<String> {
    let Err(HomeError::Held { pid, .. }) = home.lock(LOCK_FILE) else { return None };
    let how = match pid {
        Some(pid) => format!("`kill -HUP {pid}`"),
        None => "a SIGHUP".to_owned(),
    };
    Some(format!("a relay is running: it lets the name go at {how}, or when it starts again"))
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it over
fn unwritten(error: std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("standard output: {error}"))
}
