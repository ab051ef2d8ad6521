//! `tls://`: a certificate that counts, of a relay itself or of a proxy in front of one (haproxy,
//! stunnel: no one here wrote them); and stunnel in front of a client without TLS.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, date_time_ymd};

use crate::signed::Signed;
use crate::support::process::{Ended, Homes, Process, Relay, text};

/// `send` as alice to `relay`, of whose certificates `authority` is the root.
fn send(homes: &Homes, relay: &str, authority: &str) -> Ended {
    send_with(homes, relay, &[("SSL_CERT_FILE", authority)])
}

fn send_with(homes: &Homes, relay: &str, variables: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    command.args(["send", "--wait", "0", "bob", "hi"]).args(homes.options("alice", relay));
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR").envs(variables.iter().copied());
    Process::spawn(&mut command).end()
}

/// A relay that shows this certificate, by its name.
fn relay(shown: &Signed) -> (Relay, String) {
    let options = ["--ephemeral", "--tls-cert", &shown.certificate, "--tls-key", &shown.key];
    let relay = Relay::start(&options);
    let named = relay.address.replace("127.0.0.1", "tls://localhost");
    (relay, named)
}

#[test]
fn a_certificate_that_counts_is_checked_by_name_and_authority() {
    let (homes, folder) = (Homes::new(), tempfile::tempdir().unwrap());
    let good = Signed::new(folder.path(), "localhost");
    let (running, named) = relay(&good);
    send(&homes, &named, &good.authority).with_code(4); // bob is not there: all else went well
    let other = Signed::new(folder.path(), "other.test");
    let refused = send(&homes, &named, &other.authority).with_code(5);
    assert!(refused.transcript.contains("nobody whom this system trusts"), "{refused:?}");
    drop(running);

    let (_running, named) = relay(&other);
    let refused = send(&homes, &named, &other.authority).with_code(5);
    assert!(refused.transcript.contains("for another host"), "{refused:?}");
    assert!(!refused.transcript.contains("prove"));
}

/// What is wrong with a certificate, and a word of what is said of it.
type Wrong = (fn(&mut CertificateParams), &'static str);

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    let (homes, folder) = (Homes::new(), tempfile::tempdir().unwrap());
    let wrong: [Wrong; 3] = [
        (|it| it.not_after = date_time_ymd(2001, 1, 1), "it has run out"),
        (|it| it.not_before = date_time_ymd(2099, 1, 1), "not valid yet"),
        (|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth], "serverAuth"),
    ];
    for (change, words) in wrong {
        let shown = Signed::with(folder.path(), "localhost", change);
        let (_running, named) = relay(&shown);
        let refused = send(&homes, &named, &shown.authority).with_code(5);
        assert!(refused.transcript.contains(words), "{words}: {refused:?}");
    }
    let shown = Signed::new(folder.path(), "localhost");
    let (_running, named) = relay(&shown);
    let elsewhere = tempfile::tempdir().unwrap();
    let anew = Signed::new(elsewhere.path(), "localhost");
    let refused = send(&homes, &named, &anew.authority).with_code(5);
    assert!(refused.transcript.contains("another authority of the same name"), "{refused:?}");
}

/// `openssl req -x509` marks what it makes as one of an authority, and rustls takes none of those
/// from a server: who made one is told how to make another.
#[test]
fn a_certificate_that_nobody_else_signed_is_taken_unless_it_is_an_authoritys() {
    let (homes, folder) = (Homes::new(), tempfile::tempdir().unwrap());
    let marked = IsCa::Ca(BasicConstraints::Unconstrained);
    let shown = Signed::by_itself(folder.path(), "localhost", marked);
    let (running, named) = relay(&shown);
    let refused = send(&homes, &named, &shown.authority).with_code(5);
    assert!(refused.transcript.contains("basicConstraints=critical,CA:FALSE"), "{refused:?}");
    assert!(refused.transcript.contains("SSL_CERT_FILE"), "{refused:?}");
    drop(running);
    let shown = Signed::by_itself(folder.path(), "localhost", IsCa::ExplicitNoCa);
    let (_running, named) = relay(&shown);
    send(&homes, &named, &shown.authority).with_code(4);
}

/// Each with its path and the reason, before anything is sent.
#[test]
fn authorities_that_are_not_where_they_are_said_to_be_are_named() {
    let (homes, folder) = (Homes::new(), tempfile::tempdir().unwrap());
    let shown = Signed::new(folder.path(), "localhost");
    let (_running, named) = relay(&shown);
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(path("garbage"), "-----BEGIN CERTIFICATE-----\nx\n").unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    let good = shown.authority.as_str();
    for (variable, names, why) in [
        ("SSL_CERT_FILE", path("missing"), "No such file"),
        ("SSL_CERT_FILE", path("empty"), "no certificate in it"),
        ("SSL_CERT_FILE", path("garbage"), "no certificate in it"),
        ("SSL_CERT_FILE", path("folder"), "not a regular file"),
        ("SSL_CERT_FILE", "/dev/zero".to_owned(), "not a regular file"),
        ("SSL_CERT_DIR", path("missing"), "No such file"),
        ("SSL_CERT_DIR", path("folder"), "no certificate in its files"),
        ("SSL_CERT_DIR", path("empty"), "Not a directory"),
    ] {
        let refused = send_with(&homes, &named, &[(variable, &names)]).with_code(5);
        for words in [variable, &names, why] {
            assert!(refused.transcript.contains(words), "{words}: {refused:?}");
        }
    }
    std::fs::copy(good, path("folder/a.pem")).unwrap();
    send_with(&homes, &named, &[("SSL_CERT_DIR", &path("folder"))]).with_code(4);
    let both = [("SSL_CERT_FILE", good), ("SSL_CERT_DIR", &path("missing"))];
    let refused = send_with(&homes, &named, &both).with_code(5);
    assert!(refused.transcript.contains("SSL_CERT_DIR"), "one of two is not passed over");
}

