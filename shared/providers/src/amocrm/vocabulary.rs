//! Maps amoCRM's words to ours. A word that is not listed stays as it is, so that a new entity does
//! not need a release.
//!
//! Source: <https://developers.kommo.com/docs/webhooks-general>

/// The object type of an entity, in the singular.
pub(crate) fn object(entity: &str) -> &str {
    match entity {
        "leads" => "lead",
        "contacts" => "contact",
        "companies" => "company",
        "customers" => "customer",
        "tasks" => "task",
        "catalogs" => "catalog_element",
        own => own,
    }
}

/// Our word for an action.
pub(crate) fn action(action: &str) -> &str {
    match action {
        "add" => "created",
        "update" => "updated",
        "delete" => "deleted",
        "restore" => "restored",
        "status" => "status_changed",
        "responsible" => "responsible_changed",
        "note" => "note_added",
        "period" => "period_changed",
        own => own,
    }
}
