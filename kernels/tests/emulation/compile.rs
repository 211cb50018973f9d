//! Compiles the stand-in driver and the kernels in it. What is compiled is named after all that went into it, so that
//! it is done once for any number of test processes, and again only where something has changed.

use std::collections::{BTreeMap, hash_map::DefaultHasher};
use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process, thread};

const EMULATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/emulation");
const KERNELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cu");
const BUILT: &str = env!("CARGO_TARGET_TMPDIR");

/// No contraction: a fused multiply-add is one only where a kernel says so. No aliasing by types: kernels read numbers
/// by fours. The sanitizers need no library: those for undefined behaviour trap, and the emulator is that for threads.
const FOR_ALL: [&str; 6] =
    ["-std=c++17", "-g1", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-ffp-contract=off"];
const FOR_EMULATOR: [&str; 4] = ["-O2", "-Wall", "-Wextra", "-Werror=return-type"];
const FOR_KERNELS: [&str; 6] = [
    "-O1",
    "-fno-exceptions",
    "-Wno-unknown-pragmas",
    "-fsanitize=thread",
    "-fsanitize=bounds,alignment,shift,signed-integer-overflow",
    "-fsanitize-undefined-trap-on-error",
];

struct Compiler {
    program: String,
    version: String,
}

impl Compiler {
    /// The one of this machine, or why there is none.
    fn find() -> Result<&'static Self, &'static str> {
        static FOUND: OnceLock<Option<Compiler>> = OnceLock::new();
        if !cfg!(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64"))) {
            return Err("emulation needs Linux with glibc");
        }
        let find = || {
            let chosen = env::var("CXX").ok();
            let programs = chosen.into_iter().chain(["c++", "g++", "clang++"].map(String::from));
            programs.into_iter().find_map(|program| {
                let output = Command::new(&program).arg("--version").output().ok()?;
                let version = String::from_utf8_lossy(&output.stdout).into_owned();
                output.status.success().then_some(Self { program, version })
            })
        };
        FOUND.get_or_init(find).as_ref().ok_or("no C++ compiler")
    }

    fn flags(&self, kernel: bool) -> Vec<&'static str> {
        let mut flags = FOR_ALL.to_vec();
        // Otherwise each fused multiply-add is a call.
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("fma") {
            flags.push("-mfma");
        }
        if !kernel {
            flags.extend(FOR_EMULATOR);
            return flags;
        }
        flags.extend(FOR_KERNELS);
        flags.extend(match self.version.contains("clang") {
            true => ["-mllvm", "-tsan-distinguish-volatile=1"].as_slice(),
            false => ["--param", "tsan-distinguish-volatile=1", "-fno-gnu-unique"].as_slice(),
        });
        flags
    }

    fn run(&self, arguments: &[&OsStr]) -> Result<(), String> {
        let output = Command::new(&self.program).args(arguments).output().map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("{} fails:\n{said}", self.program)) }
    }
}

/// A file of the kernels in another wording, which holds for one kernel's file, itself or one that includes it.
pub(crate) struct Change {
    pub(crate) file: &'static str,
    pub(crate) kernel: &'static str,
    pub(crate) text: String,
}

