//! Files of options as they are understood, and what is said of those that are not.

use super::*;
use crate::command::Exit;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn start(line: &str, text: &str) -> Result<Box<crate::command::cli::Serve>, String> {
    let file = file(text);
    let mut words = words(line);
    words.extend(["--config".into(), file.path().into()]);
    match parse(words) {
        Ok(Cli { command: Command::Serve(serve) }) => Ok(serve),
        Ok(_) => panic!("another command"),
        Err(NoCommand::Line(error)) => panic!("{error}"),
        Err(NoCommand::File(failure)) => {
            assert_eq!(failure.exit, Exit::Usage);
            let path = file.path().display().to_string();
            Err(failure.message.replace(&path, "FILE"))
        }
    }
}

const FILE: &str = "listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nmax-connections = 1_000\n\
                    drain-time = 2.5\nregister-timeout = 3\nrates-loopback = true\n\
                    verbose = 2\n\
                    tls = \"require\"\nlog-file = '/var/log/sealwax/\"relay\".log'\n";

#[test]
fn a_file_says_what_a_command_line_can_say_and_the_command_line_wins() {
    let serve = start("sealwax serve --max-connections 7 -q", FILE).unwrap();
    assert_eq!(serve.addresses().len(), 2);
    assert_eq!(serve.max_connections, 7);
    assert_eq!(serve.drain_time, Duration::from_millis(2_500));
    assert_eq!(serve.register_timeout, Duration::from_secs(3));
    assert!(serve.rates_loopback && serve.tls == crate::command::cli::TlsOption::Require);
    assert_eq!((serve.verbosity.verbose, serve.verbosity.quiet), (0, 1), "-q forbids -v");
    assert!(serve.settings.gives("listen") && !serve.settings.gives("max-frame"));
    let serve = start("sealwax serve --ephemeral", "home = \"/srv/relay\"\n").unwrap();
    assert!(serve.ephemeral && serve.home.is_none());
    let serve = start("sealwax serve", "listen = \"127.0.0.1:3\"\ntrace = \"json\"").unwrap();
    assert_eq!(serve.addresses(), ["127.0.0.1:3".parse().unwrap()]);
    assert!(serve.trace.trace.is_some());
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let serve = start("sealwax serve --spin 5 --home /tmp/\u{7f}\"x", FILE).unwrap();
    let printed = serve.settings.to_toml();
    let again = start("sealwax serve", &printed).unwrap();
    assert_eq!(again.settings.to_toml(), printed);
    assert_eq!(serve.settings.changed(&again.settings).count(), 0);
    assert!(printed.contains("max-frame = 65536\n"), "{printed}");
    assert_eq!(again.home, serve.home);
}

/// What is wrong with others is in `tests/settings.rs`.
#[test]
fn the_help_for_each_option_is_a_line_that_is_accepted() {
    let program = program();
    for option in options(definition(&program)) {
        let key = option.get_long().unwrap();
        let wrong = start("sealwax serve", &format!("{key} = 1979-05-27")).unwrap_err();
        let (_, help) =
            wrong.split_once("; write for example ").unwrap_or_else(|| panic!("{wrong}"));
        let both = ["tls-cert", "tls-key"].map(|key| format!("{key} = \"x\"\n"));
        let beside =
            both.iter().filter(|_| key.starts_with("tls-")).filter(|it| !it.starts_with(key));
        let needs_cluster = key.starts_with("cluster-") || key == "relay-key";
        let cluster = if needs_cluster { "cluster = \"unix:x\"\n" } else { "" };
        let file: String = beside.cloned().collect::<String>() + cluster + help;
        start("sealwax serve", &file).unwrap_or_else(|told| panic!("{help}: {told}"));
    }
}

#[test]
fn read_again_it_tells_what_has_changed() {
    let file = file("max-connections = 5\noutbox-soft = 2000\n");
    let mut words = words("sealwax serve --spin 1 --listen 127.0.0.1:1 --config");
    words.push(file.path().into());
    let serve = |cli: Cli| match cli.command {
        Command::Serve(serve) => serve,
        _ => panic!("another command"),
    };
    let Ok(old) = parse(words) else { panic!("it is understood") };
    let old = serve(old);
    let text = "spin = 9\noutbox-soft = 3000\nhome = \"/x\"\nlisten = \"no.such.host:1\"\n";
    std::fs::write(file.path(), text).unwrap();
    let new = serve(old.settings.read_again().unwrap().unwrap());
    let changed: Vec<_> = old.settings.changed(&new.settings).collect();
    assert_eq!(changed, ["max-connections", "outbox-soft", "home"]);
    assert_eq!(new.outbox_soft, 3_000);
}
