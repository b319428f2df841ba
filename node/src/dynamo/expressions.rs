//! The expressions of one request: which parameters go together, placeholders, and what no expression used.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_core::api;
use kv_model::encoding::item;
use kv_model::expression::{
    Condition, KeyExpression, Kind, Placeholders, Projection, Update, check_scalar_keys,
    parse_condition, parse_key_condition, parse_projection, parse_update,
};
use kv_model::schema::TableSchema;
use kv_model::value::{AttributeValue, Item};
use serde_json::value::RawValue;

use super::error::Error;
use super::input::{Names, Text};
use super::keys;
use super::values;

/// A parameter by name, and whether the request has it.
pub type Given = (&'static str, bool);

/// Checks which parameters are together.
///
/// `expressions` in the service's order; `legacy` likewise; `valued` are those expressions that may use values.
///
/// # Errors
/// [`Error::Validation`].
pub fn check_parameters(
    expressions: &[Given],
    legacy: &[Given],
    names: bool,
    values: bool,
) -> Result<(), Error> {
    let given = |all: &[Given]| -> Vec<&str> {
        all.iter()
            .filter(|(_, given)| *given)
            .map(|(name, _)| *name)
            .collect()
    };
    let used = given(expressions);
    if !used.is_empty() {
        let old = given(legacy);
        if !old.is_empty() {
            return Err(Error::validation(format!(
                "Can not use both expression and non-expression parameters in the same request: Non-expression \
                 parameters: {{{}}} Expression parameters: {{{}}}",
                old.join(", "),
                used.join(", ")
            )));
        }
    }
    if names && used.is_empty() {
        return Err(Error::validation(
            "ExpressionAttributeNames can only be specified when using expressions",
        ));
    }
    let valued: Vec<Given> = expressions
        .iter()
        .filter(|(name, _)| *name != "ProjectionExpression")
        .copied()
        .collect();
    if values && valued.iter().all(|(_, given)| !given) {
        let list: Vec<&str> = valued.iter().map(|(name, _)| *name).collect();
        return Err(Error::validation(format!(
            "ExpressionAttributeValues can only be specified when using expressions: {} {} null",
            list.join(" and "),
            if list.len() > 1 { "are" } else { "is" }
        )));
    }
    Ok(())
}

/// The placeholders of a request while its expressions are parsed.
#[derive(Debug, Default)]
pub struct Expressions {
    placeholders: Placeholders,
    names: BTreeMap<String, String>,
    values: Bytes,
}

impl Expressions {
    /// Takes the maps of placeholders as they came.
    ///
    /// # Errors
    /// [`Error::Validation`], or of serialization.
    pub fn new(names: Option<Names>, values: Option<&RawValue>) -> Result<Self, Error> {
        if names.is_none() && values.is_none() {
            return Ok(Expressions::default());
        }
        let names = names.map(|names| names.0);
        // Mistakes in values are told after those in the placeholders' own names.
        let (values, mistake) = match values {
            Some(text) => parse_values(text).map(|(values, mistake)| (Some(values), mistake))?,
            None => (None, None),
        };
        let sent_names = names.clone().unwrap_or_default();
        let encoded = values.as_ref().map(item::encode).unwrap_or_default();
        let placeholders = Placeholders::new(names, values)?;
        match mistake {
            Some(error) => Err(error),
            None => Ok(Expressions {
                placeholders,
                names: sent_names,
                values: encoded,
            }),
        }
    }

    pub fn condition(&mut self, text: &str) -> Result<Condition, Error> {
        Ok(parse_condition(
            Kind::Condition,
            text,
            &mut self.placeholders,
        )?)
    }

    pub fn filter(&mut self, text: &str) -> Result<Condition, Error> {
        Ok(parse_condition(Kind::Filter, text, &mut self.placeholders)?)
    }

    pub fn update(&mut self, text: &str) -> Result<Update, Error> {
        Ok(parse_update(text, &mut self.placeholders)?)
    }

    pub fn key_condition(&mut self, text: &str) -> Result<KeyExpression, Error> {
        Ok(parse_key_condition(text, &mut self.placeholders)?)
    }

    pub fn projection(&mut self, text: &str) -> Result<Projection, Error> {
        Ok(parse_projection(text, &mut self.placeholders)?)
    }

    /// Refuses placeholders that no expression used.
    ///
    /// # Errors
    /// [`Error::Validation`].
    pub fn check_all_used(&self) -> Result<(), Error> {
        Ok(self.placeholders.check_all_used()?)
    }

    /// An expression as it travels to where the data is.
    pub fn wire(&self, text: &str) -> api::Expression {
        api::Expression {
            text: text.to_owned(),
            names: self.names.clone(),
            values: self.values.clone(),
        }
    }
}

/// Values by placeholder, and what is wrong with the first wrong one.
fn parse_values(text: &RawValue) -> Result<(Item, Option<Error>), Error> {
    let entries: BTreeMap<String, &RawValue> =
        serde_json::from_str(text.get()).map_err(|_| Error::Serialization(None))?;
    let mut mistake = None;
    let mut parsed = Item::new();
    for (key, value) in entries {
        let value = values::parse_value(value).unwrap_or_else(|error| {
            mistake.get_or_insert(match error {
                Error::Validation(message) => Error::Validation(format!(
                    "ExpressionAttributeValues contains invalid value: {message} for key {key}"
                )),
                other => other,
            });
            AttributeValue::Null
        });
        parsed.insert(key, value);
    }
    Ok((parsed, mistake))
}

/// Refuses paths of a condition into key attributes.
///
/// # Errors
/// [`Error::Validation`].
pub fn check_condition_keys(condition: &Condition, schema: &TableSchema) -> Result<(), Error> {
    let paths = condition.paths();
    Ok(check_scalar_keys(
        paths.iter().copied(),
        &keys::names(schema),
        &[],
    )?)
}

/// Which attributes a read answers with.
#[derive(Debug)]
pub struct Wanted {
    pub projection: Projection,
    /// As it travels.
    pub expression: api::Expression,
}

impl Wanted {
    /// From a `ProjectionExpression`.
    ///
    /// # Errors
    /// [`Error::Validation`].
    pub fn parse(text: &str, expressions: &mut Expressions) -> Result<Self, Error> {
        let projection = expressions.projection(text)?;
        Ok(Wanted {
            projection,
            expression: expressions.wire(text),
        })
    }

    /// From `AttributesToGet`.
    ///
    /// # Errors
    /// A name is there twice.
    pub fn of_attributes(names: &[Text<'_>]) -> Result<Self, Error> {
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(&***name)) {
            return Err(Error::invalid(format_args!(
                "Duplicate value in attribute name: {}",
                &**twice
            )));
        }
        let projection = Projection::of_attributes(names.iter().map(|name| name.to_string()));
        let source = projection.to_source();
        let expression = api::Expression {
            text: source.text,
            names: source.names,
            values: Bytes::new(),
        };
        Ok(Wanted {
            projection,
            expression,
        })
    }

    /// Refuses paths into key attributes.
    ///
    /// # Errors
    /// [`Error::Validation`].
    pub fn check_keys(&self, schema: &TableSchema) -> Result<(), Error> {
        Ok(check_scalar_keys(
            self.projection.paths().iter(),
            &keys::names(schema),
            &[],
        )?)
    }
}
