//! Inputs of the operations on items. Legacy parameters are described too, so that requests with them hear of their
//! mistakes in the service's order.

use super::{
    ATTRIBUTE_MAP, ATTRIBUTE_NAME, ATTRIBUTE_VALUE, Member, NAME, NAME_MAP, NOT_NULL,
    RETURN_CONSUMED_CAPACITY, RETURN_ITEM_COLLECTION_METRICS, Rule, Shape, Structure, TABLE_NAME,
    VALUE,
};

const COMPARISON: Rule = Rule::Enum(&[
    "IN",
    "NULL",
    "BETWEEN",
    "LT",
    "NOT_CONTAINS",
    "EQ",
    "GT",
    "NOT_NULL",
    "NE",
    "LE",
    "BEGINS_WITH",
    "GE",
    "CONTAINS",
]);

static EXPECTED_VALUE: Structure = Structure::new(
    "ExpectedAttributeValue",
    &[
        Member::free("AttributeValueList", Shape::List(&VALUE)),
        Member::new("ComparisonOperator", Shape::String, &[COMPARISON]),
        Member::free("Exists", Shape::Boolean),
        Member::free("Value", Shape::Structure(&ATTRIBUTE_VALUE)),
    ],
);
static EXPECTED_MEMBER: Member = Member::free("", Shape::Structure(&EXPECTED_VALUE));
const EXPECTED: Member = Member::free(
    "Expected",
    Shape::Map(
        &EXPECTED_MEMBER,
        "com.amazonaws.dynamodb.v20120810.ExpectedAttributeValue",
    ),
);

static CONDITION: Structure = Structure::new(
    "Condition",
    &[
        Member::free("AttributeValueList", Shape::List(&VALUE)),
        Member::new(
            "ComparisonOperator",
            Shape::String,
            &[Rule::NotNull, COMPARISON],
        ),
    ],
);
static CONDITION_MEMBER: Member = Member::free("", Shape::Structure(&CONDITION));
const CONDITION_MAP: Shape = Shape::Map(
    &CONDITION_MEMBER,
    "com.amazonaws.dynamodb.v20120810.Condition",
);

static UPDATE: Structure = Structure::new(
    "AttributeValueUpdate",
    &[
        Member::new(
            "Action",
            Shape::String,
            &[Rule::Enum(&["ADD", "DELETE", "PUT"])],
        ),
        Member::free("Value", Shape::Structure(&ATTRIBUTE_VALUE)),
    ],
);
static UPDATE_MEMBER: Member = Member::free("", Shape::Structure(&UPDATE));

const CONDITIONAL_OPERATOR: Member = Member::new(
    "ConditionalOperator",
    Shape::String,
    &[Rule::Enum(&["OR", "AND"])],
);
const RETURN_VALUES: Member = Member::new(
    "ReturnValues",
    Shape::String,
    &[Rule::Enum(&[
        "ALL_NEW",
        "UPDATED_OLD",
        "ALL_OLD",
        "NONE",
        "UPDATED_NEW",
    ])],
);
pub(super) const RETURN_ON_FAILURE: Member = Member::new(
    "ReturnValuesOnConditionCheckFailure",
    Shape::String,
    &[Rule::Enum(&["ALL_OLD", "NONE"])],
);
pub(super) const KEY: Member = Member::new("Key", ATTRIBUTE_MAP, NOT_NULL);
const ATTRIBUTES_TO_GET: Member = Member::new(
    "AttributesToGet",
    Shape::List(&ATTRIBUTE_NAME),
    &[Rule::MinLength(1), Rule::MaxLength(255)],
);
pub(super) const CONDITION_EXPRESSION: Member = Member::free("ConditionExpression", Shape::String);
const FILTER_EXPRESSION: Member = Member::free("FilterExpression", Shape::String);
pub(super) const PROJECTION_EXPRESSION: Member =
    Member::free("ProjectionExpression", Shape::String);
pub(super) const NAMES: Member = Member::free("ExpressionAttributeNames", NAME_MAP);
pub(super) const VALUES: Member = Member::free("ExpressionAttributeValues", ATTRIBUTE_MAP);
const CONSISTENT_READ: Member = Member::free("ConsistentRead", Shape::Boolean);
const SELECT: Member = Member::new(
    "Select",
    Shape::String,
    &[Rule::Enum(&[
        "SPECIFIC_ATTRIBUTES",
        "COUNT",
        "ALL_ATTRIBUTES",
        "ALL_PROJECTED_ATTRIBUTES",
    ])],
);
const LIMIT: Member = Member::new("Limit", Shape::Integer, &[Rule::Min(1)]);
const INDEX_NAME: Member = Member::new("IndexName", Shape::String, NAME);
const EXCLUSIVE_START_KEY: Member = Member::free("ExclusiveStartKey", ATTRIBUTE_MAP);

pub static PUT_ITEM: Structure = Structure::new(
    "PutItemInput",
    &[
        RETURN_CONSUMED_CAPACITY,
        TABLE_NAME,
        Member::new("Item", ATTRIBUTE_MAP, NOT_NULL),
        CONDITIONAL_OPERATOR,
        EXPECTED,
        RETURN_VALUES,
        RETURN_ITEM_COLLECTION_METRICS,
        RETURN_ON_FAILURE,
        CONDITION_EXPRESSION,
        VALUES,
        NAMES,
    ],
);

