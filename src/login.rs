//! Credentials to a login: passwords against Argon2id, with a keyed hash of the last good password in memory, and
//! SCRAM verifiers (policy semantics §17; RFC 5802, RFC 7677).
//!
//! The keyed hash covers the account's stored hash as well as the password, so that a changed password voids it;
//! its key is drawn at start and never leaves memory. A wrong password costs an Argon2id run whether or not the
//! account exists. When too many logins wait for a processor, further ones fail as [`LoginFailure::Unavailable`].
//! Failures lock, for a time, whoever they are about (see [`locks`]): every login of every protocol comes through here.

pub mod locks;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
use crate::mail::{AccountId, Address, Timestamp};
use crate::metrics::Counters;
use locks::{Locks, Subject};

/// Why nobody is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFailure {
    /// Unknown account or wrong password; the two are not told apart.
    BadCredentials,
    /// The right password of an account that is frozen.
    Disabled,
    /// Too many failures; what was sent now has not been looked at, or does not count any more.
    Locked,
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

/// Somebody says to be somebody.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Where accounts are looked up.
    pub directory: &'a Directory,
    /// The login name as sent.
    pub name: &'a str,
    /// From where.
    pub client: IpAddr,
    /// When.
    pub now: Timestamp,
}

/// Who is to prove by SCRAM to be who they say.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// `None` for a name that nobody has.
    login: Option<Login>,
    subject: Subject,
    client: IpAddr,
}

