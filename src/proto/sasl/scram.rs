//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side, with channel binding `tls-exporter` (RFC 9266).
//!
//! Deviation: no `e=` messages are sent; the protocol around it says that authentication failed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Failure, MAX_NAME, saslprep};

/// What the server keeps of a password (RFC 5802 §3).
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// Salt.
    pub salt: Vec<u8>,
    /// Iteration count.
    pub iterations: u32,
    /// StoredKey.
    pub stored_key: [u8; 32],
    /// ServerKey.
    pub server_key: [u8; 32],
}

impl Verifier {
    /// From the parts as the directory keeps them, in base64; `None` if they are not.
    pub fn from_base64(salt: &str, iterations: u32, stored_key: &str, server_key: &str) -> Option<Self> {
        let key = |text| STANDARD.decode(text).ok()?.try_into().ok();
        Some(Self {
            salt: STANDARD.decode(salt).ok()?,
            iterations,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// From SaltedPassword, the PBKDF2 of the prepared password (RFC 5802 §2.2 `Hi`).
    pub fn from_salted_password(salted_password: &[u8; 32], salt: Vec<u8>, iterations: u32) -> Self {
        Self {
            salt,
            iterations,
            stored_key: sha256(&hmac(salted_password, b"Client Key")),
            server_key: hmac(salted_password, b"Server Key"),
        }
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// `client-first-message`, parsed.
#[derive(Debug)]
pub(super) struct ClientFirst {
    pub(super) authcid: String,
    authzid: String,
    plus: bool,
    gs2_header: Vec<u8>,
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// RFC 5802 §7. `plus`: the mechanism's name says that the channel is bound; `bindable`: PLUS was offered.
    pub(super) fn parse(message: &[u8], plus: bool, bindable: bool) -> Result<Self, Failure> {
        let message = std::str::from_utf8(message).map_err(|_| Failure::Malformed)?;
        let (flag, rest) = message.split_once(',').ok_or(Failure::Malformed)?;
        let (authzid, bare) = rest.split_once(',').ok_or(Failure::Malformed)?;
        match flag.strip_prefix("p=") {
            Some("tls-exporter") if plus && bindable => {}
            Some(_) => return Err(Failure::ChannelBinding),
            None if plus => return Err(Failure::ChannelBinding),
            None if flag == "n" => {}
            // The client can bind and believes that the server cannot: who told it so? (RFC 5802 §6)
            None if flag == "y" && bindable => return Err(Failure::ChannelBinding),
            None if flag == "y" => {}
            None => return Err(Failure::Malformed),
        }
        let authzid = match authzid {
            "" => String::new(),
            _ => saslname(authzid.strip_prefix("a=").ok_or(Failure::Malformed)?)?,
        };
        let mut attributes = bare.split(',');
        // A mandatory extension (`m=`) is not understood and must fail: it is not `n=` (RFC 5802 §5.1).
        let name = attributes.next().and_then(|a| a.strip_prefix("n=")).ok_or(Failure::Malformed)?;
        let nonce = attributes.next().and_then(|a| a.strip_prefix("r=")).ok_or(Failure::Malformed)?;
        if nonce.is_empty() || nonce.len() > MAX_NONCE || !nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Failure::Malformed);
        }
        let gs2_header = message.as_bytes().get(..message.len() - bare.len()).ok_or(Failure::Malformed)?.to_vec();
        let authcid = saslprep(&saslname(name)?).ok_or(Failure::Malformed)?;
        Ok(Self { authcid, authzid, plus, gs2_header, bare: bare.to_owned(), nonce: nonce.to_owned() })
    }

    /// `server-first-message`.
    pub(super) fn answer(self, verifier: Verifier, nonce: &[u8]) -> (Exchange, Vec<u8>) {
        let nonce = format!("{}{}", self.nonce, STANDARD.encode(nonce));
        let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(&verifier.salt), verifier.iterations);
        let octets = server_first.clone().into_bytes();
        (Exchange { first: self, verifier, nonce, server_first }, octets)
    }
}

/// Waits for `client-final-message`.
#[derive(Debug)]
pub(super) struct Exchange {
    first: ClientFirst,
    verifier: Verifier,
    nonce: String,
    server_first: String,
}

impl Exchange {
    /// Checks the proof and gives `server-final-message` and authzid.
    pub(super) fn finish(self, message: &[u8], exporter: Option<&[u8; 32]>) -> Result<(Vec<u8>, String), Failure> {
        let message = std::str::from_utf8(message).map_err(|_| Failure::Malformed)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(Failure::Malformed)?;
        let proof: [u8; 32] = STANDARD.decode(proof).ok().and_then(|p| p.try_into().ok()).ok_or(Failure::Malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|a| a.strip_prefix("c=")).ok_or(Failure::Malformed)?;
        let nonce = attributes.next().and_then(|a| a.strip_prefix("r=")).ok_or(Failure::Malformed)?;
        let binding = STANDARD.decode(binding).map_err(|_| Failure::Malformed)?;
        let mut expected = self.first.gs2_header;
        if self.first.plus {
            expected.extend_from_slice(exporter.ok_or(Failure::ChannelBinding)?);
        }
        if !bool::from(binding.ct_eq(&expected)) {
            return Err(Failure::ChannelBinding);
        }
        if nonce != self.nonce {
            return Err(Failure::Malformed);
        }
        let auth_message = format!("{},{},{without_proof}", self.first.bare, self.server_first);
        let mut client_key = hmac(&self.verifier.stored_key, auth_message.as_bytes());
        client_key.iter_mut().zip(proof).for_each(|(k, p)| *k ^= p);
        if !bool::from(sha256(&client_key).ct_eq(&self.verifier.stored_key)) {
            return Err(Failure::WrongProof);
        }
        let signature = hmac(&self.verifier.server_key, auth_message.as_bytes());
        Ok((format!("v={}", STANDARD.encode(signature)).into_bytes(), self.first.authzid))
    }
}

/// The client's side of one proof.
#[derive(Debug)]
pub struct Proof {
    /// `client-final-message`.
    pub client_final: Vec<u8>,
    /// What the server must answer.
    pub server_final: Vec<u8>,
}

impl Proof {
    /// From SaltedPassword and the messages so far; `binding` is the GS2 header, with channel binding data for PLUS.
    pub fn new(salted_password: &[u8; 32], client_first_bare: &str, server_first: &str, binding: &[u8]) -> Self {
        let nonce = server_first.split(',').next().unwrap_or_default();
        let without_proof = format!("c={},{nonce}", STANDARD.encode(binding));
        let auth_message = format!("{client_first_bare},{server_first},{without_proof}");
        let mut proof = hmac(salted_password, b"Client Key");
        let signature = hmac(&sha256(&proof), auth_message.as_bytes());
        proof.iter_mut().zip(signature).for_each(|(p, s)| *p ^= s);
        let server = hmac(&hmac(salted_password, b"Server Key"), auth_message.as_bytes());
        Self {
            client_final: format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes(),
            server_final: format!("v={}", STANDARD.encode(server)).into_bytes(),
        }
    }
}

/// `saslname`: `=2C` and `=3D` stand for comma and equals sign, no other `=` may appear (RFC 5802 §5.1).
fn saslname(text: &str) -> Result<String, Failure> {
    let mut name = String::with_capacity(text.len());
    let mut parts = text.split('=');
    name.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (c, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Failure::Malformed),
        };
        name.push(c);
        name.push_str(rest);
    }
    if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
        return Err(Failure::Malformed);
    }
    Ok(name)
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&hmac_key(key));
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// HMAC pads its key with zeros to the block of the hash (RFC 2104 §2).
fn hmac_key(key: &[u8; 32]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block.iter_mut().zip(key).for_each(|(b, k)| *b = *k);
    block
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    Sha256::digest(octets).into()
}

