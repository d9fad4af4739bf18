//! Items whose places stand where an earlier version put them: by due time for all destinations together, and by
//! destination without a time.

use super::puts;
use crate::store::engine::{Durability, Keyspace, Write};
use crate::store::{Error, Store, key, record};

impl Store {
    /// Moves the rows beside the items to where they are now. Nothing happens if none is left.
    pub(in crate::store) async fn move_old_queue_places(&self) -> Result<(), Error> {
        loop {
            let moved = self.read(|reader| {
                let mut old = Vec::new();
                for (from, to) in key::old_queue_places() {
                    reader.snapshot.range(Keyspace::Queue, &from, &to, &mut |key, _| {
                        old.push(key.to_vec());
                        old.len() < AT_ONCE
                    })?;
                }
                let mut writes = Vec::new();
                for place in old {
                    if let Some(id) = key::parse_queue_index(&place) {
                        let (keyspace, item) = key::queue_item(id);
                        if let Some(value) = reader.snapshot.get(keyspace, &item)? {
                            writes.extend(puts(&record::decode_queue_item(id, &value)?));
                        }
                    }
                    writes.push(Write::delete(Keyspace::Queue, place));
                }
                Ok(writes)
            });
            let writes = moved.await?;
            if writes.is_empty() {
                return Ok(());
            }
            self.transact(vec![], writes, Durability::Synced, |_| Ok((vec![], ()))).await?;
        }
    }
}

const AT_ONCE: usize = 1_000;
