//! Fields of a sample to change so that it becomes another delivery. `hookkeeper send` uses them;
//! receivers do not.

/// The fields that a provider changes in every delivery, and the locations of objects in a body.
///
/// A path is a list of names joined by dots; list items are named by their number: `meta.id`,
/// `leads.add.0.id`. In a pattern, `*` matches any one name.
#[derive(Debug, Clone, Copy)]
pub struct SampleFields {
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
