//! Inputs of the PartiQL operations (botocore `data/dynamodb/2012-08-10`).

use super::{Member, RETURN_CONSUMED_CAPACITY, Rule, Shape, Structure, VALUE};

pub(super) const STATEMENT: Member = Member::new(
    "Statement",
    Shape::String,
    &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(8192)],
);
pub(super) const PARAMETERS: Member =
    Member::new("Parameters", Shape::List(&VALUE), &[Rule::MinLength(1)]);
const CONSISTENT_READ: Member = Member::free("ConsistentRead", Shape::Boolean);
const ON_FAILURE: Member = Member::new(
    "ReturnValuesOnConditionCheckFailure",
    Shape::String,
    &[Rule::Enum(&["ALL_OLD", "NONE"])],
);

pub static EXECUTE_STATEMENT: Structure = Structure::new(
    "ExecuteStatementInput",
    &[
        STATEMENT,
        PARAMETERS,
        CONSISTENT_READ,
        Member::new(
            "NextToken",
            Shape::String,
            &[Rule::MinLength(1), Rule::MaxLength(32_768)],
        ),
        RETURN_CONSUMED_CAPACITY,
        Member::new("Limit", Shape::Integer, &[Rule::Min(1)]),
        ON_FAILURE,
    ],
);

static BATCH_STATEMENT: Structure = Structure::new(
    "BatchStatementRequest",
    &[STATEMENT, PARAMETERS, CONSISTENT_READ, ON_FAILURE],
);
static BATCH_MEMBER: Member = Member::free("", Shape::Structure(&BATCH_STATEMENT));

pub static BATCH_EXECUTE_STATEMENT: Structure = Structure::new(
    "BatchExecuteStatementInput",
    &[
        Member::new(
            "Statements",
            Shape::List(&BATCH_MEMBER),
            &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(25)],
        ),
        RETURN_CONSUMED_CAPACITY,
    ],
);
