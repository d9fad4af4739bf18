//! What leaves is signed as it leaves (RFC 6376 §5): mail of ours with DKIM, once for each form; mail of others that is
//! passed on gets a seal (RFC 8617 §5.1), for whoever looks at its sender next. What stays costs nothing of this.
//!
//! The body is read once, in pieces, whatever the number of forms. A key that cannot be used is an error in the log, and
//! the message leaves without it: late is worse than unsigned.

use std::collections::HashSet;
use std::sync::Arc;

use super::desk::Desk;
use super::judge::Source;
use super::letter::Letter;
use crate::directory::{Directory, DomainRecord};
use crate::emailauth::{self, DkimContent, DkimInput, Signer};
use crate::mail::{Domain, ReversePath, Timestamp, organisational_domain};
use crate::policy::sender::{Origin, Sender};
use crate::proto::authres::{AuthResults, Identities};
use crate::proto::message::{Front, HeaderAddresses, header_from};
use crate::store::{self, NewHold, NewQueueItem, Target};

/// A message some of which leaves.
pub(super) struct Leaving<'a> {
    /// Who is hosted here.
    pub directory: &'a Directory,
    /// Whose it is.
    pub whose: Whose<'a>,
    /// Its header as received.
    pub header: &'a [u8],
    /// Where its content is.
    pub source: &'a Source<'a>,
    /// When it leaves.
    pub now: Timestamp,
}

/// Who answers for a message.
#[derive(Clone)]
pub(super) enum Whose<'a> {
    /// We do: its author is ours.
    Ours,
    /// Somebody else; this was found out about it when it came. What passes it on is of this domain, unless the
    /// reverse-path says so.
    Passed { sender: &'a Sender, auth: &'a AuthResults, by: Option<Domain> },
}

impl<'a> Leaving<'a> {
    /// A letter that was accepted.
    pub(super) fn letter(letter: &'a Letter<'a>, source: &'a Source<'a>) -> Self {
        let directory = letter.directory;
        let whose = if is_ours(letter) {
            Whose::Ours
        } else {
            Whose::Passed { sender: letter.sender, auth: letter.auth, by: super::judge::domain_of(letter) }
        };
        Self { directory, whose, header: letter.header, source, now: letter.now }
    }

    /// Puts the fields before each form that leaves. One of those in `kept` stays as it is, and there is one more: whoever
    /// has a copy here does not learn from it that another one left (policy semantics §11.1, §13.5).
    pub(super) async fn sign(
        self,
        desk: &Desk,
        (fronts, queue): (&mut Vec<Front>, &mut [NewQueueItem]),
        kept: &HashSet<usize>,
    ) -> Result<(), store::Error> {
        let mut work = Vec::new();
        for form in forms_of(queue) {
            let Some(front) = fronts.get(form) else { continue };
            let header = shown(front, self.header);
            let path = queue.iter().find(|item| item.form == form).map(|item| &item.reverse_path);
            let signers = self.signers(desk, &header, path);
            if !signers.is_empty() {
                work.push((form, header, signers));
            }
        }
        if work.is_empty() {
            return Ok(());
        }
        let content = content(desk, self.source).await?;
        let made = self.make(desk, work, content).await?;
        for (form, fields) in made {
            let Some(front) = fronts.get_mut(form) else { continue };
            let prefix = with_fields(&front.prefix, &fields);
            if !kept.contains(&form) {
                front.prefix = prefix;
                continue;
            }
            let front = Front { prefix, omitted: front.omitted };
            let added = fronts.len();
            fronts.push(front);
            queue.iter_mut().filter(|item| item.form == form).for_each(|item| item.form = added);
        }
        Ok(())
    }

    /// With what a form is signed: every key in use, or for a seal the one that all can verify.
    fn signers(&self, desk: &Desk, header: &[u8], path: Option<&ReversePath>) -> Vec<Arc<Signer>> {
        let domain = match &self.whose {
            Whose::Ours => author_domain(self.directory, &header_from(header)),
            Whose::Passed { by, .. } => {
                let path = match path {
                    Some(ReversePath::Address(address)) => address.domain(),
                    Some(ReversePath::Null) | None => None,
                };
                path.into_iter().chain(by).find_map(|domain| signing_domain(self.directory, domain))
            }
        };
        let keys = domain.and_then(|domain| Some((domain, self.directory.keys(domain.id)?.active()?)));
        let Some((domain, pair)) = keys else { return Vec::new() };
        let read = pair.keys.iter().filter_map(|key| {
            let name = (&domain.name, &key.selector);
            let signer = desk.signers.get(name, key.algorithm, key.private.octets(), &key.public);
            signer
                .inspect_err(
                    |error| tracing::error!(domain = %domain.name, selector = %key.selector, %error, "unsigned"),
                )
                .ok()
        });
        let most = if matches!(self.whose, Whose::Ours) { usize::MAX } else { 1 };
        read.take(most).collect()
    }

