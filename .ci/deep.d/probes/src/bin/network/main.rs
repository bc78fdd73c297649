//! Faults of the network, each in a network namespace of its own whose loopback is up: made by
//! `.ci/deep.d/62-network`, which names the check; and of outputs and disks. It passes by exit code 0.
//!
//! Beside each, an echo pair and a 10 ms timer live on the same loop: see `bystanders`.

mod black_hole;
mod bystanders;
mod checksum;
mod disks;
mod full_queue;
mod output;
mod refusals;
mod refused_datagrams;
mod resets;
mod resolver;
mod shared_listener;
mod tools;
mod transfers;

use bystanders::check;

fn main() {
    let name = std::env::args().nth(1).expect("the name of a check");
    match name.as_str() {
        "black_hole" => check(black_hole::black_hole()),
        "refusals" => check(refusals::refusals()),
        "few_ports" => check(refusals::few_ports()),
        "bad_checksum" => check(checksum::bad_checksum()),
        "shared_listener" => check(shared_listener::shared_listener()),
        "shared_listener_child" => shared_listener::shared_listener_child(),
        "no_resolver" => check(resolver::no_resolver()),
        "silent_resolver" => check(resolver::silent_resolver()),
        "refused_datagrams" => check(refused_datagrams::refused_datagrams()),
        "full_queue" => check(full_queue::full_queue()),
        "loss" => check(transfers::loss()),
        "resets" => check(resets::resets()),
        "small_packets" => check(transfers::small_packets()),
        "link_down" => check(transfers::link_down()),
        "output_nobody_reads" => check(output::output_nobody_reads()),
        "full_disk" => check(disks::full_disk()),
        "broken_disk" => check(disks::broken_disk()),
        _ => panic!("no check {name}"),
    }
}
