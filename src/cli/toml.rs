//! A catalog that stands in a message file, as the TOML text that is stored.
//!
//! Owns the spelling only; `catalog` has checked the content.

use serde_json::Value;

/// The document of an object; `null` cannot be written in TOML and is left out.
pub fn document(value: &Value) -> String {
    let Value::Object(members) = value else { return String::new() };
    let lines = members.iter().filter(|(_, value)| !value.is_null());
    let lines: Vec<String> = lines.map(|(key, value)| format!("{} = {}\n", quoted(key), inline(value))).collect();
    lines.concat()
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            let members: Vec<String> = members.map(|(key, value)| format!("{} = {}", quoted(key), inline(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A basic string: JSON's escapes are TOML's; only DEL may stand bare in one and not in the other.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_means_what_the_object_means() {
        let value = serde_json::json!({
            "currency": "USD", "test_clock": true,
            "packages": { "starter": { "credits": "500", "price": "20.00", "checkout_url": "https://a.example/\"q\"" } },
            "rates": [{ "meter": "image", "price": 2, "dimensions": { "a b": "c\td" } }],
        });
        let text = document(&value);
        assert_eq!(crate::catalog::parse("text", &text), crate::catalog::parse_json(&value), "{text}");
    }
}
