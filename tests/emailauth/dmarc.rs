//! DMARC (RFC 7489).

use posthouse::proto::authres::{DmarcPolicy, DmarcResult, SpfResult};

use super::signer::{Key, Signer, key_name};
use super::{World, message};

#[tokio::test]
async fn an_aligned_identity_passes() {
    let world = World::new();
    let dns = &world.dns;
    dns.txt("_dmarc.corp.test", "v=DMARC1; p=reject; sp=quarantine");
    dns.txt("_dmarc.strict.test", "v=DMARC1; p=reject; aspf=s; adkim=s")
        .txt("_dmarc.own.corp.test", "v=DMARC1; p=none");
    dns.txt("_dmarc.half.test", "v=DMARC1; p=reject; t=y").txt("_dmarc.two.test", "v=DMARC1; p=reject");
    dns.txt("_dmarc.two.test", "v=DMARC1; p=none").txt("_dmarc.bad.test", "v=DMARC1; p=perhaps");
    dns.servfail("_dmarc.broken.test").txt("_dmarc.reports.test", "v=DMARC1; rua=mailto:d@reports.test");
    dns.txt("_dmarc.says-nothing.test", "v=DMARC1").txt("_dmarc.other.test", "v=DMARC2; p=reject");
    use DmarcPolicy::{None as Nothing, Quarantine, Reject};
    use DmarcResult::{Fail, None, Pass, PermError, TempError};
    for (from, spf, reverse_path, result, policy) in [
        ("a@corp.test", SpfResult::Pass, "b@corp.test", Pass, Reject),
        ("a@corp.test", SpfResult::Pass, "b@mail.corp.test", Pass, Reject),
        ("a@sub.corp.test", SpfResult::Pass, "b@corp.test", Pass, Quarantine),
        ("a@own.corp.test", SpfResult::Fail, "b@corp.test", Fail, Nothing),
        ("a@corp.test", SpfResult::Pass, "b@evil.test", Fail, Reject),
        ("a@corp.test", SpfResult::SoftFail, "b@corp.test", Fail, Reject),
        ("a@corp.test", SpfResult::None, "", Fail, Reject),
        ("a@sub.corp.test", SpfResult::Pass, "b@evil.test", Fail, Quarantine),
        ("a@corp.test", SpfResult::TempError, "b@corp.test", TempError, Reject),
        ("a@corp.test", SpfResult::TempError, "b@evil.test", Fail, Reject),
        ("a@strict.test", SpfResult::Pass, "b@strict.test", Pass, Reject),
        ("a@strict.test", SpfResult::Pass, "b@mail.strict.test", Fail, Reject),
        ("a@half.test", SpfResult::Fail, "b@half.test", Fail, Quarantine),
        ("a@two.test", SpfResult::Fail, "b@two.test", None, Nothing),
        ("a@bad.test", SpfResult::Pass, "b@bad.test", PermError, Nothing),
        ("a@broken.test", SpfResult::Pass, "b@broken.test", TempError, Nothing),
        ("a@reports.test", SpfResult::Fail, "b@reports.test", Fail, Nothing),
        ("a@says-nothing.test", SpfResult::Fail, "", None, Nothing),
        ("a@other.test", SpfResult::Fail, "", None, Nothing),
        ("a@none.test", SpfResult::Pass, "b@none.test", None, Nothing),
        ("a@[192.0.2.1]", SpfResult::Pass, "b@corp.test", None, Nothing),
        // Several authors: the worst of them.
        ("a@corp.test, b@corp.test", SpfResult::Pass, "b@corp.test", Pass, Reject),
        ("a@corp.test, b@none.test", SpfResult::Pass, "b@corp.test", None, Nothing),
        ("a@none.test, b@corp.test", SpfResult::Pass, "b@none.test", Fail, Reject),
        ("a@own.corp.test, b@corp.test", SpfResult::Fail, "", Fail, Reject),
        ("a@a.test, a@b.test, a@c.test, a@d.test, a@e.test, a@corp.test", SpfResult::Fail, "", PermError, Nothing),
        // One that cannot be read.
        ("a@corp.test, nobody", SpfResult::Pass, "b@corp.test", None, Nothing),
        ("a@corp.test, nobody", SpfResult::Fail, "b@corp.test", Fail, Reject),
    ] {
        let results = world.verify(&message(from), spf, reverse_path).await;
        assert_eq!(
            (results.dmarc.result, results.dmarc.policy),
            (result, policy),
            "{from} by {reverse_path} with {spf}"
        );
        assert_eq!(results.spf, spf);
    }
}

#[tokio::test]
async fn a_signature_aligns_as_its_domain_does() {
    let world = World::new();
    world.dns.txt("_dmarc.corp.test", "v=DMARC1; p=reject").txt("_dmarc.strict.test", "v=DMARC1; p=reject; adkim=s");
    for (from, signer, want) in [
        ("a@corp.test", "corp.test", DmarcResult::Pass),
        ("a@corp.test", "mail.corp.test", DmarcResult::Pass),
        ("a@sub.corp.test", "corp.test", DmarcResult::Pass),
        ("a@corp.test", "evil.test", DmarcResult::Fail),
        ("a@strict.test", "mail.strict.test", DmarcResult::Fail),
        ("a@strict.test", "strict.test", DmarcResult::Pass),
    ] {
        let signed = Signer::new(&world.dns, signer, Key::Ed25519).sign(&message(from));
        let results = world.verify(&signed, SpfResult::None, "").await;
        assert_eq!(results.dmarc.result, want, "{from} by {signer}");
        world.dns.servfail(&key_name(signer, Key::Ed25519));
        let unknown = world.verify(&signed, SpfResult::None, "").await;
        let later = if want == DmarcResult::Pass { DmarcResult::TempError } else { DmarcResult::Fail };
        assert_eq!(unknown.dmarc.result, later, "{from} by {signer}, whose key cannot be had");
    }
}
