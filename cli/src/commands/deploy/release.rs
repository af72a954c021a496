//! An unpacked release: its template, the zips of the functions, and their checksums.

use crate::{Failure, Usage};
use hookkeeper::template::parse;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, io,
    path::{Path, PathBuf},
};

/// The template's file.
const TEMPLATE: &str = "template.yaml";
/// Checksums of the files, in the format of `sha256sum`.
const CHECKSUMS: &str = "SHA256SUMS";
/// Type of a function in the template.
const FUNCTION: &str = "AWS::Serverless::Function";

/// An unpacked release. All its files are there, and match their checksums.
#[derive(Debug)]
pub(crate) struct Release {
    template: String,
    /// Names of the template's parameters.
    pub(crate) parameters: BTreeSet<String>,
    /// Code of the functions, by `CodeUri` of the template.
    pub(crate) code: BTreeMap<String, File>,
}

/// A file that the functions or CloudFormation read from the code bucket.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    /// SHA-256 of its content.
    pub(crate) digest: [u8; 32],
    /// Extension of its name.
    extension: &'static str,
}

impl File {
    fn new(bytes: Vec<u8>, extension: &'static str) -> Self {
        let digest = Sha256::digest(&bytes).into();
        Self {
            bytes,
            digest,
            extension,
        }
    }

    /// Its name in the code bucket.
    pub(crate) fn key(&self) -> String {
        format!("{}.{}", hex::encode(self.digest), self.extension)
    }
}

impl Release {
    /// Reads a release, or the one in the folder of this executable.
    ///
    /// # Errors
    /// - [`Usage`]: the folder has no release.
    /// - A file is missing, or differs from its checksum.
    pub(crate) fn read(folder: Option<&Path>) -> Result<Self, Failure> {
        let folder = folder.map_or_else(own_folder, |folder| Ok(folder.to_owned()))?;
        let template = text(&folder, TEMPLATE)?;
        let checksums = text(&folder, CHECKSUMS)?;
        let checksums = checksums_of(&checksums);
        let digest = Sha256::digest(template.as_bytes()).into();
        check(&folder, TEMPLATE, digest, &checksums)?;
        let parsed = parse(&template)?;
        let mut code = BTreeMap::new();
        for uri in code_uris(&parsed) {
            let name = zip_name(uri).ok_or_else(|| no_zip(&folder, uri))?;
            let bytes =
                fs::read(folder.join(name)).map_err(|error| missing(&folder, name, &error))?;
            let file = File::new(bytes, "zip");
            check(&folder, name, file.digest, &checksums)?;
            code.insert(uri.to_owned(), file);
        }
        let parameters = section(&parsed, "Parameters").map(|(name, _)| name.clone());
        Ok(Self {
            parameters: parameters.collect(),
            template,
            code,
        })
    }

    /// The template, with the code of the functions in a bucket.
    ///
    /// Only the lines with a `CodeUri` change, so that the deployed template is the one that was
    /// published, with its comments.
    pub(crate) fn template_with_code_in(&self, bucket: &str) -> Result<File, Failure> {
        let lines = self.template.split_inclusive('\n');
        let template: String = lines
            .map(|line| self.line_with_code_in(line, bucket))
            .collect();
        let prefix = format!("s3://{bucket}/");
        let parsed = parse(&template)?;
        match code_uris(&parsed).find(|uri| !uri.starts_with(&prefix)) {
            None => Ok(File::new(template.into_bytes(), "yaml")),
            Some(uri) => Err(format!("{TEMPLATE}: no line is `CodeUri: {uri}`").into()),
        }
    }

    fn line_with_code_in(&self, line: &str, bucket: &str) -> String {
        let code = line.split_once("CodeUri: ").and_then(|(indent, uri)| {
            let file = self.code.get(uri.trim())?;
            indent.trim().is_empty().then_some((indent, file))
        });
        match code {
            Some((indent, file)) => format!("{indent}CodeUri: s3://{bucket}/{}\n", file.key()),
            None => line.to_owned(),
        }
    }
}

/// The folder of this executable.
fn own_folder() -> Result<PathBuf, Failure> {
    let executable = env::current_exe()?.canonicalize()?;
    Ok(executable.parent().unwrap_or(Path::new(".")).to_owned())
}

/// Reads a file that every release has.
fn text(folder: &Path, name: &str) -> Result<String, Failure> {
    fs::read_to_string(folder.join(name)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => no_release(folder, &format!("it has no {name}")),
        _ => missing(folder, name, &error),
    })
}

