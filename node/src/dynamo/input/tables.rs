//! Inputs of the operations on tables.

use super::{Member, NAME, NOT_NULL, REQUIRED_NAME, Rule, Shape, Structure, TEXT};

/// The name as the older operations on tables check it.
const TABLE_NAME_FIRST: Member = Member::new(
    "TableName",
    Shape::String,
    &[Rule::Required, Rule::TableNameLength, Rule::Pattern],
);

static THROUGHPUT: Structure = Structure::new(
    "ProvisionedThroughput",
    &[
        Member::new(
            "WriteCapacityUnits",
            Shape::Long,
            &[Rule::NotNull, Rule::Min(1)],
        ),
        Member::new(
            "ReadCapacityUnits",
            Shape::Long,
            &[Rule::NotNull, Rule::Min(1)],
        ),
    ],
);

static KEY_SCHEMA_ELEMENT: Structure = Structure::new(
    "KeySchemaElement",
    &[
        Member::new("AttributeName", Shape::String, NOT_NULL),
        Member::new(
            "KeyType",
            Shape::String,
            &[Rule::NotNull, Rule::Enum(&["HASH", "RANGE"])],
        ),
    ],
);
static KEY_ELEMENT: Member = Member::free("", Shape::Structure(&KEY_SCHEMA_ELEMENT));
const KEY_SCHEMA: Member = Member::new(
    "KeySchema",
    Shape::List(&KEY_ELEMENT),
    &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(2)],
);

static ATTRIBUTE_DEFINITION: Structure = Structure::new(
    "AttributeDefinition",
    &[
        Member::new("AttributeName", Shape::String, NOT_NULL),
        Member::new(
            "AttributeType",
            Shape::String,
            &[Rule::NotNull, Rule::Enum(&["B", "N", "S"])],
        ),
    ],
);
static DEFINITION: Member = Member::free("", Shape::Structure(&ATTRIBUTE_DEFINITION));

static PROJECTION: Structure = Structure::new(
    "Projection",
    &[
        Member::new(
            "ProjectionType",
            Shape::String,
            &[Rule::Enum(&["ALL", "INCLUDE", "KEYS_ONLY"])],
        ),
        Member::new(
            "NonKeyAttributes",
            Shape::List(&TEXT),
            &[Rule::MinLength(1)],
        ),
    ],
);

static LOCAL_INDEX: Structure = Structure::new(
    "LocalSecondaryIndex",
    &[
        Member::new("Projection", Shape::Structure(&PROJECTION), NOT_NULL),
        Member::new("IndexName", Shape::String, REQUIRED_NAME),
        KEY_SCHEMA,
    ],
);
static LOCAL: Member = Member::free("", Shape::Structure(&LOCAL_INDEX));

/// A global index's key has up to four attributes a part.
const GLOBAL_KEY_SCHEMA: Member = Member::new(
    "KeySchema",
    Shape::List(&KEY_ELEMENT),
    &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(8)],
);

static GLOBAL_INDEX: Structure = Structure::new(
    "GlobalSecondaryIndex",
    &[
        Member::new("Projection", Shape::Structure(&PROJECTION), NOT_NULL),
        Member::new("IndexName", Shape::String, REQUIRED_NAME),
        Member::free("ProvisionedThroughput", Shape::Structure(&THROUGHPUT)),
        GLOBAL_KEY_SCHEMA,
    ],
);
static GLOBAL: Member = Member::free("", Shape::Structure(&GLOBAL_INDEX));

static UPDATE_INDEX: Structure = Structure::new(
    "UpdateGlobalSecondaryIndexAction",
    &[
        Member::new("IndexName", Shape::String, REQUIRED_NAME),
        Member::new(
            "ProvisionedThroughput",
            Shape::Structure(&THROUGHPUT),
            NOT_NULL,
        ),
    ],
);
static CREATE_INDEX: Structure = Structure::new(
    "CreateGlobalSecondaryIndexAction",
    &[
        Member::new("Projection", Shape::Structure(&PROJECTION), NOT_NULL),
        Member::new("IndexName", Shape::String, REQUIRED_NAME),
        Member::free("ProvisionedThroughput", Shape::Structure(&THROUGHPUT)),
        GLOBAL_KEY_SCHEMA,
    ],
);
static DELETE_INDEX: Structure = Structure::new(
    "DeleteGlobalSecondaryIndexAction",
    &[Member::new("IndexName", Shape::String, REQUIRED_NAME)],
);
static INDEX_UPDATE: Structure = Structure::new(
    "GlobalSecondaryIndexUpdate",
    &[
        Member::free("Update", Shape::Structure(&UPDATE_INDEX)),
        Member::free("Create", Shape::Structure(&CREATE_INDEX)),
        Member::free("Delete", Shape::Structure(&DELETE_INDEX)),
    ],
);
static INDEX_UPDATES: Member = Member::free("", Shape::Structure(&INDEX_UPDATE));

