//! Wishes compared with what is there.

use pyro_operations::chat_host::Difference;
use serde_json::{Value, json};

use crate::{
    Result,
    apply::read,
    document,
    wish::{Want, Wishes},
};

/// Whether all of them hold. A file that cannot be read holds none.
pub(crate) fn hold(wishes: &Wishes) -> bool {
    let document = read(&wishes.place).unwrap_or_default();
    wishes.wishes.iter().all(|wish| wish.holds(document::at(&document, &wish.key)))
}

/// What does not hold.
pub(crate) fn unmet(wishes: &Wishes) -> Result<Vec<Difference>> {
    let file = wishes.place.file.display().to_string();
    let document = match read(&wishes.place) {
        Ok(document) => document,
        Err(error) if error.is_text() => {
            let key = "the whole file".to_owned();
            return Ok(vec![Difference {
                file,
                key,
                found: Some(error.to_string()),
                wanted: None,
            }]);
        }
        Err(error) => return Err(error),
    };
    let mut differences = Vec::new();
    for wish in &wishes.wishes {
        let found = document::at(&document, &wish.key);
        if wish.holds(found) {
            continue;
        }
        differences.push(Difference {
            file: file.clone(),
            key: wish.dotted(),
            found: found.map(Value::to_string),
            wanted: match &wish.want {
                Want::Is(value) => Some(value.to_string()),
                Want::Holds(item) => Some(with_item(found, item).to_string()),
                Want::Absent => None,
            },
        });
    }
    Ok(differences)
}

fn with_item(found: Option<&Value>, item: &str) -> Value {
    let mut items = found.and_then(Value::as_array).cloned().unwrap_or_default();
    items.push(json!(item));
    Value::Array(items)
}
