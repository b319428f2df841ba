//! Inputs of the operations on streams.

use super::{Member, NAME, Rule, Shape, Structure};

const LIMIT: Member = Member::new("Limit", Shape::Integer, &[Rule::Min(1), Rule::Max(100)]);
const ARN: &[Rule] = &[Rule::NotNull, Rule::MinLength(37), Rule::MaxLength(1024)];
const SHARD: &[Rule] = &[Rule::MinLength(28), Rule::MaxLength(65)];

pub static LIST_STREAMS: Structure = Structure::new(
    "ListStreamsInput",
    &[
        Member::new("TableName", Shape::String, NAME),
        LIMIT,
        Member::new(
            "ExclusiveStartStreamArn",
            Shape::String,
            &[Rule::MinLength(37), Rule::MaxLength(1024)],
        ),
    ],
);

static SHARD_FILTER: Structure = Structure::new(
    "ShardFilter",
    &[
        Member::new("Type", Shape::String, &[Rule::Enum(&["CHILD_SHARDS"])]),
        Member::new("ShardId", Shape::String, SHARD),
    ],
);

pub static DESCRIBE_STREAM: Structure = Structure::new(
    "DescribeStreamInput",
    &[
        Member::new("StreamArn", Shape::String, ARN),
        LIMIT,
        Member::new("ExclusiveStartShardId", Shape::String, SHARD),
        Member::free("ShardFilter", Shape::Structure(&SHARD_FILTER)),
    ],
);

pub static GET_SHARD_ITERATOR: Structure = Structure::new(
    "GetShardIteratorInput",
    &[
        Member::new("StreamArn", Shape::String, ARN),
        Member::new(
            "ShardId",
            Shape::String,
            &[Rule::NotNull, Rule::MinLength(28), Rule::MaxLength(65)],
        ),
        Member::new(
            "ShardIteratorType",
            Shape::String,
            &[
                Rule::NotNull,
                Rule::Enum(&[
                    "AFTER_SEQUENCE_NUMBER",
                    "LATEST",
                    "AT_SEQUENCE_NUMBER",
                    "TRIM_HORIZON",
                    "AT_TIMESTAMP",
                ]),
            ],
        ),
        Member::new(
            "SequenceNumber",
            Shape::String,
            &[Rule::MinLength(21), Rule::MaxLength(40)],
        ),
        Member::free("Timestamp", Shape::Double),
    ],
);

pub static GET_RECORDS: Structure = Structure::new(
    "GetRecordsInput",
    &[
        Member::new(
            "ShardIterator",
            Shape::String,
            &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(2048)],
        ),
        Member::new("Limit", Shape::Integer, &[Rule::Min(1), Rule::Max(1000)]),
    ],
);
