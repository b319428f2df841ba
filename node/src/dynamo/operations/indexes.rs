//! Secondary indexes in `CreateTable` and `UpdateTable`: their checks, in the service's order.

use std::collections::BTreeSet;

use kv_core::tables::{Billing, IndexChange, NewIndex, Table, TableStatus};
use kv_model::index::{GLOBAL_MAX, LOCAL_MAX, PROJECTED_MAX, Projection};
use kv_model::schema::{KeyAttribute, KeyKind};
use serde::Deserialize;

use super::create_table::{Definition, KeyElement, Throughput};
use crate::dynamo::error::Error;
use crate::dynamo::input::Text;

/// Attributes that one part of a global index's key may have.
const PARTS_MAX: usize = 4;

/// An index as a request describes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Description<'a> {
    #[serde(borrow)]
    pub index_name: Text<'a>,
    #[serde(borrow)]
    key_schema: Vec<KeyElement<'a>>,
    #[serde(borrow)]
    projection: ProjectionOf<'a>,
    provisioned_throughput: Option<Throughput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProjectionOf<'a> {
    #[serde(borrow)]
    projection_type: Option<Text<'a>>,
    #[serde(borrow)]
    non_key_attributes: Option<Vec<Text<'a>>>,
}

/// One of `GlobalSecondaryIndexUpdates`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Update<'a> {
    #[serde(borrow)]
    pub update: Option<NewUnits<'a>>,
    #[serde(borrow)]
    pub create: Option<Description<'a>>,
    #[serde(borrow)]
    pub delete: Option<Named<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NewUnits<'a> {
    #[serde(borrow)]
    index_name: Text<'a>,
    provisioned_throughput: Option<Throughput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named<'a> {
    #[serde(borrow)]
    index_name: Text<'a>,
}

/// The attributes that a request defines.
pub struct Definitions<'d, 'a>(pub &'d [Definition<'a>]);

impl Definitions<'_, '_> {
    pub fn kind(&self, name: &str) -> Option<KeyKind> {
        let found = self.0.iter().find(|one| *one.attribute_name == *name)?;
        Some(match &*found.attribute_type {
            "S" => KeyKind::S,
            "N" => KeyKind::N,
            _ => KeyKind::B,
        })
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|one| &*one.attribute_name).collect();
        names.join(", ")
    }
}

/// The table that indexes are for.
pub struct Keys<'k> {
    pub hash: &'k str,
    pub range: Option<&'k str>,
}

