//! How a sample becomes another delivery. `hookkeeper send` uses this; receivers do not.

pub mod form;

use form::Form;
use models::Event;
use serde_json::Value;

/// The properties of a provider's samples: the fields that are new in every delivery, the locations
/// of objects in a body, and what the provider's deliveries can do beyond the samples.
///
/// A path is a list of names joined by dots; list items are named by their number: `meta.id`,
/// `leads.add.0.id`. In a pattern, `*` matches any one name.
#[derive(Debug, Clone, Copy)]
pub struct SampleRules {
    /// Patterns of ids that get a new value.
    pub ids: &'static [&'static str],
    /// Patterns of fields that can repeat one of these ids.
    pub references: &'static [&'static str],
    /// Patterns of times. The event's own time is first.
    pub times: &'static [&'static str],
    /// Counters that increase by one with each further attempt to deliver an event.
    pub attempts: &'static [&'static str],
    /// Returns the locations of the objects in a body. The body is a list of paths and values.
    pub places: fn(&[(String, String)]) -> Vec<Place>,
    /// Prepares a JSON body for a change of the field with this path.
    pub before_change: fn(&mut Value, &str),
    /// Joins several deliveries, if the provider sends several items in one.
    pub join: Option<Join>,
    /// Words at the start of a sample's name that do not describe its event.
    pub prefixes: &'static [&'static str],
    /// Whether a sample with this event is used only if there is no other one of the event's type.
    pub is_last_choice: fn(&Event) -> bool,
    /// Deliveries that can be made although they have no sample.
    pub generator: Option<Generator>,
    /// The body of a short delivery, for an example that people read.
    pub example: &'static str,
    /// The body of a delivery of one event, a different one for each number.
    pub numbered: fn(u32) -> String,
}

impl SampleRules {
    /// Rules that change nothing.
    pub const NONE: Self = Self {
        ids: &[],
        references: &[],
        times: &[],
        attempts: &[],
        places: |_| Vec::new(),
        before_change: |_, _| (),
        join: None,
        prefixes: &[],
        is_last_choice: |_| false,
        generator: None,
        example: "{}",
        numbered: |_| String::new(),
    };
}

/// Joins the items of several forms into one form. Returns `None` if the items have no numbers.
pub type Join = fn(&[Form]) -> Option<Form>;

/// Makes deliveries that have no sample.
#[derive(Debug, Clone, Copy)]
pub struct Generator {
    /// A sentence about the names, for the list of samples.
    pub description: &'static str,
    /// Returns the names of all deliveries that can be made.
    pub names: fn() -> Vec<String>,
    /// Makes the delivery with this name or event type from the bodies of samples.
    pub make: fn(&str, &[Value]) -> Option<Generated>,
}

/// A delivery that has no sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The name of the delivery.
    pub name: String,
    /// The JSON body of the delivery.
    pub body: Value,
}

/// The location of an object in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The object type, as in an event's subject: `deal`.
    pub object: String,
    /// The path of the object's fields: `data`.
    pub path: String,
    /// The name of the field with the object's id: `id`.
    pub id: &'static str,
}

impl Place {
    pub(crate) fn new(object: &str, path: &str, id: &'static str) -> Self {
        Self {
            object: object.to_owned(),
            path: path.to_owned(),
            id,
        }
    }
}

/// The value of the field with this path.
pub(crate) fn text<'a>(fields: &'a [(String, String)], path: &str) -> Option<&'a str> {
    let (_, text) = fields.iter().find(|(field, _)| field == path)?;
    Some(text)
}
