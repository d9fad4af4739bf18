//! Credentials to a login: passwords against Argon2id, with a keyed hash of the last good password in memory, and
//! SCRAM verifiers (policy semantics §17; RFC 5802, RFC 7677).
//!
//! The keyed hash covers the account's stored hash as well as the password, so that a changed password voids it;
//! its key is drawn at start and never leaves memory. A wrong password costs an Argon2id run whether or not the
//! account exists. When too many logins wait for a processor, further ones fail as [`LoginFailure::Unavailable`].

mod attempts;

pub use attempts::{Attempts, LOGIN, Limit};

use std::fmt;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use lru::LruCache;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;

use crate::directory::{Account, Credentials, Directory, ScramVerifier};
use crate::mail::{AccountId, Address};

/// Why nobody is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFailure {
    /// Unknown account or wrong password; the two are not told apart.
    BadCredentials,
    /// The right password of an account that is frozen.
    Disabled,
    /// Could not be decided now.
    Unavailable,
}

/// An account that has proved who it is.
#[derive(Clone, Debug)]
pub struct Login {
    /// The account as it was when it logged in.
    pub account: Arc<Account>,
}

impl Login {
    /// The login, unless the account is frozen: told only to who has proved to be its owner (policy semantics §17).
    pub fn admitted(self) -> Result<Self, LoginFailure> {
        if self.account.state.is_active() { Ok(self) } else { Err(LoginFailure::Disabled) }
    }
}

/// Checks credentials. One for the process.
pub struct Authenticator {
    /// Keys the hashes of good passwords.
    cache_key: [u8; 32],
    /// Keys the verifiers of names that do not exist; outlives the process, as the real ones do.
    salt_key: [u8; 32],
    good: Mutex<LruCache<AccountId, [u8; 32]>>,
    processors: Semaphore,
    waiting: Semaphore,
    /// A hash to compare with when there is no account.
    nobody: Arc<str>,
}

impl Authenticator {
    /// An authenticator for a process without a data directory. Blocks for some 20 ms.
    pub fn new() -> Result<Self, LoginFailure> {
        Self::with_salt_key(random()?)
    }

