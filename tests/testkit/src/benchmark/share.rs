//! CPU limit of a process, as Lambda sets it from the memory of a function.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Memory of a function with one whole CPU, in MB.
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

/// CPU limit of a process. Dropping it removes the limit.
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

    /// Whether this machine permits CPU limits.
    #[must_use]
    pub fn is_permitted() -> bool {
        version().is_some_and(|version| {
            let group = version.group();
            let made = fs::create_dir(&group).is_ok() && version.limit(&group, PERIOD / 2).is_ok();
            fs::remove_dir(&group).ok();
            made
        })
    }

    /// Limits a process.
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
    /// Folder of a new group.
    fn group(self) -> PathBuf {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (Self::V1(parent) | Self::V2(parent)) = self;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Path::new(parent).join(format!("hookkeeper-{}-{number}", process::id()))
    }

    /// Limits a group to a number of microseconds in each period.
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
    let v1 = Path::new("/sys/fs/cgroup/cpu");
    if v1.join("cpu.cfs_quota_us").exists() || v1.join("cpu.cfs_period_us").exists() {
        return Some(Version::V1("/sys/fs/cgroup/cpu"));
    }
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.subtree_control").ok()?;
    let mut controllers = controllers.split_whitespace();
    let has_cpu = controllers.any(|controller| controller == "cpu");
    has_cpu.then_some(Version::V2("/sys/fs/cgroup"))
}

impl Drop for Limit {
    fn drop(&mut self) {
        let Some(group) = &self.0 else { return };
        // Only an empty group can be removed.
        let parent = group.parent().unwrap();
        let processes = fs::read_to_string(group.join("cgroup.procs"));
        for pid in processes.unwrap_or_default().lines() {
            fs::write(parent.join("cgroup.procs"), pid).ok();
        }
        fs::remove_dir(group).ok();
    }
}
