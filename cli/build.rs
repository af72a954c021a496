//! Embeds the samples of `events/`: a file that is added there is a new thing for `hookkeeper send`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    // Asked for when this runs: the folder that it was compiled in may have moved since.
    let package = env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| io::Error::other("cargo sets CARGO_MANIFEST_DIR"))?;
    let events = Path::new(&package).join("../events");
    println!("cargo::rerun-if-changed={}", events.display());
    let mut rows = Vec::new();
    for folder in sorted(&events)?.iter().filter(|path| path.is_dir()) {
        for file in sorted(folder)?.iter().filter(|path| path.extension().is_some_and(|it| it == "json")) {
            let path = file.display().to_string();
            rows.push(format!("({:?}, {:?}, include_str!({path:?})),\n", name(folder), name(file)));
        }
    }
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    fs::write(Path::new(&out).join("samples.rs"), format!("&[\n{}]", rows.concat()))
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| io::Error::other(format!("{}: {error}", folder.display())))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Its last part, without an extension.
fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
