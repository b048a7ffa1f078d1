//! Where records are kept.

use async_trait::async_trait;
use connect_core::error::Result;

use crate::Record;

/// Keeps the last `valor` of each id.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Inserts or replaces a record; durable on return. Writing the same record again is harmless.
    async fn upsert(&self, record: &Record) -> Result<()>;
    /// The `valor` of an id.
    async fn get(&self, id: &str) -> Result<Option<String>>;
    /// Whether the store can be reached.
    ///
    /// # Errors
    /// Why it can't.
    async fn check(&self) -> Result<()>;
}
