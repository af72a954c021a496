//! amoCRM's words and ours. What is not listed keeps amoCRM's own: tomorrow's entity must not need a release.
//!
//! Source: <https://developers.kommo.com/docs/webhooks-general>

/// The singular of an entity.
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

/// What an action says happened.
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
