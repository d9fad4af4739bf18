//! DNSSEC for the test's DNS: everything lies in one signed zone, the root's, but for the zones that are said to be
//! unsigned. That something is not there is said by an NSEC record of the very name (RFC 9824).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::rdata::sig::SigInput;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, RRSIG};
use hickory_proto::dnssec::{Algorithm, DnssecSigner, SigningKey, TBS};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::{NS, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};

/// The key of the root zone.
pub struct Signing {
    signer: DnssecSigner,
    /// Zones that are delegated without a key.
    pub unsigned: Vec<Name>,
    /// Names whose records are signed wrongly, and those that are not signed though they should be.
    pub wrong: Vec<Name>,
    pub stripped: Vec<Name>,
    /// A denial for a name comes with the SOA record of this other zone, unsigned.
    pub forged_denials: Vec<(Name, Name)>,
}

impl Signing {
    pub fn new() -> Self {
        let key =
            Ed25519SigningKey::generate_pkcs8().and_then(|key| Ed25519SigningKey::from_pkcs8(&key)).expect("a key");
        let public = key.to_public_key().expect("its public half");
        let dnskey = DNSKEY::new(true, true, false, public);
        let signer = DnssecSigner::new(dnskey, Box::new(key), Name::root(), Duration::from_secs(3_600));
        Self { signer, unsigned: vec![], wrong: vec![], stripped: vec![], forged_denials: vec![] }
    }

    /// The key as a validator reads it.
    pub fn anchor(&self) -> String {
        format!(". 0 IN DNSKEY {}\n", self.signer.dnskey())
    }

    /// What the root zone holds of itself, and that of delegations.
    pub fn own(&self, query: &Query) -> Vec<RData> {
        let name = query.name();
        match query.query_type() {
            RecordType::SOA if name.is_root() => vec![soa(&Name::root())],
            RecordType::DNSKEY if name.is_root() => {
                vec![RData::DNSSEC(DNSSECRData::DNSKEY(self.signer.to_dnskey()))]
            }
            RecordType::NS if name.is_root() || self.unsigned.contains(name) => {
                vec![RData::NS(NS(Name::from_ascii("ns.test.").expect("a name")))]
            }
            _ => Vec::new(),
        }
    }

    /// Signs an answer. `types` are those that the name of the question has.
    pub fn sign(&self, query: &Query, types: &[RecordType], response: &mut Message) {
        let name = query.name();
        let of_parent = query.query_type() == RecordType::DS && self.unsigned.contains(name);
        let zone = self.unsigned.iter().find(|zone| zone.zone_of(name));
        if let (Some((_, other)), true) =
            (self.forged_denials.iter().find(|(n, _)| n == name), response.answers.is_empty())
        {
            response.add_authority(Record::from_rdata(other.clone(), 0, soa(other)));
            return;
        }
        if let (Some(zone), false) = (zone, of_parent) {
            if response.answers.is_empty() && response.metadata.response_code != ResponseCode::ServFail {
                response.add_authority(Record::from_rdata(zone.clone(), 0, soa(zone)));
            }
            return;
        }
        if matches!(response.metadata.response_code, ResponseCode::ServFail) {
            return;
        }
        let is_denial = !response.answers.iter().any(|r| &r.name == name);
        if is_denial {
            response.metadata.response_code = ResponseCode::NoError;
            let mut types: Vec<RecordType> = types.to_vec();
            types.extend(self.unsigned.contains(name).then_some(RecordType::NS));
            let next = name.prepend_label("\\000").or_else(|_| name.prepend_label("0")).expect("room for a label");
            let nsec = NSEC::new_cover_self(next, types);
            response.add_authority(Record::from_rdata(Name::root(), 0, soa(&Name::root())));
            response.add_authority(Record::from_rdata(name.clone(), 0, RData::DNSSEC(DNSSECRData::NSEC(nsec))));
        }
        let signatures = self.signatures(&response.answers);
        response.add_answers(signatures);
        let signatures = self.signatures(&response.authorities);
        response.add_authorities(signatures);
    }

    fn signatures(&self, records: &[Record]) -> Vec<Record> {
        let mut sets: BTreeMap<(String, u16), Vec<Record>> = BTreeMap::new();
        for record in records {
            let key = (record.name.to_ascii(), record.record_type().into());
            sets.entry(key).or_default().push(record.clone());
        }
        sets.into_values().filter_map(|set| self.signature(&set)).collect()
    }

    fn signature(&self, set: &[Record]) -> Option<Record> {
        let first = set.first()?;
        let is_unsigned =
            self.unsigned.iter().any(|zone| zone.zone_of(&first.name)) && first.record_type() != RecordType::NSEC;
        if is_unsigned || self.stripped.contains(&first.name) {
            return None;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as u32;
        let input = SigInput {
            type_covered: first.record_type(),
            algorithm: Algorithm::ED25519,
            num_labels: first.name.num_labels(),
            original_ttl: 0,
            sig_expiration: SerialNumber::new(now + 3_600),
            sig_inception: SerialNumber::new(now - 3_600),
            key_tag: self.signer.calculate_key_tag().expect("a tag"),
            signer_name: Name::root(),
        };
        let signed = TBS::from_input(&first.name, DNSClass::IN, &input, set.iter()).expect("what is signed");
        let mut signature = self.signer.sign(&signed).expect("a signature");
        if self.wrong.contains(&first.name) {
            signature[0] ^= 1;
        }
        let data = RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, signature)));
        Some(Record::from_rdata(first.name.clone(), 0, data))
    }
}

fn soa(zone: &Name) -> RData {
    RData::SOA(SOA::new(zone.clone(), zone.clone(), 1, 3_600, 600, 86_400, 0))
}
