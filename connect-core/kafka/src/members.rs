//! What the brokers tell of groups.

use std::sync::Arc;

use connect_core::error::Result;
use rdkafka::consumer::Consumer as _;

use crate::{KafkaTransport, REQUEST_TIMEOUT, blocking, request_error};

impl KafkaTransport {
    /// How many members a group has, of whatever protocol; none of a group that isn't there.
    ///
    /// # Errors
    /// If the brokers cannot be asked.
    pub async fn group_members(&self, group: &str) -> Result<usize> {
        let (client, group) = (Arc::clone(self.admin.metadata()), group.to_owned());
        blocking(move || {
            let listed = client.fetch_group_list(Some(&group), REQUEST_TIMEOUT);
            let listed = listed.map_err(|e| {
                request_error("cannot describe a group", e).context("group", &group)
            })?;
            let found = listed.groups().iter().find(|found| found.name() == group);
            Ok(found.map_or(0, |found| found.members().len()))
        })
        .await
    }
}
