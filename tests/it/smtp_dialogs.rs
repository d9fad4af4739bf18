//! The dialogs of `tests/dialogs/smtp`.

use super::{dialog, server};

#[test]
fn smtp_answers_as_the_dialogs_say() {
    let server = server::shared();
    dialog::run_folder(server, "smtp");
    server.assert_no_panic();
}