pub static GET_ITEM: Structure = Structure::new(
    "GetItemInput",
    &[
        RETURN_CONSUMED_CAPACITY,
        ATTRIBUTES_TO_GET,
        TABLE_NAME,
        KEY,
        CONSISTENT_READ,
        PROJECTION_EXPRESSION,
        NAMES,
    ],
);

pub static UPDATE_ITEM: Structure = Structure::new(
    "UpdateItemInput",
    &[
        RETURN_CONSUMED_CAPACITY,
        TABLE_NAME,
        RETURN_ITEM_COLLECTION_METRICS,
        RETURN_VALUES,
        KEY,
        CONDITIONAL_OPERATOR,
        RETURN_ON_FAILURE,
        EXPECTED,
        Member::free(
            "AttributeUpdates",
            Shape::Map(
                &UPDATE_MEMBER,
                "com.amazonaws.dynamodb.v20120810.AttributeValueUpdate",
            ),
        ),
        CONDITION_EXPRESSION,
        Member::free("UpdateExpression", Shape::String),
        VALUES,
        NAMES,
    ],
);

pub static DELETE_ITEM: Structure = Structure::new(
    "DeleteItemInput",
    &[
        RETURN_CONSUMED_CAPACITY,
        TABLE_NAME,
        RETURN_VALUES,
        RETURN_ITEM_COLLECTION_METRICS,
        KEY,
        CONDITIONAL_OPERATOR,
        RETURN_ON_FAILURE,
        EXPECTED,
        CONDITION_EXPRESSION,
        VALUES,
        NAMES,
    ],
);

static KEY_OF_LIST: Member = Member::free("", ATTRIBUTE_MAP);
static KEYS_AND_ATTRIBUTES: Structure = Structure::new(
    "KeysAndAttributes",
    &[
        Member::new(
            "Keys",
            Shape::List(&KEY_OF_LIST),
            &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(100)],
        ),
        ATTRIBUTES_TO_GET,
        CONSISTENT_READ,
        PROJECTION_EXPRESSION,
        NAMES,
    ],
);
static KEYS_OF_TABLE: Member = Member::free("", Shape::Structure(&KEYS_AND_ATTRIBUTES));

pub static BATCH_GET_ITEM: Structure = Structure::new(
    "BatchGetItemInput",
    &[
        RETURN_CONSUMED_CAPACITY,
        Member::new(
            "RequestItems",
            Shape::Map(
                &KEYS_OF_TABLE,
                "com.amazonaws.dynamodb.v20120810.KeysAndAttributes",
            ),
            &[Rule::NotNull, Rule::MinLength(1), Rule::TableNameKeys],
        ),
    ],
);

static DELETE_REQUEST: Structure = Structure::new("DeleteRequest", &[KEY]);
static PUT_REQUEST: Structure = Structure::new(
    "PutRequest",
    &[Member::new("Item", ATTRIBUTE_MAP, NOT_NULL)],
);
static WRITE_REQUEST: Structure = Structure::new(
    "WriteRequest",
    &[
        Member::free("DeleteRequest", Shape::Structure(&DELETE_REQUEST)),
        Member::free("PutRequest", Shape::Structure(&PUT_REQUEST)),
    ],
);
static WRITE_OF_LIST: Member = Member::free("", Shape::Structure(&WRITE_REQUEST));
static WRITES_OF_TABLE: Member = Member::free("", Shape::List(&WRITE_OF_LIST));

pub static BATCH_WRITE_ITEM: Structure = Structure::new(
    "BatchWriteItemInput",
    &[
        RETURN_CONSUMED_CAPACITY,
        RETURN_ITEM_COLLECTION_METRICS,
        Member::new(
            "RequestItems",
            Shape::Map(
                &WRITES_OF_TABLE,
                "java.util.List<com.amazonaws.dynamodb.v20120810.WriteRequest>",
            ),
            &[
                Rule::NotNull,
                Rule::MinLength(1),
                Rule::TableNameKeys,
                Rule::ValueLengths(1, 25),
            ],
        ),
    ],
);

pub static QUERY: Structure = Structure::new(
    "QueryInput",
    &[
        SELECT,
        INDEX_NAME,
        RETURN_CONSUMED_CAPACITY,
        Member::free("QueryFilter", CONDITION_MAP),
        TABLE_NAME,
        CONDITIONAL_OPERATOR,
        ATTRIBUTES_TO_GET,
        LIMIT,
        Member::free("KeyConditions", CONDITION_MAP),
        EXCLUSIVE_START_KEY,
        CONSISTENT_READ,
        Member::free("ScanIndexForward", Shape::Boolean),
        Member::free("KeyConditionExpression", Shape::String),
        FILTER_EXPRESSION,
        PROJECTION_EXPRESSION,
        VALUES,
        NAMES,
    ],
);

pub static SCAN: Structure = Structure::new(
    "ScanInput",
    &[
        SELECT,
        INDEX_NAME,
        RETURN_CONSUMED_CAPACITY,
        Member::new(
            "TotalSegments",
            Shape::Integer,
            &[Rule::Min(1), Rule::Max(1_000_000)],
        ),
        Member::free("ScanFilter", CONDITION_MAP),
        TABLE_NAME,
        CONDITIONAL_OPERATOR,
        ATTRIBUTES_TO_GET,
        LIMIT,
        Member::new(
            "Segment",
            Shape::Integer,
            &[Rule::Min(0), Rule::Max(999_999)],
        ),
        EXCLUSIVE_START_KEY,
        CONSISTENT_READ,
        FILTER_EXPRESSION,
        PROJECTION_EXPRESSION,
        VALUES,
        NAMES,
    ],
);