const MAX_NONCE: usize = 512;

#[cfg(test)]
mod tests {
    use super::super::{Mechanism, Negotiation, Step};
    use super::*;

    fn salted(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
        // Hi() of RFC 5802 §2.2, written out so that no library stands on both sides.
        let mac = |octets: &[u8]| -> [u8; 32] {
            let mut mac = Hmac::<Sha256>::new_from_slice(password).unwrap();
            mac.update(octets);
            mac.finalize().into_bytes().into()
        };
        let mut u = mac(&[salt, &[0, 0, 0, 1]].concat());
        let mut out = u;
        for _ in 1..iterations {
            u = mac(&u);
            out.iter_mut().zip(u).for_each(|(o, u)| *o ^= u);
        }
        out
    }

    /// The example of RFC 7677 §3. The server's nonce is text there, so the exchange is driven below `Negotiation`.
    #[test]
    fn example_of_rfc_7677() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::from_salted_password(&salted(b"pencil", &salt, 4096), salt, 4096);
        let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", false, false).unwrap();
        assert_eq!(first.authcid, "user");
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let exchange = Exchange {
            first,
            verifier,
            nonce: nonce.to_owned(),
            server_first: format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        };
        let client_final = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let (server_final, authzid) = exchange.finish(client_final.as_bytes(), None).unwrap();
        assert_eq!(server_final, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(authzid, "");
    }

