//! Which domains speak for each other: organisational domains (RFC 7489 §3.2) and alignment (policy semantics §3.3).

use super::Domain;

/// The domain one label below the public suffix (RFC 7489 §3.2), by the Public Suffix List with its private part, so
/// that two customers of one hosting domain are strangers. A public suffix is its own organisational domain.
pub fn organisational_domain(domain: &Domain) -> Domain {
    // What `psl` gives is a suffix of the domain by whole labels, which is a domain again.
    psl::domain_str(domain.as_str()).and_then(|name| Domain::parse(name).ok()).unwrap_or_else(|| domain.clone())
}

/// Does what `signing` vouches for count for `of` (policy semantics §3.3)? For a hosted domain only the same domain
/// does, as a department's subdomain may belong to others; for an external one the same organisational domain.
pub fn is_aligned(signing: &Domain, of: &Domain, of_is_hosted: bool) -> bool {
    signing == of || (!of_is_hosted && organisational_domain(signing) == organisational_domain(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    #[test]
    fn organisational_domains() {
        for (name, want) in [
            ("corp.test", "corp.test"),
            ("mail.eu.corp.test", "corp.test"),
            ("example.co.uk", "example.co.uk"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("test", "test"),
            ("com", "com"),
            ("alice.github.io", "alice.github.io"),
            ("x.alice.github.io", "alice.github.io"),
            ("www.city.kawasaki.jp", "city.kawasaki.jp"),
            ("a.b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("x.example.\u{4e2d}\u{56fd}", "example.xn--fiqs8s"),
        ] {
            assert_eq!(organisational_domain(&domain(name)), domain(want), "{name}");
        }
    }

    #[test]
    fn alignment() {
        for (signing, of, hosted, aligned) in [
            ("corp.test", "corp.test", true, true),
            ("CORP.test.", "corp.test", true, true),
            ("mail.corp.test", "corp.test", true, false),
            ("corp.test", "mail.corp.test", true, false),
            ("ext.test", "corp.test", true, false),
            ("partner.test", "partner.test", false, true),
            ("mail.partner.test", "partner.test", false, true),
            ("partner.test", "mail.partner.test", false, true),
            ("a.partner.test", "b.partner.test", false, true),
            ("evilpartner.test", "partner.test", false, false),
            ("partner.test.evil.test", "partner.test", false, false),
            ("test", "partner.test", false, false),
            ("co.uk", "partner.co.uk", false, false),
            ("other.co.uk", "partner.co.uk", false, false),
            ("bob.github.io", "alice.github.io", false, false),
            ("github.io", "alice.github.io", false, false),
        ] {
            assert_eq!(is_aligned(&domain(signing), &domain(of), hosted), aligned, "{signing} for {of}, {hosted}");
        }
    }
}
