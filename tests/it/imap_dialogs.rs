//! The dialogs of `tests/dialogs/imap`.

use super::{dialog, server};

#[test]
fn imap_answers_as_the_dialogs_say() {
    let server = server::shared();
    dialog::run_folder(server, "imap");
    server.assert_no_panic();
}
