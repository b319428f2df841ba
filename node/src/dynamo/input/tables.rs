//! Inputs of the older operations on tables; those of `CreateTable` and `UpdateTable` are generated.

use super::{Member, NAME, NOT_NULL, Rule, Shape, Structure};

/// The name as the older operations on tables check it.
const TABLE_NAME_FIRST: Member = Member::new(
    "TableName",
    Shape::String,
    &[Rule::Required, Rule::TableNameLength, Rule::Pattern],
);

pub static LIST_TABLES: Structure = Structure::new(
    "ListTablesInput",
    &[
        Member::new("ExclusiveStartTableName", Shape::String, NAME),
        Member::new("Limit", Shape::Integer, &[Rule::Min(1), Rule::Max(100)]),
    ],
);

/// `DescribeTable`, `DeleteTable`, `DescribeTimeToLive`, `DescribeContinuousBackups`.
pub static TABLE_NAME_ONLY: Structure = Structure::new("TableInput", &[TABLE_NAME_FIRST]);

static TIME_TO_LIVE: Structure = Structure::new(
    "TimeToLiveSpecification",
    &[
        Member::new(
            "AttributeName",
            Shape::String,
            &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(255)],
        ),
        Member::new("Enabled", Shape::Boolean, NOT_NULL),
    ],
);

pub static UPDATE_TIME_TO_LIVE: Structure = Structure::new(
    "UpdateTimeToLiveInput",
    &[
        TABLE_NAME_FIRST,
        Member::new(
            "TimeToLiveSpecification",
            Shape::Structure(&TIME_TO_LIVE),
            NOT_NULL,
        ),
    ],
);

/// `ListTagsOfResource`.
pub static RESOURCE_ARN: Structure = Structure::new(
    "ListTagsOfResourceInput",
    &[
        Member::new(
            "ResourceArn",
            Shape::String,
            &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(1283)],
        ),
        Member::free("NextToken", Shape::String),
    ],
);

/// `DescribeLimits`, `DescribeEndpoints`.
pub static NOTHING: Structure = Structure {
    name: "Input",
    members: &[],
    free: true,
};
