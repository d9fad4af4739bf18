//! What email authentication found, and the Authentication-Results field that says so (RFC 8601).
//!
//! The words are those of RFC 8601 §2.7; SPF's results are RFC 7208 §2.6, DMARC's RFC 7489 §11.2. Every name in the
//! results is a parsed [`Domain`], so the field needs no quoting and nothing of a message's own text can get into it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::mail::{Domain, is_aligned};

/// What SPF said of the reverse-path's domain (RFC 7208 §2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpfResult {
    /// No record, or no domain to ask for.
    #[default]
    None,
    /// The domain says nothing about this client.
    Neutral,
    /// The client may send for the domain.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// The DNS did not answer.
    TempError,
    /// The record cannot be understood.
    PermError,
}

impl SpfResult {
    /// The word of RFC 8601 §2.7.2.
    pub const fn as_str(self) -> &'static str {
        match self {
            SpfResult::None => "none",
            SpfResult::Neutral => "neutral",
            SpfResult::Pass => "pass",
            SpfResult::Fail => "fail",
            SpfResult::SoftFail => "softfail",
            SpfResult::TempError => "temperror",
            SpfResult::PermError => "permerror",
        }
    }
}

impl fmt::Display for SpfResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of one DKIM signature (RFC 8601 §2.7.1). A message without one has no result, which is `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DkimResult {
    /// It verifies.
    Pass,
    /// It does not.
    Fail,
    /// It verifies, but our policy does not take it: part of the body is unsigned (`l=`).
    Policy,
    /// It cannot be read.
    Neutral,
    /// Its key could not be looked up now.
    TempError,
    /// Its key does not exist or is unusable, or the signature has expired.
    PermError,
}

impl DkimResult {
    /// The word of RFC 8601 §2.7.1.
    pub const fn as_str(self) -> &'static str {
        match self {
            DkimResult::Pass => "pass",
            DkimResult::Fail => "fail",
            DkimResult::Policy => "policy",
            DkimResult::Neutral => "neutral",
            DkimResult::TempError => "temperror",
            DkimResult::PermError => "permerror",
        }
    }
}

impl fmt::Display for DkimResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One DKIM-Signature field and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimSignature {
    /// Who signed: `d=`.
    pub domain: Domain,
    /// Which of its keys: `s=`.
    pub selector: Domain,
    /// Whether it holds.
    pub result: DkimResult,
}

/// What DMARC said of the From field's domain (RFC 7489 §11.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DmarcResult {
    /// No record, or not exactly one domain in From.
    #[default]
    None,
    /// An aligned identity is authenticated.
    Pass,
    /// None is.
    Fail,
    /// The DNS did not answer, and what it said could have mattered.
    TempError,
    /// The record cannot be understood.
    PermError,
}

impl DmarcResult {
    /// The word of RFC 7489 §11.2.
    pub const fn as_str(self) -> &'static str {
        match self {
            DmarcResult::None => "none",
            DmarcResult::Pass => "pass",
            DmarcResult::Fail => "fail",
            DmarcResult::TempError => "temperror",
            DmarcResult::PermError => "permerror",
        }
    }
}

impl fmt::Display for DmarcResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a domain asks for when DMARC fails (RFC 7489 §6.3, `p=` or `sp=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DmarcPolicy {
    /// Nothing.
    #[default]
    None,
    /// Treat it as suspicious.
    Quarantine,
    /// Refuse it.
    Reject,
}

impl DmarcPolicy {
    /// As the record writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            DmarcPolicy::None => "none",
            DmarcPolicy::Quarantine => "quarantine",
            DmarcPolicy::Reject => "reject",
        }
    }
}

impl fmt::Display for DmarcPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// DMARC's result and the policy that was found with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dmarc {
    /// The result.
    pub result: DmarcResult,
    /// What the domain asks for on failure; `None` without a record.
    pub policy: DmarcPolicy,
}

