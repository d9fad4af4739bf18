//! The keys with which domains sign (RFC 6376): made, put in use, taken out of use; and the server's own hand in that.

use std::sync::Arc;
use std::time::Duration;

use super::super::Actor;
use super::super::error::OpError;
use super::super::published::KeysView;
use super::super::spec::Object;
use super::domain::domain_in;
use super::{Admin, Plan, blocking, not_found};
use crate::directory::change::Change;
use crate::directory::{Directory, DkimKey, DomainKeys, KeyState, PrivateKey, Refusal};
use crate::emailauth::make_key;
use crate::mail::{Domain, DomainId, KeyAlgorithm, Timestamp};
use crate::policy::published::Standing;

/// Keys of a pair that is to be.
#[derive(Clone, Debug)]
pub(super) struct NewPair {
    name: String,
    keys: Vec<DkimKey>,
}

impl Admin {
    /// The keys of a domain.
    pub fn keys(&self, name: &Domain) -> Result<KeysView, OpError> {
        keys_in(&self.services.directory.current(), name)
    }

    /// Makes a pair of keys. It waits until it is published and `after` is over, or is used at once if the domain has
    /// none in use.
    pub async fn rotate_keys(
        self: &Arc<Self>,
        actor: Actor,
        name: Domain,
        after: Option<Duration>,
    ) -> Result<KeysView, OpError> {
        domain_in(&self.services.directory.current(), &name)?;
        let now = self.services.clock.now();
        let (pair, due) = (new_pair(now).await?, now.after(after.unwrap_or(PENDING)));
        self.change_keys(actor, "domain.dkim.rotate", name, move |keys| {
            let next = keys.with_new(pair.name.clone(), pair.keys.clone(), now, due);
            next.ok_or_else(|| Refusal::Invalid("a pair of keys is pending already".to_owned()).into())
        })
        .await
    }

    /// Uses the pair that waits. The one before it stays published for a week.
    pub async fn activate_keys(self: &Arc<Self>, actor: Actor, name: Domain) -> Result<KeysView, OpError> {
        let until = self.services.clock.now().after(RETIRED);
        self.change_keys(actor, "domain.dkim.activate", name, move |keys| {
            keys.with_pending_active(until).ok_or_else(|| not_found("a pending pair of keys"))
        })
        .await
    }

    /// Takes a pair out of use: what is in use stays published for a week, what is not is gone.
    pub async fn retire_keys(self: &Arc<Self>, actor: Actor, name: Domain, pair: String) -> Result<KeysView, OpError> {
        let until = self.services.clock.now().after(RETIRED);
        self.change_keys(actor, "domain.dkim.retire", name, move |keys| {
            keys.with_retired(&pair, until).ok_or_else(|| not_found(format!("pair of keys {pair:?}")))
        })
        .await
    }

    /// Makes keys for the domains that never had any; a domain for which that fails is tried again later.
    pub async fn make_missing_keys(self: &Arc<Self>) {
        let directory = self.services.directory.current();
        let missing = directory.domains().filter(|domain| directory.keys(domain.id).is_none());
        let missing: Vec<Domain> = missing.map(|domain| domain.name.clone()).collect();
        for name in missing {
            let now = self.services.clock.now();
            let made = async {
                let pair = new_pair(now).await?;
                self.change_keys(Actor::Server, "domain.dkim.make", name.clone(), move |keys| {
                    let next = if keys.pairs.is_empty() { first(keys.id, &pair, now) } else { keys.clone() };
                    Ok(next)
                })
                .await
            };
            if let Err(error) = made.await {
                tracing::error!(domain = %name, %error, "no keys to sign with");
            }
        }
    }

