//! What the brokers tell of groups.

use std::{
    ffi::{CStr, CString, c_char},
    ptr,
    sync::Arc,
};

use connect_core::error::{Error, Result};
use rdkafka::{
    bindings::{self, rd_kafka_admin_op_t, rd_kafka_event_t, rd_kafka_resp_err_t},
    consumer::Consumer as _,
    error::KafkaError,
    types::RDKafka,
};

use crate::{KafkaTransport, REQUEST_TIMEOUT, blocking, request_error};

/// Frees what librdkafka has given, however a function ends.
struct Owned<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    #[allow(unsafe_code, reason = "rdkafka has no call for it")]
    fn drop(&mut self) {
        // SAFETY: the pointer is librdkafka's, is freed by its own function, and by nobody else; null is fine for all of them.
        unsafe { (self.1)(self.0) }
    }
}

/// The client ids of a consumer group's members, as its coordinator alone tells (`Admin.describeConsumerGroups`): rdkafka's own
/// list of groups asks every broker, and fails while one of them is down. Blocks.
///
/// # Errors
/// If the coordinator doesn't answer, or not for this group.
#[allow(unsafe_code, reason = "rdkafka has no call for it")]
pub(crate) fn of_consumer_group(client: *mut RDKafka, group: &str) -> Result<Vec<String>> {
    let failed = |code: rd_kafka_resp_err_t| {
        let error = KafkaError::AdminOp(code.into());
        request_error("cannot describe the worker group", error).context("group", group)
    };
    let name = CString::new(group)
        .map_err(|e| Error::config("a group's name holds a zero").with_source(e))?;
    let timeout = REQUEST_TIMEOUT.as_millis() as i32;
    // SAFETY: the caller's client is alive; queue, options and event are freed once, after their last use; the result, its
    // groups, members and texts belong to the event, which outlives them; `groups` and `why` outlive the calls that read them.
    unsafe {
        let queue = Owned(bindings::rd_kafka_queue_new(client), bindings::rd_kafka_queue_destroy);
        let operation = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let options = Owned(
            bindings::rd_kafka_AdminOptions_new(client, operation),
            bindings::rd_kafka_AdminOptions_destroy,
        );
        let mut why: [c_char; 256] = [0; 256];
        let set = bindings::rd_kafka_AdminOptions_set_request_timeout(
            options.0,
            timeout,
            why.as_mut_ptr(),
            why.len(),
        );
        if set != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failed(set));
        }
        let mut groups = [name.as_ptr()];
        bindings::rd_kafka_DescribeConsumerGroups(
            client,
            groups.as_mut_ptr(),
            groups.len(),
            options.0,
            queue.0,
        );
        let event = Owned::<rd_kafka_event_t>(
            bindings::rd_kafka_queue_poll(queue.0, timeout),
            bindings::rd_kafka_event_destroy,
        );
        if event.0.is_null() {
            return Err(Error::connection("the coordinator of the worker group does not answer"));
        }
        let code = bindings::rd_kafka_event_error(event.0);
        if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failed(code));
        }
        let result = bindings::rd_kafka_event_DescribeConsumerGroups_result(event.0);
        let mut count = 0;
        let found = match result.is_null() {
            true => ptr::null_mut(),
            false => bindings::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count),
        };
        if found.is_null() || count == 0 {
            return Err(Error::connection("the worker group is not known"));
        }
        let found = *found;
        let code =
            bindings::rd_kafka_error_code(bindings::rd_kafka_ConsumerGroupDescription_error(found));
        if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failed(code));
        }
        let members = bindings::rd_kafka_ConsumerGroupDescription_member_count(found);
        let name = |at| {
            let member = bindings::rd_kafka_ConsumerGroupDescription_member(found, at);
            let name = bindings::rd_kafka_MemberDescription_client_id(member);
            CStr::from_ptr(name).to_string_lossy().into_owned()
        };
        Ok((0..members).map(name).collect())
    }
}

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
