//! The file that `hookkeeper export` writes.

use super::wait;
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use testkit::{
    dev::send_signal,
    proxy::{Fault, Proxy},
    request::event,
    runtime_api::binary,
    site::{Site, records},
};
use tokio::{task::block_in_place, time::sleep};

/// A site with enough events for a long export.
async fn site() -> Site {
    let site = Site::start().await;
    for number in 0..50 {
        site.put(&records(&providers::CLOSER, &event("closer", number)), None)
            .await;
    }
    site
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_readable_only_by_its_owner() {
    let site = site().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.jsonl");
    assert_eq!(site.run(&["export", text(&file)]), "");
    assert_eq!(mode(&file), 0o600);
    // An existing file is replaced, with its mode.
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(site.run(&["export", text(&file)]), "");
    assert_eq!(
        (
            mode(&file),
            fs::read_to_string(&file).unwrap().lines().count()
        ),
        (0o600, 50)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_not_written_through_a_link() {
    let site = site().await;
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    // A link in the place of a temporary file is not followed, and does not matter.
    let file = folder.path().join("all.jsonl");
    symlink(&victim, folder.path().join("all.jsonl.partial")).unwrap();
    assert_eq!(site.run(&["export", text(&file)]), "");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 50);
    // A link in the place of the file itself is refused.
    let link = folder.path().join("link.jsonl");
    symlink(&victim, &link).unwrap();
    let (code, error) = site.fail(&["export", text(&link)]);
    assert_eq!(
        (code, &*error),
        (
            1,
            &*format!(
                "error: {} is a symbolic link: name a file\n",
                link.display()
            )
        )
    );
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(
        names(folder.path()),
        ["all.jsonl", "all.jsonl.partial", "link.jsonl", "victim"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_path_is_one_sentence_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let a_folder = folder.path().join("folder");
    fs::create_dir(&a_folder).unwrap();
    let in_a_file = file.join("all.jsonl");
    let nowhere = folder.path().join("nowhere/all.jsonl");
    for (path, said) in [
        (&*a_folder, "is a directory: name a file"),
        (
            Path::new("/dev/null"),
            "is not a regular file: name another one, or none for the standard output",
        ),
        (&in_a_file, "cannot write"),
        (&nowhere, "cannot write"),
        // A folder in which even root cannot create a file.
        (
            Path::new("/proc/all.jsonl"),
            "cannot write /proc/all.jsonl (",
        ),
    ] {
        // The command fails before it needs a table.
        let mut command = Command::new(binary("hookkeeper"));
        let output = command
            .args(["export", "--local=1", text(path)])
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.contains(said) && error.lines().count() == 1,
            "{error}"
        );
    }
    assert_eq!(names(folder.path()), ["file", "folder"]);
    assert!(names(&a_folder).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_export_leaves_no_file() {
    let site = site().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.jsonl");
    fs::write(&file, "old").unwrap();

    // A table that stops responding.
    let proxy = Proxy::start(&format!("http://127.0.0.1:{}", site.port()));
    let port = proxy.endpoint().replace("http://127.0.0.1:", "--local=");
    proxy.set_after(40, Fault::InternalError).await;
    let mut command = Command::new(binary("hookkeeper"));
    let output = block_in_place(|| {
        command
            .args(["export", &port, text(&file)])
            .output()
            .unwrap()
    });
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && error.contains("the table refused the request"),
        "{error}"
    );
    assert_eq!(
        (names(folder.path()), &*fs::read_to_string(&file).unwrap()),
        (vec!["all.jsonl".to_owned()], "old")
    );

    // A full disk, simulated by a limit on the file size.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" export \"$@\"";
    let mut command = Command::new("sh");
    let local = format!("--local={}", site.port());
    let command = command
        .args(["-c", script])
        .arg(binary("hookkeeper"))
        .args([&*local, text(&file)]);
    let output = block_in_place(|| command.output().unwrap());
    let error = String::from_utf8(output.stderr).unwrap();
    let said = format!("error: cannot write {} (", file.display());
    assert!(
        output.status.code() == Some(1) && error.starts_with(&said),
        "{error}"
    );
    assert_eq!(
        (names(folder.path()), &*fs::read_to_string(&file).unwrap()),
        (vec!["all.jsonl".to_owned()], "old")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_export_leaves_no_file() {
    let site = site().await;
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(&format!("http://127.0.0.1:{}", site.port()));
    let port = proxy.endpoint().replace("http://127.0.0.1:", "--local=");
    proxy.set_after(40, Fault::Hang).await;
    for signal in ["-INT", "-TERM"] {
        let mut command = Command::new(binary("hookkeeper"));
        let command = command
            .args(["export", &port, text(&folder.path().join("all.jsonl"))])
            .stderr(Stdio::piped());
        let mut process = super::Killed(command.spawn().unwrap());
        while names(folder.path()).is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        send_signal(&process.0, signal);
        assert_eq!(wait(&mut process).code(), Some(1), "{signal}");
        assert!(
            names(folder.path()).is_empty(),
            "{signal}: {:?}",
            names(folder.path())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_standard_output_is_an_error_of_one_sentence() {
    let site = site().await;
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = block_in_place(|| site.command(&["export"]).stdout(full).output().unwrap());
    let error = String::from_utf8(output.stderr).unwrap();
    let is_said = error.starts_with("error: cannot write the standard output (")
        && error.lines().count() == 1;
    assert!(output.status.code() == Some(1) && is_said, "{error}");
}
