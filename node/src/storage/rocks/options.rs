//! How RocksDB is set up. Memory is bounded: one cache for all blocks, indexes and filters, one budget for all memtables.

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, FlushOptions, IngestExternalFileOptions, LogLevel,
    Options, WriteOptions,
};

/// Sizes of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksConfig {
    /// Blocks, indexes and filters that are kept in memory.
    pub cache_bytes: usize,
    /// All memtables together; above it the engine flushes by itself. The ballast must be at least twice as large
    /// ([`SpaceConfig`](crate::storage::SpaceConfig)), so that releasing it lets flushes go on.
    pub write_buffer_bytes: usize,
    /// Flushes and compactions at a time.
    pub background_jobs: i32,
    /// Staged content is written to a file whenever that much has come.
    pub staged_file_bytes: usize,
}

impl Default for RocksConfig {
    fn default() -> RocksConfig {
        RocksConfig {
            cache_bytes: 32 << 20,
            write_buffer_bytes: 32 << 20,
            background_jobs: 2,
            staged_file_bytes: 8 << 20,
        }
    }
}

impl RocksConfig {
    /// One memtable of one family.
    pub(super) fn family_buffer_bytes(&self) -> usize {
        (self.write_buffer_bytes / 2).max(1 << 20)
    }
}

/// Options of the database and of every family.
pub fn database(config: &RocksConfig, cache: &Cache) -> Result<Options, rocksdb::Error> {
    // Closing must not be a flush: what is durable is decided by `Store::flush` alone, also on the way out of an error.
    let mut options =
        Options::default().get_options_from_string("avoid_flush_during_shutdown=true")?;
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_atomic_flush(true);
    options.set_paranoid_checks(true);
    options.set_max_open_files(512);
    options.set_max_background_jobs(config.background_jobs);
    options.set_db_write_buffer_size(config.write_buffer_bytes);
    options.set_bytes_per_sync(1 << 20);
    options.set_avoid_unnecessary_blocking_io(true);
    options.set_skip_stats_update_on_db_open(true);
    options.set_max_manifest_file_size(8 << 20);
    options.set_manifest_preallocation_size(64 << 10);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    family(config, cache, &mut options);
    Ok(options)
}

/// Adds what concerns one family of keys; also what staged files are written with.
fn family(config: &RocksConfig, cache: &Cache, options: &mut Options) {
    options.set_write_buffer_size(config.family_buffer_bytes());
    options.set_max_write_buffer_number(3);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_target_file_size_base(32 << 20);
    options.set_max_bytes_for_level_base(128 << 20);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    options.set_block_based_table_factory(&table(cache));
}

fn table(cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(8 << 10);
    table.set_bloom_filter(10.0, false);
    table.set_optimize_filters_for_memory(true);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(6);
    table
}

/// The log is the write-ahead log (DESIGN §12).
pub fn write() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

pub fn flush() -> FlushOptions {
    let mut options = FlushOptions::default();
    options.set_wait(true);
    options
}

/// The files given are links of their own, which RocksDB may take.
pub fn ingest() -> IngestExternalFileOptions {
    let mut options = IngestExternalFileOptions::default();
    options.set_move_files(true);
    options
}
