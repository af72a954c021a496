//! Makes each delivery from a sample: with new ids and times, the values that are set, and the
//! number of items.

use super::{
    body::Body,
    catalogue::{Parsed, Sample, content_type, parse},
    fresh::{any_matches, now, renew},
};
use models::Delivery;
use providers::{
    Provider,
    samples::{Place, form},
};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Makes deliveries from a sample.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) provider: Provider,
    pub(crate) headers: Vec<(String, String)>,
    body: Body,
    /// New ids that are set, by the ids that they replace.
    ids: BTreeMap<String, String>,
    /// Other values that are set, with their paths.
    values: Vec<(String, String)>,
    items: usize,
}

/// Reason why a delivery cannot be made as requested.
type Unmakeable = String;

impl Recipe {
    pub(crate) fn new(
        provider: Provider,
        sample: Sample,
        items: usize,
    ) -> Result<Self, Unmakeable> {
        let Sample { headers, body, .. } = sample;
        if items > 1 && provider.samples.join.is_none() {
            return Err(format!(
                "{} sends one event per delivery: use --count instead of --batch",
                provider.name
            ));
        }
        Ok(Self {
            provider,
            headers,
            body,
            ids: BTreeMap::new(),
            values: Vec::new(),
            items,
        })
    }

    /// Sets a value: a field of an object in the delivery (`deal.stage_id`), or anything in the
    /// body (`meta.user_id`).
    pub(crate) fn set(&mut self, path: &str, value: &str) -> Result<(), Unmakeable> {
        if let Body::Exact(_) = self.body {
            return Err(format!(
                "{path} cannot be set: these bytes are sent unchanged. Omit --set"
            ));
        }
        let fields = self.body.fields();
        let places = (self.provider.samples.places)(&fields);
        let is_there = |path: &String| fields.iter().any(|(there, _)| there == path);
        let mut paths: Vec<String> = places
            .iter()
            .filter_map(|place| path_in(place, path))
            .filter(is_there)
            .collect();
        if paths.is_empty() && is_there(&path.to_owned()) {
            paths.push(path.to_owned());
        }
        if paths.is_empty() {
            return Err(format!(
                "it has no {path}; it has {}",
                there_is(&fields, &places, path)
            ));
        }
        paths.iter().try_for_each(|found| {
            self.set_at(found, value)
                .map_err(|must_be| format!("{path} must be {must_be} ({value} is not)"))
        })
    }

    fn set_at(&mut self, path: &str, value: &str) -> Result<(), &'static str> {
        let fields = self.body.fields();
        let Some((_, old)) = fields.iter().find(|(there, _)| there == path) else {
            return Ok(());
        };
        self.body.clone().put(path, value)?;
        if any_matches(self.provider.samples.ids, path) {
            self.ids.insert(old.clone(), value.to_owned());
            return Ok(());
        }
        if let Body::Json { value: body, .. } = &mut self.body
            && old != value
        {
            (self.provider.samples.before_change)(body, path);
        }
        self.body.put(path, value)?;
        self.values.push((path.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Makes a delivery of an event that happens now.
    pub(crate) fn make(&self) -> Result<Delivery, Unmakeable> {
        let body = match (&self.body, self.items) {
            (Body::Exact(bytes), 1) => bytes.clone(),
            (_, 1) => self.renewed()?.bytes(),
            (Body::Form(_), _) => self.batch()?,
            _ => return Err("this body is not a form: use --count instead of --batch".to_owned()),
        };
        let mut delivery = Delivery::new(body, now(), &Uuid::new_v4().to_string());
        delivery.origin.content_type = content_type(&self.headers).map(str::to_owned);
        Ok(delivery)
    }

    /// Makes a form with several items.
    fn batch(&self) -> Result<Vec<u8>, Unmakeable> {
        let mut forms = Vec::new();
        for _ in 0..self.items {
            if let Body::Form(fields) = self.renewed()? {
                forms.push(fields);
            }
        }
        let joined = self.provider.samples.join.and_then(|join| join(&forms));
        let joined = joined
            .ok_or("the items of this body have no numbers: use --count instead of --batch")?;
        Ok(form::write(&joined))
    }

    fn renewed(&self) -> Result<Body, Unmakeable> {
        let mut body = self.body.clone();
        renew(&mut body, self.provider.samples, &self.ids)
            .map_err(|must_be| format!("an id that is set must be {must_be}"))?;
        for (path, value) in &self.values {
            body.put(path, value)?;
        }
        Ok(body)
    }

    /// Makes the provider's next attempt of the same delivery.
    pub(crate) fn again(&self, delivery: &Delivery) -> Delivery {
        let mut again = delivery.clone();
        if let Body::Exact(_) = self.body {
            return again;
        }
        let mut body = Body::read(
            &delivery.body,
            delivery.origin.content_type.as_deref().unwrap_or_default(),
        );
        for (path, count) in body.fields() {
            if any_matches(self.provider.samples.attempts, &path)
                && let Ok(count) = count.parse::<u32>()
            {
                // A field with a number accepts a number.
                body.put(&path, &(count + 1).to_string()).ok();
            }
        }
        again.body = body.bytes();
        again.origin.arrival = now();
        again
    }

    /// Headers of a delivery, with its request id.
    pub(crate) fn headers_of(&self, delivery: &Delivery) -> Vec<(String, String)> {
        let mut headers = self.headers.clone();
        for (_, value) in headers.iter_mut().filter(|(name, _)| self.is_its_id(name)) {
            value.clone_from(&delivery.origin.request_id);
        }
        headers
    }

    /// Whether the delivery has a request id of its own.
    pub(crate) fn has_an_id(&self) -> bool {
        self.headers.iter().any(|(name, _)| self.is_its_id(name))
    }

    fn is_its_id(&self, header: &str) -> bool {
        self.provider.request_id_header == Some(header)
    }

    /// Parses a delivery with the provider's parser.
    pub(crate) fn parse(&self, delivery: &Delivery) -> Parsed {
        parse(&self.provider, delivery)
    }
}

/// Path in the body for a path that begins with the name of an object.
fn path_in(place: &Place, path: &str) -> Option<String> {
    let field = path.strip_prefix(&*place.object)?.strip_prefix('.')?;
    let field = if field == "id" { place.id } else { field };
    Some(format!("{}.{field}", place.path))
}

/// Paths that can be set instead of an unknown path: those with the same first word, else all first
/// words.
fn there_is(fields: &[(String, String)], places: &[Place], path: &str) -> String {
    let mut names = Vec::new();
    for place in places {
        let below = fields
            .iter()
            .filter_map(|(path, _)| path.strip_prefix(&*place.path)?.strip_prefix('.'));
        names.extend(below.map(|field| format!("{}.{field}", place.object)));
    }
    names.extend(fields.iter().map(|(path, _)| path.clone()));
    let (same, others): (Vec<_>, Vec<_>) = names
        .into_iter()
        .partition(|name| first_word(name) == first_word(path));
    let mut shown = if same.is_empty() {
        others
            .iter()
            .map(|name| format!("{}.…", first_word(name)))
            .collect()
    } else {
        same
    };
    let mut seen = BTreeSet::new();
    shown.retain(|name| seen.insert(name.clone()));
    shown.join(", ")
}

fn first_word(path: &str) -> &str {
    path.split('.').next().unwrap_or_default()
}
