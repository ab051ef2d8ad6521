//! What no program may ever say, and the search for it: everything that a program of the tests has
//! printed is searched for the private keys of the fixtures (`process.rs`).

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use sealwax::wire::base64;

use super::fixtures::pem;
use super::process::text;

/// What must not be found, and what it is.
#[derive(Default)]
pub struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    /// The private keys of all users in the tests.
    pub fn of_fixtures() -> &'static Self {
        static ALL: OnceLock<Secrets> = OnceLock::new();
        ALL.get_or_init(|| {
            let mut secrets = Self::default();
            for name in ["alice", "bob", "carol"] {
                secrets.add_rsa(name);
            }
            secrets
        })
    }

    pub fn add(&mut self, what: &str, bytes: &[u8]) {
        self.0.push((what.to_owned(), bytes.to_vec()));
    }

    /// Bytes that are as good as the secret, as they are, in hex and in both alphabets of base64.
    pub fn add_bytes(&mut self, what: &str, bytes: &[u8]) {
        self.add(&format!("{what}, raw"), &bytes[..16]);
        let hex: Vec<_> = bytes[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = hex.concat();
        self.add(&format!("{what}, hex"), hex.as_bytes());
        self.add(&format!("{what}, HEX"), hex.to_uppercase().as_bytes());
        let list = bytes[..12].iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        self.add(&format!("{what}, as Debug writes it"), list.as_bytes());
        // Wherever the bytes stand in what was encoded, one of three beginnings is a group's.
        for start in 0..3 {
            let url = base64::encode(&bytes[start..][..18]);
            let standard = url.replace('-', "+").replace('_', "/");
            self.add(&format!("{what}, base64url"), url.as_bytes());
            self.add(&format!("{what}, base64"), standard.as_bytes());
        }
    }

    /// The private parts of an RSA key, and the lines of its file that hold them.
    pub fn add_rsa(&mut self, name: &str) {
        let pem = pem(name);
        let lines: Vec<_> = pem.lines().filter(|line| !line.starts_with("---")).collect();
        let der = lines.concat().replace('+', "-").replace('/', "_");
        let der = base64::decode(der.trim_end_matches('=')).expect("a fixture");
        for (part, number) in ["d", "p", "q", "dp", "dq", "qinv"].iter().zip(private_parts(&der)) {
            self.add_bytes(&format!("{part} of {name}"), number);
        }
        // The modulus, which is public, ends in the seventh line.
        for line in &lines[7..] {
            self.add(&format!("a line of {name}.pem"), line.as_bytes());
        }
    }

    /// Whether any of them is in `haystack`.
    pub fn is_in(&self, haystack: &str) -> bool {
        self.0.iter().any(|(_, needle)| memchr::memmem::find(haystack.as_bytes(), needle).is_some())
    }

    /// Looks for all of them in `haystack`.
    pub fn check(&self, place: &str, haystack: &[u8]) {
        for (what, needle) in &self.0 {
            let found = memchr::memmem::find(haystack, needle);
            assert!(found.is_none(), "{what} is in {place}: {}", String::from_utf8_lossy(haystack));
        }
    }

    /// Looks into all files below `directory`, but for the keys themselves.
    pub fn check_files(&self, directory: &Path) -> usize {
        let mut files = 0;
        for entry in fs::read_dir(directory).expect("a home").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() {
                files += self.check_files(&path);
            } else if name != "identity.pem" && name != "relay.key" && name != "passphrase" {
                self.check(text(&path), &fs::read(&path).expect("readable"));
                files += 1;
            }
        }
        files
    }
}

/// `d`, `p`, `q` and so on of a PKCS#8 RSA key: the last six numbers of the innermost sequence
/// (RFC 8017, appendix A.1.2).
fn private_parts(der: &[u8]) -> Vec<&[u8]> {
    let (_, key, _) = element(der);
    let (_, _, rest) = element(key); // the version
    let (_, _, rest) = element(rest); // the algorithm
    let (_, inner, _) = element(rest);
    let (_, mut numbers, _) = element(inner);
    let mut parts = Vec::new();
    while !numbers.is_empty() {
        let (_, number, rest) = element(numbers);
        parts.push(number.strip_prefix(&[0]).unwrap_or(number));
        numbers = rest;
    }
    parts.split_off(3)
}

/// The tag and the content of the first element, and what follows it (X.690).
fn element(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (length, head) = match der[1] {
        short @ 0..0x80 => (usize::from(short), 2),
        long => {
            let bytes = usize::from(long & 0x7f);
            let length =
                der[2..2 + bytes].iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
            (length, 2 + bytes)
        }
    };
    (der[0], &der[head..head + length], &der[head + length..])
}