/// What became of the chain of seals on a message that others passed on (RFC 8617 §5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArcResult {
    /// There is none.
    #[default]
    None,
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// A key could not be looked up now.
    TempError,
}

impl ArcResult {
    /// The word of RFC 8617 §4.4, or of RFC 8601 §2.7.1 for what is not known.
    pub const fn as_str(self) -> &'static str {
        match self {
            ArcResult::None => "none",
            ArcResult::Pass => "pass",
            ArcResult::Fail => "fail",
            ArcResult::TempError => "temperror",
        }
    }
}

impl fmt::Display for ArcResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The chain of seals (RFC 8617).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArcChain {
    /// Whether it holds.
    pub result: ArcResult,
    /// How many seals it has.
    pub instances: u8,
    /// Who sealed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealer: Option<Domain>,
    /// The last seal says that the message passed DMARC when it came there.
    #[serde(default)]
    pub passed_dmarc: bool,
}

impl ArcChain {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Everything that was found about one message. The default is a message about which nothing was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthResults {
    /// SPF for the domain of the reverse-path.
    pub spf: SpfResult,
    /// The signatures that were looked at, in the order of their fields.
    pub dkim: Vec<DkimSignature>,
    /// DMARC for the domain of the From field.
    pub dmarc: Dmarc,
    /// The chain of seals.
    #[serde(default, skip_serializing_if = "ArcChain::is_none")]
    pub arc: ArcChain,
}

/// The names that the results are about, for the Authentication-Results field.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identities<'a> {
    /// The domain of the reverse-path; `None` for the null reverse-path and for address literals.
    pub mail_from: Option<&'a Domain>,
    /// The domain of the From field, if there is exactly one.
    pub header_from: Option<&'a Domain>,
}

impl AuthResults {
    /// The domains whose signatures verify.
    pub fn signers(&self) -> impl Iterator<Item = &Domain> {
        self.dkim.iter().filter(|signature| signature.result == DkimResult::Pass).map(|signature| &signature.domain)
    }

    /// A signature that verifies is aligned with `domain` (policy semantics §3.3).
    pub fn is_signed_for(&self, domain: &Domain, is_hosted: bool) -> bool {
        self.signers().any(|signer| is_aligned(signer, domain, is_hosted))
    }

    /// The key of a signature could not be looked up now, so that the message may verify later.
    pub fn has_dkim_temperror(&self) -> bool {
        self.dkim.iter().any(|signature| signature.result == DkimResult::TempError)
    }

    /// The Authentication-Results field (RFC 8601 §2.2), folded, with its line end. `authserv_id` is our host name.
    pub fn field(&self, authserv_id: &Domain, identities: Identities<'_>) -> String {
        format!("Authentication-Results: {}\r\n", self.results(authserv_id, identities))
    }

