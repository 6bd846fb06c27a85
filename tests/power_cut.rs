//! The power goes for real: a node trades on a file system of its own, which is shut down under it as
//! a power cut would, and mounted again.
//!
//! Needs the rights to mount, a loop device, `mkfs.xfs` or `mkfs.ext4`, and `xfs_io` or `perl` to
//! shut it down; where one is missing it says so and passes.

#![allow(clippy::print_stdout, reason = "whoever sees a test fail needs its seed")]

use crate::crash::{Venue, seed};
use crate::sim::random::Random;
use crate::support::dir;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Bytes of the file system; the file behind it is sparse.
const IMAGE_BYTES: u64 = 512 << 20;
/// What `xfs_io -x -c shutdown` asks the kernel for: no more writes from now on, not even of the file
/// system's own log.
const GOING_DOWN: &str = "open(my $dir, '<', $ARGV[0]) or die $!; my $how = pack('L', 2); \
                          ioctl($dir, 0x8004587d, $how) or die $!";

/// A file system in a file; unmounted when it is dropped.
struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

/// Runs a program; what it said where it did not end well.
fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

impl Disk {
    fn make(dir: &Path) -> Result<Disk, String> {
        let (image, mount) = (dir.join("image"), dir.join("mount"));
        let file = std::fs::File::create(&image).expect("a writable directory");
        file.set_len(IMAGE_BYTES).expect("a sparse file");
        std::fs::create_dir(&mount).expect("a writable directory");
        run("mkfs.xfs", &["-q", text(&image)]).or_else(|xfs| {
            run("mkfs.ext4", &["-q", "-F", text(&image)]).map_err(|ext4| format!("{xfs}; {ext4}"))
        })?;
        let disk = Disk { image, mount };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", text(&self.image), text(&self.mount)])
    }

    fn unmount(&self) -> Result<(), String> {
        run("umount", &[text(&self.mount)])
    }

    /// Nothing reaches the disk any more.
    fn shut_down(&self) -> Result<(), String> {
        run("xfs_io", &["-x", "-c", "shutdown", text(&self.mount)]).or_else(|xfs_io| {
            run("perl", &["-e", GOING_DOWN, text(&self.mount)])
                .map_err(|perl| format!("{xfs_io}; {perl}"))
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A directory that stays mounted is all that is lost.
        let _ = run("umount", &["-l", text(&self.mount)]);
    }
}

fn skipped(why: &str) {
    eprintln!("SKIPPED: no power cut on a real file system, for want of what it needs here: {why}");
}

fn cut(policy: &str) {
    let dir = dir();
    let disk = match Disk::make(dir.path()) {
        Ok(disk) => disk,
        Err(why) => return skipped(&why),
    };
    let seed = seed();
    println!("policy {policy}; repeat with SEED={seed}");
    let mut random = Random::new(seed);
    let mut venue = Venue::new(dir.path(), &disk.mount.join("journal"), policy);
    let mut lost = 0;
    for round in 0..3 {
        let node = venue.start();
        venue.open_desks(&node, &mut random);
        let lives = Duration::from_millis(50 + random.below(400));
        let shut_down = venue.trade(|| {
            thread::park_timeout(lives);
            let shut_down = disk.shut_down();
            match &shut_down {
                Ok(()) => {
                    let (status, log) = node.ended();
                    assert!(status >= 10, "a disk that is gone ends the node: {status}, {log}");
                }
                Err(_) => node.kill(),
            }
            shut_down
        });
        if let Err(why) = shut_down {
            assert_eq!(round, 0, "it worked before: {why}");
            return skipped(&why);
        }
        disk.unmount().expect("nobody uses it any more");
        disk.mount().expect("it was mounted before");
        lost += venue.look_after_power_cut(policy == "disk");
        // Nobody knows their sessions' numbers any more where records are gone.
        venue.close_desks();
    }
    println!("policy {policy}: {lost} acknowledged records were lost");
    assert!(venue.answers() > 100, "they traded");
    assert!(policy == "memory" || lost == 0);
}

#[test]
fn under_disk_a_file_system_that_goes_down_takes_nothing_acknowledged() {
    cut("disk");
}

#[test]
fn under_memory_a_file_system_that_goes_down_leaves_a_prefix() {
    cut("memory");
}
