//! Parameters and pages of amoCRM's lists.
//!
//! Source: <https://www.amocrm.ru/developers/content/crm_platform/events-and-notes>

use super::JSON;
use crate::api::{ApiResponse, json, response};
use form_urlencoded::Serializer;
use serde_json::{Value, json};

pub(super) const HOST: &str = "https://example.amocrm.ru";
const DEFAULT_LIMIT: usize = 50;

/// The parameters of a request, in their order.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn new(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| &**value)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// The values of `name[]`, `name[0]` and `name`, which may be a list with commas.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let pairs = self.0.iter().filter(|(own, _)| {
            let index = own
                .strip_prefix(name)
                .map(|rest| rest.trim_end_matches(']'));
            let index = index.map(|rest| rest.strip_prefix('[').unwrap_or(rest));
            index.is_some_and(|index| index.chars().all(|char| char.is_ascii_digit()))
        });
        pairs.flat_map(|(_, values)| values.split(',')).collect()
    }

    /// The query of another page.
    fn with_page(&self, page: usize) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.0.iter().filter(|(name, _)| name != "page"));
        query.append_pair("page", &page.to_string()).finish()
    }
}

/// Which page of a list a request wants.
pub(super) struct Paging<'a> {
    parameters: &'a Parameters,
    page: usize,
    limit: usize,
}

impl<'a> Paging<'a> {
    /// A higher limit than the maximum is the maximum.
    pub(super) fn new(parameters: &'a Parameters, max_limit: usize) -> Self {
        let number = |name: &str| {
            parameters
                .number(name)
                .map(|number| usize::try_from(number).unwrap())
        };
        Self {
            parameters,
            page: number("page").unwrap_or(1).max(1),
            limit: number("limit").unwrap_or(DEFAULT_LIMIT).clamp(1, max_limit),
        }
    }

    /// A page of a list. An empty one is 204.
    pub(super) fn page<T>(
        &self,
        path: &str,
        name: &str,
        all: &[T],
        item: impl Fn(&T) -> Value,
    ) -> ApiResponse {
        let start = (self.page - 1).saturating_mul(self.limit);
        let items: Vec<Value> = all.iter().skip(start).take(self.limit).map(item).collect();
        if items.is_empty() {
            return response(204, JSON, Vec::new());
        }
        let link = |page: usize| {
            let query = self.parameters.with_page(page);
            json!({ "href": format!("{HOST}/api/v4/{path}?{query}") })
        };
        let mut links = json!({ "self": link(self.page) });
        if all.len() > start + items.len() {
            links["next"] = link(self.page + 1);
        }
        let body = json!({
            "_page": self.page, "_links": links, "_embedded": { name: items },
        });
        json(200, JSON, &body)
    }
}
