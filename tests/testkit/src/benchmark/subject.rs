//! Programs that the benchmark measures: our receivers, minimal functions, and other
//! implementations of the same task.

use crate::{
    request::{CREDENTIALS, Request, accepted, event},
    runtime_api::{Environment, cargo},
    workspace,
};
use axum::body::Bytes;
use flate2::{Compression, write::ZlibEncoder};
use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A program that is measured as a function.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// Path of its executable.
    pub program: PathBuf,
    /// The provider of its events.
    provider: &'static str,
    /// Size of the deployed files in a zip.
    pub zip_bytes: u64,
}

impl Subject {
    /// A binary that handles a provider's events.
    #[must_use]
    pub fn new(name: &str, program: &Path, provider: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            provider,
            zip_bytes: deflated(program),
        }
    }

    pub(super) fn environment(&self, dynamodb: &str) -> Environment {
        let variable = format!("{}_CREDENTIALS", self.provider.to_uppercase());
        Environment::of(self.provider, dynamodb)
            .with(&variable, accepted("main", CREDENTIALS))
            .with("PEER_CREDENTIALS", CREDENTIALS)
            // As on AWS: every function has a fallback queue.
            .with("HOOKKEEPER_FALLBACK_QUEUE_URL", "http://127.0.0.1:1/spool")
    }

    /// A delivery of one event, a different one for each number.
    pub(super) fn event(&self, number: u32) -> Bytes {
        self.delivery(number, &event(self.provider, number))
    }

    /// A delivery of a body.
    pub(super) fn delivery(&self, number: u32, body: &str) -> Bytes {
        let id = format!("{}-{number}", self.name);
        Request::post(self.provider, body)
            .with("/requestContext/requestId", id)
            .into()
    }
}

/// Builds all subjects as they are shipped: our receivers by their packages, and each peer alone.
/// Without the `slow` peers (which need Node and Python, or a big build), only the two minimal
/// functions are built as peers. `given` has binaries that were built elsewhere: each one replaces
/// the receiver of its name, or is an additional subject.
///
/// # Errors
/// One sentence that names the subject that could not be built.
pub fn build(slow: bool, given: &[(String, PathBuf)]) -> Result<Vec<Subject>, String> {
    let names = providers::ALL.map(|provider| provider.name);
    let packages: Vec<_> = names
        .into_iter()
        .filter(|name| given.iter().all(|(given, _)| given != name))
        .flat_map(|name| ["-p", name])
        .collect();
    let mut programs: HashMap<_, _> = given.iter().cloned().collect();
    if !packages.is_empty() {
        programs.extend(cargo(
            &[&["build", "--release"], &*packages].concat(),
            &workspace(""),
        )?);
    }
    let mut subjects = names
        .map(|name| Subject::new(name, &programs[name], name))
        .to_vec();
    let others = given.iter().filter(|(given, _)| !names.contains(&&**given));
    subjects.extend(others.map(|(name, path)| Subject::new(name, path, "pipedrive")));
    let peers = workspace("tests/benchmark");
    let mut names = vec!["hello", "put"];
    if slow {
        names.push("naive");
    }
    for name in names {
        let target = workspace("target/benchmark");
        let target = target
            .to_str()
            .ok_or("the path of this folder is not UTF-8")?;
        let arguments = [
            "build",
            "--release",
            "--locked",
            "-p",
            name,
            "--target-dir",
            target,
        ];
        let built: HashMap<_, _> = cargo(&arguments, &peers)?;
        subjects.push(Subject::new(name, &built[name], "pipedrive"));
    }
    if slow {
        subjects.push(node(&peers.join("node"))?);
        subjects.push(python(&peers.join("python"))?);
    }
    Ok(subjects)
}

/// The bundle from esbuild, run by Node.js.
fn node(sources: &Path) -> Result<Subject, String> {
    let folder = workspace("target/benchmark/node");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for file in ["package.json", "handler.js", "runtime.js"] {
        fs::copy(sources.join(file), folder.join(file))
            .map_err(|error| format!("{file}: {error}"))?;
    }
    run(Command::new("npm")
        .args([
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
        ])
        .current_dir(&folder))?;
    let bundle = [
        "esbuild",
        "runtime.js",
        "--bundle",
        "--minify",
        "--platform=node",
        "--format=esm",
        "--target=node20",
    ];
    let require = "--banner:js=import{createRequire}from'module';const require=createRequire(import.meta.url);";
    run(Command::new("npx")
        .args(bundle)
        .args([require, "--outfile=bundle.mjs"])
        .current_dir(&folder))?;
    let node = run(Command::new("node").args(["-p", "process.execPath"]))?;
    script("node", &folder.join("bundle.mjs"), &node)
}

/// The handler, run by Python in a virtual environment with boto3. Lambda's runtime includes boto3,
/// so it is not in the zip.
fn python(sources: &Path) -> Result<Subject, String> {
    let folder = workspace("target/benchmark/python");
    let python = folder.join("bin/python");
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ];
    run(Command::new(&python)
        .args(install)
        .arg(sources.join("requirements.txt")))?;
    fs::copy(sources.join("handler.py"), folder.join("handler.py"))
        .map_err(|error| error.to_string())?;
    // Compiled in advance, like the modules of Lambda's runtime.
    run(Command::new(&python)
        .args(["-m", "compileall", "-q"])
        .arg(folder.join("lib")))?;
    script(
        "python",
        &folder.join("handler.py"),
        &python.to_string_lossy(),
    )
}

/// A script, which the system passes to its interpreter.
fn script(name: &str, source: &Path, interpreter: &str) -> Result<Subject, String> {
    let text = fs::read_to_string(source).map_err(|error| error.to_string())?;
    let program =
        source.with_extension(format!("run.{}", if name == "node" { "mjs" } else { "py" }));
    let executable = format!("#!{}\n{text}", interpreter.trim());
    fs::write(&program, executable).map_err(|error| error.to_string())?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .map_err(|error| error.to_string())?;
    Ok(Subject {
        zip_bytes: deflated(source),
        ..Subject::new(name, &program, "pipedrive")
    })
}

/// Runs a command, and returns its standard output.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!(
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// The size of a file in a zip, without the few bytes of the zip itself.
fn deflated(path: &Path) -> u64 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    io::copy(&mut File::open(path).unwrap(), &mut encoder).unwrap();
    encoder.finish().unwrap().len() as u64
}