fn no_zip(folder: &Path, uri: &str) -> Failure {
    let why = format!("the code of a function is {uri}, and not a zip beside {TEMPLATE}");
    no_release(folder, &why)
}

fn no_release(folder: &Path, why: &str) -> Failure {
    Usage(format!(
        "{} is not a release ({why}): a release is a folder with {TEMPLATE}, the zips of the functions and \
        {CHECKSUMS}. Unpack one of the published archives, or make `dist/` from source with \
        `scripts/release`, and name the folder with --from",
        folder.display()
    ))
    .into()
}

fn missing(folder: &Path, name: &str, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::NotFound => format!("{name} is missing"),
        _ => format!("{name} cannot be read: {error}"),
    };
    damaged(folder, &why)
}

fn damaged(folder: &Path, why: &str) -> Failure {
    format!(
        "the release in {} is incomplete or damaged ({why}): unpack it again",
        folder.display()
    )
    .into()
}

/// Fails if a file differs from its checksum.
fn check(
    folder: &Path,
    name: &str,
    digest: [u8; 32],
    checksums: &BTreeMap<&str, &str>,
) -> Result<(), Failure> {
    match checksums.get(name) {
        Some(checksum) if checksum.eq_ignore_ascii_case(&hex::encode(digest)) => Ok(()),
        Some(_) => Err(damaged(
            folder,
            &format!("{name} differs from its checksum in {CHECKSUMS}"),
        )),
        None => Err(damaged(folder, &format!("{CHECKSUMS} has no {name}"))),
    }
}

/// SHA-256 digests in hexadecimal by file name, of lines like `<digest>  template.yaml`.
fn checksums_of(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter_map(|line| {
        let (checksum, name) = line.split_once(' ')?;
        // A space or, for a binary file, an asterisk.
        let name = name.strip_prefix([' ', '*'])?;
        Some((name.strip_prefix("./").unwrap_or(name), checksum))
    });
    lines.collect()
}

/// Name of a zip beside the template: `drain.zip` of `./drain.zip`.
fn zip_name(uri: &str) -> Option<&str> {
    let name = uri.strip_prefix("./")?;
    let stem = name.strip_suffix(".zip")?;
    (!stem.contains(['/', '\\'])).then_some(name)
}

/// `CodeUri` of each function of a template.
fn code_uris(template: &Value) -> impl Iterator<Item = &str> {
    let functions = section(template, "Resources")
        .filter(|(_, resource)| resource.get("Type").and_then(Value::as_str) == Some(FUNCTION));
    functions.map(|(_, function)| {
        let uri = function.pointer("/Properties/CodeUri");
        uri.and_then(Value::as_str).unwrap_or_default()
    })
}

fn section<'a>(template: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let section = template.get(name).and_then(Value::as_object);
    section.into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_read_in_each_form_of_sha256sum() {
        let text = "0a  template.yaml\n0b *drain.zip\n0c  ./relay.zip\n\nno checksum\n";
        let expected = [
            ("template.yaml", "0a"),
            ("drain.zip", "0b"),
            ("relay.zip", "0c"),
        ];
        let checksums = checksums_of(text);
        for (name, checksum) in expected {
            assert_eq!(checksums.get(name), Some(&checksum), "{name}");
        }
    }

    #[test]
    fn code_is_a_zip_beside_the_template() {
        assert_eq!(zip_name("./drain.zip"), Some("drain.zip"));
        for uri in [
            "functions/drain",
            "./../drain.zip",
            "./a/drain.zip",
            "drain.zip",
            "s3://a/b.zip",
        ] {
            assert_eq!(zip_name(uri), None, "{uri}");
        }
    }

    #[test]
    fn a_function_whose_code_is_written_otherwise_is_an_error() {
        let of = |line: &str| {
            let template = format!(
                "Resources:\n  Drain:\n    Type: {FUNCTION}\n    Properties:\n      {line}\n"
            );
            let file = File::new(Vec::new(), "zip");
            let code = BTreeMap::from([("./drain.zip".to_owned(), file)]);
            let parameters = BTreeSet::new();
            Release {
                template,
                parameters,
                code,
            }
            .template_with_code_in("code")
        };
        let template = of("CodeUri: ./drain.zip").unwrap().bytes;
        let empty = hex::encode(Sha256::digest([]));
        assert!(
            String::from_utf8(template)
                .unwrap()
                .ends_with(&format!("CodeUri: s3://code/{empty}.zip\n"))
        );
        let error = of("{CodeUri: ./drain.zip}").unwrap_err().to_string();
        assert_eq!(error, "template.yaml: no line is `CodeUri: ./drain.zip`");
    }
}
