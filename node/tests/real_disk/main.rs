//! Storage on real file systems that lose their power or fill up. Needs root: it mounts loop devices.

mod full_disk;
mod mount;
mod power_cut;
mod sync_price;