    /// What the field says, without its name and line end: ARC keeps it for who gets the message next (RFC 8617 §4.1.1).
    pub fn results(&self, authserv_id: &Domain, identities: Identities<'_>) -> String {
        let mut field = format!("{authserv_id};\r\n\tspf={}", self.spf);
        if let Some(domain) = identities.mail_from {
            field.push_str(&format!(" smtp.mailfrom={domain}"));
        }
        if self.dkim.is_empty() {
            field.push_str(";\r\n\tdkim=none");
        }
        for DkimSignature { domain, selector, result } in &self.dkim {
            field.push_str(&format!(";\r\n\tdkim={result} header.d={domain}\r\n\theader.s={selector}"));
        }
        field.push_str(&format!(";\r\n\tdmarc={}", self.dmarc.result));
        if self.dmarc.result != DmarcResult::None {
            field.push_str(&format!(" (p={})", self.dmarc.policy));
        }
        if let Some(domain) = identities.header_from {
            field.push_str(&format!(" header.from={domain}"));
        }
        if self.arc.result != ArcResult::None {
            field.push_str(&format!(";\r\n\tarc={} (i={})", self.arc.result, self.arc.instances));
        }
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::message::header::{fields, unfold};

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn all() -> AuthResults {
        let signature =
            |name, selector, result| DkimSignature { domain: domain(name), selector: domain(selector), result };
        AuthResults {
            spf: SpfResult::SoftFail,
            dkim: vec![
                signature("partner.test", "s1", DkimResult::Pass),
                signature("list.test", "a.b", DkimResult::Fail),
                signature("other.test", "k_1", DkimResult::TempError),
            ],
            dmarc: Dmarc { result: DmarcResult::Pass, policy: DmarcPolicy::Reject },
            arc: ArcChain::default(),
        }
    }

    #[test]
    fn a_chain_of_seals_is_told_of() {
        let arc = ArcChain { result: ArcResult::Fail, instances: 3, ..ArcChain::default() };
        let results = AuthResults { arc, ..AuthResults::default() };
        let field = results.field(&domain("mail.corp.test"), Identities::default());
        assert!(field.ends_with(";\r\n\tdmarc=none;\r\n\tarc=fail (i=3)\r\n"), "{field}");
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<AuthResults>(&text).unwrap(), results);
        let before = serde_json::to_string(&all()).unwrap();
        assert!(!before.contains("\"arc\""), "as it was stored before: {before}");
    }

    #[test]
    fn field_names_each_method_and_its_identity() {
        let (us, from) = (domain("mail.corp.test"), domain("partner.test"));
        let identities = Identities { mail_from: Some(&from), header_from: Some(&from) };
        assert_eq!(
            all().field(&us, identities),
            "Authentication-Results: mail.corp.test;\r\n\tspf=softfail smtp.mailfrom=partner.test;\r\n\
             \tdkim=pass header.d=partner.test\r\n\theader.s=s1;\r\n\
             \tdkim=fail header.d=list.test\r\n\theader.s=a.b;\r\n\
             \tdkim=temperror header.d=other.test\r\n\theader.s=k_1;\r\n\
             \tdmarc=pass (p=reject) header.from=partner.test\r\n"
        );
        assert_eq!(
            AuthResults::default().field(&us, Identities::default()),
            "Authentication-Results: mail.corp.test;\r\n\tspf=none;\r\n\tdkim=none;\r\n\tdmarc=none\r\n"
        );
    }

    #[test]
    fn field_is_one_field_with_short_lines() {
        let long = domain(&["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(60)].join("."));
        let mut results = all();
        for signature in &mut results.dkim {
            signature.domain = long.clone();
            signature.selector = long.clone();
        }
        let field = results.field(&long, Identities { mail_from: Some(&long), header_from: Some(&long) });
        assert_eq!(fields(field.as_bytes()).count(), 1);
        assert!(!unfold(field.as_bytes()).is_empty());
        assert!(field.split("\r\n").all(|line| line.len() <= 998), "RFC 5322 §2.1.1");
    }

    #[test]
    fn results_survive_their_stored_form() {
        let text = serde_json::to_string(&all()).unwrap();
        assert_eq!(serde_json::from_str::<AuthResults>(&text).unwrap(), all());
        assert!(text.contains(r#""spf":"softfail""#), "{text}");
        assert!(text.contains(r#"{"domain":"partner.test","selector":"s1","result":"pass"}"#), "{text}");
        assert!(text.contains(r#""dmarc":{"result":"pass","policy":"reject"}"#), "{text}");
    }

    #[test]
    fn only_signatures_that_verify_have_signers() {
        assert_eq!(all().signers().map(Domain::as_str).collect::<Vec<_>>(), ["partner.test"]);
        for (name, is_hosted, want) in [
            ("partner.test", true, true),
            ("mail.partner.test", false, true),
            ("mail.partner.test", true, false),
            ("list.test", false, false),
        ] {
            assert_eq!(all().is_signed_for(&domain(name), is_hosted), want, "{name}");
        }
        assert!(all().has_dkim_temperror());
        assert!(!AuthResults::default().has_dkim_temperror());
    }
}