    /// An authenticator whose secret, which makes up SCRAM salts, is kept in `login.key` of the data directory. Blocks.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let key = secret_file(&data_dir.join("login.key"))?;
        Self::with_salt_key(key).map_err(|_| io::Error::other("no random numbers"))
    }

    fn with_salt_key(salt_key: [u8; 32]) -> Result<Self, LoginFailure> {
        let Credentials { password: nobody, .. } = hash_password(&STANDARD.encode(random::<32>()?))?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            cache_key: random()?,
            salt_key,
            good: Mutex::new(LruCache::unbounded()),
            processors: Semaphore::new(processors),
            waiting: Semaphore::new(MAX_WAITING),
            nobody: nobody.into(),
        })
    }

    /// Checks a name and a password. Takes the same time for unknown accounts. Argon2id runs on blocking threads, at
    /// most as many at once as there are processors.
    pub async fn password(&self, directory: &Directory, name: &str, password: &str) -> Result<Login, LoginFailure> {
        let password = prepare(password);
        let account = directory.login(name);
        let Some((account, stored)) = account.and_then(|a| Some((a, &a.credentials.as_ref()?.password))) else {
            self.verify(self.nobody.clone(), password).await?;
            return Err(LoginFailure::BadCredentials);
        };
        let good = self.keyed_hash(account.id, stored, &password);
        if !self.is_cached(account.id, &good) {
            if !self.verify(stored.as_str().into(), password).await? {
                return Err(LoginFailure::BadCredentials);
            }
            self.remember(account.id, good);
        }
        Login { account: account.clone() }.admitted()
    }

    /// The SCRAM verifier for a name; for an unknown one a made-up verifier, always the same for the same name, under
    /// which no proof succeeds (RFC 5802 §9: the salt must not tell who exists).
    ///
    /// The login counts once the client's proof has been checked against the verifier, not before.
    pub fn scram_verifier(&self, directory: &Directory, name: &str) -> (ScramVerifier, Option<Login>) {
        if let Some(account) = directory.login(name)
            && let Some(credentials) = &account.credentials
        {
            return (credentials.scram.clone(), Some(Login { account: account.clone() }));
        }
        let key = Address::parse(name).map_or_else(|_| name.to_owned(), |a| a.key().as_str().to_owned());
        let part = |label: &[u8]| hmac(&self.salt_key, &[label, key.as_bytes()]);
        let [salt, stored_key, server_key] = [part(b"salt"), part(b"stored"), part(b"server")];
        let verifier = ScramVerifier {
            salt: STANDARD.encode(&salt[..SALT_OCTETS]),
            iterations: SCRAM_ITERATIONS,
            stored_key: STANDARD.encode(stored_key),
            server_key: STANDARD.encode(server_key),
        };
        (verifier, None)
    }

    /// Runs Argon2id when a processor is free.
    async fn verify(&self, stored: Arc<str>, password: String) -> Result<bool, LoginFailure> {
        let _place = self.waiting.try_acquire().map_err(|_| LoginFailure::Unavailable)?;
        let _processor = self.processors.acquire().await.map_err(|_| LoginFailure::Unavailable)?;
        tokio::task::spawn_blocking(move || is_password(&stored, &password))
            .await
            .map_err(|_| LoginFailure::Unavailable)
    }

    fn keyed_hash(&self, account: AccountId, stored: &str, password: &str) -> [u8; 32] {
        let id = account.number().to_be_bytes();
        // The stored hash is hashed first, so that where it ends and the password begins is certain.
        hmac(&self.cache_key, &[&id, &Sha256::digest(stored), password.as_bytes()])
    }

    fn is_cached(&self, id: AccountId, good: &[u8; 32]) -> bool {
        let mut cache = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(&id).is_some_and(|known| known.ct_eq(good).into())
    }

    fn remember(&self, id: AccountId, good: [u8; 32]) {
        let mut cache = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        cache.put(id, good);
        if cache.len() > MAX_CACHED {
            cache.pop_lru();
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

/// What is stored for a new password: the Argon2id PHC string and the SCRAM verifier. Blocks for some 20 ms.
pub fn hash_password(password: &str) -> Result<Credentials, LoginFailure> {
    let password = prepare(password);
    let salt: [u8; SALT_OCTETS] = random()?;
    let hash = argon2()
        .and_then(|a| a.hash_password_with_salt(password.as_bytes(), &salt).ok())
        .ok_or(LoginFailure::Unavailable)?;
    Ok(Credentials { password: hash.to_string(), scram: scram(&password, random()?) })
}

/// A file of 32 random octets that only we may read; made if it is not there. Blocks.
pub fn secret_file(path: &Path) -> io::Result<[u8; 32]> {
    match std::fs::read(path) {
        Ok(octets) => octets.try_into().map_err(|_| io::Error::other(format!("{} is damaged", path.display()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let key: [u8; 32] = random().map_err(|_| io::Error::other("no random numbers"))?;
            let partial = path.with_extension("new");
            let options = &mut std::fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
            io::Write::write_all(&mut file, &key)?;
            file.sync_all()?;
            std::fs::rename(&partial, path)?;
            Ok(key)
        }
        Err(e) => Err(e),
    }
}

/// RFC 5802 §3: SaltedPassword, ClientKey, StoredKey, ServerKey.
fn scram(password: &str, salt: [u8; SALT_OCTETS]) -> ScramVerifier {
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, SCRAM_ITERATIONS, &mut salted);
    let client_key = hmac(&salted, &[b"Client Key"]);
    ScramVerifier {
        salt: STANDARD.encode(salt),
        iterations: SCRAM_ITERATIONS,
        stored_key: STANDARD.encode(Sha256::digest(client_key)),
        server_key: STANDARD.encode(hmac(&salted, &[b"Server Key"])),
    }
}

/// SASLprep (RFC 4013, required by RFC 4616 §2 and RFC 5802 §5.1) as far as it changes what is compared: ignorable
/// characters vanish, spaces of all kinds become one kind, then NFKC.
///
/// Deviation: prohibited characters are not refused here; a password that has them is compared as it is.
fn prepare(password: &str) -> String {
    if password.is_ascii() {
        return password.to_owned();
    }
    let is_ignorable = |c: &char| {
        matches!(*c, '\u{AD}' | '\u{34F}' | '\u{1806}' | '\u{180B}'..='\u{180D}' | '\u{200B}'..='\u{200D}' | '\u{2060}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}')
    };
    let one_space = |c| match c {
        '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' => ' ',
        c => c,
    };
    password.chars().filter(|c| !is_ignorable(c)).map(one_space).nfkc().collect()
}

fn is_password(stored: &str, password: &str) -> bool {
    let (Ok(hash), Some(argon2)) = (PasswordHash::new(stored), argon2()) else { return false };
    argon2.verify_password(password.as_bytes(), &hash).is_ok()
}

/// Argon2id with the memory, passes and lanes that OWASP recommends.
fn argon2() -> Option<Argon2<'static>> {
    let params = Params::new(19 * 1024, 2, 1, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // RFC 2104 §2: zeros fill the key up to the block.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn random<const N: usize>() -> Result<[u8; N], LoginFailure> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).map_err(|_| LoginFailure::Unavailable)?;
    Ok(octets)
}

const SALT_OCTETS: usize = 16;

/// RFC 7677 §4: at least 4096.
const SCRAM_ITERATIONS: u32 = 4096;

/// Accounts whose last good password is remembered; some 100 octets each.
const MAX_CACHED: usize = 100_000;

/// Logins that may wait for a processor, some 20 ms each.
const MAX_WAITING: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{AccountState, Change, change, fixture};

    fn account(password: &str) -> Account {
        let credentials = Some(Box::new(hash_password(password).unwrap()));
        Account { credentials, ..fixture::account(1, "alice@corp.test") }
    }

    fn directory(password: &str) -> Directory {
        let directory = fixture::corp(&["alice@corp.test"], &[("a.liu@corp.test", 1)], None);
        with_password(&directory, password)
    }

    fn with_password(directory: &Directory, password: &str) -> Directory {
        change::apply(directory, &Change::PutAccount(account(password))).unwrap().0
    }

    #[tokio::test]
    async fn only_the_right_password_of_an_account_logs_in() {
        let authenticator = Authenticator::new().unwrap();
        let directory = directory("p\u{e4}ss word");
        for round in ["first", "cached"] {
            for (name, password, want) in [
                ("alice@corp.test", "p\u{e4}ss word", true),
                ("ALICE@Corp.Test", "p\u{e4}ss word", true),
                ("a.liu@corp.test", "p\u{e4}ss word", true),
                ("alice@corp.test", "pa\u{308}ss\u{a0}word", true),
                ("alice@corp.test", "p\u{e4}ss wor", false),
                ("alice@corp.test", "p\u{e4}ss word ", false),
                ("alice@corp.test", "", false),
                ("alice", "p\u{e4}ss word", false),
                ("alice+x@corp.test", "p\u{e4}ss word", false),
                ("bob@corp.test", "p\u{e4}ss word", false),
                ("", "", false),
            ] {
                let got = authenticator.password(&directory, name, password).await;
                assert_eq!(got.is_ok(), want, "{round}: {name:?} {password:?}");
                assert!(got.is_ok() || got.unwrap_err() == LoginFailure::BadCredentials);
            }
        }
    }

    #[tokio::test]
    async fn changed_password_voids_the_remembered_one() {
        let authenticator = Authenticator::new().unwrap();
        let before = directory("old");
        assert!(authenticator.password(&before, "alice@corp.test", "old").await.is_ok());
        let after = with_password(&before, "new");
        assert!(authenticator.password(&after, "alice@corp.test", "old").await.is_err());
        assert!(authenticator.password(&after, "alice@corp.test", "new").await.is_ok());
        // The same password with another salt is another hash, so it is not taken from memory either.
        let again = with_password(&after, "new");
        let stored = again.accounts().next().unwrap().credentials.clone().unwrap().password;
        assert!(!authenticator.is_cached(
            AccountId::new(1).unwrap(),
            &authenticator.keyed_hash(AccountId::new(1).unwrap(), &stored, "new")
        ));
    }

    #[tokio::test]
    async fn frozen_account_is_told_so_only_with_the_right_password() {
        let authenticator = Authenticator::new().unwrap();
        let frozen = Account { state: AccountState::Frozen, ..account("secret") };
        let directory = change::apply(&directory("secret"), &Change::PutAccount(frozen)).unwrap().0;
        for (row, password, want) in
            [("A07", "secret", LoginFailure::Disabled), ("A08", "wrong", LoginFailure::BadCredentials)]
        {
            let failure = authenticator.password(&directory, "alice@corp.test", password).await.unwrap_err();
            assert_eq!(failure, want, "{row}");
        }
        let (_, login) = authenticator.scram_verifier(&directory, "alice@corp.test");
        assert_eq!(login.unwrap().admitted().unwrap_err(), LoginFailure::Disabled);
    }

    #[tokio::test]
    async fn second_login_runs_no_argon2() {
        let authenticator = Authenticator::new().unwrap();
        let directory = directory("secret");
        authenticator.password(&directory, "alice@corp.test", "secret").await.unwrap();
        let _all = authenticator.processors.acquire_many(authenticator.processors.available_permits() as u32).await;
        authenticator.waiting.forget_permits(MAX_WAITING);
        assert!(authenticator.password(&directory, "a.liu@corp.test", "secret").await.is_ok());
        let wrong = authenticator.password(&directory, "alice@corp.test", "wrong").await;
        assert_eq!(wrong.unwrap_err(), LoginFailure::Unavailable);
    }

    #[test]
    fn verifier_is_that_of_rfc_7677() {
        // RFC 7677 §3: user "user", password "pencil"; the proof of the example checked with our StoredKey.
        let salt: [u8; SALT_OCTETS] = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        let verifier = scram("pencil", salt);
        let auth = b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let key = |text: &str| -> [u8; 32] { STANDARD.decode(text).unwrap().try_into().unwrap() };
        let signature = hmac(&key(&verifier.stored_key), &[auth]);
        let proof = key("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let client_key: Vec<u8> = signature.iter().zip(proof).map(|(a, b)| a ^ b).collect();
        assert_eq!(STANDARD.encode(Sha256::digest(client_key)), verifier.stored_key);
        let server = hmac(&key(&verifier.server_key), &[auth]);
        assert_eq!(STANDARD.encode(server), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn made_up_verifiers_look_like_real_ones() {
        let directory = directory("secret");
        let dir = tempfile::tempdir().unwrap();
        let one = Authenticator::open(dir.path()).unwrap();
        let after_restart = Authenticator::open(dir.path()).unwrap();
        let (known, login) = one.scram_verifier(&directory, "A.Liu@corp.test");
        assert_eq!(login.unwrap().account.credentials.clone().unwrap().scram, known);
        let (unknown, login) = one.scram_verifier(&directory, "bob@corp.test");
        assert!(login.is_none());
        assert_eq!(unknown.iterations, known.iterations);
        assert_eq!(unknown.salt.len(), known.salt.len());
        assert_eq!(unknown.stored_key.len(), known.stored_key.len());
        assert_eq!(after_restart.scram_verifier(&directory, "BOB@Corp.test").0, unknown);
        assert_ne!(one.scram_verifier(&directory, "carol@corp.test").0.salt, unknown.salt);
    }
}