    /// Puts pairs in use whose time has come and which the DNS has, and removes those whose time is over.
    pub async fn turn_keys(self: &Arc<Self>) {
        let (directory, now) = (self.services.directory.current(), self.services.clock.now());
        let all = directory.domains().filter_map(|d| Some((d.name.clone(), directory.keys(d.id)?.clone())));
        for (name, keys) in all.collect::<Vec<_>>() {
            if keys.without_expired(now).is_some() {
                let gone = move |keys: &DomainKeys| Ok(keys.without_expired(now).unwrap_or_else(|| keys.clone()));
                self.turned(&name, self.change_keys(Actor::Server, "domain.dkim.expire", name.clone(), gone).await);
            }
            let Some(pair) = keys.pending() else { continue };
            if !matches!(pair.state, KeyState::Pending(due) if due <= now) {
                continue;
            }
            if self.is_published(&name, &pair.name).await {
                self.turned(&name, self.activate_keys(Actor::Server, name.clone()).await);
            } else {
                tracing::warn!(domain = %name, pair = pair.name, "keys stay pending: the DNS does not have them");
            }
        }
    }

    fn turned(&self, domain: &Domain, result: Result<KeysView, OpError>) {
        if let Err(error) = result {
            tracing::error!(%domain, %error, "keys were not changed");
        }
    }

    /// Whether the DNS has each key of a pair.
    async fn is_published(&self, name: &Domain, pair: &str) -> bool {
        let Ok(findings) = self.compare_dns(name).await else { return false };
        let is_of = |kind: &crate::policy::published::Kind| matches!(kind, crate::policy::published::Kind::Dkim { pair: of, .. } if of == pair);
        let mut of_pair = findings.iter().filter(|finding| is_of(&finding.entry.kind)).peekable();
        of_pair.peek().is_some() && of_pair.all(|finding| finding.standing == Standing::Right)
    }

    async fn change_keys<F>(
        self: &Arc<Self>,
        actor: Actor,
        action: &'static str,
        name: Domain,
        edit: F,
    ) -> Result<KeysView, OpError>
    where
        F: Fn(&DomainKeys) -> Result<DomainKeys, OpError> + Send + Sync + 'static,
    {
        let wanted = name.clone();
        let owner = self.services.directory.current().organisation_of(&name);
        let directory = self
            .change(actor, action, owner, move |directory| {
                let id = domain_in(directory, &wanted)?.id;
                let none = DomainKeys { id, pairs: Vec::new() };
                let old = directory.keys(id).map_or(&none, |keys| &**keys);
                Ok(Plan::one(Change::PutKeys(edit(old)?), Object::Keys(id)))
            })
            .await?;
        keys_in(&directory, &name)
    }
}

/// The first keys of a domain, in use at once: a signature whose key is not published yet is worth as much as none.
pub(super) fn first(id: DomainId, pair: &NewPair, now: Timestamp) -> DomainKeys {
    let none = DomainKeys { id, pairs: Vec::new() };
    none.with_new(pair.name.clone(), pair.keys.clone(), now, now).unwrap_or(none)
}

/// Makes a pair, called by the second: no domain gets two in one.
pub(super) async fn new_pair(now: Timestamp) -> Result<NewPair, OpError> {
    let second = jiff::Timestamp::from_second(now.seconds()).unwrap_or_default();
    let name = second.strftime("ph%Y%m%d%H%M%S").to_string();
    blocking(move || {
        let key = |algorithm: KeyAlgorithm| {
            let made = make_key(algorithm).map_err(|error| {
                tracing::error!(%error, "keys");
                OpError::Unavailable
            })?;
            let selector = Domain::parse(&format!("{name}-{}", algorithm.key_type()));
            let selector = selector.map_err(|_| OpError::Unavailable)?;
            Ok(DkimKey { algorithm, selector, public: made.public, private: PrivateKey::new(made.private) })
        };
        let keys = KeyAlgorithm::ALL.into_iter().map(key).collect::<Result<_, OpError>>()?;
        Ok(NewPair { name, keys })
    })
    .await
}

fn keys_in(directory: &Directory, name: &Domain) -> Result<KeysView, OpError> {
    let id = domain_in(directory, name)?.id;
    let none = || KeysView { domain: name.to_string(), pairs: Vec::new() };
    Ok(directory.keys(id).map_or_else(none, |keys| KeysView::of(name, keys)))
}

/// How long a new pair waits at least: caches forget that it was not there.
const PENDING: Duration = Duration::from_secs(48 * 3600);
/// How long an old one stays published: longer than a message stays in a queue.
const RETIRED: Duration = Duration::from_secs(7 * 24 * 3600);
