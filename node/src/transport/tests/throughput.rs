//! What a message costs; run by hand: `cargo test -p kv-node --release -- --ignored --nocapture transport_costs`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};

use crate::transport::testing::{Authority, TestNode, introduce};
use crate::transport::{Lane, SendError};

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a check"]
async fn transport_costs() {
    let authority = Authority::new();
    let (mut a, mut b) = (
        TestNode::start(&authority, 1).await,
        TestNode::start(&authority, 2).await,
    );
    introduce(&[&a, &b]);
    a.transport
        .send(b.id, Lane::Small, Bytes::from_static(b"warm"))
        .expect("room");
    b.next().await;
    b.transport
        .send(a.id, Lane::Small, Bytes::from_static(b"warm"))
        .expect("room");
    a.next().await;

    for (size, count) in [(100, 400_000_u32), (1024, 200_000)] {
        let payload = Bytes::from(vec![7; size]);
        let (start, cpu_before) = (Instant::now(), cpu());
        let sender = a.transport.clone();
        let to = b.id;
        let sending = tokio::spawn(async move {
            for _ in 0..count {
                while sender.send(to, Lane::Small, payload.clone()) == Err(SendError::Full) {
                    tokio::task::yield_now().await;
                }
            }
        });
        for _ in 0..count {
            b.next().await;
        }
        sending.await.expect("sends");
        report(
            &format!("{size} B one way, pipelined"),
            count,
            start.elapsed(),
            cpu() - cpu_before,
        );
    }

    let rounds = 20_000;
    let (start, cpu_before) = (Instant::now(), cpu());
    for _ in 0..rounds {
        a.transport
            .send(b.id, Lane::Small, Bytes::from_static(b"ping"))
            .expect("room");
        b.next().await;
        b.transport
            .send(a.id, Lane::Small, Bytes::from_static(b"pong"))
            .expect("room");
        a.next().await;
    }
    report(
        "round trips, one at a time",
        rounds,
        start.elapsed(),
        cpu() - cpu_before,
    );
}

fn report(what: &str, count: u32, wall: Duration, cpu: Duration) {
    let rate = f64::from(count) / wall.as_secs_f64();
    println!(
        "{what}: {rate:.0}/s, {:.2} µs wall, {:.2} µs CPU each (both nodes)",
        1e6 / rate,
        cpu.as_secs_f64() * 1e6 / f64::from(count)
    );
}
