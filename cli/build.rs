//! Embeds the samples of `events/`: a file that is added there is a new thing for `hookkeeper send`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    // Asked for when this runs, not when it is compiled: a clone that was moved or copied brings a compiled one along.
    let manifest = variable("CARGO_MANIFEST_DIR")?;
    let events = manifest.join("../events");
    // Relative to the manifest, so that cargo looks at the clone's own folder.
    println!("cargo::rerun-if-changed=../events");
    let mut rows = Vec::new();
    for folder in sorted(&events)?.iter().filter(|path| path.is_dir()) {
        for file in sorted(folder)?
            .iter()
            .filter(|path| path.extension().is_some_and(|it| it == "json"))
        {
            // Their content and not their path, which another clone would take over.
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

/// A path that cargo sets.
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

/// An error with the path that it is about.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Its last part, without an extension.
fn name(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
