//! What makes a sample of a provider another delivery. Used by `hookkeeper send`, and by no receiver.

/// What a provider sends anew in every delivery, and where its things stand in a body.
///
/// Paths are names joined by dots, those of a list its numbers: `meta.id`, `leads.add.0.id`. In a pattern `*` stands for
/// any one name.
#[derive(Debug, Clone, Copy)]
pub struct SampleFields {
    /// The patterns of what is named anew.
    pub ids: &'static [&'static str],
    /// The patterns of what repeats one of these ids, where it does.
    pub references: &'static [&'static str],
    /// The patterns of when something happened, the event's own time first.
    pub times: &'static [&'static str],
    /// What is one more in each further attempt to deliver an event.
    pub attempts: &'static [&'static str],
    /// Where the things stand that a body tells of. The body is given as its values by their paths.
    pub places: fn(&[(String, String)]) -> Vec<Place>,
}

/// Where in a body a thing stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What it is, in the words of an event's subject: `deal`.
    pub object: String,
    /// The path of its fields: `data`.
    pub path: String,
    /// The field that bears its id: `id`.
    pub id: &'static str,
}
