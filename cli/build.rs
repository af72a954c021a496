//! Embeds the samples of `events/` into the binary, for `hookkeeper send`. A new file in that
//! folder is a new sample.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    // Read at run time and not with `env!`: a clone that was moved or copied contains a build
    // script that was compiled for the old path.
    let manifest = variable("CARGO_MANIFEST_DIR")?;
    let events = manifest.join("../events");
    // A path relative to the manifest, so that cargo watches the folder of this clone.
    println!("cargo::rerun-if-changed=../events");
    let mut rows = Vec::new();
    for folder in sorted(&events)?.iter().filter(|path| path.is_dir()) {
        for file in sorted(folder)?
            .iter()
            .filter(|path| path.extension().is_some_and(|it| it == "json"))
        {
            // Embed the content and not the path: another clone would reuse the path of this one.
            let content = fs::read_to_string(file).map_err(|error| named(file, &error))?;
            rows.push(format!(
                "({:?}, {:?}, {content:?}),\n",
                name(folder),
                name(file)
            ));
        }
    }
    let samples = variable("OUT_DIR")?.join("samples.rs");
    fs::write(&samples, format!("&[\n{}]", rows.concat())).map_err(|error| named(&samples, &error))
}

/// Returns the path in an environment variable that cargo sets.
fn variable(name: &str) -> io::Result<PathBuf> {
    let path =
        env::var_os(name).ok_or_else(|| io::Error::other(format!("cargo sets no {name}")))?;
    Ok(path.into())
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| named(folder, &error))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Adds the path to the message of an I/O error.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// File or folder name without the extension.
fn name(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
