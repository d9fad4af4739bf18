//! Organisations, domains, departments and relays (policy semantics §1, §3.2, §16).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::entry::{Resolver, account_text, pattern_text};
use super::lists::DomainBlockedSpec;
use super::{Octets, Problem, is_default, is_true, yes};
use crate::directory::{
    Department, Directory, DmarcHandling, DomainRecord, ExternalForward, Organisation, Relay, RelayKind,
};
use crate::mail::{DepartmentId, Domain, DomainId, Language, Network, OrganisationId, RelayId, Timestamp};

/// The owner of domains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganisationSpec {
    /// Unique among organisations.
    pub name: String,
    /// Whether owners of accounts may forward outside.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external_forward: ExternalForward,
    /// Octets that held messages may take together; the server's default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_limit: Option<Octets>,
    /// Whether the audit log has the first look at each monitor's copy.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub record_monitor_reads: bool,
    /// What becomes of mail that fails DMARC.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dmarc: DmarcHandling,
    /// Domains whose seals (ARC) say more than DMARC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub trusted_sealers: Vec<Domain>,
    /// In which its people are told what becomes of their mail: `en`, `de`, `fr`, `es`, `zh` or `ja` (BCP 47).
    #[serde(default, skip_serializing_if = "is_default")]
    #[schema(value_type = String, example = "en")]
    pub language: Language,
}

impl OrganisationSpec {
    /// The record. It has no references, so that nothing can be wrong with it.
    pub fn resolve(&self, id: OrganisationId, created: Timestamp) -> Organisation {
        Organisation {
            id,
            name: self.name.clone(),
            external_forward: self.external_forward,
            hold_limit: self.hold_limit.map(|o| o.0),
            record_monitor_reads: self.record_monitor_reads,
            dmarc: self.dmarc,
            trusted_sealers: self.trusted_sealers.clone(),
            language: self.language,
            created,
        }
    }

    /// How the record is written.
    pub fn describe(organisation: &Organisation) -> Self {
        Self {
            name: organisation.name.clone(),
            external_forward: organisation.external_forward,
            hold_limit: organisation.hold_limit.map(Octets),
            record_monitor_reads: organisation.record_monitor_reads,
            dmarc: organisation.dmarc,
            trusted_sealers: organisation.trusted_sealers.clone(),
            language: organisation.language,
        }
    }
}

/// A hosted domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainSpec {
    /// Its name.
    pub name: String,
    /// Whose; may be left out while there is one organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// The domain of which it is a second name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_of: Option<String>,
    /// The account that receives mail for addresses nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_all: Option<String>,
    /// Senders whom its accounts do not hear, unless they say otherwise themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<DomainBlockedSpec>,
    /// Senders whose mail is no junk for its accounts, unless they say otherwise themselves: addresses or domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
}

impl DomainSpec {
    /// A domain that is its own name, without catch-all, of the only organisation.
    pub fn new(name: String) -> Self {
        Self { name, organisation: None, alias_of: None, catch_all: None, blocked: Vec::new(), allowed: Vec::new() }
    }

    /// The record.
    pub fn resolve(
        &self,
        directory: &Directory,
        id: DomainId,
        created: Timestamp,
    ) -> Result<DomainRecord, Vec<Problem>> {
        let mut resolver = Resolver::new(directory, None);
        let name = resolver.domain(format_args!("name"), &self.name);
        let principal = self.alias_of.as_deref().and_then(|text| {
            let domain = resolver.domain(format_args!("alias_of"), text)?;
            match directory.domain(&domain) {
                Some(found) => Some(found.clone()),
                None => resolver.refuse(format_args!("alias_of"), text, "a hosted domain"),
            }
        });
        // A second name belongs to whom the first belongs; a domain that exists stays where it is.
        let existing = name.as_ref().and_then(|name| directory.organisation_of(name));
        let known = existing.or(principal.as_ref().map(|p| p.organisation));
        let organisation = match (&self.organisation, known) {
            (None, Some(known)) => Some(known),
            (named, _) => resolver.organisation(format_args!("organisation"), named.as_deref()),
        };
        resolver.organisation = organisation;
        let catch_all = self.catch_all.as_ref().and_then(|a| resolver.account(format_args!("catch_all"), a));
        let blocked = self.blocked.iter().enumerate().filter_map(|(n, b)| b.resolve(n, &mut resolver)).collect();
        let allowed = resolver.list("allowed", &self.allowed, Resolver::pattern);
        let record = name.zip(organisation).map(|(name, organisation)| DomainRecord {
            id,
            name,
            organisation,
            alias_of: principal.map(|p| p.id),
            catch_all,
            blocked,
            allowed,
            created,
        });
        resolver.finish(record)?.ok_or_else(Vec::new)
    }