    /// The fields of each form, made where nobody waits: a signature of RSA takes about a millisecond.
    async fn make(
        self,
        desk: &Desk,
        work: Vec<(usize, Vec<u8>, Vec<Arc<Signer>>)>,
        content: DkimContent,
    ) -> Result<Vec<(usize, Vec<u8>)>, store::Error> {
        let now = self.now;
        let passed = match self.whose {
            Whose::Ours => None,
            Whose::Passed { sender, auth, .. } => {
                Some((sender.reverse_path.clone(), auth.clone(), desk.hostname.clone()))
            }
        };
        let make = move || {
            let mut made = Vec::new();
            for (form, header, signers) in &work {
                let fields = match (&passed, signers.first()) {
                    (None, _) => emailauth::dkim_fields(signers, header, &content, now),
                    (Some((path, auth, host)), Some(signer)) => {
                        sealed(signer, header, &content, (path, auth, host), now)
                    }
                    (Some(_), None) => Ok(None),
                };
                match fields {
                    Ok(fields) => made.extend(fields.map(|fields| (*form, fields))),
                    Err(error) => tracing::error!(%error, "a message leaves unsigned"),
                }
            }
            made
        };
        tokio::task::spawn_blocking(make).await.map_err(|_| store::Error::Unavailable)
    }
}

fn sealed(
    signer: &Signer,
    header: &[u8],
    content: &DkimContent,
    (path, auth, host): (&ReversePath, &AuthResults, &Domain),
    now: Timestamp,
) -> Result<Option<Vec<u8>>, emailauth::KeyError> {
    let from = header_from(header).domains();
    let mail_from = match path {
        ReversePath::Address(address) => address.domain(),
        ReversePath::Null => None,
    };
    let header_from = if let [only] = from.as_slice() { Some(only) } else { None };
    emailauth::seal(signer, header, content, (auth, host, Identities { mail_from, header_from }), now)
}

/// Whether we answer for a letter: its sender has logged in, or comes from a host that speaks for our accounts, and
/// then its authors are of the sender's organisation (what a login may write in From has been looked at).
fn is_ours(letter: &Letter<'_>) -> bool {
    match letter.sender.origin {
        Origin::Authenticated { .. } | Origin::System => true,
        Origin::TrustedRelay { account } => {
            let own = account.and_then(|id| letter.directory.account_organisation(id));
            let is_own = |domain: &Domain| own.is_some() && letter.directory.organisation_of(domain) == own;
            letter.from.is_complete && letter.from.domains().iter().all(is_own)
        }
        Origin::Unauthenticated { .. } | Origin::Null => false,
    }
}

/// Who signs for these authors: the domain of the first one who has keys.
fn author_domain<'d>(directory: &'d Directory, from: &HeaderAddresses) -> Option<&'d DomainRecord> {
    let domains = from.addresses.iter().filter_map(|address| address.domain());
    domains.into_iter().find_map(|domain| signing_domain(directory, domain))
}

/// The hosted domain with a key in use that is aligned with this one (RFC 7489 §3.1.1): itself, or the nearest above it
/// in the same organisational domain, so that `corp.test` signs what `mail.corp.test` writes.
fn signing_domain<'d>(directory: &'d Directory, domain: &Domain) -> Option<&'d DomainRecord> {
    let top = organisational_domain(domain);
    let labels = |domain: &Domain| domain.as_str().split('.').count();
    let above = |domain: &Domain| domain.as_str().split_once('.').and_then(|(_, rest)| Domain::parse(rest).ok());
    let up = std::iter::successors(Some(domain.clone()), above).take_while(|d| labels(d) >= labels(&top));
    up.take(MAX_LABELS).find_map(|name| {
        let found = directory.domain(&name)?;
        directory.keys(found.id)?.active().map(|_| &**found)
    })
}

/// The forms that somebody here has, or decides about.
pub(super) fn kept(targets: &[Target], holds: &[NewHold]) -> HashSet<usize> {
    targets.iter().map(|target| target.form).chain(holds.iter().map(|hold| hold.form)).collect()
}

/// Those that leave, each once.
fn forms_of(queue: &[NewQueueItem]) -> Vec<usize> {
    let mut forms: Vec<usize> = queue.iter().map(|item| item.form).collect();
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// The header that a form shows.
fn shown(front: &Front, header: &[u8]) -> Vec<u8> {
    let range =
        front.omitted.and_then(|span| Some((usize::try_from(span.from()).ok()?, usize::try_from(span.to()).ok()?)));
    let (before, after) = match range {
        Some((from, to)) => (header.get(..from).unwrap_or(header), header.get(to..).unwrap_or_default()),
        None => (header, &[][..]),
    };
    [&front.prefix, before, after].concat()
}

/// Behind Return-Path, which is the first and does not leave (RFC 5321 §4.4).
fn with_fields(prefix: &[u8], fields: &[u8]) -> Vec<u8> {
    let first = return_path_length(prefix);
    let (path, rest) = prefix.split_at(first);
    [path, fields, rest].concat()
}

/// Octets of a Return-Path at the start.
fn return_path_length(prefix: &[u8]) -> usize {
    let first = crate::proto::message::header::fields(prefix).next();
    first.filter(|field| field.is(b"Return-Path")).map_or(0, |field| field.raw.len())
}

/// The hash of the body, and whether the header can be signed.
async fn content(desk: &Desk, source: &Source<'_>) -> Result<DkimContent, store::Error> {
    let mut input = DkimInput::to_sign();
    let mut at = 0;
    loop {
        let piece = source.piece(desk, at, PIECE).await?;
        if piece.is_empty() {
            return Ok(input.finish());
        }
        at += piece.len() as u64;
        input.push(&piece);
    }
}

/// Octets of content in memory at once.
const PIECE: u64 = 256 << 10;
/// A name has no more (RFC 1035 §3.1).
const MAX_LABELS: usize = 127;
