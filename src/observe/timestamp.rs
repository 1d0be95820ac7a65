//! Times as the API writes them: RFC 3339 in UTC with milliseconds.

use std::time::SystemTime;

use serde::Serializer;
use time::OffsetDateTime;
use time::macros::format_description;

/// `2000-10-10T13:55:36.042Z`.
pub fn timestamp(time: SystemTime) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let utc = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since_epoch| i128::try_from(since_epoch.as_nanos()).ok())
        .and_then(|nanoseconds| OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    utc.format(format).unwrap_or_default()
}

/// The same, for serde's `serialize_with`.
///
/// # Errors
///
/// What the serializer can't do.
pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp(*time))
}
