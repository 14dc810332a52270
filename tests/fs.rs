//! Files.

mod common;

use std::cell::Cell;
use std::ffi::CString;
use std::fs as std_fs;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};

use common::{Directory, watchdog};
use corio::fs::{self, File, OpenOptions};
use corio::{is_cancelled, run, scope, sleep, spawn, testing, yield_now};

#[test]
fn a_file_is_written_read_and_searched() {
    let directory = Directory::new();
    let check = || {
        let path = directory.path("text");
        let mut file = File::create(&path)?;
        file.write_all(b"hello, world")?;
        file.sync_all()?;
        assert_eq!(file.metadata()?.len(), 12);
        assert_eq!(File::create_new(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        file.seek(SeekFrom::Start(7))?;
        let mut text = String::new();
        (&file).read_to_string(&mut text)?;
        assert_eq!(text, "world");
        file.set_len(5)?;
        file.rewind()?;
        let mut bytes = Vec::new();
        file.try_clone()?.read_to_end(&mut bytes)?;
        assert_eq!(bytes, b"hello");
        let mut file = OpenOptions::new().append(true).open(&path)?;
        write!(file, "!")?;
        assert_eq!(fs::read_to_string(&path)?, "hello!");
        fs::remove_file(&path)
    };
    run(check).unwrap();
    check().unwrap(); // and on a thread without a loop
}

#[test]
fn lines_one_by_one_while_others_run() {
    let directory = Directory::new();
    let path = directory.path("lines");
    std_fs::write(&path, (0..1_000).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    run(|| {
        let other = spawn(|| {
            for _ in 0..10 {
                yield_now()?;
            }
            Ok(())
        });
        let (mut count, mut seen) = (0, false);
        for line in BufReader::with_capacity(64, File::open(&path)?).lines() {
            assert_eq!(line?, count.to_string());
            count += 1;
            seen |= other.is_done();
        }
        assert!(count == 1_000 && seen);
        let copy = directory.path("copy");
        let mut writer = BufWriter::new(File::create(&copy)?);
        corio::io::copy(&mut File::open(&path)?, &mut writer)?;
        drop(writer);
        assert_eq!(fs::read(&copy)?, fs::read(&path)?);
        Ok(())
    })
    .unwrap();
}

/// To open a named pipe blocks until there is a peer, and so does reading from it until something was written: what a
/// slow disk does in small. The tasks of the loop run meanwhile, and one of them is that peer.
#[test]
fn r16_a_file_that_blocks_whoever_opens_or_reads_it_does_not_block_the_loop() {
    let _watchdog = watchdog();
    let directory = Directory::new();
    let path = directory.path("fifo");
    let name = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a text that ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    run(|| {
        let turns = Cell::new(0);
        let others_run = || {
            let before = turns.get();
            while turns.get() < before + 100 {
                yield_now()?;
            }
            std::io::Result::Ok(())
        };
        scope(|s| {
            s.spawn(|| -> std::io::Result<()> {
                loop {
                    turns.set(turns.get() + 1);
                    yield_now()?;
                }
            });
            let reader = s.spawn(|| {
                let mut text = String::new();
                let mut file = File::open(&path)?;
                file.read_to_string(&mut text)?;
                Ok(text)
            });
            sleep(std::time::Duration::from_millis(5))?;
            others_run()?;
            assert!(!reader.is_done(), "it opens still");
            let mut writer = OpenOptions::new().write(true).open(&path)?;
            others_run()?;
            writer.write_all(b"at last")?;
            others_run()?;
            assert!(!reader.is_done(), "it reads still");
            drop(writer);
            assert_eq!(reader.join()?, "at last");
            s.cancel();
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn what_the_functions_do_is_what_std_does() {
    let directory = Directory::new();
    run(|| {
        let path = |name| directory.path(name);
        fs::create_dir(path("a"))?;
        fs::create_dir_all(path("b/c/d"))?;
        fs::write(path("a/x"), "x")?;
        assert_eq!(fs::copy(path("a/x"), path("a/y"))?, 1);
        fs::hard_link(path("a/x"), path("a/z"))?;
        fs::symlink(path("a/x"), path("link"))?;
        assert_eq!(fs::read_link(path("link"))?, path("a/x"));
        assert_eq!(fs::canonicalize(path("link"))?, std_fs::canonicalize(path("a/x"))?);
        assert!(fs::metadata(path("link"))?.is_file() && fs::symlink_metadata(path("link"))?.is_symlink());
        fs::rename(path("a/y"), path("a/w"))?;
        assert!(!fs::exists(path("a/y"))? && fs::exists(path("a/w"))?);
        let mut permissions = fs::metadata(path("a/w"))?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(path("a/w"), permissions)?;
        assert!(fs::metadata(path("a/w"))?.permissions().readonly());
        let mut names: Vec<_> =
            fs::read_dir(path("a"))?.map(|entry| Ok(entry?.file_name())).collect::<Result<_, std::io::Error>>()?;
        names.sort();
        assert_eq!(names, ["w", "x", "z"]);
        assert_eq!(fs::remove_dir(path("b")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        fs::remove_dir(path("b/c/d"))?;
        fs::remove_dir_all(path("b"))?;
        assert_eq!(fs::read(path("nowhere")).unwrap_err().kind(), ErrorKind::NotFound);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_directory_of_hundreds_comes_in_batches_and_complete() {
    let directory = Directory::new();
    for n in 0..300 {
        std_fs::write(directory.path(&n.to_string()), "").unwrap();
    }
    run(|| {
        let mut names: Vec<u32> = Vec::new();
        for entry in fs::read_dir(directory.path(""))? {
            names.push(entry?.file_name().to_str().unwrap().parse().unwrap());
        }
        names.sort_unstable();
        assert!(names.into_iter().eq(0..300));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_cancelled_task_reads_nothing_and_loses_nothing() {
    let directory = Directory::new();
    let path = directory.path("text");
    std_fs::write(&path, "text").unwrap();
    testing::cancel_everywhere(|injector| {
        let file = File::from_std(std_fs::File::open(&path)?);
        let mut first = Vec::new();
        let end = injector.run(|| {
            let mut byte = [0];
            while (&file).read(&mut byte)? > 0 {
                first.push(byte[0]);
            }
            Ok(())
        });
        if let Err(error) = end {
            assert!(is_cancelled(&error), "{error}");
        }
        let mut rest = Vec::new();
        (&file).read_to_end(&mut rest)?;
        first.extend(rest);
        assert_eq!(first, b"text");
        Ok(())
    });
}
