//! Checks the documentation: links and anchors exist, commands and their options exist, and the
//! IAM policies are valid and small enough.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};
use testkit::workspace;

/// The maximum length of a managed policy, white space not counted.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const MAX_POLICY_CHARACTERS: usize = 6_144;
const MAX_README_LINES: usize = 150;
/// A shell block after this line needs an AWS account. All other shell blocks run on a developer's
/// machine.
const NEEDS_AWS: &str = "<!-- needs an AWS account -->";

/// A Markdown file.
struct Page {
    path: PathBuf,
    /// Its lines outside of fenced blocks.
    prose: Vec<String>,
    blocks: Vec<Block>,
}

/// A fenced block of a page.
struct Block {
    language: String,
    needs_aws: bool,
    lines: Vec<String>,
}

impl Page {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let mut prose: Vec<String> = Vec::new();
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for line in text.lines().map(str::trim) {
            match (line.strip_prefix("```"), open.take()) {
                (Some(language), None) => {
                    open = Some(Block {
                        language: language.to_owned(),
                        needs_aws: prose.last().is_some_and(|last| last == NEEDS_AWS),
                        lines: Vec::new(),
                    });
                }
                (Some(_), Some(block)) => blocks.push(block),
                (None, Some(mut block)) => {
                    block.lines.push(line.to_owned());
                    open = Some(block);
                }
                (None, None) => prose.push(line.to_owned()),
            }
        }
        assert!(open.is_none(), "{}: an open block", path.display());
        Self {
            path,
            prose,
            blocks,
        }
    }

    /// The targets of the links in the prose that are not URLs.
    fn links(&self) -> Vec<&str> {
        let after_brackets = self.prose.iter().flat_map(|line| line.split("](").skip(1));
        after_brackets
            .filter_map(|rest| rest.split(')').next())
            .filter(|target| !target.contains("://"))
            .collect()
    }

    /// The anchors of the headings, as GitHub makes them.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose.iter().filter(|line| line.starts_with('#'));
        headings
            .map(|heading| anchor(heading.trim_start_matches('#').trim()))
            .collect()
    }

    /// The commands in shell blocks, and after the prompt in blocks of a session.
    fn commands(&self) -> Vec<(&Block, &str)> {
        let mut commands = Vec::new();
        for block in &self.blocks {
            for line in &block.lines {
                let command = match &*block.language {
                    "sh" => Some(&**line),
                    "console" => line.strip_prefix("$ "),
                    _ => None,
                };
                commands.extend(command.map(|command| (block, command)));
            }
        }
        commands
    }

    /// The code in the prose, between backticks.
    fn code(&self) -> impl Iterator<Item = &str> {
        let lines = self.prose.iter();
        lines.flat_map(|line| line.split('`').skip(1).step_by(2))
    }
}

fn anchor(heading: &str) -> String {
    let letters = heading.to_lowercase();
    letters
        .chars()
        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

/// All pages of the repository.
fn pages() -> Vec<Page> {
    let folders = ["", "docs", "docs/providers", "events", ".github"];
    let paths = folders.into_iter().flat_map(|folder| files(folder, "md"));
    paths.map(Page::read).collect()
}

/// The files in a folder with this extension.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(workspace(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

#[test]
fn every_relative_link_has_a_target() {
    let pages = pages();
    let mut broken = Vec::new();
    for page in &pages {
        for link in page.links() {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                page.path.clone()
            } else {
                page.path.parent().unwrap().join(path)
            };
            if !target.exists() || !(anchor.is_empty() || has_anchor(&pages, &target, anchor)) {
                broken.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

fn has_anchor(pages: &[Page], target: &Path, anchor: &str) -> bool {
    let target = target.canonicalize().unwrap();
    pages
        .iter()
        .any(|page| page.path.canonicalize().unwrap() == target && page.anchors().contains(anchor))
}

#[test]
fn every_command_exists() {
    let help = help();
    let mut wrong = Vec::new();
    for page in pages() {
        let mut commands = page.commands();
        commands.retain(|(block, command)| {
            let is_of_aws = command.starts_with("aws ") || command.starts_with("sam ");
            if is_of_aws && !block.needs_aws {
                wrong.push(format!("{}: {command}: not marked", page.path.display()));
            }
            !is_of_aws
        });
        let commands = commands.into_iter().map(|(_, command)| command);
        for command in commands.chain(page.code()) {
            if let Some(why) = problem(command, &help) {
                wrong.push(format!("{}: {command}: {why}", page.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The help texts of `hookkeeper`, by command: `events show`.
fn help() -> BTreeMap<String, String> {
    let text = fs::read_to_string(workspace("tests/golden/observed/help.txt")).unwrap();
    let sections = text.split("$ hookkeeper ").skip(1);
    sections
        .filter_map(|section| section.split_once("--help\n"))
        .map(|(command, help)| (command.trim().to_owned(), help.to_owned()))
        .collect()
}

/// What is wrong with a command line of `hookkeeper`. `None` also for other commands.
fn problem(line: &str, help: &BTreeMap<String, String>) -> Option<String> {
    let line = line.split(" #").next().unwrap_or_default();
    let line = line.strip_prefix("cargo ").unwrap_or(line);
    let words: Vec<_> = line.split_whitespace().collect();
    let words = match *words.first()? {
        "hookkeeper" => &words[1..],
        "dev" if words.len() == 1 || words[1].starts_with('-') => &words[..],
        _ => return None,
    };
    let words = words.iter().copied();
    let (options, words): (Vec<_>, Vec<_>) = words.partition(|word| word.starts_with("--"));
    let first = words.first().copied().unwrap_or_default();
    let command = match words.get(1) {
        Some(second) if help.contains_key(&format!("{first} {second}")) => {
            format!("{first} {second}")
        }
        _ => first.to_owned(),
    };
    let Some(text) = help.get(&command) else {
        return Some("no such command".to_owned());
    };
    let mut names = options.iter().filter_map(|option| option.split('=').next());
    let unknown = names.find(|name| !text.contains(name));
    unknown.map(|name| format!("no option {name}"))
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(workspace("README.md")).unwrap();
    assert!(readme.lines().count() <= MAX_README_LINES);
}

#[test]
fn the_policies_are_valid_and_small_enough() {
    let policies = files("docs/policies", "json");
    assert!(!policies.is_empty());
    for path in policies {
        let text = fs::read_to_string(&path).unwrap();
        let policy: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(policy["Version"], "2012-10-17", "{}", path.display());
        for statement in policy["Statement"].as_array().unwrap() {
            let sid = statement["Sid"].as_str().unwrap();
            assert!(sid.chars().all(char::is_alphanumeric), "{sid}");
            assert_eq!(statement["Effect"], "Allow", "{sid}");
            assert!(!statement["Action"].is_null(), "{sid}");
            assert!(!statement["Resource"].is_null(), "{sid}");
        }
        let characters = text.chars().filter(|letter| !letter.is_whitespace());
        assert!(
            characters.count() <= MAX_POLICY_CHARACTERS,
            "{}",
            path.display()
        );
    }
}