/// Checks credentials. One for the process.
pub struct Authenticator {
    /// Keys the hashes of good passwords.
    cache_key: [u8; 32],
    /// Keys the verifiers of names that do not exist; outlives the process, as the real ones do.
    salt_key: [u8; 32],
    good: Mutex<LruCache<AccountId, [u8; 32]>>,
    locks: Locks,
    processors: Semaphore,
    waiting: Semaphore,
    /// A hash to compare with when there is no account.
    nobody: Arc<str>,
    failures: Counters<1>,
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
            locks: Locks::new(),
            processors: Semaphore::new(processors),
            waiting: Semaphore::new(MAX_WAITING),
            nobody: nobody.into(),
            failures: Counters::new("posthouse_login_failures_total", "Logins that failed.", ["why"]),
        })
    }

    /// Checks a name and a password. Takes the same time for unknown accounts. Argon2id runs on blocking threads, at
    /// most as many at once as there are processors.
    pub async fn password(&self, attempt: &Attempt<'_>, password: &str) -> Result<Login, LoginFailure> {
        let subject = self.subject(attempt);
        if self.locks.is_locked(subject, attempt.client, attempt.now) {
            return Err(LoginFailure::Locked);
        }
        let checked = self.check(attempt, password).await;
        self.settled(subject, attempt.client, attempt.now, checked)?.admitted()
    }

    async fn check(&self, attempt: &Attempt<'_>, password: &str) -> Result<Login, LoginFailure> {
        let password = prepare(password);
        let account = attempt.directory.login(attempt.name);
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
        Ok(Login { account: account.clone() })
    }

    /// The SCRAM verifier for a name; for an unknown one a made-up verifier, always the same for the same name, under
    /// which no proof succeeds (RFC 5802 §9: the salt must not tell who exists).
    ///
    /// The login counts once the client's proof has been checked against the verifier, not before: to be told to
    /// [`Authenticator::proved`].
    pub fn scram_verifier(&self, attempt: &Attempt<'_>) -> Result<(ScramVerifier, Candidate), LoginFailure> {
        let (subject, client) = (self.subject(attempt), attempt.client);
        if self.locks.is_locked(subject, client, attempt.now) {
            return Err(LoginFailure::Locked);
        }
        if let Some(account) = attempt.directory.login(attempt.name)
            && let Some(credentials) = &account.credentials
        {
            let login = Some(Login { account: account.clone() });
            return Ok((credentials.scram.clone(), Candidate { login, subject, client }));
        }
        let key = key_of(attempt.name);
        let part = |label: &[u8]| hmac(&self.salt_key, &[label, key.as_bytes()]);
        let [salt, stored_key, server_key] = [part(b"salt"), part(b"stored"), part(b"server")];
        let verifier = ScramVerifier {
            salt: STANDARD.encode(&salt[..SALT_OCTETS]),
            iterations: SCRAM_ITERATIONS,
            stored_key: STANDARD.encode(stored_key),
            server_key: STANDARD.encode(server_key),
        };
        Ok((verifier, Candidate { login: None, subject, client }))
    }

    /// The login of a candidate who has proved, or has not, to know the password.
    pub fn proved(&self, candidate: Candidate, is_proved: bool, now: Timestamp) -> Result<Login, LoginFailure> {
        let Candidate { login, subject, client } = candidate;
        let checked = login.filter(|_| is_proved).ok_or(LoginFailure::BadCredentials);
        self.settled(subject, client, now, checked)?.admitted()
    }

    /// How long an attempt that was refused as [`LoginFailure::Locked`] has to wait.
    pub fn locked_for(&self, attempt: &Attempt<'_>) -> Duration {
        let until = self.locks.until(self.subject(attempt), attempt.client, attempt.now);
        let left = until.map_or(0, |until| until.millis().saturating_sub(attempt.now.millis()));
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }

    /// A lock has begun since the candidate was given its verifier: it is told nothing more, least of all that its proof
    /// was right, which the server's signature would say before [`Authenticator::proved`] does.
    pub fn is_locked(&self, candidate: &Candidate, now: Timestamp) -> bool {
        self.locks.is_locked(candidate.subject, candidate.client, now)
    }

    /// How many logins have failed.
    pub fn failures(&self) -> &Counters<1> {
        &self.failures
    }

    /// The locks after failed logins.
    pub fn locks(&self) -> &Locks {
        &self.locks
    }

    fn subject(&self, attempt: &Attempt<'_>) -> Subject {
        match attempt.directory.login(attempt.name) {
            Some(account) => Subject::Account(account.id),
            None => {
                let hash = hmac(&self.cache_key, &[b"nobody", key_of(attempt.name).as_bytes()]);
                let (half, _) = hash.split_at(16);
                Subject::Nobody(half.try_into().unwrap_or_default())
            }
        }
    }

    /// What a check has come to, with the failure counted. Whoever was locked while it ran learns nothing from it, or
    /// many attempts at once would be as many guesses.
    fn settled(
        &self,
        subject: Subject,
        client: IpAddr,
        now: Timestamp,
        checked: Result<Login, LoginFailure>,
    ) -> Result<Login, LoginFailure> {
        if self.locks.is_locked(subject, client, now) {
            self.failures.count(["locked"]);
            return Err(LoginFailure::Locked);
        }
        if let Err(failure) = &checked {
            self.failures.count([match failure {
                LoginFailure::BadCredentials => "credentials",
                LoginFailure::Disabled => "disabled",
                LoginFailure::Locked => "locked",
                LoginFailure::Unavailable => "unavailable",
            }]);
        }
        if matches!(checked, Err(LoginFailure::BadCredentials))
            && let Some(lock) = self.locks.failed(subject, client, now)
        {
            let (seconds, from) = (lock.until.seconds().saturating_sub(now.seconds()), lock.client);
            match subject {
                Subject::Account(account) => {
                    tracing::warn!(%account, ?from, seconds, "account locked after failed logins")
                }
                Subject::Nobody(_) => tracing::info!(%client, seconds, "unknown name locked after failed logins"),
            }
        }
        checked
    }

    /// Credentials for a new password, when a processor is free.
    pub async fn hash(&self, password: String) -> Result<Credentials, LoginFailure> {
        let _place = self.waiting.try_acquire().map_err(|_| LoginFailure::Unavailable)?;
        let _processor = self.processors.acquire().await.map_err(|_| LoginFailure::Unavailable)?;
        tokio::task::spawn_blocking(move || hash_password(&password)).await.unwrap_or(Err(LoginFailure::Unavailable))
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

/// A name in the form in which two spellings of one address are the same.
fn key_of(name: &str) -> String {
    Address::parse(name).map_or_else(|_| name.to_owned(), |a| a.key().as_str().to_owned())
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

    fn attempt<'a>(directory: &'a Directory, name: &'a str) -> Attempt<'a> {
        Attempt { directory, name, client: [192, 0, 2, 1].into(), now: Timestamp::from_seconds(0) }
    }

    fn with_password(directory: &Directory, password: &str) -> Directory {
        change::apply(directory, &Change::PutAccount(account(password))).unwrap().0
    }

    #[tokio::test]
    async fn only_the_right_password_of_an_account_logs_in() {
        let authenticator = Authenticator::new().unwrap();
        let directory = directory("p\u{e4}ss word");
        let mut next = 0;
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
                // Each from an address of its own: this is not about locks.
                next += 1;
                let from = Attempt { client: std::net::Ipv4Addr::from_bits(next).into(), ..attempt(&directory, name) };
                let got = authenticator.password(&from, password).await;
                assert_eq!(got.is_ok(), want, "{round}: {name:?} {password:?}");
                assert!(got.is_ok() || got.unwrap_err() == LoginFailure::BadCredentials);
            }
        }
    }

    #[tokio::test]
    async fn changed_password_voids_the_remembered_one() {
        let authenticator = Authenticator::new().unwrap();
        let before = directory("old");
        assert!(authenticator.password(&attempt(&before, "alice@corp.test"), "old").await.is_ok());
        let after = with_password(&before, "new");
        assert!(authenticator.password(&attempt(&after, "alice@corp.test"), "old").await.is_err());
        assert!(authenticator.password(&attempt(&after, "alice@corp.test"), "new").await.is_ok());
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
            let failure = authenticator.password(&attempt(&directory, "alice@corp.test"), password).await.unwrap_err();
            assert_eq!(failure, want, "{row}");
        }
        let (_, login) = authenticator.scram_verifier(&attempt(&directory, "alice@corp.test")).unwrap();
        assert_eq!(authenticator.proved(login, true, Timestamp::from_seconds(0)).unwrap_err(), LoginFailure::Disabled);
    }

    /// A13 and A14 are about accounts; a name that nobody has must not differ.
    #[tokio::test]
    async fn ten_failures_lock_account_and_unknown_name_alike() {
        let authenticator = Authenticator::new().unwrap();
        let directory = directory("secret");
        let later = |name, seconds| Attempt { now: Timestamp::from_seconds(seconds), ..attempt(&directory, name) };
        for (name, other) in [("alice@corp.test", "a.liu@corp.test"), ("nobody@corp.test", "NOBODY@corp.test")] {
            for n in 0..10 {
                let name = if n % 2 == 0 { name } else { other };
                let failure = authenticator.password(&later(name, n), "wrong").await.unwrap_err();
                assert_eq!(failure, LoginFailure::BadCredentials, "{name} {n}");
            }
            for password in ["wrong", "secret"] {
                let failure = authenticator.password(&later(other, 10), password).await.unwrap_err();
                assert_eq!(failure, LoginFailure::Locked, "{name}");
            }
            let scram = authenticator.scram_verifier(&later(name, 10)).unwrap_err();
            assert_eq!(scram, LoginFailure::Locked, "{name}");
        }
        let elsewhere = Attempt { client: [192, 0, 2, 2].into(), ..later("alice@corp.test", 10) };
        assert!(authenticator.password(&elsewhere, "secret").await.is_ok());
        assert!(authenticator.password(&later("alice@corp.test", 10 + 3600), "secret").await.is_ok());
    }

    #[tokio::test]
    async fn failed_proofs_count_as_wrong_passwords_do() {
        let authenticator = Authenticator::new().unwrap();
        let directory = directory("secret");
        let alice = attempt(&directory, "alice@corp.test");
        // Fifteen that have begun together: who comes after the tenth failure learns nothing, not even with a good proof.
        let candidates: Vec<Candidate> = (0..15).map(|_| authenticator.scram_verifier(&alice).unwrap().1).collect();
        for (n, candidate) in candidates.into_iter().enumerate() {
            let want = if n < 10 { LoginFailure::BadCredentials } else { LoginFailure::Locked };
            let failure = authenticator.proved(candidate, n >= 10, alice.now).unwrap_err();
            assert_eq!(failure, want, "{n}");
        }
        assert_eq!(authenticator.password(&alice, "secret").await.unwrap_err(), LoginFailure::Locked);
        authenticator.locks().unlock(AccountId::new(1).unwrap());
        assert!(authenticator.password(&alice, "secret").await.is_ok());
    }

    #[tokio::test]
    async fn right_passwords_of_frozen_accounts_lock_nobody() {
        let authenticator = Authenticator::new().unwrap();
        let frozen = Account { state: AccountState::Frozen, ..account("secret") };
        let directory = change::apply(&directory("secret"), &Change::PutAccount(frozen)).unwrap().0;
        for _ in 0..20 {
            let failure = authenticator.password(&attempt(&directory, "alice@corp.test"), "secret").await.unwrap_err();
            assert_eq!(failure, LoginFailure::Disabled);
        }
    }

    #[tokio::test]
    async fn second_login_runs_no_argon2() {
        let authenticator = Authenticator::new().unwrap();
        let directory = directory("secret");
        authenticator.password(&attempt(&directory, "alice@corp.test"), "secret").await.unwrap();
        let _all = authenticator.processors.acquire_many(authenticator.processors.available_permits() as u32).await;
        authenticator.waiting.forget_permits(MAX_WAITING);
        assert!(authenticator.password(&attempt(&directory, "a.liu@corp.test"), "secret").await.is_ok());
        let wrong = authenticator.password(&attempt(&directory, "alice@corp.test"), "wrong").await;
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
        let (known, login) = one.scram_verifier(&attempt(&directory, "A.Liu@corp.test")).unwrap();
        assert_eq!(login.login.unwrap().account.credentials.clone().unwrap().scram, known);
        let (unknown, login) = one.scram_verifier(&attempt(&directory, "bob@corp.test")).unwrap();
        assert!(login.login.is_none());
        assert_eq!(unknown.iterations, known.iterations);
        assert_eq!(unknown.salt.len(), known.salt.len());
        assert_eq!(unknown.stored_key.len(), known.stored_key.len());
        assert_eq!(after_restart.scram_verifier(&attempt(&directory, "BOB@Corp.test")).unwrap().0, unknown);
        assert_ne!(one.scram_verifier(&attempt(&directory, "carol@corp.test")).unwrap().0.salt, unknown.salt);
    }
}