/// Checks the indexes of a new table.
///
/// # Errors
/// [`Error::Validation`].
pub fn of_new_table(
    local: Option<&[Description<'_>]>,
    global: Option<&[Description<'_>]>,
    table: &Keys<'_>,
    definitions: &Definitions<'_, '_>,
    billing: Billing,
) -> Result<Vec<NewIndex>, Error> {
    let mut names = BTreeSet::new();
    let mut indexes = Vec::new();
    if let Some(local) = local {
        if local.is_empty() {
            return Err(Error::invalid("List of LocalSecondaryIndexes is empty"));
        }
        if table.range.is_none() {
            return Err(Error::invalid(
                "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
            ));
        }
        for index in local {
            indexes.push(local_index(index, table, definitions, &mut names)?);
        }
        if local.len() > LOCAL_MAX {
            return Err(Error::invalid(format_args!(
                "Number of LocalSecondaryIndexes exceeds per-table limit of {LOCAL_MAX}"
            )));
        }
    }
    if let Some(global) = global {
        if global.is_empty() {
            return Err(Error::invalid("List of GlobalSecondaryIndexes is empty"));
        }
        for index in global {
            indexes.push(global_index(index, definitions, billing, &mut names)?);
        }
        if global.len() > GLOBAL_MAX {
            return Err(Error::invalid(format_args!(
                "GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_MAX}"
            )));
        }
    }
    check_projected(indexes.iter().map(|index| &index.projection))?;
    check_all_used(table, definitions, &indexes)?;
    Ok(indexes)
}

/// Attributes that neither the table's key nor an index uses must not be defined.
fn check_all_used(
    table: &Keys<'_>,
    definitions: &Definitions<'_, '_>,
    indexes: &[NewIndex],
) -> Result<(), Error> {
    if indexes.is_empty() {
        return Ok(());
    }
    let own = std::iter::once(table.hash).chain(table.range);
    let keys = indexes
        .iter()
        .flat_map(|index| index.hash.iter().chain(&index.range));
    let used: BTreeSet<&str> = own.chain(keys.map(|key| key.name.as_str())).collect();
    if definitions
        .0
        .iter()
        .all(|one| used.contains(&*one.attribute_name))
    {
        return Ok(());
    }
    let used: Vec<&str> = used.into_iter().collect();
    Err(Error::invalid(format_args!(
        "Some AttributeDefinitions are not used. AttributeDefinitions: [{}], keys used: [{}]",
        definitions.names(),
        used.join(", ")
    )))
}

fn check_projected<'p>(projections: impl Iterator<Item = &'p Projection>) -> Result<(), Error> {
    let projected = projections.map(|projection| match projection {
        Projection::Include(names) => names.len(),
        Projection::All | Projection::KeysOnly => 0,
    });
    match projected.sum::<usize>() {
        too_many if too_many > PROJECTED_MAX => Err(Error::invalid(format_args!(
            "The total number of projected attributes across all indexes exceeds the limit of {PROJECTED_MAX}: {too_many}"
        ))),
        _ => Ok(()),
    }
}

/// The key of an index as far as both kinds agree: attributes are defined, distinct, and hash before range.
fn check_keys(
    index: &Description<'_>,
    definitions: &Definitions<'_, '_>,
    many: bool,
) -> Result<(Vec<KeyAttribute>, Vec<KeyAttribute>), Error> {
    let keys = &index.key_schema;
    let names: Vec<&str> = keys.iter().map(|key| &*key.attribute_name).collect();
    if names.iter().any(|name| definitions.kind(name).is_none()) {
        return Err(Error::invalid(format_args!(
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [{}], AttributeDefinitions: [{}]",
            names.join(", "),
            definitions.names()
        )));
    }
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    if distinct.len() < names.len() {
        return Err(Error::validation(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        ));
    }
    let hashes = keys
        .iter()
        .take_while(|key| &*key.key_type == "HASH")
        .count();
    if hashes == 0 {
        return Err(Error::validation(
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        ));
    }
    let ranges = &keys[hashes..];
    if !many && hashes > 1 || ranges.iter().any(|key| &*key.key_type != "RANGE") {
        return Err(Error::validation(
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
        ));
    }
    if hashes > PARTS_MAX || ranges.len() > PARTS_MAX {
        return Err(Error::invalid(format_args!(
            "Invalid KeySchema: a key has at most {PARTS_MAX} HASH and {PARTS_MAX} RANGE attributes"
        )));
    }
    let attributes = |keys: &[KeyElement<'_>]| {
        let attributes = keys.iter().filter_map(|key| {
            Some(KeyAttribute {
                name: key.attribute_name.to_string(),
                kind: definitions.kind(&key.attribute_name)?,
            })
        });
        attributes.collect()
    };
    Ok((attributes(&keys[..hashes]), attributes(ranges)))
}

fn projection(index: &Description<'_>) -> Result<Projection, Error> {
    let ProjectionOf {
        projection_type,
        non_key_attributes,
    } = &index.projection;
    let Some(kind) = projection_type.as_deref() else {
        return Err(Error::invalid("Unknown ProjectionType: null"));
    };
    match (kind, non_key_attributes) {
        ("INCLUDE", Some(names)) => {
            let distinct: BTreeSet<&str> = names.iter().map(|name| &**name).collect();
            Ok(Projection::Include(
                distinct.into_iter().map(str::to_owned).collect(),
            ))
        }
        ("INCLUDE", None) => Err(Error::invalid(
            "ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
        )),
        (_, Some(_)) => Err(Error::invalid(format_args!(
            "ProjectionType is {kind}, but NonKeyAttributes is specified"
        ))),
        ("ALL", None) => Ok(Projection::All),
        (_, None) => Ok(Projection::KeysOnly),
    }
}

fn check_name<'a>(index: &Description<'a>, names: &mut BTreeSet<String>) -> Result<(), Error> {
    match names.insert(index.index_name.to_string()) {
        true => Ok(()),
        false => Err(Error::invalid(format_args!(
            "Duplicate index name: {}",
            &*index.index_name
        ))),
    }
}

fn local_index(
    index: &Description<'_>,
    table: &Keys<'_>,
    definitions: &Definitions<'_, '_>,
    names: &mut BTreeSet<String>,
) -> Result<NewIndex, Error> {
    let (hash, range) = check_keys(index, definitions, false)?;
    if range.is_empty() {
        return Err(Error::invalid(format_args!(
            "Index KeySchema does not have a range key for index: {}",
            &*index.index_name
        )));
    }
    if hash[0].name != table.hash {
        return Err(Error::invalid(format_args!(
            "Index KeySchema does not have the same leading hash key as table KeySchema for index: {}. index hash key: {}, table hash key: {}",
            &*index.index_name, hash[0].name, table.hash
        )));
    }
    let projection = projection(index)?;
    check_name(index, names)?;
    Ok(NewIndex {
        name: index.index_name.to_string(),
        local: true,
        hash,
        range,
        projection,
        billing: Billing::PayPerRequest,
    })
}

