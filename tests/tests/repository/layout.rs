//! Checks the layout of the workspace: every place that lists providers lists all of them, and
//! dependencies point in one direction.

use hookkeeper::template::TEMPLATE;
use providers::{Provider, Scheme};
use serde::Deserialize;
use serde_norway::Value;
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};
use testkit::workspace;

/// Functions that belong to no provider.
const OTHER_FUNCTIONS: [&str; 3] = ["drain", "guardian", "relay"];

#[test]
fn every_provider_is_listed_in_every_place() {
    let template: Value = serde_norway::from_str(TEMPLATE).unwrap();
    let [functions, events, listed, deployed] = [
        folders("functions"),
        folders("events"),
        providers::ALL
            .map(|provider| provider.name.to_owned())
            .into(),
        resources(&template)
            .filter_map(|resource| name(resource).map(str::to_owned))
            .collect(),
    ];
    let all = [&functions, &events, &listed, &deployed]
        .into_iter()
        .flatten()
        .collect::<BTreeSet<_>>();
    let mut forgotten = Vec::new();
    for name in all
        .into_iter()
        .filter(|name| !OTHER_FUNCTIONS.contains(&&***name))
    {
        let places = [
            (
                format!("the folder functions/{name}"),
                functions.contains(name),
            ),
            (format!("samples in events/{name}"), has_samples(name)),
            (
                format!("a row of ALL in shared/providers/src/lib.rs for {name}"),
                listed.contains(name),
            ),
            (
                format!("a function with CodeUri functions/{name} in template.yaml"),
                deployed.contains(name),
            ),
            (
                format!("the page docs/providers/{name}.md with the path /{name}"),
                has_page(name),
            ),
        ];
        forgotten.extend(
            places
                .into_iter()
                .filter(|(_, is_there)| !is_there)
                .map(|(place, _)| place),
        );
    }
    assert!(forgotten.is_empty(), "forgotten: {forgotten:#?}");
}

#[test]
fn the_template_runs_each_provider_under_its_name() {
    let template: Value = serde_norway::from_str(TEMPLATE).unwrap();
    let mut wrong = Vec::new();
    for provider in providers::ALL {
        let function = resources(&template).find(|resource| name(resource) == Some(provider.name));
        let routes: Vec<_> = resources(&template)
            .filter_map(|resource| resource["Properties"]["RouteKey"].as_str())
            .collect();
        wrong.extend(
            function
                .into_iter()
                .flat_map(|function| wrong_with(provider, function, &routes)),
        );
    }
    assert!(wrong.is_empty(), "in template.yaml: {wrong:#?}");
}

/// Missing or wrong settings in the template of a provider.
fn wrong_with(provider: Provider, function: &Value, routes: &[&str]) -> Vec<String> {
    let name = provider.name;
    let properties = &function["Properties"];
    let has_variable = |suffix| {
        !properties["Environment"]["Variables"][format!("{}_{suffix}", name.to_uppercase())]
            .is_null()
    };
    let has_keys = provider.supports(Scheme::UrlKey);
    let needs = [
        (
            "the Binary",
            function["Metadata"]["BuildProperties"]["Binary"].as_str() == Some(name),
        ),
        (
            "the route ANY /<name>",
            routes.contains(&&*format!("ANY /{name}")),
        ),
        (
            "the route ANY /<name>/{proxy+}",
            routes.contains(&&*format!("ANY /{name}/{{proxy+}}")),
        ),
        (
            "the variables that its gate reads",
            has_variable("CREDENTIALS") && has_variable("KEYS") == has_keys,
        ),
    ];
    needs
        .into_iter()
        .filter(|(_, is_there)| !is_there)
        .map(|(need, _)| format!("{need} of {name}"))
        .collect()
}

fn folders(parent: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(workspace(parent)).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn has_samples(name: &str) -> bool {
    fs::read_dir(workspace("events").join(name)).is_ok_and(|mut files| files.next().is_some())
}

fn has_page(name: &str) -> bool {
    fs::read_to_string(workspace(format!("docs/providers/{name}.md")))
        .is_ok_and(|page| page.contains(&format!("/{name}")))
}

fn resources(template: &Value) -> impl Iterator<Item = &Value> {
    template["Resources"].as_mapping().unwrap().values()
}

/// The name of the folder in `functions/` that a resource runs.
fn name(resource: &Value) -> Option<&str> {
    resource["Properties"]["CodeUri"]
        .as_str()?
        .strip_prefix("functions/")
}

/// Order of dependencies: a crate may depend only on crates before it, and no function may depend
/// on another function.
const LAYERS: [&str; 8] = [
    "shared/models",
    "shared/providers",
    "shared/storage",
    "shared/ingest",
    "functions",
    "cli",
    "tests/testkit",
    "tests",
];

/// Restricted dependencies, and the crates that may have them. The first row of a name counts.
const RESERVED: [(&str, &[&str]); 4] = [
    (
        "aws-sdk-eventbridge",
        &["functions/relay", "cli", "tests", "tests/testkit"],
    ),
    (
        "aws-sdk-ssm",
        &["functions/guardian", "cli", "tests", "tests/testkit"],
    ),
    (
        "aws-sdk-",
        &["shared/storage", "cli", "tests", "tests/testkit"],
    ),
    (
        "lambda_http",
        &["shared/ingest", "cli", "tests", "tests/testkit"],
    ),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Only for crates of this workspace.
    path: Option<PathBuf>,
}

#[test]
fn dependencies_point_one_way() {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = [
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ];
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(workspace(""))
        .output()
        .unwrap();
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    let folder = |path: &Path| {
        path.strip_prefix(&metadata.workspace_root)
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let from = folder(package.manifest_path.parent().unwrap());
        for dependency in &package.dependencies {
            let is_wrong = match &dependency.path {
                Some(path) => layer(&folder(path)) >= layer(&from),
                None => RESERVED
                    .iter()
                    .find(|(name, _)| dependency.name.starts_with(name))
                    .is_some_and(|(_, to)| !to.contains(&&*from)),
            };
            if is_wrong {
                wrong.push(format!("{from} may not depend on {}", dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn layer(folder: &str) -> usize {
    let layer = LAYERS
        .iter()
        .position(|layer| Path::new(folder).starts_with(layer));
    layer.unwrap_or_else(|| panic!("{folder} has no layer: which crates may name it?"))
}

/// Dependencies that make the cold start of a receiver too slow: the default credential chain, a
/// second TLS library, and large static tables. (The loader of the system's certificates is
/// linked, but is not run: see `trust.rs`.)
const TOO_MUCH: [&str; 7] = [
    "aws-config",
    "aws-lc-rs",
    "aws-lc-sys",
    "aws-sdk-sts",
    "openssl",
    "regex",
    "schemars",
];

#[test]
fn functions_have_no_heavy_dependencies() {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for function in providers::ALL
        .map(|provider| provider.name)
        .iter()
        .chain(&OTHER_FUNCTIONS)
    {
        let arguments = [
            "tree",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--package",
            function,
        ];
        let output = Command::new(&cargo)
            .args(arguments)
            .current_dir(workspace(""))
            .output()
            .unwrap();
        let tree = String::from_utf8(output.stdout).unwrap();
        let names: BTreeSet<_> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert!(
            names.contains("aws-sdk-dynamodb"),
            "{tree} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let found: Vec<_> = TOO_MUCH
            .iter()
            .filter(|name| names.contains(**name))
            .collect();
        assert!(found.is_empty(), "{function} has {found:?}");
    }
}
