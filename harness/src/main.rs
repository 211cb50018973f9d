//! The command line of Evenhand with its own plugins. With yours: see the crate documentation.

fn main() -> std::process::ExitCode {
    evenhand::main()
}
