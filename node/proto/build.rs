//! Compiles the services; `protox` parses the .proto files, so that no protoc need be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["peer.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(files)?;
    // Ordered maps: equal messages are equal bytes. The descriptors are for reflection.
    let files = protox::compile(["kv.proto"], ["proto"])?;
    let descriptors = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("kv.bin");
    std::fs::write(descriptors, prost::Message::encode_to_vec(&files))?;
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .compile_fds(files)?;
    // A call that a server does not know yet is answered UNIMPLEMENTED, as one of an older version would.
    tonic_prost_build::configure()
        .bytes(".")
        .generate_default_stubs(true)
        .compile_fds(protox::compile(["admin.proto"], ["proto"])?)?;
    Ok(())
}
