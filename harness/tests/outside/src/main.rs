use outside as _;
fn main() -> std::process::ExitCode { evenhand::main() }
