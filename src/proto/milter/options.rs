//! What server and filter agree on before anything else (`SMFIC_OPTNEG`).

use super::text::{number, push_string, string};

/// What one side offers, and what the other makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The version of the protocol.
    pub version: u32,
    /// What the filter may do.
    pub actions: Actions,
    /// What is left out or done otherwise.
    pub steps: Steps,
    /// The macros that the filter wants at a stage, in place of those it would get. Only a filter says so.
    pub macros: Vec<(MacroStage, Vec<String>)>,
}

/// The version that is spoken here.
pub const VERSION: u32 = 6;

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident { $($(#[$flag_doc:meta])* $flag:ident = $bits:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(u32);

        impl $name {
            $($(#[$flag_doc])* pub const $flag: Self = Self($bits);)*

            /// From its bits, those without a meaning included.
            pub const fn from_bits(bits: u32) -> Self {
                Self(bits)
            }

            /// As they go over the wire.
            pub const fn bits(self) -> u32 {
                self.0
            }

            /// All of `other` are among these.
            pub const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// These and those of `other`.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// These but for those of `other`.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// None.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }
        }
    };
}

flags! {
    /// What a filter may do to a message (`SMFIF_*`).
    Actions {
        /// Add fields, anywhere.
        ADD_FIELDS = 0x1,
        /// Put another body in its place.
        REPLACE_BODY = 0x2,
        /// Add recipients.
        ADD_RECIPIENTS = 0x4,
        /// Remove recipients.
        REMOVE_RECIPIENTS = 0x8,
        /// Change and remove fields.
        CHANGE_FIELDS = 0x10,
        /// Put it into quarantine.
        QUARANTINE = 0x20,
        /// Change the reverse-path.
        CHANGE_REVERSE_PATH = 0x40,
        /// Add recipients with parameters.
        ADD_RECIPIENTS_WITH_PARAMETERS = 0x80,
        /// Say which macros it wants.
        SET_MACROS = 0x100,
        /// All of these.
        ALL = 0x1ff,
    }
}

flags! {
    /// Steps of the protocol that are left out or done otherwise (`SMFIP_*`).
    Steps {
        /// It is not told who connects.
        NO_CONNECT = 0x1,
        /// … of EHLO.
        NO_HELO = 0x2,
        /// … of MAIL.
        NO_MAIL = 0x4,
        /// … of RCPT.
        NO_RCPT = 0x8,
        /// It gets no body.
        NO_BODY = 0x10,
        /// … no fields.
        NO_HEADER = 0x20,
        /// … no end of the header.
        NO_END_OF_HEADER = 0x40,
        /// It gives no reply to a field.
        SILENT_HEADER = 0x80,
        /// It is not told of unknown commands.
        NO_UNKNOWN = 0x100,
        /// … of DATA.
        NO_DATA = 0x200,
        /// It may leave out the rest of the body.
        SKIP = 0x400,
        /// It is told of recipients that are refused, too.
        REFUSED_RECIPIENTS = 0x800,
        /// It gives no reply to who connects.
        SILENT_CONNECT = 0x1000,
        /// … to EHLO.
        SILENT_HELO = 0x2000,
        /// … to MAIL.
        SILENT_MAIL = 0x4000,
        /// … to RCPT.
        SILENT_RCPT = 0x8000,
        /// … to DATA.
        SILENT_DATA = 0x1_0000,
        /// … to unknown commands.
        SILENT_UNKNOWN = 0x2_0000,
        /// … to the end of the header.
        SILENT_END_OF_HEADER = 0x4_0000,
        /// … to a piece of the body.
        SILENT_BODY = 0x8_0000,
        /// Values of fields keep the space in front of them, in both directions.
        LEADING_SPACE = 0x10_0000,
        /// Packets of up to 256 KiB.
        PACKETS_OF_256_KIB = 0x1000_0000,
        /// Packets of up to 1 MiB.
        PACKETS_OF_1_MIB = 0x2000_0000,
    }
}

/// When macros are sent (`SMFIM_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MacroStage {
    /// With who connects.
    Connect,
    /// With EHLO.
    Helo,
    /// With MAIL.
    Mail,
    /// With RCPT.
    Rcpt,
    /// With DATA.
    Data,
    /// With the end of the message.
    EndOfMessage,
    /// With the end of the header.
    EndOfHeader,
}

impl MacroStage {
    fn from_number(number: u32) -> Option<Self> {
        let at = usize::try_from(number).ok()?;
        STAGES.get(at).copied()
    }

    const fn number(self) -> u32 {
        self as u32
    }
}

impl Options {
    /// From what the packet carries.
    pub(super) fn parse(octets: &[u8]) -> Option<Self> {
        let (version, rest) = number(octets)?;
        let (actions, rest) = number(rest)?;
        let (steps, rest) = number(rest)?;
        let macros = parse_macros(rest)?;
        Some(Self { version, actions: Actions(actions), steps: Steps(steps), macros })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.version, self.actions.0, self.steps.0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        encode_macros(&self.macros, out);
    }
}

/// Names of macros for stages, each list with spaces or commas between its names.
pub(super) fn parse_macros(mut octets: &[u8]) -> Option<Vec<(MacroStage, Vec<String>)>> {
    let mut all = Vec::new();
    while !octets.is_empty() {
        let (stage, rest) = number(octets)?;
        let (list, rest) = string(rest)?;
        let list = std::str::from_utf8(list).ok().filter(|list| list.bytes().all(|b| matches!(b, b' '..=b'~')))?;
        let names = list.split([' ', ',']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        all.push((MacroStage::from_number(stage)?, names));
        octets = rest;
    }
    Some(all)
}

pub(super) fn encode_macros(macros: &[(MacroStage, Vec<String>)], out: &mut Vec<u8>) {
    for (stage, names) in macros {
        out.extend_from_slice(&stage.number().to_be_bytes());
        push_string(names.join(" ").as_bytes(), out);
    }
}

const STAGES: [MacroStage; 7] = [
    MacroStage::Connect,
    MacroStage::Helo,
    MacroStage::Mail,
    MacroStage::Rcpt,
    MacroStage::Data,
    MacroStage::EndOfMessage,
    MacroStage::EndOfHeader,
];
