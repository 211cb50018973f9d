//! The committed kernels are those that their sources give and that the host code expects. No compiler is needed:
//! `kernels/build-kernels`, which makes them, notes in a manifest what it has read and written.

use evenhand_kernels::cuda::signatures;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// `ptx/MANIFEST.json`. Paths are relative to the crate.
#[derive(Deserialize)]
struct Manifest {
    compiler: Compiler,
    /// By name of the source, without its extension.
    files: BTreeMap<String, File>,
}

#[derive(Deserialize)]
struct Compiler {
    /// Hash of what names the packages, by path.
    pins: BTreeMap<PathBuf, String>,
}

#[derive(Deserialize)]
struct File {
    /// Hashes of what was read, by path.
    sources: BTreeMap<PathBuf, String>,
    /// Hashes of what was written, by path.
    artefacts: BTreeMap<PathBuf, String>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    usage: BTreeMap<String, Usage>,
}

/// What a kernel takes on a device.
#[derive(Deserialize)]
struct Usage {
    stack_bytes: u64,
    spill_bytes: u64,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn manifest() -> Manifest {
    let text = fs::read_to_string(folder("ptx/MANIFEST.json")).expect("the manifest can be read");
    serde_json::from_str(&text).expect("the manifest is what kernels/build-kernels writes")
}

fn ptx(file: &str) -> String {
    fs::read_to_string(folder("ptx").join(file).with_extension("ptx")).expect("the PTX can be read")
}

/// Paths of what a folder holds, relative to the crate, of that extension.
fn listed(name: &str, extension: &str) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder(name)).expect("the folder can be read");
    let paths = entries.map(|entry| Path::new(name).join(entry.expect("the folder can be read").file_name()));
    paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
}

fn assert_hash(path: &Path, expected: &str, meaning: &str) {
    let content = fs::read(folder("").join(path)).unwrap_or_default();
    let hash: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, expected, "kernels/{}: {meaning}; run kernels/build-kernels", path.display());
}

#[test]
fn sources_are_those_that_were_compiled() {
    let manifest = manifest();
    let compiled = manifest.files.keys().map(|file| Path::new("cu").join(file).with_extension("cu")).collect();
    assert_eq!(listed("cu", "cu"), compiled, "sources and those compiled; run kernels/build-kernels");
    let sources = manifest.files.values().flat_map(|file| &file.sources).chain(&manifest.compiler.pins);
    for (path, hash) in sources {
        assert_hash(path, hash, "changed since the kernels were compiled");
    }
}

#[test]
fn artefacts_are_those_that_were_written() {
    let manifest = manifest();
    let artefacts: BTreeMap<_, _> = manifest.files.values().flat_map(|file| file.artefacts.clone()).collect();
    let there: BTreeSet<_> = listed("ptx", "ptx").into_iter().chain(listed("bin", "fatbin")).collect();
    assert_eq!(there, artefacts.keys().cloned().collect(), "artefacts and those written; run kernels/build-kernels");
    for (path, hash) in &artefacts {
        assert_hash(path, hash, "not what was written with the manifest");
    }
    for file in manifest.files.keys() {
        for (folder, extension) in [("ptx", "ptx"), ("bin", "fatbin")] {
            assert!(there.contains(&Path::new(folder).join(file).with_extension(extension)), "{file} as {extension}");
        }
    }
}

#[test]
fn ptx_is_read_by_drivers_of_the_first_cuda_13_for_all_devices_since_ampere() {
    for file in manifest().files.keys() {
        let ptx = ptx(file);
        let value = |directive| ptx.lines().find_map(|line| line.strip_prefix(directive)).map(str::trim);
        let version = value(".version").and_then(|version| version.split_once('.')).expect("a version");
        let version: (u32, u32) = (version.0.parse().unwrap(), version.1.parse().unwrap());
        assert!(version <= (9, 0), "{file}: PTX {version:?}");
        assert_eq!(value(".target"), Some("sm_80"), "{file}");
    }
}

#[test]
fn nothing_is_spilled_on_any_device() {
    for (file, File { entries, .. }) in &manifest().files {
        for (entry, Entry { usage }) in entries {
            assert!(!usage.is_empty(), "{entry} in {file}.cu was assembled");
            for (target, usage) in usage {
                assert_eq!((usage.stack_bytes, usage.spill_bytes), (0, 0), "{entry} in {file}.cu on {target}");
            }
        }
    }
}

/// Of a kernel, its file and name, the threads of a block, and sizes in bytes of its parameters.
type Kernel = ((String, String), (u32, Vec<usize>));

/// The kernels in the PTX of a file.
fn kernels(file: &str) -> Vec<Kernel> {
    let ptx = ptx(file);
    let parse = |entry: &str| {
        let (name, rest) = entry.split_once('(').expect("a list of parameters");
        let (parameters, rest) = rest.split_once(')').expect("the end of the list");
        let (directives, _) = rest.split_once('{').expect("a body");
        let threads = directives.lines().find_map(|line| line.strip_prefix(".maxntid")).expect("a number of threads");
        let threads = threads.split(',').map(|size| size.trim().parse::<u32>().expect("a number")).product();
        let parameters = parameters.split(',').map(str::trim).filter(|parameter| !parameter.is_empty());
        ((file.to_owned(), name.trim().to_owned()), (threads, parameters.map(parameter_bytes).collect()))
    };
    ptx.split(".entry ").skip(1).map(parse).collect()
}

/// The size of a parameter such as `.param .u64 a` or `.param .align 4 .b8 a[12]`.
fn parameter_bytes(parameter: &str) -> usize {
    let bits = |word: &str| word.strip_prefix(['b', 'u', 's', 'f'])?.parse::<usize>().ok();
    let element = parameter.split_whitespace().find_map(|word| bits(word.strip_prefix('.')?)).expect("a type") / 8;
    let elements = parameter.strip_suffix(']').and_then(|array| array.rsplit_once('['));
    element * elements.map_or(1, |(_, number)| number.parse().expect("a number"))
}

#[test]
fn hosts_launch_kernels_as_they_were_compiled() {
    let compiled: BTreeMap<_, _> = manifest().files.keys().flat_map(|file| kernels(file)).collect();
    let launched: BTreeMap<_, _> = signatures()
        .into_iter()
        .map(|signature| {
            let name = (signature.file.to_owned(), signature.entry.to_owned());
            (name, (signature.threads, signature.parameters.iter().map(|p| p.bytes).collect()))
        })
        .collect();
    for (name, kernel) in &launched {
        assert_eq!(compiled.get(name), Some(kernel), "{name:?} in PTX, and as declared in Rust");
    }
    for name in compiled.keys() {
        assert!(launched.contains_key(name), "{name:?} is declared nowhere in Rust");
    }
}

#[test]
fn sizes_of_parameters_are_read_from_ptx() {
    assert_eq!(parameter_bytes(".param .u64 .ptr .align 1 k_param_0"), 8);
    assert_eq!(parameter_bytes(".param .f32 k_param_1"), 4);
    assert_eq!(parameter_bytes(".param .u8 k_param_2"), 1);
    assert_eq!(parameter_bytes(".param .align 4 .b8 k_param_3[12]"), 12);
}
