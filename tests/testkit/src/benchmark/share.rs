//! CPU limit of a process, as Lambda sets it from the memory of a function.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// The memory with which a function has one whole processor, in MB.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
const WHOLE: u32 = 1_769;

/// Period of the CPU limit, in microseconds. AWS does not document it; this value was measured by
/// others.
const PERIOD: u32 = 20_000;

/// CPU limit of a function with an amount of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Memory of the function, in MB. [`Share::FULL`] has no CPU limit.
    pub mb: u32,
}

/// A process's limit, until it is dropped.
#[derive(Debug)]
pub(super) struct Limit(Option<PathBuf>);

/// Location and version of the control groups with CPU limits.
#[derive(Debug, Clone, Copy)]
enum Version {
    V1(&'static str),
    V2(&'static str),
}

impl Share {
    /// No limit.
    pub const FULL: Self = Self { mb: WHOLE };

    /// Whether this machine lets us limit a process.
    #[must_use]
    pub fn is_permitted() -> bool {
        version().is_some_and(|version| {
            let group = version.group();
            let made = fs::create_dir(&group).is_ok() && version.limit(&group, PERIOD / 2).is_ok();
            fs::remove_dir(&group).ok();
            made
        })
    }

    /// Limits a process from now on.
    pub(super) fn limit(self, pid: u32) -> Limit {
        if self == Self::FULL {
            return Limit(None);
        }
        let version = version().expect("control groups");
        let group = version.group();
        fs::create_dir(&group).unwrap();
        version.limit(&group, PERIOD * self.mb / WHOLE).unwrap();
        fs::write(group.join("cgroup.procs"), pid.to_string()).unwrap();
        Limit(Some(group))
    }
}

impl Version {
    /// A new group's folder.
    fn group(self) -> PathBuf {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (Self::V1(parent) | Self::V2(parent)) = self;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Path::new(parent).join(format!("hookkeeper-{}-{number}", process::id()))
    }

    /// Gives a group so many microseconds of each period.
    fn limit(self, group: &Path, quota: u32) -> std::io::Result<()> {
        match self {
            Self::V1(_) => {
                fs::write(group.join("cpu.cfs_period_us"), PERIOD.to_string())?;
                fs::write(group.join("cpu.cfs_quota_us"), quota.to_string())
            }
            Self::V2(_) => fs::write(group.join("cpu.max"), format!("{quota} {PERIOD}")),
        }
    }
}

fn version() -> Option<Version> {
    let is_there = |path: &str| Path::new(path).exists();
    if is_there("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
        || is_there("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    {
        return Some(Version::V1("/sys/fs/cgroup/cpu"));
    }
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.subtree_control").ok()?;
    controllers
        .split_whitespace()
        .any(|it| it == "cpu")
        .then_some(Version::V2("/sys/fs/cgroup"))
}

impl Drop for Limit {
    fn drop(&mut self) {
        let Some(group) = &self.0 else { return };
        // A group can be removed once nothing is in it.
        let (parent, processes) = (
            group.parent().unwrap(),
            fs::read_to_string(group.join("cgroup.procs")),
        );
        for pid in processes.unwrap_or_default().lines() {
            fs::write(parent.join("cgroup.procs"), pid).ok();
        }
        fs::remove_dir(group).ok();
    }
}
