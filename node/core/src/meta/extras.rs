//! What clients keep with a table and the store only shows: tags, class, limits of on-demand throughput.

/// Part of a table's record, and as a whole what `CreateTable` asks for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Extras {
    /// Sorted by key, each key once.
    #[prost(message, repeated, tag = "1")]
    pub tags: Vec<Tag>,
    /// For items that are seldom read: `STANDARD_INFREQUENT_ACCESS`.
    #[prost(bool, tag = "2")]
    pub infrequent: bool,
    /// When the class was last set, ms since 1970; 0: never.
    #[prost(uint64, tag = "3")]
    pub class_changed_ms: u64,
    #[prost(message, optional, tag = "4")]
    pub on_demand: Option<OnDemand>,
    #[prost(message, optional, tag = "5")]
    pub warm: Option<Warm>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Tag {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Most units a second of a table that is paid by request; 0 and -1: no bound.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct OnDemand {
    #[prost(sint64, tag = "1")]
    pub read_max: i64,
    #[prost(sint64, tag = "2")]
    pub write_max: i64,
}

/// Units a second that the table is to take at once.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Warm {
    #[prost(uint64, tag = "1")]
    pub read_units: u64,
    #[prost(uint64, tag = "2")]
    pub write_units: u64,
}

/// A change of them; what is not there stays.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExtrasChange {
    #[prost(message, repeated, tag = "1")]
    pub tag: Vec<Tag>,
    #[prost(string, repeated, tag = "2")]
    pub untag: Vec<String>,
    #[prost(message, optional, tag = "3")]
    pub class: Option<ClassChange>,
    #[prost(message, optional, tag = "4")]
    pub on_demand: Option<OnDemand>,
    #[prost(message, optional, tag = "5")]
    pub warm: Option<Warm>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ClassChange {
    #[prost(bool, tag = "1")]
    pub infrequent: bool,
    /// Wall clock, ms since 1970.
    #[prost(uint64, tag = "2")]
    pub at_ms: u64,
}

impl Extras {
    /// Tags of the same key are replaced; keys that are not there are untagged without complaint.
    pub fn apply(&mut self, change: &ExtrasChange) {
        let ExtrasChange {
            tag,
            untag,
            class,
            on_demand,
            warm,
        } = change;
        self.tags.retain(|old| !untag.contains(&old.key));
        for new in tag {
            match self.tags.binary_search_by(|old| old.key.cmp(&new.key)) {
                Ok(at) => self.tags[at] = new.clone(),
                Err(at) => self.tags.insert(at, new.clone()),
            }
        }
        if let Some(class) = class {
            self.infrequent = class.infrequent;
            self.class_changed_ms = class.at_ms;
        }
        self.on_demand = on_demand.or(self.on_demand);
        self.warm = warm.or(self.warm);
    }

    /// The class was set at some time.
    pub fn has_class(&self) -> bool {
        self.class_changed_ms > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag {
            key: key.into(),
            value: value.into(),
        }
    }

    #[test]
    fn tags_are_replaced_added_and_removed() {
        let mut extras = Extras::default();
        extras.apply(&ExtrasChange {
            tag: vec![tag("b", "1"), tag("a", "1"), tag("b", "2")],
            ..Default::default()
        });
        assert_eq!(extras.tags, [tag("a", "1"), tag("b", "2")]);
        extras.apply(&ExtrasChange {
            tag: vec![tag("c", "3")],
            untag: vec!["a".into(), "none".into()],
            ..Default::default()
        });
        assert_eq!(extras.tags, [tag("b", "2"), tag("c", "3")]);
    }

    #[test]
    fn what_a_change_leaves_out_stays() {
        let warm = Warm {
            read_units: 5,
            write_units: 6,
        };
        let mut extras = Extras {
            warm: Some(warm),
            ..Default::default()
        };
        let class = ClassChange {
            infrequent: true,
            at_ms: 9,
        };
        extras.apply(&ExtrasChange {
            class: Some(class),
            ..Default::default()
        });
        assert!(extras.infrequent && extras.has_class());
        assert_eq!(extras.warm, Some(warm));
    }
}