    /// How the record is written.
    pub fn describe(domain: &DomainRecord, directory: &Directory) -> Self {
        Self {
            name: domain.name.to_string(),
            organisation: organisation_text(directory, domain.organisation),
            alias_of: domain.alias_of.and_then(|id| directory.domain_by_id(id)).map(|d| d.name.to_string()),
            catch_all: domain.catch_all.and_then(|id| account_text(directory, id)),
            blocked: domain.blocked.iter().filter_map(|b| DomainBlockedSpec::describe(b, directory)).collect(),
            allowed: domain.allowed.iter().filter_map(|p| pattern_text(directory, p)).collect(),
        }
    }
}

/// A node of an organisation's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DepartmentSpec {
    /// Its path, e.g. `/Sales/East`; the last name is its own.
    pub path: String,
    /// Whose; may be left out while there is one organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// The account that approves for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
}

impl DepartmentSpec {
    /// The record; the department above it must exist.
    pub fn resolve(&self, directory: &Directory, id: DepartmentId) -> Result<Department, Vec<Problem>> {
        let mut resolver = Resolver::new(directory, None);
        let organisation = resolver.organisation(format_args!("organisation"), self.organisation.as_deref());
        resolver.organisation = organisation;
        let parts = self.path.strip_prefix('/').map(|_| self.path.rsplit_once('/').unwrap_or_default());
        let parent = match parts {
            None => resolver.refuse(format_args!("path"), &self.path, "a path such as \"/Sales/East\""),
            Some(("", _)) => Some(None),
            Some((above, _)) => match organisation.and_then(|o| directory.department_at(o, above)) {
                Some(parent) => Some(Some(parent.id)),
                None => resolver.refuse(
                    format_args!("path"),
                    &self.path,
                    &format!("a path below one that exists; {above} does not"),
                ),
            },
        };
        let manager = self.manager.as_ref().and_then(|a| resolver.account(format_args!("manager"), a));
        let name = parts.map(|(_, name)| name.to_owned()).unwrap_or_default();
        let record = organisation.zip(parent).map(|(organisation, parent)| Department {
            id,
            organisation,
            name,
            parent,
            manager,
        });
        resolver.finish(record)?.ok_or_else(Vec::new)
    }

    /// How the record is written.
    pub fn describe(department: &Department, directory: &Directory) -> Self {
        Self {
            path: directory.department_path(department.id).unwrap_or_else(|| format!("/{}", department.name)),
            organisation: organisation_text(directory, department.organisation),
            manager: department.manager.and_then(|id| account_text(directory, id)),
        }
    }
}

/// Hosts whose word counts, or who speak for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RelaySpec {
    /// An IP address or network.
    pub network: String,
    /// What they are.
    pub kind: RelayKind,
    /// Of a gateway that puts a Received field before every message: its name in the `by` clause. SPF is then asked
    /// about the host that this field names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_by: Option<String>,
}

impl RelaySpec {
    /// The record.
    pub fn resolve(&self, id: RelayId) -> Result<Relay, Vec<Problem>> {
        let network = self.network.parse::<Network>().map_err(|_| {
            let wanted = "an IP address or network such as \"192.0.2.1\" or \"2001:db8::/32\"";
            Problem::invalid("network", &self.network, wanted)
        });
        let name = self.received_by.as_deref();
        let received_by = name.map(Domain::parse).transpose().map_err(|_| {
            let wanted = "a host name such as \"gw.corp.test\"";
            Problem::invalid("received_by", name.unwrap_or_default(), wanted)
        });
        match (network, received_by) {
            (Ok(network), Ok(received_by)) => Ok(Relay { id, network, kind: self.kind, received_by }),
            (network, received_by) => Err(network.err().into_iter().chain(received_by.err()).collect()),
        }
    }

    /// How the record is written.
    pub fn describe(relay: &Relay) -> Self {
        let received_by = relay.received_by.as_ref().map(Domain::to_string);
        Self { network: relay.network.to_string(), kind: relay.kind, received_by }
    }
}

/// An organisation's name.
pub(super) fn organisation_text(directory: &Directory, id: OrganisationId) -> Option<String> {
    directory.organisation(id).map(|o| o.name.clone())
}
