//! What a small call costs: `cargo test --release -p rpc bench -- --ignored --nocapture`.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use prost::Message;
use proto::etcdserverpb as pb;

use super::{Harness, client::framed, config};

/// CPU time of the thread with that name, from its scheduler statistics.
fn thread_cpu(name: &str) -> Duration {
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let comm = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if comm.trim() == name {
            let stat = fs::read_to_string(task.path().join("schedstat")).unwrap();
            return Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap());
        }
    }
    panic!("no thread {name}");
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, l0, l1, l2] = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![l0, l1, l2, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A client that costs next to nothing: it repeats prepared bytes and counts ends of streams.
struct Blaster {
    stream: TcpStream,
    next_stream: u32,
    body: Vec<u8>,
    buffer: Vec<u8>,
}

/// Headers of the first request, entering HPACK's table, and of all later ones, from the table.
fn header_blocks() -> (Vec<u8>, Vec<u8>) {
    let fields = [
        (":path", "/etcdserverpb.KV/Put"),
        (":authority", "localhost:2379"),
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-go/1.82.1"),
        ("te", "trailers"),
        ("client-api-version", "3.7"),
    ];
    let (mut first, mut later) = (vec![0x83, 0x86], vec![0x83, 0x86]);
    for (i, (name, value)) in fields.iter().enumerate() {
        first.push(0x40);
        for text in [name, value] {
            first.push(text.len() as u8);
            first.extend(text.as_bytes());
        }
        later.push(0x80 | (62 + fields.len() - 1 - i) as u8);
    }
    (first, later)
}

impl Blaster {
    fn connect(port: u16) -> Blaster {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let put = pb::PutRequest {
            key: vec![b'k'; 40].into(),
            value: vec![b'v'; 256].into(),
            ..Default::default()
        };
        let body = framed(&put.encode_to_vec()).to_vec();
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend(frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
        hello.extend(frame(8, 0, 0, &0x7000_0000u32.to_be_bytes()));
        hello.extend(frame(4, 1, 0, &[]));
        stream.write_all(&hello).unwrap();
        let mut blaster = Blaster { stream, next_stream: 1, body, buffer: Vec::new() };
        blaster.send(1, &header_blocks().0);
        blaster.receive(1);
        blaster
    }

    fn send(&mut self, count: usize, headers: &[u8]) {
        let mut out = Vec::new();
        for _ in 0..count {
            out.extend(frame(1, 4, self.next_stream, headers));
            out.extend(frame(0, 1, self.next_stream, &self.body));
            self.next_stream += 2;
        }
        self.stream.write_all(&out).unwrap();
    }

    /// Reads until that many streams have ended.
    fn receive(&mut self, mut count: usize) {
        let mut chunk = [0; 16 << 10];
        while count > 0 {
            let n = self.stream.read(&mut chunk).unwrap();
            assert!(n > 0, "the server closed");
            self.buffer.extend(&chunk[..n]);
            let mut at = 0;
            while let Some(&[l0, l1, l2, kind, flags, ..]) = self.buffer[at..].first_chunk::<9>() {
                let end = at + 9 + u32::from_be_bytes([0, l0, l1, l2]) as usize;
                if end > self.buffer.len() {
                    break;
                }
                assert!([0, 1, 4, 8].contains(&kind), "frame of type {kind}");
                count -= usize::from(kind == 1 && flags & 1 == 1);
                at = end;
            }
            self.buffer.drain(..at);
        }
    }
}

#[ignore = "measures; run it alone and in release"]
#[tokio::test]
async fn large_ranges() {
    let harness = Harness::start(config());
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(16 << 20).initial_connection_window_size(16 << 20);
    let client = super::client::Client::tcp(harness.port(0), builder).await;
    let range = pb::RangeRequest { key: "rows:10000".into(), ..Default::default() };
    let (cpu, start) = (Duration::ZERO, Instant::now());
    let mut bytes = 0;
    for _ in 0..100 {
        let reply = client.unary("/etcdserverpb.KV/Range", &range).await;
        bytes += reply.messages[0].len();
    }
    let cpu = thread_cpu("net-0") - cpu;
    let per_mib = cpu.as_secs_f64() * 1e6 / (bytes >> 20) as f64;
    let rate = (bytes >> 20) as f64 / start.elapsed().as_secs_f64();
    println!("ranges of 10,000 x 1 KB: {rate:.0} MiB/s, {per_mib:.0} us of server CPU per MiB");
}

#[ignore = "measures; run it alone and in release"]
#[test]
fn small_puts() {
    let seconds = std::env::var("BENCH_SECONDS").map_or(3, |text| text.parse().unwrap());
    // BENCH_SHAPE=100x10 measures one shape alone.
    let only = std::env::var("BENCH_SHAPE").ok();
    for (connections, in_flight) in [(1, 100), (10, 10), (100, 10), (1000, 1)] {
        if only.as_ref().is_some_and(|only| *only != format!("{connections}x{in_flight}")) {
            continue;
        }
        let harness = Harness::start(config());
        let mut clients: Vec<_> = (0..connections).map(|_| Blaster::connect(harness.port(0))).collect();
        let headers = header_blocks().1;
        let (cpu, start) = (thread_cpu("net-0"), Instant::now());
        let mut calls = 0;
        clients.iter_mut().for_each(|client| client.send(in_flight, &headers));
        while start.elapsed() < Duration::from_secs(seconds) {
            for client in &mut clients {
                client.receive(in_flight);
                client.send(in_flight, &headers);
                calls += in_flight;
            }
        }
        clients.iter_mut().for_each(|client| client.receive(in_flight));
        let cpu = thread_cpu("net-0") - cpu;
        let per_call = cpu.as_secs_f64() * 1e6 / calls as f64;
        let rate = calls as f64 / start.elapsed().as_secs_f64();
        println!(
            "{connections} x {in_flight}: {calls} calls, {rate:.0} calls/s, {per_call:.2} us of server CPU per call"
        );
        assert!(calls > 0);
    }
}
