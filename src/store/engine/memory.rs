//! The reference engine: sorted maps in memory. Nothing survives; for tests and as the model of what an engine does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::{Engine, Key, Snapshot, Transaction};
use crate::store::Error;

type Map = BTreeMap<Key, Vec<u8>>;

/// The engine. A snapshot shares the map; the next write after it copies.
#[derive(Debug, Default)]
pub struct Memory {
    map: Mutex<Arc<Map>>,
}

impl Engine for Memory {
    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(View(self.map.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    fn snapshot_in_memory(&self) -> Box<dyn Snapshot + '_> {
        self.snapshot()
    }

    fn submit(&self, mut transaction: Transaction) -> oneshot::Receiver<Result<(), Error>> {
        let (answer, receiver) = oneshot::channel();
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        let values: Vec<_> = transaction.reads.iter().map(|key| map.get(key).cloned()).collect();
        let result = (transaction.decide)(&values).map(|decided| {
            let map = Arc::make_mut(&mut map);
            for write in transaction.writes.into_iter().chain(decided) {
                match write.value {
                    Some(value) => drop(map.insert(write.key, value)),
                    None => drop(map.remove(&write.key)),
                }
            }
        });
        // The asker may be gone; the commit stands.
        let _ = answer.send(result);
        receiver
    }

    fn close(&self) {}
}

struct View(Arc<Map>);

impl Snapshot for View {
    fn get(&self, keyspace: super::Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(&(keyspace, key.to_vec())).cloned())
    }

    fn range(
        &self,
        keyspace: super::Keyspace,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        if from >= to {
            return Ok(());
        }
        for ((_, key), value) in self.0.range((keyspace, from.to_vec())..(keyspace, to.to_vec())) {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
    fn range_back(
        &self,
        keyspace: super::Keyspace,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        if from >= to {
            return Ok(());
        }
        for ((_, key), value) in self.0.range((keyspace, from.to_vec())..(keyspace, to.to_vec())).rev() {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
