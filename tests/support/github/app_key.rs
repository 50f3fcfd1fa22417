//! The key of the tests' GitHub App, made anew by every test process.

use std::process::Command;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Node makes it, as ring doesn't make RSA keys.
const MAKE: &str = "
const pair = require('crypto').generateKeyPairSync('rsa', { modulusLength: 2048 });
console.log(pair.publicKey.export({ type: 'pkcs1', format: 'der' }).toString('base64'));
console.log(pair.privateKey.export({ type: 'pkcs1', format: 'pem' }));
";

struct Pair {
    public: Vec<u8>,
    private: String,
}

fn pair() -> &'static Pair {
    static MADE: OnceLock<Pair> = OnceLock::new();
    MADE.get_or_init(|| {
        let output = Command::new("node").args(["-e", MAKE]).output();
        let output = String::from_utf8(output.expect("node is there").stdout).unwrap();
        let (public, private) = output.split_once('\n').unwrap();
        Pair {
            public: STANDARD.decode(public.trim()).unwrap(),
            private: format!("{}\n", private.trim()),
        }
    })
}

/// PEM, as GitHub hands it out: `BEGIN RSA PRIVATE KEY`.
pub(crate) fn app_private_key() -> &'static str {
    &pair().private
}

/// PKCS#1 DER.
pub(super) fn app_public_key() -> Vec<u8> {
    pair().public.clone()
}
