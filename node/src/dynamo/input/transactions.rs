//! Inputs of the transactional operations (botocore `data/dynamodb/2012-08-10`).

use super::items::{
    CONDITION_EXPRESSION, KEY, NAMES, PROJECTION_EXPRESSION, RETURN_ON_FAILURE, VALUES,
};
use super::statements::{PARAMETERS, STATEMENT};
use super::{
    ATTRIBUTE_MAP, Member, NOT_NULL, RETURN_CONSUMED_CAPACITY, RETURN_ITEM_COLLECTION_METRICS,
    Rule, Shape, Structure, TABLE_NAME,
};

const TOKEN: Member = Member::new(
    "ClientRequestToken",
    Shape::String,
    &[Rule::MinLength(1), Rule::MaxLength(36)],
);
const UP_TO_100: &[Rule] = &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(100)];

static CONDITION_CHECK: Structure = Structure::new(
    "ConditionCheck",
    &[
        KEY,
        TABLE_NAME,
        Member::new("ConditionExpression", Shape::String, NOT_NULL),
        NAMES,
        VALUES,
        RETURN_ON_FAILURE,
    ],
);
static PUT: Structure = Structure::new(
    "Put",
    &[
        Member::new("Item", ATTRIBUTE_MAP, NOT_NULL),
        TABLE_NAME,
        CONDITION_EXPRESSION,
        NAMES,
        VALUES,
        RETURN_ON_FAILURE,
    ],
);
static DELETE: Structure = Structure::new(
    "Delete",
    &[
        KEY,
        TABLE_NAME,
        CONDITION_EXPRESSION,
        NAMES,
        VALUES,
        RETURN_ON_FAILURE,
    ],
);
static UPDATE: Structure = Structure::new(
    "Update",
    &[
        KEY,
        Member::new("UpdateExpression", Shape::String, NOT_NULL),
        TABLE_NAME,
        CONDITION_EXPRESSION,
        NAMES,
        VALUES,
        RETURN_ON_FAILURE,
    ],
);
static WRITE: Structure = Structure::new(
    "TransactWriteItem",
    &[
        Member::free("ConditionCheck", Shape::Structure(&CONDITION_CHECK)),
        Member::free("Put", Shape::Structure(&PUT)),
        Member::free("Delete", Shape::Structure(&DELETE)),
        Member::free("Update", Shape::Structure(&UPDATE)),
    ],
);
static WRITE_OF_LIST: Member = Member::free("", Shape::Structure(&WRITE));

pub static TRANSACT_WRITE_ITEMS: Structure = Structure::new(
    "TransactWriteItemsInput",
    &[
        Member::new("TransactItems", Shape::List(&WRITE_OF_LIST), UP_TO_100),
        RETURN_CONSUMED_CAPACITY,
        RETURN_ITEM_COLLECTION_METRICS,
        TOKEN,
    ],
);

static GET: Structure = Structure::new("Get", &[KEY, TABLE_NAME, PROJECTION_EXPRESSION, NAMES]);
static GET_ITEM: Structure = Structure::new(
    "TransactGetItem",
    &[Member::new("Get", Shape::Structure(&GET), NOT_NULL)],
);
static GET_OF_LIST: Member = Member::free("", Shape::Structure(&GET_ITEM));

pub static TRANSACT_GET_ITEMS: Structure = Structure::new(
    "TransactGetItemsInput",
    &[
        Member::new("TransactItems", Shape::List(&GET_OF_LIST), UP_TO_100),
        RETURN_CONSUMED_CAPACITY,
    ],
);

static STATEMENT_OF_TRANSACTION: Structure = Structure::new(
    "ParameterizedStatement",
    &[STATEMENT, PARAMETERS, RETURN_ON_FAILURE],
);
static STATEMENT_OF_LIST: Member = Member::free("", Shape::Structure(&STATEMENT_OF_TRANSACTION));

pub static EXECUTE_TRANSACTION: Structure = Structure::new(
    "ExecuteTransactionInput",
    &[
        Member::new(
            "TransactStatements",
            Shape::List(&STATEMENT_OF_LIST),
            UP_TO_100,
        ),
        TOKEN,
        RETURN_CONSUMED_CAPACITY,
    ],
);
