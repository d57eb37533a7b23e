//! Rows in memory, for tests. Clones share the rows, so that a test can open the same store again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Backend, BackendError};
use crate::store::record::{Change, Row, Table};

type Rows = BTreeMap<(Table, String), String>;

/// Rows in memory.
#[derive(Clone, Default)]
pub(in crate::store) struct Memory {
    rows: Arc<Mutex<Rows>>,
    set_aside: Arc<Mutex<Vec<Row>>>,
}

impl Backend for Memory {
    fn load(&mut self) -> Result<Vec<Row>, BackendError> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |table| rows.iter().filter(move |((of, _), _)| *of == table);
        let row = |((table, key), document): (&(Table, String), &String)| Row {
            table: *table,
            key: key.clone(),
            document: document.clone(),
        };
        Ok(Table::ALL.into_iter().flat_map(|table| of(table).map(row)).collect())
    }

    fn commit(&mut self, batch: &[Change]) -> Result<(), BackendError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for Change { table, key, document } in batch {
            match document {
                Some(document) => rows.insert((*table, key.clone()), document.clone()),
                None => rows.remove(&(*table, key.clone())),
            };
        }
        Ok(())
    }

    fn quarantine(&mut self, bad: &[Row]) -> Result<(), BackendError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for row in bad {
            rows.remove(&(row.table, row.key.clone()));
        }
        self.set_aside.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bad);
        Ok(())
    }
}