fn global_index(
    index: &Description<'_>,
    definitions: &Definitions<'_, '_>,
    table: Billing,
    names: &mut BTreeSet<String>,
) -> Result<NewIndex, Error> {
    let (hash, range) = check_keys(index, definitions, true)?;
    let projection = projection(index)?;
    check_name(index, names)?;
    let billing = match (table, index.provisioned_throughput) {
        (Billing::PayPerRequest, None) => Billing::PayPerRequest,
        (Billing::PayPerRequest, Some(_)) => {
            return Err(Error::invalid(format_args!(
                "ProvisionedThroughput should not be specified for index: {} when BillingMode is PAY_PER_REQUEST",
                &*index.index_name
            )));
        }
        (Billing::Provisioned { .. }, Some(units)) => units.billing()?,
        (Billing::Provisioned { .. }, None) => {
            return Err(Error::invalid(format_args!(
                "ProvisionedThroughput is not specified for index: {}",
                &*index.index_name
            )));
        }
    };
    Ok(NewIndex {
        name: index.index_name.to_string(),
        local: false,
        hash,
        range,
        projection,
        billing,
    })
}

/// Checks `GlobalSecondaryIndexUpdates` against themselves.
///
/// # Errors
/// [`Error::Validation`].
pub fn check_updates(updates: &[Update<'_>]) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    let mut structural = 0;
    for update in updates {
        let given = [
            update.update.as_ref().map(|update| &update.index_name),
            update.create.as_ref().map(|create| &create.index_name),
            update.delete.as_ref().map(|delete| &delete.index_name),
        ];
        let given: Vec<&Text<'_>> = given.into_iter().flatten().collect();
        match given[..] {
            [] => {
                return Err(Error::invalid(
                    "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, \
                     GlobalSecondaryIndexUpdate.Delete must not be null",
                ));
            }
            [name] => {
                if !names.insert(&**name) {
                    return Err(Error::invalid(format_args!(
                        "Only one global secondary index update per index is allowed simultaneously. Index: {}",
                        &**name
                    )));
                }
            }
            _ => {
                return Err(Error::invalid(
                    "Only one of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, \
                     GlobalSecondaryIndexUpdate.Delete may be specified",
                ));
            }
        }
        structural += usize::from(update.create.is_some() || update.delete.is_some());
    }
    if structural > 1 {
        return Err(Error::LimitExceeded(
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table".into(),
        ));
    }
    Ok(())
}

/// The change of a table that checked `GlobalSecondaryIndexUpdates` ask for.
///
/// # Errors
/// [`Error::Validation`], [`Error::ResourceNotFound`].
pub fn change(
    updates: &[Update<'_>],
    table: &Table,
    definitions: &Definitions<'_, '_>,
    billing: Billing,
) -> Result<Option<IndexChange>, Error> {
    let known = |name: &str| {
        let index = table.index(name);
        index
            .filter(|index| !index.schema.is_local())
            .ok_or_else(|| {
                Error::ResourceNotFound(format!(
                    "Requested resource not found: Index: {name} not found"
                ))
            })
    };
    let mut units = Vec::new();
    for update in updates {
        if let Some(create) = &update.create {
            if table.index(&create.index_name).is_some() {
                return Err(Error::validation(
                    "Attempting to create an index which already exists",
                ));
            }
            let globals = table
                .indexes
                .iter()
                .filter(|index| !index.schema.is_local());
            if globals.count() >= GLOBAL_MAX {
                return Err(Error::LimitExceeded(format!(
                    "Subscriber limit exceeded: GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_MAX}"
                )));
            }
            let new = global_index(create, definitions, billing, &mut BTreeSet::new())?;
            let projections = table.indexes.iter().map(|index| &index.schema.projection);
            check_projected(projections.chain([&new.projection]))?;
            return Ok(Some(IndexChange::Create(new)));
        }
        if let Some(delete) = &update.delete {
            let index = known(&delete.index_name)?;
            if index.status != TableStatus::Active {
                return Err(Error::ResourceInUse(format!(
                    "Attempt to change a resource which is still in use: Index: {}",
                    &*delete.index_name
                )));
            }
            return Ok(Some(IndexChange::Delete(delete.index_name.to_string())));
        }
        if let Some(update) = &update.update {
            known(&update.index_name)?;
            let Some(throughput) = update.provisioned_throughput else {
                return Err(Error::later(
                    "An index's update without ProvisionedThroughput",
                ));
            };
            units.push((update.index_name.to_string(), throughput.billing()?));
        }
    }
    Ok((!units.is_empty()).then_some(IndexChange::Units(units)))
}