/// Why there is no library.
pub(crate) enum Missing {
    /// The machine can not.
    Skipped(&'static str),
    /// The sources are wrong.
    Broken(String),
}

/// The library with all kernels, compiled if need be; with a change, only the kernels that it comes to are others.
pub(crate) fn library(change: Option<&Change>) -> Result<PathBuf, Missing> {
    let compiler = Compiler::find().map_err(Missing::Skipped)?;
    build(compiler, change).map_err(Missing::Broken)
}

fn build(compiler: &Compiler, change: Option<&Change>) -> Result<PathBuf, String> {
    let (mut headers, mut sources) = (BTreeMap::new(), Vec::new());
    for folder in [EMULATOR, KERNELS, concat!(env!("CARGO_MANIFEST_DIR"), "/emulation/tests")] {
        for path in files(Path::new(folder))? {
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            match path.extension().and_then(OsStr::to_str) {
                Some("h") => drop(headers.insert(name_of(&path), text)),
                Some("cpp" | "cu") => sources.push((path, text)),
                _ => {}
            }
        }
    }
    let mut changed_headers = None;
    if let Some(change) = change {
        match sources.iter_mut().find(|(path, _)| path.starts_with(KERNELS) && name_of(path) == change.file) {
            Some((_, text)) => text.clone_from(&change.text),
            None => {
                let mut headers = headers.clone();
                headers.insert(change.file.into(), change.text.clone());
                changed_headers = Some(headers);
            }
        }
    }
    let object = |(path, text): &(PathBuf, String)| {
        let changed = change.is_some_and(|change| path.starts_with(KERNELS) && name_of(path) == change.kernel);
        let headers = changed_headers.as_ref().filter(|_| changed).unwrap_or(&headers);
        Object::new(compiler, path.clone(), text.clone(), headers.clone(), changed)
    };
    let objects: Vec<Object> = sources.iter().map(object).collect();
    let next = AtomicUsize::new(0);
    let compile = || {
        while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
            object.compile(compiler)?;
        }
        Ok::<(), String>(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..thread::available_parallelism().map_or(2, usize::from).min(objects.len()))
            .map(|_| scope.spawn(compile))
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("compiling panicked".into())))
    })?;
    let built: Vec<&PathBuf> = objects.iter().map(|object| &object.built).collect();
    let library = Path::new(BUILT).join(format!("emulated-{:016x}.so", hash(&built)));
    make(&library, |to| {
        // By this name cudarc asks for the driver, and gets what is loaded already.
        let options = ["-shared", "-Wl,-soname,libcuda.so", "-Wl,-Bsymbolic", "-Wl,--no-undefined", "-o"];
        let mut arguments: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
        arguments.push(to.as_os_str());
        arguments.extend(built.iter().map(|path| path.as_os_str()));
        arguments.extend(["-ldl", "-lpthread"].map(OsStr::new));
        compiler.run(&arguments)
    })?;
    Ok(library)
}

/// A source with all the headers there are.
struct Object {
    source: PathBuf,
    text: String,
    headers: BTreeMap<String, String>,
    kernel: bool,
    /// It is not what the files hold.
    changed: bool,
    built: PathBuf,
}

impl Object {
    fn new(
        compiler: &Compiler,
        source: PathBuf,
        text: String,
        headers: BTreeMap<String, String>,
        changed: bool,
    ) -> Self {
        let kernel = source.extension() == Some(OsStr::new("cu"));
        let mut included = BTreeMap::new();
        include(&text, &headers, &mut included);
        let key = hash(&(&compiler.program, &compiler.version, compiler.flags(kernel), &text, included));
        let built = Path::new(BUILT).join(format!("{}-{key:016x}.o", name_of(&source)));
        Self { source, text, headers, kernel, changed, built }
    }

    fn compile(&self, compiler: &Compiler) -> Result<(), String> {
        make(&self.built, |to| {
            let flags = compiler.flags(self.kernel);
            let mut arguments: Vec<&OsStr> = flags.iter().map(OsStr::new).collect();
            let folder = self.changed.then(Folder::new).transpose()?;
            let mut source = self.source.clone();
            if let Some(Folder(folder)) = &folder {
                // Files include each other by names without folders.
                for (name, text) in &self.headers {
                    fs::write(folder.join(name), text).map_err(|e| e.to_string())?;
                }
                source = folder.join(name_of(&self.source));
                fs::write(&source, &self.text).map_err(|e| e.to_string())?;
            }
            arguments.extend(["-I", EMULATOR, "-x", "c++", "-c", "-o"].map(OsStr::new));
            arguments.extend([to.as_os_str(), source.as_os_str()]);
            compiler.run(&arguments)
        })
    }
}

/// A folder of this process alone, gone after use.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let path = own_path(&Path::new(BUILT).join("changed"));
        fs::create_dir_all(&path).map_err(|e| e.to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it does no harm.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Makes a file under another name and then renames it, for other processes may make the same one.
fn make(path: &Path, how: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    if path.exists() {
        return Ok(());
    }
    let own = own_path(path);
    how(&own)?;
    fs::rename(&own, path).map_err(|e| format!("{}: {e}", path.display()))
}

fn own_path(path: &Path) -> PathBuf {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}-{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let said = |error| format!("{}: {error}", folder.display());
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(said)?.collect();
    let mut paths: Vec<PathBuf> =
        entries.map_err(said)?.iter().map(fs::DirEntry::path).filter(|path| path.is_file()).collect();
    paths.sort();
    Ok(paths)
}

/// The headers that a text includes, and those that they include.
fn include<'a>(text: &str, headers: &'a BTreeMap<String, String>, included: &mut BTreeMap<&'a str, &'a str>) {
    for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("#include \"")) {
        let name = line.split('"').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        if let Some((name, text)) = headers.get_key_value(name)
            && included.insert(name, text).is_none()
        {
            include(text, headers, included);
        }
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
