//! What the brokers tell of groups.

use std::{sync::Arc, time::Duration};

use connect_core::error::Result;
use rdkafka::{
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    groups::GroupMemberInfo,
};

use crate::{KafkaTransport, REQUEST_TIMEOUT, blocking, request_error};

impl KafkaTransport {
    /// How many members a group has, of whatever protocol; none of a group that isn't there.
    ///
    /// # Errors
    /// If the brokers cannot be asked.
    pub async fn group_members(&self, group: &str) -> Result<usize> {
        let (client, group) = (Arc::clone(self.admin.metadata()), group.to_owned());
        blocking(move || {
            Ok(members(&client, &group, REQUEST_TIMEOUT)?.map_or(0, |members| members.len()))
        })
        .await
    }
}

/// Names (`client.id`) of the members of a group, if there is such a group.
pub(crate) fn members<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    group: &str,
    timeout: Duration,
) -> Result<Option<Vec<String>>> {
    // Of all brokers, since librdkafka's request to the coordinator alone (DescribeConsumerGroups) crashes when it has
    // timed out (2.12.1). One that is down is out of the metadata, and so out of the way, within some 20 seconds.
    let listed = client
        .fetch_group_list(Some(group), timeout)
        .map_err(|e| request_error("cannot describe a group", e).context("group", group))?;
    let found = listed.groups().iter().find(|found| found.name() == group);
    let names =
        |members: &[GroupMemberInfo]| members.iter().map(|m| m.client_id().to_owned()).collect();
    Ok(found.map(|found| names(found.members())))
}
