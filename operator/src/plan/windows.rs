//! When planned work that takes nodes away may begin. Pure, in UTC.
//!
//! Held back outside of windows: restarts since the spec changed, and the use of a newer version. Never held back: repair, scaling, growth,
//! certificates, starts of what does not run, restarts that a person ordered, and the end of a restart that was begun.

use crate::crd::{Day, KvClusterSpec, MaintenanceWindow, duration, time_of_day};

const DAY_SECONDS: u64 = 86_400;
const WEEK_DAYS: u64 = 7;
/// 1970-01-01 was a Thursday, so many days after a Monday.
const EPOCH_DAY: u64 = 3;

/// A stretch of time that comes again each week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// On which days it opens, from Monday on.
    days: [bool; 7],
    /// When it opens, in seconds of the day.
    start_seconds: u64,
    /// For how long it is open, at most a day.
    duration_seconds: u64,
}

impl Window {
    /// Reads one that was validated.
    fn of(window: &MaintenanceWindow) -> Self {
        let is_named = |day: Day| {
            let days = window.days.as_ref();
            days.is_none_or(|days| days.contains(&day))
        };
        Self {
            days: Day::ALL.map(is_named),
            start_seconds: time_of_day(&window.start).unwrap_or(0),
            duration_seconds: duration(&window.duration).map_or(0, |time| time.as_secs()),
        }
    }

    /// When it opens on a day since 1970, if it does.
    fn opens(&self, day: u64) -> Option<u64> {
        let weekday = usize::try_from((day + EPOCH_DAY) % WEEK_DAYS).unwrap_or(0);
        self.days[weekday].then(|| day * DAY_SECONDS + self.start_seconds)
    }

    fn is_open(&self, now: u64) -> bool {
        let today = now / DAY_SECONDS;
        // One of yesterday may last over midnight.
        (today.saturating_sub(1)..=today)
            .filter_map(|day| self.opens(day))
            .any(|from| (from..from + self.duration_seconds).contains(&now))
    }

    fn opens_after(&self, now: u64) -> Option<u64> {
        let today = now / DAY_SECONDS;
        (today..=today + WEEK_DAYS)
            .filter_map(|day| self.opens(day))
            .find(|&from| from > now)
    }
}

/// The windows of a spec; none: any time is good.
#[must_use]
pub fn windows(spec: &KvClusterSpec) -> Vec<Window> {
    let windows = spec.maintenance.iter().flat_map(|all| &all.windows);
    windows.map(Window::of).collect()
}

/// When the next window opens, in seconds since 1970; none while one is open, or where there are none. The same from one opening to
/// the next, so that a status that says so stays as it is.
#[must_use]
pub fn waits_until(windows: &[Window], now: u64) -> Option<u64> {
    if windows.iter().any(|window| window.is_open(now)) {
        return None;
    }
    let next = windows.iter().filter_map(|window| window.opens_after(now));
    next.min()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn of(windows: &str) -> Vec<Window> {
        let spec = format!("{{nodes: 3, maintenance: {{windows: {windows}}}}}");
        super::windows(&serde_yaml::from_str(&spec).expect("a spec"))
    }

    /// In seconds since 1970; 2026-11-23 is a Monday.
    fn at(time: &str) -> u64 {
        let time: Timestamp = time.parse().expect("a time");
        u64::try_from(time.as_second()).expect("after 1970")
    }

    fn check(windows: &str, cases: &[(&str, Option<&str>)]) {
        let windows = of(windows);
        for (now, next) in cases {
            assert_eq!(
                waits_until(&windows, at(now)),
                next.map(at),
                "{windows:?} at {now}"
            );
        }
    }

    #[test]
    fn without_windows_any_time_is_good() {
        check("[]", &[("2026-11-23T12:00:00Z", None)]);
    }

    #[test]
    fn a_window_of_each_day_opens_at_its_minute_and_closes_at_its_end() {
        check(
            r#"[{start: "02:30", duration: 2h}]"#,
            &[
                ("2026-11-23T02:29:59Z", Some("2026-11-23T02:30:00Z")),
                ("2026-11-23T02:30:00Z", None),
                ("2026-11-23T04:29:59Z", None),
                ("2026-11-23T04:30:00Z", Some("2026-11-24T02:30:00Z")),
                ("2026-12-31T23:59:59Z", Some("2027-01-01T02:30:00Z")),
            ],
        );
    }

    #[test]
    fn a_window_lasts_over_midnight_and_over_the_end_of_the_week() {
        check(
            r#"[{days: [Sun], start: "23:00", duration: 3h}]"#,
            &[
                ("2026-11-29T22:59:59Z", Some("2026-11-29T23:00:00Z")),
                ("2026-11-29T23:00:00Z", None),
                ("2026-11-30T01:59:59Z", None),
                ("2026-11-30T02:00:00Z", Some("2026-12-06T23:00:00Z")),
                ("2026-11-24T00:30:00Z", Some("2026-11-29T23:00:00Z")),
            ],
        );
    }

    #[test]
    fn of_several_windows_the_first_to_open_counts_and_any_that_is_open() {
        check(
            r#"[{days: [Sat, Sun], start: "00:00", duration: 24h}, {days: [Wed], start: "20:00", duration: 90m}]"#,
            &[
                ("2026-11-23T12:00:00Z", Some("2026-11-25T20:00:00Z")),
                ("2026-11-25T21:29:59Z", None),
                ("2026-11-25T21:30:00Z", Some("2026-11-28T00:00:00Z")),
                ("2026-11-28T00:00:00Z", None),
                ("2026-11-29T23:59:59Z", None),
                ("2026-11-30T00:00:00Z", Some("2026-12-02T20:00:00Z")),
            ],
        );
    }

    #[test]
    fn a_window_of_a_whole_day_of_each_day_never_closes() {
        let windows = of(r#"[{start: "13:37", duration: 24h}]"#);
        for hour in 0..24 * 15 {
            assert_eq!(
                waits_until(&windows, at("2026-11-20T13:37:00Z") + hour * 3_600),
                None
            );
        }
    }

    #[test]
    fn the_answer_stays_the_same_until_it_is_true() {
        let windows = of(r#"[{days: [Tue, Fri], start: "05:00", duration: 1m}]"#);
        let begin = at("2026-11-24T05:01:00Z");
        let next = waits_until(&windows, begin).expect("closed");
        for now in (begin..next).step_by(59) {
            assert_eq!(waits_until(&windows, now), Some(next));
        }
        assert_eq!(waits_until(&windows, next), None);
    }

    #[test]
    fn times_of_day_are_read() {
        let read = [
            "00:00", "23:59", "24:00", "12:60", "1:00", "12:0", "+1:00", "noon",
        ];
        assert_eq!(
            read.map(time_of_day),
            [Some(0), Some(86_340), None, None, None, None, None, None]
        );
    }
}
