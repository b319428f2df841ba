//! The service's words for input that is not of the operation's shape.

use serde_json::Value;

/// What the service says where a parameterized collection, itself an element of a collection, is something else.
pub const CAST: &str = "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class (sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of loader 'bootstrap')";
pub const UNEXPECTED_STRUCTURE: &str = "Start of structure or map found where not expected";
pub const UNEXPECTED_FIELD: &str = "Unexpected field type";
pub const UNEXPECTED_VALUE: &str = "Unexpected value type in payload";
pub const UNEXPECTED_TOKEN: &str = "Unexpected token received from parser";
pub const NOT_BASE64: &str = "only base-64-encoded strings are convertible to bytes";
pub const BAD_BASE64: &str = "Invalid last non-pad Base64 character dectected";
pub const PATTERN: &str = "[a-zA-Z0-9_.-]+";
pub const KEYS: &str = "Map keys must satisfy constraint: [Member must have length less than or equal to 255, Member must have length greater than or equal to 3, Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+]";

/// Longest rendering of a value in a message, bytes, for what clients send can be 16 MiB.
const RENDERED_MAX: usize = 2048;

/// A value as the service shows it in violations of constraints.
pub fn render(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "null".into(),
        Some(value) => {
            let mut out = String::from("'");
            render_into(value, &mut out);
            out.push('\'');
            out
        }
    }
}

fn render_into(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::String(text) => out.push_str(text),
        Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
        Value::Array(elements) => {
            out.push('[');
            for (i, element) in elements.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                if out.len() > RENDERED_MAX {
                    out.push_str("...");
                    break;
                }
                render_into(element, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (i, (name, member)) in members.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                if out.len() > RENDERED_MAX {
                    out.push_str("...");
                    break;
                }
                out.push_str(name);
                out.push('=');
                render_into(member, out);
            }
            out.push('}');
        }
    }
}
