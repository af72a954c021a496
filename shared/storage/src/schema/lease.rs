//! The attributes of an item that one process at a time writes.

use models::Timestamp;
use serde::{Deserialize, Serialize};

/// The right of one process to write an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The number of writes of the item. Each write is conditional on it, so a process that lost
    /// the lease cannot write.
    pub revision: u64,
    /// The process that holds the lease. A random text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// When the lease ends.
    pub leaseuntil: Timestamp,
}