/// Whether `program` is installed, from the package of the name `package`.
fn is_installed(program: &str, package: &str) -> bool {
    let mut command = Command::new(program);
    let is = command.arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !is {
        println!("skipped: {program} is not installed (Debian: apt-get install {package})");
    }
    is
}

/// A proxy on this port ends TLS in front of a plain relay.
fn check_proxy(homes: &Homes, port: u16, authority: &str) {
    send(homes, &format!("tls://localhost:{port}"), authority).with_code(4);
    // Bound TLS finds out that somebody stands in between, and says what to try.
    let refused = send(homes, &format!("localhost:{port}"), authority).with_code(5);
    assert!(refused.transcript.contains("stands between"), "{refused:?}");
    assert!(refused.transcript.contains("tls://localhost"), "{refused:?}");
}

#[test]
fn haproxy_ends_tls_in_front_of_a_plain_relay() {
    if !is_installed("haproxy", "haproxy") {
        return;
    }
    let (homes, folder) = (Homes::new(), tempfile::tempdir().unwrap());
    let shown = Signed::new(folder.path(), "localhost");
    let relay = Relay::start(&["--ephemeral", "--tls", "off"]);
    let both = folder.path().join("both.pem");
    let pem = [&shown.certificate, &shown.key].map(|path| std::fs::read_to_string(path).unwrap());
    std::fs::write(&both, pem.concat()).unwrap();
    // A port that is ours before the proxy begins: it inherits the listener.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let inherited = nix::unistd::dup(&listener).unwrap();
    let config = format!(
        "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
         listen relay\n bind fd@{} ssl crt {}\n server relay {}\n",
        inherited.as_raw_fd(),
        both.display(),
        relay.address
    );
    let path = folder.path().join("haproxy.cfg");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("haproxy");
    command.args(["-db", "-q", "-f", text(&path)]);
    let _proxy = Process::spawn(&mut command);
    check_proxy(&homes, listener.local_addr().unwrap().port(), &shown.authority);
}

/// stunnel with these settings of its one service, and its port.
fn stunnel(folder: &Path, settings: &str) -> (Process, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let path = folder.join("stunnel.conf");
    // It wants an address there, and takes the inherited listener instead.
    let service = format!("[relay]\naccept = 127.0.0.1:{port}\n{settings}");
    std::fs::write(&path, format!("foreground = yes\nsyslog = no\npid =\n{service}")).unwrap();
    // A listener is inherited as descriptor 3, by a process whose number is told
    // (sd_listen_fds(3)).
    let script = r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec stunnel "$0""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, text(&path)]);
    (Process::spawn_from(&mut command, OwnedFd::from(listener)), port)
}

#[test]
fn stunnel_ends_tls_in_front_of_a_plain_relay() {
    if !is_installed("stunnel", "stunnel4") {
        return;
    }
    let (homes, folder) = (Homes::new(), tempfile::tempdir().unwrap());
    let shown = Signed::new(folder.path(), "localhost");
    let relay = Relay::start(&["--ephemeral", "--tls", "off"]);
    let pair = format!("cert = {}\nkey = {}\n", shown.certificate, shown.key);
    let settings = format!("{pair}connect = {}\n", relay.address);
    let (_proxy, port) = stunnel(folder.path(), &settings);
    check_proxy(&homes, port, &shown.authority);
}

#[test]
fn stunnel_brings_a_plain_client_to_a_relay_that_requires_tls() {
    if !is_installed("stunnel", "stunnel4") {
        return;
    }
    let (homes, folder) = (Homes::new(), tempfile::tempdir().unwrap());
    let shown = Signed::new(folder.path(), "localhost");
    let pair = ["--tls-cert", &shown.certificate, "--tls-key", &shown.key];
    let relay = Relay::start(&[&["--ephemeral", "--tls", "require"], &pair[..]].concat());
    let checks = format!("verifyChain = yes\ncheckHost = localhost\nCAfile = {}", shown.authority);
    let settings = format!("client = yes\n{checks}\nconnect = {}\n", relay.address);
    let (_proxy, port) = stunnel(folder.path(), &settings);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    command.args(["send", "--plain", "--wait", "0", "bob", "hi"]);
    command.args(homes.options("alice", &format!("localhost:{port}")));
    Process::spawn(&mut command).end().with_code(4); // bob is not there: all else went well
}
