//! What is agreed on with a filter before it hears anything.

use tokio::time::Instant;

use super::link::Link;
use crate::hooks::Failure;
use crate::proto::milter::{Actions, Command, MacroStage, Options, Reply, Steps, VERSION};

/// What is agreed on.
#[derive(Clone, Debug)]
pub(super) struct Agreement {
    /// What the filter may do.
    pub actions: Actions,
    /// What is left out, and to what it gives no reply.
    pub steps: Steps,
    /// The macros that it asked for.
    pub macros: Vec<(MacroStage, Vec<String>)>,
}

impl Agreement {
    /// Offers everything that can be done here. A filter that wants more is refused: it would not do what it is there for.
    pub async fn reach(link: &mut Link, until: Instant) -> Result<Self, Failure> {
        let offer = Options { version: VERSION, actions: Actions::ALL, steps: OFFERED, macros: vec![] };
        link.say(&Command::Negotiate(offer));
        link.flush(until).await?;
        let mut macros = Vec::new();
        let options = loop {
            match link.reply(until).await?.0 {
                Reply::Negotiated(options) => break options,
                Reply::SetMacros(wanted) if macros.is_empty() => macros = wanted,
                reply => return Err(out_of_place(&reply)),
            }
        };
        macros.extend(options.macros.iter().cloned());
        Self::of(&options, macros)
    }

    fn of(options: &Options, macros: Vec<(MacroStage, Vec<String>)>) -> Result<Self, Failure> {
        let wrong = |what: String| Err(Failure::Protocol(what));
        if !(OLDEST..=VERSION).contains(&options.version) {
            return wrong(format!("version {} of the protocol", options.version));
        }
        let actions = options.actions.without(Actions::ALL);
        if !actions.is_empty() {
            return wrong(format!("wants actions that are not offered: {:#x}", actions.bits()));
        }
        let mut steps = options.steps.without(OFFERED);
        if !steps.is_empty() {
            return wrong(format!("wants steps that are not offered: {:#x}", steps.bits()));
        }
        steps = options.steps;
        if options.version < WITH_DATA {
            steps = steps.with(Steps::NO_DATA);
        }
        Ok(Self { actions: options.actions, steps, macros })
    }
}

/// A reply that has no meaning where it came.
pub(super) fn out_of_place(reply: &Reply) -> Failure {
    Failure::Protocol(format!("a reply of kind {} out of place", reply.code().escape_ascii()))
}

/// All but recipients that were refused, of which hooks hear nothing, and packets of other sizes.
const OFFERED: Steps = Steps::NO_CONNECT
    .with(Steps::NO_HELO)
    .with(Steps::NO_MAIL)
    .with(Steps::NO_RCPT)
    .with(Steps::NO_BODY)
    .with(Steps::NO_HEADER)
    .with(Steps::NO_END_OF_HEADER)
    .with(Steps::SILENT_HEADER)
    .with(Steps::NO_UNKNOWN)
    .with(Steps::NO_DATA)
    .with(Steps::SKIP)
    .with(Steps::SILENT_CONNECT)
    .with(Steps::SILENT_HELO)
    .with(Steps::SILENT_MAIL)
    .with(Steps::SILENT_RCPT)
    .with(Steps::SILENT_DATA)
    .with(Steps::SILENT_UNKNOWN)
    .with(Steps::SILENT_END_OF_HEADER)
    .with(Steps::SILENT_BODY)
    .with(Steps::LEADING_SPACE);

/// Of Sendmail 8.11; what is older negotiates nothing.
const OLDEST: u32 = 2;
/// The first that knows DATA.
const WITH_DATA: u32 = 4;
