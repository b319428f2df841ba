//! Inputs of the operations on streams.

use super::{Member, NAME, NOT_NULL, Rule, Shape, Structure};

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

pub static DESCRIBE_STREAM: Structure = Structure::new(
    "DescribeStreamInput",
    &[
        Member::new("StreamArn", Shape::String, ARN),
        LIMIT,
        Member::new("ExclusiveStartShardId", Shape::String, SHARD),
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
                ]),
            ],
        ),
        Member::new(
            "SequenceNumber",
            Shape::String,
            &[Rule::MinLength(21), Rule::MaxLength(40)],
        ),
    ],
);

pub static GET_RECORDS: Structure = Structure::new(
    "GetRecordsInput",
    &[
        Member::new("ShardIterator", Shape::String, NOT_NULL),
        Member::new("Limit", Shape::Integer, &[Rule::Min(1), Rule::Max(1000)]),
    ],
);