static STREAM: Structure = Structure::new(
    "StreamSpecification",
    &[
        Member::new("StreamEnabled", Shape::Boolean, NOT_NULL),
        Member::new(
            "StreamViewType",
            Shape::String,
            &[Rule::Enum(&[
                "NEW_IMAGE",
                "OLD_IMAGE",
                "NEW_AND_OLD_IMAGES",
                "KEYS_ONLY",
            ])],
        ),
    ],
);
static ENCRYPTION: Structure = Structure::new(
    "SSESpecification",
    &[
        Member::free("Enabled", Shape::Boolean),
        Member::new("SSEType", Shape::String, &[Rule::Enum(&["AES256", "KMS"])]),
        Member::free("KMSMasterKeyId", Shape::String),
    ],
);
static TAG: Structure = Structure::new(
    "Tag",
    &[
        Member::new(
            "Key",
            Shape::String,
            &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(128)],
        ),
        Member::new(
            "Value",
            Shape::String,
            &[Rule::NotNull, Rule::MaxLength(256)],
        ),
    ],
);
static TAGS: Member = Member::free("", Shape::Structure(&TAG));
static WARM: Structure = Structure::new(
    "WarmThroughput",
    &[
        Member::new("ReadUnitsPerSecond", Shape::Long, &[Rule::Min(1)]),
        Member::new("WriteUnitsPerSecond", Shape::Long, &[Rule::Min(1)]),
    ],
);
static ON_DEMAND: Structure = Structure::new(
    "OnDemandThroughput",
    &[
        Member::free("MaxReadRequestUnits", Shape::Long),
        Member::free("MaxWriteRequestUnits", Shape::Long),
    ],
);

const BILLING_MODE: Member = Member::new(
    "BillingMode",
    Shape::String,
    &[Rule::Enum(&["PROVISIONED", "PAY_PER_REQUEST"])],
);
const TABLE_CLASS: Member = Member::new(
    "TableClass",
    Shape::String,
    &[Rule::Enum(&["STANDARD", "STANDARD_INFREQUENT_ACCESS"])],
);

pub static CREATE_TABLE: Structure = Structure::new(
    "CreateTableInput",
    &[
        Member::new("AttributeDefinitions", Shape::List(&DEFINITION), NOT_NULL),
        TABLE_NAME_FIRST,
        BILLING_MODE,
        Member::free("ProvisionedThroughput", Shape::Structure(&THROUGHPUT)),
        KEY_SCHEMA,
        Member::free("LocalSecondaryIndexes", Shape::List(&LOCAL)),
        Member::free("GlobalSecondaryIndexes", Shape::List(&GLOBAL)),
        Member::free("StreamSpecification", Shape::Structure(&STREAM)),
        Member::free("SSESpecification", Shape::Structure(&ENCRYPTION)),
        Member::free("Tags", Shape::List(&TAGS)),
        TABLE_CLASS,
        Member::free("DeletionProtectionEnabled", Shape::Boolean),
        Member::free("WarmThroughput", Shape::Structure(&WARM)),
        Member::free("OnDemandThroughput", Shape::Structure(&ON_DEMAND)),
        Member::free("ResourcePolicy", Shape::String),
        Member::free("GlobalTableSourceArn", Shape::String),
    ],
);

pub static UPDATE_TABLE: Structure = Structure::new(
    "UpdateTableInput",
    &[
        TABLE_NAME_FIRST,
        BILLING_MODE,
        Member::free("ProvisionedThroughput", Shape::Structure(&THROUGHPUT)),
        Member::free("GlobalSecondaryIndexUpdates", Shape::List(&INDEX_UPDATES)),
        Member::free("AttributeDefinitions", Shape::List(&DEFINITION)),
        Member::free("StreamSpecification", Shape::Structure(&STREAM)),
        Member::free("SSESpecification", Shape::Structure(&ENCRYPTION)),
        TABLE_CLASS,
        Member::free("DeletionProtectionEnabled", Shape::Boolean),
        Member::free("WarmThroughput", Shape::Structure(&WARM)),
        Member::free("OnDemandThroughput", Shape::Structure(&ON_DEMAND)),
    ],
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
