//! A small ext4 file system of its own on a loop device, whose plug can be pulled. Needs root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Mounted until it is dropped, also by a panic.
pub struct Disk {
    home: TempDir,
    mounted: bool,
}

impl Disk {
    pub fn new(bytes: u64) -> Disk {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test mounts file systems and pulls their plug: run it as root (or leave it out by name)"
        );
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut disk = Disk {
            home,
            mounted: false,
        };
        fs::create_dir(disk.path()).expect("a mount point");
        File::create(disk.image())
            .and_then(|file| file.set_len(bytes))
            .expect("an image");
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0"])
            .arg(disk.image()));
        disk.mount();
        disk
    }

    pub fn path(&self) -> PathBuf {
        self.home.path().join("mnt")
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    /// Writes nothing any more, not even its journal: what is not on the image now is lost.
    pub fn cut_power(&self) {
        shutdown(&self.path());
    }

    /// The image as the next start finds it. Nobody may use it any more.
    pub fn power_on(&mut self) {
        self.unmount();
        self.mount();
    }

    fn mount(&mut self) {
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(self.image())
            .arg(self.path()));
        self.mounted = true;
    }

    fn unmount(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !Command::new("umount")
            .arg(self.path())
            .output()
            .expect("umount")
            .status
            .success()
        {
            assert!(
                Instant::now() < deadline,
                "{} stays busy",
                self.path().display()
            );
            std::thread::yield_now();
        }
        self.mounted = false;
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: a panic may have left files open. The loop device goes with the last of them.
            let _ = Command::new("umount").arg("-l").arg(self.path()).output();
        }
    }
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[allow(unsafe_code)]
fn shutdown(mount: &Path) {
    use rustix::ioctl::{Setter, ioctl, opcode};
    /// `FS_IOC_SHUTDOWN`, linux/fs.h.
    const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
    const NO_LOG_FLUSH: u32 = 2;
    let root = File::open(mount).expect("the mount point");
    // SAFETY: FS_IOC_SHUTDOWN reads one u32 through the pointer that Setter passes, and writes nothing.
    unsafe { ioctl(&root, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) }.expect("FS_IOC_SHUTDOWN");
}
