//! How old a signature may be.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::parameters::Parameters;
use crate::dynamo::error::Error;

/// How far the clock of a client may be off, seconds.
const SKEW_MAX: i64 = 15 * 60;
const BASIC: &str = "%Y%m%dT%H%M%SZ";

/// Checks the date of a signature and yields it in ISO 8601's basic format.
pub(super) fn check(parameters: &Parameters<'_>, now: i64) -> Result<String, Error> {
    let date = &*parameters.date;
    let signed = parse(date).ok_or_else(|| {
        Error::IncompleteSignature(format!(
            "Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ))
    })?;
    let basic = show(signed);
    // A presigned request holds as long as it says, at most a week.
    let age_max = parameters
        .expires
        .map_or(SKEW_MAX, |expires| expires.clamp(0, 7 * 86_400));
    if signed < now.saturating_sub(age_max) {
        return Err(Error::InvalidSignature(format!(
            "Signature expired: {basic} is now earlier than {} ({} - {} min.)",
            show(now.saturating_sub(age_max)),
            show(now),
            age_max / 60
        )));
    }
    if signed > now.saturating_add(SKEW_MAX) {
        return Err(Error::InvalidSignature(format!(
            "Signature not yet current: {basic} is still later than {} ({} + 15 min.)",
            show(now.saturating_add(SKEW_MAX)),
            show(now)
        )));
    }
    Ok(basic)
}

/// Seconds since 1970 of a date in basic format, or of an HTTP date.
fn parse(date: &str) -> Option<i64> {
    if let Ok(time) = DateTime::strptime(BASIC, date) {
        return Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second());
    }
    Some(
        jiff::fmt::rfc2822::parse(date)
            .ok()?
            .timestamp()
            .as_second(),
    )
}

fn show(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(
        |_| seconds.to_string(),
        |time| time.strftime(BASIC).to_string(),
    )
}