    /// Runs a whole negotiation with the given GS2 header and binding data.
    fn negotiate(mechanism: Mechanism, gs2: &str, binding: &[u8], ours: Option<[u8; 32]>) -> Result<Step, Failure> {
        let salted = salted(b"pencil", b"salt", 4096);
        let bare = "n=al=2Ci=3Dce,r=clientnonce";
        let first = format!("{gs2}{bare}");
        let (mut negotiation, step) = Negotiation::start(mechanism, Some(first.as_bytes()), ours, [7; 18]);
        assert_eq!(step?, Step::Verifier { authcid: "al,i=ce".to_owned() });
        let verifier = Verifier::from_salted_password(&salted, b"salt".to_vec(), 4096);
        let Step::Challenge(server_first) = negotiation.verifier(verifier)? else { panic!("server-first expected") };
        let proof =
            Proof::new(&salted, bare, std::str::from_utf8(&server_first).unwrap(), &[gs2.as_bytes(), binding].concat());
        assert_eq!(negotiation.respond(&proof.client_final)?, Step::Challenge(proof.server_final));
        negotiation.respond(b"")
    }

    #[test]
    fn channel_binding() {
        use Mechanism::{ScramSha256, ScramSha256Plus};
        let proved = |authzid: &str| Ok(Step::Proved { authzid: authzid.to_owned() });
        let other = || Err(Failure::ChannelBinding);
        let exporter = [9; 32];
        for (case, mechanism, gs2, binding, ours, want) in [
            ("no binding", ScramSha256, "n,,", &[][..], None, proved("")),
            ("no binding wanted, TLS", ScramSha256, "n,,", &[], Some(exporter), proved("")),
            ("client would bind, server cannot", ScramSha256, "y,,", &[], None, proved("")),
            ("downgraded", ScramSha256, "y,,", &[], Some(exporter), other()),
            ("bound", ScramSha256Plus, "p=tls-exporter,,", &exporter, Some(exporter), proved("")),
            ("authzid", ScramSha256Plus, "p=tls-exporter,a=b=3Db,", &exporter, Some(exporter), proved("b=b")),
            ("bound to another channel", ScramSha256Plus, "p=tls-exporter,,", &[8; 32], Some(exporter), other()),
            ("unknown binding", ScramSha256Plus, "p=tls-unique,,", &exporter, Some(exporter), other()),
            ("PLUS without binding", ScramSha256Plus, "n,,", &[], Some(exporter), other()),
            ("binding without PLUS", ScramSha256, "p=tls-exporter,,", &exporter, Some(exporter), other()),
        ] {
            assert_eq!(negotiate(mechanism, gs2, binding, ours), want, "{case}");
        }
    }

    #[test]
    fn wrong_password_and_wrong_nonce_fail() {
        let verifier = Verifier::from_salted_password(&salted(b"pencil", b"salt", 1), b"salt".to_vec(), 1);
        for (case, password, nonce, want) in [
            ("wrong password", &b"pen"[..], "", Failure::WrongProof),
            ("wrong nonce", b"pencil", "x", Failure::Malformed),
        ] {
            let first = ClientFirst::parse(b"n,,n=a,r=n", false, false).unwrap();
            let (exchange, server_first) = first.answer(verifier.clone(), &[1; 18]);
            let server_first = String::from_utf8(server_first).unwrap().replacen("r=", &format!("r={nonce}"), 1);
            let proof = Proof::new(&salted(password, b"salt", 1), "n=a,r=n", &server_first, b"n,,");
            assert_eq!(exchange.finish(&proof.client_final, None), Err(want), "{case}");
        }
    }

    #[test]
    fn malformed_first_messages() {
        for message in [
            &b""[..],
            b"n",
            b"n,",
            b"n,,",
            b"n,,n=a",
            b"n,,r=n",
            b"n,,m=x,n=a,r=n",
            b"x,,n=a,r=n",
            b"n,b,n=a,r=n",
            b"n,,n=,r=n",
            b"n,,n=a=b,r=n",
            b"n,,n=a,r=",
            b"n,,n=a,r=\xc3\xa9",
            b"n,,n=\xff,r=n",
            b"n,,n=a\0,r=n",
        ] {
            assert_eq!(
                ClientFirst::parse(message, false, false).map(|_| ()),
                Err(Failure::Malformed),
                "{}",
                message.escape_ascii()
            );
        }
    }
}
