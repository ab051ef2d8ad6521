//! `tls://`: a certificate that counts, of a relay itself or of a proxy in front of one (haproxy,
//! stunnel: no one here wrote them); and stunnel in front of a client without TLS.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use der::pem::{LineEnding, encode_string};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use crate::support::process::{Ended, Homes, Process, Relay, text};

/// Files of an authority, and of a certificate that it has signed.
struct Signed {
    authority: String,
    certificate: String,
    key: String,
}

impl Signed {
    /// For `host`, in `folder`; valid until the first day of `last_year`.
    fn new(folder: &Path, host: &str, last_year: i32) -> Self {
        let keep = |name: &str, label: &str, der: &[u8]| {
            let path = folder.join(format!("{host}.{name}"));
            std::fs::write(&path, encode_string(label, LineEnding::LF, der).unwrap()).unwrap();
            text(&path).to_owned()
        };
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, format!("who signs {host}"));
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let leaf = params.signed_by(&key, &issuer).unwrap();
        Self {
            authority: keep("root", "CERTIFICATE", root.der()),
            certificate: keep("pem", "CERTIFICATE", leaf.der()),
            key: keep("key", "PRIVATE KEY", &key.serialize_der()),
        }
    }
}

/// `send` as alice to `relay`, of whose certificates `authority` is the root.
fn send(homes: &Homes, relay: &str, authority: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    command.args(["send", "--wait", "0", "bob", "hi"]).args(homes.options("alice", relay));
    Process::spawn(command.env("SSL_CERT_FILE", authority).env_remove("SSL_CERT_DIR")).end()
}

/// A relay that shows this certificate, by its name.
fn relay(shown: &Signed) -> (Relay, String) {
    let options = ["--ephemeral", "--tls-cert", &shown.certificate, "--tls-key", &shown.key];
    let relay = Relay::start(&options);
    let named = relay.address.replace("127.0.0.1", "tls://localhost");
    (relay, named)
}

#[test]
fn a_certificate_that_counts_is_checked_by_name_time_and_authority() {
    let (homes, folder) = (Homes::new(), tempfile::tempdir().unwrap());
    let good = Signed::new(folder.path(), "localhost", 2100);
    let (running, named) = relay(&good);
    send(&homes, &named, &good.authority).with_code(4); // bob is not there: all else went well
    let other = Signed::new(folder.path(), "other.test", 2100);
    let refused = send(&homes, &named, &other.authority).with_code(5);
    assert!(refused.transcript.contains("nobody whom this system trusts"), "{refused:?}");
    drop(running);

    let (_running, named) = relay(&other);
    let refused = send(&homes, &named, &other.authority).with_code(5);
    assert!(refused.transcript.contains("for another host"), "{refused:?}");

    let old = Signed::new(folder.path(), "localhost", 2001);
    let (_running, named) = relay(&old);
    let refused = send(&homes, &named, &old.authority).with_code(5);
    assert!(refused.transcript.contains("has run out"), "{refused:?}");
    assert!(!refused.transcript.contains("prove"));
}

#[test]
fn without_roots_it_is_said_what_is_missing() {
    let homes = Homes::new();
    let refused = send(&homes, "tls://localhost:1", "/nonexistent").with_code(5);
    assert!(refused.transcript.contains("SSL_CERT_FILE"), "{refused:?}");
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
    let shown = Signed::new(folder.path(), "localhost", 2100);
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
    let shown = Signed::new(folder.path(), "localhost", 2100);
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
    let shown = Signed::new(folder.path(), "localhost", 2100);
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
